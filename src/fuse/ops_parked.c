// SPDX-License-Identifier: MIT
/* Requests that wait for the helper (parked.h): how they begin to, are tried again, and end. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "fuse/grants.h"
#include "fuse/ops_internal.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

/* The helper answers as soon as it has looked; this is for one that does not. */
#define PARK_MS 5000U

/* What it zeroes are two blocks at the most, or one order of the content store: after each of these
 * what waits is tried again, and if it must wait on, it has this time anew. The time is for a
 * helper that is being started anew. */
#define ZERO_MS 30000U

/* The file itself. An export is an open door: it must be ended first. */
static bool await_file(struct ops *o, struct parked *p)
{
	const struct inode *inode = meta_inode(store_meta(o->ns->store), p->ino);

	assert(inode); /* it is held */
	if (inode->attr.flags & GM_INODE_EXPORTED)
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
		(p->what == PARKED_SETATTR && !(p->change.set & NS_SET_SIZE)))
		return false;
	/* Under a quota it helps only if something goes that counts on it. */
	uint64_t beside = p->error == -EDQUOT ? p->ino : 0;
	return ns_list_held_orphans(o->ns, beside, &p->awaited, &p->awaited_count) == 0 &&
	       p->awaited_count > 0;
}

/* A file that is to shrink is wanted back once; removed ones as soon as it can be. */
static unsigned check_flags_of(const struct parked *p)
{
	return LINK_CHECK_TAKE | (p->error == -EBUSY ? 0 : LINK_CHECK_KEEP);
}

/* The answers come from the event loop, never from inside grants_check(): p stays. */
static void ask_awaited(struct ops *o, const struct parked *p)
{
	for (size_t n = 0; n < p->awaited_count; n++)
		grants_check(o->grants, p->awaited[n], check_flags_of(p));
}

static struct parked *put_aside(struct ops *o, struct parked *p)
{
	p->has_place = o->again;
	return parked_add(&o->parked, p);
}

bool ops_park(struct ops *o, struct parked *p)
{
	struct parked *entry = find_awaited(o, p) ? put_aside(o, p) : NULL;

	if (!entry) {
		free_pointerp(&p->awaited);
		return false;
	}
	ask_awaited(o, entry);
	return true;
}

/* From now on, also if it waits for memory already: a part of that has come, maybe another's. */
static void await_pending(struct parked *p)
{
	p->deadline = p->goes_on ? UINT64_MAX : clock_milliseconds() + ZERO_MS;
	p->waits_for_memory = p->zeroing == 0 && !p->goes_on;
	p->error = -EIO;
}

bool ops_park_pending(struct ops *o, struct parked *p)
{
	await_pending(p);
	return put_aside(o, p) != NULL;
}

/* A read or write that is done has its answer. */
static void reply_to(struct parked *p, int r, const struct stat *st)
{
	if (p->what == PARKED_SETATTR)
		reply_attr(p->req, r, st);
	else if (p->what == PARKED_FALLOCATE || r < 0)
		reply_error(p->req, r);
}

void ops_settle(struct ops *o, struct parked *p, const struct stat *st)
{
	if (p->error == -EINPROGRESS) {
		if (ops_park_pending(o, p))
			return;
		if (p->zeroing)
			grants_cancel_zero(o->grants, p->zeroing);
		p->error = -ENOMEM;
	}
	if (p->error == 0 || !ops_park(o, p))
		reply_to(p, p->error, st);
}

void ops_take_helper(struct ops *o)
{
	const struct parked *p;

	TAILQ_FOREACH (p, &o->parked.entries, link)
		ask_awaited(o, p);
	ops_ask_revokes(o);
}

static void finish_parked(struct ops *o, struct parked *p, int r, const struct stat *st)
{
	/* The kernel takes an error to mean that the file has what it had. */
	if (r < 0 && p->done > 0)
		(void)fuse_lowlevel_notify_inval_inode(o->session, p->ino, -1, 0);
	reply_to(p, r, st);
	if (p->zeroing)
		grants_cancel_zero(o->grants, p->zeroing);
	parked_remove(&o->parked, p);
}

static int try_again(struct ops *o, struct parked *p, struct stat *st)
{
	clock_gettime(CLOCK_REALTIME, &p->rq.now);
	switch (p->what) {
	case PARKED_SETATTR:
		return ns_setattr(o->ns, &p->rq, p->ino, &p->change, st);
	case PARKED_FALLOCATE:
		return ops_try_fallocate(o, p);
	default:
		return ops_try_content(o, p);
	}
}

/* An allocation has found no more space part of the way; it may wait for that as at its start, once
 * each time that it got on. */
static bool park_anew(struct ops *o, struct parked *p, int r)
{
	if ((r != -ENOSPC && r != -EDQUOT) || p->done == p->asked_at)
		return false;
	free_pointerp(&p->awaited);
	p->awaited_count = 0;
	p->error = r;
	p->asked_at = p->done;
	p->waits_for_memory = false;
	if (!find_awaited(o, p))
		return false;
	ask_awaited(o, p);
	return true;
}

static void retry_parked(struct ops *o, struct parked *p)
{
	struct stat st;
	int r;

	ops_note_serving(o, p->rq.unique, p->done / NS_STEP);
	r = try_again(o, p, &st);
	ops_note_serving(o, 0, 0);
	grants_hand_over(o->grants);
	if (r == p->error && p->awaited_count > 0)
		return;          /* another answer may still help */
	if (r == -EINPROGRESS) { /* the next wait */
		await_pending(p);
		return;
	}
	if (park_anew(o, p, r))
		return;
	finish_parked(o, p, r, &st);
}

void ops_go_on(struct ops *o)
{
	struct parked *p = parked_going_on(&o->parked);

	if (!p)
		return;
	parked_put_last(&o->parked, p);
	if (fuse_req_interrupted(p->req))
		finish_parked(o, p, -EINTR, NULL);
	else
		retry_parked(o, p);
}

bool ops_goes_on(const struct ops *o)
{
	return parked_going_on(&o->parked) != NULL;
}

void ops_take_memory(struct ops *o)
{
	struct parked *next = parked_next_for_memory(&o->parked, NULL);

	for (struct parked *p; (p = next);) {
		next = parked_next_for_memory(&o->parked, p);
		retry_parked(o, p);
	}
}

void ops_take_zeroed(struct ops *o, uint64_t id, int error)
{
	struct parked *p = parked_zeroing(&o->parked, id);

	if (!p)
		return;
	p->zeroing = 0;
	if (error == 0) {
		ops_note_serving(o, p->rq.unique, 0);
		clock_gettime(CLOCK_REALTIME, &p->rq.now);
		error = ns_change_space(o->ns, &p->rq, p->ino, p->space, &p->range);
		ops_note_serving(o, 0, 0);
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
	for (struct parked *p; (p = parked_due(&o->parked, now));) {
		if (p->waits_for_memory && now != UINT64_MAX)
			log_error("inode %llu: the memory of its content did not come within %u s "
				  "(blocks to be zeroed, or a device to be made, by the helper)",
				(unsigned long long)p->ino, ZERO_MS / 1000);
		finish_parked(o, p, p->error, NULL);
	}
	if (o->revokes.wait_until && o->revokes.wait_until <= now)
		ops_ask_revokes(o);
	refusals_expire(&o->refusals, now);
}

bool ops_next_deadline(const struct ops *o, uint64_t *ret)
{
	uint64_t parked = UINT64_MAX, refusals = UINT64_MAX;
	bool found = parked_next_deadline(&o->parked, &parked);

	found = refusals_next_deadline(&o->refusals, &refusals) || found;
	*ret = parked < refusals ? parked : refusals;
	if (o->revokes.wait_until && o->revokes.wait_until < *ret)
		*ret = o->revokes.wait_until;
	return found || o->revokes.wait_until;
}
