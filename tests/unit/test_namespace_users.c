// SPDX-License-Identifier: MIT
/*
 * Users without a name: an inode stays as long as it is open, held or exported, and goes with the
 * last of them.
 */
#include <errno.h>

#include "namespace_fixture.h"
#include "util/cleanup.h"

TestSuite(namespace, .init = setup, .fini = teardown);

Test(namespace, keeps_an_unlinked_file_while_it_is_open)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), all = pool_stats(&pool).free;
	struct stat st;

	cr_assert_eq(pool_resize(&pool, f, 4 * MIB), 0);
	cr_assert_eq(ns_open(&pool.ns, f, 0), 0);
	cr_assert_eq(ns_open(&pool.ns, f, 0), 0);
	cr_expect_eq(pool_unlink(&pool, ROOT, "f"), 0);
	cr_expect_eq(pool_stat(&pool, f).st_nlink, 0);
	cr_expect_eq(pool.ns.orphans, 1);
	cr_expect_eq(pool_resize(&pool, f, 6 * MIB), 0, "it is a file like any other");
	cr_expect_eq(ns_release(&pool.ns, f, 0), 0);
	cr_expect_eq(pool_stats(&pool).free, all - 3);
	cr_expect_eq(ns_release(&pool.ns, f, 0), 0);
	cr_expect_eq(pool_stats(&pool).free, all);
	cr_expect_eq(ns_getattr(&pool.ns, f, &st), -ESTALE);
	cr_expect_eq(pool.ns.orphans, 0);
}

Test(namespace, forgets_open_orphans_at_the_next_mount)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), d = pool_mkdir(&pool, ROOT, "d");
	uint64_t all = pool_stats(&pool).free;

	cr_assert_eq(pool_resize(&pool, f, 4 * MIB), 0);
	cr_assert(ns_open(&pool.ns, f, 0) == 0 && ns_open(&pool.ns, d, 0) == 0);
	cr_assert(pool_unlink(&pool, ROOT, "f") == 0 && pool_rmdir(&pool, ROOT, "d") == 0);
	cr_expect_eq(pool.ns.orphans, 2);
	pool_reopen(&pool, false);
	cr_expect_null(pool_inode(&pool, f));
	cr_expect_null(pool_inode(&pool, d));
	cr_expect_eq(pool_stats(&pool).free, all);
	cr_expect_eq(pool.ns.orphans, 0);
}

Test(namespace, makes_nothing_in_a_removed_directory)
{
	uint64_t p = pool_mkdir(&pool, ROOT, "p"), d = pool_mkdir(&pool, p, "d");
	struct ns_entry e;
	struct stat st;

	pool_create(&pool, ROOT, "f");
	cr_assert_eq(ns_open(&pool.ns, d, 0), 0);
	cr_assert_eq(pool_rmdir(&pool, p, "d"), 0);
	cr_assert_eq(pool_rmdir(&pool, ROOT, "p"), 0, "the parent of an orphan may go");
	cr_expect_eq(pool_stat(&pool, d).st_nlink, 0);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, d, "x", 1, 0600, &st), -ENOENT);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, d, "x", 1, 0700, &st), -ENOENT);
	cr_expect_eq(pool_rename(&pool, ROOT, "f", d, "x", 0), -ENOENT);
	cr_expect_eq(pool_lookup(&pool, d, "..", &st), -ENOENT);
	cr_expect_eq(ns_next_entry(&pool.ns, d, 0, &e), -ENOENT);
	cr_expect_eq(ns_release(&pool.ns, d, 0), 0);
	cr_expect_null(pool_inode(&pool, d));
}

Test(namespace, frees_nothing_of_a_held_file)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), g = pool_create(&pool, ROOT, "g");
	uint64_t all = pool_stats(&pool).free;
	struct ns_change both = {.set = NS_SET_SIZE | NS_SET_MODE, .size = 1, .mode = 0777};
	struct stat st;

	cr_assert_eq(pool_resize(&pool, f, 8 * MIB), 0);
	cr_expect_eq(ns_hold(&pool.ns, f), 0);
	cr_expect_eq(ns_hold(&pool.ns, f), 0, "twice is once");
	cr_expect_eq(pool_resize(&pool, f, 8 * MIB - 1), -EBUSY);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &both, &st), -EBUSY);
	cr_expect_eq(pool_stat(&pool, f).st_mode, S_IFREG | 0640);
	cr_expect_eq(pool_resize(&pool, f, 8 * MIB), 0);
	cr_expect_eq(pool_resize(&pool, f, 10 * MIB), 0, "it may grow");
	pool_reopen(&pool, false);
	cr_expect_eq(pool_resize(&pool, f, 0), -EBUSY, "held across the worker's death");
	cr_expect_eq(pool_rename(&pool, ROOT, "g", ROOT, "f", 0), 0);
	cr_expect_eq(pool_stats(&pool).free, all - 5);
	cr_expect_eq(pool.ns.orphans, 1);
	pool_reopen(&pool, false);
	cr_expect_eq(pool_stats(&pool).free, all - 5);
	cr_expect_eq(pool.ns.orphans, 1);
	cr_expect_eq(ns_unhold(&pool.ns, f), 0);
	cr_expect_eq(pool_stats(&pool).free, all);
	cr_expect_eq(pool.ns.orphans, 0);
	cr_expect_eq(pool_resize(&pool, g, 4 * MIB), 0);
	cr_expect_eq(ns_hold(&pool.ns, g), 0);
	cr_expect_eq(ns_unhold(&pool.ns, g), 0);
	cr_expect_eq(pool_resize(&pool, g, 0), 0, "held no more");
}

Test(namespace, an_exported_file_that_is_removed_goes_with_its_export)
{
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert(pool_resize(&pool, f, 4 * MIB) == 0 && ns_set_exported(&pool.ns, f, true) == 0);
	cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, ROOT, "f", 1), 0);
	cr_expect_eq(pool.ns.left, f);
	cr_expect_eq(ns_unhold(&pool.ns, f), 0);
	cr_expect_null(pool_inode(&pool, f));
}

Test(namespace, an_exported_file_stays_held)
{
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert(pool_resize(&pool, f, 4 * MIB) == 0 && ns_set_exported(&pool.ns, f, true) == 0);
	cr_expect_eq(ns_unhold(&pool.ns, f), -EBUSY);
	cr_expect(inode_is_held(pool_inode(&pool, f)));
	cr_assert_eq(ns_set_exported(&pool.ns, f, false), 0);
	cr_expect_eq(ns_unhold(&pool.ns, f), 0);
	cr_expect_not(inode_is_held(pool_inode(&pool, f)));
}

Test(namespace, holds_nothing_across_a_boot)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), g = pool_create(&pool, ROOT, "g");
	uint64_t all = pool_stats(&pool).free;

	cr_assert(pool_resize(&pool, f, 4 * MIB) == 0 && pool_resize(&pool, g, 4 * MIB) == 0);
	cr_assert(ns_hold(&pool.ns, f) == 0 && ns_hold(&pool.ns, g) == 0);
	cr_assert_eq(pool_unlink(&pool, ROOT, "f"), 0);
	pool_reopen(&pool, true);
	cr_expect_null(pool_inode(&pool, f));
	cr_expect_eq(pool_stats(&pool).free, all - 2);
	cr_expect_eq(pool_resize(&pool, g, 0), 0);
}

Test(namespace, keeps_a_file_until_its_last_user_is_gone)
{
	for (unsigned open_goes_first = 0; open_goes_first < 2; open_goes_first++) {
		uint64_t f = pool_create(&pool, ROOT, "f");

		cr_assert_eq(pool_resize(&pool, f, 3), 0);
		cr_assert(ns_open(&pool.ns, f, 0) == 0 && ns_hold(&pool.ns, f) == 0);
		cr_assert_eq(pool_unlink(&pool, ROOT, "f"), 0);
		cr_expect_eq(open_goes_first ? ns_release(&pool.ns, f, 0) : ns_unhold(&pool.ns, f), 0);
		cr_expect_not_null(pool_inode(&pool, f));
		cr_expect_eq(pool.ns.orphans, 1);
		cr_expect_eq(open_goes_first ? ns_unhold(&pool.ns, f) : ns_release(&pool.ns, f, 0), 0);
		cr_expect_null(pool_inode(&pool, f));
		cr_expect_eq(pool.ns.orphans, 0);
		cr_expect_eq(pool_stats(&pool).used, 0);
	}
}

Test(namespace, lists_the_orphans_that_only_a_holder_keeps)
{
	static const char *const names[] = {"open", "held", "both", "named"};
	uint64_t ino[ARRAY_SIZE(names)];
	_cleanup_free_ uint64_t *list = NULL;
	size_t count = 7;

	cr_expect(ns_list_held_orphans(&pool.ns, 0, &list, &count) == 0 && count == 0 && !list);
	for (size_t n = 0; n < ARRAY_SIZE(names); n++)
		ino[n] = pool_create(&pool, ROOT, names[n]);
	cr_assert(ns_open(&pool.ns, ino[0], 0) == 0 && ns_open(&pool.ns, ino[2], 0) == 0);
	for (size_t n = 1; n < ARRAY_SIZE(names); n++)
		cr_assert_eq(ns_hold(&pool.ns, ino[n]), 0);
	for (size_t n = 0; n < 3; n++)
		cr_assert_eq(pool_unlink(&pool, ROOT, names[n]), 0);
	cr_expect_eq(pool.ns.orphans, 3);
	cr_expect_eq(ns_list_held_orphans(&pool.ns, 0, &list, &count), 0);
	cr_expect(count == 1 && list[0] == ino[1]);
}
