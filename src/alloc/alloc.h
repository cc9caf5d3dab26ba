/* SPDX-License-Identifier: MIT */
/*
 * Space: which blocks of which region are free, owned, clean, poisoned or quarantined, and which to
 * take next.
 *
 * Pure memory: no I/O, no clock, no threads. It takes numbers and gives extents. All counts are in
 * blocks of 2 MiB. A group is 512 blocks that are 1 GiB aligned in physical memory (for file
 * regions: in the file).
 *
 * A data block is in exactly one of three states: free, used (owned by an extent) or quarantined
 * (nobody's, not given out). Beside that it is clean or dirty, and sound or poisoned. Only free,
 * sound blocks are planned.
 */
#ifndef GM_ALLOC_ALLOC_H
#define GM_ALLOC_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct alloc;

struct alloc_extent {
	uint64_t block; /* in the region */
	uint32_t region;
	uint32_t count;
};

struct alloc_region {
	uint64_t blocks;      /* the whole region */
	uint64_t first_data;  /* the data blocks: [first_data, first_data + data_blocks) */
	uint64_t data_blocks; /* the rest is never given out and belongs to no state */
	uint64_t phase; /* (physical start / block size) % 512: where in its group block 0 lies */
	bool whole_groups; /* its data blocks are whole groups, and are owned by whole groups only
			    */
};

struct alloc_stats {
	uint64_t data;       /* all data blocks */
	uint64_t free;       /* free and sound: what can be given out */
	uint64_t free_dirty; /* of these, dirty */
	uint64_t used;       /* owned */
	uint64_t used_dirty; /* of these, dirty */
	uint64_t poisoned;   /* poisoned, in whatever state */
	uint64_t quarantined;
	uint64_t free_groups; /* whole groups with every block free and sound */
};

enum alloc_unit {
	ALLOC_UNIT_AUTO, /* from 1 GiB on whole groups first, then the fullest groups with room */
	ALLOC_UNIT_2M,   /* never break a whole group while others have room */
	ALLOC_UNIT_1G,   /* whole groups only; nblocks must be a multiple of 512 */
};

enum alloc_map {
	ALLOC_MAP_USED,
	ALLOC_MAP_CLEAN,
	ALLOC_MAP_POISONED,
	ALLOC_MAP_QUARANTINED,
};

/* NULL when out of memory. Starts without regions. */
struct alloc *alloc_new(void);
struct alloc *alloc_free(struct alloc *a); /* NULL is fine; returns NULL */

/*
 * Adds the next region (numbers count from 0); all its data blocks are free, sound and dirty.
 * -ENOMEM; -EINVAL if the data blocks do not lie in the region, phase >= 512, data blocks that are
 * to be whole groups and are not, or whole_groups is another than the first region's; -E2BIG past
 * GM_REGIONS_MAX or past 16 PiB in all. On an error the pool is as before.
 */
int alloc_add_region(struct alloc *a, const struct alloc_region *desc);

/*
 * Chooses nblocks free blocks and gives them as extents (malloc'ed, the caller frees), in the order
 * in which the file should use them; adjoining blocks are one extent. Nothing is taken:
 * alloc_claim() does that, and the plan holds as long as nothing else is claimed. Clean blocks are
 * preferred where the choice costs no contiguity of 1 GiB. Where the regions are of whole groups,
 * every unit is ALLOC_UNIT_1G. -ENOSPC not enough free blocks (for ALLOC_UNIT_1G: free groups);
 * -ENOMEM; -EINVAL nblocks is 0, or not a multiple of 512 with ALLOC_UNIT_1G.
 */
int alloc_plan(struct alloc *a, uint64_t nblocks, enum alloc_unit unit, struct alloc_extent **ret,
	size_t *n);

/* True if [block, block + count) are data blocks of the region; count > 0. */
bool alloc_is_data(const struct alloc *a, uint32_t region, uint64_t block, uint64_t count);

/* What an extent's place in file and memory and its length are multiples of, in blocks: 1, or 512
 * where the regions are of whole groups. */
uint64_t alloc_granule(const struct alloc *a);

/* True if the data range begins and ends where alloc_granule() lets it. */
bool alloc_is_aligned(const struct alloc *a, const struct alloc_extent *e);

/* True if every block of the data range is free and sound. */
bool alloc_is_free(const struct alloc *a, const struct alloc_extent *e);
bool alloc_is_used(const struct alloc *a, const struct alloc_extent *e);
bool alloc_is_quarantined(const struct alloc *a, const struct alloc_extent *e);

/* Length of the run of blocks from e->block on, at most e->count, that are all clean (or all
 * dirty), as *clean says. */
uint32_t alloc_clean_run(const struct alloc *a, const struct alloc_extent *e, bool *clean);

/* True if any block of the range is poisoned. */
bool alloc_any_poisoned(const struct alloc *a, const struct alloc_extent *e);

/*
 * Changes of state. The ranges must be data blocks in the state named first, which the caller has
 * checked; they can't fail.
 */
void alloc_claim(struct alloc *a, const struct alloc_extent *e);   /* free, sound or not -> used */
void alloc_release(struct alloc *a, const struct alloc_extent *e); /* used -> free and dirty */
void alloc_quarantine(struct alloc *a, const struct alloc_extent *e); /* free -> quarantined */
void alloc_unquarantine(
	struct alloc *a, const struct alloc_extent *e); /* quarantined -> free and dirty */
void alloc_set_clean(struct alloc *a, const struct alloc_extent *e); /* any */
void alloc_set_dirty(struct alloc *a, const struct alloc_extent *e); /* any */
void alloc_set_poisoned(
	struct alloc *a, const struct alloc_extent *e); /* any; there is no way back */

/*
 * The next run of at most max free, dirty, sound blocks at or after *cursor (an opaque
 * position; 0 is the start), for background scrubbing; moves the cursor past it. False when
 * there is none up to the end.
 */
bool alloc_next_dirty(
	const struct alloc *a, uint64_t *cursor, uint32_t max, struct alloc_extent *ret);

void alloc_get_stats(const struct alloc *a, struct alloc_stats *ret);

/* How many regions there are; a region's description. */
uint32_t alloc_region_count(const struct alloc *a);
const struct alloc_region *alloc_get_region(const struct alloc *a, uint32_t region);

/*
 * The region's map in the form of the on-media format (include/guestmemfs/format.h, "block map"):
 * alloc_map_bytes() bytes, bit n % 8 of byte n / 8 for block n, zero outside the data blocks.
 * alloc_copy_map() gives `length` of these bytes from byte `from` on; both are multiples of 8.
 */
uint64_t alloc_map_bytes(const struct alloc *a, uint32_t region);
void alloc_copy_map(const struct alloc *a, uint32_t region, enum alloc_map map, uint64_t from,
	uint64_t length, uint8_t *to);

#endif
