// SPDX-License-Identifier: MIT
/*
 * What is asked at the control socket. What the worker knows by itself is answered here.
 */
#include "fuse/control_internal.h"

#include <errno.h>
#include <sys/epoll.h>

#include "fuse/grants.h"
#include "proto/control.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/log.h"

static void answer_extents(struct control *k, struct control_client *c, uint64_t ino)
{
	const struct inode *inode = meta_inode(store_meta(k->status->ns->store), ino);

	if (!inode)
		control_refuse(k, c, ENOENT, "there is no such inode");
	else if (!S_ISREG(inode->attr.mode))
		control_refuse(k, c, EINVAL, "only regular files have extents");
	else if (inode_has_content(inode))
		control_refuse(
			k, c, EINVAL, "it is a file with content, which has no memory of its own");
	else
		control_reply(k, c, status_make_extents(k->status, inode));
}

static void change_frozen(struct control *k, struct control_client *c, bool frozen)
{
	int r = frozen ? store_freeze(k->ns->store) : ns_thaw(k->ns);

	if (r < 0) {
		control_refuse(k, c, -r, "no checkpoint could be written: the pool is as it was");
		return;
	}
	log_info("%s (pid %d, uid %u)",
		frozen ? "frozen: no change, no ticket and no grant until it is thawed, or another "
			 "kernel mounts it"
		       : "thawed",
		(int)c->asker.pid, c->asker.uid);
	if (!frozen)
		grants_thawed(k->grants);
	control_reply(k, c, json_object_new_object());
}

/* Its answer comes from the supervisor, which gets the connection. */
static void hand_on_upgrade(struct control *k, struct control_client *c)
{
	if (k->upgrade >= 0) {
		control_refuse(k, c, EBUSY, "an upgrade is under way already");
		return;
	}
	(void)epoll_ctl(k->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	k->upgrade = steal_fd(&c->fd);
	control_drop(c);
}

void control_take_request(
	struct control *k, struct control_client *c, const struct control_request *m, uint64_t now)
{
	uint32_t opcode = get_le32(m->opcode);
	uint64_t ino = get_le64(m->ino);

	c->opcode = opcode;
	c->ino = ino;
	if (get_le32(m->version) != CONTROL_VERSION) {
		control_refuse(k, c, EPROTONOSUPPORT,
			"the worker speaks another version of the control protocol: use the "
			"guestmemfs command that came with it");
		return;
	}
	if (get_le32(m->size) != sizeof(*m) || get_le32(m->reserved) ||
		(ino != 0) != (opcode == CONTROL_EXTENTS || opcode == CONTROL_EXPORT ||
				      opcode == CONTROL_UNEXPORT))
		opcode = 0;
	switch (opcode) {
	case CONTROL_STATUS:
		control_ask_holders(k, c, now);
		break;
	case CONTROL_FILES:
		control_reply(k, c, status_make_files(k->status));
		break;
	case CONTROL_EXTENTS:
		answer_extents(k, c, ino);
		break;
	case CONTROL_FREEZE:
	case CONTROL_THAW:
		change_frozen(k, c, opcode == CONTROL_FREEZE);
		break;
	case CONTROL_TOKEN:
		control_reply(k, c, status_make_token(k->status));
		break;
	case CONTROL_EXPORT:
		control_ask_export(k, c, ino, now);
		break;
	case CONTROL_UNEXPORT:
		control_ask_unexport(k, c, ino, now);
		break;
	case CONTROL_UPGRADE:
		hand_on_upgrade(k, c);
		break;
	default:
		control_refuse(k, c, EINVAL, "this is not a request");
	}
}
