// SPDX-License-Identifier: MIT
/*
 * The kernel's side: requests in its own form, whole and in the sizes that it gives them, since
 * libfuse believes it those, and their replies.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "rig.h"
#include "rig_requests.h"
#include "util/cleanup.h"
#include "util/le.h"

/* ---- replies ---- */

static struct rig_request *request_of_unique(uint64_t unique)
{
	uint64_t n = (unique - FIRST_UNIQUE) / 2;

	if (unique < FIRST_UNIQUE || n >= rig.request_count)
		rig_die("a reply to what was not asked", "");
	return &rig.requests[n];
}

/* What the kernel hears of, it may ask for from now on. */
static void learn(uint64_t ino)
{
	for (unsigned n = 0; n < rig.inode_count; n++)
		if (rig.inodes[n] == ino)
			return;
	if (ino != 0 && rig.inode_count < RIG_INODES)
		rig.inodes[rig.inode_count++] = ino;
}

static bool brings_entry(uint32_t opcode)
{
	return opcode == FUSE_LOOKUP || opcode == FUSE_MKDIR || opcode == FUSE_MKNOD ||
	       opcode == FUSE_CREATE || opcode == FUSE_SYMLINK || opcode == FUSE_LINK;
}

static void check_error(const struct rig_request *q)
{
	char text[96];

	if (q->error <= 0 && q->error > -512 && q->error != -EUCLEAN && q->error != -EPROTO &&
		q->error != -EINPROGRESS && q->error != -EFAULT)
		return;
	(void)snprintf(text, sizeof(text), "opcode %u, error %d", q->opcode, q->error);
	rig_die("an error that nobody may get", text);
}

/* The answer to a ticket or an invitation begins with it. */
static void note_ticket(const struct iovec *iov, int count)
{
	struct gm_ticket t;

	if (count < 3 || iov[1].iov_len != sizeof(struct fuse_ioctl_out) ||
		iov[2].iov_len < sizeof(t) || iov[2].iov_len > sizeof(struct gm_invitation))
		return;
	memcpy(&t, iov[2].iov_base, sizeof(t));
	rig_helper_take_ticket(&t);
}

/* Who has called has gone; or what was to be copied to him can't be read. */
static bool may_be_refused(const struct rig_request *q)
{
	if (q->error < 0)
		return false;
	return rig.refuse_reply == EFAULT ? q->opcode == FUSE_READ
					  : q->opcode == FUSE_OPEN || q->opcode == FUSE_OPENDIR ||
						    q->opcode == FUSE_CREATE;
}

static ssize_t take_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fuse_out_header header;
	struct rig_request *q;
	size_t length = 0;

	(void)fd, (void)userdata;
	memcpy(&header, iov[0].iov_base, sizeof(header));
	for (int n = 0; n < count; n++)
		length += iov[n].iov_len;
	if (length != header.len)
		rig_die("a reply of another length than it says", "");
	if (header.unique == 0)
		return (ssize_t)length;
	q = request_of_unique(header.unique);
	q->replies++;
	q->error = header.error;
	if (q == &rig.requests[rig.request_count - 1])
		rig_runtime_note_reply();
	if (rig.refuse_reply && may_be_refused(q)) {
		errno = rig.refuse_reply;
		rig.refuse_reply = 0;
		q->refused = true;
		return -1;
	}
	if (q->opcode == FUSE_INTERRUPT)
		return (ssize_t)length;
	check_error(q);
	if (q->error == 0 && q->opcode == FUSE_IOCTL)
		note_ticket(iov, count);
	if (q->error == 0 && brings_entry(q->opcode) && count > 1) {
		uint64_t ino;

		memcpy(&ino, iov[1].iov_base, sizeof(ino)); /* fuse_entry_out.nodeid */
		learn(ino);
	}
	return (ssize_t)length;
}

static ssize_t no_read(int fd, void *buf, size_t size, void *userdata)
{
	(void)fd, (void)buf, (void)size, (void)userdata;
	errno = EIO;
	return -1;
}

/* ---- requests ---- */

#define REQUEST_MAX (sizeof(struct gm_revoke) + DATA_MAX + 4096)

uint32_t request_uid;

void request_send(uint32_t opcode, uint64_t ino, struct part fixed, struct part rest)
{
	struct fuse_in_header header = {.len = (uint32_t)(sizeof(header) + fixed.size + rest.size),
		.opcode = opcode,
		.unique = FIRST_UNIQUE + 2 * rig.request_count,
		.nodeid = ino,
		.uid = request_uid,
		.gid = request_uid,
		.pid = 4711};
	struct fuse_buf buf = {.size = header.len};
	uint8_t *request;

	if (rig.request_count == rig.request_limit || header.len > REQUEST_MAX)
		return;
	request = buf.mem = calloc(1, header.len + 4096UL);
	if (!request)
		rig_die("out of memory", "");
	rig.requests[rig.request_count++] =
		(struct rig_request){.opcode = opcode, .bytes = request};
	memcpy(request, &header, sizeof(header));
	if (fixed.size)
		memcpy(request + sizeof(header), fixed.bytes, fixed.size);
	if (rest.size)
		memcpy(request + sizeof(header) + fixed.size, rest.bytes, rest.size);
	ops_process(&rig.ops, rig.session, &buf);
}

void rig_kernel_ask_again(void)
{
	struct rig_request *q = &rig.requests[rig.request_count - 1];
	struct fuse_buf buf = {.mem = q->bytes};
	struct fuse_in_header header;
	int before = q->error;

	memcpy(&header, q->bytes, sizeof(header));
	buf.size = header.len;
	bool applied = header.unique == rig.last.unique && rig.last.mount_number >= rig.first_mount;
	/* A freeze would show in the answer, too. */
	if (q->opcode == FUSE_INIT || q->replies != 1 || (before == 0 && !applied) ||
		store_is_frozen(rig.store) || !rig_runtime_may_ask_again())
		return;
	q->replies = 0;
	rig.ops.again = true;
	rig.ops.applied = applied;
	rig.ops.unwanted = q->refused;
	ops_process(&rig.ops, rig.session, &buf);
	rig.ops.again = rig.ops.applied = rig.ops.unwanted = false;
	if (applied && before == 0 && q->replies == 1 && q->error != 0)
		rig_die("what was done is said to have failed", strerror(-q->error));
}

void rig_kernel_connect(void)
{
	static const struct fuse_custom_io io = {.writev = take_reply, .read = no_read};
	struct fuse_init_in init = {
		.major = 7, .minor = 36, .flags = ~(uint32_t)FUSE_INIT_EXT, .flags2 = ~0U};
	char *argv[] = {(char *)"fuzz", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	rig.request_limit = RIG_REQUESTS / 2;
	rig.request_count = 0;
	rig.session = fuse_session_new(&args, &ops_table, sizeof(ops_table), &rig.ops);
	fuse_opt_free_args(&args);
	if (!rig.session ||
		fuse_session_custom_io(rig.session, &io, open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
		rig_die("no session", "");
	request_send(FUSE_INIT, 0, PART(init), NOTHING);
}

void rig_kernel_quieten(void)
{
	unsigned asked = rig.request_count;

	rig.request_limit = RIG_REQUESTS;
	for (unsigned n = 0; n < asked; n++)
		if (rig.requests[n].opcode == FUSE_INTERRUPT)
			request_send(FUSE_STATFS, GM_ROOT_INO, NOTHING, NOTHING);
}

void rig_kernel_disconnect(void)
{
	fuse_session_destroy(rig.session);
	rig.session = NULL;
	for (unsigned n = 0; n < rig.request_count; n++)
		free_pointerp(&rig.requests[n].bytes);
}
