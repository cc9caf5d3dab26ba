// SPDX-License-Identifier: MIT
/*
 * Which free blocks to take for a request.
 *
 * How many whole groups a request may open is settled first: what the unit asks for and,
 * beyond that, as few as must be because the groups that are free in part have not enough. The
 * rest is put together from groups that are free in part. While a plan grows, what it has
 * chosen is held, so that the next choice sees it as taken; at the end all is given back. Only
 * memory for the lists may fail.
 */
#include "alloc/group.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "util/cleanup.h"

struct piece {
	struct span span;
	struct hold hold;
};

struct plan {
	struct alloc *a;
	uint64_t left;        /* blocks still to be chosen */
	struct piece *pieces; /* in the order in which they were chosen */
	size_t count, room;
};

/* Sorts whole groups to the front, then by place: a GiB of the file is a GiB of memory, and what
 * adjoins meets. */
static int compare_pieces(const void *x, const void *y)
{
	const struct span *s = &((const struct piece *)x)->span,
			  *t = &((const struct piece *)y)->span;
	bool s_whole = s->count == GROUP_BLOCKS, t_whole = t->count == GROUP_BLOCKS;

	if (s_whole != t_whole)
		return s_whole ? -1 : 1;
	if (s->group != t->group)
		return s->group < t->group ? -1 : 1;
	return s->bit < t->bit ? -1 : s->bit > t->bit;
}

static int take_span(struct plan *p, struct span s)
{
	assert(s.count <= p->left);
	if (p->count == p->room) {
		size_t room = p->room ? 2 * p->room : 4;
		struct piece *bigger = realloc(p->pieces, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		p->pieces = bigger;
		p->room = room;
	}
	p->left -= s.count;
	p->pieces[p->count] = (struct piece){.span = s};
	if (p->left) /* nobody looks after the last one */
		p->pieces[p->count].hold = group_hold(p->a, s);
	p->count++;
	return 0;
}

static void give_back(struct plan *p)
{
	size_t i = p->count;

	if (i > 0 && !p->left)
		i--;
	while (i-- > 0)
		group_unhold(p->a, p->pieces[i].span, p->pieces[i].hold);
}

/* A run of at least count blocks in the group, clean if there is such a one. */
static struct span choose_run(const struct alloc *a, uint32_t group, uint32_t count)
{
	struct bits map = group_free_clean_map(&a->groups[group]);
	struct span s = {.group = group, .count = count, .bit = bits_best_run(&map, count)};

	if (s.bit == BITS) {
		map = group_free_map(&a->groups[group]);
		s.bit = bits_best_run(&map, count);
	}
	return s;
}

/* Takes count adjacent whole groups, of the last one only what is still needed. */
static int take_groups(struct plan *p, uint32_t first, uint32_t count)
{
	for (uint32_t group = first; group < first + count; group++) {
		uint32_t blocks = p->left < GROUP_BLOCKS ? (uint32_t)p->left : GROUP_BLOCKS;
		int r = take_span(p, choose_run(p->a, group, blocks));

		if (r < 0)
			return r;
	}
	return 0;
}

/* Which runs of adjacent groups to take where no single run has enough: all that are longer than
 * length, some of that length, and part of one more. */
struct cut {
	uint32_t length, count;
	uint32_t rest, rest_from; /* so many groups, from a run of this length */
};

/*
 * runs[n] is how many runs have length n, for n below need; there are at least need groups in them.
 */
static struct cut choose_cut(uint32_t *runs, uint32_t need)
{
	struct cut c = {.length = need - 1};

	while (runs[c.length] * c.length < need) {
		need -= runs[c.length] * c.length;
		c.length--;
	}
	c.count = need / c.length;
	c.rest = need % c.length;
	runs[c.length] -= c.count;
	for (c.rest_from = c.rest; c.rest && !runs[c.rest_from];)
		c.rest_from++;
	return c;
}

/* Takes need groups of the set from its longest runs, so that they are as few as can be. */
static int take_longest_runs(struct plan *p, const struct group_set *set, uint32_t need)
{
	_cleanup_free_ uint32_t *runs = calloc(need, sizeof(*runs));
	uint32_t start = 0, length;
	struct cut c;
	int r = 0;

	if (!runs)
		return -ENOMEM;
	for (uint32_t at = 1; (length = group_set_next_run(set, at, &start)) > 0;
		at = start + length)
		runs[length]++;
	c = choose_cut(runs, need);
	for (uint32_t at = 1; !r && (length = group_set_next_run(set, at, &start)) > 0;
		at = start + length) {
		if (length > c.length) {
			r = take_groups(p, start, length);
		} else if (length == c.length && c.count) {
			c.count--;
			r = take_groups(p, start, length);
		} else if (length == c.rest_from && c.rest) {
			r = take_groups(p, start, c.rest);
			c.rest = 0;
		}
	}
	return r;
}

/*
 * Takes need groups of the set, which has as many: from the shortest run of
 * adjacent groups that suffices.
 */
static int take_from_set(struct plan *p, const struct group_set *set, uint32_t need)
{
	uint32_t best = 0, best_length = 0, start = 0, length;

	if (!need)
		return 0;
	if (need == 1) /* in constant time */
		return take_groups(p, group_set_next(set, 1), 1);
	for (uint32_t at = 1; (length = group_set_next_run(set, at, &start)) > 0;
		at = start + length) {
		if (length < need || (best && length >= best_length))
			continue;
		best = start;
		best_length = length;
		if (length == need)
			break;
	}
	return best ? take_groups(p, best, need) : take_longest_runs(p, set, need);
}

/* Whole groups: the clean ones before the others. */
static int take_whole(struct plan *p, uint64_t need)
{
	struct alloc *a = p->a;
	uint32_t clean = need < a->whole_clean.count ? (uint32_t)need : a->whole_clean.count;
	int r = take_from_set(p, &a->whole_clean, clean);

	return r < 0 ? r : take_from_set(p, &a->whole_dirty, (uint32_t)need - clean);
}

/*
 * Groups that are free in part: the fullest that has a run of all that is needed,
 * where clean blocks come first. If there is none, the longest run of all, and again,
 * so that the pieces are few.
 */
static int take_parts(struct plan *p)
{
	struct alloc *a = p->a;
	int r = 0;

	while (!r && p->left) {
		unsigned longest = group_index_longest(&a->part);
		unsigned count = p->left < longest ? (unsigned)p->left : longest;
		uint32_t group = group_index_find(&a->part_clean, count);

		if (!group)
			group = group_index_find(&a->part, count);
		assert(group);
		r = take_span(p, choose_run(a, group, count));
	}
	return r;
}

/* How many whole groups to open for nblocks; there are as many blocks free. */
static uint64_t groups_to_open(const struct alloc *a, uint64_t nblocks, enum alloc_unit unit)
{
	uint64_t whole = a->whole_clean.count + a->whole_dirty.count;
	uint64_t in_parts = a->stats.free - whole * GROUP_BLOCKS;
	uint64_t groups = 0;

	if (unit != ALLOC_UNIT_2M)
		groups = nblocks / GROUP_BLOCKS < whole ? nblocks / GROUP_BLOCKS : whole;
	nblocks -= groups * GROUP_BLOCKS;
	if (nblocks > in_parts)
		groups += (nblocks - in_parts + GROUP_BLOCKS - 1) / GROUP_BLOCKS;
	return groups;
}

static bool adjoins(const struct alloc_extent *e, const struct alloc_extent *next)
{
	return e->region == next->region && e->block + e->count == next->block &&
	       e->count <= UINT32_MAX - next->count;
}

/* The pieces as extents, in order, merged where they adjoin. */
static int list_extents(const struct plan *p, struct alloc_extent **ret, size_t *n)
{
	struct alloc_extent *e = malloc(p->count * sizeof(*e));
	size_t last = 0;

	if (!e)
		return -ENOMEM;
	for (size_t i = 0; i < p->count; i++) {
		const struct span *s = &p->pieces[i].span;
		const struct group *g = &p->a->groups[s->group];
		struct alloc_extent next = {
			.block = g->start + s->bit,
			.region = g->region,
			.count = s->count,
		};

		if (i > 0 && adjoins(&e[last], &next))
			e[last].count += next.count;
		else
			e[i > 0 ? ++last : 0] = next;
	}
	*ret = e;
	*n = last + 1;
	return 0;
}

int alloc_plan(struct alloc *a, uint64_t nblocks, enum alloc_unit unit, struct alloc_extent **ret,
	size_t *n)
{
	uint64_t whole = a->whole_clean.count + a->whole_dirty.count;
	struct plan p = {.a = a, .left = nblocks};
	int r;

	if (alloc_granule(a) == GROUP_BLOCKS)
		unit = ALLOC_UNIT_1G;
	if (!nblocks || (unit == ALLOC_UNIT_1G && nblocks % GROUP_BLOCKS))
		return -EINVAL;
	if (nblocks > a->stats.free || (unit == ALLOC_UNIT_1G && nblocks / GROUP_BLOCKS > whole))
		return -ENOSPC;
	r = take_whole(&p, groups_to_open(a, nblocks, unit));
	if (!r)
		r = take_parts(&p);
	give_back(&p);
	if (!r) {
		qsort(p.pieces, p.count, sizeof(*p.pieces), compare_pieces);
		r = list_extents(&p, ret, n);
	}
	free(p.pieces);
	return r;
}
