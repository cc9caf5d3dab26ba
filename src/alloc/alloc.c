// SPDX-License-Identifier: MIT
/* The pool: it owns the groups, sets and indexes of all regions, and is the public face of the
 * changes of state. */
#include "alloc/group.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct alloc *alloc_new(void)
{
	return calloc(
		1, sizeof(struct alloc)); /* most of it is the index's heads, and stays untouched */
}

struct alloc *alloc_free(struct alloc *a)
{
	if (!a)
		return NULL;
	group_set_deinit(&a->whole_clean);
	group_set_deinit(&a->whole_dirty);
	group_set_deinit(&a->dirty);
	group_index_deinit(&a->part);
	group_index_deinit(&a->part_clean);
	free(a->groups);
	free(a);
	return NULL;
}

static int reserve_groups(struct alloc *a, uint32_t end)
{
	struct group *groups = realloc(a->groups, end * sizeof(*groups));

	if (!groups)
		return -ENOMEM;
	a->groups = groups;
	if (group_set_reserve(&a->whole_clean, end) || group_set_reserve(&a->whole_dirty, end) ||
		group_set_reserve(&a->dirty, end) || group_index_reserve(&a->part, end) ||
		group_index_reserve(&a->part_clean, end))
		return -ENOMEM;
	return 0;
}

/*
 * Makes the group with the data blocks that lie in it, as used blocks; to release
 * them enters it everywhere.
 */
static struct span init_group(struct alloc *a, const struct region *r, uint32_t number)
{
	uint64_t start =
		(number - r->base) * GROUP_BLOCKS; /* as all here, counted from a phase of 0 */
	uint64_t data = r->desc.first_data + r->desc.phase, end = data + r->desc.data_blocks;
	uint32_t first = data > start ? (uint32_t)(data - start) : 0;
	uint32_t last = end - start < GROUP_BLOCKS ? (uint32_t)(end - start) : GROUP_BLOCKS;
	struct group *g = &a->groups[number];

	*g = (struct group){
		.map[ALLOC_MAP_USED] = bits_range(first, last - first),
		.start = start - r->desc.phase,
		.region = (uint16_t)(r - a->regions),
		.data_first = (uint16_t)first,
		.data_count = (uint16_t)(last - first),
	};
	a->stats.data += g->data_count;
	a->stats.used += g->data_count;
	a->stats.used_dirty += g->data_count;
	return (struct span){.group = number, .bit = first, .count = last - first};
}

static int check_region(const struct alloc *a, const struct alloc_region *r)
{
	if (r->phase >= GROUP_BLOCKS || r->first_data > r->blocks ||
		r->data_blocks > r->blocks - r->first_data)
		return -EINVAL;
	if (a->region_count > 0 && r->whole_groups != a->regions[0].desc.whole_groups)
		return -EINVAL;
	if (r->whole_groups && r->data_blocks > 0 &&
		((r->first_data + r->phase) % GROUP_BLOCKS || r->data_blocks % GROUP_BLOCKS))
		return -EINVAL;
	/* At worst the number left out, and a group that is cut at either end. */
	if (a->region_count == GM_REGIONS_MAX ||
		r->blocks / GROUP_BLOCKS + 3 > GROUP_SET_MAX - a->group_end)
		return -E2BIG;
	return 0;
}

static const struct change release = {.in = USED, .leave = USED | CLEAN};

int alloc_add_region(struct alloc *a, const struct alloc_region *desc)
{
	struct region *r = &a->regions[a->region_count];
	uint64_t begin = desc->first_data + desc->phase;
	uint64_t count = 0;
	int err = check_region(a, desc);

	if (err)
		return err;
	if (desc->data_blocks)
		count = (begin + desc->data_blocks - 1) / GROUP_BLOCKS - begin / GROUP_BLOCKS + 1;
	err = reserve_groups(a, (uint32_t)(a->group_end + 1 + count));
	if (err)
		return err;

	*r = (struct region){
		.desc = *desc,
		.first_group = a->group_end + 1,
		.group_count = (uint32_t)count,
	};
	r->base = r->first_group - begin / GROUP_BLOCKS;
	a->region_count++;
	a->group_end = r->first_group + r->group_count;
	a->groups[r->first_group - 1] = (struct group){0};
	for (uint32_t i = 0; i < r->group_count; i++)
		group_change(a, init_group(a, r, r->first_group + i), &release);
	return 0;
}

static void change_extent(struct alloc *a, const struct alloc_extent *e, const struct change *c)
{
	struct span s;

	for (struct walk w = walk_extent(a, e); walk_next(&w, &s);)
		group_change(a, s, c);
}

void alloc_claim(struct alloc *a, const struct alloc_extent *e)
{
	static const struct change c = {.not_in = USED | QUARANTINED, .enter = USED};

	change_extent(a, e, &c);
}

void alloc_release(struct alloc *a, const struct alloc_extent *e)
{
	change_extent(a, e, &release);
}

void alloc_quarantine(struct alloc *a, const struct alloc_extent *e)
{
	static const struct change c = {.not_in = USED | QUARANTINED, .enter = QUARANTINED};

	change_extent(a, e, &c);
}

void alloc_unquarantine(struct alloc *a, const struct alloc_extent *e)
{
	static const struct change c = {.in = QUARANTINED, .leave = QUARANTINED | CLEAN};

	change_extent(a, e, &c);
}

void alloc_set_clean(struct alloc *a, const struct alloc_extent *e)
{
	static const struct change c = {.enter = CLEAN};

	change_extent(a, e, &c);
}

void alloc_set_dirty(struct alloc *a, const struct alloc_extent *e)
{
	static const struct change c = {.leave = CLEAN};

	change_extent(a, e, &c);
}

void alloc_set_poisoned(struct alloc *a, const struct alloc_extent *e)
{
	static const struct change c = {.enter = POISONED};

	change_extent(a, e, &c);
}
