// SPDX-License-Identifier: MIT
/* Attributes, and with the size the blocks of a file. */
#include <errno.h>
#include <limits.h>

#include "fuse/ns_internal.h"
#include "util/cleanup.h"

#define SIZE_LIMIT                                                                                 \
	(1ULL << 62) /* no pool comes near it, and sums of sizes stay far from overflow */
#define NSEC_PER_SEC 1000000000L

static uint64_t blocks_for(uint64_t size)
{
	return (size + GM_BLOCK_SIZE - 1) >> GM_BLOCK_SHIFT;
}

/* ---- shrinking ---- */

static void remove_extents_from(struct txn *t, const struct inode *i, uint64_t first)
{
	for (uint32_t n = 0; n < i->extent_count; n++) {
		struct file_extent e = i->extents[n];
		uint64_t keep = e.file_block < first ? first - e.file_block : 0;

		if (keep >= e.count)
			continue;
		e.file_block += keep;
		e.block += keep;
		e.count -= (uint32_t)keep;
		txn_remove_extent(t, i->attr.ino, &e);
	}
}

/* True if the file owns this block and it is clean: it may hold the file's data. A dirty one is
 * zeroed whole. */
static bool has_data(const struct namespace *ns, const struct inode *i, uint64_t file_block)
{
	for (uint32_t n = 0; n < i->extent_count; n++) {
		const struct file_extent *e = &i->extents[n];
		struct alloc_extent one = {.region = e->region, .count = 1};
		bool clean;

		if (file_block < e->file_block || file_block - e->file_block >= e->count)
			continue;
		one.block = e->block + (file_block - e->file_block);
		alloc_clean_run(ns_meta(ns)->alloc, &one, &clean);
		return clean;
	}
	return false;
}

/*
 * Where zeroing must begin after a shrink to size. Only one place can be pending, and one is
 * enough: while it is, no grant is given, so that nothing was ever written to the blocks that were
 * added behind it.
 */
static uint64_t stale_after_shrink(const struct namespace *ns, const struct inode *i, uint64_t size)
{
	uint64_t pending = i->attr.stale_from;
	uint64_t tail = size >> GM_BLOCK_SHIFT;
	uint64_t pending_block = pending >> GM_BLOCK_SHIFT;

	if (pending != 0 && pending_block < tail)
		return pending;
	if (size % GM_BLOCK_SIZE == 0 || !has_data(ns, i, tail))
		return 0; /* the pending one's block is gone, or will be zeroed whole */
	if (pending != 0 && pending_block == tail && pending < size)
		return pending;
	return size;
}

static int shrink(const struct namespace *ns, struct txn *t, const struct inode *i,
	struct inode_attr *attr, uint64_t size)
{
	if (inode_is_held(i))
		return -EBUSY;
	remove_extents_from(t, i, blocks_for(size));
	attr->stale_from = stale_after_shrink(ns, i, size);
	attr->size = size;
	return 0;
}

/* ---- growing ---- */

struct growth {
	struct alloc_extent *extents; /* owned */
	size_t count;
	uint64_t file_block; /* of the first one */
};

static void growth_deinit(struct growth *g)
{
	free_pointerp(&g->extents);
}

static int plan_growth(
	const struct namespace *ns, struct growth *g, struct inode_attr *attr, uint64_t size)
{
	uint64_t have = blocks_for(attr->size);
	uint64_t want = blocks_for(size);

	attr->size = size;
	if (want == have)
		return 0;
	g->file_block = have;
	return alloc_plan(ns_meta(ns)->alloc, want - have, ALLOC_UNIT_AUTO, &g->extents, &g->count);
}

static void add_growth(struct txn *t, uint64_t ino, const struct growth *g)
{
	uint64_t at = g->file_block;

	for (size_t n = 0; n < g->count; n++) {
		const struct alloc_extent *e = &g->extents[n];
		struct file_extent added = {
			.file_block = at,
			.block = e->block,
			.region = e->region,
			.count = e->count,
		};

		txn_add_extent(t, ino, &added);
		at += e->count;
	}
}

/* ---- all together ---- */

static int set_time(
	const struct ns_request *rq, const struct timespec *wanted, struct timespec *ret)
{
	if (wanted->tv_nsec == UTIME_NOW)
		*ret = rq->now;
	else if (wanted->tv_nsec >= 0 && wanted->tv_nsec < NSEC_PER_SEC)
		*ret = *wanted;
	else
		return -EINVAL;
	return 0;
}

/* The size comes first: a time that was given explicitly wins over the one that a new size brings.
 */
static int change_times(
	struct inode_attr *attr, const struct ns_request *rq, const struct ns_change *c)
{
	struct timespec time;
	int r;

	if (c->set & NS_SET_SIZE)
		ns_set_mtime(attr, &rq->now);
	if (c->set & NS_SET_ATIME) {
		r = set_time(rq, &c->atime, &time);
		if (r < 0)
			return r;
		ns_set_atime(attr, &time);
	}
	if (c->set & NS_SET_MTIME) {
		r = set_time(rq, &c->mtime, &time);
		if (r < 0)
			return r;
		ns_set_mtime(attr, &time);
	}
	ns_set_ctime(attr, &rq->now);
	return 0;
}

static void change_owner_and_mode(struct inode_attr *attr, const struct ns_change *c)
{
	if (c->set & NS_SET_MODE)
		attr->mode = (attr->mode & S_IFMT) | (c->mode & 07777);
	if (c->set & NS_SET_UID)
		attr->uid = c->uid;
	if (c->set & NS_SET_GID)
		attr->gid = c->gid;
}

static int change_size(const struct namespace *ns, struct txn *t, const struct inode *i,
	struct inode_attr *attr, uint64_t size, struct growth *g)
{
	if (inode_is_dir(i))
		return -EISDIR;
	if (!inode_is_file(i))
		return -EINVAL;
	if (size > SIZE_LIMIT)
		return -EFBIG;
	/* As on hugetlbfs: what is mapped by whole pages can't end within one. */
	if (alloc_granule(ns_meta(ns)->alloc) > 1 && size % GM_GROUP_SIZE != 0)
		return -EINVAL;
	if (size < attr->size)
		return shrink(ns, t, i, attr, size);
	/* Its node is one device over what the file is now, and can't grow. */
	if (size > attr->size && (attr->flags & GM_INODE_EXPORTED))
		return -EBUSY;
	return plan_growth(ns, g, attr, size);
}

int ns_setattr(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	const struct ns_change *change, struct stat *ret)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, rq->unique);
	_cleanup_(growth_deinit) struct growth g = {.extents = NULL};
	struct inode_attr attr;
	struct inode *i;
	int r = ns_find(ns, ino, &i);

	if (r < 0 || change->set == 0)
		return r < 0 ? r : ns_getattr(ns, ino, ret);
	if (inode_is_symlink(i) && (change->set & NS_SET_MODE))
		return -EOPNOTSUPP;
	attr = i->attr;
	change_owner_and_mode(&attr, change);
	r = change_times(&attr, rq, change);
	if (r < 0)
		return r;
	if (change->set & NS_SET_SIZE) {
		r = change_size(ns, &t, i, &attr, change->size, &g);
		if (r < 0)
			return r;
	}
	/* Blocks that go, the inode, blocks that come: at no point between has it blocks beyond its
	 * size. */
	txn_put_inode(&t, &attr);
	add_growth(&t, ino, &g);
	t.result = ino;
	r = store_commit(ns->store, &t);
	return r < 0 ? r : ns_getattr(ns, ino, ret);
}
