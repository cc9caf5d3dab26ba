// SPDX-License-Identifier: MIT
/* Links, symlinks and nodes, and the reply that all share that make a name. */
#include <errno.h>
#include <string.h>

#include "fuse/ops_internal.h"

struct fuse_entry_param ops_entry_of(const struct stat *st)
{
	return (struct fuse_entry_param){
		.ino = st->st_ino,
		.attr = *st,
		.attr_timeout = CACHE_SECONDS,
		.entry_timeout = CACHE_SECONDS,
	};
}

void ops_reply_entry(fuse_req_t req, int r, const struct stat *st)
{
	struct fuse_entry_param e;

	if (r < 0) {
		reply_error(req, r);
		return;
	}
	e = ops_entry_of(st);
	fuse_reply_entry(req, &e);
}

static struct ns_name name_of(fuse_ino_t parent, const char *name)
{
	return (struct ns_name){.parent = parent, .name = name, .length = strlen(name)};
}

/* What an earlier worker has made, or given another name: nothing has changed since. */
static int find_made(fuse_req_t req, const struct ns_name *where, struct stat *ret)
{
	return ns_lookup(ops_of(req)->ns, where->parent, where->name, where->length, ret);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct ns_request rq = request_of(req);
	struct ns_name where = name_of(parent, name);
	struct stat st;
	int r = ops_of(req)->applied ? find_made(req, &where, &st)
				     : ns_mknod(ops_of(req)->ns, &rq, &where, mode, rdev, &st);

	ops_reply_entry(req, r, &st);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct ns_request rq = request_of(req);
	struct ns_name where = name_of(parent, name);
	struct stat st;
	int r = ops_of(req)->applied ? find_made(req, &where, &st)
				     : ns_symlink(ops_of(req)->ns, &rq, &where, target, &st);

	ops_reply_entry(req, r, &st);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	const char *target;
	int r = ns_readlink(ops_of(req)->ns, ino, &target);

	if (r < 0)
		reply_error(req, r);
	else
		fuse_reply_readlink(req, target);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct ns_request rq = request_of(req);
	struct ns_name where = name_of(parent, name);
	struct stat st;
	int r = ops_of(req)->applied ? find_made(req, &where, &st)
				     : ns_link(ops_of(req)->ns, &rq, ino, &where, &st);

	ops_reply_entry(req, r, &st);
}
