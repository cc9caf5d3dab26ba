// SPDX-License-Identifier: MIT
/* Setattr: at once where that is possible, later where the helper must look first. */
#include <errno.h>
#include <inttypes.h>
#include <time.h>

#include "fuse/grants.h"
#include "fuse/ops_internal.h"
#include "store/xattrs.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

#define EXPLAIN_MS 10000U

/* What sets nothing at all is a chown(2) to nobody: for the ctime. */
static struct ns_change change_of(const struct stat *attr, int to_set)
{
	static const struct {
		int fuse;
		unsigned set;
	} names[] = {
		{FUSE_SET_ATTR_MODE, NS_SET_MODE},
		{FUSE_SET_ATTR_UID, NS_SET_UID},
		{FUSE_SET_ATTR_GID, NS_SET_GID},
		{FUSE_SET_ATTR_SIZE, NS_SET_SIZE},
		{FUSE_SET_ATTR_ATIME, NS_SET_ATIME},
		{FUSE_SET_ATTR_MTIME, NS_SET_MTIME},
	};
	struct ns_change c = {
		.mode = attr->st_mode,
		.uid = attr->st_uid,
		.gid = attr->st_gid,
		.size = (uint64_t)attr->st_size,
		.atime = attr->st_atim,
		.mtime = attr->st_mtim,
	};

	for (size_t n = 0; n < ARRAY_SIZE(names); n++)
		if (to_set & names[n].fuse)
			c.set |= names[n].set;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		c.atime.tv_nsec = UTIME_NOW;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		c.mtime.tv_nsec = UTIME_NOW;
	if (c.set == 0)
		c.set = NS_SET_CTIME;
	return c;
}

/* The kernel's calls have no room for a sentence. Any user can cause it, so the log gets one now
 * and then. */
void ops_explain_size(struct ops *o, uint64_t ino, uint64_t size)
{
	uint64_t now = clock_milliseconds();

	if (size % GM_GROUP_SIZE == 0 || now < o->explain_after)
		return;
	o->explain_after = now + EXPLAIN_MS;
	log_info("size %" PRIu64 " for inode %" PRIu64
		 " refused: %s pages of 1G, and its size must be a multiple of that",
		size, ino,
		alloc_granule(store_meta(o->ns->store)->alloc) > 1 ? "a file of this pool has"
								   : "by " XATTR_PAGE_SIZE
								     " it has");
}

void op_setattr(
	fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	struct parked p = {
		.req = req,
		.rq = request_of(req),
		.change = change_of(attr, to_set),
		.ino = ino,
	};
	struct stat st;

	(void)fi;
	p.error = o->applied ? ns_getattr(o->ns, ino, &st)
			     : ns_setattr(o->ns, &p.rq, ino, &p.change, &st);
	grants_hand_over(o->grants);
	if (p.error == 0 && (p.change.set & (NS_SET_MODE | NS_SET_UID | NS_SET_GID)))
		grants_node_changed(o->grants, ino);
	if (p.error == -EINVAL && (p.change.set & NS_SET_SIZE))
		ops_explain_size(o, ino, p.change.size);
	ops_settle(o, &p, &st);
}
