// SPDX-License-Identifier: MIT
/*
 * Where the content store's memory comes from on file and pmem regions: what is clean is mapped,
 * what is dirty is asked for, and an error is for those who waited and for nobody else.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "fuse/content_regions.h"
#include "fuse/grants.h"
#include "pool/pool.h"

static struct pool pool;
static struct meta meta;
static struct content_regions regions = {.pool = &pool, .meta = &meta};
static char memory[1];

/* ---- in place of grants.c and the regions ---- */

int grants_clean(struct grants *g, uint64_t ino)
{
	(void)g, (void)ino;
	return 0;
}

void *region_map(const struct region *r, uint64_t offset, uint64_t length, bool writable, int *err)
{
	(void)r, (void)offset, (void)length, (void)writable, (void)err;
	return memory;
}

void region_unmap(const struct region *r, void *address, uint64_t length)
{
	(void)r, (void)address, (void)length;
}

/* ---- 16 dirty blocks ---- */

static void start(void)
{
	const struct alloc_region r = {.blocks = 16, .data_blocks = 16};
	const struct alloc_extent all = {0, 0, 16};

	meta.alloc = alloc_new();
	cr_assert_not_null(meta.alloc);
	cr_assert_eq(alloc_add_region(meta.alloc, &r), 0);
	alloc_set_dirty(meta.alloc, &all);
}

static void end(void)
{
	meta.alloc = alloc_free(meta.alloc);
}

TestSuite(content_regions, .init = start, .fini = end);

static int map(uint64_t block)
{
	const struct content_source s = content_regions_source(&regions);
	const struct file_extent all = {.count = 16};
	struct content_window w;

	return s.map(s.data, &all, block, &w);
}

Test(content_regions, an_error_is_not_for_those_who_come_later)
{
	cr_expect_eq(map(0), -EINPROGRESS);
	content_regions_take_cleaned(&regions, -EBUSY, NULL);
	cr_expect_eq(map(0), -EBUSY);
	cr_expect_eq(map(1), -EBUSY, "each who waited is told");
	content_regions_end_answer(&regions);
	cr_expect_eq(map(0), -EINPROGRESS);
	content_regions_take_cleaned(&regions, -EBUSY, NULL);
	content_regions_end_answer(&regions); /* nobody waited */
	cr_expect_eq(map(0), -EINPROGRESS);
}

Test(content_regions, a_part_that_is_clean_hides_no_error)
{
	content_regions_take_cleaned(&regions, -EIO, NULL);
	content_regions_take_cleaned(&regions, 0, NULL);
	cr_expect_eq(map(0), -EIO);
}

Test(content_regions, an_error_is_of_its_own_blocks)
{
	const struct alloc_extent few = {2, 0, 3}, one = {0, 0, 1};

	content_regions_take_cleaned(&regions, -EIO, &few);
	cr_expect_eq(map(2), -EIO);
	cr_expect_eq(map(4), -EIO);
	cr_expect_eq(map(1), -EINPROGRESS);
	cr_expect_eq(map(5), -EINPROGRESS);
	content_regions_end_answer(&regions);
	cr_expect_eq(map(2), -EINPROGRESS);
	for (uint32_t n = 0; n < 2 * CONTENT_FAILURES; n++)
		content_regions_take_cleaned(&regions, -EIO, &(struct alloc_extent){2 * n, 0, 1});
	for (uint32_t n = 0; n < 2 * CONTENT_FAILURES; n++)
		cr_expect_eq(map(2 * n), -EIO, "none is forgotten");
	alloc_set_clean(meta.alloc, &one);
	cr_expect_eq(map(0), 0);
}
