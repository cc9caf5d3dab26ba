// SPDX-License-Identifier: MIT
/* Gathers for fsck_run() what it wants to see of a pool, however little of it can be read. */
#include <errno.h>

#include "pool/internal.h"

struct check_view {
	uint64_t region_bytes[GM_REGIONS_MAX];
	struct gm_stamp stamps[2 * GM_REGIONS_MAX];
	const struct gm_stamp *stamp_pointers[2 * GM_REGIONS_MAX];
	struct media area;
};

static void check_read_regions(const struct pool *pool, struct check_view *view)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		view->region_bytes[i] = pool->regions[i].size;
		for (uint32_t position = GM_STAMP_FIRST; position <= GM_STAMP_LAST; position++) {
			uint32_t n = 2 * i + position;
			if (pool_read_stamp(&pool->regions[i], position, &view->stamps[n], NULL) ==
				0)
				view->stamp_pointers[n] = &view->stamps[n];
		}
	}
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

int pool_check(struct pool *pool, struct fsck_report *ret, struct problem *why)
{
	_cleanup_free_ struct check_view *view = calloc(1, sizeof(*view));
	struct store_super super = {.region_count = 0};

	if (!view)
		return problem_errno(why, ENOMEM, "checking the pool");
	bool readable = pool_read_super(&pool->regions[0], &super, NULL) == 0;
	if (readable && super.region_count < pool->count)
		return problem(why, EINVAL, "the pool has %u region(s), and %u are named",
			super.region_count, pool->count);
	uint64_t length = check_area_length(pool, &super, readable);
	int r = pool_reach(pool, length / GM_BLOCK_SIZE, why);

	if (r == 0)
		r = pool_map_area(pool, length, false, &view->area, why);
	if (r < 0)
		return r;
	check_read_regions(pool, view);
	bool missing = readable && super.region_count > pool->count;
	const struct fsck_input input = {
		.area = view->area.base,
		.area_bytes = view->area.size,
		.region_count = missing ? super.region_count : pool->count,
		.region_bytes = view->region_bytes,
		.stamps = view->stamp_pointers,
	};
	r = fsck_run(ret, &input);
	region_unmap(&pool->regions[0], view->area.base, view->area.size);
	return r < 0 ? problem_errno(why, -r, "checking the pool") : 0;
}
