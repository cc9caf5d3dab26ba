// SPDX-License-Identifier: MIT
/*
 * Which blocks a plan chooses, in drawings: a pool is one letter a group, a plan is written
 * "GROUP.BIT+COUNT" for each extent. Each case is planned twice, since a plan must leave no trace.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "util/cleanup.h"

#define GROUP 512U
#define GIB   512U
#define AUTO  ALLOC_UNIT_AUTO
#define U2M   ALLOC_UNIT_2M
#define U1G   ALLOC_UNIT_1G

/*
 * What the letters mean: the free blocks of the group, of these the clean ones;
 * what else is wrong with it.
 */
static const struct kind {
	char letter;
	struct {
		uint32_t bit, count;
	} free[2], clean;
	bool every_other;               /* of the free ones is used, from the second on */
	uint32_t poisoned, quarantined; /* so many of the free ones, from the first on */
} kinds[] = {
	{'.', .free = {{0, 512}}},
	{'c', .free = {{0, 512}}, .clean = {0, 512}},
	{'d', .free = {{0, 512}}, .clean = {100, 412}}, /* clean but for the first 100 */
	{'#', .free = {{0, 0}}},
	{'h', .free = {{256, 256}}},
	{'H', .free = {{256, 256}}, .clean = {256, 256}},
	{'K', .free = {{256, 256}}, .clean = {300, 50}},
	{'t', .free = {{502, 10}}},
	{'T', .free = {{0, 100}}},
	{'m', .free = {{0, 100}, {500, 12}}},
	{'M', .free = {{0, 100}, {480, 32}}, .clean = {0, 100}},
	{'o', .free = {{0, 512}}, .every_other = true},
	{'p', .free = {{0, 512}}, .poisoned = 1},
	{'P', .free = {{0, 512}}, .poisoned = 512},
	{'q', .free = {{0, 512}}, .quarantined = 1},
	{'Q', .free = {{0, 512}}, .quarantined = 512},
};

static const struct kind *find_kind(char letter)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].letter == letter)
			return &kinds[i];
	cr_assert_fail("no group is drawn as %c", letter);
	return NULL;
}

static void claim(struct alloc *a, uint32_t block, uint32_t count)
{
	struct alloc_extent e = {.block = block, .count = count};

	if (count)
		alloc_claim(a, &e);
}

static void draw_group(struct alloc *a, uint32_t start, const struct kind *k)
{
	struct alloc_extent clean = {.block = start + k->clean.bit, .count = k->clean.count};
	struct alloc_extent poisoned = {.block = start, .count = k->poisoned};
	struct alloc_extent quarantined = {.block = start, .count = k->quarantined};
	uint32_t first_end = k->free[0].bit + k->free[0].count;
	uint32_t second = k->free[1].count ? k->free[1].bit : GROUP;
	uint32_t second_end = k->free[1].count ? second + k->free[1].count : GROUP;

	claim(a, start, k->free[0].bit);
	claim(a, start + first_end, second - first_end);
	claim(a, start + second_end, GROUP - second_end);
	for (uint32_t bit = 1; k->every_other && bit < GROUP; bit += 2)
		claim(a, start + bit, 1);
	if (clean.count)
		alloc_set_clean(a, &clean);
	if (poisoned.count)
		alloc_set_poisoned(a, &poisoned);
	if (quarantined.count)
		alloc_quarantine(a, &quarantined);
}

static struct alloc *draw_pool(const char *drawing)
{
	struct alloc_region r = {.blocks = strlen(drawing) * GROUP};
	struct alloc *a = alloc_new();

	r.data_blocks = r.blocks;
	cr_assert_eq(alloc_add_region(a, &r), 0);
	for (uint32_t i = 0; drawing[i]; i++)
		draw_group(a, i * GROUP, find_kind(drawing[i]));
	return a;
}

static void write_plan(struct alloc *a, uint64_t n, enum alloc_unit unit, char *to, size_t size)
{
	_cleanup_free_ struct alloc_extent *e = NULL;
	size_t count = 0, length = 0;
	int r = alloc_plan(a, n, unit, &e, &count);

	if (r < 0)
		(void)snprintf(to, size, "%s",
			r == -ENOSPC   ? "ENOSPC"
			: r == -EINVAL ? "EINVAL"
				       : "?");
	for (size_t i = 0; i < count; i++)
		length += (size_t)snprintf(to + length, size - length, "%s%u.%u+%u",
			i > 0 ? " " : "", (unsigned)(e[i].block / GROUP),
			(unsigned)(e[i].block % GROUP), e[i].count);
}

static const struct plan_case {
	const char *pool;
	uint64_t blocks;
	enum alloc_unit unit;
	const char *plan;
} cases[] = {
	/* exact fits, and one too many */
	{".", 512, AUTO, "0.0+512"},
	{".", 512, U2M, "0.0+512"},
	{".", 512, U1G, "0.0+512"},
	{".", 513, AUTO, "ENOSPC"},
	{"#", 1, AUTO, "ENOSPC"},
	{"t", 10, AUTO, "0.502+10"},
	{"t", 11, U2M, "ENOSPC"},
	{"......", 6 * GIB, AUTO, "0.0+3072"},
	{".", UINT64_MAX, AUTO, "ENOSPC"},
	{".", UINT64_MAX - 511, U1G, "ENOSPC"},

	/* no such request */
	{".", 0, AUTO, "EINVAL"},
	{".", 0, U1G, "EINVAL"},
	{"..", 513, U1G, "EINVAL"},
	{"#", 100, U1G, "EINVAL"},

	/* 1 GiB units are whole groups or nothing */
	{"h.", GIB, U1G, "1.0+512"},
	{"hh", GIB, U1G, "ENOSPC"},
	{"h.h.", 2 * GIB, U1G, "1.0+512 3.0+512"},
	{"h.h", 2 * GIB, U1G, "ENOSPC"},
	{"p", GIB, U1G, "ENOSPC"},
	{"q", GIB, U1G, "ENOSPC"},

	/* poisoned and quarantined blocks are never planned */
	{"p", 511, AUTO, "0.1+511"},
	{"p", 512, AUTO, "ENOSPC"},
	{"q", 511, AUTO, "0.1+511"},
	{"q", 512, AUTO, "ENOSPC"},
	{"P", 1, AUTO, "ENOSPC"},
	{"Q", 1, AUTO, "ENOSPC"},
	{"PQ.", GIB, AUTO, "2.0+512"},

	/* less than 1 GiB: the fullest group that can hold it, and whole groups stay whole */
	{".ht", 10, AUTO, "2.502+10"},
	{".ht", 11, AUTO, "1.256+11"},
	{".th", 256, AUTO, "2.256+256"},
	{".hm", 100, AUTO, "2.0+100"},
	{".hm", 101, AUTO, "1.256+101"},
	{".m", 12, AUTO, "1.500+12"}, /* the run that fits best */
	{".m", 13, AUTO, "1.0+13"},

	/* in fragments rather than out of a whole group, and in few of them */
	{".ot", 11, AUTO, "1.0+1 2.502+10"},
	{".mt", 110, AUTO, "1.0+100 2.502+10"},
	{".mt", 111, AUTO, "1.0+100 1.500+11"},
	{".to", 11, AUTO, "1.502+11"}, /* what adjoins is one extent */
	{".hT", 356, AUTO, "1.256+356"},
	{".Th", 356, AUTO, "1.0+100 2.256+256"},

	/* a whole group is broken if nothing else has the room; then it holds all, in one extent */
	{".t", 11, AUTO, "0.0+11"},
	{"t..", 11, U2M, "1.0+11"},
	{"h..", 300, U2M, "1.0+300"},

	/* 1 GiB and more: whole groups first, the rest where there is room */
	{"h.", GIB, AUTO, "1.0+512"},
	{"h.", GIB + 100, AUTO, "1.0+512 0.256+100"},
	{"h..", GIB + 256, AUTO, "1.0+512 0.256+256"},
	{"h..", GIB + 257, AUTO, "1.0+769"},
	{"hh", GIB, AUTO, "0.256+256 1.256+256"},
	{"hh.", 2 * GIB, AUTO, "2.0+512 0.256+256 1.256+256"},
	{"th", 266, AUTO, "0.502+10 1.256+256"},

	/* 2 MiB units leave whole groups alone for as long as they can, whatever the size */
	{"h..", 200, U2M, "0.256+200"},
	{"..hh", GIB, U2M, "2.256+256 3.256+256"},
	{"h..", 1000, U2M, "1.0+1000"},
	{"h..", 1100, U2M, "1.0+1024 0.256+76"},
	{"h..", 1280, U2M, "1.0+1024 0.256+256"},
	{"h..", 1281, U2M, "ENOSPC"},

	/* adjacent groups: the shortest run of them that suffices, else as few runs as can be */
	{".#...#..", 2 * GIB, AUTO, "6.0+1024"},
	{".#...#..", 3 * GIB, U1G, "2.0+1536"},
	{".#...#..", 4 * GIB, AUTO, "0.0+512 2.0+1536"},
	{".#...#..", 5 * GIB, AUTO, "2.0+1536 6.0+1024"},
	{".#...#..", 6 * GIB, AUTO, "0.0+512 2.0+1536 6.0+1024"},
	{".#.#.#..", 3 * GIB, AUTO, "0.0+512 6.0+1024"},
	{"..#..#...", 4 * GIB, AUTO, "0.0+512 6.0+1536"},
	{"..#..#..", 5 * GIB, AUTO, "0.0+1024 3.0+1024 6.0+512"},
	{"....#.....", 4 * GIB, AUTO, "0.0+2048"},
	{"..#...", GIB + 200, AUTO, "0.0+712"},

	/* clean before dirty, but not at the price of a whole group */
	{".c", GIB, AUTO, "1.0+512"},
	{".c", 1, AUTO, "1.0+1"},
	{".c.", 2 * GIB, AUTO, "0.0+1024"},
	{"c.c.", 2 * GIB, U1G, "0.0+512 2.0+512"},
	{"..cc..c", GIB, AUTO, "2.0+512"},
	{"hH.", 10, AUTO, "1.256+10"},
	{"Hhc", 300, AUTO, "0.256+256 1.256+44"},
	{"hc", 1, AUTO, "0.256+1"},
	{"HT", 50, AUTO, "0.256+50"},
	{"K", 50, AUTO, "0.300+50"},
	{"K", 10, AUTO, "0.300+10"},
	{"K", 51, AUTO, "0.256+51"},
	{"M", 20, AUTO, "0.0+20"},
	{"d", 412, AUTO, "0.100+412"},
	{"d", 413, AUTO, "0.0+413"},
};

Test(alloc_plan, chooses_as_drawn)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct plan_case *c = &cases[i];
		struct alloc *a = draw_pool(c->pool);
		struct alloc_stats before, after;
		char plan[256] = "", again[256] = "";

		alloc_get_stats(a, &before);
		write_plan(a, c->blocks, c->unit, plan, sizeof(plan));
		alloc_get_stats(a, &after);
		write_plan(a, c->blocks, c->unit, again, sizeof(again));
		cr_expect_str_eq(plan, c->plan, "%s, %llu blocks: %s, not %s", c->pool,
			(unsigned long long)c->blocks, plan, c->plan);
		cr_expect_str_eq(again, plan, "%s: a plan left a trace", c->pool);
		cr_expect_eq(memcmp(&before, &after, sizeof(before)), 0, "%s: a plan left a trace",
			c->pool);
		a = alloc_free(a);
	}
}

Test(alloc_plan, does_not_merge_across_regions)
{
	struct alloc_region r = {.blocks = GROUP, .data_blocks = GROUP};
	_cleanup_free_ struct alloc_extent *e = NULL;
	struct alloc *a = alloc_new();
	size_t n;

	cr_assert_eq(alloc_add_region(a, &r), 0);
	cr_assert_eq(alloc_add_region(a, &r), 0);
	cr_assert_eq(alloc_plan(a, 2 * GIB, AUTO, &e, &n), 0);
	cr_assert_eq(n, 2);
	cr_assert(e[0].region == 0 && e[0].block == 0 && e[0].count == GROUP);
	cr_assert(e[1].region == 1 && e[1].block == 0 && e[1].count == GROUP);
	a = alloc_free(a);
}

Test(alloc_plan, aligns_whole_groups_in_memory_not_in_the_region)
{
	struct alloc_region r = {
		.blocks = 2000, .first_data = 1, .data_blocks = 1998, .phase = 200};
	_cleanup_free_ struct alloc_extent *e = NULL;
	struct alloc *a = alloc_new();
	size_t n;

	cr_assert_eq(alloc_add_region(a, &r), 0);
	cr_assert_eq(alloc_plan(a, 3 * GIB, U1G, &e, &n), 0);
	cr_assert_eq(n, 1);
	cr_assert_eq(e->block, 312);
	cr_assert_eq(e->count, 3 * GIB);
	cr_assert_eq(alloc_plan(a, 4 * GIB, U1G, &e, &n), -ENOSPC);
	a = alloc_free(a);
}

/*
 * Groups that serve equally well are taken in the same order, whether or not
 * others were planned before.
 */
Test(alloc_plan, leaves_no_trace_in_the_order_of_equals)
{
	struct alloc_extent all = {.count = 6 * GROUP};
	char plan[2][64] = {"", ""}, between[64] = "";

	for (unsigned i = 0; i < 2; i++) {
		struct alloc *a = draw_pool("HhHhHh");

		if (i)
			write_plan(a, 700, AUTO, between, sizeof(between)); /* holds clean groups */
		alloc_set_dirty(a, &all);
		write_plan(a, 1, AUTO, plan[i], sizeof(plan[i]));
		a = alloc_free(a);
	}
	cr_assert_str_neq(between, "");
	cr_assert_str_eq(plan[0], plan[1]);
}

/* The largest pools: every block, in one extent. */
Test(alloc_plan, plans_64_tib_at_once)
{
	struct alloc_region r = {.blocks = 65536ULL * GROUP, .data_blocks = 65536ULL * GROUP};
	_cleanup_free_ struct alloc_extent *e = NULL;
	struct alloc *a = alloc_new();
	struct alloc_stats s;
	size_t n;

	cr_assert_eq(alloc_add_region(a, &r), 0);
	cr_assert_eq(alloc_plan(a, r.blocks, AUTO, &e, &n), 0);
	cr_assert_eq(n, 1);
	cr_assert_eq(e->count, r.blocks);
	alloc_claim(a, e);
	alloc_get_stats(a, &s);
	cr_assert_eq(s.free + s.free_groups, 0);
	cr_assert_eq(s.used, r.blocks);
	a = alloc_free(a);
}
