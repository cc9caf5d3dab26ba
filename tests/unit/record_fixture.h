/* SPDX-License-Identifier: MIT */
/* A record of two small regions, with notes that outlive it. There is one for the process. */
#ifndef GM_TESTS_RECORD_FIXTURE_H
#define GM_TESTS_RECORD_FIXTURE_H

#include "helper/record.h"

#define FIRST  10U
#define BLOCKS 100U /* data blocks of region 0; region 1 has 50, from block 1 on */

extern struct record record;
extern struct ledger_entry notes[2][FIRST + BLOCKS + 1];

/* For a TestSuite. */
void record_fixture_set_up(void);
void record_fixture_tear_down(void);

/* A record over the notes that are there. */
void record_fixture_begin(void);

int record_fixture_hold(
	uint64_t ino, uint64_t epoch, const struct record_extent *extents, size_t count);
void record_fixture_release(uint64_t ino);

/* Blocks of region 0. */
void record_fixture_zero(uint64_t block, uint32_t count, bool clean);

/* 0: nobody. */
uint64_t record_fixture_owner(unsigned region, uint64_t block);

#endif
