/* SPDX-License-Identifier: MIT */
/*
 * A file's extents by ascending file_block, merged where they adjoin in the file and in the region.
 */
#ifndef GM_STORE_EXTENTS_H
#define GM_STORE_EXTENTS_H

#include "store/meta.h"

/* Room for `more` further extents. 0 or -ENOMEM. */
int extents_reserve(struct inode *file, uint32_t more);

/* The first extent that ends after this block of the file; NULL past the last one. */
const struct file_extent *extents_find_after(const struct inode *file, uint64_t file_block);

/* True if the file has any block in [file_block, file_block + count). */
bool extents_overlap(const struct inode *file, uint64_t file_block, uint64_t count);

/* True if the file has exactly these blocks at this place, in one extent. */
bool extents_contain(const struct inode *file, const struct file_extent *e);

/* There must be room and no overlap. Returns by how many the number of extents has changed. */
int extents_insert(struct inode *file, const struct file_extent *e);

/* True if the blocks lie inside an extent that goes on both before and after them. */
bool extents_would_split(const struct inode *file, const struct file_extent *e);

/* The file must contain it; there must be room if it splits an extent. Returns by how many the
 * number of extents has changed. */
int extents_remove(struct inode *file, const struct file_extent *e);

#endif
