// SPDX-License-Identifier: MIT
/* Sets of groups: a bitmap in which every word that is not zero is known to the level above. */
#include "alloc/group_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD 64U

int group_set_reserve(struct group_set *s, uint32_t n)
{
	size_t bits = n;

	for (unsigned l = 0; l < GROUP_SET_LEVELS; l++) {
		size_t words = (bits + WORD - 1) / WORD;

		if (words > s->words[l]) {
			uint64_t *p = realloc(s->level[l], words * sizeof(*p));
			if (!p)
				return -ENOMEM;
			memset(p + s->words[l], 0, (words - s->words[l]) * sizeof(*p));
			s->level[l] = p;
			s->words[l] = words;
		}
		bits = words;
	}
	return 0;
}

void group_set_deinit(struct group_set *s)
{
	for (unsigned l = 0; l < GROUP_SET_LEVELS; l++)
		free(s->level[l]);
	*s = (struct group_set){0};
}

bool group_set_has(const struct group_set *s, uint32_t group)
{
	return s->level[0][group / WORD] >> (group % WORD) & 1;
}

void group_set_put(struct group_set *s, uint32_t group, bool member)
{
	if (group_set_has(s, group) == member)
		return;
	s->count += member ? 1U : -1U;

	/* The level above changes only if the word became, or ceased to be, zero. */
	for (unsigned l = 0; l < GROUP_SET_LEVELS; l++, group /= WORD) {
		uint64_t *w = &s->level[l][group / WORD];
		uint64_t before = *w;

		*w ^= 1ULL << (group % WORD);
		if (before && *w)
			return;
	}
}

uint32_t group_set_next(const struct group_set *s, uint32_t from)
{
	size_t pos = from;

	for (unsigned l = 0; l < GROUP_SET_LEVELS; l++) {
		if (pos / WORD >= s->words[l])
			return 0;

		uint64_t w = s->level[l][pos / WORD] & ~0ULL << (pos % WORD);
		if (w) {
			pos = pos / WORD * WORD + (size_t)__builtin_ctzll(w);
			while (l-- > 0)
				pos = pos * WORD + (size_t)__builtin_ctzll(s->level[l][pos]);
			return (uint32_t)pos;
		}
		pos = pos / WORD + 1;
	}
	return 0;
}

/* The lowest group at or after from that is no member; there may be none, then the first number
 * without a bit. */
static uint32_t next_absent(const struct group_set *s, uint32_t from)
{
	uint64_t keep = ~0ULL << (from % WORD);

	for (size_t i = from / WORD; i < s->words[0]; i++, keep = ~0ULL) {
		uint64_t w = ~s->level[0][i] & keep;
		if (w)
			return (uint32_t)(i * WORD) + (uint32_t)__builtin_ctzll(w);
	}
	return (uint32_t)(s->words[0] * WORD);
}

uint32_t group_set_next_run(const struct group_set *s, uint32_t from, uint32_t *start)
{
	uint32_t first = group_set_next(s, from);

	if (!first)
		return 0;
	*start = first;
	return next_absent(s, first) - first;
}
