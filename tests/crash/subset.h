/* SPDX-License-Identifier: MIT */
/*
 * Which of the stores that are under way have reached the media when the power goes: those since
 * the last fence, and, where the media is persistent memory, whatever was not written back before
 * it.
 *
 * Stores are torn at 8 bytes; the stores to one word reach it in the order of the program; nothing
 * else is certain before the fence. So every subset of the words is a crash state. (A processor's
 * cache, or x86's order of stores, allows some of these only: prefixes of the program's order, and
 * for each line of 64 bytes a prefix of the stores to it.) The numbers of the subsets go from the
 * likely to the rare: every prefix (of thousands of stores, which only bytes of files are, some
 * thousands of them); then all of them where they are few; else suffixes, one word missing, one
 * word alone, whole lines, and chance.
 */
#ifndef GM_TESTS_CRASH_SUBSET_H
#define GM_TESTS_CRASH_SUBSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUBSET_WORDS_ALL 11U /* so many words are explored exhaustively */
#define SUBSET_PREFIXES  4096U
#define SUBSET_LINES_ALL 8U /* and so many lines, each whole or not at all */

struct subset_store {
	uint64_t offset;
	uint64_t word;
	bool flushed; /* written back since: on the media after the next fence */
};

/* How many subsets there are of count stores; samples: how many of each rare kind. */
uint64_t subset_count(const struct subset_store *stores, size_t count, uint64_t samples);

/* The subset with this number: landed[n] for each store. */
void subset_make(bool *landed, const struct subset_store *stores, size_t count, uint64_t samples,
	uint64_t number, uint64_t seed);

#endif
