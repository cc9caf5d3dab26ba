// SPDX-License-Identifier: MIT
/* The namespace keeps POSIX's rules, call by call: results, errnos, times, links, space; and
 * nothing changes on error. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "pool_fixture.h"
#include "util/cleanup.h"

#define ROOT GM_ROOT_INO
#define MIB  (1ULL << 20)

static struct pool pool;

static void setup(void)
{
	pool_init(&pool, 64, 1000, true);
}

static void teardown(void)
{
	pool_deinit(&pool);
}

TestSuite(namespace, .init = setup, .fini = teardown);

static int lookup(uint64_t parent, const char *name, struct stat *st)
{
	return ns_lookup(&pool.ns, parent, name, strlen(name), st);
}

static int unlink_name(uint64_t parent, const char *name)
{
	return ns_unlink(&pool.ns, &pool.rq, parent, name, strlen(name));
}

static int rmdir_name(uint64_t parent, const char *name)
{
	return ns_rmdir(&pool.ns, &pool.rq, parent, name, strlen(name));
}

static int rename_name(uint64_t from, const char *a, uint64_t to, const char *b, unsigned flags)
{
	struct ns_name f = {.parent = from, .name = a, .length = strlen(a)};
	struct ns_name t = {.parent = to, .name = b, .length = strlen(b)};

	return ns_rename(&pool.ns, &pool.rq, &f, &t, flags);
}

static struct stat stat_of(uint64_t ino)
{
	struct stat st;

	cr_assert_eq(ns_getattr(&pool.ns, ino, &st), 0);
	return st;
}

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
	cr_expect(lookup(b, ".", &st) == 0 && st.st_ino == b);
	cr_expect(lookup(b, "..", &st) == 0 && st.st_ino == a);
	cr_expect(lookup(ROOT, "..", &st) == 0 && st.st_ino == ROOT);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, a, ".", 1, 0600, &st), -EEXIST);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, a, "..", 2, 0700, &st), -EEXIST);
	cr_expect_eq(unlink_name(a, "."), -EISDIR);
	cr_expect_eq(unlink_name(a, ".."), -EISDIR);
	cr_expect_eq(rmdir_name(a, "."), -EINVAL);
	cr_expect_eq(rmdir_name(b, ".."), -ENOTEMPTY);
	cr_expect_eq(rename_name(a, ".", ROOT, "x", 0), -EBUSY);
	cr_expect_eq(rename_name(ROOT, "f", a, "..", 0), -EBUSY);
}

Test(namespace, tells_what_is_missing_or_of_the_wrong_type)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d"), f = pool_create(&pool, ROOT, "f");
	struct ns_change none = {.set = 0};
	struct ns_entry e;
	struct stat st;

	pool_create(&pool, d, "g");
	cr_expect_eq(lookup(ROOT, "x", &st), -ENOENT);
	cr_expect_eq(lookup(f, "x", &st), -ENOTDIR);
	cr_expect_eq(lookup(999, "x", &st), -ENOENT);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, ROOT, "f", 1, 0600, &st), -EEXIST);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, ROOT, "d", 1, 0600, &st), -EEXIST);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, ROOT, "f", 1, 0700, &st), -EEXIST);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, f, "x", 1, 0600, &st), -ENOTDIR);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, 999, "x", 1, 0700, &st), -ENOENT);
	cr_expect_eq(unlink_name(ROOT, "x"), -ENOENT);
	cr_expect_eq(unlink_name(ROOT, "d"), -EISDIR);
	cr_expect_eq(unlink_name(f, "x"), -ENOTDIR);
	cr_expect_eq(rmdir_name(ROOT, "x"), -ENOENT);
	cr_expect_eq(rmdir_name(ROOT, "f"), -ENOTDIR);
	cr_expect_eq(rmdir_name(ROOT, "d"), -ENOTEMPTY);
	cr_expect_eq(ns_next_entry(&pool.ns, f, 0, &e), -ENOTDIR);
	cr_expect_eq(ns_next_entry(&pool.ns, 999, 0, &e), -ENOENT);
	cr_expect_eq(ns_getattr(&pool.ns, 999, &st), -ESTALE);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, 999, &none, &st), -ESTALE);
	cr_expect_eq(ns_open(&pool.ns, 999), -ESTALE);
	cr_expect_eq(ns_hold(&pool.ns, 999), -ESTALE);
	cr_expect_eq(ns_hold(&pool.ns, d), -EISDIR);
	cr_expect_eq(ns_release(&pool.ns, 999), 0, "a handle of a former worker");
	cr_expect_eq(ns_unhold(&pool.ns, 999), 0);
	cr_expect_eq(ns_release(&pool.ns, f), 0, "a handle of a former worker");
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
	struct stat st = stat_of(ino);
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
	cr_expect_eq(rmdir_name(a, "m"), 0);
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
	cr_expect_eq(rename_name(a, "f", b, "f", 0), 0);
	cr_expect_str_eq(times_of(a), "-mc");
	cr_expect_str_eq(times_of(b), "-mc");
	cr_expect_str_eq(times_of(f), "--c");
	cr_expect_str_eq(times_of(g), "---");
	pool_tick(&pool);
	cr_assert_eq(ns_open(&pool.ns, g), 0);
	cr_expect_eq(rename_name(b, "f", b, "g", 0), 0);
	cr_expect_str_eq(times_of(g), "--c", "it has lost its name");
	pool_tick(&pool);
	cr_assert_eq(ns_open(&pool.ns, f), 0);
	cr_expect_eq(unlink_name(b, "g"), 0);
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
	struct stat before = stat_of(f), after, st;

	pool_tick(&pool);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &c, &st), -EINVAL);
	after = stat_of(f);
	cr_expect_eq(memcmp(&before, &after, sizeof(before)), 0);
}

Test(namespace, counts_the_links_of_directories)
{
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), b = pool_mkdir(&pool, ROOT, "b");
	uint64_t s = pool_mkdir(&pool, a, "s");
	struct stat st;

	pool_create(&pool, a, "f");
	cr_expect_eq(stat_of(ROOT).st_nlink, 4);
	cr_expect_eq(stat_of(a).st_nlink, 3);
	cr_expect_eq(rename_name(a, "s", b, "s", 0), 0);
	cr_expect(stat_of(a).st_nlink == 2 && stat_of(b).st_nlink == 3);
	cr_expect(lookup(s, "..", &st) == 0 && st.st_ino == b);
	cr_expect_eq(rename_name(a, "f", b, "s", RENAME_EXCHANGE), 0);
	cr_expect(stat_of(a).st_nlink == 3 && stat_of(b).st_nlink == 2);
	cr_expect(lookup(s, "..", &st) == 0 && st.st_ino == a);
	pool_mkdir(&pool, b, "e");
	cr_expect_eq(rename_name(a, "f", b, "e", 0), 0, "a directory over an empty one");
	cr_expect(stat_of(a).st_nlink == 2 && stat_of(b).st_nlink == 3);
	cr_expect_eq(rmdir_name(b, "e"), 0);
	cr_expect_eq(stat_of(b).st_nlink, 2);
	cr_expect_eq(ns_getattr(&pool.ns, s, &st), -ESTALE);
}

/* ---- rename ---- */

static void dump_tree(uint64_t dir, const char *prefix, char *out, size_t size)
{
	struct ns_entry e;
	uint64_t after = 2;

	while (ns_next_entry(&pool.ns, dir, after, &e) == 1) {
		char path[600];
		size_t used = strlen(out);

		after = e.cookie;
		snprintf(path, sizeof(path), "%s%.*s", prefix, (int)e.length, e.name);
		snprintf(out + used, size - used, "%s%s%s", used ? " " : "", path,
			e.type == S_IFDIR ? "/" : "");
		strncat(path, "/", sizeof(path) - strlen(path) - 1);
		if (e.type == S_IFDIR)
			dump_tree(e.ino, path, out, size);
	}
}

/* The directory of a path, and its last component. */
static uint64_t walk(const char *path, const char **last)
{
	uint64_t at = ROOT;
	struct stat st;

	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		cr_assert_eq(
			ns_lookup(&pool.ns, at, path, (size_t)(slash - path), &st), 0, "%s", path);
		at = st.st_ino;
	}
	*last = path;
	return at;
}

static void make_tree(const char *paths)
{
	_cleanup_free_ char *copy = strdup(paths);
	char *save = NULL;

	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		size_t length = strlen(p);
		bool is_dir = p[length - 1] == '/';
		const char *name;
		uint64_t dir;

		if (is_dir)
			p[length - 1] = '\0';
		dir = walk(p, &name);
		(void)(is_dir ? pool_mkdir(&pool, dir, name) : pool_create(&pool, dir, name));
	}
}

static const struct rename_case {
	const char *tree, *from, *to;
	unsigned flags;
	int result;
	const char *after; /* NULL: as before */
} rename_cases[] = {
	{"a", "a", "b", 0, 0, "b"},
	{"a b", "a", "b", 0, 0, "b"},
	{"a d/", "a", "d/a", 0, 0, "d/ d/a"},
	{"a/ a/x b/", "a", "b/a", 0, 0, "b/ b/a/ b/a/x"},
	{"a/ a/x b/", "a", "b", 0, 0, "b/ b/x"},
	{"a", "a", "a", 0, 0, NULL},
	{"d/", "d", "d", 0, 0, NULL},
	{"a", "x", "b", 0, -ENOENT, NULL},
	{"a", "x", "a", 0, -ENOENT, NULL},
	{"a d/", "a", "d", 0, -EISDIR, NULL},
	{"a d/ d/x", "a", "d", 0, -EISDIR, NULL},
	{"a d/", "d", "a", 0, -ENOTDIR, NULL},
	{"a/ b/ b/x", "a", "b", 0, -ENOTEMPTY, NULL},
	{"a/", "a", "a/b", 0, -EINVAL, NULL},
	{"a/ a/b/", "a", "a/b/c", 0, -EINVAL, NULL},
	{"a/ a/b/", "a", "a/b", 0, -EINVAL, NULL},
	{"a/ a/b/", "a/b", "a", 0, -ENOTEMPTY, NULL},
	{"a/ a/b/ a/b/c", "a/b/c", "a", 0, -ENOTEMPTY, NULL},
	{"a", "a", "b", RENAME_NOREPLACE, 0, "b"},
	{"a b", "a", "b", RENAME_NOREPLACE, -EEXIST, NULL},
	{"a", "a", "a", RENAME_NOREPLACE, -EEXIST, NULL},
	{"d/ e/", "d", "e", RENAME_NOREPLACE, -EEXIST, NULL},
	{"a", "x", "a", RENAME_NOREPLACE, -ENOENT, NULL},
	{"a d/ d/b", "a", "d/b", RENAME_EXCHANGE, 0, "d/ d/b a"},
	{"a d/ d/x", "a", "d", RENAME_EXCHANGE, 0, "d a/ a/x"},
	{"d/ d/x a", "d", "a", RENAME_EXCHANGE, 0, "a/ a/x d"},
	{"a/ a/x b/ b/y", "a", "b", RENAME_EXCHANGE, 0, "b/ b/x a/ a/y"},
	{"a/ a/d/ a/d/x b/ b/f", "a/d", "b/f", RENAME_EXCHANGE, 0, "a/ a/d b/ b/f/ b/f/x"},
	{"a", "a", "a", RENAME_EXCHANGE, 0, NULL},
	{"a", "a", "b", RENAME_EXCHANGE, -ENOENT, NULL},
	{"a", "b", "a", RENAME_EXCHANGE, -ENOENT, NULL},
	{"a/ a/b/", "a", "a/b", RENAME_EXCHANGE, -EINVAL, NULL},
	{"a/ a/b/", "a/b", "a", RENAME_EXCHANGE, -EINVAL, NULL},
	{"a b", "a", "b", RENAME_WHITEOUT, -EINVAL, NULL},
	{"a b", "a", "b", RENAME_NOREPLACE | RENAME_EXCHANGE, -EINVAL, NULL},
	{"a b", "a", "b", 1U << 31, -EINVAL, NULL},
};

Test(namespace, renames_by_the_rules)
{
	for (size_t n = 0; n < ARRAY_SIZE(rename_cases); n++) {
		const struct rename_case *c = &rename_cases[n];
		const char *from, *to, *expected = c->after ? c->after : c->tree;
		char found[1000] = "", again[1000] = "";
		uint64_t from_dir, to_dir;

		teardown();
		setup();
		make_tree(c->tree);
		from_dir = walk(c->from, &from);
		to_dir = walk(c->to, &to);
		cr_expect_eq(rename_name(from_dir, from, to_dir, to, c->flags), c->result,
			"%zu: %s: %s -> %s", n, c->tree, c->from, c->to);
		dump_tree(ROOT, "", found, sizeof(found));
		cr_expect_str_eq(found, expected, "%zu: %s: %s -> %s: %s", n, c->tree, c->from,
			c->to, found);
		pool_reopen(&pool, false);
		dump_tree(ROOT, "", again, sizeof(again));
		cr_expect_str_eq(again, found, "%zu", n);
	}
}

Test(namespace, refuses_to_rename_in_what_is_no_directory)
{
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_expect_eq(rename_name(f, "x", ROOT, "y", 0), -ENOTDIR);
	cr_expect_eq(rename_name(ROOT, "f", f, "y", 0), -ENOTDIR);
	cr_expect_eq(rename_name(999, "x", ROOT, "y", 0), -ENOENT);
	cr_expect_eq(rename_name(ROOT, "f", 999, "y", 0), -ENOENT);
}

/* ---- size and space ---- */

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
		st = stat_of(f);
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
	before = stat_of(f);
	pool_tick(&pool);
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		c.size = cases[n].size;
		cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, f, &c, &st), cases[n].error, "%zu", n);
	}
	after = stat_of(f);
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
	cr_expect_eq(unlink_name(ROOT, "f"), 0);
	cr_expect_eq(
		pool_stats(&pool).free_dirty, pool_stats(&pool).data, "a freed block is dirty");
}

/* ---- users without a name ---- */

Test(namespace, keeps_an_unlinked_file_while_it_is_open)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), all = pool_stats(&pool).free;
	struct stat st;

	cr_assert_eq(pool_resize(&pool, f, 4 * MIB), 0);
	cr_assert_eq(ns_open(&pool.ns, f), 0);
	cr_assert_eq(ns_open(&pool.ns, f), 0);
	cr_expect_eq(unlink_name(ROOT, "f"), 0);
	cr_expect_eq(stat_of(f).st_nlink, 0);
	cr_expect_eq(pool.ns.orphans, 1);
	cr_expect_eq(pool_resize(&pool, f, 6 * MIB), 0, "it is a file like any other");
	cr_expect_eq(ns_release(&pool.ns, f), 0);
	cr_expect_eq(pool_stats(&pool).free, all - 3);
	cr_expect_eq(ns_release(&pool.ns, f), 0);
	cr_expect_eq(pool_stats(&pool).free, all);
	cr_expect_eq(ns_getattr(&pool.ns, f, &st), -ESTALE);
	cr_expect_eq(pool.ns.orphans, 0);
}

Test(namespace, forgets_open_orphans_at_the_next_mount)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), d = pool_mkdir(&pool, ROOT, "d");
	uint64_t all = pool_stats(&pool).free;

	cr_assert_eq(pool_resize(&pool, f, 4 * MIB), 0);
	cr_assert(ns_open(&pool.ns, f) == 0 && ns_open(&pool.ns, d) == 0);
	cr_assert(unlink_name(ROOT, "f") == 0 && rmdir_name(ROOT, "d") == 0);
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
	cr_assert_eq(ns_open(&pool.ns, d), 0);
	cr_assert_eq(rmdir_name(p, "d"), 0);
	cr_assert_eq(rmdir_name(ROOT, "p"), 0, "the parent of an orphan may go");
	cr_expect_eq(stat_of(d).st_nlink, 0);
	cr_expect_eq(ns_create(&pool.ns, &pool.rq, d, "x", 1, 0600, &st), -ENOENT);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, d, "x", 1, 0700, &st), -ENOENT);
	cr_expect_eq(rename_name(ROOT, "f", d, "x", 0), -ENOENT);
	cr_expect_eq(lookup(d, "..", &st), -ENOENT);
	cr_expect_eq(ns_next_entry(&pool.ns, d, 0, &e), -ENOENT);
	cr_expect_eq(ns_release(&pool.ns, d), 0);
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
	cr_expect_eq(stat_of(f).st_mode, S_IFREG | 0640);
	cr_expect_eq(pool_resize(&pool, f, 8 * MIB), 0);
	cr_expect_eq(pool_resize(&pool, f, 10 * MIB), 0, "it may grow");
	pool_reopen(&pool, false);
	cr_expect_eq(pool_resize(&pool, f, 0), -EBUSY, "held across the worker's death");
	cr_expect_eq(rename_name(ROOT, "g", ROOT, "f", 0), 0);
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
	cr_assert_eq(unlink_name(ROOT, "f"), 0);
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
		cr_assert(ns_open(&pool.ns, f) == 0 && ns_hold(&pool.ns, f) == 0);
		cr_assert_eq(unlink_name(ROOT, "f"), 0);
		cr_expect_eq(open_goes_first ? ns_release(&pool.ns, f) : ns_unhold(&pool.ns, f), 0);
		cr_expect_not_null(pool_inode(&pool, f));
		cr_expect_eq(pool.ns.orphans, 1);
		cr_expect_eq(open_goes_first ? ns_unhold(&pool.ns, f) : ns_release(&pool.ns, f), 0);
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

	cr_expect(ns_list_held_orphans(&pool.ns, &list, &count) == 0 && count == 0 && !list);
	for (size_t n = 0; n < ARRAY_SIZE(names); n++)
		ino[n] = pool_create(&pool, ROOT, names[n]);
	cr_assert(ns_open(&pool.ns, ino[0]) == 0 && ns_open(&pool.ns, ino[2]) == 0);
	for (size_t n = 1; n < ARRAY_SIZE(names); n++)
		cr_assert_eq(ns_hold(&pool.ns, ino[n]), 0);
	for (size_t n = 0; n < 3; n++)
		cr_assert_eq(unlink_name(ROOT, names[n]), 0);
	cr_expect_eq(pool.ns.orphans, 3);
	cr_expect_eq(ns_list_held_orphans(&pool.ns, &list, &count), 0);
	cr_expect(count == 1 && list[0] == ino[1]);
}

/* ---- limits and listings ---- */

Test(namespace, refuses_more_files_than_it_was_made_for)
{
	uint64_t made = 0;
	struct statvfs v;
	struct stat st;
	char name[20];
	int r;

	teardown();
	pool_init(&pool, 16, 50, true);
	do {
		snprintf(name, sizeof(name), "f%lu", (unsigned long)made);
		r = ns_create(&pool.ns, &pool.rq, ROOT, name, strlen(name), 0600, &st);
		made += r == 0;
		ns_statfs(&pool.ns, &v);
		cr_expect_eq(v.f_ffree, 50 - 1 - made);
	} while (r == 0);
	cr_expect_eq(r, -ENOSPC);
	cr_expect_eq(made, 49, "the root is one of them");
	cr_expect_eq(lookup(ROOT, name, &st), -ENOENT);
	cr_expect_eq(rename_name(ROOT, "f0", ROOT, "g0", 0), 0);
	cr_expect_eq(unlink_name(ROOT, "g0"), 0);
	cr_expect_eq(ns_mkdir(&pool.ns, &pool.rq, ROOT, "d", 1, 0700, &st), 0);
}

Test(namespace, tells_the_space_in_blocks)
{
	uint64_t f = pool_create(&pool, ROOT, "f");
	struct statvfs v;

	cr_assert_eq(pool_resize(&pool, f, 5 * MIB), 0);
	ns_statfs(&pool.ns, &v);
	cr_expect_eq(v.f_bsize, GM_BLOCK_SIZE);
	cr_expect_eq(v.f_frsize, GM_BLOCK_SIZE);
	cr_expect_eq(v.f_blocks, pool_stats(&pool).data);
	cr_expect_eq(v.f_bfree, v.f_blocks - 3);
	cr_expect_eq(v.f_bavail, v.f_bfree);
	cr_expect_eq(v.f_files, 1000);
	cr_expect_eq(v.f_ffree, 998);
	cr_expect_eq(v.f_namemax, 255);
}

Test(namespace, lists_each_entry_once_whatever_changes_meanwhile)
{
	enum { COUNT = 200 };
	bool seen[COUNT] = {false};
	uint64_t after = 0;
	struct ns_entry e;
	char name[20];
	unsigned step = 0;

	for (unsigned n = 0; n < COUNT; n++) {
		snprintf(name, sizeof(name), "%u", n);
		pool_create(&pool, ROOT, name);
	}
	cr_assert(ns_next_entry(&pool.ns, ROOT, 0, &e) == 1 && e.cookie == 1 && e.ino == ROOT);
	cr_assert(e.length == 1 && e.name[0] == '.' && e.type == S_IFDIR);
	cr_assert(ns_next_entry(&pool.ns, ROOT, 1, &e) == 1 && e.cookie == 2);
	cr_assert(e.length == 2 && memcmp(e.name, "..", 2) == 0 && e.type == S_IFDIR);
	after = 2;
	while (ns_next_entry(&pool.ns, ROOT, after, &e) == 1) {
		int n;

		memcpy(name, e.name, e.length);
		name[e.length] = '\0';
		cr_expect_gt(e.cookie, after);
		after = e.cookie;
		if (name[0] == 'n')
			continue; /* a new one: it may come or not */
		n = atoi(name);
		cr_expect(!seen[n], "%s comes twice", name);
		seen[n] = true;
		/* What was just read goes; so does one that is still to come; one is added; the
		 * store is reopened. */
		cr_assert_eq(unlink_name(ROOT, name), 0);
		snprintf(name, sizeof(name), "%d", n + 50);
		if (step % 3 == 0 && n + 50 < COUNT && unlink_name(ROOT, name) == 0)
			seen[n + 50] = true;
		snprintf(name, sizeof(name), "n%u", step++);
		if (step < 20)
			pool_create(&pool, ROOT, name);
		if (step % 50 == 0)
			pool_reopen(&pool, false);
	}
	for (unsigned n = 0; n < COUNT; n++)
		cr_expect(seen[n], "%u was left out", n);
	cr_expect_eq(ns_next_entry(&pool.ns, ROOT, INT64_MAX, &e), 0);
}
