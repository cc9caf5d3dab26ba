// SPDX-License-Identifier: MIT
/* The units of the content store: against a model, whatever happens; where runs are taken. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc/units.h"
#include "chance.h"

#define BLOCKS 6U
#define UNITS  (BLOCKS * BITS)

static struct units u;

static void start(void)
{
	cr_assert_eq(units_reserve(&u, BLOCKS), 0);
}

static void end(void)
{
	units_deinit(&u);
}

TestSuite(units, .init = start, .fini = end);

static int plan(uint64_t near, uint64_t need, struct units_run *first, size_t *count)
{
	struct units_run *runs = NULL;
	int r = units_plan(&u, near, need, &runs, count);

	if (r == 0)
		*first = runs[0];
	free(runs);
	return r;
}

static bool is_used(uint64_t unit, uint64_t count)
{
	for (uint64_t n = unit; n < unit + count; n++)
		if (n / BITS >= u.room || !u.blocks[n / BITS].there || units_is_free(&u, n, 1))
			return false;
	return true;
}

Test(units, nothing_is_there_at_first)
{
	struct units_run run;
	size_t n;

	cr_expect_eq(u.there, 0);
	cr_expect_not(units_is_free(&u, 0, 1));
	cr_expect_not(is_used(0, 1));
	cr_expect_not(units_is_empty(&u, 0, 1));
	cr_expect_eq(plan(0, 1, &run, &n), -ENOSPC);
}

Test(units, a_run_follows_where_it_can)
{
	struct units_run run;
	size_t n;

	units_add_blocks(&u, 0, 3);
	units_take(&u, 0, 10);
	units_take(&u, 40, 1);
	cr_assert_eq(plan(41, 600, &run, &n), 0);
	cr_expect_eq(n, 1);
	cr_expect_eq(run.unit, 41, "over the block's end");
	cr_assert_eq(plan(UINT64_MAX, 30, &run, &n), 0);
	cr_expect_eq(run.unit, 10, "the gap that it fits best");
	cr_assert_eq(plan(UINT64_MAX, 31, &run, &n), 0);
	cr_expect_eq(run.unit, 41);
	cr_assert_eq(plan(40, 5, &run, &n), 0);
	cr_expect_eq(run.unit, 10, "what follows is taken");
	cr_expect_eq(u.free, 3 * BITS - 11, "a plan takes nothing");
	cr_expect_eq(plan(0, u.free + 1, &run, &n), -ENOSPC);
}

Test(units, all_that_is_free_can_be_had_in_pieces)
{
	struct units_run *runs;
	uint64_t sum = 0;
	size_t n;

	units_add_blocks(&u, 0, 2);
	units_add_blocks(&u, 4, 1);
	for (uint64_t k = 0; k < 2 * BITS; k += 2)
		units_take(&u, k, 1);
	cr_assert_eq(units_plan(&u, UINT64_MAX, 2 * BITS, &runs, &n), 0);
	for (size_t k = 0; k < n; k++) {
		cr_expect(units_is_free(&u, runs[k].unit, runs[k].count));
		sum += runs[k].count;
	}
	cr_expect_eq(sum, 2 * BITS);
	cr_expect_eq(runs[0].count, BITS, "the longest first");
	free(runs);
}

/* 512 GiB: the work must grow with the blocks, not with their square. Of this process only, since
 * the machine may have other things to do. */
Test(units, much_is_planned_as_fast_as_little)
{
	const uint64_t blocks = 256 << 10;
	clock_t begin = clock();
	struct units_run *runs;
	size_t n;

	cr_assert_eq(units_reserve(&u, blocks), 0);
	units_add_blocks(&u, 0, blocks);
	cr_assert_eq(units_plan(&u, UINT64_MAX, blocks * BITS, &runs, &n), 0);
	cr_expect(n == 1 && runs[0].unit == 0 && runs[0].count == blocks * BITS);
	free(runs);
	for (uint64_t b = 0; b < blocks; b++)
		units_take(&u, b * BITS + BITS - 1, 1);
	cr_assert_eq(units_plan(&u, UINT64_MAX, u.free, &runs, &n), 0);
	cr_expect_eq(n, blocks);
	for (size_t k = 0; k < n; k++)
		cr_assert(runs[k].unit == k * BITS && runs[k].count == BITS - 1);
	free(runs);
	cr_expect_lt((clock() - begin) / CLOCKS_PER_SEC, 10);
}

/* ---- against a model ---- */

enum { MISSING, FREE, USED };

static uint8_t model[UNITS];

static bool all_are(uint64_t from, uint64_t count, int what)
{
	for (uint64_t n = from; n < from + count; n++)
		if ((n < UNITS ? model[n] : MISSING) != what)
			return false;
	return true;
}

static void compare(void)
{
	uint64_t counts[3] = {0}, empty = 0;

	for (uint64_t n = 0; n < UNITS; n++)
		counts[model[n]]++;
	for (uint64_t b = 0; b < BLOCKS; b++)
		empty += all_are(b * BITS, BITS, FREE);
	cr_assert_eq(u.free, counts[FREE]);
	cr_assert_eq(u.there, BLOCKS - counts[MISSING] / BITS);
	cr_assert_eq(u.empty, empty);
}

static void change_blocks(uint64_t block)
{
	if (all_are(block * BITS, BITS, MISSING)) {
		units_add_blocks(&u, block, 1);
		memset(model + block * BITS, FREE, BITS);
	} else if (all_are(block * BITS, BITS, FREE)) {
		cr_assert(units_is_empty(&u, block, 1));
		units_remove_blocks(&u, block, 1);
		memset(model + block * BITS, MISSING, BITS);
	} else {
		cr_assert_not(units_is_empty(&u, block, 1));
	}
}

static void take_some(uint64_t near, uint64_t need)
{
	struct units_run *runs;
	uint64_t sum = 0;
	size_t n;
	int r = units_plan(&u, near, need, &runs, &n);

	cr_assert_eq(r, need > 0 && need <= u.free ? 0 : -ENOSPC);
	for (size_t k = 0; r == 0 && k < n; k++) {
		cr_assert(all_are(runs[k].unit, runs[k].count, FREE), "planned twice or not free");
		units_take(&u, runs[k].unit, runs[k].count);
		memset(model + runs[k].unit, USED, runs[k].count);
		sum += runs[k].count;
	}
	if (r == 0) {
		cr_assert_eq(sum, need);
		free(runs);
	}
}

Test(units, agree_with_a_model_whatever_happens)
{
	chance_start();
	for (unsigned step = 0; step < 20000; step++) {
		uint64_t from = chance_below(UNITS), count = 1 + chance_below(700);

		switch (chance_below(4)) {
		case 0:
			change_blocks(from / BITS);
			break;
		case 1:
			take_some(chance_below(2) ? from : UINT64_MAX, count);
			break;
		default:
			cr_assert_eq(units_is_free(&u, from, count), all_are(from, count, FREE));
			cr_assert_eq(is_used(from, count), all_are(from, count, USED));
			while (count > 0 && !all_are(from, count, USED))
				count /= 2;
			if (count == 0)
				break;
			units_give(&u, from, count);
			memset(model + from, FREE, count);
		}
		compare();
	}
}

Test(units, a_bad_block_keeps_what_it_has_and_gets_nothing)
{
	struct units_run run;
	size_t n;

	units_add_blocks(&u, 0, 2);
	units_take(&u, 10, 20);
	units_set_bad(&u, 0);
	units_set_bad(&u, 0);
	cr_expect_eq(u.free, BITS);
	cr_expect_eq(u.bad, 1);
	cr_assert_eq(plan(30, 5, &run, &n), 0);
	cr_expect_eq(run.unit, BITS, "not where it would follow");
	cr_expect_eq(plan(0, BITS + 1, &run, &n), -ENOSPC);
	cr_expect(units_any_bad(&u, 5, 1) && units_any_bad(&u, BITS - 1, 2));
	cr_expect_not(units_any_bad(&u, BITS, 100));
	cr_expect(is_used(10, 20) && units_is_free(&u, 30, 10));
	units_take(&u, 40, 1); /* as a load does, which knows the bad blocks first */
	units_give(&u, 40, 1);
	units_give(&u, 10, 20);
	cr_expect_eq(u.free, BITS);
	cr_expect_eq(u.empty, 2);
	units_remove_blocks(&u, 0, 1);
	cr_expect(u.free == BITS && u.bad == 0 && u.there == 1);
	units_add_blocks(&u, 0, 1);
	cr_expect_eq(u.free, 2 * BITS);
}
