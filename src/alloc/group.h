/* SPDX-License-Identifier: MIT */
/*
 * What the files of src/alloc share: the pool, its regions and groups, and how the state of blocks
 * in one group changes. Every change goes through group_change(), which keeps counts, sets and
 * indexes right.
 *
 * Groups of all regions are numbered from 1 in one sequence, with a number left out before each
 * region, so that groups with adjacent numbers adjoin. Regions have only the groups in which data
 * blocks lie; the first and the last of them may be data only in part.
 */
#ifndef GM_ALLOC_GROUP_H
#define GM_ALLOC_GROUP_H

#include "alloc/alloc.h"
#include "alloc/bits.h"
#include "alloc/group_index.h"
#include "alloc/group_set.h"
#include "guestmemfs/types.h"

#define GROUP_BLOCKS BITS

/* Sets of the maps of enum alloc_map. */
#define MAP_BIT(map) (1U << (map))
#define USED         MAP_BIT(ALLOC_MAP_USED)
#define CLEAN        MAP_BIT(ALLOC_MAP_CLEAN)
#define POISONED     MAP_BIT(ALLOC_MAP_POISONED)
#define QUARANTINED  MAP_BIT(ALLOC_MAP_QUARANTINED)
#define GROUP_MAPS   4U

struct group {
	struct bits map[GROUP_MAPS]; /* by enum alloc_map; zero outside the data blocks */
	/*
	 * The block of bit 0 in the region; modulo 2^64, since a region may begin within a group.
	 */
	uint64_t start;
	uint16_t region;
	uint16_t data_first, data_count; /* bits that are data blocks */
	uint16_t free;                   /* and sound */
	uint16_t free_dirty;             /* of these */
};

struct region {
	struct alloc_region desc;
	uint64_t base; /* plus (block + phase) / GROUP_BLOCKS, modulo 2^64: the block's group */
	uint32_t first_group;
	uint32_t group_count;
};

struct alloc {
	struct group *groups; /* by number */
	uint32_t group_end;   /* numbers in use are below it */
	uint32_t region_count;
	struct region regions[GM_REGIONS_MAX];
	struct alloc_stats stats; /* but free_groups, which the sets count */

	/*
	 * The groups with every block free and sound; those that are clean
	 * throughout, and the others.
	 */
	struct group_set whole_clean, whole_dirty;
	/* The groups with a free, dirty, sound block. */
	struct group_set dirty;
	/* The groups that are free in part: by the longest run that is free, and by the longest
	 * that is also clean. */
	struct group_index part, part_clean;
};

/* The part of a range that lies in one group. */
struct span {
	uint32_t group;
	uint32_t bit;
	uint32_t count;
};

/*
 * for (struct walk w = walk_extent(a, e); walk_next(&w, &span);) visits the parts
 * of a data range in order.
 */
struct walk {
	uint64_t position; /* the group's number, times GROUP_BLOCKS, plus the bit */
	uint32_t left;
};
struct walk walk_extent(const struct alloc *a, const struct alloc_extent *e);
bool walk_next(struct walk *w, struct span *s);

/* A change of state: maps in which the blocks must stand or must not stand before; maps to enter
 * and to leave. */
struct change {
	uint8_t in, not_in;
	uint8_t enter, leave;
};

/* True if every block of the span is in all maps of in, and in none of not_in. */
bool group_matches(const struct alloc *a, struct span s, unsigned in, unsigned not_in);

void group_change(struct alloc *a, struct span s, const struct change *c);

/*
 * Withholds free, sound blocks of a group while a plan is made, and gives them
 * back, in the reverse order.
 */
struct hold {
	struct group_place part, part_clean;
};
struct hold group_hold(struct alloc *a, struct span s);
void group_unhold(struct alloc *a, struct span s, struct hold h);

/* The free, sound blocks; those of them that are clean, or dirty. */
struct bits group_free_map(const struct group *g);
struct bits group_free_clean_map(const struct group *g);
struct bits group_free_dirty_map(const struct group *g);

#endif
