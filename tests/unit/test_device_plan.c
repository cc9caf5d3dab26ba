// SPDX-License-Identifier: MIT
/* Which devices a file gets, where its extents are in them, and which found ones are taken over. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chance.h"
#include "helper/adoption.h"
#include "helper/device_plan.h"
#include "proto/link.h"
#include "util/cleanup.h"

#define G     512U /* blocks of 1 GiB */
#define START (4ULL << 30)

/* Takes the ranges as a new device into the list. */
static void add(struct device_list *l, unsigned region, uint64_t align,
	const struct soft_range *ranges, size_t count)
{
	struct soft_device d = {.id = (unsigned)l->count + 1, .align = align, .bound = true};

	d.ranges = calloc(count, sizeof(*ranges));
	cr_assert_not_null(d.ranges);
	memcpy(d.ranges, ranges, count * sizeof(*ranges));
	d.range_count = count;
	for (size_t i = 0; i < count; i++)
		d.size += (uint64_t)ranges[i].count << GM_BLOCK_SHIFT;
	cr_assert_eq(device_list_reserve(l, 1), 0);
	device_list_add(l, region, &d);
}

/* ---- planning ---- */

struct wanted {
	unsigned region;
	uint64_t align;
	size_t count;
	struct soft_range ranges[4];
};

struct plan_case {
	const char *name;
	uint64_t start; /* of region 0 */
	bool small_only;
	size_t extent_count;
	struct record_extent extents[6];
	size_t wanted_count;
	struct wanted wanted[4];
};

static const struct plan_case plan_cases[] = {
	{"small", START, false, 1, {{0, 10, 3, 0}}, 1, {{0, GM_BLOCK_SIZE, 1, {{10, 3}}}}},
	{"one unit", START, false, 1, {{0, G, G, 0}}, 1, {{0, GM_GROUP_SIZE, 1, {{G, G}}}}},
	{"a block short", START, false, 1, {{0, G, G - 1, 0}}, 1,
		{{0, GM_BLOCK_SIZE, 1, {{G, G - 1}}}}},
	{"units and a tail", START, false, 1, {{0, G, 2 * G + 7, 0}}, 2,
		{{0, GM_GROUP_SIZE, 1, {{G, 2 * G}}}, {0, GM_BLOCK_SIZE, 1, {{3 * G, 7}}}}},
	{"the file is not aligned", START, false, 1, {{1, G, G, 0}}, 1,
		{{0, GM_BLOCK_SIZE, 1, {{G, G}}}}},
	{"memory is not aligned", START, false, 1, {{0, G + 1, G, 0}}, 1,
		{{0, GM_BLOCK_SIZE, 1, {{G + 1, G}}}}},
	{"the region is not aligned", START + GM_BLOCK_SIZE, false, 1, {{0, G, G, 0}}, 1,
		{{0, GM_BLOCK_SIZE, 1, {{G, G}}}}},
	{"the region is not aligned, the blocks are", START + GM_BLOCK_SIZE, false, 1,
		{{0, G - 1, G, 0}}, 1, {{0, GM_GROUP_SIZE, 1, {{G - 1, G}}}}},
	{"a head, units, a tail", START, false, 1, {{G - 5, 2 * G - 5, 5 + G + 9, 0}}, 2,
		{{0, GM_BLOCK_SIZE, 2, {{2 * G - 5, 5}, {3 * G, 9}}},
			{0, GM_GROUP_SIZE, 1, {{2 * G, G}}}}},
	{"a unit that is cut into extents", START, false, 3,
		{{0, G, 100, 0}, {100, G + 100, 412, 0}, {512, 10, 2, 0}}, 2,
		{{0, GM_GROUP_SIZE, 1, {{G, G}}}, {0, GM_BLOCK_SIZE, 1, {{10, 2}}}}},
	{"units out of order", START, false, 2, {{0, 3 * G, G, 0}, {G, G, G, 0}}, 1,
		{{0, GM_GROUP_SIZE, 2, {{3 * G, G}, {G, G}}}}},
	{"a hole within what would be a unit", START, false, 2,
		{{0, G, 100, 0}, {101, G + 101, 411, 0}}, 1,
		{{0, GM_BLOCK_SIZE, 2, {{G, 100}, {G + 101, 411}}}}},
	{"two regions", START, false, 2, {{0, G, G, 0}, {G, G, G, 1}}, 2,
		{{0, GM_GROUP_SIZE, 1, {{G, G}}}, {1, GM_GROUP_SIZE, 1, {{G, G}}}}},
	{"for an export", START, true, 2, {{0, G, 2 * G, 0}, {2 * G, 10, 1, 0}}, 1,
		{{0, GM_BLOCK_SIZE, 2, {{G, 2 * G}, {10, 1}}}}},
	{"an empty file", START, false, 0, {{0, 0, 0, 0}}, 0, {{0, 0, 0, {{0, 0}}}}},
};

static void expect_plan(const struct device_plan *p, const struct plan_case *c)
{
	cr_assert_eq(p->count, c->wanted_count, "%s: %zu devices", c->name, p->count);
	for (size_t i = 0; i < p->count; i++) {
		const struct planned_device *d = &p->devices[i];
		const struct wanted *w = &c->wanted[i];
		cr_expect(d->region == w->region && d->align == w->align, "%s: device %zu", c->name,
			i);
		cr_assert_eq(d->range_count, w->count, "%s: device %zu has %zu ranges", c->name, i,
			d->range_count);
		for (size_t j = 0; j < w->count; j++)
			cr_expect(d->ranges[j].block == w->ranges[j].block &&
					  d->ranges[j].count == w->ranges[j].count,
				"%s: device %zu, range %zu", c->name, i, j);
	}
}

Test(device_plan, cuts_files_into_units_and_the_rest)
{
	const struct device_list none = DEVICE_LIST_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(plan_cases); i++) {
		const struct plan_case *c = &plan_cases[i];
		const uint64_t start[GM_REGIONS_MAX] = {c->start, START};
		struct device_plan p;
		cr_assert_eq(device_plan_init(
				     &p, c->extents, c->extent_count, &none, start, c->small_only),
			0);
		expect_plan(&p, c);
		device_plan_deinit(&p);
	}
}

Test(device_plan, plans_only_what_no_device_has)
{
	static const struct record_extent extents[] = {
		{0, 2 * G, G, 0}, {G, 100, 10, 0}, {G + 10, 300, 4, 0}};
	static const struct soft_range unit = {2 * G, G}, middle = {103, 4}, other = {300, 4};
	const uint64_t start[GM_REGIONS_MAX] = {START, START};
	struct device_list have = DEVICE_LIST_NULL;
	struct device_plan p;

	add(&have, 0, GM_GROUP_SIZE, &unit, 1);
	add(&have, 0, GM_BLOCK_SIZE, &middle, 1);
	add(&have, 1, GM_BLOCK_SIZE, &other, 1); /* the same numbers in another region */
	cr_assert_eq(device_plan_init(&p, extents, 3, &have, start, false), 0);
	const struct plan_case c = {"growth", START, false, 0, {{0, 0, 0, 0}}, 1,
		{{0, GM_BLOCK_SIZE, 3, {{100, 3}, {107, 3}, {300, 4}}}}};
	expect_plan(&p, &c);
	device_plan_deinit(&p);
	cr_assert_eq(device_plan_init(&p, extents, 1, &have, start, false), 0);
	cr_expect_eq(p.count, 0, "all is there");
	device_plan_deinit(&p);
	device_list_deinit(&have);
}

Test(device_plan, refuses_ranges_that_are_not_aligned)
{
	static const struct {
		struct soft_range range;
		uint64_t align, start;
		int error;
	} cases[] = {
		{{G, G}, GM_GROUP_SIZE, START, 0},
		{{G, 3}, GM_BLOCK_SIZE, START, 0},
		{{G + 1, G}, GM_GROUP_SIZE, START, -EUCLEAN},
		{{G, G}, GM_GROUP_SIZE, START + GM_BLOCK_SIZE, -EUCLEAN},
		{{G, G - 1}, GM_GROUP_SIZE, START, -EUCLEAN},
		{{G, 0}, GM_BLOCK_SIZE, START, -EUCLEAN},
		{{G, 1}, GM_BLOCK_SIZE, START + 4096, -EUCLEAN},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct problem why = PROBLEM_INIT;
		struct soft_range range = cases[i].range;
		const struct planned_device d = {
			.align = cases[i].align, .ranges = &range, .range_count = 1};
		cr_expect_eq(
			device_plan_check(&d, cases[i].start, &why), cases[i].error, "case %zu", i);
		cr_expect_eq(why.text[0] != '\0', cases[i].error != 0);
	}
}

/*
 * Random files over two regions: the devices cover every block once, in one place, and no block of
 * anybody else; what lies on 1 GiB pages lies at the same place of a unit in the file, in memory
 * and in the device.
 */
#define MODEL_BLOCKS (8 * G)

static void check_piece(const struct device_list *l, const struct cover_piece *piece,
	uint64_t start_block, uint8_t *seen)
{
	cr_assert_not_null(piece->range, "a block without a device");
	const struct device *d = &l->at[piece->range->device];
	cr_assert_eq(d->region, piece->region);
	for (uint64_t i = 0; i < piece->count; i++)
		cr_assert_eq(seen[(piece->region * MODEL_BLOCKS) + piece->block + i]++, 0);
	if (d->soft.align != GM_GROUP_SIZE)
		return;
	/* An extent may be cut within a unit; the places must agree all the same. */
	cr_assert_eq((piece->file_block - piece->device_block) % G, 0);
	cr_assert_eq((start_block + piece->block - piece->device_block) % G, 0);
}

static size_t random_file(struct record_extent *extents, size_t room)
{
	uint64_t file = 0, at[2] = {chance_below(3), chance_below(3)};
	size_t n = 0;

	while (n < room) {
		uint16_t region = (uint16_t)chance_below(2);
		uint32_t count = 1 + (uint32_t)chance_below(chance_below(3) ? G / 2 : 2 * G);
		if (chance_below(4) == 0) /* where a unit may begin */
			at[region] = (at[region] + G - 1) / G * G;
		if (chance_below(4) == 0)
			file = (file + G - 1) / G * G;
		if (at[region] + count > MODEL_BLOCKS)
			break;
		extents[n++] = (struct record_extent){file, at[region], count, region};
		file += count;
		at[region] += count + (chance_below(2) ? chance_below(5) : 0);
	}
	return n;
}

Test(device_plan, covers_random_files_exactly)
{
	uint8_t *seen = malloc(2 * MODEL_BLOCKS);
	struct record_extent extents[40];

	cr_assert_not_null(seen);
	chance_start();
	for (int round = 0; round < 300; round++) {
		const uint64_t start[GM_REGIONS_MAX] = {
			START + chance_below(3) * GM_BLOCK_SIZE, START};
		size_t n = random_file(extents, ARRAY_SIZE(extents));
		struct device_list l = DEVICE_LIST_NULL;
		struct device_plan p;
		uint64_t owned = 0, made = 0;
		/* in two steps, as a file that grows */
		for (size_t part = n / 2; part <= n; part += n - n / 2) {
			cr_assert_eq(device_plan_init(&p, extents, part, &l, start, false), 0);
			for (size_t i = 0; i < p.count; i++) {
				cr_assert_eq(device_plan_check(&p.devices[i],
						     start[p.devices[i].region], NULL),
					0);
				add(&l, p.devices[i].region, p.devices[i].align,
					p.devices[i].ranges, p.devices[i].range_count);
			}
			device_plan_deinit(&p);
			if (n == 0)
				break;
		}
		struct cover c;
		cr_assert_eq(cover_init(&c, &l), 0);
		memset(seen, 0, 2 * MODEL_BLOCKS);
		for (size_t i = 0; i < n; i++) {
			struct cover_piece piece;
			owned += extents[i].count;
			for (uint64_t done = 0; done < extents[i].count; done += piece.count) {
				piece = cover_next(&c, &extents[i], done);
				check_piece(&l, &piece, start[extents[i].region] >> GM_BLOCK_SHIFT,
					seen);
			}
		}
		for (size_t i = 0; i < l.count; i++)
			made += l.at[i].soft.size >> GM_BLOCK_SHIFT;
		cr_assert_eq(made, owned);
		cover_deinit(&c);
		device_list_deinit(&l);
	}
	free(seen);
}

/* ---- adoption ---- */

#define FIRST_DATA 4U
#define DATA       2000U

/* Inode 11 has blocks 10 to 29 and 40 to 49, inode 12 has 30 to 39. */
static struct ledger_entry notes[FIRST_DATA + DATA + 1];

static void init_record(struct record *r)
{
	static const struct record_extent a[] = {{0, 10, 20, 0}, {20, 40, 10, 0}};
	static const struct record_extent b[] = {{0, 30, 10, 0}};
	struct record_inode *inode;

	record_init(r);
	cr_assert_eq(record_add_region(r, ARRAY_SIZE(notes), FIRST_DATA, DATA, notes), 0);
	cr_assert_eq(record_hold(r, 11, 1, true, a, 2, &inode, NULL), 0);
	cr_assert_eq(record_hold(r, 12, 2, true, b, 1, &inode, NULL), 0);
}

struct adoption_case {
	const char *name;
	struct soft_device device;
	struct soft_range ranges[2];
	enum adoption wanted;
	uint64_t ino;
};

#define OURS .ours = true, .bound = true, .align = GM_BLOCK_SIZE

static const struct adoption_case adoption_cases[] = {
	{"whole file", {OURS, .range_count = 2}, {{10, 20}, {40, 10}}, ADOPTION_INODE, 11},
	{"in another order", {OURS, .range_count = 2}, {{40, 10}, {10, 20}}, ADOPTION_INODE, 11},
	{"part of a file", {OURS, .range_count = 1}, {{15, 3}}, ADOPTION_INODE, 11},
	{"the other file", {OURS, .range_count = 1}, {{30, 10}}, ADOPTION_INODE, 12},
	{"two files", {OURS, .range_count = 1}, {{29, 2}}, ADOPTION_FOREIGN, 0},
	{"a file and a free block", {OURS, .range_count = 1}, {{49, 2}}, ADOPTION_FOREIGN, 0},
	{"a window", {OURS, .window = true, .range_count = 1}, {{100, LINK_SCRUB_MAX}},
		ADOPTION_WINDOW, 0},
	{"a window over a file", {OURS, .window = true, .range_count = 1}, {{10, 20}},
		ADOPTION_INODE, 11},
	{"in the shape of a window", {OURS, .range_count = 1}, {{100, LINK_SCRUB_MAX}},
		ADOPTION_ORPHAN, 0},
	{"a file nobody told of", {OURS, .range_count = 2}, {{100, 1}, {102, 1}}, ADOPTION_ORPHAN,
		0},
	{"with large pages, nobody told of",
		{.ours = true, .bound = true, .align = GM_GROUP_SIZE, .range_count = 1},
		{{512, 512}}, ADOPTION_ORPHAN, 0},
	{"not bound", {.ours = true, .align = GM_BLOCK_SIZE, .range_count = 1}, {{10, 20}},
		ADOPTION_FOREIGN, 0},
	{"without memory", {.ours = true, .align = GM_BLOCK_SIZE}, {{0, 0}}, ADOPTION_FOREIGN, 0},
	{"the metadata", {OURS, .range_count = 2}, {{0, 4}, {2004, 1}}, ADOPTION_SYSTEM, 0},
	{"metadata and data", {OURS, .range_count = 1}, {{3, 2}}, ADOPTION_FOREIGN, 0},
	{"metadata and a file", {OURS, .range_count = 2}, {{0, 4}, {10, 20}}, ADOPTION_FOREIGN, 0},
	{"the empty seed", {.seed = true}, {{0, 0}}, ADOPTION_SYSTEM, 0},
	{"the full seed", {.seed = true, .bound = true, .range_count = 1}, {{0, 2005}},
		ADOPTION_FOREIGN, 0},
	{"somebody else's", {.bound = true, .align = GM_BLOCK_SIZE, .range_count = 1}, {{10, 20}},
		ADOPTION_FOREIGN, 0},
	{"somebody else's, not bound", {.align = GM_BLOCK_SIZE, .range_count = 1}, {{100, 2}},
		ADOPTION_FOREIGN, 0},
	{"kmem's", {OURS, .kmem = true, .range_count = 1}, {{10, 20}}, ADOPTION_FOREIGN, 0},
};

Test(adoption, judges_what_is_found)
{
	struct record r;

	init_record(&r);
	for (size_t i = 0; i < ARRAY_SIZE(adoption_cases); i++) {
		const struct adoption_case *c = &adoption_cases[i];
		struct soft_range ranges[2];
		struct soft_device d = c->device;
		struct record_inode *inode = NULL;
		struct problem why = PROBLEM_INIT;

		memcpy(ranges, c->ranges, sizeof(ranges));
		d.ranges = ranges;
		cr_expect_eq(adoption_judge(&r, 0, &d, &inode, &why), c->wanted, "%s", c->name);
		cr_expect_eq(inode ? inode->ino : 0, c->ino, "%s", c->name);
		cr_expect_eq(why.text[0] != '\0', c->wanted == ADOPTION_FOREIGN, "%s: '%s'",
			c->name, why.text);
	}
	record_deinit(&r);
}

Test(adoption, without_any_held_inode)
{
	struct soft_range range = {100, 2};
	const struct soft_device d = {OURS, .window = true, .ranges = &range, .range_count = 1};
	struct record_inode *inode = NULL;
	struct record r;

	record_init(&r);
	cr_assert_eq(record_add_region(&r, ARRAY_SIZE(notes), FIRST_DATA, DATA, notes), 0);
	cr_expect_eq(adoption_judge(&r, 0, &d, &inode, NULL), ADOPTION_WINDOW);
	record_deinit(&r);
}
