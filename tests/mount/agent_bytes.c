// SPDX-License-Identifier: MIT
/* What is in the agent's mappings. */
#include "agent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/*
 * splitmix64: every word differs, so one at a wrong place, of another seed or
 * of another time is seen.
 */
static uint64_t pattern(uint64_t seed, uint64_t file_offset)
{
	uint64_t z = seed + (file_offset / 8 + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

size_t find_bad(const struct mapping *m, uint64_t seed)
{
	const volatile uint64_t *words = (const void *)m->start;

	for (size_t i = 0; i < m->length / 8; i++)
		if (words[i] != pattern(seed, m->offset + i * 8))
			return i * 8;
	return m->length;
}

void do_fill(char **words)
{
	struct mapping *m = get_mapping(words[1]);

	if (!m)
		return;
	for (size_t i = 0; i < m->length / 8; i++)
		((uint64_t *)(void *)m->start)[i] = pattern(number(words[2]), m->offset + i * 8);
	done();
}

static void answer_bad(const struct mapping *m, size_t bad, uint64_t expected)
{
	char sentence[200];

	if (bad >= m->length / 8 * 8) {
		done();
		return;
	}
	snprintf(sentence, sizeof(sentence), "offset %" PRIu64 " has %#llx, not %#llx",
		m->offset + bad, (unsigned long long)*(uint64_t *)(void *)(m->start + bad),
		(unsigned long long)expected);
	failed(EILSEQ, sentence);
}

void do_check(char **words)
{
	struct mapping *m = get_mapping(words[1]);
	uint64_t seed = number(words[2]);

	if (!m)
		return;
	size_t bad = find_bad(m, seed);
	answer_bad(m, bad, pattern(seed, m->offset + bad));
}

void do_zero_check(char **words)
{
	struct mapping *m = get_mapping(words[1]);
	size_t i = 0;

	if (!m)
		return;
	while (i < m->length / 8 && ((uint64_t *)(void *)m->start)[i] == 0)
		i++;
	answer_bad(m, i * 8, 0);
}

/* ---- parts of a mapping ---- */

/* What MAP OFFSET LENGTH name, as a mapping of its own. */
static bool get_part(char **words, struct mapping *ret)
{
	const struct mapping *m = get_mapping(words[1]);
	uint64_t offset = number(words[2]), length = number(words[3]);

	if (!m)
		return false;
	if (offset % 8 != 0 || length % 8 != 0 || offset < m->offset || length > m->length ||
		offset - m->offset > m->length - length) {
		failed(EINVAL, "no such part of this mapping");
		return false;
	}
	*ret = (struct mapping){m->start + (offset - m->offset), offset, length};
	return true;
}

static uint64_t value(const char *seed, uint64_t file_offset)
{
	return strcmp(seed, "zero") == 0 ? 0 : pattern(number(seed), file_offset);
}

void do_fill_part(char **words)
{
	struct mapping part;

	if (!get_part(words, &part))
		return;
	for (size_t i = 0; i < part.length; i += 8)
		*(uint64_t *)(void *)(part.start + i) = value(words[4], part.offset + i);
	done();
}

void do_check_part(char **words)
{
	struct mapping part;

	if (!get_part(words, &part))
		return;
	for (size_t i = 0; i < part.length; i += 8) {
		char **seed = words + 4;
		while (*seed &&
			*(uint64_t *)(void *)(part.start + i) != value(*seed, part.offset + i))
			seed++;
		if (!*seed) {
			answer_bad(&part, i, value(words[4], part.offset + i));
			return;
		}
	}
	done();
}

void do_hash(char **words)
{
	struct mapping *m = get_mapping(words[1]);

	if (m)
		ok("%016llx", (unsigned long long)XXH3_64bits(m->start, m->length));
}

static uint64_t *get_word(const struct mapping *m, const char *word)
{
	uint64_t offset = number(word);

	if (offset >= m->offset && offset - m->offset + 8 <= m->length && offset % 8 == 0)
		return (uint64_t *)(void *)(m->start + (offset - m->offset));
	failed(EINVAL, "no such offset in this mapping");
	return NULL;
}

void do_peek(char **words)
{
	struct mapping *m = get_mapping(words[1]);
	uint64_t *at = m ? get_word(m, words[2]) : NULL;

	if (at)
		ok("%016llx", (unsigned long long)*(volatile uint64_t *)at);
}

void do_poke(char **words)
{
	struct mapping *m = get_mapping(words[1]);
	uint64_t *at = m ? get_word(m, words[2]) : NULL;

	if (!at)
		return;
	*(volatile uint64_t *)at = number(words[3]);
	done();
}
