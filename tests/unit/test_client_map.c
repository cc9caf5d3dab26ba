// SPDX-License-Identifier: MIT
/* A mapping shows the right byte at every address, and lies where it was asked for. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fake_helper.h"
#include "map_fixture.h"
#include "util/cleanup.h"

static const struct place mixed[] = {
	{0, 5},
	{0, 6},
	{1, 0},
	{0, 2},
	{0, 7},
	{0, 8},
	{0, 9},
	{1, 3},
};

static void attach_mixed(struct file *file, uint64_t size, uint32_t access)
{
	map_attach(file, mixed, ARRAY_SIZE(mixed), size, access, 12);
}

/* ---- the right bytes ---- */

Test(client_map, every_word_of_a_file_is_in_its_place)
{
	struct file file;

	attach_mixed(&file, ARRAY_SIZE(mixed) * B, RW);
	for (size_t i = 0; i < ARRAY_SIZE(mixed); i++)
		map_mark_block(file.devices[mixed[i].device], mixed[i].device, mixed[i].block, 16);
	uint64_t *p = gm_map(file.a, NULL, 0, gm_size(file.a), PROT_READ | PROT_WRITE, 0);
	cr_assert_neq(p, MAP_FAILED, "%s", gm_last_problem());
	for (size_t i = 0; i < gm_size(file.a) / 8; i++)
		if (p[i] != map_expected_word(mixed, i * 8))
			cr_assert_fail("word %zu is %#lx", i, p[i]);
	/* and the other way round, for what is written arrives on the devices */
	p[3 * B / 8 + 7] = 4711;
	uint64_t seen = 0;
	cr_assert_eq(pread(file.devices[0], &seen, 8, 2 * B + 56), 8);
	cr_assert_eq(seen, 4711);
	munmap(p, gm_size(file.a));
	map_detach(&file);
}

Test(client_map, neighbours_on_a_device_are_one_mapping)
{
	struct file file;

	attach_mixed(&file, ARRAY_SIZE(mixed) * B, RW);
	char *p = gm_map(file.a, NULL, 0, gm_size(file.a), PROT_READ, 0);
	cr_assert_neq(p, MAP_FAILED);
	struct vmas v = map_count_vmas(p, gm_size(file.a));
	cr_assert_eq(v.count, 5); /* 5 and 6; 0 on the other; 2; 7 to 9; 3 on the other */
	cr_assert_eq(v.covered, gm_size(file.a));
	cr_assert_eq(v.closed, 0);
	map_detach(&file);
}

Test(client_map, mapping_outlives_the_attachment_and_its_fds)
{
	size_t before = count_open_fds();
	struct file file;

	attach_mixed(&file, ARRAY_SIZE(mixed) * B, RW);
	map_mark_block(file.devices[1], 1, 0, PAGE);
	uint64_t *p = gm_map(file.a, NULL, 0, gm_size(file.a), PROT_READ, 0);
	cr_assert_neq(p, MAP_FAILED);
	map_detach(&file);
	cr_assert_eq(p[2 * B / 8], map_word_at(1, 0));
	cr_assert_eq(count_open_fds(), before);
}

#define MANY 1000U

/*
 * A shuffled file, so that hardly two blocks are neighbours: a table in a memfd, and 1,000 pieces.
 */
Test(client_map, a_thousand_extents_out_of_order)
{
	const char *given = getenv("GM_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)getpid();
	static struct place places[MANY];
	struct file file;

	cr_log_info("GM_SEED=%u", seed);
	srandom(seed);
	for (uint32_t i = 0; i < MANY; i++)
		places[i] = (struct place){i % 2, i / 2};
	for (uint32_t i = MANY - 1; i > 0; i--) {
		uint32_t k = (uint32_t)random() % (i + 1);
		struct place swap = places[i];
		places[i] = places[k];
		places[k] = swap;
	}
	map_attach(&file, places, MANY, MANY * B, RW, MANY / 2);
	cr_assert_eq(gm_extent_count(file.a), MANY);
	for (uint32_t i = 0; i < MANY; i++)
		map_mark_block(
			file.devices[places[i].device], places[i].device, places[i].block, B);
	char *p = gm_map(file.a, NULL, 0, gm_size(file.a), PROT_READ | PROT_WRITE, 0);
	cr_assert_neq(p, MAP_FAILED, "%s", gm_last_problem());
	for (uint64_t i = 0; i < MANY; i++)
		for (uint64_t at = i * B; at < (i + 1) * B; at += B - 8)
			cr_assert_eq(*(uint64_t *)(p + at), map_expected_word(places, at),
				"offset %#lx, GM_SEED=%u", at, seed);
	map_detach(&file);
}

/* Ranges that begin and end within blocks, at every place that could be off by one page. */
Test(client_map, parts_begin_and_end_at_any_page)
{
	static const uint64_t edges[] = {0, PAGE, B - PAGE, B, B + PAGE, 2 * B, 3 * B - PAGE, 4 * B,
		5 * B + 3 * PAGE, 7 * B, 8 * B - PAGE, 8 * B};
	struct file file;

	attach_mixed(&file, ARRAY_SIZE(mixed) * B, RW);
	for (size_t i = 0; i < ARRAY_SIZE(mixed); i++)
		map_mark_block(
			file.devices[mixed[i].device], mixed[i].device, mixed[i].block, PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		for (size_t k = i + 1; k < ARRAY_SIZE(edges); k++) {
			size_t length = edges[k] - edges[i];
			char *p = gm_map(file.a, NULL, edges[i], length, PROT_READ, 0);
			cr_assert_neq(p, MAP_FAILED, "%s", gm_last_problem());
			cr_assert_eq(((uintptr_t)p - edges[i]) % B, 0);
			for (uint64_t at = 0; at < length; at += PAGE)
				cr_assert_eq(*(uint64_t *)(p + at),
					map_expected_word(mixed, edges[i] + at));
			cr_assert_eq(munmap(p, length), 0);
		}
	map_detach(&file);
}

Test(client_map, the_last_page_is_mapped_whole)
{
	struct file file;

	attach_mixed(&file, 7 * B + 5000, RW);
	char *p = gm_map(file.a, NULL, 7 * B, 5000, PROT_READ, 0);
	cr_assert_neq(p, MAP_FAILED, "%s", gm_last_problem());
	cr_assert_eq(map_count_vmas(p, B).covered >= 8192, true);
	cr_assert_eq(p[8191], 0);
	munmap(p, 8192);
	p = gm_map(file.a, NULL, 7 * B, 8192, PROT_READ, 0);
	cr_assert_neq(p, MAP_FAILED, "%s", gm_last_problem());
	cr_assert_eq(gm_map(file.a, NULL, 7 * B, 8193, PROT_READ, 0), MAP_FAILED);
	cr_assert_eq(errno, ENXIO);
	map_detach(&file);
}

/* ---- the right place ---- */

/* 700 blocks in one piece: longer than a PUD reaches. */
Test(client_map, addresses_suit_the_largest_pages)
{
	static struct place places[700];
	struct file file;

	for (uint32_t i = 0; i < 700; i++)
		places[i] = (struct place){0, i};
	map_attach(&file, places, 700, 700 * B, RO, 700);
	const struct {
		uint64_t offset, length, alignment;
	} cases[] = {
		{0, 700 * B, GM_GROUP_SIZE},
		{0, GM_GROUP_SIZE, GM_GROUP_SIZE},
		{B, GM_GROUP_SIZE, GM_GROUP_SIZE},
		{100 * B + PAGE, 600 * B - PAGE, GM_GROUP_SIZE},
		{0, GM_GROUP_SIZE - PAGE, B},
		{3 * B, 5 * B, B},
		{PAGE, PAGE, B},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t length = cases[i].length;
		uintptr_t p =
			(uintptr_t)gm_map(file.a, NULL, cases[i].offset, length, PROT_READ, 0);
		cr_assert_neq((void *)p, MAP_FAILED, "%s", gm_last_problem());
		cr_assert_eq((p - cases[i].offset) % cases[i].alignment, 0, "case %zu: %#lx", i, p);
		cr_assert_eq(map_count_vmas((void *)p, length).count, 1);
		/* What was reserved too much is given back. */
		munmap((void *)p, length);
		cr_assert_eq(map_count_vmas((void *)p, length).count, 0);
	}
	map_detach(&file);
}

Test(client_map, reserving_gives_back_what_it_took_too_much)
{
	struct file file;

	attach_mixed(&file, ARRAY_SIZE(mixed) * B, RW);
	size_t before = map_count_vmas(NULL, SIZE_MAX).covered;
	for (int i = 0; i < 50; i++) {
		size_t length = gm_size(file.a) - (size_t)i * PAGE;
		char *p = gm_map(file.a, NULL, 0, length, PROT_READ, 0);
		cr_assert_neq(p, MAP_FAILED);
		munmap(p, length);
	}
	cr_assert_eq(map_count_vmas(NULL, SIZE_MAX).covered, before);
	map_detach(&file);
}

Test(client_map, fixed_replaces_the_range_and_nothing_else)
{
	struct file file;

	attach_mixed(&file, ARRAY_SIZE(mixed) * B, RW);
	map_mark_block(file.devices[0], 0, 6, PAGE);
	map_mark_block(file.devices[1], 1, 0, PAGE);
	char *p = map_reserve(6 * B);
	memset(p, 'x', 6 * B);
	char *got =
		gm_map(file.a, p + 2 * B, B, 2 * B, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED);
	cr_assert_eq(got, p + 2 * B, "%s", gm_last_problem());
	cr_assert_eq(*(uint64_t *)got, map_word_at(0, 6 * B));
	cr_assert_eq(*(uint64_t *)(got + B), map_word_at(1, 0));
	for (size_t i = 0; i < 2 * B; i++)
		if (p[i] != 'x' || p[4 * B + i] != 'x')
			cr_assert_fail("byte %zu beside the range was changed", i);
	/*
	 * A fixed address need not be congruent to the offset: pages then are small,
	 * but it is what was asked.
	 */
	got = gm_map(file.a, p + PAGE, 0, B, PROT_READ, MAP_FIXED);
	cr_assert_eq(got, p + PAGE);
	map_detach(&file);
}

Test(client_map, noreplace_takes_only_what_is_free)
{
	struct file file;

	attach_mixed(&file, ARRAY_SIZE(mixed) * B, RW);
	char *p = map_reserve(4 * B);
	*p = 'x';
	cr_assert_eq(gm_map(file.a, p, 0, B, PROT_READ, MAP_FIXED_NOREPLACE), MAP_FAILED);
	cr_assert_eq(errno, EEXIST);
	cr_assert_eq(*p, 'x');
	munmap(p + B, 2 * B);
	cr_assert_eq(gm_map(file.a, p + B, 0, 2 * B, PROT_READ, MAP_FIXED_NOREPLACE), p + B);
	map_detach(&file);
}

Test(client_map, another_address_is_a_wish)
{
	struct file file;

	attach_mixed(&file, ARRAY_SIZE(mixed) * B, RW);
	char *p = map_reserve(4 * B);
	*p = 'x';
	char *got = gm_map(file.a, p, 0, B, PROT_READ, 0);
	cr_assert(got != MAP_FAILED && got != p && *p == 'x');
	munmap(p + B, 2 * B);
	cr_assert_eq(gm_map(file.a, p + B, 0, 2 * B, PROT_READ, 0), p + B);
	map_detach(&file);
}
