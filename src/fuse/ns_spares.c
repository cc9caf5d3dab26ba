// SPDX-License-Identifier: MIT
/*
 * Blocks of removed files that somebody may still reach, for a file that may have them so. What is
 * handed over stays where it is in memory and stays held, so that a helper that knows nothing of it
 * takes its devices for the file's.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fuse/ns_internal.h"
#include "util/cleanup.h"

/* ---- which there are ---- */

static struct ns_spare *find_spare(const struct namespace *ns, uint64_t ino)
{
	for (size_t n = 0; n < ns->spare_count; n++)
		if (ns->spares[n].ino == ino)
			return &ns->spares[n];
	return NULL;
}

static int make_room(struct namespace *ns)
{
	size_t room = ns->spare_room ? ns->spare_room * 2 : 8;

	if (ns->spare_count < ns->spare_room)
		return 0;
	struct ns_spare *spares = reallocarray(ns->spares, room, sizeof(*spares));
	if (!spares)
		return -ENOMEM;
	ns->spares = spares;
	ns->spare_room = room;
	return 0;
}

int ns_spare_add(struct namespace *ns, const struct ns_spare *spare)
{
	struct ns_spare *known = find_spare(ns, spare->ino);
	struct inode *i;

	if (ns_find(ns, spare->ino, &i) < 0 || !inode_is_held_orphan(i))
		return -ESTALE;
	if (known) {
		*known = *spare;
		return 0;
	}
	if (make_room(ns) < 0)
		return -ENOMEM;
	ns->spares[ns->spare_count++] = *spare;
	return 0;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* All of the inode's blocks below end that are not below from. Returns how many that are. */
static uint64_t remove_between(struct txn *t, const struct inode *i, uint64_t from, uint64_t end)
{
	uint64_t sum = 0;

	for (uint32_t n = 0; n < i->extent_count; n++) {
		struct file_extent e = i->extents[n];
		uint64_t behind = min(e.file_block + e.count, end);
		uint64_t skipped = e.file_block < from ? from - e.file_block : 0;

		if (e.file_block + skipped >= behind)
			continue;
		e.file_block += skipped;
		e.block += skipped;
		e.count = (uint32_t)(behind - e.file_block);
		txn_remove_extent(t, i->attr.ino, &e);
		sum += e.count;
	}
	return sum;
}

int ns_spare_keep(struct namespace *ns, uint64_t ino, uint64_t first, uint64_t blocks)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_RELEASE, 0);
	const uint64_t granule = alloc_granule(ns_meta(ns)->alloc);
	struct inode_attr attr;
	struct inode *i;
	uint64_t removed;

	if (ns_find(ns, ino, &i) < 0 || !inode_is_held_orphan(i) ||
		!(i->attr.flags & GM_INODE_INHERITED) || blocks > UINT64_MAX - first)
		return -ESTALE;
	/* Where blocks are given out by whole GiBs, nobody was handed a part of one. */
	if (first % granule || blocks % granule)
		return -ESTALE;
	t.result = ino;
	attr = i->attr;
	attr.flags &= ~GM_INODE_FLAGS_OF_BOOT;
	txn_put_inode(&t, &attr); /* first: no block of a held inode is ever freed */
	removed = remove_between(&t, i, 0, first);
	removed += remove_between(&t, i, first + blocks, UINT64_MAX);
	txn_put_inode(&t, &i->attr);
	if (inode_blocks(i) - removed != blocks)
		return -ESTALE;
	return store_commit(ns->store, &t);
}

void ns_spare_remove(struct namespace *ns, uint64_t ino)
{
	struct ns_spare *spare = find_spare(ns, ino);

	if (spare)
		*spare = ns->spares[--ns->spare_count];
}

void ns_spares_forget(struct namespace *ns)
{
	free(ns->spares);
	ns->spares = NULL;
	ns->spare_count = ns->spare_room = 0;
}

/* NULL: somebody has opened it, or it is gone. */
static const struct inode *spare_inode(const struct namespace *ns, const struct ns_spare *spare)
{
	const struct inode *i = meta_inode(ns_meta(ns), spare->ino);

	return i && inode_is_held_orphan(i) ? i : NULL;
}

uint64_t ns_spare_blocks(const struct namespace *ns)
{
	uint64_t sum = 0;

	for (size_t n = 0; n < ns->spare_count; n++) {
		const struct inode *i = spare_inode(ns, &ns->spares[n]);

		sum += i ? inode_blocks(i) : 0;
	}
	return sum;
}

/* ---- which one fits ---- */

/*
 * A whole aligned GiB of it may be mapped by one page, so it must lie in the file as it did before,
 * up to whole GiBs.
 */
bool ns_spare_fits_pages(const struct inode *i, uint64_t file_block)
{
	for (uint32_t n = 0; n < i->extent_count; n++) {
		const struct file_extent *e = &i->extents[n];

		if (e->count >= GM_BLOCKS_PER_GROUP &&
			(file_block - e->file_block) % GM_BLOCKS_PER_GROUP != 0)
			return false;
		file_block += e->count;
	}
	return true;
}

static bool is_poisoned(const struct namespace *ns, const struct inode *i)
{
	for (uint32_t n = 0; n < i->extent_count; n++) {
		const struct file_extent *e = &i->extents[n];
		const struct alloc_extent a = {e->block, e->region, e->count};

		if (alloc_any_poisoned(ns_meta(ns)->alloc, &a))
			return true;
	}
	return false;
}

const struct inode *ns_spare_find(
	const struct namespace *ns, uint32_t uid, uint64_t file_block, uint64_t blocks)
{
	const struct inode *best = NULL;
	uint64_t most = 0;

	for (size_t n = 0; n < ns->spare_count; n++) {
		const struct ns_spare *spare = &ns->spares[n];
		const struct inode *i = spare_inode(ns, spare);
		uint64_t has = i ? inode_blocks(i) : 0;

		if (has <= most || has > blocks ||
			!(spare->any || (spare->uid == uid && i->attr.uid == uid)))
			continue;
		if (!ns_spare_fits_pages(i, file_block) || is_poisoned(ns, i))
			continue;
		best = i;
		most = has;
	}
	return best;
}

/* ---- handing over ---- */

void ns_spare_take(struct txn *t, const struct inode *from)
{
	struct inode_attr attr = from->attr;

	/* First: no block of a held inode is ever freed. */
	attr.flags &= ~GM_INODE_FLAGS_OF_BOOT;
	txn_put_inode(t, &attr);
	ns_drop_inode(t, from);
}

uint64_t ns_spare_give(struct txn *t, const struct inode *from, uint64_t ino, uint64_t file_block)
{
	for (uint32_t n = 0; n < from->extent_count; n++) {
		struct file_extent e = from->extents[n];

		e.file_block = file_block;
		txn_add_extent(t, ino, &e);
		file_block += e.count;
	}
	return file_block;
}

void ns_spare_given(struct namespace *ns, uint64_t from, uint64_t ino, uint64_t file_block)
{
	assert(ns->orphans > 0);
	ns->orphans--;
	ns_spare_remove(ns, from);
	ns->heritage = (struct ns_heritage){.from = from, .ino = ino, .file_block = file_block};
}
