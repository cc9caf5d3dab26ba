// SPDX-License-Identifier: MIT
#include "helper/revoke.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "helper/kill.h"
#include "helper/server.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

#define STEP_MS 50U

static void forget(struct revocation *r)
{
	LIST_REMOVE(r, entry);
	free(r);
}

void revocations_free_all(struct server *s)
{
	struct revocation *r;

	while ((r = LIST_FIRST(&s->revocations)))
		forget(r);
}

/* ---- answers ---- */

static void finish(struct server *s, struct revocation *r, enum link_revoked_state state)
{
	const struct link_revoked m = {.header = link_header_make(sizeof(m), LINK_REVOKED, r->id),
		.state = put_le32((uint32_t)state)};

	link_send(s, &m.header);
	forget(r);
}

static void finish_held(struct server *s, struct revocation *r, struct watch *w)
{
	const struct holder *h;

	if (w) {
		takeback_revoked(s, w);
		LIST_FOREACH (h, &w->holders, by_watch)
			if (!h->process->dead)
				holders_send(s, r->id, h, 0);
	}
	finish(s, r, LINK_REVOKED_HELD);
}

void revocations_link_lost(struct server *s)
{
	struct revocation *r;

	while ((r = LIST_FIRST(&s->revocations))) {
		const struct record_inode *inode = record_find(&s->record, r->ino);
		if (inode && inode->watch)
			takeback_revoked(s, inode->watch);
		forget(r);
	}
}

/* ---- killing ---- */

/* Whoever runs the instance may kill whom its helper can. */
static struct killer killer_of(const struct server *s, const struct revocation *r)
{
	return (struct killer){.uid = r->uid,
		.anybody = r->uid == 0 || r->uid == s->trust.own_uid,
		.looks_ended = s->looks.ended};
}

struct victim {
	struct holder *holder;
	struct link_holder told;
	struct audit audit;
};

static bool is_victim(const struct killer *k, const struct holder *h)
{
	return !h->process->dead && !h->killed && kill_is_allowed(k, h);
}

/* What is told of them is read before the first is killed, for a cgroup's processes end together.
 * NULL without memory. */
static struct victim *list_victims(
	const struct revocation *r, const struct killer *k, const struct watch *w, size_t *count)
{
	struct victim *list;
	struct holder *h;
	size_t room = 1, n = 0;

	LIST_FOREACH (h, &w->holders, by_watch)
		room++;
	list = calloc(room, sizeof(*list));
	if (!list)
		return NULL;
	LIST_FOREACH (h, &w->holders, by_watch) {
		if (!is_victim(k, h))
			continue;
		list[n].holder = h;
		list[n].told = holders_describe(r->id, h, LINK_HOLDER_KILLED);
		audits_describe_revocation(&list[n].audit, w->inode, h->process, "killed");
		n++;
	}
	*count = n;
	return list;
}

static void kill_victim(
	struct server *s, const struct revocation *r, const struct killer *k, struct victim *v)
{
	struct holder *h = v->holder;
	int e = kill_process_or_cgroup(k, h);

	/* One that was listed, and is not there any more, went with the cgroup of another. */
	if (e < 0 && e != -ESRCH) {
		log_error("process %d, which holds inode %" PRIu64 ", can't be killed: %s",
			(int)h->process->pid, r->ino, strerror(-e));
		return;
	}
	h->killed = true;
	audit_send(&v->audit);
	link_send(s, &v->told.header);
}

/* Who lives is killed; then everything is looked at anew, for they may have left children. Without
 * memory nobody is, and the next step tries again. */
static void kill_all(struct server *s, struct revocation *r, struct watch *w)
{
	const struct killer killer = killer_of(s, r);
	size_t count = 0;
	_cleanup_free_ struct victim *list = list_victims(r, &killer, w, &count);

	if (!list)
		return;
	for (size_t n = 0; n < count; n++)
		kill_victim(s, r, &killer, &list[n]);
	r->searched = true;
	r->look = s->looks.begun + 1;
	if (!s->soft)
		w->adopting = true;
	watch_look_soon(s, w);
}

/* Of those whom the asker may kill nobody is left, and nobody new has been found. */
static bool is_in_vain(const struct server *s, const struct revocation *r, const struct watch *w)
{
	const struct killer killer = killer_of(s, r);
	const struct holder *h;

	if (!r->searched || (!s->soft && w->adopting))
		return false;
	LIST_FOREACH (h, &w->holders, by_watch)
		if (!h->process->dead && !kill_is_forbidden(&killer, h))
			return false;
	return true;
}

/* ---- steps ---- */

static void step(struct server *s, struct revocation *r, uint64_t now)
{
	struct record_inode *inode = record_find(&s->record, r->ino);
	struct watch *w = inode ? inode->watch : NULL;

	r->due = now + STEP_MS;
	if (!inode)
		finish(s, r, LINK_REVOKED_FREE);
	else if (!w || !r->kill || now >= r->deadline)
		finish_held(s, r, w);
	else if (watch_find_live(w, true) && is_in_vain(s, r, w))
		finish_held(s, r, w);
	else if (watch_find_live(w, true))
		kill_all(s, r, w);
	else if (!s->soft)
		return; /* its holders' end has set the usual going, release.c */
	else if (!takeback_revoke(s, w))
		finish_held(s, r, w);
}

uint64_t revocations_check_time(struct server *s, uint64_t now)
{
	struct revocation *r, *next;
	uint64_t due = SERVER_NEVER;

	for (r = LIST_FIRST(&s->revocations); r; r = next) {
		bool looked = r->look <= s->looks.ended || now >= r->deadline;
		uint64_t at = looked ? r->due : r->deadline;
		next = LIST_NEXT(r, entry);
		if (at <= now) {
			step(s, r, now);
			return now; /* the list may have changed */
		}
		if (at < due)
			due = at;
	}
	return due;
}

int revocations_begin(struct server *s, const struct link_revoke *m, struct problem *why)
{
	uint64_t now = clock_milliseconds();
	uint32_t flags = get_le32(m->flags);
	struct revocation *r;

	if (get_le64(m->ino) == 0 || (flags & ~LINK_REVOKE_KILL) || get_le32(m->uid) == UINT32_MAX)
		return problem(
			why, EPROTO, "a revocation with flags or a field that it can't have");
	r = calloc(1, sizeof(*r));
	if (!r)
		return problem_errno(why, ENOMEM, "beginning a revocation");
	*r = (struct revocation){.id = get_le64(m->header.id),
		.ino = get_le64(m->ino),
		.kill = flags & LINK_REVOKE_KILL,
		.uid = get_le32(m->uid),
		.due = now,
		.deadline = now + REVOKE_MS};
	if (s->soft) {
		r->look = s->looks.begun + 1;
		lookout_want(s);
	}
	if (r->kill)
		deliveries_refuse(s, r->ino);
	LIST_INSERT_HEAD(&s->revocations, r, entry);
	return 0;
}
