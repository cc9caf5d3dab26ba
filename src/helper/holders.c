// SPDX-License-Identifier: MIT
/* Who holds what, and the answers about it. When an idle inode is free is decided in release.c. */
#include "helper/holders.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "helper/server.h"
#include "util/cgroup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/log.h"

void holders_init(struct holders *h)
{
	*h = (struct holders){.scan_running = false};
	TAILQ_INIT(&h->pending);
}

struct holder *holder_new(void)
{
	return calloc(1, sizeof(struct holder));
}

static void holder_lives(struct server *s, struct holder *h)
{
	h->watch->live++;
	user_add_grant(s, h->process->user);
}

static void holder_died(struct server *s, struct holder *h)
{
	h->watch->live--;
	user_remove_grant(s, h->process->user);
}

void holder_remove(struct server *s, struct holder *h)
{
	LIST_REMOVE(h, by_watch);
	LIST_REMOVE(h, by_process);
	if (!h->process->dead)
		holder_died(s, h);
	process_put(s, h->process);
	free(h);
}

static uint64_t boottime_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct watch *holders_watch(struct record_inode *inode)
{
	if (inode->watch)
		return inode->watch;
	struct watch *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->inode = inode;
	w->since = boottime_now();
	LIST_INIT(&w->holders);
	inode->watch = w;
	return w;
}

void watch_stop_looking(struct server *s, struct watch *w)
{
	if (w->pending)
		TAILQ_REMOVE(&s->holders.pending, w, entry);
	w->pending = false;
	w->scanning = false;
}

void watch_look_soon(struct server *s, struct watch *w)
{
	/* What the worker told of it can't be true, so there is no way to see who reaches it. */
	if (w->inode->contradicted)
		return;
	if (s->soft) {
		lookout_want(s);
		if (w->pending)
			takeback_look_soon(w);
		return;
	}
	if (!w->pending)
		TAILQ_INSERT_TAIL(&s->holders.pending, w, entry);
	w->pending = true;
	w->scanning = false; /* a scan that has begun may have passed by already */
	w->clean = 0;
	w->delay = HOLDERS_DELAY_MIN;
	w->due = clock_milliseconds();
}

/* Brings the next look forward, but not more often than that. */
static void watch_hurry(struct server *s, struct watch *w)
{
	uint64_t due = clock_milliseconds();
	unsigned delay = w->pending ? w->delay : HOLDERS_DELAY_MIN;

	if (w->hurried + HOLDERS_HURRY_MS > due)
		due = w->hurried + HOLDERS_HURRY_MS;
	if (w->pending && !w->scanning && w->due <= due)
		return;
	watch_look_soon(s, w);
	w->due = w->hurried = due;
	w->delay = delay; /* what it finds was said already */
}

void watch_free(struct server *s, struct watch *w)
{
	struct holder *h;

	while ((h = LIST_FIRST(&w->holders)))
		holder_remove(s, h);
	watch_stop_looking(s, w);
	w->inode->watch = NULL;
	free(w);
}

void holders_free_all(struct server *s)
{
	struct record_inode *inode;

	LIST_FOREACH (inode, &s->record.inodes, by_record)
		if (inode->watch)
			watch_free(s, inode->watch);
}

const struct holder *watch_find_live(const struct watch *w, bool any)
{
	const struct holder *h;

	LIST_FOREACH (h, &w->holders, by_watch)
		if (!h->process->dead && (any || !h->adopted))
			return h;
	return NULL;
}

/* ---- coming and going ---- */

static void watch_remove_dead(struct server *s, struct watch *w)
{
	struct holder *h, *next;

	for (h = LIST_FIRST(&w->holders); h; h = next) {
		next = LIST_NEXT(h, by_watch);
		if (h->process->dead)
			holder_remove(s, h);
	}
}

static struct holder *watch_find_holder(const struct watch *w, const struct process *p)
{
	struct holder *h;

	LIST_FOREACH (h, &w->holders, by_watch)
		if (h->process == p)
			return h;
	return NULL;
}

void holders_add(struct server *s, struct watch *w, struct holder *holder, struct process *p,
	uint32_t access, bool adopted)
{
	struct holder *known = watch_find_holder(w, p);

	if (known) {
		known->access |= access;
		known->adopted = known->adopted && adopted;
		known->seen = true;
		free(holder);
		if (!adopted) {
			known->since = s->looks.begun;
			holders_reconsider(s, w);
		}
		return;
	}
	if (!p->dead)
		watch_remove_dead(s, w);
	*holder = (struct holder){.watch = w,
		.process = p,
		.access = access,
		.adopted = adopted,
		.seen = true,
		.since = s->looks.begun};
	p->references++;
	if (!p->dead)
		holder_lives(s, holder);
	LIST_INSERT_HEAD(&w->holders, holder, by_watch);
	LIST_INSERT_HEAD(&p->holders, holder, by_process);
	if (!adopted)
		holders_reconsider(s, w);
}

void holders_reconsider(struct server *s, struct watch *w)
{
	const struct holder *h = watch_find_live(w, false);

	if (w->live == 0)
		watch_look_soon(s, w);
	else if (h) {
		watch_answer_busy(s, w, h->process->pid);
		if (s->soft)
			takeback_granted(s, w);
		else if (!w->adopting)
			watch_stop_looking(s, w);
	}
}

void holders_adopt(struct server *s, struct watch *w)
{
	w->adopting = true;
	w->unknown = true;
	w->since = s->regions_born;
	watch_look_soon(s, w);
}

void holders_process_ended(struct server *s, struct process *p)
{
	struct holder *h, *next;

	for (h = LIST_FIRST(&p->holders); h; h = next) {
		struct watch *w = h->watch;
		next = LIST_NEXT(h, by_process);
		holder_died(s, h);
		if (w->live > 0)
			holder_remove(s, h);
		else
			watch_look_soon(s, w);
	}
}

/* ---- answers ---- */

void holders_answer_check(struct server *s, enum link_helper_opcode opcode, uint64_t id,
	uint64_t ino, uint64_t epoch, pid_t pid)
{
	const struct link_check m = {.header = link_header_make(sizeof(m), (uint16_t)opcode, id),
		.ino = put_le64(ino),
		.epoch = put_le64(epoch),
		.pid = put_le32((uint32_t)pid)};

	link_send(s, &m.header);
}

void watch_answer_busy(struct server *s, struct watch *w, pid_t pid)
{
	if (!w->checked)
		return;
	w->checked = false;
	holders_answer_check(s, LINK_BUSY, w->check_id, w->inode->ino, w->inode->epoch, pid);
}

void watch_release(struct server *s, struct watch *w)
{
	struct record_inode *inode = w->inode;

	log_info("free ino=%" PRIu64 " epoch=%" PRIu64, inode->ino, inode->epoch);
	record_release(&s->record, inode);
	holders_answer_check(
		s, LINK_FREE, w->checked ? w->check_id : 0, inode->ino, inode->epoch, 0);
	watch_free(s, w);
	record_drop(&s->record, inode);
}

/*
 * Who asks after a process has ended must not hear that it holds anything, even if its pidfd has
 * not had its turn in the event loop.
 */
static void notice_ended(struct server *s, const struct watch *w)
{
	const struct holder *h;

	for (h = LIST_FIRST(&w->holders); h;) {
		if (h->process->dead || !process_has_ended(h->process)) {
			h = LIST_NEXT(h, by_watch);
			continue;
		}
		process_ended(s, h->process);
		h = LIST_FIRST(&w->holders); /* some are gone */
	}
}

void holders_check(struct server *s, uint64_t id, uint64_t ino, uint64_t epoch, unsigned flags)
{
	struct record_inode *inode = record_find(&s->record, ino);

	if (!inode) {
		/* Shown free before, while the question was under way: said again. With the
		 * worker's own number, since a grant after its question makes this void too. */
		holders_answer_check(s, LINK_FREE, id, ino, epoch, 0);
		return;
	}
	struct watch *w = inode->watch;
	if (w)
		notice_ended(s, w);
	if (s->soft) {
		takeback_check(s, id, inode, flags);
		return;
	}
	const struct holder *h = w ? watch_find_live(w, false) : NULL;
	/* The question before is answered when the scan is done; one answer is enough to act upon.
	 */
	if (!w || inode->contradicted || h || w->checked) {
		holders_answer_check(s, LINK_BUSY, id, ino, inode->epoch, h ? h->process->pid : 0);
		return;
	}
	watch_hurry(s, w);
	w->checked = true;
	w->check_id = id;
}

/* Names are for people to read: whatever does not come is left empty. */
static void describe(struct link_holder *m, const struct process *p)
{
	char path[32], cgroup[CGROUP_PATH_MAX];
	_cleanup_fd_ int fd = -1;

	if (p->dead)
		return;
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)p->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, m->command, sizeof(m->command) - 1) > 0)
		m->command[strcspn(m->command, "\n")] = '\0';
	if (cgroup_of(p->pid, cgroup, sizeof(cgroup)) == 0)
		memcpy(m->cgroup, cgroup, strnlen(cgroup, sizeof(m->cgroup) - 1));
	if (process_has_ended(p)) { /* the number may be another's by now */
		memset(m->command, 0, sizeof(m->command));
		memset(m->cgroup, 0, sizeof(m->cgroup));
	}
}

struct link_holder holders_describe(uint64_t id, const struct holder *h, uint32_t flags)
{
	flags |= (h->process->dead ? LINK_HOLDER_DEAD : 0) | (h->adopted ? LINK_HOLDER_ADOPTED : 0);
	struct link_holder m = {.header = link_header_make(sizeof(m), LINK_HOLDER, id),
		.ino = put_le64(h->watch->inode->ino),
		.pid = put_le32((uint32_t)h->process->pid),
		.uid = put_le32(h->process->uid),
		.access = put_le32(h->access),
		.flags = put_le32(flags)};

	describe(&m, h->process);
	return m;
}

void holders_send(struct server *s, uint64_t id, const struct holder *h, uint32_t flags)
{
	const struct link_holder m = holders_describe(id, h, flags);

	link_send(s, &m.header);
}

void holders_list(struct server *s, uint64_t id)
{
	if (s->soft) {
		lookout_list(s, id);
		return;
	}
	/* The worker asks again only when it has its answer. */
	s->holders.list_waits = true;
	s->holders.list_id = id;
	holders_answer_waiting(s);
}

/* Its holders were granted it by a helper before this one, and no look at /proc is over yet. */
static bool is_unseen(const struct record_inode *inode)
{
	return inode->watch && inode->watch->adopting && !inode->contradicted;
}

void holders_answer_waiting(struct server *s)
{
	const struct record_inode *inode;

	if (!s->holders.list_waits)
		return;
	LIST_FOREACH (inode, &s->record.inodes, by_record)
		if (is_unseen(inode))
			return;
	s->holders.list_waits = false;
	holders_answer_list(s, s->holders.list_id);
}

void holders_answer_list(struct server *s, uint64_t id)
{
	const struct link_holders_end end = {
		.header = link_header_make(sizeof(end), LINK_HOLDERS_END, id),
		.retired = put_le32(atomic_load(&s->takeback.reuse.retired))};
	const struct record_inode *inode;
	const struct holder *h;

	LIST_FOREACH (inode, &s->record.inodes, by_record)
		if (inode->watch)
			LIST_FOREACH (h, &inode->watch->holders, by_watch)
				holders_send(s, id, h, 0);
	link_send(s, &end.header);
}

/* ---- the link ---- */

static void note_untold(struct server *s, const struct record_inode *inode)
{
	log_warning("the worker does not know that inode %" PRIu64
		    " is held; its blocks stay out of use until nobody reaches them",
		inode->ino);
	if (s->soft && inode->watch && inode->told_by == 0) /* noted by a helper before */
		takeback_untold(s, inode->watch);
}

void holders_link_up(struct server *s)
{
	uint64_t now = clock_milliseconds();
	struct record_inode *inode;
	struct watch *w;

	LIST_FOREACH (inode, &s->record.inodes, by_record)
		if (inode->told_by != s->link.serial)
			note_untold(s, inode);
	TAILQ_FOREACH (w, &s->holders.pending, entry)
		w->due = now;
}

void holders_link_lost(struct server *s)
{
	struct watch *w;

	TAILQ_FOREACH (w, &s->holders.pending, entry)
		w->checked = false;
	s->holders.list_waits = false;
	lookout_link_lost(s);
	revocations_link_lost(s);
}
