// SPDX-License-Identifier: MIT
#include "helper/device_plan.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "util/cleanup.h"

#define UNIT ((uint64_t)GM_BLOCKS_PER_GROUP)

void device_plan_deinit(struct device_plan *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->devices[i].ranges);
	*p = DEVICE_PLAN_NULL;
}

static struct planned_device *plan_find(struct device_plan *p, unsigned region, uint64_t align)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->devices[i].region == region && p->devices[i].align == align)
			return &p->devices[i];
	assert(p->count < ARRAY_SIZE(p->devices));
	p->devices[p->count] = (struct planned_device){.region = region, .align = align};
	return &p->devices[p->count++];
}

static int planned_append(struct planned_device *d, uint64_t block, uint32_t count)
{
	if (d->range_count == d->range_room) {
		size_t room = d->range_room ? d->range_room * 2 : 8;
		struct soft_range *ranges = reallocarray(d->ranges, room, sizeof(*ranges));
		if (!ranges)
			return -ENOMEM;
		d->ranges = ranges;
		d->range_room = room;
	}
	d->ranges[d->range_count++] = (struct soft_range){.block = block, .count = count};
	return 0;
}

static int plan_add(
	struct device_plan *p, unsigned region, uint64_t block, uint64_t count, uint64_t align)
{
	if (count == 0)
		return 0;
	struct planned_device *d = plan_find(p, region, align);
	if (d->range_count > 0) {
		struct soft_range *last = &d->ranges[d->range_count - 1];
		if (last->block + last->count == block && count <= UINT32_MAX - last->count) {
			last->count += (uint32_t)count;
			return 0;
		}
	}
	return planned_append(d, block, (uint32_t)count);
}

/* Cuts a run of blocks into what stands before the first whole unit, units, and the rest. */
static int plan_add_run(struct device_plan *p, const struct cover_piece *run, uint64_t start_block)
{
	uint64_t head = -run->file_block % UNIT; /* blocks up to the next unit of the file */
	uint64_t units = head < run->count ? (run->count - head) / UNIT * UNIT : 0;

	if ((start_block + run->block + head) % UNIT != 0 || units == 0)
		return plan_add(p, run->region, run->block, run->count, GM_BLOCK_SIZE);
	int r = plan_add(p, run->region, run->block, head, GM_BLOCK_SIZE);
	if (r >= 0)
		r = plan_add(p, run->region, run->block + head, units, GM_GROUP_SIZE);
	if (r >= 0)
		r = plan_add(p, run->region, run->block + head + units, run->count - head - units,
			GM_BLOCK_SIZE);
	return r;
}

static bool follows(const struct cover_piece *a, const struct cover_piece *b)
{
	return a->region == b->region && a->file_block + a->count == b->file_block &&
	       a->block + a->count == b->block && a->count + b->count <= UINT32_MAX;
}

static int plan_flush(
	struct device_plan *p, struct cover_piece *run, const uint64_t *start, bool small_only)
{
	int r = 0;

	if (run->count > 0 && small_only)
		r = plan_add(p, run->region, run->block, run->count, GM_BLOCK_SIZE);
	else if (run->count > 0)
		r = plan_add_run(p, run, start[run->region] >> GM_BLOCK_SHIFT);
	run->count = 0;
	return r;
}

/* Extents may be cut anywhere, also within a unit, so runs are put together first. */
static int plan_fill(struct device_plan *p, const struct record_extent *extents, size_t count,
	const struct cover *have, const uint64_t *start, bool small_only)
{
	struct cover_piece run = {.count = 0};

	for (size_t i = 0; i < count; i++) {
		struct cover_piece piece;
		for (uint64_t done = 0; done < extents[i].count; done += piece.count) {
			piece = cover_next(have, &extents[i], done);
			if (!piece.range && run.count > 0 && follows(&run, &piece)) {
				run.count += piece.count;
				continue;
			}
			int r = plan_flush(p, &run, start, small_only);
			if (r < 0)
				return r;
			if (!piece.range)
				run = piece;
		}
	}
	return plan_flush(p, &run, start, small_only);
}

int device_plan_init(struct device_plan *p, const struct record_extent *extents, size_t count,
	const struct device_list *have, const uint64_t *start, bool small_only)
{
	_cleanup_(cover_deinit) struct cover cover = {.ranges = NULL};
	int r = cover_init(&cover, have);

	*p = DEVICE_PLAN_NULL;
	if (r >= 0)
		r = plan_fill(p, extents, count, &cover, start, small_only);
	if (r < 0)
		device_plan_deinit(p);
	return r;
}

int device_plan_check(const struct planned_device *d, uint64_t region_start, struct problem *why)
{
	for (size_t i = 0; i < d->range_count; i++) {
		uint64_t at = region_start + (d->ranges[i].block << GM_BLOCK_SHIFT);
		uint64_t length = (uint64_t)d->ranges[i].count << GM_BLOCK_SHIFT;
		if (length == 0 || at % d->align != 0 || length % d->align != 0)
			return problem(why, EUCLEAN,
				"%" PRIu64 " bytes at physical address 0x%" PRIx64
				" don't suit a device with pages of %" PRIu64
				" bytes: nothing is made",
				length, at, d->align);
	}
	return 0;
}
