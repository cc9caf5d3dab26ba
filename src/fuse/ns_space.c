// SPDX-License-Identifier: MIT
/* fallocate(2) and the two questions of lseek(2): which parts of a file have memory. */
#include <errno.h>
#include <unistd.h>

#include "fuse/ns_internal.h"
#include "store/extents.h"
#include "util/cleanup.h"

/* In blocks of the file, [first, end). */
struct span {
	uint64_t first, end;
};

static int find_file(
	const struct namespace *ns, uint64_t ino, const struct ns_range *range, struct inode **ret)
{
	int r = ns_find(ns, ino, ret);

	if (r < 0)
		return r;
	if (!S_ISREG((*ret)->attr.mode))
		return inode_is_dir(*ret) ? -EISDIR : -ENODEV;
	return range->length == 0 ? -EINVAL : 0;
}

static bool is_too_far(const struct ns_range *range)
{
	return range->offset > NS_SIZE_LIMIT || range->length > NS_SIZE_LIMIT - range->offset;
}

/* ---- allocating ---- */

/* Whatever makes a file longer leaves no hole behind: one comes by punching only. */
static struct span span_to_fill(
	const struct namespace *ns, const struct inode *i, const struct ns_range *range, bool grows)
{
	uint64_t granule = ns_granule_of(ns, i), old_end = ns_blocks_for(i->attr.size);
	struct span s = {
		.first = range->offset >> GM_BLOCK_SHIFT,
		.end = ns_blocks_for(range->offset + range->length),
	};

	if (grows && s.first > old_end)
		s.first = old_end;
	s.first -= s.first % granule;
	s.end += (granule - s.end % granule) % granule;
	return s;
}

static int allocate(struct namespace *ns, const struct ns_request *rq, struct txn *t,
	const struct inode *i, struct inode_attr *attr, const struct ns_range *range, bool keep)
{
	_cleanup_(ns_fill_deinit) struct ns_fill fill = NS_FILL_NULL;
	uint64_t end = range->offset + range->length;
	bool grows = !keep && end > attr->size;
	struct span s;
	int r;

	if (is_too_far(range))
		return -EFBIG;
	if (grows && ns_granule_of(ns, i) > 1 && end % GM_GROUP_SIZE != 0)
		return -EINVAL;
	s = span_to_fill(ns, i, range, grows);
	r = ns_plan_fill(ns, i, s.first, s.end, &fill);
	if (r == -ENOSPC) {
		r = ns_reclaim_contents(ns, rq);
		r = r < 0 ? r : ns_plan_fill(ns, i, s.first, s.end, &fill);
	}
	if (r < 0)
		return r;
	if ((grows || fill.count > 0) && (attr->flags & GM_INODE_EXPORTED))
		return -EBUSY;
	if (grows)
		attr->size = end;
	txn_put_inode(t, attr);
	ns_add_fill(t, i, &fill);
	return 0;
}

/* ---- punching ---- */

/* Where the range ends: past the end of the file there is nothing to keep in its last block. */
static uint64_t end_to_punch(const struct inode *i, const struct ns_range *range)
{
	uint64_t end = is_too_far(range) ? NS_SIZE_LIMIT : range->offset + range->length;

	return end < i->attr.size ? end : ns_blocks_for(end) << GM_BLOCK_SHIFT;
}

/* The multiples of granule, in blocks, that lie in the range whole; first >= end: there are none.
 */
static struct span whole_in(const struct inode *i, const struct ns_range *range, uint64_t granule)
{
	struct span s = {
		.first = ns_blocks_for(range->offset),
		.end = end_to_punch(i, range) >> GM_BLOCK_SHIFT,
	};

	s.first += (granule - s.first % granule) % granule;
	s.end -= s.end % granule;
	return s;
}

static bool cut_to(struct file_extent *e, const struct span *s)
{
	uint64_t first = e->file_block > s->first ? e->file_block : s->first;
	uint64_t end = e->file_block + e->count < s->end ? e->file_block + e->count : s->end;

	if (first >= end)
		return false;
	e->block += first - e->file_block;
	e->file_block = first;
	e->count = (uint32_t)(end - first);
	return true;
}

static void free_blocks(struct txn *t, const struct inode *i, const struct span *s)
{
	for (uint32_t n = 0; n < i->extent_count; n++) {
		struct file_extent e = i->extents[n];

		if (cut_to(&e, s))
			txn_remove_extent(t, i->attr.ino, &e);
	}
}

/* Blocks that can't be freed, since they would leave a part of their GiB behind. */
static void empty_blocks(struct txn *t, const struct inode *i, const struct span *s)
{
	for (uint32_t n = 0; n < i->extent_count; n++) {
		struct file_extent e = i->extents[n];

		if (cut_to(&e, s)) {
			struct alloc_extent a = {e.block, e.region, e.count};

			txn_set_blocks(t, &a, GM_BLOCKS_DIRTY);
		}
	}
}

static int punch(const struct namespace *ns, struct txn *t, const struct inode *i,
	struct inode_attr *attr, const struct ns_range *range)
{
	struct span whole = whole_in(i, range, 1), freed = whole_in(i, range, ns_granule_of(ns, i));
	uint64_t stale = attr->stale_from >> GM_BLOCK_SHIFT;

	if (inode_is_held(i))
		return -EBUSY;
	if (freed.first >= freed.end)
		freed = (struct span){whole.first, whole.first};
	if (stale >= whole.first && stale < whole.end)
		attr->stale_from = 0; /* the rest of its block goes, or will be zeroed with it */
	txn_put_inode(t, attr);
	free_blocks(t, i, &freed);
	empty_blocks(t, i, &(struct span){whole.first, freed.first});
	empty_blocks(t, i, &(struct span){freed.end, whole.end});
	return 0;
}

int ns_punch_edges(const struct namespace *ns, uint64_t ino, const struct ns_range *range,
	struct ns_range ret[2])
{
	uint64_t end, first_end;
	struct inode *i;
	int count = 0;
	int r = find_file(ns, ino, range, &i);

	if (r == 0 && (inode_is_held(i) || store_is_frozen(ns->store)))
		r = -EBUSY;
	if (r < 0 || inode_has_content(i))
		return r;
	end = end_to_punch(i, range);
	first_end = ns_blocks_for(range->offset) << GM_BLOCK_SHIFT; /* of the block at the start */
	if (first_end > end)
		first_end = end;
	if (range->offset < first_end && ns_has_data(ns, i, range->offset >> GM_BLOCK_SHIFT))
		ret[count++] = (struct ns_range){range->offset, first_end - range->offset};
	if (end > first_end && end % GM_BLOCK_SIZE != 0 &&
		ns_has_data(ns, i, end >> GM_BLOCK_SHIFT))
		ret[count++] = (struct ns_range){end - end % GM_BLOCK_SIZE, end % GM_BLOCK_SIZE};
	return count;
}

uint64_t ns_space_step(
	const struct namespace *ns, uint64_t ino, enum ns_space what, const struct ns_range *range)
{
	uint64_t step = NS_STEP - range->offset % NS_STEP;
	const struct inode *i = meta_inode(ns_meta(ns), ino);

	if (!i || !inode_has_content(i) || what == NS_PUNCH || is_too_far(range))
		return range->length;
	return range->length < step ? range->length : step;
}

int ns_change_space(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	enum ns_space what, const struct ns_range *range)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_FALLOCATE, rq->unique);
	struct inode_attr attr;
	struct inode *i;
	int r = find_file(ns, ino, range, &i);

	if (r < 0)
		return r;
	if (inode_has_content(i))
		return what == NS_PUNCH
			       ? ns_punch_content(ns, rq, i, range)
			       : ns_allocate_content(ns, rq, i, range, what == NS_ALLOCATE_KEEP);
	attr = i->attr;
	ns_set_changed(&attr, &rq->now);
	t.result = ino;
	if (what == NS_PUNCH)
		r = punch(ns, &t, i, &attr, range);
	else
		r = allocate(ns, rq, &t, i, &attr, range, what == NS_ALLOCATE_KEEP);
	return r < 0 ? r : store_commit(ns->store, &t);
}

/* ---- seeking ---- */

/* The first byte from offset on that lies in memory; behind all others if there is none. */
static uint64_t find_data(const struct inode *i, uint64_t offset)
{
	const struct file_extent *e = extents_find_after(i, offset >> GM_BLOCK_SHIFT);
	uint64_t start = e ? e->file_block << GM_BLOCK_SHIFT : UINT64_MAX;

	return start > offset ? start : offset;
}

/* The first byte from offset on that lies in none. */
static uint64_t find_hole(const struct inode *i, uint64_t offset)
{
	uint64_t at = offset >> GM_BLOCK_SHIFT;
	const struct file_extent *e;

	while ((e = extents_find_after(i, at)) && e->file_block <= at)
		at = e->file_block + e->count;
	at <<= GM_BLOCK_SHIFT;
	return at > offset ? at : offset;
}

int ns_seek(const struct namespace *ns, uint64_t ino, uint64_t offset, int whence, uint64_t *ret)
{
	struct inode *i;
	uint64_t found;
	int r = ns_find(ns, ino, &i);

	if (r < 0)
		return r;
	if (!S_ISREG(i->attr.mode) || (whence != SEEK_DATA && whence != SEEK_HOLE))
		return -EINVAL;
	if (offset >= i->attr.size)
		return -ENXIO;
	if (inode_has_content(i))
		found = ns_find_content(i, offset, whence == SEEK_DATA);
	else
		found = whence == SEEK_DATA ? find_data(i, offset) : find_hole(i, offset);
	if (found >= i->attr.size && whence == SEEK_DATA)
		return -ENXIO;
	*ret = found < i->attr.size ? found : i->attr.size; /* every file ends in a hole */
	return 0;
}
