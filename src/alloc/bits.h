/* SPDX-License-Identifier: MIT */
/*
 * A map of 512 bits, one for each block of a group, and its runs of ones. Plain values; nothing
 * here can fail.
 */
#ifndef GM_ALLOC_BITS_H
#define GM_ALLOC_BITS_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#define BITS       512U
#define BITS_WORD  64U
#define BITS_WORDS (BITS / BITS_WORD)

struct bits {
	uint64_t word[BITS_WORDS];
};

/*
 * The part of [from, from + count) that lies in word i, as a mask of that
 * word; the two must overlap.
 */
static inline uint64_t bits_word_mask(unsigned i, unsigned from, unsigned count)
{
	unsigned base = i * BITS_WORD, end = from + count;
	unsigned first = from > base ? from - base : 0;
	unsigned last = end - base < BITS_WORD ? end - base : BITS_WORD;

	assert(first < last);
	return (~0ULL >> (BITS_WORD - (last - first))) << first;
}

static inline bool bits_get(const struct bits *b, unsigned bit)
{
	return b->word[bit / BITS_WORD] >> (bit % BITS_WORD) & 1;
}

/* Ones in a word. The baseline instruction set has no population count, and most words are all
 * zeros or all ones. */
static inline unsigned bits_count_word(uint64_t w)
{
	if (!w)
		return 0;
	if (!~w)
		return BITS_WORD;
	return (unsigned)__builtin_popcountll(w);
}

struct bits bits_range(unsigned from, unsigned count);

/* The first one, or the first zero, at or after from; BITS if there is none. */
unsigned bits_next_set(const struct bits *b, unsigned from);
unsigned bits_next_clear(const struct bits *b, unsigned from);

/* Length of the longest run of ones. */
unsigned bits_longest_run(const struct bits *b);

/* Start of the shortest run of at least count ones, the lowest of equals; BITS if there is none. */
unsigned bits_best_run(const struct bits *b, unsigned count);

#endif
