// SPDX-License-Identifier: MIT
#include "record_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

#include "util/cleanup.h"

struct record record;
struct ledger_entry notes[2][FIRST + BLOCKS + 1];

void record_fixture_begin(void)
{
	record_init(&record);
	cr_assert_eq(record_add_region(&record, ARRAY_SIZE(notes[0]), FIRST, BLOCKS, notes[0]), 0);
	cr_assert_eq(record_add_region(&record, 52, 1, 50, notes[1]), 0);
}

void record_fixture_set_up(void)
{
	memset(notes, 0, sizeof(notes));
	record_fixture_begin();
}

void record_fixture_tear_down(void)
{
	record_deinit(&record);
}

int record_fixture_hold(
	uint64_t ino, uint64_t epoch, const struct record_extent *extents, size_t count)
{
	struct problem why = PROBLEM_INIT;
	struct record_inode *inode = NULL;
	int r = record_hold(&record, ino, epoch, true, extents, count, &inode, &why);

	cr_assert((r == 0) == (inode != NULL));
	cr_assert((r == 0) == (why.text[0] == '\0'), "%s", why.text);
	return r;
}

void record_fixture_release(uint64_t ino)
{
	struct record_inode *inode = record_find(&record, ino);

	record_release(&record, inode);
	record_drop(&record, inode);
}

void record_fixture_zero(uint64_t block, uint32_t count, bool clean)
{
	cr_assert_eq(record_begin_order(&record, 0, block, count, NULL), 0);
	record_end_order(&record, 0, block, count, clean);
}

uint64_t record_fixture_owner(unsigned region, uint64_t block)
{
	const struct record_inode *inode = record_next_owner(&record, region, &block, block + 1);

	return inode ? inode->ino : 0;
}
