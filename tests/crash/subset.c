// SPDX-License-Identifier: MIT
#include "subset.h"

#include "image.h"

#define LINE 64U

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Lines are counted up where the stores go on to another one. */
static uint64_t count_lines(const struct subset_store *stores, size_t count)
{
	uint64_t lines = count > 0;

	for (size_t n = 1; n < count; n++)
		lines += stores[n].offset / LINE != stores[n - 1].offset / LINE;
	return lines;
}

static uint64_t line_subsets(uint64_t lines, uint64_t samples)
{
	return lines <= SUBSET_LINES_ALL ? 1ULL << lines : samples;
}

static uint64_t prefixes(uint64_t count)
{
	return least(count, SUBSET_PREFIXES);
}

uint64_t subset_count(const struct subset_store *stores, size_t count, uint64_t samples)
{
	if (count <= SUBSET_WORDS_ALL)
		return prefixes(count) + 1 + (1ULL << count);
	return prefixes(count) + 1 + 3 * least(count, samples) +
	       line_subsets(count_lines(stores, count), samples) + samples;
}

static void choose_lines(bool *landed, const struct subset_store *stores, size_t count,
	uint64_t number, uint64_t seed)
{
	uint64_t lines = count_lines(stores, count), line = 0;

	for (size_t n = 0; n < count; n++) {
		line += n > 0 && stores[n].offset / LINE != stores[n - 1].offset / LINE;
		landed[n] = lines <= SUBSET_LINES_ALL ? number >> line & 1
						      : image_mix(seed ^ number, line) & 1;
	}
}

/* About half of the words, nearly all, or a few. */
static void choose_words(bool *landed, size_t count, uint64_t number, uint64_t seed)
{
	static const uint64_t of_16[3] = {8, 15, 2};

	for (size_t n = 0; n < count; n++)
		landed[n] = (image_mix(seed + number, n) >> 20 & 15) < of_16[number % 3];
}

void subset_make(bool *landed, const struct subset_store *stores, size_t count, uint64_t samples,
	uint64_t number, uint64_t seed)
{
	uint64_t some = least(count, samples), place, kind;

	for (size_t n = 0; n < count; n++)
		landed[n] = n * prefixes(count) < number * count;
	if (number <= prefixes(count))
		return;
	number -= prefixes(count) + 1;
	if (count <= SUBSET_WORDS_ALL) {
		for (size_t n = 0; n < count; n++)
			landed[n] = number >> n & 1;
		return;
	}
	if (number < 3 * some) {
		kind = number % 3;
		place = number / 3 * count / some;
		for (size_t n = 0; n < count; n++)
			landed[n] = kind == 0 ? n >= place : (n == place) == (kind == 1);
		return;
	}
	number -= 3 * some;
	if (number < line_subsets(count_lines(stores, count), samples))
		choose_lines(landed, stores, count, number, seed);
	else
		choose_words(landed, count, number, seed);
}
