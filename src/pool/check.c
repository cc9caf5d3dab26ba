// SPDX-License-Identifier: MIT
/* Gathers for fsck_run() what it wants to see of a pool, however little of it can be read. */
#include <errno.h>

#include "pool/area.h"
#include "pool/internal.h"

struct check_view {
	uint64_t region_bytes[GM_REGIONS_MAX];
	struct gm_stamp stamps[2 * GM_REGIONS_MAX];
	const struct gm_stamp *stamp_pointers[2 * GM_REGIONS_MAX];
	struct media area;
};

static int check_read_regions(const struct pool *pool, struct check_view *view, struct problem *why)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		view->region_bytes[i] = pool->regions[i].size;
		for (uint32_t position = GM_STAMP_FIRST; position <= GM_STAMP_LAST; position++) {
			uint32_t n = 2 * i + position;
			int r = pool_read_stamp(&pool->regions[i], position, &view->stamps[n], why);

			if (r < 0) /* what is in it is fsck_run()'s to judge */
				return r;
			view->stamp_pointers[n] = &view->stamps[n];
		}
	}
	return 0;
}

/* The whole metadata area if a superblock says where it ends, and as much of it as there is. */
static uint64_t check_area_length(
	const struct pool *pool, const struct store_super *super, bool readable)
{
	uint64_t blocks = pool->regions[0].size / GM_BLOCK_SIZE;

	if (!readable)
		return GM_BLOCK_SIZE;
	return (super->plan.meta_blocks < blocks ? super->plan.meta_blocks : blocks) *
	       GM_BLOCK_SIZE;
}

struct check_work {
	struct fsck_report *report;
	const struct fsck_input *input;
	int r;
};

static void do_check(void *data)
{
	struct check_work *work = data;

	work->r = fsck_run(work->report, work->input);
}

static int check_run(const struct pool *pool, struct check_view *view, uint32_t region_count,
	struct fsck_report *ret, struct problem *why)
{
	const struct fsck_input input = {
		.area = view->area.base,
		.area_bytes = view->area.size,
		.region_count = region_count,
		.region_bytes = view->region_bytes,
		.stamps = view->stamp_pointers,
	};
	int r = check_read_regions(pool, view, why);

	if (r < 0)
		return r;
	struct check_work work = {.report = ret, .input = &input};
	r = pool_guard(&pool->regions[0], 0, view->area.base, do_check, &work, why);
	if (r < 0)
		return r;
	return work.r < 0 ? problem_errno(why, -work.r, "checking the pool") : 0;
}

/* 1, or 0 if there is none that can be used; -EIO and what else kept it from being read. */
static int check_read_super(const struct pool *pool, struct store_super *ret, struct problem *why)
{
	int r = pool_read_super(&pool->regions[0], ret, why);

	switch (r) {
	case 0:
		return 1;
	case -ENOENT:
	case -EMEDIUMTYPE:
	case -EUCLEAN:
	case -EPROTONOSUPPORT:
		return 0;
	default:
		return r;
	}
}

int pool_check(struct pool *pool, struct fsck_report *ret, struct problem *why)
{
	_cleanup_free_ struct check_view *view = calloc(1, sizeof(*view));
	struct store_super super = {.region_count = 0};
	int r;

	if (!view)
		return problem_errno(why, ENOMEM, "checking the pool");
	r = check_read_super(pool, &super, why);
	if (r < 0)
		return r;
	bool readable = r > 0;
	if (readable && super.region_count < pool->count)
		return problem(why, EINVAL, "the pool has %u region(s), and %u are named",
			super.region_count, pool->count);
	uint64_t length = check_area_length(pool, &super, readable);
	r = pool_reach(pool, length / GM_BLOCK_SIZE, why);
	if (r == 0)
		r = pool_map_area(pool, length, false, &view->area, why);
	if (r < 0)
		return r;
	r = check_run(pool, view,
		readable && super.region_count > pool->count ? super.region_count : pool->count,
		ret, why);
	region_unmap(&pool->regions[0], view->area.base, view->area.size);
	return r;
}

int pool_check_memory(struct pool *pool, struct problem *why)
{
	struct store_super super = {.region_count = 0};
	struct media area;
	int r = check_read_super(pool, &super, why);

	if (r < 0)
		return r;
	uint64_t length = check_area_length(pool, &super, r > 0);
	r = pool_reach(pool, length / GM_BLOCK_SIZE, why);
	if (r == 0)
		r = pool_map_area(pool, length, false, &area, why);
	if (r < 0)
		return r;
	r = pool_probe(&pool->regions[0], &area, why);
	region_unmap(&pool->regions[0], area.base, area.size);
	return r;
}
