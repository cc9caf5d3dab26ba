// SPDX-License-Identifier: MIT
/* Steps that bring the media into a special state, and those that do wrong on purpose. */
#include "world_steps.h"

#include <errno.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/le.h"

/* ---- special states of the media ---- */

/* Records until the next one makes the journal half full. */
int world_step_brink(struct world *w, char *const args[])
{
	struct store_stats stats;
	int r = 0;

	do {
		w->rq.unique++;
		r = world_step_chmod(w, args);
		store_get_stats(w->store, &stats);
	} while (r == 0 && stats.journal_used + 320 <= stats.journal_size / 2);
	return r;
}

/* A change whose record does not fit the journal. */
int world_step_huge(struct world *w, char *const args[])
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, w->rq.unique);
	const struct inode *i = world_find_file(w, args[1]);

	for (unsigned n = 0; i && n < 5500; n++) {
		struct inode_attr a = i->attr;

		a.uid = n + 1;
		txn_put_inode(&t, &a);
	}
	return i ? world_asked(w, store_commit(w->store, &t)) : -ENOENT;
}

/* Damage that the next mount heals. */
int world_step_rot(struct world *w, char *const args[])
{
	static const struct {
		const char *name;
		uint64_t offset;
	} places[] = {{"super-a", GM_SUPER_A_OFFSET + 64}, {"super-b", GM_SUPER_B_OFFSET + 4088},
		{"word-a", GM_SLOT_WORD_A_OFFSET}, {"word-b", GM_SLOT_WORD_B_OFFSET}};

	for (size_t n = 0; n < ARRAY_SIZE(places); n++)
		if (strcmp(args[1], places[n].name) == 0) {
			recorder_store(&w->recorder, places[n].offset, 0xbadbadbadbadbadbULL);
			recorder_fence(&w->recorder);
			return 0;
		}
	return -ENOSYS;
}

/* ---- broken on purpose: see faults.c ---- */

int world_step_chmod_in_two_records(struct world *w, char *const args[])
{
	int r = world_step_chmod(w, args);

	return r < 0 ? r : world_step_chown(w, args);
}

/* The event that acknowledges the operation that began at `begin` comes right after its begin. */
static void acknowledge_at_once(struct trace *t, size_t begin)
{
	struct trace_event end = t->events[t->count - 1];

	memmove(&t->events[begin + 2], &t->events[begin + 1],
		(t->count - begin - 2) * sizeof(t->events[0]));
	t->events[begin + 1] = end;
}

int world_step_chmod_later(struct world *w, char *const args[])
{
	struct trace *t = w->recorder.trace;
	struct trace_operation *o = trace_begin(t, "chmod, acknowledged before its record");
	size_t begin = t->count - 1;
	int r;

	world_state(w, &o->before);
	r = world_step_chmod(w, args);
	world_state(w, &o->after);
	trace_end(t);
	acknowledge_at_once(t, begin);
	return r;
}

static void set_owner(struct trace_state *s, uint64_t ino, uint32_t uid)
{
	for (uint32_t n = 0; n < s->view.inode_count; n++)
		if (get_le64(s->view.inodes[n].ino) == ino)
			s->view.inodes[n].uid = put_le32(uid);
	s->hash = view_hash(&s->view);
}

/* Two changes, each acknowledged at its time; but the record of the second one brings the first. */
int world_step_chown_two_in_one_record(struct world *w, char *const args[])
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);
	struct inode_attr first = world_find_file(w, args[1])->attr,
			  second = world_find_file(w, args[2])->attr;
	struct trace_operation *o = trace_begin(w->recorder.trace, "the first of two chowns");
	int r;

	world_state(w, &o->before);
	o->after = o->before;
	set_owner(&o->after, first.ino, first.uid = 77);
	trace_end(w->recorder.trace);
	o = trace_begin(w->recorder.trace, "the second of two chowns");
	o->before = o[-1].after;
	txn_put_inode(&t, &first);
	second.uid = 78;
	txn_put_inode(&t, &second);
	r = store_commit(w->store, &t);
	world_state(w, &o->after);
	trace_end(w->recorder.trace);
	return r;
}
