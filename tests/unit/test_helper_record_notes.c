// SPDX-License-Identifier: MIT
/* What one helper's record notes the next one's knows, also where a crash left half of a note. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record_fixture.h"
#include "util/cleanup.h"

TestSuite(helper_record_notes, .init = record_fixture_set_up, .fini = record_fixture_tear_down);

static struct problem why;

/* A helper ends, and the next one begins with what it has noted. */
static int restart(void)
{
	record_deinit(&record);
	record_fixture_begin();
	return record_restore(&record, &why);
}

static int told(uint64_t ino, const struct record_extent *extents, size_t count)
{
	struct record_inode *inode;

	return record_hold(&record, ino, 9, false, extents, count, &inode, &why);
}

Test(helper_record_notes, the_next_helper_knows_what_is_held)
{
	/* Two regions; pieces that follow each other in the region but not in the file. */
	static const struct record_extent e[] = {{0, 20, 3, 0}, {3, 5, 2, 1}, {9, 23, 4, 0}};
	static const struct record_extent other[] = {{0, 27, 2, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 3), 0);
	cr_assert_eq(record_fixture_hold(8, 2, other, 1), 0);
	cr_assert_eq(restart(), 0, "%s", why.text);
	cr_expect_eq(record.inode_count, 2);
	cr_expect_eq(record_fixture_owner(0, 19), 0);
	cr_expect_eq(record_fixture_owner(0, 20), 7);
	cr_expect_eq(record_fixture_owner(0, 26), 7);
	cr_expect_eq(record_fixture_owner(1, 6), 7);
	cr_expect_eq(record_fixture_owner(0, 27), 8);
	cr_expect_eq(record_begin_order(&record, 0, 19, 2, NULL), -EUCLEAN);
	cr_expect_eq(told(7, e, 3), 0, "%s", why.text);
	cr_expect_eq(told(8, other, 1), 0, "%s", why.text);
	cr_expect_eq(record_fixture_hold(7, 10, e, 3), 0);
}

Test(helper_record_notes, the_next_helper_believes_no_other_story)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}};
	static const struct record_extent lies[][2] = {
		{{0, 20, 3, 0}, {3, 30, 1, 0}}, /* another block */
		{{0, 21, 3, 0}, {3, 20, 1, 0}}, /* another order */
		{{0, 20, 2, 0}, {2, 22, 1, 0}}, /* less of it */
	};
	static const struct record_extent beside[] = {{0, 23, 2, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		record_fixture_tear_down();
		record_fixture_set_up();
		cr_assert_eq(record_fixture_hold(7, 1, e, 1), 0);
		cr_assert_eq(restart(), 0);
		cr_expect_eq(told(7, lies[i], 2), -EUCLEAN, "lie %zu", i);
		cr_expect_eq(told(8, beside, 1), -EUCLEAN, "lie %zu", i);
		cr_expect_eq(record_fixture_hold(8, 2, beside, 1), -EUCLEAN, "lie %zu", i);
		cr_expect_eq(record_fixture_owner(0, 24), 0, "lie %zu", i);
	}
}

Test(helper_record_notes, the_next_helper_knows_whose_bytes_are_left)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 1), 0);
	record_fixture_release(7);
	cr_assert_eq(restart(), 0);
	cr_expect_eq(record.inode_count, 0);
	cr_expect_eq(record_fixture_hold(8, 2, e, 1), -EUCLEAN);
	record_fixture_zero(20, 4, true);
	cr_assert_eq(restart(), 0);
	cr_expect_eq(record_fixture_hold(8, 2, e, 1), 0);
}

/* It is killed between any two stores: what is half noted, or half released, is still a part of
 * what the worker tells. */
Test(helper_record_notes, half_of_a_note_contradicts_nothing)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}, {4, 30, 2, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 2), 0);
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

Test(helper_record_notes, data_blocks_that_are_none_any_more_are_refused)
{
	static const struct record_extent e[] = {{0, FIRST + BLOCKS - 1, 1, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 1), 0);
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

Test(helper_record_notes, the_next_helper_knows_what_may_be_handed_over_and_whose_bytes_it_has)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 1), 0);
	cr_assert_eq(restart(), 0);
	cr_expect_not(record_find(&record, 7)->spare);
	record_note_spare(&record, record_find(&record, 7));
	cr_assert_eq(restart(), 0);
	inherit(7, 8);
	cr_expect_eq(told(8, e, 1), 0, "%s", why.text);
	cr_expect_eq(record_fixture_owner(0, 23), 8);
	cr_expect_eq(record_fixture_hold(8, 10, e, 1), -EUCLEAN, "it has another's bytes");
	record_fixture_zero(20, 2, true);
	cr_assert_eq(restart(), 0);
	inherit(7, 8);
	cr_expect_eq(told(8, e, 1), 0, "%s", why.text);
	cr_expect_eq(record_fixture_hold(8, 10, e, 1), -EUCLEAN, "half of it has");
	record_fixture_zero(22, 2, true);
	cr_expect_eq(record_fixture_hold(8, 10, e, 1), 0);
	cr_assert_eq(restart(), 0);
	cr_expect_null(record_find(&record, 7));
	cr_assert_not_null(record_find(&record, 8));
	cr_expect_not(record_find(&record, 8)->spare);
	cr_expect_eq(told(8, e, 1), 0);
}

/* With memory that was handed over a file may get some that is free and not zeroed. */
Test(helper_record_notes, whoever_is_told_to_be_held_gets_nobody_elses_bytes_by_that)
{
	static const struct record_extent e[] = {{0, 20, 4, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 1), 0);
	record_fixture_release(7);
	for (unsigned helpers = 0; helpers < 2; helpers++) {
		cr_expect_eq(told(8, e, 1), 0, "%s", why.text);
		cr_expect_eq(record_fixture_hold(8, 10, e, 1), -EUCLEAN, "it has another's bytes");
		cr_assert_eq(restart(), 0);
	}
	record_fixture_zero(20, 4, true);
	cr_expect_eq(record_fixture_hold(8, 10, e, 1), 0);
}

Test(helper_record_notes, what_is_held_for_nobody_that_makes_sense_is_nobodys)
{
	static const struct record_extent e[] = {{0, 20, 1, 0}};

	notes[0][20] = (struct ledger_entry){.ino = 7, .at = LEDGER_HELD | LEDGER_CLEAN};
	notes[0][25] = (struct ledger_entry){.ino = 7, .at = LEDGER_HELD};
	cr_assert_eq(restart(), 0, "%s", why.text);
	cr_assert(record_find(&record, 7)->contradicted);
	cr_expect_eq(told(8, e, 1), -EUCLEAN);
	cr_expect_eq(record_fixture_hold(8, 10, e, 1), -EUCLEAN);
}

/* The helper has died while it noted the first grant of what was handed over. */
Test(helper_record_notes, a_grant_of_what_was_handed_over_may_be_half_noted)
{
	static const struct record_extent e[] = {{5, 20, 4, 0}};
	const struct ledger_entry states[] = {
		{7, 2 | LEDGER_HELD | LEDGER_SPARE | LEDGER_CLEAN},
		{7, LEDGER_CLEAN},
		{8, LEDGER_CLEAN},
		{8, 7 | LEDGER_HELD},
	};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		record_fixture_tear_down();
		record_fixture_set_up();
		notes[0][20] = (struct ledger_entry){8, 5 | LEDGER_HELD};
		notes[0][21] = (struct ledger_entry){8, 6 | LEDGER_HELD};
		notes[0][22] = states[i];
		notes[0][23] =
			(struct ledger_entry){7, 3 | LEDGER_HELD | LEDGER_SPARE | LEDGER_CLEAN};
		cr_assert_eq(restart(), 0, "%s", why.text);
		inherit(7, 8);
		cr_expect_eq(told(8, e, 1), 0, "state %zu: %s", i, why.text);
		cr_expect_eq(record_fixture_hold(8, 10, e, 1), 0, "state %zu", i);
	}
}

Test(helper_record_notes, what_was_handed_over_is_released_with_nothing_left)
{
	static const struct record_extent e[] = {{0, 20, 2, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, e, 1), 0);
	record_find(&record, 7)->spare = true;
	record_note_spare(&record, record_find(&record, 7));
	record_fixture_zero(20, 1, true);
	record_fixture_release(7);
	cr_assert_eq(restart(), 0);
	cr_expect_eq(record.inode_count, 0);
	cr_expect_eq(notes[0][20].ino, 0);
	cr_expect_eq(notes[0][21].ino, 7, "its bytes are still there");
	cr_expect_eq(record_begin_order(&record, 0, 20, 2, NULL), 0);
}

Test(helper_record_notes, what_was_not_handed_over_is_released_alone)
{
	static const struct record_extent old[] = {{0, 20, 2, 0}}, all[] = {{0, 20, 5, 0}};

	cr_assert_eq(record_fixture_hold(7, 1, old, 1), 0);
	record_note_spare(&record, record_find(&record, 7));
	cr_assert_eq(restart(), 0);
	inherit(7, 8);
	cr_assert_eq(told(8, all, 1), 0, "%s", why.text);
	struct record_extent *kept = malloc(sizeof(*kept));
	cr_assert_not_null(kept);
	*kept = old[0];
	record_release_rest(&record, record_find(&record, 8), kept, 1);
	cr_expect_eq(record_fixture_owner(0, 21), 8);
	cr_expect_eq(record_fixture_owner(0, 22), 0);
	static const struct record_extent beside[] = {{0, 22, 3, 0}};
	cr_expect_eq(record_fixture_hold(9, 1, beside, 1), -EUCLEAN,
		"the worker's word was that it was 8's");
	record_fixture_zero(22, 3, true);
	cr_expect_eq(record_fixture_hold(9, 1, beside, 1), 0);
	cr_assert_eq(restart(), 0);
	cr_expect_eq(record_fixture_owner(0, 24), 9);
	cr_expect(record_find(&record, 7)->spare);
}

/* Two blocks for one place of a file: no helper has noted that. */
Test(helper_record_notes, notes_that_make_no_sense_keep_their_blocks_out_of_use)
{
	static const struct record_extent e[] = {{0, 20, 2, 0}};

	notes[0][20] = notes[0][25] = (struct ledger_entry){.ino = 7, .at = LEDGER_HELD};
	cr_assert_eq(restart(), 0, "%s", why.text);
	cr_assert_not_null(record_find(&record, 7));
	cr_expect(record_find(&record, 7)->contradicted);
	cr_expect_eq(record_begin_order(&record, 0, 25, 1, &why), -EUCLEAN);
	cr_expect(strstr(why.text, "inode 7"), "%s", why.text);
	cr_expect_eq(record_fixture_hold(8, 1, e, 1), -EUCLEAN);
}
