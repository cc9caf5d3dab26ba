// SPDX-License-Identifier: MIT
/* The helper's record lets no block have two owners, and a refusal changes nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "record_fixture.h"
#include "util/cleanup.h"

TestSuite(helper_record, .init = record_fixture_set_up, .fini = record_fixture_tear_down);

Test(helper_record, finds_what_it_was_told_and_whose_each_block_is)
{
	const struct record_extent e[] = {{0, 10, 5, 0}, {5, 1, 2, 1}, {100, 109, 1, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 3), 0);
	const struct record_inode *inode = record_find(&record, 7);
	cr_assert_not_null(inode);
	cr_assert_eq(inode->epoch, 1);
	cr_assert_eq(inode->extent_count, 3);
	cr_assert_eq(inode->regions, 3);
	cr_assert_eq(record_fixture_owner(0, 10), 7);
	cr_assert_eq(record_fixture_owner(0, 14), 7);
	cr_assert_eq(record_fixture_owner(0, 15), 0);
	cr_assert_eq(record_fixture_owner(0, 109), 7);
	cr_assert_eq(record_fixture_owner(1, 2), 7);
	cr_assert_eq(record_fixture_owner(1, 3), 0);
	cr_assert_null(record_find(&record, 8));
}

Test(helper_record, refuses_extents_that_cannot_be)
{
	static const struct {
		const char *name;
		struct record_extent e[2];
	} cases[] = {
		{"no blocks", {{0, 20, 0, 0}, {1, 30, 1, 0}}},
		{"before the data", {{0, 9, 1, 0}, {1, 30, 1, 0}}},
		{"across the end of the data", {{0, 109, 2, 0}, {2, 30, 1, 0}}},
		{"behind the data", {{0, 110, 1, 0}, {1, 30, 1, 0}}},
		{"an overflowing block", {{0, UINT64_MAX, 2, 0}, {2, 30, 1, 0}}},
		{"an overflowing count", {{0, 10, UINT32_MAX, 0}, {UINT32_MAX, 30, 1, 0}}},
		{"no such region", {{0, 10, 1, 2}, {1, 30, 1, 0}}},
		{"a region far away", {{0, 10, 1, UINT16_MAX}, {1, 30, 1, 0}}},
		{"descending", {{5, 10, 1, 0}, {4, 30, 1, 0}}},
		{"overlapping in the file", {{5, 10, 2, 0}, {6, 30, 1, 0}}},
		{"beyond every file", {{UINT64_MAX >> 22, 10, 1, 0}, {UINT64_MAX, 30, 1, 0}}},
		{"one block twice", {{0, 10, 5, 0}, {5, 14, 1, 0}}},
		{"one block within another extent", {{0, 12, 1, 0}, {5, 10, 5, 0}}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_expect_eq(
			record_fixture_hold(7, 1, cases[i].e, 2), -EUCLEAN, "%s", cases[i].name);
		cr_expect_null(record_find(&record, 7), "%s", cases[i].name);
		for (uint64_t b = FIRST; b < FIRST + BLOCKS; b++)
			cr_assert_eq(record_fixture_owner(0, b), 0, "%s: block %" PRIu64,
				cases[i].name, b);
	}
}

Test(helper_record, gives_no_block_to_two_inodes)
{
	const struct record_extent a[] = {{0, 20, 10, 0}};
	const struct record_extent b[] = {{0, 40, 5, 0}, {5, 29, 1, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, a, 1), 0);
	cr_assert_eq(record_fixture_hold(8, 2, b, 2), -EUCLEAN);
	cr_assert_null(record_find(&record, 8));
	cr_assert_eq(record_fixture_owner(0, 29), 7);
	cr_assert_eq(record_fixture_owner(0, 40), 0,
		"what was visited before the refusal is free again");
	record_fixture_release(7);
	record_fixture_zero(29, 1, true);
	cr_assert_eq(record_fixture_hold(8, 2, b, 2), 0);
}

Test(helper_record, lets_a_file_grow_but_not_change_under_its_holder)
{
	const struct record_extent old[] = {{0, 20, 4, 0}, {8, 30, 4, 0}};
	/* the same blocks, cut otherwise, and more on all sides */
	const struct record_extent more[] = {
		{0, 20, 2, 0}, {2, 22, 4, 0}, {6, 28, 6, 0}, {12, 50, 1, 1 - 1}};
	const struct record_extent moved[] = {
		{0, 20, 4, 0}, {4, 60, 4, 0}, {8, 30, 3, 0}, {11, 70, 1, 0}};
	const struct record_extent lost[] = {{0, 20, 4, 0}};
	const struct record_extent shifted[] = {{1, 20, 4, 0}, {8, 30, 4, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, old, 2), 0);
	cr_assert_eq(record_fixture_hold(7, 2, moved, 4), -EUCLEAN);
	cr_assert_eq(record_fixture_hold(7, 2, lost, 1), -EUCLEAN);
	cr_assert_eq(record_fixture_hold(7, 2, shifted, 2), -EUCLEAN);
	cr_assert_eq(record_fixture_hold(7, 2, NULL, 0), -EUCLEAN);
	cr_assert_eq(record_fixture_owner(0, 60), 0);
	cr_assert_eq(record_fixture_owner(0, 31), 7);
	cr_assert_eq(record_find(&record, 7)->epoch, 1);
	cr_assert_eq(record_fixture_hold(7, 2, more, 4), 0);
	cr_assert_eq(record_fixture_owner(0, 50), 7);
	cr_assert_eq(record_find(&record, 7)->epoch, 2);
}

Test(helper_record, takes_no_grant_with_an_old_number)
{
	const struct record_extent e[] = {{0, 20, 1, 0}};
	struct record_inode *inode = NULL;

	cr_assert_eq(record_fixture_hold(7, 5, e, 1), 0);
	cr_assert_eq(record_fixture_hold(7, 5, e, 1), -EUCLEAN);
	cr_assert_eq(record_fixture_hold(7, 4, e, 1), -EUCLEAN);
	/* A worker that was restarted counts anew. */
	cr_assert_eq(record_hold(&record, 7, 2, false, e, 1, &inode, NULL), 0);
	cr_assert_eq(inode->epoch, 2);
	cr_assert_eq(record_fixture_hold(7, 3, e, 1), 0);
}

Test(helper_record, lets_nothing_be_zeroed_that_is_held_or_no_data)
{
	const struct record_extent e[] = {{0, 20, 2, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 1), 0);
	cr_expect_eq(record_begin_order(&record, 0, 19, 2, NULL), -EUCLEAN);
	cr_expect_eq(record_begin_order(&record, 0, 21, 1, NULL), -EUCLEAN);
	cr_expect_eq(record_begin_order(&record, 0, 10, 100, NULL), -EUCLEAN);
	cr_expect_eq(record_begin_order(&record, 0, 9, 1, NULL), -EUCLEAN);
	cr_expect_eq(record_begin_order(&record, 0, 109, 2, NULL), -EUCLEAN);
	cr_expect_eq(record_begin_order(&record, 0, UINT64_MAX, 1, NULL), -EUCLEAN);
	cr_expect_eq(record_begin_order(&record, 2, 20, 1, NULL), -EUCLEAN);
	cr_expect_eq(record_begin_order(&record, 0, 30, 0, NULL), -EUCLEAN);
	cr_expect_eq(record_begin_order(&record, 0, 22, 2, NULL), 0);
	cr_expect_eq(record_begin_order(&record, 1, 20, 2, NULL), 0);
}

Test(helper_record, grants_nothing_that_is_being_zeroed)
{
	const struct record_extent e[] = {{0, 20, 4, 0}};

	cr_assert_eq(record_begin_order(&record, 0, 23, 5, NULL), 0);
	cr_assert_eq(record_begin_order(&record, 0, 22, 2, NULL), 0, "twice at once is no harm");
	cr_assert_eq(record_fixture_hold(7, 1, e, 1), -EUCLEAN);
	record_end_order(&record, 0, 23, 5, true);
	cr_assert_eq(record_fixture_hold(7, 1, e, 1), -EUCLEAN);
	record_end_order(&record, 0, 22, 2, true);
	cr_assert_eq(record_fixture_hold(7, 1, e, 1), 0);
}

Test(helper_record, gives_nobody_the_bytes_of_another)
{
	const struct record_extent e[] = {{0, 20, 4, 0}}, last[] = {{0, 23, 1, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 1), 0);
	record_fixture_release(7);
	cr_expect_eq(record_fixture_hold(8, 2, last, 1), -EUCLEAN);
	cr_assert_null(record_find(&record, 8));
	cr_assert_eq(record_fixture_hold(7, 3, e, 1), 0, "they are its own bytes");
	record_fixture_release(7);
	record_fixture_zero(20, 3, true);
	record_fixture_zero(23, 1, false); /* it failed, or was only a part of the block */
	cr_expect_eq(record_fixture_hold(8, 4, e, 1), -EUCLEAN);
	cr_expect_eq(record_fixture_owner(0, 20), 0);
	record_fixture_zero(23, 1, true);
	cr_assert_eq(record_fixture_hold(8, 5, e, 1), 0);
}

Test(helper_record, notes_whose_bytes_a_grown_inode_leaves)
{
	const struct record_extent a[] = {{0, 20, 1, 0}}, b[] = {{0, 20, 1, 0}, {1, 30, 2, 0}};
	const struct record_extent c[] = {{0, 31, 1, 0}}, d[] = {{0, 31, 1, 0}, {1, 40, 1, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, a, 1), 0);
	cr_assert_eq(record_fixture_hold(7, 2, b, 2), 0);
	record_fixture_release(7);
	cr_expect_eq(record_fixture_hold(9, 3, c, 1), -EUCLEAN);
	record_fixture_zero(31, 1, true);
	cr_assert_eq(record_fixture_hold(9, 4, c, 1), 0);
	cr_assert_eq(record_fixture_hold(9, 5, d, 2), 0);
}

Test(helper_record, bounds_the_orders_under_way)
{
	for (uint64_t i = 0; i < RECORD_ORDERS_MAX; i++)
		cr_assert_eq(record_begin_order(&record, 0, FIRST + i, 1, NULL), 0);
	cr_assert_eq(record_begin_order(&record, 0, 90, 1, NULL), -EBUSY);
	record_end_order(&record, 0, FIRST, 1, true);
	cr_assert_eq(record_begin_order(&record, 0, 90, 1, NULL), 0);
}

/* A worker that dies leaves orders under way; the next one tells who is held before they end. */
Test(helper_record, an_heir_is_held_also_while_it_is_zeroed)
{
	struct record_extent e = {.file_block = 0, .block = 20, .count = 4, .region = 0};
	struct record_inode *heir = NULL, *held = NULL;

	cr_assert_eq(record_fixture_hold(1, 5, &e, 1), 0);
	cr_assert_eq(record_hand_over(&record, record_find(&record, 1), 2, 6, 0, &heir, NULL), 0);
	cr_assert_eq(record_begin_order(&record, 0, 20, 4, NULL), 0);
	cr_expect_eq(record_hold(&record, 2, 6, false, &e, 1, &held, NULL), 0);
	cr_expect_eq(record_hold(&record, 2, 7, true, &e, 1, &held, NULL), -EUCLEAN, "granted");
	record_end_order(&record, 0, 20, 4, true);
	cr_expect_eq(record_hold(&record, 2, 7, true, &e, 1, &held, NULL), 0);
}

Test(helper_record, remembers_a_contradiction_until_it_is_resolved)
{
	const struct record_extent a[] = {{0, 20, 2, 0}}, b[] = {{0, 30, 2, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, a, 1), 0);
	cr_assert(record_contradict(&record, 7, 2)->contradicted);
	cr_assert_eq(record_fixture_owner(0, 20), 7, "what was granted before is still held");
	const struct record_inode *inode = record_contradict(&record, 8, 3);
	cr_assert(inode->contradicted);
	cr_assert_eq(inode->extent_count, 0);
	cr_assert_eq(record_fixture_hold(8, 4, b, 1), 0);
	cr_assert_not(record_find(&record, 8)->contradicted);
}

Test(helper_record, no_word_of_the_worker_takes_away_what_lies_over_an_inode)
{
	const struct record_extent a[] = {{0, 20, 2, 0}}, b[] = {{0, 20, 2, 0}, {2, 30, 2, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, a, 1), 0);
	record_overlay(record_find(&record, 7));
	cr_assert(record_find(&record, 7)->contradicted);
	cr_assert_eq(record_fixture_hold(7, 2, b, 2), 0);
	cr_assert(record_find(&record, 7)->contradicted, "a grant");
	(void)record_contradict(&record, 7, 3);
	cr_assert_eq(record_fixture_hold(7, 4, b, 2), 0);
	cr_assert(record_find(&record, 7)->contradicted, "a contradiction that was resolved");
}

Test(helper_record, goes_through_the_owners_of_a_range)
{
	const struct record_extent a[] = {{0, 20, 2, 0}, {2, 30, 2, 0}}, b[] = {{0, 22, 1, 0}};
	const uint64_t wanted[] = {7, 8, 7};
	uint64_t at = 0;

	cr_assert_eq(record_fixture_hold(7, 1, a, 2), 0);
	cr_assert_eq(record_fixture_hold(8, 2, b, 1), 0);
	for (size_t i = 0; i < 3; i++) {
		const struct record_inode *inode = record_next_owner(&record, 0, &at, UINT64_MAX);
		cr_assert_not_null(inode);
		cr_assert_eq(inode->ino, wanted[i]);
	}
	cr_assert_null(record_next_owner(&record, 0, &at, UINT64_MAX));
	at = 200;
	cr_assert_null(record_next_owner(&record, 0, &at, UINT64_MAX));
}

/* Against a model that is nothing but two arrays: of owners, and of those whose bytes are there. */
#define MODEL_INODES 200U

static uint64_t model[BLOCKS], bytes_of[BLOCKS];

static void model_check(void)
{
	for (uint64_t b = 0; b < BLOCKS; b++)
		cr_assert_eq(
			record_fixture_owner(0, FIRST + b), model[b], "block %" PRIu64, FIRST + b);
}

static void model_zero(void)
{
	uint64_t start = (uint64_t)random() % (BLOCKS - 20), count = 1 + (uint64_t)random() % 20;
	bool held = false;

	for (uint64_t b = start; b < start + count; b++)
		held |= model[b] != 0;
	cr_assert_eq(record_begin_order(&record, 0, FIRST + start, (uint32_t)count, NULL),
		held ? -EUCLEAN : 0);
	if (held)
		return;
	record_end_order(&record, 0, FIRST + start, (uint32_t)count, true);
	for (uint64_t b = start; b < start + count; b++)
		bytes_of[b] = 0;
}

static bool model_takes(uint64_t ino, const struct record_extent *e)
{
	bool known = false, same = true, fits = e->block >= FIRST;

	fits = fits && e->count > 0 && e->block + e->count <= FIRST + BLOCKS;
	for (uint64_t b = 0; b < BLOCKS; b++) {
		bool inside = FIRST + b >= e->block && FIRST + b < e->block + e->count;
		known |= model[b] == ino;
		same = same && (model[b] != ino || inside);
		fits = fits && (!inside || model[b] == 0 || model[b] == ino);
		fits = fits && (!inside || bytes_of[b] == 0 || bytes_of[b] == ino);
	}
	return fits && (!known || same);
}

Test(helper_record, agrees_with_a_plain_model)
{
	const char *given = getenv("GM_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);

	(void)fprintf(stderr, "GM_SEED=%u\n", seed);
	srandom(seed);
	for (uint64_t step = 1; step < 20000; step++) {
		uint64_t ino = 1 + (uint64_t)random() % MODEL_INODES;
		if (random() % 3 == 0)
			model_zero();
		struct record_inode *known = record_find(&record, ino);
		if (known && random() % 2) {
			record_fixture_release(ino);
			for (uint64_t b = 0; b < BLOCKS; b++)
				model[b] = model[b] == ino ? 0 : model[b];
			continue;
		}
		/* A file that always begins at one block and grows: file and device agree. */
		uint64_t start = known ? known->extents[0].block : 8 + (uint64_t)random() % 104;
		const struct record_extent e = {0, start, (uint32_t)(random() % 6), 0};
		bool takes = model_takes(ino, &e);
		cr_assert_eq(record_fixture_hold(ino, step, &e, 1), takes ? 0 : -EUCLEAN,
			"step %" PRIu64 " inode %" PRIu64 " block %" PRIu64 "+%" PRIu32, step, ino,
			e.block, e.count);
		for (uint64_t b = 0; takes && b < e.count; b++)
			model[e.block + b - FIRST] = bytes_of[e.block + b - FIRST] = ino;
		if (step % 100 == 0)
			model_check();
	}
}
