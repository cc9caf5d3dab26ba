// SPDX-License-Identifier: MIT
/*
 * Names, times and links keep POSIX's rules, call by call: results, errnos, and nothing changes on
 * error.
 */
#include <errno.h>
#include <stdio.h>

#include "namespace_fixture.h"
#include "util/cleanup.h"

TestSuite(namespace, .init = setup, .fini = teardown);

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* ---- names ---- */

Test(namespace, refuses_names_that_are_none)
{
	static char long_name[GM_NAME_MAX + 1];
	static const struct {
		const char *name;
		size_t length;
		int error;
	} cases[] = {
		{"", 0, -ENOENT},
		{long_name, sizeof(long_name), -ENAMETOOLONG},
		{"a/b", 3, -EINVAL},
		{"/", 1, -EINVAL},
		{"a\0b", 3, -EINVAL},
	};
	struct ns_name good = {.parent = ROOT, .name = "good", .length = 4};
	struct stat st;

	memset(long_name, 'x', sizeof(long_name));
	pool_create(&pool, ROOT, "good");
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		const char *name = cases[n].name;
		size_t length = cases[n].length;
		int error = cases[n].error;
		struct ns_name bad = {.parent = ROOT, .name = name, .length = length};

		cr_expect_eq(ns_lookup(&pool.ns, ROOT, name, length, &st), error, "lookup %zu", n);
		cr_expect_eq(ns_create(&pool.ns, &pool.rq, ROOT, name, length, 0600, &st), error);
		cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, ROOT, name, length, 0600, &st), error);
		cr_expect_eq(ns_unlink(&pool.ns, &pool.rq, ROOT, name, length), error, "%zu", n);
		cr_expect_eq(ns_rmdir(&pool.ns, &pool.rq, ROOT, name, length), error, "%zu", n);
		cr_expect_eq(ns_rename(&pool.ns, &pool.rq, &good, &bad, 0), error, "%zu", n);
		cr_expect_eq(ns_rename(&pool.ns, &pool.rq, &bad, &good, 0), error, "%zu", n);
	}
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, ROOT, long_name, GM_NAME_MAX, 0600, &st), 0);
	cr_expect_eq(ns_lookup(&pool.ns, ROOT, long_name, GM_NAME_MAX, &st), 0);
}

Test(namespace, knows_dot_and_dotdot)
{
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), b = pool_mkdir(&pool, a, "b");
	struct stat st;

	pool_create(&pool, ROOT, "f");
	cr_expect(pool_lookup(&pool, b, ".", &st) == 0 && st.st_ino == b);
	cr_expect(pool_lookup(&pool, b, "..", &st) == 0 && st.st_ino == a);
	cr_expect(pool_lookup(&pool, ROOT, "..", &st) == 0 && st.st_ino == ROOT);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, a, ".", 1, 0600, &st), -EEXIST);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, a, "..", 2, 0700, &st), -EEXIST);
	cr_expect_eq(pool_unlink(&pool, a, "."), -EISDIR);
	cr_expect_eq(pool_unlink(&pool, a, ".."), -EISDIR);
	cr_expect_eq(pool_rmdir(&pool, a, "."), -EINVAL);
	cr_expect_eq(pool_rmdir(&pool, b, ".."), -ENOTEMPTY);
	cr_expect_eq(pool_rename(&pool, a, ".", ROOT, "x", 0), -EBUSY);
	cr_expect_eq(pool_rename(&pool, ROOT, "f", a, "..", 0), -EBUSY);
}

Test(namespace, tells_what_is_missing_or_of_the_wrong_type)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d"), f = pool_create(&pool, ROOT, "f");
	struct ns_change none = {.set = 0};
	struct ns_entry e;
	struct stat st;

	pool_create(&pool, d, "g");
	cr_expect_eq(pool_lookup(&pool, ROOT, "x", &st), -ENOENT);
	cr_expect_eq(pool_lookup(&pool, f, "x", &st), -ENOTDIR);
	cr_expect_eq(pool_lookup(&pool, 999, "x", &st), -ENOENT);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, ROOT, "f", 1, 0600, &st), -EEXIST);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, ROOT, "d", 1, 0600, &st), -EEXIST);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, ROOT, "f", 1, 0700, &st), -EEXIST);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, f, "x", 1, 0600, &st), -ENOTDIR);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, 999, "x", 1, 0700, &st), -ENOENT);
	cr_expect_eq(pool_unlink(&pool, ROOT, "x"), -ENOENT);
	cr_expect_eq(pool_unlink(&pool, ROOT, "d"), -EISDIR);
	cr_expect_eq(pool_unlink(&pool, f, "x"), -ENOTDIR);
	cr_expect_eq(pool_rmdir(&pool, ROOT, "x"), -ENOENT);
	cr_expect_eq(pool_rmdir(&pool, ROOT, "f"), -ENOTDIR);
	cr_expect_eq(pool_rmdir(&pool, ROOT, "d"), -ENOTEMPTY);
	cr_expect_eq(ns_next_entry(&pool.ns, f, 0, &e), -ENOTDIR);
	cr_expect_eq(ns_next_entry(&pool.ns, 999, 0, &e), -ENOENT);
	cr_expect_eq(ns_getattr(&pool.ns, 999, &st), -ESTALE);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, 999, &none, &st), -ESTALE);
	cr_expect_eq(ns_open(&pool.ns, 999, 0), -ESTALE);
	cr_expect_eq(ns_hold(&pool.ns, 999), -ESTALE);
	cr_expect_eq(ns_hold(&pool.ns, d), -EISDIR);
	cr_expect_eq(ns_release(&pool.ns, 999, 0), 0, "a handle of a former worker");
	cr_expect_eq(ns_unhold(&pool.ns, 999), 0);
	cr_expect_eq(ns_release(&pool.ns, f, 0), 0, "a handle of a former worker");
	cr_expect_eq(pool_inode(&pool, f)->opens, 0);
}

Test(namespace, gives_a_new_inode_its_attributes)
{
	struct stat st, d;

	cr_assert_eq(ns_create(&pool.ns, &pool.rq, ROOT, "f", 1, 0107654, &st), 0);
	cr_expect_eq(st.st_mode, S_IFREG | 07654, "only permission bits are taken");
	cr_expect_eq(st.st_uid, 1000);
	cr_expect_eq(st.st_gid, 100);
	cr_expect_eq(st.st_nlink, 1);
	cr_expect_eq(st.st_size, 0);
	cr_expect_eq(st.st_blocks, 0);
	cr_expect_eq((uint64_t)st.st_blksize, GM_BLOCK_SIZE);
	cr_expect(same_time(st.st_atim, pool.rq.now) && same_time(st.st_mtim, pool.rq.now) &&
		  same_time(st.st_ctim, pool.rq.now));
	cr_assert_eq(ns_mkdir(&pool.ns, &pool.rq, ROOT, "d", 1, 0755, &d), 0);
	cr_expect_eq(d.st_mode, S_IFDIR | 0755);
	cr_expect_eq(d.st_nlink, 2);
	cr_expect_gt(d.st_ino, st.st_ino, "numbers are never used twice");
}

Test(namespace, passes_on_the_group_of_a_setgid_directory)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d");
	struct ns_change c = {.set = NS_SET_MODE | NS_SET_GID, .mode = 02770, .gid = 555};
	struct stat st;

	cr_assert_eq(ns_setattr(&pool.ns, &pool.rq, d, &c, &st), 0);
	cr_assert_eq(ns_create(&pool.ns, &pool.rq, d, "f", 1, 0600, &st), 0);
	cr_expect(st.st_gid == 555 && st.st_mode == (S_IFREG | 0600) && st.st_uid == 1000);
	cr_assert_eq(ns_mkdir(&pool.ns, &pool.rq, d, "s", 1, 0700, &st), 0);
	cr_expect(st.st_gid == 555 && st.st_mode == (S_IFDIR | 02700));
	cr_assert_eq(ns_mkdir(&pool.ns, &pool.rq, ROOT, "o", 1, 0700, &st), 0);
	cr_expect(st.st_gid == 100 && st.st_mode == (S_IFDIR | 0700));
}

/* ---- times and links ---- */

/* Which times of an inode are those of the last call. */
static const char *times_of(uint64_t ino)
{
	static char text[4][4];
	static unsigned turn;
	struct stat st = pool_stat(&pool, ino);
	char *t = text[turn++ % 4];

	snprintf(t, 4, "%c%c%c", same_time(st.st_atim, pool.rq.now) ? 'a' : '-',
		same_time(st.st_mtim, pool.rq.now) ? 'm' : '-',
		same_time(st.st_ctim, pool.rq.now) ? 'c' : '-');
	return t;
}

Test(namespace, changes_the_times_that_a_call_changes)
{
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), b = pool_mkdir(&pool, ROOT, "b");
	uint64_t f = pool_create(&pool, a, "f"), g = pool_create(&pool, b, "g");
	struct ns_change chmod = {.set = NS_SET_MODE, .mode = 0600};
	struct ns_change chown = {.set = NS_SET_UID, .uid = 5};
	struct ns_change touch = {.set = NS_SET_ATIME | NS_SET_MTIME,
		.atime = {.tv_nsec = UTIME_NOW},
		.mtime = {.tv_sec = -5, .tv_nsec = 6}};
	struct ns_change nothing = {.set = 0};
	struct ns_change ctime = {.set = NS_SET_CTIME};
	struct stat st;

	pool_tick(&pool);
	pool_create(&pool, a, "n");
	cr_expect_str_eq(times_of(a), "-mc");
	cr_expect_str_eq(times_of(f), "---");
	pool_tick(&pool);
	pool_mkdir(&pool, a, "m");
	cr_expect_str_eq(times_of(a), "-mc");
	pool_tick(&pool);
	cr_expect_eq(pool_rmdir(&pool, a, "m"), 0);
	cr_expect_str_eq(times_of(a), "-mc");
	pool_tick(&pool);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &chmod, &st), 0);
	cr_expect_str_eq(times_of(f), "--c");
	pool_tick(&pool);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &chown, &st), 0);
	cr_expect_str_eq(times_of(f), "--c");
	pool_tick(&pool);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &touch, &st), 0);
	cr_expect_str_eq(times_of(f), "a-c");
	cr_expect(st.st_mtim.tv_sec == -5 && st.st_mtim.tv_nsec == 6);
	pool_tick(&pool);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &nothing, &st), 0);
	cr_expect_str_eq(times_of(f), "---");
	pool_tick(&pool);
	cr_expect_eq(pool_resize(&pool, f, 0), 0);
	cr_expect_str_eq(times_of(f), "-mc", "even where the size stays");
	pool_tick(&pool);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &ctime, &st), 0);
	cr_expect_str_eq(times_of(f), "--c");
	pool_tick(&pool);
	cr_expect_eq(pool_rename(&pool, a, "f", b, "f", 0), 0);
	cr_expect_str_eq(times_of(a), "-mc");
	cr_expect_str_eq(times_of(b), "-mc");
	cr_expect_str_eq(times_of(f), "--c");
	cr_expect_str_eq(times_of(g), "---");
	pool_tick(&pool);
	cr_assert_eq(ns_open(&pool.ns, g, 0), 0);
	cr_expect_eq(pool_rename(&pool, b, "f", b, "g", 0), 0);
	cr_expect_str_eq(times_of(g), "--c", "it has lost its name");
	pool_tick(&pool);
	cr_assert_eq(ns_open(&pool.ns, f, 0), 0);
	cr_expect_eq(pool_unlink(&pool, b, "g"), 0);
	cr_expect_str_eq(times_of(f), "--c");
	cr_expect_str_eq(times_of(b), "-mc");
	cr_expect_str_eq(times_of(a), "---");
}

Test(namespace, refuses_a_time_that_is_none_and_changes_nothing)
{
	uint64_t f = pool_create(&pool, ROOT, "f");
	struct ns_change c = {.set = NS_SET_MODE | NS_SET_MTIME | NS_SET_SIZE,
		.mode = 0777,
		.size = MIB,
		.mtime = {.tv_nsec = 1000000000}};
	struct stat before = pool_stat(&pool, f), after, st;

	pool_tick(&pool);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &c, &st), -EINVAL);
	after = pool_stat(&pool, f);
	cr_expect_eq(memcmp(&before, &after, sizeof(before)), 0);
}

Test(namespace, counts_the_links_of_directories)
{
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), b = pool_mkdir(&pool, ROOT, "b");
	uint64_t s = pool_mkdir(&pool, a, "s");
	struct stat st;

	pool_create(&pool, a, "f");
	cr_expect_eq(pool_stat(&pool, ROOT).st_nlink, 4);
	cr_expect_eq(pool_stat(&pool, a).st_nlink, 3);
	cr_expect_eq(pool_rename(&pool, a, "s", b, "s", 0), 0);
	cr_expect(pool_stat(&pool, a).st_nlink == 2 && pool_stat(&pool, b).st_nlink == 3);
	cr_expect(pool_lookup(&pool, s, "..", &st) == 0 && st.st_ino == b);
	cr_expect_eq(pool_rename(&pool, a, "f", b, "s", RENAME_EXCHANGE), 0);
	cr_expect(pool_stat(&pool, a).st_nlink == 3 && pool_stat(&pool, b).st_nlink == 2);
	cr_expect(pool_lookup(&pool, s, "..", &st) == 0 && st.st_ino == a);
	pool_mkdir(&pool, b, "e");
	cr_expect_eq(pool_rename(&pool, a, "f", b, "e", 0), 0, "a directory over an empty one");
	cr_expect(pool_stat(&pool, a).st_nlink == 2 && pool_stat(&pool, b).st_nlink == 3);
	cr_expect_eq(pool_rmdir(&pool, b, "e"), 0);
	cr_expect_eq(pool_stat(&pool, b).st_nlink, 2);
	cr_expect_eq(ns_getattr(&pool.ns, s, &st), -ESTALE);
}
