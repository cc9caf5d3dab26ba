// SPDX-License-Identifier: MIT
/*
 * EXPORT and UNEXPORT: what can be told without the helper is refused at once; for the rest the
 * client waits until the helper has answered.
 */
#include "fuse/control_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "fuse/grants.h"

static void refuse_export(struct control *k, const struct control_client *c, int error)
{
	switch (error) {
	case -EAGAIN:
		control_refuse(k, c, EAGAIN,
			"there is no helper at the moment, or it is busy with this file; try "
			"again");
		break;
	case -EBUSY:
		control_refuse(k, c, EBUSY,
			"the file has devices that are in use, or the pool is frozen; see "
			"guestmemfs status");
		break;
	case -ENOENT:
	case -ESTALE:
		control_refuse(k, c, ENOENT, "there is no such file");
		break;
	default:
		control_refuse(k, c, -error, "no device node could be made; the log says more");
	}
}

/* The helper would refuse it too, but has no room to say where. */
static bool has_hole(const struct control *k, uint64_t ino, uint64_t *at)
{
	struct stat st;

	return ns_getattr(k->ns, ino, &st) == 0 && ns_seek(k->ns, ino, 0, SEEK_HOLE, at) == 0 &&
	       *at < (uint64_t)st.st_size;
}

void control_ask_export(struct control *k, struct control_client *c, uint64_t ino, uint64_t now)
{
	uint64_t hole;
	int r;

	if (k->status->pool->regions[0].kind != GM_REGION_SOFT) {
		control_refuse(k, c, EOPNOTSUPP,
			"only files on soft regions have devices of their own that can be "
			"exported");
		return;
	}
	if (ns_has_content(k->ns, ino)) {
		control_refuse(k, c, EMEDIUMTYPE,
			"it is a file with content, which has no memory of its own");
		return;
	}
	if (has_hole(k, ino, &hole)) {
		char text[160];

		(void)snprintf(text, sizeof(text),
			"the file has a hole at offset %#" PRIx64
			": a device node is over all of a file; fill it with fallocate",
			hole);
		control_refuse(k, c, ENXIO, text);
		return;
	}
	r = store_is_frozen(k->ns->store) ? -EBUSY : grants_export(k->grants, ino, &c->asker);
	if (r < 0) {
		refuse_export(k, c, r);
		return;
	}
	c->wants_export = ino;
	c->deadline = now + CONTROL_EXPORT_MS;
}

void control_take_exported(
	struct control *k, uint64_t ino, int error, enum gm_reason reason, const char *node)
{
	(void)reason;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *c = &k->clients[i];

		if (c->fd < 0 || c->wants_export != ino)
			continue;
		c->wants_export = 0;
		if (error < 0)
			refuse_export(k, c, error);
		else
			control_reply(k, c, status_make_node(node));
	}
}

static void refuse_unexport(struct control *k, const struct control_client *c, int error)
{
	switch (error) {
	case -ENOENT:
	case -ESTALE:
		control_refuse(k, c, ENOENT, "the file is not exported");
		break;
	case -EAGAIN:
		control_refuse(k, c, EAGAIN,
			"the file may still be exported: there is no helper at the moment, or it "
			"is busy with this file; try again");
		break;
	case -EBUSY:
		control_refuse(k, c, EBUSY, "the file is still exported: the pool is frozen");
		break;
	default:
		control_refuse(k, c, -error,
			"the file is still exported: the end could not be brought about; the log "
			"says more");
	}
}

void control_ask_unexport(struct control *k, struct control_client *c, uint64_t ino, uint64_t now)
{
	int r = store_is_frozen(k->ns->store) ? -EBUSY : grants_unexport(k->grants, ino, &c->asker);

	if (r < 0) {
		refuse_unexport(k, c, r);
		return;
	}
	c->wants_unexport = ino;
	c->deadline = now + CONTROL_UNEXPORT_MS;
}

void control_take_unexported(struct control *k, uint64_t ino, int error)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *c = &k->clients[i];

		if (c->fd < 0 || c->wants_unexport != ino)
			continue;
		c->wants_unexport = 0;
		if (error < 0)
			refuse_unexport(k, c, error);
		else
			control_reply(k, c, json_object_new_object());
	}
}
