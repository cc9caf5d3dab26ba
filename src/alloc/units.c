// SPDX-License-Identifier: MIT
#include "alloc/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PER_BLOCK BITS

void units_deinit(struct units *u)
{
	free(u->blocks);
	free(u->longest);
	*u = (struct units){.blocks = NULL};
}

static struct bits invert(const struct bits *b)
{
	struct bits r;

	for (unsigned i = 0; i < BITS_WORDS; i++)
		r.word[i] = ~b->word[i];
	return r;
}

int units_reserve(struct units *u, uint64_t end)
{
	uint64_t room = u->room * 2 > end ? u->room * 2 : end;
	struct units_block *blocks;
	uint16_t *longest;

	if (end <= u->room)
		return 0;
	blocks = reallocarray(u->blocks, room, sizeof(*blocks));
	if (!blocks)
		return -ENOMEM;
	u->blocks = blocks;
	longest = reallocarray(u->longest, room, sizeof(*longest));
	if (!longest)
		return -ENOMEM;
	u->longest = longest;
	for (uint64_t n = u->room; n < room; n++) {
		blocks[n] = (struct units_block){.used = bits_range(0, PER_BLOCK)};
		longest[n] = 0;
	}
	u->room = room;
	return 0;
}

/* ---- parts of a run that lie in one block ---- */

struct part {
	uint64_t block;
	unsigned from, count;
};

/* Cuts the next part off the run; false at its end. */
static bool next_part(uint64_t *unit, uint64_t *count, struct part *ret)
{
	if (*count == 0)
		return false;
	ret->block = *unit / PER_BLOCK;
	ret->from = (unsigned)(*unit % PER_BLOCK);
	ret->count = PER_BLOCK - ret->from;
	if (ret->count > *count)
		ret->count = (unsigned)*count;
	*unit += ret->count;
	*count -= ret->count;
	return true;
}

static bool part_is_free(const struct units *u, const struct part *p)
{
	const struct units_block *b = p->block < u->room ? &u->blocks[p->block] : NULL;

	return b && b->there && bits_next_set(&b->used, p->from) >= p->from + p->count;
}

static void change_part(struct units *u, const struct part *p, bool used)
{
	struct units_block *b = &u->blocks[p->block];
	struct bits mask = bits_range(p->from, p->count), unused;

	u->empty -= b->free == PER_BLOCK;
	for (unsigned i = 0; i < BITS_WORDS; i++)
		if (used)
			b->used.word[i] |= mask.word[i];
		else
			b->used.word[i] &= ~mask.word[i];
	b->free = (uint16_t)(used ? b->free - p->count : b->free + p->count);
	u->empty += b->free == PER_BLOCK;
	if (b->bad)
		return;
	u->free = used ? u->free - p->count : u->free + p->count;
	unused = invert(&b->used);
	u->longest[p->block] = (uint16_t)bits_longest_run(&unused);
}

/* ---- what is there ---- */

bool units_is_empty(const struct units *u, uint64_t block, uint64_t count)
{
	for (uint64_t n = block; n < block + count; n++)
		if (n >= u->room || !u->blocks[n].there || u->blocks[n].free != PER_BLOCK)
			return false;
	return true;
}

bool units_is_free(const struct units *u, uint64_t unit, uint64_t count)
{
	for (struct part p; next_part(&unit, &count, &p);)
		if (!part_is_free(u, &p))
			return false;
	return true;
}

bool units_any_bad(const struct units *u, uint64_t unit, uint64_t count)
{
	for (struct part p; u->bad > 0 && next_part(&unit, &count, &p);)
		if (p.block < u->room && u->blocks[p.block].bad)
			return true;
	return false;
}

/* ---- changes ---- */

void units_add_blocks(struct units *u, uint64_t block, uint64_t count)
{
	for (uint64_t n = block; n < block + count; n++) {
		u->blocks[n] = (struct units_block){.free = PER_BLOCK, .there = true};
		u->longest[n] = PER_BLOCK;
	}
	u->there += count;
	u->empty += count;
	u->free += count * PER_BLOCK;
}

void units_remove_blocks(struct units *u, uint64_t block, uint64_t count)
{
	for (uint64_t n = block; n < block + count; n++) {
		if (u->blocks[n].bad)
			u->bad--;
		else
			u->free -= PER_BLOCK;
		u->blocks[n] = (struct units_block){.used = bits_range(0, PER_BLOCK)};
		u->longest[n] = 0;
	}
	u->there -= count;
	u->empty -= count;
}

void units_take(struct units *u, uint64_t unit, uint64_t count)
{
	for (struct part p; next_part(&unit, &count, &p);)
		change_part(u, &p, true);
}

void units_give(struct units *u, uint64_t unit, uint64_t count)
{
	for (struct part p; next_part(&unit, &count, &p);)
		change_part(u, &p, false);
}

void units_set_bad(struct units *u, uint64_t block)
{
	struct units_block *b = &u->blocks[block];

	if (b->bad)
		return;
	b->bad = true;
	u->bad++;
	u->free -= b->free;
	u->longest[block] = 0;
}

/* ---- choosing ---- */

struct plan {
	struct units *units;
	struct units_run *runs;
	size_t count, room;
};

/* What is chosen is taken while the plan is made, so that nothing is chosen twice. */
static int add_run(struct plan *p, uint64_t unit, uint64_t count)
{
	struct units_run *last = p->count ? &p->runs[p->count - 1] : NULL;

	if (last && last->unit + last->count == unit) {
		last->count += count;
	} else {
		if (p->count == p->room) {
			size_t room = p->room ? p->room * 2 : 8;
			struct units_run *bigger = reallocarray(p->runs, room, sizeof(*bigger));

			if (!bigger)
				return -ENOMEM;
			p->runs = bigger;
			p->room = room;
		}
		p->runs[p->count++] = (struct units_run){.unit = unit, .count = count};
	}
	units_take(p->units, unit, count);
	return 0;
}

/* How many units from `unit` on are free, in its block, of `most`. */
static uint64_t free_from(const struct units *u, uint64_t unit, uint64_t most)
{
	uint64_t block = unit / PER_BLOCK;
	unsigned from = (unsigned)(unit % PER_BLOCK), end;

	if (block >= u->room || !u->blocks[block].there || u->blocks[block].bad)
		return 0;
	end = bits_next_set(&u->blocks[block].used, from);
	return end - from < most ? end - from : most;
}

static int plan_near(struct plan *p, uint64_t near, uint64_t *need)
{
	for (uint64_t n; (n = free_from(p->units, near, *need)) > 0;) {
		int r = add_run(p, near, n);

		if (r < 0)
			return r;
		near += n;
		*need -= n;
	}
	return 0;
}

/* Where the search for blocks goes on: while a plan is made runs only become shorter, so that what
 * was too short stays so. */
struct search {
	uint64_t block; /* no block before it has a run of `level` */
	unsigned level;
};

/* The first block with a run of at least `want`; if there is none, the first with the longest. */
static uint64_t find_block(const struct units *u, struct search *s, unsigned want)
{
	unsigned longest = 0;

	if (want < s->level)
		*s = (struct search){.level = want};
	for (; s->block < u->room; s->block++)
		if (u->longest[s->block] >= s->level)
			return s->block;
	for (uint64_t n = 0; n < u->room; n++)
		if (u->longest[n] > longest)
			longest = u->longest[n];
	*s = (struct search){.level = longest};
	while (u->longest[s->block] < longest)
		s->block++;
	return s->block;
}

static int plan_anywhere(struct plan *p, uint64_t need)
{
	struct search search = {.level = PER_BLOCK};

	while (need > 0) {
		unsigned want = need < PER_BLOCK ? (unsigned)need : PER_BLOCK;
		uint64_t block = find_block(p->units, &search, want);
		struct bits unused = invert(&p->units->blocks[block].used);
		unsigned count = p->units->longest[block] < want ? p->units->longest[block] : want;
		int r = add_run(p, block * PER_BLOCK + bits_best_run(&unused, count), count);

		if (r < 0)
			return r;
		need -= count;
	}
	return 0;
}

int units_plan(struct units *u, uint64_t near, uint64_t need, struct units_run **runs, size_t *n)
{
	struct plan p = {.units = u};
	int r;

	if (need == 0 || need > u->free)
		return -ENOSPC;
	r = plan_near(&p, near, &need);
	if (r == 0)
		r = plan_anywhere(&p, need);
	for (size_t k = 0; k < p.count; k++)
		units_give(u, p.runs[k].unit, p.runs[k].count);
	if (r < 0) {
		free(p.runs);
		return r;
	}
	*runs = p.runs;
	*n = p.count;
	return 0;
}
