// SPDX-License-Identifier: MIT
/*
 * A file's size: the blocks that it takes and gives back, and what of them must be zeroed after a
 * shrink.
 */
#include <errno.h>

#include "namespace_fixture.h"
#include "util/cleanup.h"

TestSuite(namespace, .init = setup, .fini = teardown);

Test(namespace, takes_blocks_for_the_size_and_gives_them_back)
{
	static const struct {
		uint64_t size, blocks;
	} cases[] = {
		{1, 1},
		{2 * MIB, 1},
		{2 * MIB + 1, 2},
		{20 * MIB, 10},
		{128 * MIB, 64},
		{7 * MIB, 4},
		{6 * MIB, 3},
		{5, 1},
		{0, 0},
	};
	uint64_t f = pool_create(&pool, ROOT, "f"), all = pool_stats(&pool).free;

	cr_assert_geq(all, 64);
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct stat st;

		cr_expect_eq(pool_resize(&pool, f, cases[n].size), 0, "%zu", n);
		st = pool_stat(&pool, f);
		cr_expect_eq((uint64_t)st.st_size, cases[n].size);
		cr_expect_eq((uint64_t)st.st_blocks, cases[n].blocks * 4096, "%zu", n);
		cr_expect_eq(pool_stats(&pool).free, all - cases[n].blocks, "%zu", n);
		pool_reopen(&pool, false);
		cr_expect_eq(pool_stats(&pool).free, all - cases[n].blocks, "%zu", n);
	}
}

Test(namespace, refuses_a_size_that_can_not_be)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), free_blocks;
	struct ns_change c = {.set = NS_SET_SIZE | NS_SET_MODE, .mode = 0777};
	struct stat before, after, st;
	static const struct {
		uint64_t size;
		int error;
	} cases[] = {
		{4096 * MIB, -ENOSPC},
		{1ULL << 62, -ENOSPC},
		{(1ULL << 62) + 1, -EFBIG},
		{UINT64_MAX, -EFBIG},
	};

	cr_assert_eq(pool_resize(&pool, f, 3 * MIB), 0);
	free_blocks = pool_stats(&pool).free;
	before = pool_stat(&pool, f);
	pool_tick(&pool);
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		c.size = cases[n].size;
		cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &c, &st), cases[n].error, "%zu", n);
	}
	after = pool_stat(&pool, f);
	cr_expect_eq(memcmp(&before, &after, sizeof(before)), 0);
	cr_expect_eq(pool_stats(&pool).free, free_blocks);
	cr_expect_eq(pool_resize(&pool, ROOT, 0), -EISDIR);
	cr_expect_eq(pool_resize(&pool, f, 3 * MIB + free_blocks * GM_BLOCK_SIZE), 0, "all of it");
	cr_expect_eq(pool_stats(&pool).free, 0);
	cr_expect_eq(pool_resize(&pool, f, 6 * MIB + free_blocks * GM_BLOCK_SIZE), -ENOSPC);
}

Test(namespace, keeps_the_blocks_that_a_shrink_leaves)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), g = pool_create(&pool, ROOT, "g");
	uint64_t first;

	/* Grown in turns, so that they are in several extents. */
	for (uint64_t n = 1; n <= 4; n++) {
		cr_assert_eq(pool_resize(&pool, f, n * 6 * MIB), 0);
		cr_assert_eq(pool_resize(&pool, g, n * 4 * MIB), 0);
	}
	first = pool_inode(&pool, f)->extents[0].block;
	for (uint64_t blocks = 12; blocks-- > 1;) {
		const struct inode *i = pool_inode(&pool, f);
		uint64_t at = 0;

		cr_assert_eq(pool_resize(&pool, f, blocks * GM_BLOCK_SIZE), 0);
		for (uint32_t n = 0; n < i->extent_count; n++) {
			cr_expect_eq(i->extents[n].file_block, at, "no holes");
			at += i->extents[n].count;
		}
		cr_expect_eq(at, blocks);
		cr_expect_eq(i->extents[0].block, first);
	}
	cr_expect_eq(inode_blocks(pool_inode(&pool, g)), 8);
}

/* ---- what must be zeroed after a shrink ---- */

static const struct stale_case {
	uint64_t sizes[6]; /* one after the other, each but the first two without any grant between;
			      0 ends */
	uint64_t expected;
	bool dirty; /* the blocks were not scrubbed after the first size */
} stale_cases[] = {
	{{8 * MIB, 5 * MIB}, 5 * MIB, false},
	{{8 * MIB, 6 * MIB}, 0, false}, /* a whole block */
	{{8 * MIB, 5 * MIB}, 0, true},  /* will be zeroed whole */
	{{7 * MIB, 7 * MIB - 1}, 7 * MIB - 1, false},
	{{8 * MIB, 5 * MIB, 11 * MIB}, 5 * MIB, false}, /* growth never touches it */
	{{8 * MIB, 5 * MIB, 5 * MIB + 9}, 5 * MIB, false},
	{{8 * MIB, 5 * MIB, 6 * MIB, 5 * MIB + 9}, 5 * MIB,
		false}, /* the same block: the lower one */
	{{8 * MIB, 5 * MIB, 5 * MIB - 9}, 5 * MIB - 9, false},
	{{8 * MIB, 5 * MIB, 15 * MIB, 9 * MIB}, 5 * MIB, false}, /* an earlier block: it stays */
	{{8 * MIB, 5 * MIB, 15 * MIB, 6 * MIB}, 5 * MIB, false},
	{{8 * MIB, 5 * MIB, 15 * MIB, 4 * MIB}, 0, false}, /* its block is gone */
	{{8 * MIB, 5 * MIB, 3 * MIB}, 3 * MIB, false},     /* a later block: the new place */
	{{8 * MIB, 5 * MIB, 2 * MIB}, 0, false},
};

Test(namespace, knows_which_tail_must_be_zeroed)
{
	for (size_t n = 0; n < ARRAY_SIZE(stale_cases); n++) {
		const struct stale_case *c = &stale_cases[n];
		uint64_t f;

		teardown();
		pool_init(&pool, 64, 1000, false);
		f = pool_create(&pool, ROOT, "f");
		for (size_t k = 0; k < ARRAY_SIZE(c->sizes) && c->sizes[k]; k++) {
			cr_assert_eq(pool_resize(&pool, f, c->sizes[k]), 0);
			if (k == 0 && !c->dirty)
				pool_clean(&pool, f);
		}
		cr_expect_eq(pool_inode(&pool, f)->attr.stale_from, c->expected, "%zu: %lu", n,
			(unsigned long)pool_inode(&pool, f)->attr.stale_from);
		pool_reopen(&pool, true);
		cr_expect_eq(pool_inode(&pool, f)->attr.stale_from, c->expected, "%zu", n);
		cr_expect_eq(pool_resize(&pool, f, 0), 0);
		cr_expect_eq(pool_inode(&pool, f)->attr.stale_from, 0);
	}
}

Test(namespace, takes_a_zeroed_tail_for_zeroed_only_while_it_is_the_same)
{
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert_eq(pool_resize(&pool, f, 4 * MIB), 0);
	cr_assert_eq(pool_resize(&pool, f, 3 * MIB), 0);
	cr_expect(!meta_is_clean(store_meta(pool.store), pool_inode(&pool, f)));
	cr_assert_eq(pool_resize(&pool, f, 3 * MIB - 512), 0);
	cr_expect_eq(ns_stale_done(&pool.ns, f, 3 * MIB), 0);
	cr_expect_eq(pool_inode(&pool, f)->attr.stale_from, 3 * MIB - 512, "it shrank meanwhile");
	cr_expect_eq(ns_stale_done(&pool.ns, f, 3 * MIB - 512), 0);
	cr_expect(meta_is_clean(store_meta(pool.store), pool_inode(&pool, f)));
	cr_expect_eq(ns_stale_done(&pool.ns, 999, 5), 0);
}

Test(namespace, records_which_blocks_are_clean)
{
	uint64_t f;

	teardown();
	pool_init(&pool, 16, 100, false);
	f = pool_create(&pool, ROOT, "f");
	cr_assert_eq(pool_resize(&pool, f, 8 * MIB), 0);
	cr_expect_eq(pool_stats(&pool).used_dirty, 4);
	pool_clean(&pool, f);
	pool_reopen(&pool, false);
	cr_expect_eq(pool_stats(&pool).used_dirty, 0);
	cr_expect(meta_is_clean(store_meta(pool.store), pool_inode(&pool, f)));
	cr_expect_eq(ns_blocks_clean(&pool.ns, NULL, 0), 0);
	cr_expect_eq(pool_unlink(&pool, ROOT, "f"), 0);
	cr_expect_eq(
		pool_stats(&pool).free_dirty, pool_stats(&pool).data, "a freed block is dirty");
}
