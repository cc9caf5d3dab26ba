// SPDX-License-Identifier: MIT
#include "helper/takeback.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "helper/exports.h"
#include "helper/server.h"
#include "util/clock.h"
#include "util/log.h"

/* Of watch.take, besides LINK_CHECK_*: a revocation wants it back. */
#define TAKE_REVOKED 0x100U

void takeback_init(struct takeback *t)
{
	*t = (struct takeback){.counts = SOURCE_INIT(SOURCE_COUNTS), .reuse = REUSE_NULL};
}

void takeback_deinit(struct server *s)
{
	s->takeback.counts.fd = -1; /* it is the connection's */
	s->takeback.reuse.counts = counts_stop(s->takeback.reuse.counts);
}

/* ---- what is possible ---- */

static void say_never(const struct server *s, const char *why)
{
	switch (s->takeback.policy) {
	case REUSE_SAME_OWNER:
		log_warning(
			"what was granted once is only its user's until the next boot: %s", why);
		break;
	case REUSE_TRUSTING:
		log_warning("what was granted once can only be handed over as a whole until the "
			    "next boot: %s",
			why);
		break;
	default:
		log_warning("what was granted once is nobody else's until the next boot: %s", why);
	}
}

void takeback_start(struct server *s, const struct helper_options *o)
{
	struct takeback *t = &s->takeback;
	struct problem why = PROBLEM_INIT;
	struct counts *counts = NULL;

	t->policy = o->reuse;
	if (!s->soft)
		return;
	if (o->reuse == REUSE_NEVER) {
		say_never(s, "--reuse=never");
		return;
	}
	if (counts_start(&counts, o->counts_program, &why) < 0) {
		say_never(s, why.text);
		return;
	}
	reuse_init(&t->reuse, counts, s->regions[0].physical_start);
	t->counts.fd = counts_get_fd(counts);
	t->reader = counts_get_pid(counts);
	t->possible = true;
}

/* ---- answers ---- */

static void answer_busy(struct server *s, uint64_t id, const struct record_inode *inode, pid_t pid)
{
	holders_answer_check(s, LINK_BUSY, id, inode->ino, inode->epoch, pid);
}

bool takeback_is_waited_for(const struct server *s, const struct record_inode *inode)
{
	const struct delivery *d;

	TAILQ_FOREACH (d, &s->deliveries, entry)
		if (d->ino == inode->ino)
			return true;
	return false;
}

static bool is_without_devices(const struct record_inode *inode)
{
	return !inode->devices || (inode->devices->list.count == 0 && !inode->devices->working);
}

static void release(struct server *s, struct watch *w)
{
	struct record_inode *inode = w->inode;

	devices_forget(inode);
	watch_release(s, w);
}

/* ---- who is to be looked at ---- */

static void want(struct server *s, struct watch *w, unsigned flags)
{
	w->take |= flags;
	if (!w->pending)
		TAILQ_INSERT_TAIL(&s->holders.pending, w, entry);
	w->pending = true;
	takeback_look_soon(w);
}

static void want_no_more(struct server *s, struct watch *w)
{
	w->take = 0;
	w->quarantined = false;
	watch_stop_looking(s, w);
}

void takeback_granted(struct server *s, struct watch *w)
{
	if (!(w->take & (LINK_CHECK_KEEP | TAKE_REVOKED)))
		want_no_more(s, w);
}

void takeback_untold(struct server *s, struct watch *w)
{
	if (s->takeback.possible && !w->inode->contradicted && !w->inode->contents)
		want(s, w, LINK_CHECK_TAKE | LINK_CHECK_KEEP);
}

void takeback_look_soon(struct watch *w)
{
	w->delay = HOLDERS_DELAY_MIN;
	w->due = clock_milliseconds();
}

/* Not yet: later again, or, for whoever asked but once, no. */
static void put_off(struct server *s, struct watch *w, pid_t pid)
{
	watch_answer_busy(s, w, pid);
	if (!(w->take & (LINK_CHECK_KEEP | TAKE_REVOKED))) {
		want_no_more(s, w);
		return;
	}
	w->due = clock_milliseconds() + w->delay;
	w->delay = w->delay * 2 < HOLDERS_DELAY_MAX ? w->delay * 2 : HOLDERS_DELAY_MAX;
}

/* Is there any use in looking? What is removed may be handed over where nothing can be shown. */
static bool can_look(const struct server *s, unsigned flags)
{
	return (flags & LINK_CHECK_TAKE) &&
	       (s->takeback.possible || (spare_is_wanted(s) && (flags & LINK_CHECK_KEEP)));
}

void takeback_check(struct server *s, uint64_t id, struct record_inode *inode, unsigned flags)
{
	struct watch *w = inode->watch;
	const struct holder *live = w ? watch_find_live(w, false) : NULL;

	if (flags & LINK_CHECK_KEEP)
		exports_close(s, inode);
	if (!w || inode->contradicted || inode->contents) {
		answer_busy(s, id, inode, 0);
		return;
	}
	if (!live && is_without_devices(inode) && !takeback_is_waited_for(s, inode)) {
		w->checked = true;
		w->check_id = id;
		release(s, w);
		return;
	}
	if (can_look(s, flags) && (!w->never || (spare_is_wanted(s) && !w->pending)))
		want(s, w, flags);
	if (live || !w->pending || w->never || !(flags & LINK_CHECK_TAKE)) {
		live = live ? live : watch_find_live(w, true);
		answer_busy(s, id, inode, live ? live->process->pid : 0);
		if (live)
			takeback_granted(s, w);
		return;
	}
	/* Answered when it has been looked. A question that waits already needs no other answer. */
	w->checked = true;
	w->check_id = id;
}

bool takeback_revoke(struct server *s, struct watch *w)
{
	const struct record_inode *inode = w->inode;

	if (inode->contradicted || inode->contents)
		return false;
	if (is_without_devices(inode) && !takeback_is_waited_for(s, inode)) {
		release(s, w);
		return true;
	}
	if (!s->takeback.possible || w->never)
		return false;
	if (!(w->take & TAKE_REVOKED))
		want(s, w, LINK_CHECK_TAKE | TAKE_REVOKED);
	return true;
}

void takeback_revoked(struct server *s, struct watch *w)
{
	if (!s->soft) /* there a look shows whether it is free, for whatever reason it began */
		return;
	w->take &= ~TAKE_REVOKED;
	watch_answer_busy(s, w, 0);
	if (!(w->take & LINK_CHECK_KEEP))
		want_no_more(s, w);
}

/* ---- looking ---- */

static int start(struct server *s, struct record_inode *inode)
{
	struct work_job *job = work_job_new(WORK_TAKE);

	if (!job || device_list_copy(&job->devices, &inode->devices->list) < 0) {
		work_job_free(job);
		return -ENOMEM;
	}
	job->ino = inode->ino;
	job->epoch = inode->epoch;
	inode->devices->working = inode->devices->leaving = true;
	work_submit(s->zeroing, job);
	return 0;
}

static bool may_be_looked_at(const struct server *s, const struct watch *w)
{
	const struct record_inode *inode = w->inode;

	return !watch_find_live(w, false) && !inode->contradicted && inode->devices &&
	       !inode->devices->working && !takeback_is_waited_for(s, inode);
}

/* Somebody may reach it: it waits, for that to end or for another file that may have it so. Where
 * nothing can be shown there is nothing to look at again. */
static void quarantine(struct server *s, struct watch *w, const char *why)
{
	/* Once: whoever asks for space again and again has it looked at as often. */
	if (w->pending && !w->quarantined)
		audits_quarantine(w->inode, why);
	w->quarantined |= w->pending;
	spare_offer(s, w);
	put_off(s, w, 0);
	if ((!s->takeback.possible || w->never) && w->pending)
		w->due = SERVER_NEVER;
}

/* Its turn has come. True if that takes a job, after whose end the next one has its turn. */
static bool look(struct server *s, struct watch *w)
{
	const struct holder *seen = watch_find_live(w, true);

	/* In turn, however many there are. */
	TAILQ_REMOVE(&s->holders.pending, w, entry);
	TAILQ_INSERT_TAIL(&s->holders.pending, w, entry);
	if (seen) { /* a process that was seen to have it: it may have let go since */
		put_off(s, w, seen->process->pid);
		lookout_want(s);
		return false;
	}
	if (!s->takeback.possible) {
		quarantine(s, w, "the kernel's counts can't be relied on");
		return false;
	}
	if (start(s, w->inode) < 0) {
		put_off(s, w, 0);
		return false;
	}
	s->takeback.looking = w->inode->ino;
	return true;
}

bool takeback_try(struct server *s, struct record_inode *inode)
{
	const struct watch *w = inode->watch;

	return s->takeback.possible && w && !w->never && !watch_find_live(w, true) &&
	       !inode->contradicted && start(s, inode) == 0;
}

/* It is removed, and somebody who was granted it lives: that he has let it go nobody tells. */
static void watch_out(struct server *s, struct watch *w, uint64_t now)
{
	if (w->due > now)
		return;
	lookout_want(s);
	w->due = now + HOLDERS_DELAY_MAX;
}

uint64_t takeback_check_time(struct server *s, uint64_t now)
{
	uint64_t next = SERVER_NEVER;
	struct watch *w, *following;

	if (s->takeback.looking || !link_is_up(&s->link))
		return SERVER_NEVER;
	for (w = TAILQ_FIRST(&s->holders.pending); w; w = following) {
		following = TAILQ_NEXT(w, entry);
		if (watch_find_live(w, false))
			watch_out(s, w, now);
		/* The end of what is in the way brings us back here. */
		if (!may_be_looked_at(s, w)) {
			if (watch_find_live(w, false) && w->due < next)
				next = w->due;
			continue;
		}
		if (w->due <= now && look(s, w))
			return SERVER_NEVER;
		if (w->pending && w->due > now && w->due < next)
			next = w->due;
	}
	return next;
}

static void tell_revoked(const struct record_inode *inode)
{
	struct audit a;

	audits_describe_revocation(&a, inode, NULL, "its memory was taken back");
	audit_send(&a);
}

/* ---- what came of it ---- */

static void judge(struct server *s, struct watch *w, const struct work_job *job)
{
	const struct record_inode *inode = w->inode;

	switch (-job->error) {
	case 0:
		/* A grant of meanwhile gets new devices; a link that is to come asks again. */
		if (job->epoch != inode->epoch || inode->contradicted ||
			takeback_is_waited_for(s, inode) || !link_is_up(&s->link))
			break;
		if (w->take & TAKE_REVOKED)
			tell_revoked(inode);
		exports_take_back(s, inode, &job->devices);
		release(s, w);
		return;
	case EBUSY:
		quarantine(s, w, job->why.text);
		return;
	case EPERM:
		w->never = true;
		quarantine(s, w, job->why.text);
		return;
	case EOPNOTSUPP:
		if (s->takeback.possible)
			say_never(s, job->why.text);
		s->takeback.possible = false;
		if (can_look(s, w->take)) {
			quarantine(s, w, job->why.text);
			return;
		}
		w->take = 0;
		break;
	default:
		if (w->delay != HOLDERS_DELAY_MAX)
			log_error("the memory of inode %" PRIu64 " does not come back: %s",
				inode->ino, job->why.text);
		w->delay = HOLDERS_DELAY_MAX;
	}
	put_off(s, w, 0);
}

/* Whose devices the job is about. Under way they may have been handed over, and a worker that lies
 * may have said something of the old number since: that is another inode, which has none of them.
 */
static struct record_inode *find_leaving(const struct server *s, uint64_t ino)
{
	struct record_inode *inode = record_find(&s->record, ino);

	if (inode && inode->devices && inode->devices->leaving)
		return inode;
	LIST_FOREACH (inode, &s->record.inodes, by_record)
		if (inode->was == ino && inode->devices && inode->devices->leaving)
			break;
	assert(inode); /* nothing that has devices is forgotten */
	return inode;
}

int takeback_take_result(struct server *s, struct work_job *job, struct problem *why)
{
	struct record_inode *inode = find_leaving(s, job->ino);
	struct device_list before = inode->devices->list;

	if (job->error == -EPIPE || job->error == -ETIMEDOUT)
		return problem(why, -job->error, "%s", job->why.text);
	inode->devices->list = job->devices;
	job->devices = before;
	inode->devices->working = inode->devices->leaving = false;
	if (s->takeback.looking == job->ino)
		s->takeback.looking = 0;
	const uint64_t ino = inode->ino; /* it may be let go now */
	judge(s, inode->watch, job);
	deliver_resume(s, ino);
	return 0;
}
