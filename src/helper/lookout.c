// SPDX-License-Identifier: MIT
#include "helper/lookout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "helper/server.h"
#include "util/clock.h"
#include "util/log.h"

void lookout_want(struct server *s)
{
	s->lookout.wanted = true;
}

void lookout_list(struct server *s, uint64_t id)
{
	struct lookout *l = &s->lookout;

	if (l->next_count == LOOKOUT_LISTS_MAX) {
		holders_answer_list(s, id);
		return;
	}
	l->next_lists[l->next_count++] = id;
	l->due = 0;
	lookout_want(s);
}

void lookout_link_lost(struct server *s)
{
	s->lookout.next_count = 0;
	s->lookout.count = 0;
}

/* ---- what to look for ---- */

/*
 * False if there is one that somebody has removed, or that we are about to: a look does not tell
 * who had that. What one is that is being unbound the kernel does not say before that is over.
 */
static bool add_targets(struct work_targets *t, const struct record_inode *inode)
{
	const bool leaving = inode->devices->leaving;
	bool all = !leaving;

	for (size_t i = 0; i < inode->devices->list.count; i++) {
		const struct soft_device *d = &inode->devices->list.at[i].soft;
		char node[SOFT_DEVICE_NODE];
		/* Who has another device that has its name or number now is nobody's holder. */
		if (!leaving && soft_device_check(d, NULL) == -ESTALE) {
			all = false;
			continue;
		}
		procscan_identify_device(&t->at[t->count], d->rdev, soft_device_node(node, d));
		t->ino[t->count++] = inode->ino;
	}
	return all;
}

static int find_targets(const struct server *s, struct work_targets *t)
{
	const struct record_inode *inode;
	size_t count = 0;

	LIST_FOREACH (inode, &s->record.inodes, by_record)
		count += inode->devices ? inode->devices->list.count : 0;
	t->at = calloc(count + 1, sizeof(*t->at));
	t->ino = calloc(count + 1, sizeof(*t->ino));
	if (!t->at || !t->ino)
		return -ENOMEM;
	/* Who has the worker's own is the worker, and no VM. */
	LIST_FOREACH (inode, &s->record.inodes, by_record) {
		bool all = !inode->devices || inode->contents || add_targets(t, inode);
		if (inode->watch)
			inode->watch->hidden = !all;
	}
	return 0;
}

/* Who gets his descriptors while the look is under way may have been passed by before. */
static void note_unread(struct server *s)
{
	const struct client *c;
	struct holder *h;

	TAILQ_FOREACH (c, &s->clients.all, by_server)
		if (client_has_unread_grant(c))
			LIST_FOREACH (h, &c->process->holders, by_process)
				h->since = s->looks.begun;
}

static void begin(struct server *s, uint64_t now)
{
	struct lookout *l = &s->lookout;
	struct work_job *job = work_job_new(WORK_SCAN);

	if (!job || find_targets(s, &job->targets) < 0) {
		work_job_free(job);
		l->due = now + HOLDERS_DELAY_MAX;
		return;
	}
	memcpy(l->lists, l->next_lists, sizeof(l->lists));
	l->count = l->next_count;
	l->next_count = 0;
	l->wanted = false;
	l->running = true;
	s->looks.begun++;
	note_unread(s);
	work_submit(s->scanning, job);
}

uint64_t lookout_check_time(struct server *s, uint64_t now)
{
	struct lookout *l = &s->lookout;

	/* Until the worker has told who is held there is nobody to look for. */
	if (!l->wanted || l->running || !link_is_up(&s->link))
		return SERVER_NEVER;
	if (l->due <= now)
		begin(s, now);
	return l->running ? SERVER_NEVER : l->due;
}

/* ---- what was found ---- */

static void forget_seen(struct server *s)
{
	const struct record_inode *inode;
	struct holder *h;

	LIST_FOREACH (inode, &s->record.inodes, by_record)
		if (inode->watch)
			LIST_FOREACH (h, &inode->watch->holders, by_watch)
				h->seen = false;
}

/* Who was seen to have it may have been the last one in the way. */
static void drop_unseen(struct server *s, struct watch *w)
{
	bool was_live = w->live > 0;

	watch_drop_unseen(s, w);
	if (was_live && w->live == 0 && w->pending)
		takeback_look_soon(w);
}

/*
 * Who was granted it, and had it in no way when a look that began after that was over, has let it
 * go: he is no more to it than anybody whom it could have been passed to. What looks don't see the
 * counts do.
 */
static void note_let_go(const struct server *s, struct watch *w)
{
	struct holder *h;

	LIST_FOREACH (h, &w->holders, by_watch)
		if (!h->seen && !h->process->dead && h->since < s->looks.ended)
			h->adopted =
				true; /* so that it goes like who was found and is not any more */
}

static void note(struct server *s, uint64_t ino, const struct scan_use *use)
{
	const struct record_inode *inode = record_find(&s->record, ino);

	if (inode && inode->watch && !watch_see(inode->watch, use))
		watch_adopt(s, inode->watch, use);
}

static void go_through(struct server *s, const struct work_job *job)
{
	const struct record_inode *inode;

	forget_seen(s);
	for (size_t i = 0; i < job->scan.use_count; i++)
		note(s, job->targets.ino[job->scan.uses[i].target], &job->scan.uses[i]);
	LIST_FOREACH (inode, &s->record.inodes, by_record) {
		struct watch *w = inode->watch;
		if (!w || w->hidden)
			continue;
		if (!job->scan.blind)
			note_let_go(s, w);
		drop_unseen(s, w);
	}
	if (job->scan.blind && job->scan.blind != s->holders.blind)
		log_warning("process %d can't be looked into, and may hold memory that is not "
			    "listed: the helper needs CAP_SYS_PTRACE",
			(int)job->scan.blind);
	s->holders.blind = job->scan.blind;
}

/* Who asked waits for a look that has seen everything. */
static void look_again(struct lookout *l)
{
	for (unsigned i = 0; i < l->count && l->next_count < LOOKOUT_LISTS_MAX; i++)
		l->next_lists[l->next_count++] = l->lists[i];
	l->count = 0;
	l->wanted = true;
	l->due = clock_milliseconds() + HOLDERS_DELAY_MAX;
}

void lookout_take_scan(struct server *s, const struct work_job *job)
{
	struct lookout *l = &s->lookout;

	l->running = false;
	if (job->error < 0) {
		log_error("looking for holders in /proc fails: %s", strerror(-job->error));
		look_again(l);
		return;
	}
	s->looks.ended = s->looks.begun;
	go_through(s, job);
	for (unsigned i = 0; i < l->count; i++)
		holders_answer_list(s, l->lists[i]);
	l->count = 0;
}
