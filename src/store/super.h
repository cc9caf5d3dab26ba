/* SPDX-License-Identifier: MIT */
/* The superblock inside the store; store.h has what others need of it. */
#ifndef GM_STORE_SUPER_H
#define GM_STORE_SUPER_H

#include "store/store.h"

/*
 * Where a region's data blocks are: after the metadata or the first stamp, before the last stamp;
 * of that the whole groups, where the plan says so.
 */
void super_data_blocks(const struct store_plan *p, const struct store_region *region,
	uint32_t index, uint64_t *first, uint64_t *count);

/* The pool's regions as an allocator, all blocks free and dirty, the caller's. 0 or -ENOMEM. */
int super_make_alloc(struct alloc **ret, const struct store_super *super);

/* Fills in what follows from the size of a slot: all places of the metadata area. */
void super_plan_slots(struct store_plan *p, uint64_t slot);

/* One copy by itself. -EUCLEAN, or -EPROTONOSUPPORT of a newer format, with a sentence. */
int super_read_copy(struct store_super *ret, const void *at, struct problem *why);

void super_encode(struct gm_super *to, const struct store_super *s);

/* NULL if copy 0 or 1 in the first block is good, else why not (written into text). For fsck. */
const char *super_copy_problem(const uint8_t *block, unsigned copy, char *text, size_t size);

#endif
