/* SPDX-License-Identifier: MIT */
/*
 * What the helper has been told, block by block: whose memory somebody may reach, and what is being
 * zeroed. Whatever contradicts it ends the run.
 */
#ifndef GM_TESTS_FUZZ_RIG_RECORD_H
#define GM_TESTS_FUZZ_RIG_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "guestmemfs/format.h"

#define RECORD_INODES 64U

struct record_entry {
	uint64_t ino; /* 0: the place is free */
	uint64_t epoch;
	bool exported;
	bool spare; /* said so: it may be handed over */
	bool told;  /* over this link */
};

void record_forget(void);

/* NULL: it is not held, as far as the helper knows. */
struct record_entry *record_of(uint64_t ino);
struct record_entry *record_add(uint64_t ino, uint64_t epoch);

/* The nth that is held, round and round; NULL: nothing is. */
struct record_entry *record_nth(unsigned n);

/* Somebody may reach these blocks of the inode from now on. fresh: a grant; else it was so before.
 */
void record_hold_blocks(const struct gm_extent *e, bool fresh);

/* Nobody reaches anything of it any more. */
void record_let_go(uint64_t ino);

/* Its blocks are another one's, to be zeroed before they are granted. */
void record_hand_over(uint64_t from, uint64_t ino, uint64_t file_block);

/* One run in its file, without a hole: its first block, and how many. False: it is none. */
bool record_find_run(uint64_t ino, uint64_t *first, uint64_t *count);

/* Zeroing begins and ends. */
void record_begin_zeroing(uint32_t region, uint64_t block, uint64_t count, bool whole);
void record_end_zeroing(uint32_t region, uint64_t block, uint64_t count);

/* A new link: what is held is told anew; and all of it has been. */
void record_begin_telling(void);
void record_end_telling(void);

#endif
