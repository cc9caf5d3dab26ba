// SPDX-License-Identifier: MIT
/* Ranges of blocks of a soft region: what may become a device, and what two devices have in common.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "guestmemfs/types.h"
#include "region/soft_range.h"
#include "util/cleanup.h"

#define START      0x100000000ULL /* a multiple of 1 GiB */
#define GIB_BLOCKS 512U

Test(soft_range, joins_what_follows_and_nothing_else)
{
	struct soft_range r[] = {{4, 2}, {6, 1}, {9, 1}, {8, 1}, {7, 1}, {8, 4}, {12, 1}};

	cr_assert_eq(soft_ranges_join(r, ARRAY_SIZE(r)), 4);
	cr_expect(r[0].block == 4 && r[0].count == 3);
	cr_expect(r[1].block == 9 && r[1].count == 1);
	cr_expect(r[2].block == 8 && r[2].count == 1);
	cr_expect(r[3].block == 7 && r[3].count == 6);
	cr_expect_eq(soft_ranges_join(NULL, 0), 0);
}

Test(soft_range, joining_stops_where_a_count_would_not_hold_it)
{
	struct soft_range r[] = {{0, UINT32_MAX}, {UINT32_MAX, 1}};

	cr_expect_eq(soft_ranges_join(r, 2), 2);
}

Test(soft_range, refuses_what_the_kernel_would_take_and_get_wrong)
{
	static const struct {
		uint64_t start;
		uint64_t align;
		struct soft_range ranges[3];
		size_t count;
		const char *sentence; /* NULL: fine */
	} cases[] = {
		{START, GM_BLOCK_SIZE, {{0, 1}}, 1, NULL},
		{START, GM_BLOCK_SIZE, {{1023, 1}, {0, 1}, {5, 100}}, 3, NULL},
		{START, GM_BLOCK_SIZE, {{0, 1024}}, 1, NULL},
		{START, GM_GROUP_SIZE, {{GIB_BLOCKS, GIB_BLOCKS}, {0, GIB_BLOCKS}}, 2, NULL},
		{START, GM_BLOCK_SIZE, {{0, 1}}, 0, "at least one range"},
		{START, GM_BLOCK_SIZE, {{0, 0}}, 1, "not inside the region"},
		{START, GM_BLOCK_SIZE, {{1024, 1}}, 1, "not inside the region"},
		{START, GM_BLOCK_SIZE, {{1023, 2}}, 1, "not inside the region"},
		{START, GM_BLOCK_SIZE, {{UINT64_MAX, 2}}, 1, "not inside the region"},
		{START, GM_BLOCK_SIZE, {{7, 2}, {3, 2}, {4, 1}}, 3, "block 4 is in two"},
		{START, GM_BLOCK_SIZE, {{7, 2}, {7, 2}}, 2, "block 7 is in two"},
		{START, 4096, {{0, 1}}, 1, "no page size"},
		{START, 0, {{0, 1}}, 1, "no page size"},
		/* The length is right, the start is not: the kernel takes this. */
		{START, GM_GROUP_SIZE, {{1, GIB_BLOCKS}}, 1, "not aligned to 1G"},
		{START, GM_GROUP_SIZE, {{0, GIB_BLOCKS - 1}}, 1, "not aligned to 1G"},
		/* Physical addresses count, not places in the region. */
		{START + GM_BLOCK_SIZE, GM_GROUP_SIZE, {{0, GIB_BLOCKS}}, 1, "not aligned to 1G"},
		{START + GM_BLOCK_SIZE, GM_GROUP_SIZE, {{GIB_BLOCKS - 1, GIB_BLOCKS}}, 1, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct problem why = PROBLEM_INIT;
		int r = soft_ranges_check(cases[i].ranges, cases[i].count, cases[i].start, 1024,
			cases[i].align, &why);

		cr_expect_eq(r, cases[i].sentence ? -EINVAL : 0, "%zu: %s", i, why.text);
		cr_expect(!cases[i].sentence || strstr(why.text, cases[i].sentence), "%zu: %s", i,
			why.text);
	}
}

Test(soft_range, two_meet_if_they_share_a_block)
{
	static const struct soft_range a[] = {{10, 5}, {100, 1}};
	static const struct soft_range beside[] = {{15, 85}, {0, 10}, {101, 1}};
	static const struct soft_range inside[] = {{0, 1}, {12, 1}};
	static const struct soft_range edge[] = {{90, 11}};
	uint64_t block = 7;

	cr_expect(!soft_ranges_meet(a, 2, beside, 3, &block));
	cr_expect(!soft_ranges_meet(a, 2, NULL, 0, &block));
	cr_expect_eq(block, 7);
	cr_expect(soft_ranges_meet(a, 2, inside, 2, &block));
	cr_expect_eq(block, 12);
	cr_expect(soft_ranges_meet(edge, 1, a, 2, &block));
	cr_expect_eq(block, 100);
}

Test(soft_range, equal_is_the_same_blocks_in_the_same_order_however_cut)
{
	static const struct soft_range whole[] = {{4, 4}, {2, 1}};
	static const struct soft_range cut[] = {{4, 1}, {5, 3}, {2, 1}};
	static const struct soft_range other_order[] = {{2, 1}, {4, 4}};
	static const struct soft_range longer[] = {{4, 4}, {2, 2}};

	cr_expect(soft_ranges_equal(whole, 2, cut, 3));
	cr_expect(soft_ranges_equal(cut, 3, whole, 2));
	cr_expect(!soft_ranges_equal(whole, 2, other_order, 2));
	cr_expect(!soft_ranges_equal(whole, 2, longer, 2));
	cr_expect(!soft_ranges_equal(whole, 1, whole, 2));
	cr_expect(soft_ranges_equal(NULL, 0, NULL, 0));
}

Test(soft_range, a_metadata_device_is_the_beginning_and_the_last_block)
{
	static const struct soft_range odd[][2] = {{{0, 3}, {98, 1}}, {{0, 3}, {98, 2}},
		{{1, 3}, {99, 1}}, {{99, 1}, {0, 3}}, {{0, 3}, {4, 1}}};
	struct soft_range r[2];

	for (uint64_t blocks = 1; blocks < 100; blocks++) {
		size_t n = soft_ranges_metadata(r, blocks, 100);

		cr_expect_eq(n, blocks == 99 ? 1 : 2);
		cr_expect_eq(soft_ranges_blocks(r, n), blocks + 1);
		cr_expect_eq(soft_ranges_first_blocks(r, n, 100), blocks);
	}
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		cr_expect_eq(soft_ranges_first_blocks(odd[i], 2, 100), 0, "%zu", i);
	cr_expect_eq(soft_ranges_first_blocks(odd[0], 1, 100), 0);
	cr_expect_eq(soft_ranges_first_blocks(NULL, 0, 100), 0);
}
