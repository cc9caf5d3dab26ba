// SPDX-License-Identifier: MIT
/*
 * The allocator at work in pools of 1 GiB to 64 TiB. A quarter of the groups is whole, the others
 * are full of random holes; in each step one of many live allocations, chosen at random, is
 * released and made anew: released, planned, claimed. The time should be under a microsecond, and
 * the same for all sizes of pool. (256 MiB of 1 TiB stand out: there the live ones fill so much of
 * the holes that they come in several extents each.)
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc/alloc.h"
#include "bench.h"
#include "util/cleanup.h"

#define GROUP      512U /* blocks */
#define TIB_GROUPS 1024U
#define LIVE_MAX   1024U
#define STEPS      20000U
#define AIM_NS     1000.0

struct allocation {
	struct alloc_extent *extents;
	size_t count;
};

struct pool {
	struct alloc *alloc;
	uint32_t blocks; /* of one allocation */
	uint64_t random;
	uint32_t live_count;
	struct allocation live[LIVE_MAX];
};

static uint32_t next_random(struct pool *p)
{
	p->random = p->random * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)(p->random >> 33);
}

static void take(struct pool *p, struct allocation *to)
{
	int r = alloc_plan(p->alloc, p->blocks, ALLOC_UNIT_AUTO, &to->extents, &to->count);

	if (r < 0)
		errx(EXIT_FAILURE, "planning %u blocks: %d", p->blocks, r);
	for (size_t i = 0; i < to->count; i++)
		alloc_claim(p->alloc, &to->extents[i]);
}

static void give(struct pool *p, struct allocation *from)
{
	for (size_t i = 0; i < from->count; i++)
		alloc_release(p->alloc, &from->extents[i]);
	free(from->extents);
}

/* Claims runs of 1 to 64 blocks of a group, about every other one. */
static void riddle_group(struct pool *p, uint32_t group)
{
	uint32_t length;

	for (uint32_t bit = 0; bit < GROUP; bit += length) {
		struct alloc_extent e = {.block = (uint64_t)group * GROUP + bit};

		length = 1 + next_random(p) % 64;
		if (length > GROUP - bit)
			length = GROUP - bit;
		e.count = length;
		if (next_random(p) % 2)
			alloc_claim(p->alloc, &e);
	}
}

static struct pool *pool_new(uint32_t groups, uint32_t blocks)
{
	struct alloc_region r = {
		.blocks = (uint64_t)groups * GROUP, .data_blocks = (uint64_t)groups * GROUP};
	struct pool *p = calloc(1, sizeof(*p));
	struct alloc_stats s;
	uint64_t room;

	if (!p || !(p->alloc = alloc_new()) || alloc_add_region(p->alloc, &r) < 0)
		errx(EXIT_FAILURE, "out of memory");
	p->random = 1;
	p->blocks = blocks;
	for (uint32_t g = 1; g < groups; g++)
		if (next_random(p) % 4)
			riddle_group(p, g);

	alloc_get_stats(p->alloc, &s);
	room = blocks < GROUP ? s.free / blocks : s.free_groups / (blocks / GROUP);
	p->live_count = room / 2 < LIVE_MAX ? (uint32_t)(room / 2) : LIVE_MAX;
	if (!p->live_count)
		p->live_count = 1;
	for (uint32_t i = 0; i < p->live_count; i++)
		take(p, &p->live[i]);
	return p;
}

static void pool_free(struct pool *p)
{
	for (uint32_t i = 0; i < p->live_count; i++)
		free(p->live[i].extents);
	p->alloc = alloc_free(p->alloc);
	free(p);
}

static void measure(const char *name, uint32_t groups, uint32_t blocks)
{
	struct bench b = {.suite = "alloc", .name = name, .operations = STEPS, .aim = AIM_NS};
	struct pool *p = pool_new(groups, blocks);

	while (bench_next(&b)) {
		bench_start(&b);
		for (uint32_t i = 0; i < STEPS; i++) {
			struct allocation *victim = &p->live[next_random(p) % p->live_count];

			give(p, victim);
			take(p, victim);
		}
		bench_stop(&b);
	}
	bench_report(&b);
	pool_free(p);
}

/* The scrubber's question: where is the next dirty block? There is one, in the last group. */
static void measure_dirty(const char *name, uint32_t groups)
{
	struct bench b = {.suite = "alloc", .name = name, .operations = STEPS, .aim = AIM_NS};
	struct pool *p = pool_new(groups, 1);
	struct alloc_extent e = {.count = groups * GROUP}, found;

	alloc_set_clean(p->alloc, &e);
	for (e.block = e.count, e.count = 1; e.block-- > 0;)
		if (alloc_is_free(p->alloc, &e))
			break;
	alloc_set_dirty(p->alloc, &e);
	while (bench_next(&b)) {
		bench_start(&b);
		for (uint32_t i = 0; i < STEPS; i++) {
			uint64_t cursor = 0;

			if (!alloc_next_dirty(p->alloc, &cursor, 64, &found))
				errx(EXIT_FAILURE, "no dirty block found");
		}
		bench_stop(&b);
	}
	bench_report(&b);
	pool_free(p);
}

int main(void)
{
	static const struct {
		const char *name;
		uint32_t groups;
	} pools[] = {
		{"1 GiB", 1},
		{"32 GiB", 32},
		{"1 TiB", TIB_GROUPS},
		{"16 TiB", 16 * TIB_GROUPS},
		{"64 TiB", 64 * TIB_GROUPS},
	};
	static const struct {
		const char *name;
		uint32_t blocks;
	} sizes[] = {
		{"2 MiB", 1},
		{"256 MiB", 128},
		{"1 GiB", GROUP},
	};

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
		for (size_t i = 0; i < ARRAY_SIZE(pools); i++) {
			char name[64];

			(void)snprintf(name, sizeof(name), "release, plan, claim %s of %s",
				sizes[s].name, pools[i].name);
			measure(name, pools[i].groups, sizes[s].blocks);
		}
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "find the dirty block of %s", pools[i].name);
		measure_dirty(name, pools[i].groups);
	}
	return EXIT_SUCCESS;
}
