// SPDX-License-Identifier: MIT
/* States of blocks, one change at a time, and what the questions about them answer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "alloc/alloc.h"
#include "util/cleanup.h"

#define GROUP 512U

static struct alloc_extent extent(uint64_t block, uint32_t count)
{
	return (struct alloc_extent){.block = block, .count = count};
}

static struct alloc_stats stats(const struct alloc *a)
{
	struct alloc_stats s;

	alloc_get_stats(a, &s);
	return s;
}

static struct alloc *new_pool(struct alloc_region r)
{
	struct alloc *a = alloc_new();

	cr_assert_not_null(a);
	cr_assert_eq(alloc_add_region(a, &r), 0);
	return a;
}

/* Two whole groups and the first blocks of a third. */
static struct alloc *small_pool(void)
{
	return new_pool((struct alloc_region){.blocks = 1100, .data_blocks = 1100});
}

Test(alloc, is_empty_without_regions)
{
	struct alloc *a = alloc_new();
	struct alloc_extent e, *plan = NULL;
	uint64_t cursor = 0;
	size_t n;

	cr_assert_eq(alloc_region_count(a), 0);
	cr_assert_null(alloc_get_region(a, 0));
	cr_assert_eq(stats(a).data, 0);
	cr_assert_not(alloc_is_data(a, 0, 0, 1));
	cr_assert_not(alloc_next_dirty(a, &cursor, 1, &e));
	cr_assert_eq(alloc_plan(a, 1, ALLOC_UNIT_AUTO, &plan, &n), -ENOSPC);
	cr_assert_null(alloc_free(a));
	cr_assert_null(alloc_free(NULL));
}

Test(alloc, refuses_regions_that_make_no_sense)
{
	static const struct {
		struct alloc_region region;
		int error;
	} cases[] = {
		{{.blocks = 10, .first_data = 11}, -EINVAL},
		{{.blocks = 10, .first_data = 4, .data_blocks = 7}, -EINVAL},
		{{.blocks = 10, .first_data = 4, .data_blocks = UINT64_MAX - 2}, -EINVAL},
		{{.blocks = 10, .data_blocks = 10, .phase = 512}, -EINVAL},
		{{.blocks = 2000, .first_data = 512, .data_blocks = 513, .whole_groups = true},
			-EINVAL},
		{{.blocks = 2000,
			 .first_data = 512,
			 .data_blocks = 512,
			 .phase = 1,
			 .whole_groups = true},
			-EINVAL},
		{{.blocks = UINT64_MAX, .data_blocks = 1}, -E2BIG},
		{{.blocks = UINT64_MAX, .data_blocks = UINT64_MAX, .phase = 511}, -E2BIG},
		{{.blocks = 1ULL << 33, .data_blocks = 1ULL << 33}, -E2BIG}, /* 16 PiB */
	};
	struct alloc *a = alloc_new();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(alloc_add_region(a, &cases[i].region), cases[i].error, "case %zu", i);
		cr_assert_eq(alloc_region_count(a), 0);
		cr_assert_eq(stats(a).data, 0);
	}
	a = alloc_free(a);
}

/* A file may lie on several, and is mapped by pages of one size. */
Test(alloc, takes_no_region_of_other_units_than_the_first)
{
	const struct alloc_region large = {.blocks = 2048,
					  .first_data = 512,
					  .data_blocks = 1024,
					  .whole_groups = true},
				  small = {.blocks = 2048, .data_blocks = 100};
	struct alloc *a = alloc_new();

	cr_assert_eq(alloc_add_region(a, &large), 0);
	cr_expect_eq(alloc_add_region(a, &small), -EINVAL);
	cr_expect_eq(alloc_add_region(a, &large), 0);
	cr_expect_eq(alloc_region_count(a), 2);
	a = alloc_free(a);
}

Test(alloc, takes_regions_up_to_the_formats_limit)
{
	struct alloc_region r = {.blocks = 3, .first_data = 1, .data_blocks = 1};
	struct alloc *a = alloc_new();

	for (unsigned i = 0; i < 32; i++)
		cr_assert_eq(alloc_add_region(a, &r), 0);
	cr_assert_eq(alloc_add_region(a, &r), -E2BIG);
	cr_assert_eq(alloc_region_count(a), 32);
	cr_assert_eq(stats(a).free, 32);
	cr_assert_eq(alloc_get_region(a, 31)->first_data, 1);
	a = alloc_free(a);
}

Test(alloc, takes_a_region_that_has_no_data)
{
	struct alloc *a = new_pool((struct alloc_region){.blocks = 70, .first_data = 70});
	struct alloc_region next = {.blocks = 512, .data_blocks = 512};
	uint8_t map[16];

	cr_assert_eq(stats(a).data, 0);
	cr_assert_eq(alloc_map_bytes(a, 0), 16);
	alloc_copy_map(a, 0, ALLOC_MAP_USED, 0, sizeof(map), map);
	for (size_t i = 0; i < sizeof(map); i++)
		cr_assert_eq(map[i], 0);
	cr_assert_eq(alloc_add_region(a, &next), 0);
	cr_assert_eq(stats(a).free_groups, 1);
	a = alloc_free(a);
}

Test(alloc, begins_free_sound_and_dirty)
{
	struct alloc *a = small_pool();
	struct alloc_extent all = extent(0, 1100);
	bool clean;

	cr_assert_eq(stats(a).data, 1100);
	cr_assert_eq(stats(a).free, 1100);
	cr_assert_eq(stats(a).free_dirty, 1100);
	cr_assert_eq(
		stats(a).used + stats(a).used_dirty + stats(a).poisoned + stats(a).quarantined, 0);
	cr_assert_eq(stats(a).free_groups, 2, "the third group is cut and never whole");
	cr_assert(alloc_is_free(a, &all));
	cr_assert_eq(alloc_clean_run(a, &all, &clean), 1100);
	cr_assert_not(clean);
	a = alloc_free(a);
}

Test(alloc, knows_which_blocks_are_data)
{
	static const struct {
		uint32_t region;
		uint64_t block, count;
		bool data;
	} cases[] = {
		{0, 10, 1, true},
		{0, 10, 20, true},
		{0, 29, 1, true},
		{0, 9, 1, false},
		{0, 9, 2, false},
		{0, 10, 21, false},
		{0, 30, 1, false},
		{0, 10, 0, false},
		{1, 10, 1, false},
		{0, 10, UINT64_MAX, false},
		{0, UINT64_MAX, 1, false},
		{UINT32_MAX, 10, 1, false},
		{0, UINT64_MAX - 5, 20, false},
	};
	struct alloc *a = new_pool((struct alloc_region){
		.blocks = 40, .first_data = 10, .data_blocks = 20, .phase = 500});

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct alloc_extent e = {.region = cases[i].region,
			.block = cases[i].block,
			.count = (uint32_t)cases[i].count};

		cr_assert_eq(alloc_is_data(a, cases[i].region, cases[i].block, cases[i].count),
			cases[i].data, "case %zu", i);
		if (cases[i].count <= UINT32_MAX)
			cr_assert_eq(alloc_is_free(a, &e), cases[i].data, "case %zu", i);
	}
	a = alloc_free(a);
}

Test(alloc, counts_only_whole_groups_that_are_aligned_in_memory)
{
	static const struct {
		uint64_t blocks, first_data, data_blocks, phase, groups;
	} cases[] = {
		{512, 0, 512, 0, 1},
		{512, 1, 511, 0, 0},
		{512, 0, 511, 0, 0},
		{1024, 0, 1024, 1, 1},
		{1024, 0, 1024, 0, 2},
		{1024, 1, 1023, 0, 1},
		{1024, 0, 1023, 511, 1},
		{513, 1, 512, 511, 1},
		{1023, 0, 1023, 1, 1},
		{1022, 0, 1022, 1, 0},
		{512 * 9, 0, 512 * 9, 100, 8},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct alloc *a = new_pool((struct alloc_region){.blocks = cases[i].blocks,
			.first_data = cases[i].first_data,
			.data_blocks = cases[i].data_blocks,
			.phase = cases[i].phase});

		cr_assert_eq(stats(a).free_groups, cases[i].groups, "case %zu", i);
		cr_assert_eq(stats(a).free, cases[i].data_blocks, "case %zu", i);
		a = alloc_free(a);
	}
}

Test(alloc, release_makes_free_and_dirty)
{
	struct alloc *a = small_pool();
	struct alloc_extent e = extent(500, 30), rest = extent(530, 1);

	alloc_set_clean(a, &e);
	cr_assert_eq(stats(a).free_dirty, 1070);
	alloc_claim(a, &e);
	cr_assert(alloc_is_used(a, &e));
	cr_assert_not(alloc_is_used(a, &rest));
	cr_assert_eq(stats(a).used, 30);
	cr_assert_eq(stats(a).used_dirty, 0);
	cr_assert_eq(stats(a).free_groups, 0);
	alloc_release(a, &e);
	cr_assert(alloc_is_free(a, &e));
	cr_assert_eq(stats(a).free, 1100);
	cr_assert_eq(stats(a).free_dirty, 1100);
	cr_assert_eq(stats(a).free_groups, 2);
	a = alloc_free(a);
}

Test(alloc, poisoned_blocks_are_known_in_any_state_and_never_free_again)
{
	struct alloc *a = small_pool();
	struct alloc_extent one = extent(7, 1), around = extent(0, 10), other = extent(8, 1);

	alloc_set_poisoned(a, &one);
	alloc_set_poisoned(a, &one); /* once more changes nothing */
	cr_assert_eq(stats(a).poisoned, 1);
	cr_assert_eq(stats(a).free, 1099);
	cr_assert_eq(stats(a).free_groups, 1);
	cr_assert(alloc_any_poisoned(a, &around));
	cr_assert_not(alloc_any_poisoned(a, &other));
	cr_assert_not(alloc_is_free(a, &around));

	alloc_claim(a, &around); /* a file that owns it is loaded */
	cr_assert_eq(stats(a).used, 10);
	cr_assert_eq(stats(a).free, 1090);
	alloc_release(a, &around);
	cr_assert_eq(stats(a).used, 0);
	cr_assert_eq(stats(a).free, 1099);
	cr_assert_eq(stats(a).poisoned, 1);
	a = alloc_free(a);
}

Test(alloc, quarantined_blocks_come_back_dirty)
{
	struct alloc *a = small_pool();
	struct alloc_extent e = extent(510, 4), all = extent(0, 1100);

	alloc_set_clean(a, &all);
	alloc_quarantine(a, &e);
	cr_assert(alloc_is_quarantined(a, &e));
	cr_assert_not(alloc_is_free(a, &e));
	cr_assert_not(alloc_is_used(a, &e));
	cr_assert_not(alloc_is_quarantined(a, &all));
	cr_assert_eq(stats(a).quarantined, 4);
	cr_assert_eq(stats(a).free, 1096);
	cr_assert_eq(stats(a).free_groups, 0);
	alloc_unquarantine(a, &e);
	cr_assert_eq(stats(a).quarantined, 0);
	cr_assert_eq(stats(a).free, 1100);
	cr_assert_eq(stats(a).free_dirty, 4);
	cr_assert_eq(stats(a).free_groups, 2);
	a = alloc_free(a);
}

Test(alloc, poisoned_blocks_may_go_into_quarantine)
{
	struct alloc *a = small_pool();
	struct alloc_extent e = extent(3, 1);

	alloc_set_poisoned(a, &e);
	alloc_quarantine(a, &e);
	cr_assert_eq(stats(a).quarantined, 1);
	cr_assert_eq(stats(a).poisoned, 1);
	alloc_unquarantine(a, &e);
	cr_assert_eq(stats(a).free, 1099);
	a = alloc_free(a);
}

/*
 * A block handed to two owners is the one thing that must not happen: the checks
 * stay in production builds.
 */
Test(alloc, claiming_a_used_block_ends_the_program, .signal = SIGABRT)
{
	struct alloc *a = small_pool();
	struct alloc_extent e = extent(510, 1), over = extent(509, 4);

	alloc_claim(a, &e);
	alloc_claim(a, &over);
}

Test(alloc, claiming_what_is_no_data_ends_the_program, .signal = SIGABRT)
{
	struct alloc *a = small_pool();
	struct alloc_extent e = extent(1099, 2);

	alloc_claim(a, &e);
}

Test(alloc, releasing_a_free_block_ends_the_program, .signal = SIGABRT)
{
	struct alloc *a = small_pool();
	struct alloc_extent e = extent(0, 1);

	alloc_release(a, &e);
}

Test(alloc, clean_runs_cross_words_and_groups)
{
	static const struct {
		uint32_t block, count, run;
		bool clean;
	} cases[] = {
		{0, 1100, 60, false},
		{59, 1041, 1, false},
		{60, 1040, 940, true},
		{60, 10, 10, true},
		{511, 2, 2, true},
		{999, 101, 1, true},
		{1000, 100, 100, false},
		{1099, 1, 1, false},
	};
	struct alloc *a = small_pool();
	struct alloc_extent e = extent(60, 940);

	alloc_set_clean(a, &e);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct alloc_extent r = extent(cases[i].block, cases[i].count);
		bool clean = !cases[i].clean;

		cr_assert_eq(alloc_clean_run(a, &r, &clean), cases[i].run, "case %zu", i);
		cr_assert_eq(clean, cases[i].clean, "case %zu", i);
	}
	a = alloc_free(a);
}

static void expect_dirty(
	const struct alloc *a, uint64_t *cursor, uint32_t max, struct alloc_extent want)
{
	struct alloc_extent got;

	cr_assert(alloc_next_dirty(a, cursor, max, &got));
	cr_assert_eq(got.region, want.region);
	cr_assert_eq(got.block, want.block);
	cr_assert_eq(got.count, want.count);
}

Test(alloc, dirty_runs_cross_groups_but_not_regions)
{
	struct alloc *a = new_pool((struct alloc_region){.blocks = 1024, .data_blocks = 1024});
	struct alloc_region second = {.blocks = 5, .first_data = 1, .data_blocks = 3, .phase = 510};
	struct alloc_extent clean = extent(0, 500), used = extent(600, 8), e;
	uint64_t cursor = 0;

	cr_assert_eq(alloc_add_region(a, &second), 0);
	alloc_set_clean(a, &clean);
	alloc_claim(a, &used);
	expect_dirty(a, &cursor, 1000, extent(500, 100));
	expect_dirty(a, &cursor, 400, extent(608, 400));
	expect_dirty(a, &cursor, 400, extent(1008, 16));
	expect_dirty(a, &cursor, 400, (struct alloc_extent){.region = 1, .block = 1, .count = 3});
	cr_assert_not(alloc_next_dirty(a, &cursor, 400, &e));
	a = alloc_free(a);
}

Test(alloc, dirty_cursor_finds_nothing_in_a_clean_pool_and_what_came_since)
{
	struct alloc *a = small_pool();
	struct alloc_extent all = extent(0, 1100), late = extent(1099, 1), e;
	uint64_t cursor = 0;

	alloc_set_clean(a, &all);
	cr_assert_not(alloc_next_dirty(a, &cursor, 64, &e));
	alloc_set_dirty(a, &late);
	expect_dirty(a, &cursor, 64, late);
	cr_assert_not(alloc_next_dirty(a, &cursor, 64, &e));
	cursor = 0;
	cr_assert_not(alloc_next_dirty(a, &cursor, 0, &e), "a run of no blocks");
	alloc_set_poisoned(a, &late);
	cr_assert_not(alloc_next_dirty(a, &cursor, 64, &e), "a poisoned block isn't scrubbed");
	a = alloc_free(a);
}

Test(alloc, maps_have_the_formats_bit_order)
{
	struct alloc *a = new_pool((struct alloc_region){
		.blocks = 130, .first_data = 2, .data_blocks = 128, .phase = 449});
	struct alloc_extent low = extent(2, 7), across = extent(62, 4), last = extent(129, 1);
	uint8_t map[24];

	cr_assert_eq(alloc_map_bytes(a, 0), sizeof(map));
	alloc_claim(a, &low);
	alloc_claim(a, &across);
	alloc_claim(a, &last);
	alloc_copy_map(a, 0, ALLOC_MAP_USED, 0, sizeof(map), map);
	for (size_t i = 0; i < sizeof(map); i++) {
		uint8_t want = i == 0    ? 0xfc
			       : i == 1  ? 0x01
			       : i == 7  ? 0xc0
			       : i == 8  ? 0x03
			       : i == 16 ? 0x02
					 : 0;
		cr_assert_eq(map[i], want, "byte %zu", i);
	}
	alloc_copy_map(a, 0, ALLOC_MAP_USED, 8, 8, map); /* a part of it */
	cr_assert_eq(map[0], 0x03);
	cr_assert_eq(map[1] | map[7], 0);
	cr_assert_eq(map[8], 0x03, "more than was asked for");
	alloc_copy_map(a, 0, ALLOC_MAP_CLEAN, 0, sizeof(map), map);
	for (size_t i = 0; i < sizeof(map); i++)
		cr_assert_eq(map[i], 0);
	a = alloc_free(a);
}
