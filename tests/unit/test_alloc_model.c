// SPDX-License-Identifier: MIT
/*
 * The allocator against a model that is three bytes a block and looks at all of them every
 * time: random regions, random changes of state, and after each one every count, map,
 * question and plan compared.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/alloc.h"
#include "alloc_model.h"
#include "chance.h"
#include "rounds.h"
#include "util/cleanup.h"

#define STEPS 2000U

static void add_region(struct model *m, struct alloc *a)
{
	uint32_t blocks = 1 + chance_below(chance_below(4) ? BLOCKS : 100),
		 first = chance_below(3) ? 0 : chance_below(blocks + 1);
	struct alloc_region *r = &m->region[m->regions];

	r->blocks = blocks;
	r->first_data = first;
	r->data_blocks = chance_below(3) ? blocks - first : chance_below(blocks - first + 1);
	r->phase = chance_below(2) ? 0 : chance_below(GROUP);
	for (uint64_t i = first; i < first + r->data_blocks; i++)
		m->block[m->regions][i].state = FREE;
	m->regions++;
	cr_assert_eq(alloc_add_region(a, r), 0);
}

/* ---- comparing ---- */

static struct alloc_stats count_stats(const struct model *m)
{
	struct alloc_stats s = {0};

	for (uint32_t r = 0; r < m->regions; r++) {
		for (uint32_t i = 0; i < m->region[r].blocks; i++) {
			const struct block *b = &m->block[r][i];

			s.data += b->state != OUTSIDE;
			s.free += model_is_free(b);
			s.free_dirty += model_is_free(b) && !b->clean;
			s.used += b->state == USED;
			s.used_dirty += b->state == USED && !b->clean;
			s.poisoned += b->poisoned;
			s.quarantined += b->state == QUARANTINED;
		}
		for (uint32_t g = 0; g < GROUPS; g++)
			s.free_groups += model_look_at(m, r, g).whole;
	}
	return s;
}

static void compare_stats(const struct model *m, const struct alloc *a)
{
	struct alloc_stats want = count_stats(m), got;

	alloc_get_stats(a, &got);
	cr_assert_eq(got.data, want.data);
	cr_assert_eq(got.free, want.free);
	cr_assert_eq(got.free_dirty, want.free_dirty);
	cr_assert_eq(got.used, want.used);
	cr_assert_eq(got.used_dirty, want.used_dirty);
	cr_assert_eq(got.poisoned, want.poisoned);
	cr_assert_eq(got.quarantined, want.quarantined);
	cr_assert_eq(got.free_groups, want.free_groups);
}

static bool in_map(const struct block *b, enum alloc_map map)
{
	switch (map) {
	case ALLOC_MAP_USED:
		return b->state == USED;
	case ALLOC_MAP_CLEAN:
		return b->clean;
	case ALLOC_MAP_POISONED:
		return b->poisoned;
	case ALLOC_MAP_QUARANTINED:
		return b->state == QUARANTINED;
	}
	return false;
}

static void compare_maps(const struct model *m, const struct alloc *a)
{
	for (uint32_t r = 0; r < m->regions; r++) {
		uint64_t bytes = (m->region[r].blocks + 63) / 64 * 8, from;

		cr_assert_eq(alloc_map_bytes(a, r), bytes);
		for (unsigned map = ALLOC_MAP_USED; map <= ALLOC_MAP_QUARANTINED; map++) {
			uint8_t got[BLOCKS / 8 + 8], want[BLOCKS / 8 + 8] = {0};

			for (uint32_t i = 0; i < m->region[r].blocks; i++)
				if (in_map(&m->block[r][i], map))
					want[i / 8] |= (uint8_t)(1 << i % 8);
			memset(got, 0xa5, sizeof(got));
			from = chance_below((uint32_t)bytes / 8 + 1) * 8U;
			alloc_copy_map(a, r, map, 0, from, got); /* in two parts */
			alloc_copy_map(a, r, map, from, bytes - from, got + from);
			cr_assert_arr_eq(got, want, bytes);
			cr_assert_eq(got[bytes], 0xa5, "written past the end");
		}
	}
}

static struct alloc_extent random_extent(const struct model *m)
{
	uint32_t region = chance_below(m->regions);
	uint32_t block = chance_below((uint32_t)m->region[region].blocks);
	uint32_t most = (uint32_t)m->region[region].blocks - block;

	if (chance_below(4) && most > 40)
		most = 40;
	return (struct alloc_extent){
		.region = region, .block = block, .count = 1 + chance_below(most)};
}

static void compare_answers(const struct model *m, const struct alloc *a)
{
	struct alloc_extent e = random_extent(m);
	const struct block *b = &m->block[e.region][e.block];
	bool data = true, free = true, used = true, quarantined = true, poisoned = false, clean;
	uint32_t run = e.count;

	for (uint32_t i = e.count; i-- > 0;) {
		data &= b[i].state != OUTSIDE;
		free &= model_is_free(&b[i]);
		used &= b[i].state == USED;
		quarantined &= b[i].state == QUARANTINED;
		poisoned |= b[i].poisoned;
		if (b[i].clean != b->clean)
			run = i;
	}
	cr_assert_eq(alloc_is_data(a, e.region, e.block, e.count), data);
	cr_assert_eq(alloc_is_free(a, &e), free);
	cr_assert_eq(alloc_is_used(a, &e), used);
	cr_assert_eq(alloc_is_quarantined(a, &e), quarantined);
	if (!data)
		return;
	cr_assert_eq(alloc_any_poisoned(a, &e), poisoned);
	cr_assert_eq(alloc_clean_run(a, &e, &clean), run);
	cr_assert_eq(clean, b->clean);
}

/* The cursor comes by every free, dirty, sound block exactly once, in order. */
static void compare_dirty(const struct model *m, const struct alloc *a)
{
	uint32_t max = chance_below(2) ? 1 + chance_below(BLOCKS) : 1 + chance_below(8);
	uint64_t cursor = 0;
	struct alloc_extent e = {0};

	for (uint32_t r = 0; r < m->regions; r++)
		for (uint32_t i = 0; i < m->region[r].blocks; i++) {
			const struct block *b = &m->block[r][i];

			if (!model_is_free(b) || b->clean)
				continue;
			if (!e.count)
				cr_assert(alloc_next_dirty(a, &cursor, max, &e));
			cr_assert_eq(e.region, r);
			cr_assert_eq(e.block, i);
			cr_assert_leq(e.count, max);
			e.block++;
			e.count--;
		}
	cr_assert_eq(e.count, 0);
	cr_assert_not(alloc_next_dirty(a, &cursor, max, &e));
}

static uint64_t random_size(const struct alloc *a)
{
	struct alloc_stats s;

	alloc_get_stats(a, &s);
	switch (chance_below(6)) {
	case 0:
		return 1;
	case 1:
		return 1 + chance_below(GROUP);
	case 2:
		return GROUP * (1 + chance_below(4));
	case 3:
		s.free += chance_below(2); /* all there is, or one too many */
		return s.free ? s.free : 1;
	default:
		return 1 + chance_below((uint32_t)s.free + 1);
	}
}

/* ---- the steps ---- */

enum step {
	CLAIM_PLAN,
	CLAIM_ANY,
	RELEASE,
	QUARANTINE,
	UNQUARANTINE,
	CLEAN,
	DIRTY,
	POISON,
	STEP_COUNT,
};

static void do_step(struct alloc *a, enum step step, const struct alloc_extent *e)
{
	switch (step) {
	case CLAIM_PLAN:
	case CLAIM_ANY:
		alloc_claim(a, e);
		break;
	case RELEASE:
		alloc_release(a, e);
		break;
	case QUARANTINE:
		alloc_quarantine(a, e);
		break;
	case UNQUARANTINE:
		alloc_unquarantine(a, e);
		break;
	case CLEAN:
		alloc_set_clean(a, e);
		break;
	case DIRTY:
		alloc_set_dirty(a, e);
		break;
	case POISON:
		alloc_set_poisoned(a, e);
		break;
	case STEP_COUNT:
		break;
	}
}

static bool may_step(const struct block *b, enum step step)
{
	switch (step) {
	case CLAIM_PLAN:
		return model_is_free(b);
	case CLAIM_ANY:
	case QUARANTINE:
		return b->state == FREE;
	case RELEASE:
		return b->state == USED;
	case UNQUARANTINE:
		return b->state == QUARANTINED;
	default:
		return b->state != OUTSIDE;
	}
}

static void model_step(struct block *b, enum step step)
{
	if (step == CLAIM_PLAN || step == CLAIM_ANY)
		b->state = USED;
	if (step == RELEASE || step == UNQUARANTINE)
		b->state = FREE;
	if (step == QUARANTINE)
		b->state = QUARANTINED;
	if (step == CLEAN)
		b->clean = true;
	if (step == DIRTY || step == RELEASE || step == UNQUARANTINE)
		b->clean = false;
	if (step == POISON)
		b->poisoned = true;
}

static void step_extent(
	struct model *m, struct alloc *a, enum step step, const struct alloc_extent *e)
{
	do_step(a, step, e);
	for (uint64_t b = e->block; b < e->block + e->count; b++)
		model_step(&m->block[e->region][b], step);
}

/* Changes every run in a random range whose blocks are in a state for it. */
static void step_range(struct model *m, struct alloc *a, enum step step, struct alloc_extent range)
{
	const struct block *b = m->block[range.region];
	uint64_t end = range.block + range.count, stop;

	for (uint64_t i = range.block; i < end; i = stop) {
		for (stop = i; stop < end && may_step(&b[stop], step); stop++)
			;
		if (stop > i)
			step_extent(m, a, step,
				&(struct alloc_extent){.region = range.region,
					.block = i,
					.count = (uint32_t)(stop - i)});
		else
			stop++;
	}
}

static void claim_plan(struct model *m, struct alloc *a)
{
	_cleanup_free_ struct alloc_extent *e = NULL;
	uint64_t n = random_size(a);
	size_t count = 0;

	if (alloc_plan(a, n, chance_below(2) ? ALLOC_UNIT_AUTO : ALLOC_UNIT_2M, &e, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		step_extent(m, a, CLAIM_PLAN, &e[i]);
}

/* A pool lives through phases: now more is claimed, now more released, now scrubbed. */
static void random_step(struct model *m, struct alloc *a, uint32_t number)
{
	static const enum step often[] = {CLAIM_PLAN, RELEASE, CLEAN, CLAIM_ANY};
	enum step step = chance_below(3) ? often[number / 100 % ARRAY_SIZE(often)]
					 : chance_below(STEP_COUNT);
	struct alloc_extent range = random_extent(m);

	if (step == POISON) {
		if (chance_below(8))
			return;
		range.count = 1;
	}
	if (step == CLAIM_PLAN)
		claim_plan(m, a);
	else
		step_range(m, a, step, range);
}

static void run_model(void)
{
	static struct model m;
	struct alloc *a = alloc_new();

	m = (struct model){0};
	cr_assert_not_null(a);
	add_region(&m, a);
	for (uint32_t i = 0; i < STEPS; i++) {
		if (m.regions < REGIONS && !chance_below(200))
			add_region(&m, a);
		random_step(&m, a, i);
		compare_stats(&m, a);
		compare_maps(&m, a);
		compare_answers(&m, a);
		if (i % 8 == 0)
			compare_dirty(&m, a);
		model_judge_plan(&m, a, random_size(a), chance_below(3));
	}
	a = alloc_free(a);
}

Test(alloc_model, agrees_with_plain_bitmaps)
{
	chance_start();
	for (unsigned i = 0; i < 12 / rounds_one_of(4); i++)
		run_model();
}
