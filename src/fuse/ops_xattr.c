// SPDX-License-Identifier: MIT
/* Extended attributes: those that are stored, and the two that say something about the mount. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/grants.h"
#include "fuse/ops_internal.h"
#include "guestmemfs/protocol.h"
#include "util/cleanup.h"

/*
 * Every file has them and none is listed, so that nobody copies them.
 */
static const char *virtual_value(const struct ops *o, const char *name)
{
	if (strcmp(name, GM_XATTR_SOCKET) == 0)
		return o->grant_socket;
	if (strcmp(name, GM_XATTR_CONTROL) == 0)
		return o->control_socket;
	return NULL;
}

static void reply_value(fuse_req_t req, const void *value, size_t length, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, length);
	else if (size < length)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value, length);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	const struct ops *o = ops_of(req);
	const void *value = virtual_value(o, name);
	size_t length = value ? strlen(value) : 0;
	int r = value ? 0 : ns_getxattr(o->ns, ino, name, &value, &length);

	if (r < 0)
		reply_error(req, r);
	else
		reply_value(req, value, length, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	_cleanup_free_ char *names = NULL;
	size_t length = 0;
	int r = ns_listxattr(ops_of(req)->ns, ino, fuse_req_ctx(req)->uid == 0, &names, &length);

	if (r < 0)
		reply_error(req, r);
	else
		reply_value(req, names, length, size);
}

/* The device node of an exported file has the file's mode. */
static void reply_changed(fuse_req_t req, uint64_t ino, int r)
{
	struct ops *o = ops_of(req);

	if (r == 0)
		grants_node_changed(o->grants, ino);
	reply_error(req, r);
}

void op_setxattr(
	fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct ns_request rq = request_of(req);
	struct ns_xattr x = {.name = name, .value = value, .value_len = size, .flags = flags};
	int r = 0;

	if (virtual_value(ops_of(req), name))
		r = -EPERM;
	else if (!ops_of(req)->applied)
		r = ns_setxattr(ops_of(req)->ns, &rq, ino, &x);
	reply_changed(req, ino, r);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct ns_request rq = request_of(req);
	int r = 0;

	if (virtual_value(ops_of(req), name))
		r = -EPERM;
	else if (!ops_of(req)->applied)
		r = ns_removexattr(ops_of(req)->ns, &rq, ino, name);
	reply_changed(req, ino, r);
}
