// SPDX-License-Identifier: MIT
/*
 * Blocks that a file gets: for every gap in a range of it, whether the range lies behind its end
 * (growing), within it (refilling a hole) or across it. What is there already stays.
 */
#include "fuse/ns_internal.h"
#include "store/extents.h"
#include "util/cleanup.h"

bool ns_has_data(const struct namespace *ns, const struct inode *i, uint64_t file_block)
{
	const struct file_extent *e = extents_find_after(i, file_block);
	struct alloc_extent one = {.count = 1};
	bool clean;

	if (!e || e->file_block > file_block)
		return false;
	one.block = e->block + (file_block - e->file_block);
	one.region = e->region;
	alloc_clean_run(ns_meta(ns)->alloc, &one, &clean);
	return clean;
}

uint64_t ns_next_gap(const struct inode *i, uint64_t *at, uint64_t end)
{
	while (*at < end) {
		const struct file_extent *e = extents_find_after(i, *at);

		if (!e || e->file_block > *at)
			return (e && e->file_block < end ? e->file_block : end) - *at;
		*at = e->file_block + e->count;
	}
	return 0;
}

int ns_plan_fill(const struct namespace *ns, const struct inode *i, uint64_t first, uint64_t end,
	struct ns_fill *ret)
{
	struct ns_fill f = {.first = first, .end = end};
	uint64_t need = 0, gap;
	int r;

	for (uint64_t at = first; (gap = ns_next_gap(i, &at, end)) > 0; at += gap)
		need += gap;
	if (need > 0) {
		r = alloc_plan(ns_meta(ns)->alloc, need, ns_unit_of(ns, i), &f.extents, &f.count);
		if (r < 0)
			return r;
	}
	*ret = f;
	return 0;
}

/* What nobody reaches serves first. A file that is held already has devices of its own, and a
 * helper that could not tell which of its blocks are to be zeroed. One that insists on 1 GiB units
 * takes free ones only. */
static int plan_with_spare(const struct namespace *ns, const struct inode *i,
	struct inode_attr *attr, struct ns_fill *ret)
{
	struct ns_fill f = {.first = ret->first, .end = ret->end};
	uint64_t blocks = f.end - f.first, at = f.first;

	if ((attr->flags & GM_INODE_HELD) || ns_unit_of(ns, i) == ALLOC_UNIT_1G ||
		ns_next_gap(i, &at, f.end) != blocks)
		return -ENOSPC;
	f.from = ns_spare_find(ns, attr->uid, f.first, blocks);
	if (!f.from)
		return -ENOSPC;
	uint64_t rest = blocks - inode_blocks(f.from);
	int r = rest == 0 ? 0
			  : alloc_plan(ns_meta(ns)->alloc, rest, ns_unit_of(ns, i), &f.extents,
				    &f.count);
	if (r < 0)
		return r;
	attr->flags |= GM_INODE_HELD | GM_INODE_INHERITED;
	*ret = f;
	return 0;
}

int ns_plan_growth(const struct namespace *ns, const struct inode *i, struct inode_attr *attr,
	uint64_t first, uint64_t end, struct ns_fill *ret)
{
	int r = ns_plan_fill(ns, i, first, end, ret);

	if (r != -ENOSPC)
		return r;
	ret->first = first;
	ret->end = end;
	return plan_with_spare(ns, i, attr, ret);
}

void ns_fill_deinit(struct ns_fill *f)
{
	free_pointerp(&f->extents);
}

void ns_add_fill(struct txn *t, const struct inode *i, const struct ns_fill *f)
{
	uint64_t at = f->first, gap = 0;

	if (f->from)
		at = ns_spare_give(t, f->from, i->attr.ino, at);
	for (size_t n = 0; n < f->count; n++)
		for (struct alloc_extent left = f->extents[n]; left.count > 0;) {
			struct file_extent added = {.block = left.block, .region = left.region};

			if (gap == 0)
				gap = ns_next_gap(i, &at, f->end);
			added.file_block = at;
			added.count = gap < left.count ? (uint32_t)gap : left.count;
			txn_add_extent(t, i->attr.ino, &added);
			at += added.count;
			gap -= added.count;
			left.block += added.count;
			left.count -= added.count;
		}
}
