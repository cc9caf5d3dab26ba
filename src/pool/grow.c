// SPDX-License-Identifier: MIT
/*
 * Regions that have become larger. The order on the media: the new last stamps (outside of the pool
 * as the superblock has it), the superblock, the first stamps (which bear the region's size), and
 * at last the old last stamps are wiped, in blocks that are data by then. Whatever a crash leaves,
 * doing it again ends it; pool_load() refuses what is in between.
 */
#include <errno.h>
#include <string.h>

#include "pool/area.h"
#include "pool/internal.h"
#include "util/le.h"

struct growth {
	struct pool *pool;
	struct store_super super; /* before */
	uint64_t blocks[GM_REGIONS_MAX];
};

static bool has_grown(const struct growth *g, uint32_t i)
{
	return g->blocks[i] > g->super.regions[i].blocks;
}

/* The last block of the size before. */
static int map_old_last(
	const struct growth *g, uint32_t i, bool writable, void **ret, struct problem *why)
{
	const struct region *r = &g->pool->regions[i];
	uint64_t offset = (g->super.regions[i].blocks - 1) * GM_BLOCK_SIZE;
	int err = 0;
	void *block = region_map(r, offset, GM_BLOCK_SIZE, writable, &err);

	if (!block)
		return problem_errno(
			why, err, "mapping what was the last block of region %s", r->name);
	*ret = block;
	return 0;
}

/* On soft regions the old last block has to be in the metadata device for a while. */
static int reach_old(struct growth *g, struct problem *why)
{
	int r = 0;

	for (uint32_t i = 0; i < g->pool->count && r == 0; i++)
		if (has_grown(g, i))
			r = region_reach(&g->pool->regions[i],
				g->super.regions[i].blocks * GM_BLOCK_SIZE, why);
	return r;
}

/* ---- are these the regions? ---- */

static int check_last(const struct growth *g, uint32_t i, struct problem *why)
{
	const struct region *r = &g->pool->regions[i];
	struct gm_stamp stamp;
	void *block = NULL;
	int e = map_old_last(g, i, false, &block, why);

	if (e < 0)
		return e;
	e = pool_read(r, (g->super.regions[i].blocks - 1) * GM_BLOCK_SIZE + GM_STAMP_OFFSET,
		(const uint8_t *)block + GM_STAMP_OFFSET, &stamp, sizeof(stamp), why);
	region_unmap(r, block, GM_BLOCK_SIZE);
	if (e < 0)
		return e;
	e = store_check_stamp(&stamp, g->super.uuid, i, GM_STAMP_LAST, g->super.regions[i].blocks,
		&g->super.plan, why);
	return e < 0 ? problem_prefix(why, e, "region %s", r->name) : 0;
}

/* The size in the first stamp may be the one from before a growing that was cut short. */
static int check_first(const struct growth *g, uint32_t i, struct problem *why)
{
	const struct region *r = &g->pool->regions[i];
	struct gm_stamp stamp;
	int e = pool_read_stamp(r, GM_STAMP_FIRST, &stamp, why);

	if (e < 0)
		return e;
	uint64_t blocks = get_le64(stamp.blocks);
	if (blocks > g->super.regions[i].blocks)
		blocks = g->super.regions[i].blocks;
	e = store_check_stamp(
		&stamp, g->super.uuid, i, GM_STAMP_FIRST, blocks, &g->super.plan, why);
	return e < 0 ? problem_prefix(why, e, "region %s", r->name) : 0;
}

static int check_shrunk(const struct growth *g, uint32_t i, struct problem *why)
{
	char now[REGION_SIZE_TEXT];
	char then[REGION_SIZE_TEXT];

	if (g->blocks[i] >= g->super.regions[i].blocks)
		return 0;
	return problem(why, EUCLEAN,
		"region %s has shrunk: it is %s, and was %s when the pool was formatted; a pool "
		"can only grow",
		g->pool->regions[i].name, region_format_size(now, g->pool->regions[i].size),
		region_format_size(then, g->super.regions[i].blocks * GM_BLOCK_SIZE));
}

static int check_regions(const struct growth *g, struct problem *why)
{
	int r = pool_check_count(g->pool, &g->super, why);

	for (uint32_t i = 0; i < g->pool->count && r == 0; i++) {
		r = pool_check_identity(g->pool, &g->super, i, why);
		if (r == 0)
			r = check_shrunk(g, i, why);
	}
	return r;
}

static int check_stamps(const struct growth *g, struct problem *why)
{
	int r = 0;

	for (uint32_t i = 0; i < g->pool->count && r == 0; i++) {
		r = check_first(g, i, why);
		if (r == 0)
			r = check_last(g, i, why);
	}
	return r;
}

/* ---- growing ---- */

static int write_last(const struct growth *g, const uint8_t token[16], struct problem *why)
{
	int r = 0;

	for (uint32_t i = 0; i < g->pool->count && r == 0; i++)
		if (has_grown(g, i))
			r = pool_write_stamp(g->pool, i, GM_STAMP_LAST, &g->super, token, why);
	return r;
}

static int write_first(const struct growth *g, const uint8_t token[16], struct problem *why)
{
	int r = 0;

	for (uint32_t i = 0; i < g->pool->count && r == 0; i++)
		r = pool_write_stamp(g->pool, i, GM_STAMP_FIRST, &g->super, token, why);
	return r;
}

static int wipe_old_last(const struct growth *g, struct problem *why)
{
	static const struct gm_stamp none;

	for (uint32_t i = 0; i < g->pool->count; i++) {
		if (!has_grown(g, i))
			continue;
		void *block = NULL;
		int r = map_old_last(g, i, true, &block, why);
		if (r < 0)
			return r;
		struct media media = pool_media(&g->pool->regions[i], block, GM_BLOCK_SIZE);
		media_copy(&media, GM_STAMP_OFFSET, &none, sizeof(none));
		media_fence(&media);
		region_unmap(&g->pool->regions[i], block, GM_BLOCK_SIZE);
	}
	return 0;
}

static int grow_store(const struct growth *g, struct media *area, struct problem *why)
{
	struct store *store = NULL;
	int r = store_open(&store, area, &g->super, why);

	if (r < 0)
		return r;
	const uint8_t *token = store_meta(store)->token;
	r = write_last(g, token, why);
	if (r == 0)
		r = store_grow(store, g->blocks, why);
	if (r == 0)
		r = write_first(g, token, why);
	if (r == 0)
		r = wipe_old_last(g, why);
	store_close(store);
	return r;
}

struct grow_work {
	const struct growth *growth;
	struct media *area;
	struct problem *why;
	int r;
};

static void do_grow(void *data)
{
	struct grow_work *work = data;

	work->r = grow_store(work->growth, work->area, work->why);
}

static int grow_guarded(const struct growth *g, struct media *area, struct problem *why)
{
	struct grow_work work = {.growth = g, .area = area, .why = why};
	int e = pool_guard(&g->pool->regions[0], 0, area->base, do_grow, &work, why);

	return e < 0 ? e : work.r;
}

static int grow_regions(struct growth *g, struct problem *why)
{
	const struct region *first = &g->pool->regions[0];
	struct media area = {.base = NULL};
	int r = 0;

	for (uint32_t i = 0; i < g->pool->count && r == 0; i++)
		if (has_grown(g, i))
			r = region_allocate(&g->pool->regions[i], why);
	if (r == 0)
		r = pool_map_area(
			g->pool, g->super.plan.meta_blocks * GM_BLOCK_SIZE, true, &area, why);
	if (r < 0)
		return r;
	r = grow_guarded(g, &area, why);
	region_unmap(first, area.base, area.size);
	return r;
}

int pool_grow(struct pool *pool, struct problem *why)
{
	struct growth g = {.pool = pool};
	int r = pool_read_super(&pool->regions[0], &g.super, why);

	for (uint32_t i = 0; i < pool->count; i++)
		g.blocks[i] = pool->regions[i].size / GM_BLOCK_SIZE;
	if (r == 0)
		r = check_regions(&g, why);
	if (r == 0)
		r = pool_reach(pool, g.super.plan.meta_blocks, why);
	if (r == 0)
		r = reach_old(&g, why);
	if (r == 0)
		r = check_stamps(&g, why);
	if (r == 0)
		r = grow_regions(&g, why);
	return r < 0 ? r : pool_load(pool, true, why);
}
