/* SPDX-License-Identifier: MIT */
/*
 * The content store's memory on file and pmem regions: mapped from the regions' own descriptors, as
 * the metadata area is. Blocks that are not clean are zeroed by the helper first.
 */
#ifndef GM_FUSE_CONTENT_REGIONS_H
#define GM_FUSE_CONTENT_REGIONS_H

#include "fuse/content_memory.h"

struct grants;
struct pool;

#define CONTENT_FAILURES 4U /* beyond, an error is one of all */

struct content_regions {
	struct pool *pool; /* these three are not owned */
	struct grants *grants;
	const struct meta *meta;
	/* The zeroing's errors, while those who waited are told: */
	int failed; /* of all that is not clean; 0 */
	struct content_failure {
		struct alloc_extent blocks;
		int error;
	} failures[CONTENT_FAILURES]; /* of these blocks */
	unsigned failure_count;
};

struct content_source content_regions_source(struct content_regions *c);

/* For grants_config.cleaned: what was waited for is clean, or can't be made so: all of it
 * (blocks: NULL), or these blocks. The caller then calls content_memory_arrived(). */
void content_regions_take_cleaned(
	struct content_regions *c, int error, const struct alloc_extent *blocks);

/* All who waited have been told: an error is not for those who come later. */
void content_regions_end_answer(struct content_regions *c);

#endif
