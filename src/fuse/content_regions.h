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

struct content_regions {
	struct pool *pool; /* these three are not owned */
	struct grants *grants;
	const struct meta *meta;
	int failed; /* the zeroing's error, while those who waited for it are told; 0 */
};

struct content_source content_regions_source(struct content_regions *c);

/* For grants_config.cleaned: what was waited for is clean, or can't be made so. The caller then
 * calls content_memory_arrived(). */
void content_regions_take_cleaned(struct content_regions *c, int error);

/* All who waited have been told: an error is not for those who come later. */
void content_regions_end_answer(struct content_regions *c);

#endif
