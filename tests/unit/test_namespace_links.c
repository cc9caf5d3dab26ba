// SPDX-License-Identifier: MIT
/* Links, symlinks and nodes, call by call: results, errnos, times, link counts; what is one inode
 * under several names. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "namespace_fixture.h"
#include "util/cleanup.h"

TestSuite(namespace_links, .init = setup, .fini = teardown);

static struct ns_name at(uint64_t parent, const char *name)
{
	return (struct ns_name){.parent = parent, .name = name, .length = strlen(name)};
}

static int make_link(uint64_t ino, uint64_t parent, const char *name)
{
	struct ns_name where = at(parent, name);
	struct stat st;

	return ns_link(&pool.ns, &pool.rq, ino, &where, &st);
}

static int make_symlink(uint64_t parent, const char *name, const char *target, uint64_t *ino)
{
	struct ns_name where = at(parent, name);
	struct stat st = {.st_ino = 0};
	int r = ns_symlink(&pool.ns, &pool.rq, &where, target, &st);

	*ino = st.st_ino;
	return r;
}

static int make_node(const char *name, uint32_t mode, dev_t rdev, struct stat *st)
{
	struct ns_name where = at(ROOT, name);

	return ns_mknod(&pool.ns, &pool.rq, &where, mode, rdev, st);
}

static int move(const char *from, const char *to, unsigned flags)
{
	return pool_rename(&pool, ROOT, from, ROOT, to, flags);
}

static bool is_now(struct timespec t)
{
	return t.tv_sec == pool.rq.now.tv_sec && t.tv_nsec == pool.rq.now.tv_nsec;
}

static uint64_t find(const char *name)
{
	struct stat st;

	return ns_lookup(&pool.ns, ROOT, name, strlen(name), &st) == 0 ? st.st_ino : 0;
}

/* ---- links ---- */

Test(namespace_links, a_file_lives_until_its_last_name_goes)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d"), f = pool_create(&pool, ROOT, "f");
	struct stat before = pool_stat(&pool, f), st;

	cr_assert_eq(pool_resize(&pool, f, 3 * GM_BLOCK_SIZE), 0);
	pool_tick(&pool);
	cr_assert_eq(make_link(f, d, "g"), 0);
	st = pool_stat(&pool, f);
	cr_expect_eq(st.st_nlink, 2);
	cr_expect(is_now(st.st_ctim) && !is_now(st.st_mtim) && !is_now(st.st_atim));
	st = pool_stat(&pool, d);
	cr_expect(is_now(st.st_ctim) && is_now(st.st_mtim));
	pool_tick(&pool);
	cr_assert_eq(pool_unlink(&pool, ROOT, "f"), 0);
	st = pool_stat(&pool, f);
	cr_expect(st.st_nlink == 1 && is_now(st.st_ctim) && !is_now(st.st_mtim));
	cr_expect_eq(st.st_size, 3 * (off_t)GM_BLOCK_SIZE);
	cr_expect_eq(before.st_ino, st.st_ino);
	cr_expect_eq(pool_stats(&pool).used, 3);
	cr_expect_eq(pool.ns.orphans, 0);
	cr_assert_eq(pool_unlink(&pool, d, "g"), 0);
	cr_expect_null(pool_inode(&pool, f));
	cr_expect_eq(pool_stats(&pool).used, 0);
}

Test(namespace_links, with_the_last_name_a_file_in_use_becomes_an_orphan)
{
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert_eq(make_link(f, ROOT, "g"), 0);
	cr_assert_eq(ns_open(&pool.ns, f, 0), 0);
	cr_assert_eq(ns_hold(&pool.ns, f), 0);
	cr_assert_eq(pool_unlink(&pool, ROOT, "f"), 0);
	cr_expect_eq(pool.ns.orphans, 0);
	cr_assert_eq(pool_unlink(&pool, ROOT, "g"), 0);
	cr_expect_eq(pool.ns.orphans, 1);
	cr_expect_eq(pool_stat(&pool, f).st_nlink, 0);
	cr_expect_eq(make_link(f, ROOT, "h"), -ENOENT, "a name does not come back");
	cr_assert_eq(ns_release(&pool.ns, f, 0), 0);
	cr_expect_eq(pool.ns.left, f);
	cr_assert_eq(ns_unhold(&pool.ns, f), 0);
	cr_expect_null(pool_inode(&pool, f));
	cr_expect_eq(pool.ns.orphans, 0);
}

Test(namespace_links, refuses_what_cannot_be_linked)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d"), f = pool_create(&pool, ROOT, "f");
	static char long_name[GM_NAME_MAX + 2];

	memset(long_name, 'x', GM_NAME_MAX + 1);
	cr_expect_eq(make_link(d, ROOT, "e"), -EPERM);
	cr_expect_eq(make_link(d, ROOT, "f"), -EEXIST, "which comes first");
	cr_expect_eq(make_link(f, ROOT, "f"), -EEXIST);
	cr_expect_eq(make_link(f, d, "."), -EEXIST);
	cr_expect_eq(make_link(f, d, ""), -ENOENT);
	cr_expect_eq(make_link(f, d, long_name), -ENAMETOOLONG);
	cr_expect_eq(make_link(f, f, "x"), -ENOTDIR);
	cr_expect_eq(make_link(4711, d, "x"), -ESTALE);
	cr_expect_eq(pool_stat(&pool, f).st_nlink, 1);
}

Test(namespace_links, a_file_has_so_many_names_and_no_more, .timeout = 250)
{
	uint64_t f;
	char name[16];

	pool_deinit(&pool);
	pool_init(&pool, 4, 12000, true); /* room for the names */
	f = pool_create(&pool, ROOT, "f");
	for (unsigned n = 1; n < NS_LINKS_MAX; n++) {
		(void)snprintf(name, sizeof(name), "l%u", n);
		cr_assert_eq(make_link(f, ROOT, name), 0, "%s", name);
	}
	cr_expect_eq(pool_stat(&pool, f).st_nlink, NS_LINKS_MAX);
	cr_expect_eq(make_link(f, ROOT, "one more"), -EMLINK);
	cr_assert_eq(pool_unlink(&pool, ROOT, "l77"), 0);
	cr_expect_eq(make_link(f, ROOT, "one more"), 0);
}

Test(namespace_links, a_rename_between_two_names_of_one_file_does_nothing)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), g;

	cr_assert_eq(make_link(f, ROOT, "g"), 0);
	pool_tick(&pool);
	cr_expect_eq(move("f", "g", 0), 0);
	cr_expect_eq(move("f", "g", RENAME_EXCHANGE), 0);
	cr_expect_eq(move("f", "g", RENAME_NOREPLACE), -EEXIST);
	cr_expect(find("f") == f && find("g") == f && pool_stat(&pool, f).st_nlink == 2);
	cr_expect_not(is_now(pool_stat(&pool, f).st_ctim));
	cr_expect_not(is_now(pool_stat(&pool, ROOT).st_mtim));
	g = pool_create(&pool, ROOT, "h");
	cr_expect_eq(move("h", "g", 0), 0);
	cr_expect(find("f") == f && find("g") == g && find("h") == 0);
	cr_expect(pool_stat(&pool, f).st_nlink == 1 && is_now(pool_stat(&pool, f).st_ctim));
	cr_expect_eq(pool.ns.orphans, 0);
}

/* ---- symlinks ---- */

Test(namespace_links, a_symlink_keeps_its_text)
{
	static char longest[GM_TARGET_MAX + 2];
	const char *target;
	uint64_t s, l, none;
	struct stat st;

	memset(longest, 'x', GM_TARGET_MAX);
	cr_assert_eq(make_symlink(ROOT, "s", "../a b", &s), 0);
	cr_assert_eq(make_symlink(ROOT, "l", longest, &l), 0);
	st = pool_stat(&pool, s);
	cr_expect(st.st_mode == (S_IFLNK | 0777) && st.st_size == 6 && st.st_nlink == 1);
	cr_expect_eq(st.st_blocks, 0);
	cr_expect_eq(make_link(s, ROOT, "t"), 0, "a symlink may have several names, too");
	pool_reopen(&pool, false);
	cr_assert_eq(store_checkpoint(pool.store), 0);
	pool_reopen(&pool, true);
	cr_assert_eq(ns_readlink(&pool.ns, s, &target), 0);
	cr_expect_str_eq(target, "../a b");
	cr_assert_eq(ns_readlink(&pool.ns, l, &target), 0);
	cr_expect_str_eq(target, longest);
	longest[GM_TARGET_MAX] = 'x';
	cr_expect_eq(make_symlink(ROOT, "n", longest, &none), -ENAMETOOLONG);
	cr_expect_eq(make_symlink(ROOT, "n", "", &none), -ENOENT);
	cr_expect_eq(make_symlink(ROOT, "s", "x", &none), -EEXIST);
	cr_expect_eq(ns_readlink(&pool.ns, ROOT, &target), -EINVAL);
	cr_expect_eq(ns_readlink(&pool.ns, 4711, &target), -ESTALE);
	cr_expect_eq(find("n"), 0);
}

Test(namespace_links, a_symlink_has_neither_mode_nor_size_nor_memory)
{
	struct ns_change mode = {.set = NS_SET_MODE, .mode = 0600};
	struct ns_change owner = {.set = NS_SET_UID, .uid = 9};
	struct stat st;
	uint64_t s;

	cr_assert_eq(make_symlink(ROOT, "s", "t", &s), 0);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, s, &mode, &st), -EOPNOTSUPP);
	cr_expect_eq(pool_resize(&pool, s, 5), -EINVAL);
	cr_expect_eq(ns_hold(&pool.ns, s), -EINVAL);
	cr_expect_eq(ns_set_exported(&pool.ns, s, true), -EINVAL);
	cr_expect_eq(ns_setattr(&pool.ns, &pool.rq, s, &owner, &st), 0);
	cr_expect(st.st_uid == 9 && st.st_mode == (S_IFLNK | 0777) && st.st_size == 1);
}

Test(namespace_links, targets_draw_on_the_metadatas_room)
{
	static char longest[GM_TARGET_MAX + 1];
	struct store_stats before, after;
	unsigned made = 0;
	char name[16];
	uint64_t s;
	int r;

	memset(longest, 'x', GM_TARGET_MAX);
	store_get_stats(pool.store, &before);
	do {
		(void)snprintf(name, sizeof(name), "s%u", made);
		r = make_symlink(ROOT, name, longest, &s);
		made += r == 0;
	} while (r == 0);
	cr_assert_eq(r, -ENOSPC);
	store_get_stats(pool.store, &after);
	cr_expect_leq(after.image_bytes, after.slot_size);
	cr_expect_geq(after.image_bytes, before.image_bytes + made * (uint64_t)GM_TARGET_MAX);
	cr_assert_eq(store_checkpoint(pool.store), 0);
	pool_reopen(&pool, false);
	for (unsigned n = 0; n < made; n++) {
		(void)snprintf(name, sizeof(name), "s%u", n);
		cr_assert_eq(pool_unlink(&pool, ROOT, name), 0);
	}
	store_get_stats(pool.store, &after);
	cr_expect_eq(after.image_bytes, before.image_bytes);
}

/* ---- nodes ---- */

Test(namespace_links, nodes_are_what_they_were_made)
{
	const struct {
		uint32_t mode;
		dev_t rdev, kept;
	} cases[] = {
		{S_IFIFO | 0644, 5, 0},
		{S_IFSOCK | 0755, 5, 0},
		{S_IFCHR | 0600, makedev(1, 3), makedev(1, 3)},
		{S_IFBLK | 02660, makedev(4095, 1048575), makedev(4095, 1048575)},
		{S_IFREG | 04711, 5, 0},
	};
	char name[8];
	struct stat st;

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		(void)snprintf(name, sizeof(name), "n%zu", n);
		cr_assert_eq(make_node(name, cases[n].mode, cases[n].rdev, &st), 0);
		pool_reopen(&pool, n % 2);
		st = pool_stat(&pool, st.st_ino);
		cr_expect(st.st_mode == cases[n].mode && st.st_rdev == cases[n].kept, "%zu", n);
		cr_expect(st.st_nlink == 1 && st.st_size == 0 && st.st_blocks == 0);
	}
	cr_expect_eq(make_node("r", 0600, 0, &st), 0);
	cr_expect_eq(st.st_mode, S_IFREG | 0600, "no type is a file's");
	cr_expect_eq(make_node("x", S_IFDIR | 0700, 0, &st), -EINVAL);
	cr_expect_eq(make_node("x", S_IFLNK | 0777, 0, &st), -EINVAL);
	cr_expect_eq(make_node("x", S_IFCHR | 0600, makedev(4096, 0), &st), -EINVAL);
	cr_expect_eq(make_node("x", S_IFCHR | 0600, makedev(0, 1048576), &st), -EINVAL);
	cr_expect_eq(make_node("n0", S_IFIFO | 0600, 0, &st), -EEXIST);
	cr_expect_eq(pool_resize(&pool, find("n0"), 1), -EINVAL);
}

Test(namespace_links, every_type_is_exchanged_with_every_type)
{
	static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR};
	uint64_t inos[ARRAY_SIZE(types)];
	char a[8], b[8];
	struct stat st;

	for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
		(void)snprintf(a, sizeof(a), "%zu", n);
		if (types[n] == S_IFDIR)
			inos[n] = pool_mkdir(&pool, ROOT, a);
		else if (types[n] == S_IFLNK)
			cr_assert_eq(make_symlink(ROOT, a, "t", &inos[n]), 0);
		else if (make_node(a, types[n] | 0600, makedev(1, 3), &st) == 0)
			inos[n] = st.st_ino;
	}
	for (size_t n = 0; n < ARRAY_SIZE(types); n++)
		for (size_t k = 0; k < ARRAY_SIZE(types); k++) {
			(void)snprintf(a, sizeof(a), "%zu", n);
			(void)snprintf(b, sizeof(b), "%zu", k);
			cr_assert_eq(move(a, b, RENAME_EXCHANGE), 0, "%s %s", a, b);
			cr_expect(find(a) == inos[k] && find(b) == inos[n], "%s %s", a, b);
			cr_assert_eq(move(a, b, RENAME_EXCHANGE), 0);
			if (n != k && (n == 1 || k == 1)) /* 1 is the directory */
				cr_expect_eq(move(a, b, 0), n == 1 ? -ENOTDIR : -EISDIR);
		}
	pool_reopen(&pool, false);
	for (size_t n = 0; n < ARRAY_SIZE(types); n++) {
		(void)snprintf(a, sizeof(a), "%zu", n);
		cr_expect_eq(find(a), inos[n]);
	}
}

Test(namespace_links, what_a_setgid_directory_passes_on)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d"), s;
	struct ns_change c = {.set = NS_SET_MODE | NS_SET_GID, .mode = 02775, .gid = 77};
	struct ns_name where = at(d, "p");
	struct stat st;

	cr_assert_eq(ns_setattr(&pool.ns, &pool.rq, d, &c, &st), 0);
	cr_assert_eq(make_symlink(d, "s", "t", &s), 0);
	cr_expect(pool_stat(&pool, s).st_gid == 77 &&
		  pool_stat(&pool, s).st_mode == (S_IFLNK | 0777));
	cr_assert_eq(ns_mknod(&pool.ns, &pool.rq, &where, S_IFIFO | 0640, 0, &st), 0);
	cr_expect(st.st_gid == 77 && st.st_mode == (S_IFIFO | 0640));
}
