/* SPDX-License-Identifier: MIT */
/* An input, taken apart from its start; behind its end there are zeros. */
#ifndef GM_TESTS_FUZZ_BYTES_H
#define GM_TESTS_FUZZ_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t bytes_take(struct bytes *b)
{
	if (b->left == 0)
		return 0;
	b->left--;
	return *b->at++;
}

static inline uint32_t bytes_take_16(struct bytes *b)
{
	uint32_t low = bytes_take(b);

	return low | (uint32_t)bytes_take(b) << 8;
}

static inline uint64_t bytes_take_64(struct bytes *b)
{
	uint64_t value = 0;

	for (unsigned n = 0; n < 8; n++)
		value |= (uint64_t)bytes_take(b) << (8 * n);
	return value;
}

/* Copies so many, zeros where there are none left. */
static inline void bytes_copy(struct bytes *b, void *to, size_t count)
{
	size_t there = count < b->left ? count : b->left;

	memcpy(to, b->at, there);
	memset((uint8_t *)to + there, 0, count - there);
	b->at += there;
	b->left -= there;
}

#endif
