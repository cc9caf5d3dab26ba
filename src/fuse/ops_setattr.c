// SPDX-License-Identifier: MIT
/* Setattr: at once where that is possible, later where the helper must look first (parked.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "fuse/grants.h"
#include "fuse/ops_internal.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

/* The helper answers as soon as it has looked; this is for one that does not. */
#define PARK_MS    5000U
#define EXPLAIN_MS 10000U

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
	return c;
}

/* truncate(2) has no room for a sentence. Any user can cause it, so the log gets one now and then.
 */
static void explain(struct ops *o, const struct parked *p)
{
	uint64_t now = clock_milliseconds();

	if (p->error != -EINVAL || !(p->change.set & NS_SET_SIZE) ||
		p->change.size % GM_GROUP_SIZE == 0 || now < o->explain_after)
		return;
	o->explain_after = now + EXPLAIN_MS;
	log_info("setattr ino=%" PRIu64 " size=%" PRIu64
		 " refused: this pool has pages of 1G, and the size of a file must be a multiple "
		 "of that",
		p->ino, p->change.size);
}

/* The file itself. An export is an open door: it must be ended first. */
static bool await_file(struct ops *o, struct parked *p)
{
	const struct inode *inode = meta_inode(store_meta(o->ns->store), p->ino);

	if (!inode || (inode->attr.flags & GM_INODE_EXPORTED))
		return false;
	p->awaited = malloc(sizeof(*p->awaited));
	if (!p->awaited)
		return false;
	p->awaited[0] = p->ino;
	p->awaited_count = 1;
	return true;
}

/* Fills in for whom p must wait; false if waiting can't help. */
static bool find_awaited(struct ops *o, struct parked *p)
{
	if (store_is_frozen(o->ns->store))
		return false;
	p->deadline = clock_milliseconds() + PARK_MS;
	if (p->error == -EBUSY)
		return await_file(o, p);
	if (p->error != -ENOSPC || !(p->change.set & NS_SET_SIZE))
		return false;
	return ns_list_held_orphans(o->ns, &p->awaited, &p->awaited_count) == 0 &&
	       p->awaited_count > 0;
}

/* A file that is to shrink is wanted back once; removed ones as soon as it can be. */
static unsigned check_flags_of(const struct parked *p)
{
	return LINK_CHECK_TAKE | (p->error == -ENOSPC ? LINK_CHECK_KEEP : 0);
}

/* Puts a setattr that failed aside until the helper has looked. False if there is no point in it.
 */
static bool park(struct ops *o, struct parked *p)
{
	struct parked *entry = find_awaited(o, p) ? parked_add(&o->parked, p) : NULL;

	if (!entry) {
		free_pointerp(&p->awaited);
		return false;
	}
	/* The answers come from the event loop, never from inside grants_check(): entry stays. */
	for (size_t n = 0; n < entry->awaited_count; n++)
		grants_check(o->grants, entry->awaited[n], check_flags_of(entry));
	return true;
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
	p.error = ns_setattr(o->ns, &p.rq, ino, &p.change, &st);
	if (p.error == 0 && (p.change.set & (NS_SET_MODE | NS_SET_UID | NS_SET_GID)))
		grants_node_changed(o->grants, ino);
	explain(o, &p);
	if (p.error == 0 || !park(o, &p))
		reply_attr(req, p.error, &st);
}

static void finish_parked(struct ops *o, struct parked *p, int r, const struct stat *st)
{
	reply_attr(p->req, r, st);
	parked_remove(&o->parked, p);
}

static void retry_parked(struct ops *o, struct parked *p)
{
	struct stat st;
	int r;

	clock_gettime(CLOCK_REALTIME, &p->rq.now);
	r = ns_setattr(o->ns, &p->rq, p->ino, &p->change, &st);
	if (r == p->error && p->awaited_count > 0)
		return; /* another answer may still help */
	finish_parked(o, p, r, &st);
}

void ops_recheck(struct ops *o, uint64_t ino, bool busy)
{
	struct parked *p, *next;

	for (p = TAILQ_FIRST(&o->parked.entries); p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (!parked_answer(p, ino))
			continue;
		if (busy && p->awaited_count > 0)
			continue; /* nothing has changed by this answer */
		retry_parked(o, p);
	}
}

void ops_expire(struct ops *o, uint64_t now)
{
	for (struct parked *p; (p = parked_due(&o->parked, now));)
		finish_parked(o, p, p->error, NULL);
	refusals_expire(&o->refusals, now);
}

bool ops_next_deadline(const struct ops *o, uint64_t *ret)
{
	uint64_t parked = UINT64_MAX, refusals = UINT64_MAX;
	bool found = parked_next_deadline(&o->parked, &parked);

	found = refusals_next_deadline(&o->refusals, &refusals) || found;
	*ret = parked < refusals ? parked : refusals;
	return found;
}
