/* SPDX-License-Identifier: MIT */
/*
 * The units of 4 KiB in the blocks of the content store's file: which are free, and which to take
 * next. A unit's number is its place in that file; blocks may be missing anywhere. All of it is
 * derived from the metadata, and nothing of it is stored.
 *
 * A run is taken where it fits best, in the first block that has room for it, so that what is small
 * comes to lie close together and the last blocks become empty.
 */
#ifndef GM_ALLOC_UNITS_H
#define GM_ALLOC_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/bits.h"

struct units_block {
	struct bits used; /* all ones where the block is missing */
	uint16_t free;
	bool there;
	bool bad; /* what is free in it is not to be taken */
};

struct units {
	struct units_block *blocks; /* owned */
	uint16_t *longest;          /* by block: the longest run that is free; owned */
	uint64_t room;              /* blocks that there is memory for */
	uint64_t there;             /* blocks that are not missing */
	uint64_t empty;             /* of these, blocks with every unit free */
	uint64_t free;              /* units, of blocks that are not bad */
	uint64_t bad;               /* blocks */
};

struct units_run {
	uint64_t unit;
	uint64_t count;
};

void units_deinit(struct units *u);

/* Memory for blocks below `end`. 0 or -ENOMEM. */
int units_reserve(struct units *u, uint64_t end);

/* True if each of the blocks is there and has no used unit. */
bool units_is_empty(const struct units *u, uint64_t block, uint64_t count);

/* True if every unit is free; units of missing blocks are not. */
bool units_is_free(const struct units *u, uint64_t unit, uint64_t count);

/* True if any of the units lies in a bad block. */
bool units_any_bad(const struct units *u, uint64_t unit, uint64_t count);

/*
 * Chooses so many free units: first those that follow `near`, where that is free, then by runs, the
 * longest that are needed first. runs is malloc'ed, the caller frees. Nothing is taken. -ENOSPC;
 * -ENOMEM.
 */
int units_plan(struct units *u, uint64_t near, uint64_t need, struct units_run **runs, size_t *n);

/* Changes, which the caller has checked: they can't fail. There is memory for added blocks. */
void units_add_blocks(struct units *u, uint64_t block, uint64_t count);    /* missing -> free */
void units_remove_blocks(struct units *u, uint64_t block, uint64_t count); /* empty -> missing */
void units_take(struct units *u, uint64_t unit, uint64_t count);           /* free -> used */
void units_give(struct units *u, uint64_t unit, uint64_t count);           /* used -> free */
void units_set_bad(struct units *u, uint64_t block); /* it is there; until it is removed */

#endif
