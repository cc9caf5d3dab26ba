/* SPDX-License-Identifier: MIT */
/*
 * What the files of content share among themselves: ns_content.c (writing, fallocate),
 * ns_content_bytes.c (bytes in memory, and reading them) and ns_content_store.c (the blocks that
 * they lie in).
 */
#ifndef GM_FUSE_NS_CONTENT_H
#define GM_FUSE_NS_CONTENT_H

#include "fuse/ns_internal.h"

static inline uint64_t ns_units_for(uint64_t bytes)
{
	return (bytes + GM_UNIT_SIZE - 1) >> GM_UNIT_SHIFT;
}

static inline uint64_t ns_unit_start(uint64_t unit)
{
	return unit << GM_UNIT_SHIFT;
}

static inline uint64_t ns_smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t ns_greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* -EISDIR; -EOPNOTSUPP it has no content. */
int ns_find_content_file(const struct namespace *ns, uint64_t ino, struct inode **ret);

/* The first piece that overlaps [first, end) of the file's units; NULL: there is none. */
const struct file_extent *ns_piece_from(const struct inode *i, uint64_t first, uint64_t end);

/* Sees to the memory of units of the content store, or of all that the file has in [first, end). 0;
 * -EINPROGRESS; -EIO, also where it is poisoned. */
int ns_want_units(const struct namespace *ns, uint64_t unit, uint64_t count);
int ns_want_pieces(const struct namespace *ns, const struct inode *i, uint64_t first, uint64_t end);

/*
 * Stores bytes [from, to) of a file as far as they lie in the piece: those of data, which begins at
 * file offset `at`, or zeros. -EIO: not all of them.
 */
int ns_store_bytes(const struct namespace *ns, const struct file_extent *p, uint64_t from,
	uint64_t to, const void *data, uint64_t at);

/* The same in whatever the file has there; holes stay what they are. */
int ns_store_in_place(const struct namespace *ns, const struct inode *i, uint64_t from, uint64_t to,
	const void *data, uint64_t at);

#endif
