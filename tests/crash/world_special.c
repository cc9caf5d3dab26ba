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
			recorder_put(&w->recorder, places[n].offset, 0xbadbadbadbadbadbULL);
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

/* Boot id and mount number in one record, what was unlinked in the next. */
int world_step_mount_in_two_records(struct world *w, char *const args[])
{
	_cleanup_(txn_deinit) struct txn boot = TXN_INIT(GM_RECORD_MOUNT, 0);
	_cleanup_(txn_deinit) struct txn orphans = TXN_INIT(GM_RECORD_ORPHAN, 0);
	const struct inode *i;
	const struct meta *m;
	int r;

	(void)args;
	world_close(w);
	r = world_open(w);
	if (r < 0)
		return r;
	m = store_meta(w->store);
	txn_boot(&boot, w->boot_id, m->token, m->mount_number + 1);
	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		if (i->attr.links == 0) {
			txn_remove_extents(&orphans, i);
			txn_remove_inode(&orphans, i->attr.ino);
		}
	r = store_commit(w->store, &boot);
	return r < 0 ? r : store_commit(w->store, &orphans);
}

/* The first unit of a file with content, then the size that shows it. */
int world_step_write_in_two_records(struct world *w, char *const args[])
{
	_cleanup_(txn_deinit) struct txn piece = TXN_INIT(GM_RECORD_WRITE, w->rq.unique);
	_cleanup_(txn_deinit) struct txn size = TXN_INIT(GM_RECORD_WRITE, w->rq.unique);
	const struct inode *i = world_find_file(w, args[1]);
	const struct file_extent unit = {.count = 1};
	struct inode_attr attr;
	int r;

	if (!i)
		return -ENOENT;
	attr = i->attr;
	attr.size = GM_UNIT_SIZE;
	txn_add_piece(&piece, attr.ino, &unit);
	txn_put_inode(&size, &attr);
	r = store_commit(w->store, &piece);
	return r < 0 ? r : world_asked(w, store_commit(w->store, &size));
}

/* The blocks of one file, which is let go of, to another one: freed in a record, owned in the next.
 */
int world_step_hand_over_in_two_records(struct world *w, char *const args[])
{
	_cleanup_(txn_deinit) struct txn free = TXN_INIT(GM_RECORD_RELEASE, w->rq.unique);
	_cleanup_(txn_deinit) struct txn own = TXN_INIT(GM_RECORD_FALLOCATE, w->rq.unique);
	const struct inode *from = world_find_file(w, args[1]), *to = world_find_file(w, args[2]);
	struct inode_attr attr;
	int r;

	if (!from || !to)
		return -ENOENT;
	attr = from->attr;
	attr.flags = 0;
	attr.size = 0;
	txn_put_inode(&free, &attr);
	txn_remove_extents(&free, from);
	for (uint32_t n = 0; n < from->extent_count; n++)
		txn_add_extent(&own, to->attr.ino, &from->extents[n]);
	r = store_commit(w->store, &free);
	return r < 0 ? r : world_asked(w, store_commit(w->store, &own));
}
