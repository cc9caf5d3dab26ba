// SPDX-License-Identifier: MIT
/*
 * What is read from and written to files with content. Where the bytes lie is chosen first, then
 * their memory is made sure of: until then nothing has changed, and -EINPROGRESS means "again, once
 * it is there".
 *
 * The order of a write is the promise: bytes that nobody sees before their record (new units, and
 * the rest of the unit that the file ends in, which is zeroed anew whenever the file grows), then
 * the record that shows them, then what is stored in place, then the reply. Units past the file's
 * end that it has already are in place, too: they are zero, and a write that fails leaves them so.
 * A crash before the record leaves the file as it was; one after it, a write that had no answer.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/ns_internal.h"
#include "store/codec.h"
#include "store/extents.h"
#include "util/cleanup.h"

static const uint8_t zeros[GM_UNIT_SIZE];

static uint64_t units_for(uint64_t bytes)
{
	return (bytes + GM_UNIT_SIZE - 1) >> GM_UNIT_SHIFT;
}

static uint64_t unit_start(uint64_t unit)
{
	return unit << GM_UNIT_SHIFT;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static int find_content(const struct namespace *ns, uint64_t ino, struct inode **ret)
{
	int r = ns_find(ns, ino, ret);

	if (r < 0)
		return r;
	if (inode_is_dir(*ret))
		return -EISDIR;
	return inode_has_content(*ret) ? 0 : -EOPNOTSUPP;
}

/* ---- the bytes ---- */

/* Pieces that overlap [first, end) of the file's units, one after the other. */
static const struct file_extent *piece_from(const struct inode *i, uint64_t first, uint64_t end)
{
	const struct file_extent *p = extents_find_after(i, first);

	return p && p->file_block < end ? p : NULL;
}

static int want_units(const struct namespace *ns, uint64_t unit, uint64_t count)
{
	return ns->memory ? content_memory_want(ns->memory, unit, count) : -EIO;
}

/* The memory of all that the file has in [first, end). */
static int want_pieces(
	const struct namespace *ns, const struct inode *i, uint64_t first, uint64_t end)
{
	const struct file_extent *p;
	bool pending = false;

	for (uint64_t at = first; (p = piece_from(i, at, end)); at = p->file_block + p->count) {
		uint64_t from = greater(p->file_block, at);
		uint64_t to = smaller(p->file_block + p->count, end);
		int r = want_units(ns, p->block + (from - p->file_block), to - from);

		if (r < 0 && r != -EINPROGRESS)
			return r;
		pending |= r == -EINPROGRESS;
	}
	return pending ? -EINPROGRESS : 0;
}

/*
 * Stores bytes [from, to) of a file as far as they lie in the piece: those of data, which begins at
 * file offset `at`, or zeros.
 */
static void store_bytes(const struct namespace *ns, const struct file_extent *p, uint64_t from,
	uint64_t to, const void *data, uint64_t at)
{
	from = greater(from, unit_start(p->file_block));
	to = smaller(to, unit_start(p->file_block + p->count));
	while (from < to) {
		uint64_t unit = p->block + ((from >> GM_UNIT_SHIFT) - p->file_block);
		uint64_t length = to - from;

		content_memory_store(ns->memory, unit, from % GM_UNIT_SIZE,
			data ? (const uint8_t *)data + (from - at) : NULL, &length);
		from += length;
	}
}

/* The same in whatever the file has there; holes stay what they are. */
static void store_in_place(const struct namespace *ns, const struct inode *i, uint64_t from,
	uint64_t to, const void *data, uint64_t at)
{
	const struct file_extent *p;
	uint64_t end = units_for(to), next = from >> GM_UNIT_SHIFT;

	for (; from < to && (p = piece_from(i, next, end)); next = p->file_block + p->count)
		store_bytes(ns, p, from, to, data, at);
}

/* ---- the content store's blocks ---- */

#define GROW_MAX 32U /* blocks at once, where less is needed: 64 MiB; as many stay empty */

static uint64_t round_up(uint64_t n, uint64_t granule)
{
	return (n + granule - 1) / granule * granule;
}

/* It has holes where blocks were given back; those are filled first. */
static uint64_t end_after_growth(const struct inode *store, uint64_t blocks)
{
	const struct file_extent *last =
		store->extent_count > 0 ? &store->extents[store->extent_count - 1] : NULL;
	uint64_t end = last ? last->file_block + last->count : 0;
	uint64_t holes = end - inode_blocks(store);

	return blocks > holes ? end + blocks - holes : end;
}

/* Without a block, in a record of its own: memory for extents is reserved for files that are there.
 */
int ns_make_contents(struct namespace *ns, const struct ns_request *rq)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_CONTENTS, 0);
	struct inode_attr a = {
		.ino = ns_meta(ns)->next_ino,
		.mode = S_IFREG | 0600,
		.flags = GM_INODE_CONTENTS,
		.btime = rq->now.tv_sec,
		.btime_nsec = (uint32_t)rq->now.tv_nsec,
	};

	if (meta_contents(ns_meta(ns)))
		return 0;
	ns_set_atime(&a, &rq->now);
	ns_set_changed(&a, &rq->now);
	txn_put_inode(&t, &a);
	t.result = a.ino;
	return store_commit(ns->store, &t);
}

/* Chooses blocks for so many units: as many as there are already, or what is needed. */
static int plan_growth(const struct namespace *ns, uint64_t units, struct ns_fill *fill)
{
	const struct meta *m = ns_meta(ns);
	uint64_t granule = alloc_granule(m->alloc);
	uint64_t need = round_up((units + GM_UNITS_PER_BLOCK - 1) / GM_UNITS_PER_BLOCK, granule);
	uint64_t want = round_up(greater(need, smaller(m->units.there, GROW_MAX)), granule);
	int r = alloc_plan(m->alloc, want, ALLOC_UNIT_2M, &fill->extents, &fill->count);

	if (r == -ENOSPC && want > need) {
		want = need;
		r = alloc_plan(m->alloc, want, ALLOC_UNIT_2M, &fill->extents, &fill->count);
	}
	if (r == 0)
		fill->end = end_after_growth(meta_contents(m), want);
	return r;
}

/* So many units more, at the least. A record of its own: blocks that are not clean are to be zeroed
 * before the first byte is stored in them, which may take its time. */
int ns_grow_contents(struct namespace *ns, const struct ns_request *rq, uint64_t units)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_CONTENTS, 0);
	_cleanup_(ns_fill_deinit) struct ns_fill fill = NS_FILL_NULL;
	const struct inode *store;
	struct inode_attr attr;
	int r = ns_make_contents(ns, rq);

	if (r == 0)
		r = plan_growth(ns, units, &fill);
	if (r < 0)
		return r;
	store = meta_contents(ns_meta(ns));
	attr = store->attr;
	attr.size = fill.end << GM_BLOCK_SHIFT;
	ns_set_changed(&attr, &rq->now);
	txn_put_inode(&t, &attr);
	ns_add_fill(&t, store, &fill);
	t.result = attr.ino;
	return store_commit(ns->store, &t);
}

static void remove_run(struct txn *t, const struct inode *store, const struct file_extent *run)
{
	if (run->count > 0)
		txn_remove_extent(t, store->attr.ino, run);
}

/* Takes empty blocks out of the store's last extents, at most so many. */
static uint64_t remove_empty(
	struct txn *t, const struct meta *m, const struct inode *store, uint64_t most)
{
	uint32_t granule = (uint32_t)alloc_granule(m->alloc);
	uint64_t removed = 0;

	for (uint32_t n = store->extent_count; n-- > 0;) {
		struct file_extent left = store->extents[n], run = {.count = 0};

		while (left.count > 0 && removed + granule <= most) {
			left.count -= granule;
			if (!units_is_empty(&m->units, left.file_block + left.count, granule)) {
				remove_run(t, store, &run);
				run.count = 0;
				continue;
			}
			run.file_block = left.file_block + left.count;
			run.block = left.block + left.count;
			run.region = left.region;
			run.count += granule;
			removed += granule;
		}
		remove_run(t, store, &run);
	}
	return removed;
}

int ns_trim_contents(struct namespace *ns, const struct ns_request *rq, bool all)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_CONTENTS, 0);
	const struct meta *m = ns_meta(ns);
	const struct inode *store = meta_contents(m);
	uint64_t keep = all ? 0 : smaller(m->units.there - m->units.empty, GROW_MAX);
	struct inode_attr attr;
	int r;

	ns->freed_seen = m->pieces_freed;
	ns->grown_in_vain = false;
	if (!store || inode_is_held(store) || m->units.empty <= keep)
		return 0;
	attr = store->attr;
	ns_set_changed(&attr, &rq->now);
	txn_put_inode(&t, &attr);
	if (remove_empty(&t, m, store, m->units.empty - keep) == 0)
		return 0;
	t.result = attr.ino;
	r = store_commit(ns->store, &t);
	if (r == 0 && ns->memory)
		content_memory_trim(ns->memory);
	return r;
}

bool ns_has_freed_content(const struct namespace *ns)
{
	return ns->grown_in_vain || ns->freed_seen != ns_meta(ns)->pieces_freed;
}

bool ns_reclaim_contents(struct namespace *ns, const struct ns_request *rq)
{
	uint64_t empty = ns_meta(ns)->units.empty;

	return empty > 0 && ns_trim_contents(ns, rq, true) == 0 && ns_meta(ns)->units.empty < empty;
}

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
			part = smaller(smaller(gap, left.count), UINT32_MAX);
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
		r = want_units(ns, ret->pieces[n].block, ret->pieces[n].count);
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
static void store_fresh(const struct namespace *ns, const struct fresh *f, uint64_t from,
	uint64_t to, const void *data)
{
	for (size_t n = 0; n < f->count; n++) {
		const struct file_extent *p = &f->pieces[n];

		store_bytes(ns, p, 0, from, NULL, 0);
		store_bytes(ns, p, from, to, data, from);
		store_bytes(ns, p, to, UINT64_MAX, NULL, 0);
	}
}

/* In the range, what the file had before it got them. */
static void store_around_fresh(const struct namespace *ns, const struct inode *i,
	const struct fresh *f, uint64_t from, uint64_t to, const void *data)
{
	uint64_t at = from;

	for (size_t n = 0; n < f->count; n++) {
		const struct file_extent *p = &f->pieces[n];

		store_in_place(ns, i, at, smaller(to, unit_start(p->file_block)), data, from);
		at = greater(at, unit_start(p->file_block + p->count));
	}
	store_in_place(ns, i, at, to, data, from);
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
	return unit_start(units_for(i->attr.size));
}

static int want_tail(const struct namespace *ns, const struct inode *i, uint64_t new_size)
{
	uint64_t size = i->attr.size;

	if (new_size <= size || size % GM_UNIT_SIZE == 0)
		return 0;
	return want_pieces(ns, i, size >> GM_UNIT_SHIFT, units_for(size));
}

static void zero_tail(const struct namespace *ns, const struct inode *i, uint64_t new_size)
{
	if (new_size > i->attr.size)
		store_in_place(ns, i, i->attr.size, tail_end(i), NULL, 0);
}

/* The last one first, so that removing a piece has none behind it to move. */
static void remove_pieces(struct txn *t, const struct inode *i, uint64_t first, uint64_t end)
{
	const struct file_extent *p = extents_find_after(i, end - 1);
	size_t n = p ? (size_t)(p - i->extents) + (p->file_block < end) : i->extent_count;

	while (n-- > 0 && i->extents[n].file_block + i->extents[n].count > first) {
		const struct file_extent *have = &i->extents[n];
		uint64_t from = greater(have->file_block, first);
		struct file_extent cut = {
			.file_block = from,
			.block = have->block + (from - have->file_block),
			.count = (uint32_t)(smaller(have->file_block + have->count, end) - from),
		};

		txn_remove_piece(t, i->attr.ino, &cut);
	}
}

int ns_resize_content(const struct namespace *ns, struct txn *t, const struct inode *i,
	struct inode_attr *attr, uint64_t size)
{
	int r = want_tail(ns, i, size);

	if (r < 0)
		return r;
	zero_tail(ns, i, size);
	remove_pieces(t, i, units_for(size), CODEC_FILE_UNITS_MAX);
	attr->size = size;
	return 0;
}

/* ---- reading and writing ---- */

struct parts {
	struct iovec *list;
	size_t count;
};

static void add_part(struct parts *parts, const void *bytes, uint64_t length)
{
	parts->list[parts->count++] =
		(struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
}

static void add_hole(struct parts *parts, uint64_t length)
{
	for (uint64_t n; length > 0; length -= n) {
		n = smaller(length, sizeof(zeros));
		add_part(parts, zeros, n);
	}
}

static void add_piece(struct parts *parts, const struct namespace *ns, const struct file_extent *p,
	uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t unit = p->block + ((from >> GM_UNIT_SHIFT) - p->file_block);
		uint64_t count = units_for(to) - (from >> GM_UNIT_SHIFT);
		const uint8_t *memory = content_memory_at(ns->memory, unit, &count);
		uint64_t end = smaller(to, unit_start((from >> GM_UNIT_SHIFT) + count));

		add_part(parts, memory + from % GM_UNIT_SIZE, end - from);
		from = end;
	}
}

int ns_read(const struct namespace *ns, uint64_t ino, const struct ns_range *range,
	struct iovec **ret, size_t *count)
{
	struct parts parts = {.count = 0};
	const struct file_extent *p;
	uint64_t at = range->offset, end;
	struct inode *i;
	int r = find_content(ns, ino, &i);

	if (r < 0)
		return r;
	end = at < i->attr.size ? at + smaller(range->length, i->attr.size - at) : at;
	r = want_pieces(ns, i, at >> GM_UNIT_SHIFT, units_for(end));
	if (r < 0)
		return r;
	/* Each unit is one part at the most, and so is each page of a hole. */
	parts.list = calloc((end - at) / GM_UNIT_SIZE * 2 + 4, sizeof(*parts.list));
	if (!parts.list)
		return -ENOMEM;
	while (at < end) {
		uint64_t start, stop = end;

		p = piece_from(i, at >> GM_UNIT_SHIFT, units_for(end));
		start = p ? greater(unit_start(p->file_block), at) : end;
		add_hole(&parts, start - at);
		if (p)
			stop = smaller(unit_start(p->file_block + p->count), end);
		if (p)
			add_piece(&parts, ns, p, start, stop);
		at = stop;
	}
	*ret = parts.list;
	*count = parts.count;
	return 0;
}

int ns_write(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	const struct ns_range *range, const void *data)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_WRITE, rq->unique);
	_cleanup_(fresh_deinit) struct fresh fresh = {.count = 0};
	uint64_t from = range->offset, to = from + range->length;
	struct inode_attr attr;
	struct inode *i;
	int r = find_content(ns, ino, &i);

	if (r == 0 && store_is_frozen(ns->store))
		r = -EBUSY;
	if (r == 0 && (from > NS_SIZE_LIMIT || range->length > NS_SIZE_LIMIT - from))
		r = -EFBIG;
	if (r < 0 || from == to)
		return r;
	r = plan_fresh(ns, rq, i, from >> GM_UNIT_SHIFT, units_for(to), &fresh);
	if (r == 0 || r == -EINPROGRESS) {
		int existing = want_pieces(ns, i, from >> GM_UNIT_SHIFT, units_for(to));

		existing = existing ? existing : want_tail(ns, i, to);
		r = existing ? existing : r;
	}
	if (r < 0)
		return end_fresh(ns, &fresh, r);
	zero_tail(ns, i, to);
	store_in_place(ns, i, greater(from, i->attr.size), smaller(to, tail_end(i)), data, from);
	store_fresh(ns, &fresh, from, to, data);
	attr = i->attr;
	attr.size = greater(attr.size, to);
	ns_set_changed(&attr, &rq->now);
	txn_put_inode(&t, &attr);
	add_fresh(&t, i, &fresh);
	t.result = ino;
	content_memory_fence(ns->memory);
	r = end_fresh(ns, &fresh, store_commit(ns->store, &t));
	if (r < 0)
		return r;
	store_around_fresh(ns, i, &fresh, from, to, data);
	content_memory_fence(ns->memory);
	return 0;
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
		attr.size = greater(attr.size, to);
	r = plan_fresh(ns, rq, i, from >> GM_UNIT_SHIFT, units_for(to), &fresh);
	if (r == 0)
		r = want_tail(ns, i, attr.size);
	if (r < 0)
		return end_fresh(ns, &fresh, r);
	zero_tail(ns, i, attr.size);
	store_fresh(ns, &fresh, 0, 0, NULL);
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
	uint64_t from = smaller(range->offset, NS_SIZE_LIMIT);
	uint64_t to = from + smaller(range->length, NS_SIZE_LIMIT - from);
	uint64_t first = units_for(from), end = to >> GM_UNIT_SHIFT;
	struct inode_attr attr = i->attr;
	int r = want_pieces(ns, i, from >> GM_UNIT_SHIFT, first);

	if (r == 0)
		r = want_pieces(ns, i, end, units_for(to));
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
	store_in_place(ns, i, from, smaller(to, unit_start(first)), NULL, 0);
	store_in_place(ns, i, greater(from, unit_start(end)), to, NULL, 0);
	content_memory_fence(ns->memory);
	return 0;
}

uint64_t ns_find_content(const struct inode *i, uint64_t offset, bool data)
{
	uint64_t at = offset >> GM_UNIT_SHIFT;
	const struct file_extent *p = extents_find_after(i, at);

	if (data)
		return p ? greater(unit_start(p->file_block), offset) : UINT64_MAX;
	for (; p && p->file_block <= at; p = extents_find_after(i, at))
		at = p->file_block + p->count;
	return greater(unit_start(at), offset);
}
