// SPDX-License-Identifier: MIT
#include "fuse/content_regions.h"

#include <errno.h>

#include "fuse/grants.h"
#include "pool/pool.h"

/* The clean blocks from `first` on; 0: it is dirty. */
static uint32_t clean_from(
	const struct content_regions *c, const struct file_extent *gap, uint64_t first)
{
	uint32_t skip = (uint32_t)(first - gap->file_block), run;
	struct alloc_extent e = {gap->block + skip, gap->region, gap->count - skip};
	bool clean;

	run = alloc_clean_run(c->meta->alloc, &e, &clean);
	return clean ? run : 0;
}

/* Why the block can't be zeroed, as far as that has just come out; 0. */
static int failure_of(
	const struct content_regions *c, const struct file_extent *gap, uint64_t file_block)
{
	uint64_t block = gap->block + (file_block - gap->file_block);

	for (unsigned n = 0; n < c->failure_count; n++) {
		const struct alloc_extent *e = &c->failures[n].blocks;

		if (e->region == gap->region && block >= e->block && block < e->block + e->count)
			return c->failures[n].error;
	}
	return c->failed;
}

/* As much as is clean around the block, or at least from it on. */
static struct content_window window_in(
	const struct content_regions *c, const struct file_extent *gap, uint64_t file_block)
{
	struct content_window w = {
		.file_block = gap->file_block, .count = clean_from(c, gap, gap->file_block)};

	if (w.file_block + w.count > file_block)
		return w;
	w.file_block = file_block;
	w.count = clean_from(c, gap, file_block);
	return w;
}

static int map_window(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	struct content_regions *c = data;
	const struct region *region = &c->pool->regions[gap->region];
	struct content_window w = window_in(c, gap, file_block);
	int r = 0;

	if (w.count == 0) {
		r = failure_of(c, gap, file_block);
		if (r == 0)
			r = grants_clean(c->grants, c->meta->contents);
		return r < 0 ? r : -EINPROGRESS;
	}
	w.address =
		region_map(region, (gap->block + (w.file_block - gap->file_block)) * GM_BLOCK_SIZE,
			w.count * GM_BLOCK_SIZE, true, &r);
	if (!w.address)
		return -r;
	w.tag = gap->region;
	w.write_back = region->write_back;
	*ret = w;
	return 0;
}

static void unmap_window(void *data, const struct content_window *w)
{
	struct content_regions *c = data;

	region_unmap(&c->pool->regions[w->tag], w->address, w->count * GM_BLOCK_SIZE);
}

struct content_source content_regions_source(struct content_regions *c)
{
	return (struct content_source){
		.map = map_window, .unmap = unmap_window, .ops = &media_memory_ops, .data = c};
}

void content_regions_take_cleaned(
	struct content_regions *c, int error, const struct alloc_extent *blocks)
{
	if (error == 0)
		return;
	if (blocks && c->failure_count < CONTENT_FAILURES)
		c->failures[c->failure_count++] = (struct content_failure){*blocks, error};
	else
		c->failed = error;
}

void content_regions_end_answer(struct content_regions *c)
{
	c->failed = 0;
	c->failure_count = 0;
}
