// SPDX-License-Identifier: MIT
/* Blocks of removed files that somebody may still reach, handed over to a file that finds no
 * others.
 */
#include <errno.h>

#include "fuse/ns_internal.h"
#include "namespace_fixture.h"
#include "util/cleanup.h"

#define USER 1000U

TestSuite(ns_spares, .init = setup, .fini = teardown);

static void give(uint64_t ino, uint32_t uid)
{
	const struct ns_change c = {.set = NS_SET_UID, .uid = uid};
	struct stat st;

	cr_assert_eq(ns_setattr(&pool.ns, &pool.rq, ino, &c, &st), 0);
}

static uint64_t make(const char *name, uint64_t blocks, uint32_t uid)
{
	uint64_t ino = pool_create(&pool, ROOT, name);

	give(ino, uid);
	cr_assert_eq(pool_resize(&pool, ino, blocks * 2 * MIB), 0);
	return ino;
}

/* A file of this user that was granted and is removed. */
static uint64_t make_orphan(uint64_t blocks, uint32_t uid)
{
	uint64_t ino = make("orphan", blocks, uid);

	pool_clean(&pool, ino);
	cr_assert_eq(ns_hold(&pool.ns, ino), 0);
	cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, ROOT, "orphan", 6), 0);
	return ino;
}

static uint64_t make_spare(uint64_t blocks, uint32_t uid)
{
	const struct ns_spare spare = {.ino = make_orphan(blocks, uid), .uid = uid};

	cr_assert_eq(ns_spare_add(&pool.ns, &spare), 0);
	return spare.ino;
}

static uint64_t fill(void)
{
	return make("rest", pool_stats(&pool).free, 0);
}

Test(ns_spares, serve_a_file_of_their_user_that_finds_no_other_blocks)
{
	uint64_t from = make_spare(20, USER);
	uint64_t block = pool_inode(&pool, from)->extents[0].block;
	uint64_t other = make("other", 4, USER), late;

	cr_expect_eq(pool.ns.heritage.ino, 0, "there were others");
	cr_assert_eq(pool_resize(&pool, other, 0), 0);
	cr_expect_eq(ns_spare_blocks(&pool.ns), 20);
	uint64_t rest = pool_stats(&pool).free;
	late = make("late", rest + 20, USER);
	cr_expect_eq(pool.ns.heritage.from, from);
	cr_expect_eq(pool.ns.heritage.ino, late);
	cr_expect_eq(pool.ns.heritage.file_block, 0);
	const struct inode *i = pool_inode(&pool, late);
	cr_expect_eq(inode_blocks(i), rest + 20);
	cr_expect_eq(i->extents[0].block, block, "they come first");
	cr_expect(inode_is_held(i));
	cr_expect_not(meta_is_clean(store_meta(pool.store), i));
	cr_expect_null(pool_inode(&pool, from));
	cr_expect_eq(pool.ns.orphans, 0);
	cr_expect_eq(ns_spare_blocks(&pool.ns), 0);
	pool_reopen(&pool, false);
	i = pool_inode(&pool, late);
	cr_expect(inode_is_held(i) && inode_blocks(i) == rest + 20 && i->extents[0].block == block);
	cr_expect_null(pool_inode(&pool, from));
	cr_expect_not(meta_is_clean(store_meta(pool.store), i), "zeroed before it is granted");
	pool_reopen(&pool, true);
	cr_expect_not(inode_is_held(pool_inode(&pool, late)));
	cr_expect_eq(pool_resize(&pool, late, 0), 0);
}

Test(ns_spares, leave_what_else_there_was_when_the_next_file_is_removed_too)
{
	uint64_t file = make("file", 5, USER), from = make_spare(20, USER);
	uint64_t block = pool_inode(&pool, from)->extents[0].block;
	uint64_t rest = pool_stats(&pool).free;

	cr_assert_eq(pool_resize(&pool, file, (5 + 20 + rest) * 2 * MIB), 0);
	cr_assert_eq(pool.ns.heritage.from, from);
	cr_expect_eq(ns_spare_keep(&pool.ns, file, 5, 20), -ESTALE, "it is not removed");
	cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, ROOT, "file", 4), 0);
	cr_expect_eq(pool_stats(&pool).free, 0);
	cr_expect_eq(ns_spare_keep(&pool.ns, file, UINT64_MAX, 20), -ESTALE);
	cr_expect_eq(ns_spare_keep(&pool.ns, file, 5, 21 + rest), -ESTALE, "there are fewer");
	cr_assert_eq(ns_spare_keep(&pool.ns, file, 5, 20), 0);
	cr_expect_eq(pool_stats(&pool).free, 5 + rest);
	for (unsigned mounts = 0; mounts < 2; mounts++) {
		const struct inode *i = pool_inode(&pool, file);

		cr_expect(inode_is_held_orphan(i) && (i->attr.flags & GM_INODE_INHERITED));
		cr_expect_eq(i->extents[0].block, block);
		cr_expect_eq(inode_blocks(i), 20);
		pool_reopen(&pool, false);
	}
	cr_assert_eq(ns_spare_add(&pool.ns, &(struct ns_spare){.ino = file, .uid = USER}), 0);
	uint64_t next = make("next", pool_stats(&pool).free + 20, USER);
	cr_expect_eq(pool.ns.heritage.from, file);
	cr_expect_eq(pool.ns.heritage.ino, next);
}

Test(ns_spares, serve_what_grows_too)
{
	uint64_t file = make("file", 5, USER), from = make_spare(20, USER);

	(void)fill();
	cr_assert_eq(pool_resize(&pool, file, 50 * MIB), 0);
	cr_expect_eq(pool.ns.heritage.from, from);
	cr_expect_eq(pool.ns.heritage.file_block, 5);
	cr_expect_eq(inode_blocks(pool_inode(&pool, file)), 25);
}

Test(ns_spares, are_no_other_users)
{
	uint64_t from = make_spare(20, USER), file = pool_create(&pool, ROOT, "file");
	struct ns_change c = {.set = NS_SET_SIZE | NS_SET_UID, .uid = USER, .size = 40 * MIB};
	struct stat st;

	(void)fill();
	give(file, 0);
	cr_expect_eq(pool_resize(&pool, file, 40 * MIB), -ENOSPC);
	give(file, USER + 1);
	cr_expect_eq(pool_resize(&pool, file, 40 * MIB), -ENOSPC);
	cr_expect_eq(inode_blocks(pool_inode(&pool, from)), 20, "nothing has changed");
	cr_expect_eq(pool.ns.heritage.ino, 0);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, file, &c, &st), 0, "whose it is then counts");
	cr_expect_eq(pool.ns.heritage.from, from);
}

Test(ns_spares, nor_of_a_file_that_was_anothers)
{
	const struct ns_spare spare = {.ino = make_orphan(20, 0), .uid = USER};
	uint64_t file = pool_create(&pool, ROOT, "file");

	cr_assert_eq(ns_spare_add(&pool.ns, &spare), 0);
	(void)fill();
	give(file, USER);
	cr_expect_eq(pool_resize(&pool, file, 40 * MIB), -ENOSPC);
}

Test(ns_spares, are_anybodys_if_that_is_said)
{
	const struct ns_spare spare = {.ino = make_orphan(20, USER), .any = true};
	uint64_t file = pool_create(&pool, ROOT, "file");

	cr_assert_eq(ns_set_exported(&pool.ns, spare.ino, true), 0);
	cr_assert_eq(ns_spare_add(&pool.ns, &spare), 0);
	(void)fill();
	cr_expect_eq(pool_resize(&pool, file, 40 * MIB), 0);
	cr_expect_not(pool_inode(&pool, file)->attr.flags & GM_INODE_EXPORTED);
	cr_expect(inode_is_held(pool_inode(&pool, file)));
}

Test(ns_spares, are_taken_whole_or_not_at_all)
{
	uint64_t large = make_spare(20, USER), small = make_spare(6, USER);
	uint64_t file = pool_create(&pool, ROOT, "file");

	(void)fill();
	give(file, USER);
	cr_expect_eq(pool_resize(&pool, file, 38 * MIB), -ENOSPC,
		"less than the one, more than the other");
	cr_expect_eq(pool_resize(&pool, file, 12 * MIB), 0);
	cr_expect_eq(pool.ns.heritage.from, small);
	cr_expect_not_null(pool_inode(&pool, large));
	cr_expect_eq(pool_resize(&pool, file, 52 * MIB), -ENOSPC, "it is held by now");
}

Test(ns_spares, with_poison_serve_nobody)
{
	uint64_t from = make_spare(20, USER), file = pool_create(&pool, ROOT, "file");
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);
	const struct file_extent *e = &pool_inode(&pool, from)->extents[0];
	const struct alloc_extent one = {e->block + 3, e->region, 1};

	txn_set_blocks(&t, &one, GM_BLOCKS_POISONED);
	cr_assert_eq(store_commit(pool.store, &t), 0);
	(void)fill();
	give(file, USER);
	cr_expect_eq(pool_resize(&pool, file, 40 * MIB), -ENOSPC);
}

Test(ns_spares, are_removed_files_that_only_a_holder_keeps)
{
	struct ns_spare spare = {.ino = make("file", 2, USER), .any = true};
	uint64_t taker = pool_create(&pool, ROOT, "taker");

	cr_expect_eq(ns_spare_add(&pool.ns, &spare), -ESTALE, "it has a name");
	spare.ino = 4711;
	cr_expect_eq(ns_spare_add(&pool.ns, &spare), -ESTALE);
	spare.ino = make_orphan(20, USER);
	cr_assert_eq(ns_spare_add(&pool.ns, &spare), 0);
	cr_assert_eq(ns_spare_add(&pool.ns, &spare), 0, "twice is once");
	cr_expect_eq(ns_spare_blocks(&pool.ns), 20);
	(void)fill();
	cr_assert_eq(ns_open(&pool.ns, spare.ino, 0), 0);
	cr_expect_eq(pool_resize(&pool, taker, 40 * MIB), -ENOSPC, "somebody has opened it");
	cr_assert_eq(ns_release(&pool.ns, spare.ino, 0), 0);
	ns_spare_remove(&pool.ns, spare.ino);
	ns_spare_remove(&pool.ns, spare.ino);
	cr_expect_eq(pool_resize(&pool, taker, 40 * MIB), -ENOSPC);
}

Test(ns_spares, many_are_no_trouble)
{
	uint64_t inos[40];

	for (size_t n = 0; n < ARRAY_SIZE(inos); n++)
		inos[n] = make_spare(1, USER);
	cr_expect_eq(ns_spare_blocks(&pool.ns), 40);
	for (size_t n = 0; n < ARRAY_SIZE(inos); n += 2)
		ns_spare_remove(&pool.ns, inos[n]);
	cr_expect_eq(ns_spare_blocks(&pool.ns), 20);
}

/* A whole aligned GiB may be mapped by one page. */
Test(ns_spares, keep_their_place_in_a_page)
{
	struct inode i = {.extent_count = 2};
	struct file_extent e[] = {{.file_block = 0, .block = 100, .count = 3},
		{.file_block = 512, .block = 512, .count = 512}};

	i.extents = e;
	cr_expect_not(ns_spare_fits_pages(&i, 0), "the second one would begin at 3");
	cr_expect(ns_spare_fits_pages(&i, 509));
	e[1] = (struct file_extent){.file_block = 3, .block = 512, .count = 511};
	cr_expect(ns_spare_fits_pages(&i, 77));
	e[1].count = 512;
	cr_expect_not(ns_spare_fits_pages(&i, 77));
	cr_expect(ns_spare_fits_pages(&i, 0));
	cr_expect(ns_spare_fits_pages(&i, 1024));
}
