// SPDX-License-Identifier: MIT
/* One group's blocks change their state, and what is counted and indexed of them follows. */
#include "alloc/group.h"

#include <assert.h>

static_assert(GROUP_BLOCKS == GM_BLOCKS_PER_GROUP, "a group is one map of bits");

struct walk walk_extent(const struct alloc *a, const struct alloc_extent *e)
{
	const struct region *r = &a->regions[e->region];

	assert(alloc_is_data(a, e->region, e->block, e->count));
	return (struct walk){
		.position = e->block + r->desc.phase + r->base * GROUP_BLOCKS,
		.left = e->count,
	};
}

bool walk_next(struct walk *w, struct span *s)
{
	if (!w->left)
		return false;
	s->group = (uint32_t)(w->position / GROUP_BLOCKS);
	s->bit = w->position % GROUP_BLOCKS;
	s->count = GROUP_BLOCKS - s->bit < w->left ? GROUP_BLOCKS - s->bit : w->left;
	w->position += s->count;
	w->left -= s->count;
	return true;
}

/* Nearly every group is data throughout, and to find that out anew each time would be felt. */
static struct bits data_map(const struct group *g)
{
	static const struct bits all = {{~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL}};

	return g->data_count == GROUP_BLOCKS ? all : bits_range(g->data_first, g->data_count);
}

struct bits group_free_map(const struct group *g)
{
	struct bits free = data_map(g);

	for (unsigned i = 0; i < BITS_WORDS; i++)
		free.word[i] &=
			~(g->map[ALLOC_MAP_USED].word[i] | g->map[ALLOC_MAP_POISONED].word[i] |
				g->map[ALLOC_MAP_QUARANTINED].word[i]);
	return free;
}

struct bits group_free_clean_map(const struct group *g)
{
	struct bits b = group_free_map(g);

	for (unsigned i = 0; i < BITS_WORDS; i++)
		b.word[i] &= g->map[ALLOC_MAP_CLEAN].word[i];
	return b;
}

struct bits group_free_dirty_map(const struct group *g)
{
	struct bits b = group_free_map(g);

	for (unsigned i = 0; i < BITS_WORDS; i++)
		b.word[i] &= ~g->map[ALLOC_MAP_CLEAN].word[i];
	return b;
}

static bool word_matches(
	const struct group *g, unsigned i, uint64_t mask, unsigned in, unsigned not_in)
{
	uint64_t odd = 0; /* blocks that do not match */

	for (unsigned m = 0; m < GROUP_MAPS; m++) {
		if (in & MAP_BIT(m))
			odd |= ~g->map[m].word[i];
		if (not_in & MAP_BIT(m))
			odd |= g->map[m].word[i];
	}
	return !(odd & mask);
}

bool group_matches(const struct alloc *a, struct span s, unsigned in, unsigned not_in)
{
	const struct group *g = &a->groups[s.group];

	for (unsigned i = s.bit / BITS_WORD; i * BITS_WORD < s.bit + s.count; i++)
		if (!word_matches(g, i, bits_word_mask(i, s.bit, s.count), in, not_in))
			return false;
	return true;
}

/*
 * Adds what the masked blocks of a word count for; sign is 1 or, for taking away, -1 modulo 2^64.
 */
static void count_word(
	struct alloc_stats *t, const struct group *g, unsigned i, uint64_t mask, uint64_t sign)
{
	uint64_t used = g->map[ALLOC_MAP_USED].word[i] & mask;
	uint64_t poisoned = g->map[ALLOC_MAP_POISONED].word[i] & mask;
	uint64_t quarantined = g->map[ALLOC_MAP_QUARANTINED].word[i] & mask;
	uint64_t free = mask & ~(used | poisoned | quarantined);
	uint64_t dirty = ~g->map[ALLOC_MAP_CLEAN].word[i];

	t->free += sign * bits_count_word(free);
	t->free_dirty += sign * bits_count_word(free & dirty);
	t->used += sign * bits_count_word(used);
	t->used_dirty += sign * bits_count_word(used & dirty);
	t->poisoned += sign * bits_count_word(poisoned);
	t->quarantined += sign * bits_count_word(quarantined);
}

static void change_word(struct group *g, unsigned i, uint64_t mask, const struct change *c)
{
	for (unsigned m = 0; m < GROUP_MAPS; m++) {
		if (c->enter & MAP_BIT(m))
			g->map[m].word[i] |= mask;
		if (c->leave & MAP_BIT(m))
			g->map[m].word[i] &= ~mask;
	}
}

static void add_stats(struct alloc_stats *to, const struct alloc_stats *delta)
{
	to->free += delta->free;
	to->free_dirty += delta->free_dirty;
	to->used += delta->used;
	to->used_dirty += delta->used_dirty;
	to->poisoned += delta->poisoned;
	to->quarantined += delta->quarantined;
}

/*
 * Changes the maps, counts and sets, not the indexes. True if the free blocks, or which of them are
 * clean, changed: a change moves all its blocks one way, so that equal counts mean equal maps.
 */
static bool change_maps(struct alloc *a, struct span s, const struct change *c)
{
	struct group *g = &a->groups[s.group];
	struct alloc_stats delta = {0};
	bool whole;

	for (unsigned i = s.bit / BITS_WORD; i * BITS_WORD < s.bit + s.count; i++) {
		uint64_t mask = bits_word_mask(i, s.bit, s.count);

		assert(word_matches(g, i, mask, c->in, c->not_in));
		count_word(&delta, g, i, mask, -1ULL);
		change_word(g, i, mask, c);
		count_word(&delta, g, i, mask, 1);
	}
	add_stats(&a->stats, &delta);
	if (!delta.free && !delta.free_dirty)
		return false;

	g->free = (uint16_t)(g->free + delta.free);
	g->free_dirty = (uint16_t)(g->free_dirty + delta.free_dirty);
	whole = g->free == GROUP_BLOCKS;
	group_set_put(&a->whole_clean, s.group, whole && !g->free_dirty);
	group_set_put(&a->whole_dirty, s.group, whole && g->free_dirty);
	group_set_put(&a->dirty, s.group, g->free_dirty > 0);
	return true;
}

/* Puts the group where it belongs in the indexes. Whole groups are in none: a part is never taken
 * from them while others have room. */
static void update_indexes(struct alloc *a, uint32_t group)
{
	const struct group *g = &a->groups[group];
	unsigned run = 0, clean_run = 0;

	if (g->free > 0 && g->free < GROUP_BLOCKS) {
		struct bits map = group_free_map(g);
		run = bits_longest_run(&map);
		clean_run = run;
	}
	if (run > 0 && g->free_dirty > 0) {
		struct bits map = group_free_clean_map(g);
		clean_run = g->free_dirty < g->free ? bits_longest_run(&map) : 0;
	}
	group_index_move(&a->part, group, g->free, run);
	group_index_move(&a->part_clean, group, g->free, clean_run);
}

void group_change(struct alloc *a, struct span s, const struct change *c)
{
	if (change_maps(a, s, c))
		update_indexes(a, s.group);
}

struct hold group_hold(struct alloc *a, struct span s)
{
	static const struct change take = {.not_in = USED | QUARANTINED | POISONED, .enter = USED};
	struct hold h = {
		.part = group_index_place(&a->part, s.group),
		.part_clean = group_index_place(&a->part_clean, s.group),
	};

	group_change(a, s, &take);
	return h;
}

void group_unhold(struct alloc *a, struct span s, struct hold h)
{
	static const struct change give = {.in = USED, .leave = USED};

	(void)change_maps(a, s, &give);
	group_index_restore(&a->part, s.group, h.part);
	group_index_restore(&a->part_clean, s.group, h.part_clean);
}
