// SPDX-License-Identifier: MIT
/* Runs of ones in a map of 512 bits, a word at a time. */
#include "alloc/bits.h"

struct bits bits_range(unsigned from, unsigned count)
{
	struct bits b = {0};

	for (unsigned i = from / BITS_WORD; i * BITS_WORD < from + count; i++)
		b.word[i] = bits_word_mask(i, from, count);
	return b;
}

/* flip is all ones to look for zeros. */
static unsigned next_bit(const struct bits *b, unsigned from, uint64_t flip)
{
	uint64_t keep = ~0ULL << (from % BITS_WORD);

	for (unsigned i = from / BITS_WORD; i < BITS_WORDS; i++) {
		uint64_t w = (b->word[i] ^ flip) & keep;
		if (w)
			return i * BITS_WORD + (unsigned)__builtin_ctzll(w);
		keep = ~0ULL;
	}
	return BITS;
}

unsigned bits_next_set(const struct bits *b, unsigned from)
{
	return next_bit(b, from, 0);
}

unsigned bits_next_clear(const struct bits *b, unsigned from)
{
	return next_bit(b, from, ~0ULL);
}

/* The bits at which a run of at least count ones begins, count of 1 to 64; what follows the word
 * counts as zeros. */
static uint64_t run_starts(uint64_t w, unsigned count)
{
	while (count > 1) {
		unsigned half = count / 2;
		w &= w >> half;
		count -= half;
	}
	return w;
}

/* The longest run inside a word, if longer than best; else best. */
static unsigned longest_in_word(uint64_t w, unsigned best)
{
	if (best >= BITS_WORD)
		return best;
	for (uint64_t starts = run_starts(w, best + 1); starts; starts &= starts >> 1)
		best++;
	return best;
}

unsigned bits_longest_run(const struct bits *b)
{
	unsigned best = 0, open = 0; /* open: ones at the end of the words so far */

	for (unsigned i = 0; i < BITS_WORDS; i++) {
		uint64_t w = b->word[i];

		if (!~w) {
			open += BITS_WORD;
			continue;
		}
		open += (unsigned)__builtin_ctzll(~w);
		if (open > best)
			best = open;
		best = longest_in_word(w, best);
		open = (unsigned)__builtin_clzll(~w);
	}
	return open > best ? open : best;
}

unsigned bits_best_run(const struct bits *b, unsigned count)
{
	unsigned best = BITS, best_length = BITS + 1, end;

	for (unsigned start = bits_next_set(b, 0); start < BITS; start = bits_next_set(b, end)) {
		end = bits_next_clear(b, start);
		if (end - start == count)
			return start;
		if (end - start > count && end - start < best_length) {
			best = start;
			best_length = end - start;
		}
		if (end == BITS)
			break;
	}
	return best;
}
