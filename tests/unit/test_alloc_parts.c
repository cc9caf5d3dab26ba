// SPDX-License-Identifier: MIT
/* What the allocator is made of, each against the plainest form of itself: runs of bits, sets and
 * the index of groups. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/bits.h"
#include "alloc/group_index.h"
#include "alloc/group_set.h"
#include "chance.h"

/* ---- bits ---- */

/* Runs of about a given length, so that short, long and word-crossing ones all come up. */
static struct bits random_bits(void)
{
	unsigned most = 1U << chance_below(11), length;
	struct bits b = {0};

	for (unsigned bit = 0, on = chance_below(2); bit < BITS; bit += length, on = !on) {
		length = 1 + chance_below(most);
		for (unsigned i = bit; on && i < bit + length && i < BITS; i++)
			b.word[i / BITS_WORD] |= 1ULL << (i % BITS_WORD);
	}
	return b;
}

static void compare_runs(const struct bits *b)
{
	unsigned longest = 0, want = 1 + chance_below(BITS), best = BITS, best_length = BITS + 1;

	for (unsigned bit = 0, run = 0; bit <= BITS; bit++) {
		if (bit < BITS && bits_get(b, bit)) {
			run++;
			continue;
		}
		if (run > longest)
			longest = run;
		if (run >= want && run < best_length) {
			best = bit - run;
			best_length = run;
		}
		run = 0;
	}
	cr_assert_eq(bits_longest_run(b), longest);
	cr_assert_eq(bits_best_run(b, want), best);
	if (longest)
		cr_assert_neq(bits_best_run(b, longest), BITS);
	if (longest < BITS)
		cr_assert_eq(bits_best_run(b, longest + 1), BITS);
}

static void compare_next(const struct bits *b)
{
	unsigned from = chance_below(BITS + 1), set = from, clear = from;

	while (set < BITS && !bits_get(b, set))
		set++;
	while (clear < BITS && bits_get(b, clear))
		clear++;
	cr_assert_eq(bits_next_set(b, from), set);
	cr_assert_eq(bits_next_clear(b, from), clear);
}

Test(alloc_parts, runs_of_bits_are_found)
{
	chance_start();
	for (unsigned i = 0; i < 20000; i++) {
		struct bits b = random_bits();

		compare_runs(&b);
		compare_next(&b);
	}
}

Test(alloc_parts, ranges_of_bits_are_exact)
{
	for (unsigned from = 0; from < BITS; from += 7)
		for (unsigned count = 1; count <= BITS - from; count += 5) {
			struct bits b = bits_range(from, count);

			for (unsigned bit = 0; bit < BITS; bit++)
				cr_assert_eq(bits_get(&b, bit), bit >= from && bit < from + count);
		}
}

Test(alloc_parts, ones_are_counted)
{
	cr_assert_eq(bits_count_word(0), 0);
	cr_assert_eq(bits_count_word(~0ULL), 64);
	cr_assert_eq(bits_count_word(0x8000000000000001), 2);
}

/* ---- sets ---- */

#define SET_SIZE 300000U /* four levels, the last of them more than one word deep below */

static void compare_set(const struct group_set *s, const bool *in, uint32_t from)
{
	uint32_t next = from, end, start = 0, length;

	while (next < SET_SIZE && !in[next])
		next++;
	for (end = next; end < SET_SIZE && in[end];)
		end++;
	cr_assert_eq(group_set_next(s, from), next < SET_SIZE ? next : 0);
	length = group_set_next_run(s, from, &start);
	cr_assert_eq(length, end - next);
	if (length)
		cr_assert_eq(start, next);
}

Test(alloc_parts, sets_find_their_members)
{
	bool *in = calloc(SET_SIZE, sizeof(*in));
	struct group_set s = {0};
	uint32_t count = 0;

	chance_start();
	cr_assert_eq(group_set_reserve(&s, 10), 0);
	cr_assert_eq(group_set_next(&s, 1), 0);
	cr_assert_eq(group_set_reserve(&s, SET_SIZE), 0);
	for (unsigned i = 0; i < 400; i++) {
		uint32_t group = 1 + chance_below(SET_SIZE - 1),
			 length = 1 + chance_below(chance_below(2) ? 3 : 3000);
		bool member = chance_below(3) > 0;

		for (; length-- > 0 && group < SET_SIZE; group++) {
			count += (uint32_t)member - (uint32_t)in[group];
			in[group] = member;
			group_set_put(&s, group, member);
			group_set_put(&s, group, member); /* once more changes nothing */
		}
		cr_assert_eq(s.count, count);
		compare_set(&s, in, 1);
		compare_set(&s, in, 1 + chance_below(SET_SIZE - 1));
	}
	for (uint32_t group = 1; group < SET_SIZE; group++)
		cr_assert_eq(group_set_has(&s, group), in[group]);
	group_set_deinit(&s);
	free(in);
}

Test(alloc_parts, a_set_keeps_its_members_when_it_grows)
{
	struct group_set s = {0};
	uint32_t start;

	cr_assert_eq(group_set_reserve(&s, 64), 0);
	group_set_put(&s, 63, true);
	cr_assert_eq(group_set_next_run(&s, 1, &start), 1, "the run ends with the bitmap");
	for (uint32_t n = 65; n <= GROUP_SET_MAX; n *= 16) {
		cr_assert_eq(group_set_reserve(&s, n), 0);
		cr_assert_eq(group_set_next(&s, 1), 63);
		cr_assert_eq(group_set_next(&s, 64), 0);
		group_set_put(&s, n - 1, true);
		cr_assert_eq(group_set_next(&s, 64), n - 1);
		group_set_put(&s, n - 1, false);
	}
	group_set_deinit(&s);
}

/* ---- index ---- */

#define INDEX_SIZE 40U

struct entry {
	unsigned free, run;
};

static void compare_index(const struct group_index *x, const struct entry *e)
{
	unsigned want = 1 + chance_below(BITS - 1), longest = 0, fewest = BITS;
	uint32_t found = group_index_find(x, want);

	for (uint32_t g = 1; g < INDEX_SIZE; g++) {
		if (e[g].run > longest)
			longest = e[g].run;
		if (e[g].run >= want && e[g].free < fewest)
			fewest = e[g].free;
	}
	cr_assert_eq(group_index_longest(x), longest);
	cr_assert_eq(group_index_find(x, 0), 0);
	if (want > longest) {
		cr_assert_eq(found, 0);
		return;
	}
	cr_assert_neq(found, 0);
	cr_assert_geq(e[found].run, want);
	cr_assert_eq(e[found].free, fewest);
}

/* Few different values, so that lists have several groups; the extremes among them. */
static struct entry random_entry(void)
{
	struct entry e = {
		.free = chance_below(2) ? 1 + chance_below(3) : BITS - 1 - chance_below(3)};

	if (chance_below(4) == 0)
		e.free = 1 + chance_below(BITS - 1);
	e.run = chance_below(4) ? 1 + chance_below(e.free < 3 ? e.free : 3)
				: chance_below(e.free + 1);
	return e;
}

static void move_group(struct group_index *x, struct entry *e, uint32_t group)
{
	e[group] = random_entry();
	group_index_move(x, group, e[group].free, e[group].run);
}

Test(alloc_parts, the_index_finds_the_fullest_group_with_a_run)
{
	struct group_index *x = calloc(1, sizeof(*x));
	struct entry e[INDEX_SIZE] = {0};

	chance_start();
	cr_assert_eq(group_index_reserve(x, INDEX_SIZE / 2), 0);
	cr_assert_eq(group_index_find(x, 1), 0);
	for (unsigned i = 0; i < 20000; i++) {
		if (i == 5000)
			cr_assert_eq(group_index_reserve(x, INDEX_SIZE), 0);
		move_group(x, e, 1 + chance_below(i < 5000 ? INDEX_SIZE / 2 - 1 : INDEX_SIZE - 1));
		compare_index(x, e);
	}
	group_index_deinit(x);
	free(x);
}

/*
 * Moves that are taken back in reverse leave every list, bitmap and tree as it was, byte for byte.
 */
Test(alloc_parts, the_index_takes_moves_back_exactly)
{
	struct group_index *x = calloc(1, sizeof(*x)), *was = calloc(1, sizeof(*was));
	struct group_place places[INDEX_SIZE], saved[10];
	struct entry e[INDEX_SIZE] = {0};
	uint32_t moved[10];

	chance_start();
	cr_assert_eq(group_index_reserve(x, INDEX_SIZE), 0);
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned j = 0; j < 20; j++)
			move_group(x, e, 1 + chance_below(INDEX_SIZE - 1));
		*was = *x;
		memcpy(places, x->places, sizeof(places));
		for (unsigned j = 0; j < 10; j++) {
			moved[j] = 1 + chance_below(INDEX_SIZE - 1);
			saved[j] = group_index_place(x, moved[j]);
			move_group(x, e, moved[j]);
		}
		for (unsigned j = 10; j-- > 0;) {
			group_index_restore(x, moved[j], saved[j]);
			e[moved[j]] = (struct entry){saved[j].free, saved[j].run};
		}
		/* A copy, padding and all.
		 * NOLINTNEXTLINE(*-memory-comparison,cert-exp42-c,cert-flp37-c) */
		cr_assert_eq(memcmp(x, was, sizeof(*x)), 0);
		for (uint32_t g = 1; g < INDEX_SIZE; g++)
			cr_assert(x->places[g].run == places[g].run &&
				  (!places[g].run ||
					  memcmp(&x->places[g], &places[g], sizeof(*places)) == 0));
	}
	group_index_deinit(x);
	free(x);
	free(was);
}
