// SPDX-License-Identifier: MIT
/* The helper's record lets no block have two owners, and a refusal changes nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "helper/record.h"
#include "util/cleanup.h"

#define FIRST  10U
#define BLOCKS 100U

static struct record record;
static struct ledger_entry notes[2][FIRST + BLOCKS + 1];

static void begin(void)
{
	record_init(&record);
	cr_assert_eq(record_add_region(&record, ARRAY_SIZE(notes[0]), FIRST, BLOCKS, notes[0]), 0);
	cr_assert_eq(record_add_region(&record, 52, 1, 50, notes[1]), 0);
}

static void setup(void)
{
	memset(notes, 0, sizeof(notes));
	begin();
}

static void teardown(void)
{
	record_deinit(&record);
}

TestSuite(helper_record, .init = setup, .fini = teardown);

static int hold(uint64_t ino, uint64_t epoch, const struct record_extent *extents, size_t count)
{
	struct problem why = PROBLEM_INIT;
	struct record_inode *inode = NULL;
	int r = record_hold(&record, ino, epoch, true, extents, count, &inode, &why);

	cr_assert((r == 0) == (inode != NULL));
	cr_assert((r == 0) == (why.text[0] == '\0'), "%s", why.text);
	return r;
}

static void release(uint64_t ino)
{
	struct record_inode *inode = record_find(&record, ino);

	record_release(&record, inode);
	record_drop(&record, inode);
}

static void zero(uint64_t block, uint32_t count, bool clean)
{
	cr_assert_eq(record_begin_order(&record, 0, block, count, NULL), 0);
	record_end_order(&record, 0, block, count, clean);
}

static uint64_t owner_of(unsigned region, uint64_t block)
{
	const struct record_inode *inode = record_next_owner(&record, region, &block, block + 1);

	return inode ? inode->ino : 0;
}

Test(helper_record, finds_what_it_was_told_and_whose_each_block_is)
{
	const struct record_extent e[] = {{0, 10, 5, 0}, {5, 1, 2, 1}, {100, 109, 1, 0}};

	cr_assert_eq(hold(7, 1, e, 3), 0);
	const struct record_inode *inode = record_find(&record, 7);
	cr_assert_not_null(inode);
	cr_assert_eq(inode->epoch, 1);
	cr_assert_eq(inode->extent_count, 3);
	cr_assert_eq(inode->regions, 3);
	cr_assert_eq(owner_of(0, 10), 7);
	cr_assert_eq(owner_of(0, 14), 7);
	cr_assert_eq(owner_of(0, 15), 0);
	cr_assert_eq(owner_of(0, 109), 7);
	cr_assert_eq(owner_of(1, 2), 7);
	cr_assert_eq(owner_of(1, 3), 0);
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
		cr_expect_eq(hold(7, 1, cases[i].e, 2), -EUCLEAN, "%s", cases[i].name);
		cr_expect_null(record_find(&record, 7), "%s", cases[i].name);
		for (uint64_t b = FIRST; b < FIRST + BLOCKS; b++)
			cr_assert_eq(owner_of(0, b), 0, "%s: block %" PRIu64, cases[i].name, b);
	}
}

Test(helper_record, gives_no_block_to_two_inodes)
{
	const struct record_extent a[] = {{0, 20, 10, 0}};
	const struct record_extent b[] = {{0, 40, 5, 0}, {5, 29, 1, 0}};

	cr_assert_eq(hold(7, 1, a, 1), 0);
	cr_assert_eq(hold(8, 2, b, 2), -EUCLEAN);
	cr_assert_null(record_find(&record, 8));
	cr_assert_eq(owner_of(0, 29), 7);
	cr_assert_eq(owner_of(0, 40), 0, "what was visited before the refusal is free again");
	release(7);
	zero(29, 1, true);
	cr_assert_eq(hold(8, 2, b, 2), 0);
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

	cr_assert_eq(hold(7, 1, old, 2), 0);
	cr_assert_eq(hold(7, 2, moved, 4), -EUCLEAN);
	cr_assert_eq(hold(7, 2, lost, 1), -EUCLEAN);
	cr_assert_eq(hold(7, 2, shifted, 2), -EUCLEAN);
	cr_assert_eq(hold(7, 2, NULL, 0), -EUCLEAN);
	cr_assert_eq(owner_of(0, 60), 0);
	cr_assert_eq(owner_of(0, 31), 7);
	cr_assert_eq(record_find(&record, 7)->epoch, 1);
	cr_assert_eq(hold(7, 2, more, 4), 0);
	cr_assert_eq(owner_of(0, 50), 7);
	cr_assert_eq(record_find(&record, 7)->epoch, 2);
}

Test(helper_record, takes_no_grant_with_an_old_number)
{
	const struct record_extent e[] = {{0, 20, 1, 0}};
	struct record_inode *inode = NULL;

	cr_assert_eq(hold(7, 5, e, 1), 0);
	cr_assert_eq(hold(7, 5, e, 1), -EUCLEAN);
	cr_assert_eq(hold(7, 4, e, 1), -EUCLEAN);
	/* A worker that was restarted counts anew. */
	cr_assert_eq(record_hold(&record, 7, 2, false, e, 1, &inode, NULL), 0);
	cr_assert_eq(inode->epoch, 2);
	cr_assert_eq(hold(7, 3, e, 1), 0);
}

Test(helper_record, lets_nothing_be_zeroed_that_is_held_or_no_data)
{
	const struct record_extent e[] = {{0, 20, 2, 0}};

	cr_assert_eq(hold(7, 1, e, 1), 0);
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
	cr_assert_eq(hold(7, 1, e, 1), -EUCLEAN);
	record_end_order(&record, 0, 23, 5, true);
	cr_assert_eq(hold(7, 1, e, 1), -EUCLEAN);
	record_end_order(&record, 0, 22, 2, true);
	cr_assert_eq(hold(7, 1, e, 1), 0);
}

Test(helper_record, gives_nobody_the_bytes_of_another)
{
	const struct record_extent e[] = {{0, 20, 4, 0}}, last[] = {{0, 23, 1, 0}};

	cr_assert_eq(hold(7, 1, e, 1), 0);
	release(7);
	cr_expect_eq(hold(8, 2, last, 1), -EUCLEAN);
	cr_assert_null(record_find(&record, 8));
	cr_assert_eq(hold(7, 3, e, 1), 0, "they are its own bytes");
	release(7);
	zero(20, 3, true);
	zero(23, 1, false); /* it failed, or was only a part of the block */
	cr_expect_eq(hold(8, 4, e, 1), -EUCLEAN);
	cr_expect_eq(owner_of(0, 20), 0);
	zero(23, 1, true);
	cr_assert_eq(hold(8, 5, e, 1), 0);
}

Test(helper_record, notes_whose_bytes_a_grown_inode_leaves)
{
	const struct record_extent a[] = {{0, 20, 1, 0}}, b[] = {{0, 20, 1, 0}, {1, 30, 2, 0}};
	const struct record_extent c[] = {{0, 31, 1, 0}}, d[] = {{0, 31, 1, 0}, {1, 40, 1, 0}};

	cr_assert_eq(hold(7, 1, a, 1), 0);
	cr_assert_eq(hold(7, 2, b, 2), 0);
	release(7);
	cr_expect_eq(hold(9, 3, c, 1), -EUCLEAN);
	zero(31, 1, true);
	cr_assert_eq(hold(9, 4, c, 1), 0);
	cr_assert_eq(hold(9, 5, d, 2), 0);
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

	cr_assert_eq(hold(1, 5, &e, 1), 0);
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

	cr_assert_eq(hold(7, 1, a, 1), 0);
	cr_assert(record_contradict(&record, 7, 2)->contradicted);
	cr_assert_eq(owner_of(0, 20), 7, "what was granted before is still held");
	const struct record_inode *inode = record_contradict(&record, 8, 3);
	cr_assert(inode->contradicted);
	cr_assert_eq(inode->extent_count, 0);
	cr_assert_eq(hold(8, 4, b, 1), 0);
	cr_assert_not(record_find(&record, 8)->contradicted);
}

Test(helper_record, no_word_of_the_worker_takes_away_what_lies_over_an_inode)
{
	const struct record_extent a[] = {{0, 20, 2, 0}}, b[] = {{0, 20, 2, 0}, {2, 30, 2, 0}};

	cr_assert_eq(hold(7, 1, a, 1), 0);
	record_overlay(record_find(&record, 7));
	cr_assert(record_find(&record, 7)->contradicted);
	cr_assert_eq(hold(7, 2, b, 2), 0);
	cr_assert(record_find(&record, 7)->contradicted, "a grant");
	(void)record_contradict(&record, 7, 3);
	cr_assert_eq(hold(7, 4, b, 2), 0);
	cr_assert(record_find(&record, 7)->contradicted, "a contradiction that was resolved");
}

Test(helper_record, goes_through_the_owners_of_a_range)
{
	const struct record_extent a[] = {{0, 20, 2, 0}, {2, 30, 2, 0}}, b[] = {{0, 22, 1, 0}};
	const uint64_t wanted[] = {7, 8, 7};
	uint64_t at = 0;

	cr_assert_eq(hold(7, 1, a, 2), 0);
	cr_assert_eq(hold(8, 2, b, 1), 0);
	for (size_t i = 0; i < 3; i++) {
		const struct record_inode *inode = record_next_owner(&record, 0, &at, UINT64_MAX);
		cr_assert_not_null(inode);
		cr_assert_eq(inode->ino, wanted[i]);
	}
	cr_assert_null(record_next_owner(&record, 0, &at, UINT64_MAX));
	at = 200;
	cr_assert_null(record_next_owner(&record, 0, &at, UINT64_MAX));
}

/* ---- what the next helper finds ---- */

static struct problem why;

/* A helper ends, and the next one begins with what it has noted. */
static int restart(void)
{
	record_deinit(&record);
	begin();
	return record_restore(&record, &why);
}

static int told(uint64_t ino, const struct record_extent *extents, size_t count)
{
	struct record_inode *inode;

	return record_hold(&record, ino, 9, false, extents, count, &inode, &why);
}

Test(helper_record, the_next_helper_knows_what_is_held)
{
	/* Two regions; pieces that follow each other in the region but not in the file. */
	static const struct record_extent e[] = {{0, 20, 3, 0}, {3, 5, 2, 1}, {9, 23, 4, 0}};
	static const struct record_extent other[] = {{0, 27, 2, 0}};

	cr_assert_eq(hold(7, 1, e, 3), 0);
	cr_assert_eq(hold(8, 2, other, 1), 0);
	cr_assert_eq(restart(), 0, "%s", why.text);
	cr_expect_eq(record.inode_count, 2);
	cr_expect_eq(owner_of(0, 19), 0);
	cr_expect_eq(owner_of(0, 20), 7);
	cr_expect_eq(owner_of(0, 26), 7);
	cr_expect_eq(owner_of(1, 6), 7);
	cr_expect_eq(owner_of(0, 27), 8);
	cr_expect_eq(record_begin_order(&record, 0, 19, 2, NULL), -EUCLEAN);
	cr_expect_eq(told(7, e, 3), 0, "%s", why.text);
	cr_expect_eq(told(8, other, 1), 0, "%s", why.text);
	cr_expect_eq(hold(7, 10, e, 3), 0);
}

Test(helper_record, the_next_helper_believes_no_other_story)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}};
	static const struct record_extent lies[][2] = {
		{{0, 20, 3, 0}, {3, 30, 1, 0}}, /* another block */
		{{0, 21, 3, 0}, {3, 20, 1, 0}}, /* another order */
		{{0, 20, 2, 0}, {2, 22, 1, 0}}, /* less of it */
	};
	static const struct record_extent beside[] = {{0, 23, 2, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		teardown();
		setup();
		cr_assert_eq(hold(7, 1, e, 1), 0);
		cr_assert_eq(restart(), 0);
		cr_expect_eq(told(7, lies[i], 2), -EUCLEAN, "lie %zu", i);
		cr_expect_eq(told(8, beside, 1), -EUCLEAN, "lie %zu", i);
		cr_expect_eq(hold(8, 2, beside, 1), -EUCLEAN, "lie %zu", i);
		cr_expect_eq(owner_of(0, 24), 0, "lie %zu", i);
	}
}

Test(helper_record, the_next_helper_knows_whose_bytes_are_left)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}};

	cr_assert_eq(hold(7, 1, e, 1), 0);
	release(7);
	cr_assert_eq(restart(), 0);
	cr_expect_eq(record.inode_count, 0);
	cr_expect_eq(hold(8, 2, e, 1), -EUCLEAN);
	zero(20, 4, true);
	cr_assert_eq(restart(), 0);
	cr_expect_eq(hold(8, 2, e, 1), 0);
}

/* It is killed between any two stores: what is half noted, or half released, is still a part of
 * what the worker tells. */
Test(helper_record, half_of_a_note_contradicts_nothing)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}, {4, 30, 2, 0}};

	cr_assert_eq(hold(7, 1, e, 2), 0);
	for (uint64_t block = 20; block < 24; block++) {
		notes[0][block].at &= ~LEDGER_HELD;
		if (block >= 22)
			notes[0][block] = (struct ledger_entry){.ino = block == 23 ? 7 : 0};
		cr_assert_eq(restart(), 0);
		cr_expect_eq(told(7, e, 2), 0, "%s", why.text);
		record_drop(&record, record_find(&record, 7));
		/* as it was before the HELD */
		for (uint64_t b = 20; b <= block; b++)
			notes[0][b].at &= ~LEDGER_HELD;
	}
}

Test(helper_record, data_blocks_that_are_none_any_more_are_refused)
{
	static const struct record_extent e[] = {{0, FIRST + BLOCKS - 1, 1, 0}};

	cr_assert_eq(hold(7, 1, e, 1), 0);
	record_deinit(&record);
	record_init(&record);
	cr_assert_eq(
		record_add_region(&record, ARRAY_SIZE(notes[0]), FIRST, BLOCKS - 1, notes[0]), 0);
	cr_expect_eq(record_restore(&record, &why), -EUCLEAN);
	cr_expect(strstr(why.text, "inode 7"), "%s", why.text);
}

/* Nobody has said yet, or lived to say, to whom it has gone: the worker tells. */
static void inherit(uint64_t from_ino, uint64_t ino)
{
	struct record_inode *from = record_find(&record, from_ino);

	cr_assert(from && from->spare);
	cr_assert_eq(record_inherit(&record, from, ino), 0);
	record_drop(&record, from);
}

Test(helper_record, the_next_helper_knows_what_may_be_handed_over_and_whose_bytes_it_has)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}};

	cr_assert_eq(hold(7, 1, e, 1), 0);
	cr_assert_eq(restart(), 0);
	cr_expect_not(record_find(&record, 7)->spare);
	record_note_spare(&record, record_find(&record, 7));
	cr_assert_eq(restart(), 0);
	inherit(7, 8);
	cr_expect_eq(told(8, e, 1), 0, "%s", why.text);
	cr_expect_eq(owner_of(0, 23), 8);
	cr_expect_eq(hold(8, 10, e, 1), -EUCLEAN, "it has another's bytes");
	zero(20, 2, true);
	cr_assert_eq(restart(), 0);
	inherit(7, 8);
	cr_expect_eq(told(8, e, 1), 0, "%s", why.text);
	cr_expect_eq(hold(8, 10, e, 1), -EUCLEAN, "half of it has");
	zero(22, 2, true);
	cr_expect_eq(hold(8, 10, e, 1), 0);
	cr_assert_eq(restart(), 0);
	cr_expect_null(record_find(&record, 7));
	cr_assert_not_null(record_find(&record, 8));
	cr_expect_not(record_find(&record, 8)->spare);
	cr_expect_eq(told(8, e, 1), 0);
}

/* With memory that was handed over a file may get some that is free and not zeroed. */
Test(helper_record, whoever_is_told_to_be_held_gets_nobody_elses_bytes_by_that)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}};

	cr_assert_eq(hold(7, 1, e, 1), 0);
	release(7);
	for (unsigned helpers = 0; helpers < 2; helpers++) {
		cr_expect_eq(told(8, e, 1), 0, "%s", why.text);
		cr_expect_eq(hold(8, 10, e, 1), -EUCLEAN, "it has another's bytes");
		cr_assert_eq(restart(), 0);
	}
	zero(20, 4, true);
	cr_expect_eq(hold(8, 10, e, 1), 0);
}

Test(helper_record, what_is_held_for_nobody_that_makes_sense_is_nobodys)
{
	static const struct record_extent e[] = {{0, 20, 1, 0}};

	notes[0][20] = (struct ledger_entry){.ino = 7, .at = LEDGER_HELD | LEDGER_CLEAN};
	notes[0][25] = (struct ledger_entry){.ino = 7, .at = LEDGER_HELD};
	cr_assert_eq(restart(), 0, "%s", why.text);
	cr_assert(record_find(&record, 7)->contradicted);
	cr_expect_eq(told(8, e, 1), -EUCLEAN);
	cr_expect_eq(hold(8, 10, e, 1), -EUCLEAN);
}

/* The helper has died while it noted the first grant of what was handed over. */
Test(helper_record, a_grant_of_what_was_handed_over_may_be_half_noted)
{
	static const struct record_extent e[] = {{5, 20, 4, 0}};
	const struct ledger_entry states[] = {
		{7, 2 | LEDGER_HELD | LEDGER_SPARE | LEDGER_CLEAN},
		{7, LEDGER_CLEAN},
		{8, LEDGER_CLEAN},
		{8, 7 | LEDGER_HELD},
	};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		teardown();
		setup();
		notes[0][20] = (struct ledger_entry){8, 5 | LEDGER_HELD};
		notes[0][21] = (struct ledger_entry){8, 6 | LEDGER_HELD};
		notes[0][22] = states[i];
		notes[0][23] =
			(struct ledger_entry){7, 3 | LEDGER_HELD | LEDGER_SPARE | LEDGER_CLEAN};
		cr_assert_eq(restart(), 0, "%s", why.text);
		inherit(7, 8);
		cr_expect_eq(told(8, e, 1), 0, "state %zu: %s", i, why.text);
		cr_expect_eq(hold(8, 10, e, 1), 0, "state %zu", i);
	}
}

Test(helper_record, what_was_handed_over_is_released_with_nothing_left)
{
	static const struct record_extent e[] = {{0, 20, 2, 0}};

	cr_assert_eq(hold(7, 1, e, 1), 0);
	record_find(&record, 7)->spare = true;
	record_note_spare(&record, record_find(&record, 7));
	zero(20, 1, true);
	release(7);
	cr_assert_eq(restart(), 0);
	cr_expect_eq(record.inode_count, 0);
	cr_expect_eq(notes[0][20].ino, 0);
	cr_expect_eq(notes[0][21].ino, 7, "its bytes are still there");
	cr_expect_eq(record_begin_order(&record, 0, 20, 2, NULL), 0);
}

Test(helper_record, what_was_not_handed_over_is_released_alone)
{
	static const struct record_extent old[] = {{0, 20, 2, 0}}, all[] = {{0, 20, 5, 0}};

	cr_assert_eq(hold(7, 1, old, 1), 0);
	record_note_spare(&record, record_find(&record, 7));
	cr_assert_eq(restart(), 0);
	inherit(7, 8);
	cr_assert_eq(told(8, all, 1), 0, "%s", why.text);
	struct record_extent *kept = malloc(sizeof(*kept));
	cr_assert_not_null(kept);
	*kept = old[0];
	record_release_rest(&record, record_find(&record, 8), kept, 1);
	cr_expect_eq(owner_of(0, 21), 8);
	cr_expect_eq(owner_of(0, 22), 0);
	static const struct record_extent beside[] = {{0, 22, 3, 0}};
	cr_expect_eq(hold(9, 1, beside, 1), -EUCLEAN, "the worker's word was that it was 8's");
	zero(22, 3, true);
	cr_expect_eq(hold(9, 1, beside, 1), 0);
	cr_assert_eq(restart(), 0);
	cr_expect_eq(owner_of(0, 24), 9);
	cr_expect(record_find(&record, 7)->spare);
}

/* Two blocks for one place of a file: no helper has noted that. */
Test(helper_record, notes_that_make_no_sense_keep_their_blocks_out_of_use)
{
	static const struct record_extent e[] = {{0, 20, 2, 0}};

	notes[0][20] = notes[0][25] = (struct ledger_entry){.ino = 7, .at = LEDGER_HELD};
	cr_assert_eq(restart(), 0, "%s", why.text);
	cr_assert_not_null(record_find(&record, 7));
	cr_expect(record_find(&record, 7)->contradicted);
	cr_expect_eq(record_begin_order(&record, 0, 25, 1, &why), -EUCLEAN);
	cr_expect(strstr(why.text, "inode 7"), "%s", why.text);
	cr_expect_eq(hold(8, 1, e, 1), -EUCLEAN);
}

/* Against a model that is nothing but two arrays: of owners, and of those whose bytes are there. */
#define MODEL_INODES 200U

static uint64_t model[BLOCKS], bytes_of[BLOCKS];

static void model_check(void)
{
	for (uint64_t b = 0; b < BLOCKS; b++)
		cr_assert_eq(owner_of(0, FIRST + b), model[b], "block %" PRIu64, FIRST + b);
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
			release(ino);
			for (uint64_t b = 0; b < BLOCKS; b++)
				model[b] = model[b] == ino ? 0 : model[b];
			continue;
		}
		/* A file that always begins at one block and grows: file and device agree. */
		uint64_t start = known ? known->extents[0].block : 8 + (uint64_t)random() % 104;
		const struct record_extent e = {0, start, (uint32_t)(random() % 6), 0};
		bool takes = model_takes(ino, &e);
		cr_assert_eq(hold(ino, step, &e, 1), takes ? 0 : -EUCLEAN,
			"step %" PRIu64 " inode %" PRIu64 " block %" PRIu64 "+%" PRIu32, step, ino,
			e.block, e.count);
		for (uint64_t b = 0; takes && b < e.count; b++)
			model[e.block + b - FIRST] = bytes_of[e.block + b - FIRST] = ino;
		if (step % 100 == 0)
			model_check();
	}
}
