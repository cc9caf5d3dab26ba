// SPDX-License-Identifier: MIT
/* Quotas: what counts where, what is refused, and that counting goes on as it was after a restart.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "chance.h"
#include "pool_fixture.h"
#include "store/xattrs.h"
#include "util/cleanup.h"

#define ROOT GM_ROOT_INO
#define MIB  (1ULL << 20)

static struct pool pool;

static void setup(void)
{
	pool_init(&pool, 200, 1000, true);
	pool.rq.uid = 0;
}

static void teardown(void)
{
	pool_deinit(&pool);
}

TestSuite(quota, .init = setup, .fini = teardown);

static int limit(uint64_t dir, const char *text)
{
	const struct ns_xattr x = {.name = XATTR_QUOTA, .value = text, .value_len = strlen(text)};

	return ns_setxattr(&pool.ns, &pool.rq, dir, &x);
}

static int unlimit(uint64_t dir)
{
	return ns_removexattr(&pool.ns, &pool.rq, dir, XATTR_QUOTA);
}

/* Blocks that count on the nearest quota. */
static uint64_t used(uint64_t ino)
{
	return store_meta(pool.store)->quotas.list[pool_inode(&pool, ino)->quota].used /
	       GM_UNITS_PER_BLOCK;
}

/* What statfs says that there is room for. */
static uint64_t left(uint64_t ino)
{
	struct statvfs st;

	ns_statfs_at(&pool.ns, ino, &st);
	return st.f_bavail;
}

static int resize(uint64_t ino, uint64_t blocks)
{
	return pool_resize(&pool, ino, blocks * GM_BLOCK_SIZE);
}

static int move(uint64_t from, const char *a, uint64_t to, const char *b)
{
	return pool_rename(&pool, from, a, to, b, 0);
}

static uint64_t file(uint64_t dir, const char *name, uint64_t blocks)
{
	uint64_t ino = pool_create(&pool, dir, name);

	cr_assert_eq(resize(ino, blocks), 0);
	return ino;
}

Test(quota, numbers_and_who_may_set_them)
{
	static const struct {
		const char *text;
		const char *value; /* NULL: refused */
	} cases[] = {
		{"4194304", "4194304"},
		{"4M", "4194304"},
		{"1K", "1024"},
		{"3G", "3221225472"},
		{"2T", "2199023255552"},
		{"0004M", "4194304"},
		{"8388607T", "9223370937343148032"},
		{"9223372036854775807", "9223372036854775807"},
		{"9223372036854775808", NULL},
		{"8388608T", NULL},
		{"99999999999999999999", NULL},
		{"0", NULL},
		{"0G", NULL},
		{"", NULL},
		{"M", NULL},
		{"4m", NULL},
		{"4MB", NULL},
		{" 4M", NULL},
		{"-4M", NULL},
		{"4.5M", NULL},
	};
	uint64_t d = pool_mkdir(&pool, ROOT, "d");
	const void *value;
	size_t length;

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		int r = limit(d, cases[n].text);

		cr_expect_eq(r, cases[n].value ? 0 : -EINVAL, "%s: %d", cases[n].text, r);
		if (r < 0)
			continue;
		cr_assert_eq(ns_getxattr(&pool.ns, d, XATTR_QUOTA, &value, &length), 0);
		cr_expect(length == strlen(cases[n].value) &&
				  memcmp(value, cases[n].value, length) == 0,
			"%s: %.*s", cases[n].text, (int)length, (const char *)value);
	}
	pool.rq.uid = 1000;
	cr_expect_eq(limit(d, "4M"), -EPERM);
	cr_expect_eq(unlimit(d), -EPERM);
	pool.ns.owner = 1000;
	cr_expect_eq(limit(d, "4M"), 0);
	cr_expect_eq(unlimit(d), 0);
	cr_expect_eq(unlimit(d), -ENODATA);
}

Test(quota, is_kept_by_every_way_to_more_memory)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d"), f = file(d, "f", 3), g;

	cr_assert_eq(limit(d, "9M"), 0); /* four blocks and a bit */
	cr_expect_eq(used(d), 3);
	cr_expect_eq(left(f), 2, "one and the bit, which is room for content");
	cr_expect_eq(resize(f, 5), -EDQUOT);
	cr_expect_eq(resize(f, 4), 0);
	cr_expect_eq(left(d), 1);
	g = pool_create(&pool, d, "g");
	cr_expect_eq(resize(g, 1), -EDQUOT);
	cr_expect_eq(resize(f, 2), 0);
	cr_expect_eq(resize(g, 2), 0);
	cr_expect_eq(resize(g, 3), -EDQUOT);
	cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, d, "f", 1), 0);
	cr_expect_eq(used(d), 2);
	cr_assert_eq(unlimit(d), 0);
	cr_expect_eq(resize(g, 30), 0);
	cr_expect_eq(left(d), 200 - 30);
}

Test(quota, counts_what_fallocate_takes_and_gives_back)
{
	const struct ns_range four = {.length = 4 * GM_BLOCK_SIZE};
	const struct ns_range one = {.offset = GM_BLOCK_SIZE, .length = GM_BLOCK_SIZE};
	uint64_t d = pool_mkdir(&pool, ROOT, "d"), f = pool_create(&pool, d, "f"),
		 g = pool_create(&pool, d, "g");

	cr_assert_eq(limit(d, "10M"), 0);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, f, NS_ALLOCATE_KEEP, &four), 0);
	cr_expect_eq(used(d), 4);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, g, NS_ALLOCATE, &four), -EDQUOT);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, f, NS_ALLOCATE, &four), 0);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, f, NS_PUNCH, &one), 0);
	cr_expect_eq(used(d), 3);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, g, NS_ALLOCATE, &one), 0);
	cr_expect_eq(used(d), 5);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, f, NS_ALLOCATE, &one), -EDQUOT);
}

Test(quota, every_directory_above_counts)
{
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), b = pool_mkdir(&pool, a, "b"),
		 c = pool_mkdir(&pool, b, "c"), f = file(c, "f", 2), g = file(a, "g", 3);

	cr_assert_eq(limit(a, "20M"), 0);
	cr_assert_eq(limit(c, "6M"), 0);
	cr_expect_eq(used(c), 2);
	cr_expect_eq(left(c), 1);
	cr_expect_eq(left(a), 5);
	cr_expect_eq(left(b), 5);
	cr_expect_eq(resize(f, 4), -EDQUOT, "its own");
	cr_expect_eq(resize(f, 3), 0);
	cr_expect_eq(left(a), 4);
	cr_expect_eq(resize(g, 7), 0);
	cr_expect_eq(resize(f, 0), 0);
	cr_expect_eq(resize(g, 10), 0);
	cr_expect_eq(resize(f, 1), -EDQUOT, "that of the one above");
	cr_expect_eq(left(c), 0);
	cr_assert_eq(limit(b, "2M"), 0); /* between the two */
	cr_expect_eq(resize(g, 8), 0);
	cr_expect_eq(resize(f, 2), -EDQUOT);
	cr_expect_eq(resize(f, 1), 0);
	cr_assert_eq(unlimit(b), 0);
	cr_expect_eq(resize(f, 2), 0);
	cr_expect_eq(left(a), 0);
}

Test(quota, may_be_set_below_what_is_used_already)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d"), f = file(d, "f", 9);

	cr_assert_eq(limit(d, "4M"), 0);
	cr_expect_eq(left(d), 0);
	cr_expect_eq(resize(f, 10), -EDQUOT);
	cr_expect_eq(resize(f, 8), 0, "less is always fine");
	cr_expect_neq(pool_create(&pool, d, "empty"), 0);
	cr_expect_eq(resize(f, 1), 0);
	cr_expect_eq(resize(f, 2), 0);
}

Test(quota, a_file_that_moves_counts_where_it_is)
{
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), b = pool_mkdir(&pool, ROOT, "b");

	(void)file(a, "f", 3);
	(void)file(b, "g", 2);
	(void)file(b, "h", 5);
	cr_assert_eq(limit(a, "8M"), 0);
	cr_assert_eq(limit(b, "16M"), 0);
	cr_expect_eq(move(b, "h", a, "h"), -EDQUOT);
	cr_expect_eq(used(b), 7);
	cr_expect_eq(move(b, "g", a, "g"), -EDQUOT);
	cr_expect_eq(move(b, "g", a, "f"), 0, "what it replaces makes room");
	cr_expect_eq(used(a), 2);
	cr_expect_eq(used(b), 5);
	cr_expect_eq(pool_rename(&pool, a, "f", b, "h", RENAME_EXCHANGE), -EDQUOT);
	cr_expect_eq(move(b, "h", ROOT, "h"), 0);
	cr_expect_eq(used(b), 0);
	(void)file(b, "k", 4);
	cr_expect_eq(pool_rename(&pool, a, "f", b, "k", RENAME_EXCHANGE), 0);
	cr_expect_eq(used(a), 4);
	cr_expect_eq(used(b), 2);
	pool_reopen(&pool, false);
	cr_expect_eq(used(a), 4);
	cr_expect_eq(used(b), 2);
}

Test(quota, a_directory_moves_with_all_that_is_below)
{
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), b = pool_mkdir(&pool, ROOT, "b"),
		 c = pool_mkdir(&pool, b, "c"), d = pool_mkdir(&pool, c, "d"), f;

	f = file(d, "f", 3);
	(void)file(c, "g", 2);
	cr_assert_eq(limit(d, "8M"), 0);
	cr_assert_eq(limit(b, "40M"), 0);
	cr_assert_eq(limit(a, "8M"), 0);
	cr_expect_eq(move(b, "c", a, "c"), -EDQUOT);
	cr_expect_eq(used(b), 5);
	cr_expect_eq(used(a), 0);
	cr_assert_eq(limit(a, "10M"), 0);
	cr_expect_eq(move(b, "c", a, "c"), 0);
	cr_expect_eq(used(b), 0);
	cr_expect_eq(used(a), 5);
	cr_expect_eq(resize(f, 4), -EDQUOT, "that of a, not its own");
	cr_expect_eq(used(d), 3);
	cr_expect_eq(move(c, "d", ROOT, "d"), 0);
	cr_expect_eq(used(a), 2);
	cr_expect_eq(resize(f, 4), 0);
	cr_expect_eq(resize(f, 5), -EDQUOT, "its own went along");
	cr_expect_eq(pool_rename(&pool, ROOT, "d", a, "c", RENAME_EXCHANGE), 0);
	cr_expect_eq(used(a), 4);
}

Test(quota, a_removed_file_that_is_in_use_still_counts)
{
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), d = pool_mkdir(&pool, a, "d"),
		 f = file(d, "f", 3);

	cr_assert_eq(limit(a, "8M"), 0);
	cr_assert_eq(limit(d, "8M"), 0);
	cr_assert_eq(ns_open(&pool.ns, f, 0), 0);
	cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, d, "f", 1), 0);
	cr_expect_eq(used(d), 3);
	cr_assert_eq(ns_rmdir(&pool.ns, &pool.rq, a, "d", 1), 0);
	cr_expect_eq(used(a), 3, "its own quota is gone: on the next one");
	cr_assert_eq(ns_release(&pool.ns, f, 0), 0);
	cr_expect_eq(used(a), 0);
}

/* Who waits for room waits for them alone. */
Test(quota, only_what_counts_on_the_tightest_is_in_the_way)
{
	uint64_t top = pool_mkdir(&pool, ROOT, "top"), a = pool_mkdir(&pool, top, "a"),
		 b = pool_mkdir(&pool, top, "b");
	uint64_t f = file(a, "f", 1), removed[] = {file(a, "r", 1), file(b, "r", 1),
					      file(top, "r", 1), file(ROOT, "r", 1)};
	const uint64_t dirs[] = {a, b, top, ROOT};
	uint64_t *list = NULL;
	size_t count;

	cr_assert_eq(limit(top, "20M"), 0);
	cr_assert_eq(limit(a, "4M"), 0);
	cr_assert_eq(limit(b, "4M"), 0);
	for (size_t n = 0; n < ARRAY_SIZE(removed); n++) {
		cr_assert_eq(ns_hold(&pool.ns, removed[n]), 0);
		cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, dirs[n], "r", 1), 0);
	}
	cr_assert_eq(resize(f, 2), -EDQUOT);
	cr_assert_eq(ns_list_held_orphans(&pool.ns, f, &list, &count), 0);
	cr_expect(count == 1 && list[0] == removed[0], "its own quota is full");
	free(list);
	cr_assert_eq(limit(top, "7M"), 0);
	cr_assert_eq(limit(a, "20M"), 0);
	cr_assert_eq(resize(f, 2), -EDQUOT);
	cr_assert_eq(ns_list_held_orphans(&pool.ns, f, &list, &count), 0);
	cr_expect_eq(count, 3, "the one above");
	free(list);
	cr_assert_eq(ns_list_held_orphans(&pool.ns, file(ROOT, "g", 1), &list, &count), 0);
	cr_expect_eq(count, 0, "no quota at all");
	cr_assert_eq(ns_list_held_orphans(&pool.ns, 0, &list, &count), 0);
	cr_expect_eq(count, 4);
	free(list);
}

Test(quota, places_are_used_again)
{
	char name[16];

	for (unsigned n = 0; n < 50; n++) {
		uint64_t d;

		(void)snprintf(name, sizeof(name), "d%u", n);
		d = pool_mkdir(&pool, ROOT, name);
		cr_assert_eq(limit(d, "2M"), 0);
		(void)file(d, "f", 1);
		if (n % 2) {
			cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, d, "f", 1), 0);
			cr_assert_eq(ns_rmdir(&pool.ns, &pool.rq, ROOT, name, strlen(name)), 0);
		} else if (n % 4) {
			cr_assert_eq(unlimit(d), 0);
		}
		cr_expect_leq(store_meta(pool.store)->quotas.count, 1 + n / 4 + 1);
	}
	cr_expect_eq(store_meta(pool.store)->quotas.count, 13);
}

/* No room for attributes is found out after the quota would have been fine. */
Test(quota, nothing_counts_elsewhere_when_the_attribute_finds_no_room)
{
	static const uint8_t value[GM_XATTR_VALUE_MAX];
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), b = pool_mkdir(&pool, a, "b"),
		 f = file(b, "f", 3), g = file(a, "g", 2);
	struct ns_xattr x = {.name = "user.a", .value = value};
	char name[16];
	unsigned n = 0;

	cr_assert_eq(limit(b, "20M"), 0);
	for (size_t size = sizeof(value); size; size /= 2)
		do {
			(void)snprintf(name, sizeof(name), "x%u", n++);
			x.value_len = size;
		} while (ns_setxattr(&pool.ns, &pool.rq, pool_create(&pool, ROOT, name), &x) == 0);
	cr_assert_eq(limit(a, "20M"), -ENOSPC);
	cr_expect_eq(store_meta(pool.store)->quotas.count, 1);
	cr_expect_eq(pool_inode(&pool, g)->quota, 0);
	cr_expect_eq(used(f), 3);
	cr_expect_eq(resize(g, 30), 0);
	cr_expect_eq(resize(f, 7), 0, "its own room is what it was");
	cr_expect_eq(left(f), 3);
	cr_assert_eq(unlimit(b), 0);
	cr_assert_eq(limit(a, "20M"), 0);
	cr_expect_eq(used(f), 37);
}

/* ---- against counting by hand ---- */

#define SHARES 12U /* of a file, to be divided by its names: two to four */

static uint64_t count_below(uint64_t dir)
{
	struct ns_entry e;
	uint64_t n = 0;

	for (uint64_t after = 2; ns_next_entry(&pool.ns, dir, after, &e) > 0; after = e.cookie)
		n += e.type == S_IFDIR ? count_below(e.ino)
				       : inode_blocks(pool_inode(&pool, e.ino)) * SHARES /
						 pool_inode(&pool, e.ino)->attr.links;
	return n;
}

/* Files know the same quota as the directories that they are in. */
static void compare_files(uint64_t dir)
{
	struct ns_entry e;

	for (uint64_t after = 2; ns_next_entry(&pool.ns, dir, after, &e) > 0; after = e.cookie)
		if (e.type == S_IFREG)
			cr_assert_eq(
				pool_inode(&pool, e.ino)->quota, pool_inode(&pool, dir)->quota);
}

static void compare_all(const uint64_t *dirs, size_t count)
{
	const struct quotas *q = &store_meta(pool.store)->quotas;

	for (uint32_t n = 1; n < q->capacity; n++)
		if (q->list[n].ino)
			cr_assert_eq(q->list[n].used * SHARES,
				count_below(q->list[n].ino) * GM_UNITS_PER_BLOCK);
	for (size_t n = 0; n < count; n++) {
		const struct inode *i = pool_inode(&pool, dirs[n]);

		while (i->attr.ino != ROOT &&
			!XATTRS_GET(store_meta(pool.store), i->attr.ino, XATTR_QUOTA))
			i = pool_inode(&pool, i->attr.parent);
		cr_assert_eq(pool_inode(&pool, dirs[n])->quota
				     ? q->list[pool_inode(&pool, dirs[n])->quota].ino
				     : ROOT,
			i->attr.ino);
		compare_files(dirs[n]);
	}
}

static uint64_t any(const uint64_t *dirs, size_t count)
{
	return dirs[chance_below((uint32_t)count)];
}

static void random_step(uint64_t *dirs, size_t *count)
{
	static const char *const limits[] = {"4M", "10M", "40M", "100M"};
	static const char *const names[] = {"a", "b", "c", "d"};
	const char *name = names[chance_below(4)], *other = names[chance_below(4)];
	uint64_t dir = any(dirs, *count), to = any(dirs, *count);
	struct ns_name second = {.parent = to, .name = other, .length = 1};
	struct stat st;

	switch (chance_below(9)) {
	case 0:
		if (*count < 12 && ns_mkdir(&pool.ns, &pool.rq, dir, name, 1, 0700, &st) == 0)
			dirs[(*count)++] = st.st_ino;
		break;
	case 1:
		(void)ns_create(&pool.ns, &pool.rq, dir, name, 1, 0600, &st);
		break;
	case 2:
	case 3:
		if (ns_lookup(&pool.ns, dir, name, 1, &st) == 0 && S_ISREG(st.st_mode))
			(void)resize(st.st_ino, chance_below(9));
		break;
	case 4:
		(void)move(dir, name, to, other);
		break;
	case 5:
		(void)pool_rename(&pool, dir, name, to, other, RENAME_EXCHANGE);
		break;
	case 6:
		if (ns_lookup(&pool.ns, dir, name, 1, &st) == 0 && S_ISREG(st.st_mode) &&
			st.st_nlink < 4)
			(void)ns_link(&pool.ns, &pool.rq, st.st_ino, &second, &st);
		break;
	case 7:
		(void)limit(dir, limits[chance_below(4)]);
		break;
	default:
		if (chance_below(2))
			(void)unlimit(dir);
		else
			(void)ns_unlink(&pool.ns, &pool.rq, dir, name, 1);
	}
}

Test(quota, agrees_with_counting_by_hand_whatever_happens)
{
	uint64_t dirs[12] = {ROOT};
	size_t count = 1;

	chance_start();
	for (unsigned n = 0; n < 6000; n++) {
		size_t live = 0;

		random_step(dirs, &count);
		for (size_t k = 0; k < count; k++) /* one that was renamed over is gone */
			if (pool_inode(&pool, dirs[k]) && pool_inode(&pool, dirs[k])->attr.links)
				dirs[live++] = dirs[k];
		count = live;
		compare_all(dirs, count);
		if (n % 500 == 499)
			pool_reopen(&pool, n % 1000 == 999);
	}
}

Test(quota, a_file_has_all_its_names_under_one)
{
	uint64_t a = pool_mkdir(&pool, ROOT, "a"), b = pool_mkdir(&pool, ROOT, "b"),
		 c = pool_mkdir(&pool, a, "c"), f = file(a, "f", 1), n;
	struct ns_name in_b = {.parent = b, .name = "f", .length = 1};
	struct ns_name in_c = {.parent = c, .name = "f", .length = 1};
	struct ns_name fifo = {.parent = a, .name = "p", .length = 1};
	struct stat st;

	cr_assert_eq(limit(a, "8M"), 0);
	cr_expect_eq(ns_link(&pool.ns, &pool.rq, f, &in_b, &st), -EXDEV);
	cr_expect_eq(ns_link(&pool.ns, &pool.rq, f, &in_c, &st), 0);
	cr_expect_eq(used(a), 1, "it counts once");
	cr_expect_eq(move(a, "f", b, "f"), -EXDEV);
	cr_expect_eq(move(c, "f", b, "f"), -EXDEV);
	cr_expect_eq(move(a, "c", b, "c"), -EXDEV, "one of its names would go along");
	cr_expect_eq(limit(c, "8M"), -EXDEV, "one of its names would count there");
	cr_expect_eq(limit(ROOT, "100M"), 0, "both do");
	cr_expect_eq(unlimit(ROOT), 0);
	cr_expect_eq(move(ROOT, "a", b, "a"), 0, "both go along");
	cr_expect_eq(move(b, "a", ROOT, "a"), 0);
	cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, a, "f", 1), 0);
	cr_expect_eq(used(a), 1);
	cr_expect_eq(limit(c, "8M"), 0);
	cr_expect_eq(move(c, "f", b, "f"), 0);
	cr_expect_eq(used(a), 0);

	cr_assert_eq(ns_mknod(&pool.ns, &pool.rq, &fifo, S_IFIFO | 0600, 0, &st), 0);
	n = st.st_ino;
	in_b.name = "p";
	cr_expect_eq(ns_link(&pool.ns, &pool.rq, n, &in_b, &st), 0, "it has no memory");
}
