// SPDX-License-Identifier: MIT
/* Questions about blocks: their states, runs of them, whole maps. Nothing here changes anything. */
#include "alloc/group.h"

#include <endian.h>
#include <string.h>

#define MAP_WORD 64U

bool alloc_is_data(const struct alloc *a, uint32_t region, uint64_t block, uint64_t count)
{
	const struct alloc_region *r;

	if (region >= a->region_count || !count)
		return false;
	r = &a->regions[region].desc;
	if (block < r->first_data || block - r->first_data >= r->data_blocks)
		return false;
	return count <= r->data_blocks - (block - r->first_data);
}

uint64_t alloc_granule(const struct alloc *a)
{
	return a->region_count > 0 && a->regions[0].desc.whole_groups ? GROUP_BLOCKS : 1;
}

bool alloc_is_aligned(const struct alloc *a, const struct alloc_extent *e)
{
	uint64_t granule = alloc_granule(a);

	return (e->block + a->regions[e->region].desc.phase) % granule == 0 &&
	       e->count % granule == 0;
}

static bool extent_matches(
	const struct alloc *a, const struct alloc_extent *e, unsigned in, unsigned not_in)
{
	struct span s;

	if (!alloc_is_data(a, e->region, e->block, e->count))
		return false;
	for (struct walk w = walk_extent(a, e); walk_next(&w, &s);)
		if (!group_matches(a, s, in, not_in))
			return false;
	return true;
}

bool alloc_is_free(const struct alloc *a, const struct alloc_extent *e)
{
	return extent_matches(a, e, 0, USED | QUARANTINED | POISONED);
}

bool alloc_is_used(const struct alloc *a, const struct alloc_extent *e)
{
	return extent_matches(a, e, USED, 0);
}

bool alloc_is_quarantined(const struct alloc *a, const struct alloc_extent *e)
{
	return extent_matches(a, e, QUARANTINED, 0);
}

bool alloc_any_poisoned(const struct alloc *a, const struct alloc_extent *e)
{
	return alloc_is_data(a, e->region, e->block, e->count) &&
	       !extent_matches(a, e, 0, POISONED);
}

uint32_t alloc_clean_run(const struct alloc *a, const struct alloc_extent *e, bool *clean)
{
	struct walk w = walk_extent(a, e);
	struct span s;
	uint32_t run = 0;

	while (walk_next(&w, &s)) {
		const struct bits *map = &a->groups[s.group].map[ALLOC_MAP_CLEAN];
		uint32_t end;

		if (!run)
			*clean = bits_get(map, s.bit);
		end = *clean ? bits_next_clear(map, s.bit) : bits_next_set(map, s.bit);
		if (end < s.bit + s.count)
			return run + end - s.bit;
		run += s.count;
	}
	return run;
}

/*
 * The length of the run of free, dirty, sound blocks from bit on, at most max,
 * into the groups that follow.
 */
static uint32_t dirty_run(const struct alloc *a, uint32_t group, uint32_t bit, uint32_t max)
{
	uint32_t run = 0;

	while (run < max && group_set_has(&a->dirty, group)) {
		struct bits map = group_free_dirty_map(&a->groups[group]);
		uint32_t end = bits_next_clear(&map, bit);

		run += end - bit;
		if (end < GROUP_BLOCKS)
			break;
		bit = 0;
		if (++group == a->group_end)
			break;
	}
	return run < max ? run : max;
}

bool alloc_next_dirty(
	const struct alloc *a, uint64_t *cursor, uint32_t max, struct alloc_extent *ret)
{
	uint32_t from = (uint32_t)(*cursor / GROUP_BLOCKS), bit = *cursor % GROUP_BLOCKS;
	uint32_t group = max ? group_set_next(&a->dirty, from) : 0;

	for (; group; group = group_set_next(&a->dirty, group + 1)) {
		const struct group *g = &a->groups[group];
		struct bits map = group_free_dirty_map(g);
		uint32_t first = bits_next_set(&map, group == from ? bit : 0);

		if (first == GROUP_BLOCKS)
			continue;
		*ret = (struct alloc_extent){
			.block = g->start + first,
			.region = g->region,
			.count = dirty_run(a, group, first, max),
		};
		*cursor = (uint64_t)group * GROUP_BLOCKS + first + ret->count;
		return true;
	}
	return false;
}

void alloc_get_stats(const struct alloc *a, struct alloc_stats *ret)
{
	*ret = a->stats;
	ret->free_groups = a->whole_clean.count + a->whole_dirty.count;
}

uint32_t alloc_region_count(const struct alloc *a)
{
	return a->region_count;
}

const struct alloc_region *alloc_get_region(const struct alloc *a, uint32_t region)
{
	return region < a->region_count ? &a->regions[region].desc : NULL;
}

static uint64_t map_words(const struct region *r)
{
	return r->desc.blocks / MAP_WORD + (r->desc.blocks % MAP_WORD > 0);
}

uint64_t alloc_map_bytes(const struct alloc *a, uint32_t region)
{
	return map_words(&a->regions[region]) * sizeof(uint64_t);
}

/* Word i of a region's map as if groups were all there is: bit 0 is where phase would be 0. */
static uint64_t group_word(
	const struct alloc *a, const struct region *r, enum alloc_map map, uint64_t i)
{
	uint64_t index =
		i / BITS_WORDS + r->base - r->first_group; /* below 0 is far above the count */

	if (index >= r->group_count)
		return 0;
	return a->groups[r->first_group + index].map[map].word[i % BITS_WORDS];
}

void alloc_copy_map(const struct alloc *a, uint32_t region, enum alloc_map map, uint64_t from,
	uint64_t length, uint8_t *to)
{
	const struct region *r = &a->regions[region];
	uint64_t words = length / sizeof(uint64_t),
		 at = r->desc.phase / MAP_WORD + from / sizeof(uint64_t);
	unsigned shift = r->desc.phase % MAP_WORD;
	uint64_t low = group_word(a, r, map, at);

	for (uint64_t i = 0; i < words; i++) {
		uint64_t high = group_word(a, r, map, ++at);
		uint64_t word = htole64(shift ? low >> shift | high << (MAP_WORD - shift) : low);

		memcpy(to + i * sizeof(word), &word, sizeof(word));
		low = high;
	}
}
