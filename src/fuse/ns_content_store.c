// SPDX-License-Identifier: MIT
/*
 * The blocks of the content store (GM_INODE_CONTENTS): it grows for what is to be written, and
 * gives back what is empty.
 */
#include "fuse/ns_content.h"

#include <errno.h>

#include "store/extents.h"
#include "util/cleanup.h"

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
	uint64_t want = round_up(ns_greater(need, ns_smaller(m->units.there, GROW_MAX)), granule);
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
	uint64_t keep = all ? 0 : ns_smaller(m->units.there - m->units.empty, GROW_MAX);
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

int ns_reclaim_contents(struct namespace *ns, const struct ns_request *rq)
{
	uint64_t empty = ns_meta(ns)->units.empty;
	int r = empty > 0 ? ns_trim_contents(ns, rq, true) : -ENOSPC;

	return r == 0 && ns_meta(ns)->units.empty == empty ? -ENOSPC : r;
}

static int poison(struct namespace *ns, const struct alloc_extent *block)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);

	if (alloc_any_poisoned(ns_meta(ns)->alloc, block))
		return 0;
	txn_set_blocks(&t, block, GM_BLOCKS_POISONED);
	return store_commit(ns->store, &t);
}

bool ns_next_fault(struct namespace *ns, struct ns_fault *ret)
{
	const struct inode *store = meta_contents(ns_meta(ns));
	struct content_fault fault;

	while (ns->memory && content_memory_next_fault(ns->memory, &fault)) {
		const struct file_extent *e =
			store ? extents_find_after(store, fault.file_block) : NULL;

		if (!e || e->file_block > fault.file_block)
			continue; /* given back meanwhile */
		*ret = (struct ns_fault){
			.block = {e->block + (fault.file_block - e->file_block), e->region, 1},
			.poisoned = fault.poisoned,
		};
		if (fault.poisoned)
			ret->error = poison(ns, &ret->block);
		return true;
	}
	return false;
}
