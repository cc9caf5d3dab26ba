// SPDX-License-Identifier: MIT
/* Attributes, and with the size the blocks of a file. */
#include <errno.h>

#include "fuse/ns_internal.h"
#include "util/cleanup.h"

#define NSEC_PER_SEC 1000000000L

/* ---- shrinking ---- */

static void remove_extents_from(struct txn *t, const struct inode *i, uint64_t first)
{
	for (uint32_t n = i->extent_count; n-- > 0;) {
		struct file_extent e = i->extents[n];
		uint64_t keep = e.file_block < first ? first - e.file_block : 0;

		if (keep >= e.count)
			break;
		e.file_block += keep;
		e.block += keep;
		e.count -= (uint32_t)keep;
		txn_remove_extent(t, i->attr.ino, &e);
	}
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
	if (size % GM_BLOCK_SIZE == 0 || !ns_has_data(ns, i, tail))
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
	remove_extents_from(t, i, ns_blocks_for(size));
	if (size < attr->size)
		attr->stale_from = stale_after_shrink(ns, i, size);
	attr->size = size;
	return 0;
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

static int change_size(struct namespace *ns, const struct ns_request *rq, struct txn *t,
	const struct inode *i, struct inode_attr *attr, uint64_t size, struct ns_fill *fill)
{
	uint64_t old = attr->size;
	int r;

	if (inode_is_dir(i))
		return -EISDIR;
	if (!inode_is_file(i))
		return -EINVAL;
	if (size > NS_SIZE_LIMIT)
		return -EFBIG;
	if (inode_has_content(i))
		return ns_resize_content(ns, t, i, attr, size);
	/* As on hugetlbfs: what is mapped by whole pages can't end within one. */
	if (!ns_size_fits(ns, i, size))
		return -EINVAL;
	/* The size that it has: what fallocate(2) took beyond it goes, if nobody may map the file.
	 */
	if (size < old || (size == old && !inode_is_held(i)))
		return shrink(ns, t, i, attr, size);
	/* Its node is one device over what the file is now, and can't grow. */
	if (size > old && (attr->flags & GM_INODE_EXPORTED))
		return -EBUSY;
	attr->size = size;
	r = ns_plan_growth(ns, i, attr, ns_blocks_for(old), ns_blocks_for(size), fill);
	if (r != -ENOSPC)
		return r;
	r = ns_reclaim_contents(ns, rq);
	return r < 0 ? r
		     : ns_plan_growth(ns, i, attr, ns_blocks_for(old), ns_blocks_for(size), fill);
}

int ns_setattr(struct namespace *ns, const struct ns_request *rq, uint64_t ino,
	const struct ns_change *change, struct stat *ret)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, rq->unique);
	_cleanup_(ns_fill_deinit) struct ns_fill fill = NS_FILL_NULL;
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
		r = change_size(ns, rq, &t, i, &attr, change->size, &fill);
		if (r < 0)
			return r;
	}
	/* Blocks that go, the inode, blocks that come. */
	uint64_t from = fill.from ? fill.from->attr.ino : 0;
	if (from)
		ns_spare_take(&t, fill.from);
	txn_put_inode(&t, &attr);
	if (change->set & NS_SET_MODE)
		r = ns_follow_mode(ns, &t, &attr);
	if (r < 0)
		return r;
	ns_add_fill(&t, i, &fill);
	t.result = ino;
	r = store_commit(ns->store, &t);
	if (r < 0)
		return r;
	if (from)
		ns_spare_given(ns, from, ino, fill.first);
	return ns_getattr(ns, ino, ret);
}
