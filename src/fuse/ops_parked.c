// SPDX-License-Identifier: MIT
/* Requests that wait for the helper (parked.h): how they begin to, are tried again, and end. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "fuse/grants.h"
#include "fuse/ops_internal.h"
#include "util/cleanup.h"
#include "util/clock.h"

/* The helper answers as soon as it has looked; this is for one that does not. */
#define PARK_MS 5000U

/* What it zeroes are two blocks at the most; the time is for one that is being started anew. */
#define ZERO_MS 30000U

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
	if ((p->error != -ENOSPC && p->error != -EDQUOT) ||
		!(p->is_fallocate || (p->change.set & NS_SET_SIZE)))
		return false;
	return ns_list_held_orphans(o->ns, &p->awaited, &p->awaited_count) == 0 &&
	       p->awaited_count > 0;
}

/* A file that is to shrink is wanted back once; removed ones as soon as it can be. */
static unsigned check_flags_of(const struct parked *p)
{
	return LINK_CHECK_TAKE | (p->error == -EBUSY ? 0 : LINK_CHECK_KEEP);
}

bool ops_park(struct ops *o, struct parked *p)
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

bool ops_park_zeroing(struct ops *o, struct parked *p)
{
	p->deadline = clock_milliseconds() + ZERO_MS;
	p->error = -EIO;
	return parked_add(&o->parked, p) != NULL;
}

static void finish_parked(struct ops *o, struct parked *p, int r, const struct stat *st)
{
	if (p->is_fallocate)
		reply_error(p->req, r);
	else
		reply_attr(p->req, r, st);
	if (p->zeroing)
		grants_cancel_zero(o->grants, p->zeroing);
	parked_remove(&o->parked, p);
}

static void retry_parked(struct ops *o, struct parked *p)
{
	struct stat st;
	int r;

	clock_gettime(CLOCK_REALTIME, &p->rq.now);
	if (p->is_fallocate)
		r = ops_try_fallocate(o, p);
	else
		r = ns_setattr(o->ns, &p->rq, p->ino, &p->change, &st);
	grants_hand_over(o->grants);
	if (r == p->error && p->awaited_count > 0)
		return;          /* another answer may still help */
	if (r == -EINPROGRESS) { /* the next wait */
		p->deadline = clock_milliseconds() + ZERO_MS;
		p->error = -EIO;
		return;
	}
	finish_parked(o, p, r, &st);
}

void ops_take_zeroed(struct ops *o, uint64_t id, int error)
{
	struct parked *p = parked_zeroing(&o->parked, id);

	if (!p)
		return;
	p->zeroing = 0;
	if (error == 0) {
		clock_gettime(CLOCK_REALTIME, &p->rq.now);
		error = ns_change_space(o->ns, &p->rq, p->ino, p->space, &p->range);
	}
	finish_parked(o, p, error, NULL);
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
