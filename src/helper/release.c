// SPDX-License-Identifier: MIT
/*
 * When the memory of an idle inode is free. /proc is read one process after the other, so what
 * moves (a fork, a descriptor passed on) from one that has not been read yet to one that has been
 * is missed; a second scan right after the first would have to miss it again. Only then is it free.
 * While somebody is found it is looked at again, ever less often.
 */
#include <inttypes.h>
#include <string.h>

#include "helper/server.h"
#include "util/clock.h"
#include "util/log.h"

#define SHUT_MARGIN_MS 50U /* the kernel tells when a process began in hundredths of a second */

/* What a scan found, beside the users that it noted in the watches. */
struct findings {
	pid_t blind;
	pid_t shut;
	uint64_t shut_began;
	pid_t openers[GM_REGIONS_MAX];   /* who has the region open */
	pid_t strangers[GM_REGIONS_MAX]; /* who has it open and holds nothing */
};

void watch_adopt(struct server *s, struct watch *w, const struct scan_use *use)
{
	uint32_t access = GM_ACCESS_READ | (use->writable ? GM_ACCESS_WRITE : 0);
	struct process *p = NULL;
	struct holder *h = holder_new();

	if (!h || process_get(s, use->pid, use->uid, -1, &p) < 0) {
		free(h);
		return;
	}
	holders_add(s, w, h, p, access, true);
	process_put(s, p);
}

bool watch_see(struct watch *w, const struct scan_use *use)
{
	bool seen = false;
	struct holder *h;

	LIST_FOREACH (h, &w->holders, by_watch)
		if (h->process->pid == use->pid && !h->process->dead)
			h->seen = seen = true;
	return seen;
}

static void note_user(struct server *s, struct watch *w, const struct scan_use *use)
{
	w->user = use->pid;
	(void)watch_see(w, use);
	if (w->adopting)
		watch_adopt(s, w, use);
}

/* The targets are the regions, by the same numbers. */
static void note_mapping(struct server *s, const struct scan_use *use)
{
	uint64_t block = use->offset >> GM_BLOCK_SHIFT;
	uint64_t end = ((use->offset + use->length - 1) >> GM_BLOCK_SHIFT) + 1;
	const struct record_inode *inode;

	while ((inode = record_next_owner(&s->record, use->target, &block, end)))
		if (inode->watch && inode->watch->scanning)
			note_user(s, inode->watch, use);
}

void watch_drop_unseen(struct server *s, struct watch *w)
{
	struct holder *h, *next;

	for (h = LIST_FIRST(&w->holders); h; h = next) {
		next = LIST_NEXT(h, by_watch);
		if (h->adopted && !h->seen)
			holder_remove(s, h);
	}
}

static void note_strangers(
	const struct server *s, const struct scan_result *scan, struct findings *found)
{
	const struct process *p = NULL;

	for (size_t i = 0; i < scan->use_count; i++) {
		const struct scan_use *use = &scan->uses[i];
		if (use->mapped)
			continue;
		found->openers[use->target] = use->pid;
		if (!p || p->pid != use->pid)
			p = process_find(s, use->pid);
		if (!p || LIST_EMPTY(&p->holders))
			found->strangers[use->target] = use->pid;
	}
}

static pid_t find_stranger(const struct watch *w, const struct findings *found)
{
	const pid_t *who = w->unknown ? found->openers : found->strangers;

	for (unsigned i = 0; i < GM_REGIONS_MAX; i++)
		if ((w->inode->regions & (1U << i)) && who[i])
			return who[i];
	return 0;
}

static void keep_waiting(struct server *s, struct watch *w, pid_t pid, const char *why)
{
	if (w->delay == HOLDERS_DELAY_MIN || why != w->told)
		log_info("inode %" PRIu64 " stays held: process %d %s", w->inode->ino, (int)pid,
			why);
	w->told = why;
	watch_answer_busy(s, w, pid);
	w->clean = 0;
	w->due = clock_milliseconds() + w->delay;
	w->delay = w->delay * 2 < HOLDERS_DELAY_MAX ? w->delay * 2 : HOLDERS_DELAY_MAX;
}

static void judge(struct server *s, struct watch *w, const struct findings *found)
{
	const struct holder *h = watch_find_live(w, true);

	w->scanning = false;
	w->adopting = false;
	if (h) {
		watch_answer_busy(s, w, h->process->pid);
		watch_stop_looking(s, w);
		return;
	}
	pid_t stranger = find_stranger(w, found), heir = clients_find_outlived(s);
	if (w->user)
		keep_waiting(s, w, w->user, "maps it");
	else if (stranger)
		keep_waiting(s, w, stranger, "has its region open");
	else if (heir)
		keep_waiting(s, w, heir, "has ended, but somebody has its connection");
	else if (found->blind)
		keep_waiting(s, w, found->blind, "could not be looked into");
	else if (found->shut && found->shut_began + SHUT_MARGIN_MS >= w->since)
		keep_waiting(
			s, w, found->shut, "is not dumpable, so that nobody can see what it maps");
	else if (++w->clean < 2)
		w->due = clock_milliseconds();
	else
		watch_release(s, w);
}

static void begin_findings(struct server *s, struct findings *found, pid_t blind)
{
	struct watch *w;
	struct holder *h;

	*found = (struct findings){.blind = blind};
	if (blind && blind != s->holders.blind)
		log_warning("nothing can be shown free while process %d can't be looked into: the "
			    "helper needs CAP_SYS_PTRACE",
			(int)blind);
	s->holders.blind = blind;
	TAILQ_FOREACH (w, &s->holders.pending, entry) {
		w->user = 0;
		LIST_FOREACH (h, &w->holders, by_watch)
			h->seen = false;
	}
}

static void go_through(struct server *s, const struct scan_result *scan)
{
	struct findings found;
	struct watch *w, *next;

	begin_findings(s, &found, scan->blind);
	found.shut = scan->shut;
	found.shut_began = scan->shut_began;
	for (size_t i = 0; i < scan->use_count; i++)
		if (scan->uses[i].mapped)
			note_mapping(s, &scan->uses[i]);
	TAILQ_FOREACH (w, &s->holders.pending, entry)
		if (w->scanning)
			watch_drop_unseen(s, w);
	note_strangers(s, scan, &found);
	for (w = TAILQ_FIRST(&s->holders.pending); w; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->scanning)
			judge(s, w, &found);
	}
}

void holders_take_scan(struct server *s, const struct work_job *job)
{
	struct watch *w;

	if (s->soft) {
		lookout_take_scan(s, job);
		return;
	}
	s->holders.scan_running = false;
	if (job->error == 0 && link_is_up(&s->link) && job->link_serial == s->link.serial) {
		s->looks.ended = s->looks.begun;
		go_through(s, &job->scan);
		holders_answer_waiting(s);
		return;
	}
	if (job->error < 0)
		log_error("looking for holders in /proc fails: %s", strerror(-job->error));
	TAILQ_FOREACH (w, &s->holders.pending, entry)
		if (w->scanning) {
			w->scanning = false;
			w->due = clock_milliseconds() + HOLDERS_DELAY_MAX;
		}
}

static void start_scan(struct server *s, uint64_t now)
{
	struct work_job *job = work_job_new(WORK_SCAN);
	struct watch *w;

	TAILQ_FOREACH (w, &s->holders.pending, entry) {
		w->scanning = job != NULL;
		w->due = now + HOLDERS_DELAY_MAX; /* counts only if there is no memory for a job */
	}
	if (!job)
		return;
	job->link_serial = s->link.serial;
	s->holders.scan_running = true;
	s->looks.begun++;
	work_submit(s->scanning, job);
}

static uint64_t check_time_soft(struct server *s, uint64_t now)
{
	/* In this order: what is taken back may want to be looked for. */
	uint64_t take = takeback_check_time(s, now), scan = lookout_check_time(s, now);

	return take < scan ? take : scan;
}

uint64_t holders_check_time(struct server *s, uint64_t now)
{
	uint64_t next = SERVER_NEVER;
	const struct watch *w;

	if (s->soft)
		return check_time_soft(s, now);
	if (s->holders.scan_running || !link_is_up(&s->link))
		return SERVER_NEVER;
	TAILQ_FOREACH (w, &s->holders.pending, entry)
		if (w->due < next)
			next = w->due;
	if (next > now)
		return next;
	start_scan(s, now);
	return s->holders.scan_running ? SERVER_NEVER : now + HOLDERS_DELAY_MAX;
}
