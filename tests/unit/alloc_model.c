// SPDX-License-Identifier: MIT
/* Looks at the blocks of the model, and judges plans by what it sees. */
#include "alloc_model.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "util/cleanup.h"

bool model_is_free(const struct block *b)
{
	return b->state == FREE && !b->poisoned;
}

static const struct block *at(const struct model *m, uint32_t region, uint32_t group, uint32_t bit)
{
	static const struct block outside;
	uint64_t position = (uint64_t)group * GROUP + bit, phase = m->region[region].phase;

	if (position < phase || position - phase >= m->region[region].blocks)
		return &outside;
	return &m->block[region][position - phase];
}

struct facts model_look_at(const struct model *m, uint32_t region, uint32_t group)
{
	struct facts f = {.whole_clean = true};
	unsigned run = 0, clean_run = 0;

	for (uint32_t bit = 0; bit < GROUP; bit++) {
		const struct block *b = at(m, region, group, bit);
		bool clean = model_is_free(b) && b->clean;

		run = model_is_free(b) ? run + 1 : 0;
		clean_run = clean ? clean_run + 1 : 0;
		f.free += model_is_free(b);
		f.whole_clean &= clean;
		if (run > f.run)
			f.run = run;
		if (clean_run > f.clean_run)
			f.clean_run = clean_run;
	}
	f.whole = f.free == GROUP;
	return f;
}

/* All that the model wants to know of the pool when it judges a plan. */
struct survey {
	struct facts group[REGIONS][GROUPS];
	uint64_t free, whole, whole_clean, in_parts;
	unsigned run, clean_run; /* the longest in groups that are free in part */
};

static struct survey survey_pool(const struct model *m)
{
	struct survey s = {0};

	for (uint32_t r = 0; r < m->regions; r++)
		for (uint32_t g = 0; g < GROUPS; g++) {
			struct facts f = model_look_at(m, r, g);

			s.group[r][g] = f;
			s.free += f.free;
			s.whole += f.whole;
			s.whole_clean += f.whole_clean;
			if (f.whole)
				continue;
			s.in_parts += f.free;
			if (f.run > s.run)
				s.run = f.run;
			if (f.clean_run > s.clean_run)
				s.clean_run = f.clean_run;
		}
	return s;
}

/*
 * The fewest groups that must be opened so that all have room, beyond those that the unit asks for.
 */
static uint64_t groups_to_open(const struct survey *s, uint64_t n, enum alloc_unit unit)
{
	uint64_t groups = 0;

	while (unit != ALLOC_UNIT_2M && groups < s->whole && (groups + 1) * GROUP <= n)
		groups++;
	while (groups * GROUP + s->in_parts < n)
		groups++;
	return groups;
}

/* The extents are free, apart from each other, not to be merged, and n blocks in all. */
static void check_extents(
	const struct model *m, const struct alloc_extent *e, size_t count, uint64_t n)
{
	static bool seen[REGIONS][BLOCKS];
	uint64_t sum = 0;

	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < count; i++) {
		cr_assert_gt(e[i].count, 0);
		cr_assert_lt(e[i].region, m->regions);
		cr_assert_leq(e[i].block + e[i].count, m->region[e[i].region].blocks);
		for (uint64_t b = e[i].block; b < e[i].block + e[i].count; b++) {
			cr_assert(model_is_free(&m->block[e[i].region][b]));
			cr_assert_not(seen[e[i].region][b]);
			seen[e[i].region][b] = true;
		}
		if (i > 0 && e[i - 1].region == e[i].region)
			cr_assert_neq(e[i - 1].block + e[i - 1].count, e[i].block);
		sum += e[i].count;
	}
	cr_assert_eq(sum, n);
}

/*
 * As many whole groups are opened as must be, and dirty ones only if the clean ones are not enough.
 */
static void check_opened(const struct model *m, const struct survey *s,
	const struct alloc_extent *e, size_t count, uint64_t groups)
{
	bool opened[REGIONS][GROUPS] = {0};
	uint64_t whole = 0, dirty = 0;

	for (size_t i = 0; i < count; i++)
		for (uint64_t b = 0; b < e[i].count; b++)
			opened[e[i].region]
			      [(e[i].block + b + m->region[e[i].region].phase) / GROUP] = true;
	for (uint32_t r = 0; r < m->regions; r++)
		for (uint32_t g = 0; g < GROUPS; g++) {
			whole += opened[r][g] && s->group[r][g].whole;
			dirty +=
				opened[r][g] && s->group[r][g].whole && !s->group[r][g].whole_clean;
		}
	cr_assert_eq(whole, groups);
	cr_assert_eq(dirty, groups > s->whole_clean ? groups - s->whole_clean : 0);
}

/* The first GiBs of the file are GiBs of memory. */
static void check_order(const struct model *m, const struct alloc_extent *e, uint64_t gibs)
{
	uint64_t done = 0;

	for (; done < gibs * GROUP; e++) {
		cr_assert_eq((e->block + m->region[e->region].phase) % GROUP, 0);
		done += e->count;
		if (done < gibs * GROUP)
			cr_assert_eq(e->count % GROUP, 0);
	}
}

/*
 * The length of the run of blocks around a block that are free, and clean if
 * asked for, within its group.
 */
static unsigned run_around(const struct model *m, const struct alloc_extent *e, bool clean)
{
	uint64_t position = e->block + m->region[e->region].phase;
	uint32_t group = (uint32_t)(position / GROUP), bit = position % GROUP, first = bit,
		 end = bit;

	for (; first > 0; first--) {
		const struct block *b = at(m, e->region, group, first - 1);
		if (!model_is_free(b) || (clean && !b->clean))
			break;
	}
	for (; end < GROUP; end++) {
		const struct block *b = at(m, e->region, group, end);
		if (!model_is_free(b) || (clean && !b->clean))
			break;
	}
	return end - first;
}

static unsigned shortest_run(
	const struct model *m, uint32_t region, uint32_t group, unsigned least, bool clean)
{
	unsigned run = 0, best = GROUP + 1;

	for (uint32_t bit = 0; bit <= GROUP; bit++) {
		static const struct block end;
		const struct block *b = bit < GROUP ? at(m, region, group, bit) : &end;

		if (model_is_free(b) && (!clean || b->clean)) {
			run++;
			continue;
		}
		if (run >= least && run < best)
			best = run;
		run = 0;
	}
	return best;
}

/*
 * One extent, in the fullest group that has such a run, from the shortest such run of that group.
 */
static void check_fullest(const struct model *m, const struct survey *s,
	const struct alloc_extent *e, size_t count, uint64_t n)
{
	bool clean = n <= s->clean_run;
	unsigned fewest = GROUP;
	uint32_t group = (uint32_t)((e->block + m->region[e->region].phase) / GROUP);

	for (uint32_t r = 0; r < m->regions; r++)
		for (uint32_t g = 0; g < GROUPS; g++) {
			const struct facts *f = &s->group[r][g];
			if ((clean ? f->clean_run : f->run) >= n && f->free < fewest)
				fewest = f->free;
		}
	cr_assert_eq(count, 1);
	cr_assert_eq(s->group[e->region][group].free, fewest);
	cr_assert_eq(
		run_around(m, e, clean), shortest_run(m, e->region, group, (unsigned)n, clean));
	for (uint64_t b = e->block; clean && b < e->block + n; b++)
		cr_assert(m->block[e->region][b].clean);
}

/* No more extents than taking the longest run again and again gives. */
static void check_few(const struct model *m, size_t count, uint64_t n)
{
	unsigned runs[GROUP + 1] = {0};
	size_t most = 0;

	for (uint32_t r = 0; r < m->regions; r++)
		for (uint32_t g = 0; g < GROUPS; g++) {
			unsigned run = 0;

			if (model_look_at(m, r, g).whole)
				continue;
			for (uint32_t bit = 0; bit < GROUP; bit++) {
				if (model_is_free(at(m, r, g, bit))) {
					run++;
					continue;
				}
				runs[run]++;
				run = 0;
			}
			runs[run]++;
		}
	for (unsigned run = GROUP; n > 0; most++) {
		while (!runs[run])
			run--;
		cr_assert_gt(run, 0);
		n -= run < n ? run : n;
		runs[run]--;
	}
	cr_assert_leq(count, most);
}

/* The runs of adjacent clean whole groups are used so that they are as few as can be. */
static void check_adjacent(
	const struct model *m, const struct survey *s, size_t count, uint64_t groups)
{
	unsigned runs[REGIONS * GROUPS] = {0};
	size_t fewest = 0;

	for (uint32_t r = 0; r < m->regions; r++)
		for (uint32_t g = 0, run = 0; g < GROUPS; g++) {
			run = s->group[r][g].whole_clean ? run + 1 : 0;
			if (run && (g + 1 == GROUPS || !s->group[r][g + 1].whole_clean))
				runs[run]++;
		}
	for (unsigned run = GROUPS; groups > 0; fewest++) {
		while (!runs[run])
			run--;
		groups -= run < groups ? run : groups;
		runs[run]--;
	}
	cr_assert_eq(count, fewest);
}

void model_judge_plan(const struct model *m, struct alloc *a, uint64_t n, enum alloc_unit unit)
{
	_cleanup_free_ struct alloc_extent *e = NULL, *again = NULL;
	struct survey s = survey_pool(m);
	size_t count = 0, count_again = 0;
	int r = alloc_plan(a, n, unit, &e, &count);
	uint64_t groups;

	if (n > s.free || (unit == ALLOC_UNIT_1G && n / GROUP > s.whole)) {
		cr_assert_eq(r, unit == ALLOC_UNIT_1G && n % GROUP ? -EINVAL : -ENOSPC);
		cr_assert_null(e);
		return;
	}
	if (unit == ALLOC_UNIT_1G && n % GROUP) {
		cr_assert_eq(r, -EINVAL);
		return;
	}
	cr_assert_eq(r, 0);
	groups = groups_to_open(&s, n, unit);
	check_extents(m, e, count, n);
	check_opened(m, &s, e, count, groups);
	check_order(m, e, (groups * GROUP < n ? groups * GROUP : n) / GROUP);
	if (!groups && n <= s.run)
		check_fullest(m, &s, e, count, n);
	else if (!groups)
		check_few(m, count, n);
	else if (groups * GROUP >= n && groups <= s.whole_clean)
		check_adjacent(m, &s, count, groups);

	cr_assert_eq(alloc_plan(a, n, unit, &again, &count_again), 0);
	cr_assert_eq(count_again, count, "a plan left a trace");
	for (size_t i = 0; i < count; i++)
		cr_assert(again[i].region == e[i].region && again[i].block == e[i].block &&
				  again[i].count == e[i].count,
			"a plan left a trace");
}
