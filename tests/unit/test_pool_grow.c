// SPDX-License-Identifier: MIT
/* Pools over real files whose regions have grown: what they have grown by is taken into use, once
 * and whole. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "file_pool.h"
#include "util/cleanup.h"

TestSuite(pool_grow, .init = file_pool_make_dir, .fini = file_pool_remove_dir);

static void resize_file(const char *name, uint64_t size)
{
	cr_assert_eq(truncate(file_pool_path(name), (off_t)size), 0);
}

static int grow_pool(const char *names, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;

	cr_assert_eq(file_pool_open(&pool, names, "", 0, why), 0, "%s", why->text);
	cr_assert_eq(pool_lock(&pool, false, 0, why), 0, "%s", why->text);
	return pool_grow(&pool, why);
}

/* The data blocks of each region, and that the allocator has them. */
static void assert_grown(const char *names, const uint64_t *data_blocks)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	struct alloc_stats stats;
	struct store *store = NULL;
	uint64_t all = 0;

	cr_assert_eq(file_pool_open(&pool, names, "", 0, &why), 0, "%s", why.text);
	cr_assert_eq(pool_load(&pool, true, &why), 0, "%s", why.text);
	for (uint32_t i = 0; i < pool.count; i++) {
		cr_expect_eq(pool.super.data_blocks[i], data_blocks[i], "region %u", i);
		all += data_blocks[i];
	}
	cr_assert_eq(store_open(&store, &pool.media, &pool.super, &why), 0, "%s", why.text);
	alloc_get_stats(store_meta(store)->alloc, &stats);
	cr_expect_eq(stats.data, all);
	store_close(store);
}

Test(pool_grow, takes_what_regions_have_grown_by_into_use)
{
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct problem why = PROBLEM_INIT;
	uint64_t data[2];
	uint8_t uuid[16];

	file_pool_make("a b", uuid);
	cr_assert_eq(file_pool_open(&pool, "a b", "", 0, &why), 0, "%s", why.text);
	cr_assert_eq(pool_load(&pool, true, &why), 0, "%s", why.text);
	data[0] = pool.super.data_blocks[0] + 16;
	data[1] = pool.super.data_blocks[1] + 48;
	pool_close(&pool);

	resize_file("a", SIZE + 16 * GM_BLOCK_SIZE);
	resize_file("b", SIZE + 48 * GM_BLOCK_SIZE);
	file_pool_expect_refused("a b", EUCLEAN, "into use with --grow");
	cr_assert_eq(grow_pool("a b", &why), 0, "%s", why.text);
	assert_grown("a b", data);
	/* Once more does nothing. */
	cr_assert_eq(grow_pool("a b", &why), 0, "%s", why.text);
	assert_grown("a b", data);
	/* The place of the stamp that was the last one is data now. */
	cr_expect_eq(file_pool_poke("a", SIZE - GM_BLOCK_SIZE + GM_STAMP_OFFSET, 0), 0);
}

Test(pool_grow, growing_refuses_the_shrunk_the_swapped_and_the_damaged)
{
	struct problem why = PROBLEM_INIT;
	uint8_t uuid[16];

	file_pool_make("a b", uuid);
	resize_file("a", SIZE + 16 * GM_BLOCK_SIZE);
	resize_file("b", SIZE - 2 * GM_BLOCK_SIZE);
	cr_expect_eq(grow_pool("a b", &why), -EUCLEAN);
	cr_expect_not_null(strstr(why.text, "has shrunk"), "%s", why.text);
	cr_expect_eq(grow_pool("a", &why), -EINVAL);
	cr_expect_not_null(strstr(why.text, "are named"), "%s", why.text);

	resize_file("b", SIZE); /* its last stamp is gone now */
	cr_expect_eq(grow_pool("a b", &why), -EUCLEAN, "%s", why.text);
	cr_expect_not_null(strstr(why.text, file_pool_path("b")), "%s", why.text);
	resize_file("a", SIZE);
	file_pool_expect_refused("a b", EUCLEAN, file_pool_path("b"));
}

/* After the superblock and before the first stamps: these have the old size still. */
Test(pool_grow, growing_that_was_cut_short_is_ended_by_doing_it_again)
{
	struct problem why = PROBLEM_INIT;
	struct gm_stamp stamp;
	uint8_t uuid[16];

	file_pool_make("a", uuid);
	_cleanup_fd_ int fd = open(file_pool_path("a"), O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &stamp, sizeof(stamp), GM_STAMP_OFFSET), (ssize_t)sizeof(stamp));
	resize_file("a", SIZE + 16 * GM_BLOCK_SIZE);
	cr_assert_eq(grow_pool("a", &why), 0, "%s", why.text);
	cr_assert_eq(pwrite(fd, &stamp, sizeof(stamp), GM_STAMP_OFFSET), (ssize_t)sizeof(stamp));
	file_pool_expect_refused("a", EUCLEAN, file_pool_path("a"));
	cr_assert_eq(grow_pool("a", &why), 0, "%s", why.text);
	cr_expect_eq(file_pool_load("a", &why), 0, "%s", why.text);
}
