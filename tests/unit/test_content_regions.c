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
static unsigned asked;

/* ---- in place of grants.c and the regions ---- */

int grants_clean(struct grants *g, uint64_t ino)
{
	(void)g, (void)ino;
	asked++;
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

/* ---- 16 dirty blocks, one of them poisoned ---- */

#define POISONED 3U

static void start(void)
{
	const struct alloc_region r = {.blocks = 16, .data_blocks = 16};
	const struct alloc_extent all = {0, 0, 16}, bad = {POISONED, 0, 1};

	meta.alloc = alloc_new();
	cr_assert_not_null(meta.alloc);
	cr_assert_eq(alloc_add_region(meta.alloc, &r), 0);
	alloc_set_dirty(meta.alloc, &all);
	alloc_set_poisoned(meta.alloc, &bad);
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
	content_regions_take_cleaned(&regions, -EBUSY);
	cr_expect_eq(map(0), -EBUSY);
	cr_expect_eq(map(1), -EBUSY, "each who waited is told");
	content_regions_end_answer(&regions);
	cr_expect_eq(map(0), -EINPROGRESS);
	content_regions_take_cleaned(&regions, -EBUSY);
	content_regions_end_answer(&regions); /* nobody waited */
	cr_expect_eq(map(0), -EINPROGRESS);
}

Test(content_regions, a_part_that_is_clean_hides_no_error)
{
	content_regions_take_cleaned(&regions, -EIO);
	content_regions_take_cleaned(&regions, 0);
	cr_expect_eq(map(0), -EIO);
}

Test(content_regions, poison_is_told_at_once_and_only_of_its_own_block)
{
	const struct alloc_extent one = {0, 0, 1};

	cr_expect_eq(map(POISONED), -EIO);
	cr_expect_eq(asked, 0, "nobody can make it clean");
	cr_expect_eq(map(POISONED + 1), -EINPROGRESS);
	alloc_set_clean(meta.alloc, &one);
	content_regions_take_cleaned(&regions, -EIO);
	cr_expect_eq(map(0), 0);
}
