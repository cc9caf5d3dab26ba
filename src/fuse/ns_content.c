// SPDX-License-Identifier: MIT
/*
 * What is written to files with content. Where the bytes lie is chosen first, then their memory is
 * made sure of: until then nothing has changed, and -EINPROGRESS means "again, once it is there".
 *
 * The order of a write is the promise: bytes that nobody sees before their record (new units, and
 * the rest of the unit that the file ends in, which is zeroed anew whenever the file grows), then
 * the record that shows them, then what is stored in place, then the reply. Units past the file's
 * end that it has already are in place, too: they are zero, and a write that fails leaves them so.
 * A crash before the record leaves the file as it was; one after it, a write that had no answer.
 */
#include <errno.h>
#include <stdlib.h>

#include "fuse/ns_content.h"
#include "store/codec.h"
#include "store/extents.h"
#include "util/cleanup.h"

/* ---- new pieces ---- */

struct fresh {                      /* for the gaps in a range of a file */
	struct file_extent *pieces; /* owned */
	size_t count;
	bool grown; /* the content store, for them */
};

static void fresh_deinit(struct fresh *f)
{
	free_pointerp(&f->pieces);
}

static uint64_t count_missing(const struct inode *i, uint64_t first, uint64_t end)
{
	uint64_t missing = 0, gap;

	for (uint64_t at = first; (gap = ns_next_gap(i, &at, end)) > 0; at += gap)
		missing += gap;
	return missing;
}

/* The unit behind the piece that ends where the range begins: a file that is appended to stays in
 * one piece where it can. */
static uint64_t unit_before(const struct inode *i, uint64_t first)
{
	const struct file_extent *p = first ? extents_find_after(i, first - 1) : NULL;

	return p && p->file_block < first ? p->block + (first - p->file_block) : UINT64_MAX;
}

static size_t count_gaps(const struct inode *i, uint64_t first, uint64_t end)
{
	size_t n = 0;
	uint64_t gap;

	for (uint64_t at = first; (gap = ns_next_gap(i, &at, end)) > 0; at += gap)
		n++;
	return n;
}

/* Lays the runs into the gaps; each of both ends at most one piece. */
static int place_runs(const struct inode *i, uint64_t first, uint64_t end,
	const struct units_run *runs, size_t count, struct fresh *ret)
{
	struct file_extent *to =
		calloc(count + count_gaps(i, first, end), sizeof(*to)); /* what there can be */
	uint64_t at = first, gap = 0;

	if (!to)
		return -ENOMEM;
	ret->pieces = to;
	for (size_t n = 0; n < count; n++)
		for (struct units_run left = runs[n]; left.count > 0;) {
			uint64_t part;

			if (gap == 0)
				gap = ns_next_gap(i, &at, end);
			part = ns_smaller(ns_smaller(gap, left.count), UINT32_MAX);
			to[ret->count++] = (struct file_extent){
				.file_block = at, .block = left.unit, .count = (uint32_t)part};
			at += part;
			gap -= part;
			left.unit += part;
			left.count -= part;
		}
	return 0;
}

/* What would be refused at the end is refused before the store takes blocks for it. */
static int check_fresh(const struct namespace *ns, const struct inode *i, uint64_t first,
	uint64_t end, uint64_t need)
{
	struct quota_room room;

	if (quotas_room(ns_meta(ns), i, &room) && need > room.left)
		return -EDQUOT;
	return store_check_pieces(ns->store, count_gaps(i, first, end));
}

static int plan_fresh(struct namespace *ns, const struct ns_request *rq, const struct inode *i,
	uint64_t first, uint64_t end, struct fresh *ret)
{
	_cleanup_free_ struct units_run *runs = NULL;
	struct meta *m = ns_meta(ns);
	uint64_t need = count_missing(i, first, end);
	bool pending = false;
	size_t count;
	int r = 0;

	if (need == 0)
		return 0;
	if (need > m->units.free) {
		r = check_fresh(ns, i, first, end, need);
		if (r == 0)
			r = ns_grow_contents(ns, rq, need - m->units.free);
		ret->grown = r == 0;
	}
	if (r == 0)
		r = units_plan(&m->units, unit_before(i, first), need, &runs, &count);
	if (r == 0)
		r = place_runs(i, first, end, runs, count, ret);
	for (size_t n = 0; r == 0 && n < ret->count; n++) {
		r = ns_want_units(ns, ret->pieces[n].block, ret->pieces[n].count);
		pending |= r == -EINPROGRESS;
		r = r == -EINPROGRESS ? 0 : r;
	}
	return r == 0 && pending ? -EINPROGRESS : r;
}

/* The result of what they were for. If that failed, nobody needs what the store has grown by. */
static int end_fresh(struct namespace *ns, const struct fresh *f, int r)
{
	ns->grown_in_vain |= r < 0 && f->grown;
	return r;
}

/* Nobody sees them before their record: data where it lies in them, zeros around it. */
static int store_fresh(const struct namespace *ns, const struct fresh *f, uint64_t from,
	uint64_t to, const void *data)
{
	int r = 0;

	for (size_t n = 0; n < f->count && r == 0; n++) {
		const struct file_extent *p = &f->pieces[n];

		r = ns_store_bytes(ns, p, 0, from, NULL, 0);
		if (r == 0)
			r = ns_store_bytes(ns, p, from, to, data, from);
		if (r == 0)
			r = ns_store_bytes(ns, p, to, UINT64_MAX, NULL, 0);
	}
	return r;
}

/* In the range, what the file had before it got them. */
static int store_around_fresh(const struct namespace *ns, const struct inode *i,
	const struct fresh *f, uint64_t from, uint64_t to, const void *data)
{
	uint64_t at = from;
	int r = 0;

	for (size_t n = 0; n < f->count && r == 0; n++) {
		const struct file_extent *p = &f->pieces[n];

		r = ns_store_in_place(
			ns, i, at, ns_smaller(to, ns_unit_start(p->file_block)), data, from);
		at = ns_greater(at, ns_unit_start(p->file_block + p->count));
	}
	return r == 0 ? ns_store_in_place(ns, i, at, to, data, from) : r;
}

static void add_fresh(struct txn *t, const struct inode *i, const struct fresh *f)
{
	for (size_t n = 0; n < f->count; n++)
		txn_add_piece(t, i->attr.ino, &f->pieces[n]);
}

/* ---- the end of the file ---- */

/* What is left of the unit that the file ends in. It may hold what was cut off. */
static uint64_t tail_end(const struct inode *i)
{
	return ns_unit_start(ns_units_for(i->attr.size));
}

static int want_tail(const struct namespace *ns, const struct inode *i, uint64_t new_size)
{
	uint64_t size = i->attr.size;

	if (new_size <= size || size % GM_UNIT_SIZE == 0)
		return 0;
	return ns_want_pieces(ns, i, size >> GM_UNIT_SHIFT, ns_units_for(size));
}

static int zero_tail(const struct namespace *ns, const struct inode *i, uint64_t new_size)
{
	if (new_size <= i->attr.size)
		return 0;
	return ns_store_in_place(ns, i, i->attr.size, tail_end(i), NULL, 0);
}

/* The last one first, so that removing a piece has none behind it to move. */
static void remove_pieces(struct txn *t, const struct inode *i, uint64_t first, uint64_t end)
{
	const struct file_extent *p = extents_find_after(i, end - 1);
	size_t n = p ? (size_t)(p - i->extents) + (p->file_block < end) : i->extent_count;

	while (n-- > 0 && i->extents[n].file_block + i->extents[n].count > first) {
		const struct file_extent *have = &i->extents[n];
		uint64_t from = ns_greater(have->file_block, first);
		struct file_extent cut = {
			.file_block = from,
			.block = have->block + (from - have->file_block),
			.count = (uint32_t)(ns_smaller(have->file_block + have->count, end) - from),
		};

		txn_remove_piece(t, i->attr.ino, &cut);
	}
}

int ns_resize_content(const struct namespace *ns, struct txn *t, const struct inode *i,
	struct inode_attr *attr, uint64_t size)
{
	int r = want_tail(ns, i, size);

	if (r == 0)
		r = zero_tail(ns, i, size);
	if (r < 0)
		return r;
	remove_pieces(t, i, ns_units_for(size), CODEC_FILE_UNITS_MAX);
	attr->size = size;
	return 0;
}

/* ---- writing ---- */

int ns_write(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	const struct ns_range *range, const void *data)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_WRITE, rq->unique);
	_cleanup_(fresh_deinit) struct fresh fresh = {.count = 0};
	uint64_t from = range->offset, to = from + range->length;
	struct inode_attr attr;
	struct inode *i;
	int r = ns_find_content_file(ns, ino, &i);

	if (r == 0 && store_is_frozen(ns->store))
		r = -EBUSY;
	if (r == 0 && (from > NS_SIZE_LIMIT || range->length > NS_SIZE_LIMIT - from))
		r = -EFBIG;
	if (r < 0 || from == to)
		return r;
	r = plan_fresh(ns, rq, i, from >> GM_UNIT_SHIFT, ns_units_for(to), &fresh);
	if (r == 0 || r == -EINPROGRESS) {
		int existing = ns_want_pieces(ns, i, from >> GM_UNIT_SHIFT, ns_units_for(to));

		existing = existing ? existing : want_tail(ns, i, to);
		r = existing ? existing : r;
	}
	if (r == 0)
		r = zero_tail(ns, i, to);
	if (r == 0)
		r = ns_store_in_place(ns, i, ns_greater(from, i->attr.size),
			ns_smaller(to, tail_end(i)), data, from);
	if (r == 0)
		r = store_fresh(ns, &fresh, from, to, data);
	if (r < 0)
		return end_fresh(ns, &fresh, r);
	attr = i->attr;
	attr.size = ns_greater(attr.size, to);
	ns_set_changed(&attr, &rq->now);
	txn_put_inode(&t, &attr);
	add_fresh(&t, i, &fresh);
	t.result = ino;
	content_memory_fence(ns->memory);
	r = end_fresh(ns, &fresh, store_commit(ns->store, &t));
	if (r < 0)
		return r;
	r = store_around_fresh(ns, i, &fresh, from, to, data);
	content_memory_fence(ns->memory);
	return r;
}

/* ---- fallocate and lseek ---- */

int ns_allocate_content(struct namespace *ns, const struct ns_request *rq, const struct inode *i,
	const struct ns_range *range, bool keep)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_FALLOCATE, rq->unique);
	_cleanup_(fresh_deinit) struct fresh fresh = {.count = 0};
	uint64_t from = range->offset, to = from + range->length;
	struct inode_attr attr = i->attr;
	int r;

	if (from > NS_SIZE_LIMIT || range->length > NS_SIZE_LIMIT - from)
		return -EFBIG;
	if (store_is_frozen(ns->store))
		return -EBUSY;
	if (!keep)
		attr.size = ns_greater(attr.size, to);
	r = plan_fresh(ns, rq, i, from >> GM_UNIT_SHIFT, ns_units_for(to), &fresh);
	if (r == 0)
		r = want_tail(ns, i, attr.size);
	if (r == 0)
		r = zero_tail(ns, i, attr.size);
	if (r == 0)
		r = store_fresh(ns, &fresh, 0, 0, NULL);
	if (r < 0)
		return end_fresh(ns, &fresh, r);
	ns_set_changed(&attr, &rq->now);
	txn_put_inode(&t, &attr);
	add_fresh(&t, i, &fresh);
	t.result = attr.ino;
	content_memory_fence(ns->memory);
	return end_fresh(ns, &fresh, store_commit(ns->store, &t));
}

int ns_punch_content(struct namespace *ns, const struct ns_request *rq, const struct inode *i,
	const struct ns_range *range)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_FALLOCATE, rq->unique);
	uint64_t from = ns_smaller(range->offset, NS_SIZE_LIMIT);
	uint64_t to = from + ns_smaller(range->length, NS_SIZE_LIMIT - from);
	uint64_t first = ns_units_for(from), end = to >> GM_UNIT_SHIFT;
	struct inode_attr attr = i->attr;
	int r = ns_want_pieces(ns, i, from >> GM_UNIT_SHIFT, first);

	if (r == 0)
		r = ns_want_pieces(ns, i, end, ns_units_for(to));
	if (r < 0)
		return r;
	ns_set_changed(&attr, &rq->now);
	txn_put_inode(&t, &attr);
	if (first < end)
		remove_pieces(&t, i, first, end);
	t.result = attr.ino;
	r = store_commit(ns->store, &t);
	if (r < 0)
		return r;
	/* The parts of units at the ends; what lies between them is a hole by now. */
	r = ns_store_in_place(ns, i, from, ns_smaller(to, ns_unit_start(first)), NULL, 0);
	if (r == 0)
		r = ns_store_in_place(ns, i, ns_greater(from, ns_unit_start(end)), to, NULL, 0);
	content_memory_fence(ns->memory);
	return r;
}

uint64_t ns_find_content(const struct inode *i, uint64_t offset, bool data)
{
	uint64_t at = offset >> GM_UNIT_SHIFT;
	const struct file_extent *p = extents_find_after(i, at);

	if (data)
		return p ? ns_greater(ns_unit_start(p->file_block), offset) : UINT64_MAX;
	for (; p && p->file_block <= at; p = extents_find_after(i, at))
		at = p->file_block + p->count;
	return ns_greater(ns_unit_start(at), offset);
}
