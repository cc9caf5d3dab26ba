// SPDX-License-Identifier: MIT
/* Extended attributes: names, limits, flags, what lists and policies do, and that all of it is
 * there after the worker came back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "pool_fixture.h"
#include "store/acl.h"
#include "store/xattrs.h"
#include "util/cleanup.h"

#define ROOT GM_ROOT_INO
#define GIB  GM_GROUP_SIZE

static struct pool pool;

static void setup(void)
{
	pool_init(&pool, 64, 4000, true);
}

static void teardown(void)
{
	pool_deinit(&pool);
}

TestSuite(xattrs, .init = setup, .fini = teardown);

static int set_bytes(uint64_t ino, const char *name, const void *value, size_t length, int flags)
{
	const struct ns_xattr x = {
		.name = name, .value = value, .value_len = length, .flags = flags};

	return ns_setxattr(&pool.ns, &pool.rq, ino, &x);
}

static int set(uint64_t ino, const char *name, const char *value)
{
	return set_bytes(ino, name, value, strlen(value), 0);
}

static int take(uint64_t ino, const char *name)
{
	return ns_removexattr(&pool.ns, &pool.rq, ino, name);
}

/* The value as text; the errno's number if there is none. */
static const char *get(uint64_t ino, const char *name)
{
	static char text[256];
	const void *value;
	size_t length;
	int r = ns_getxattr(&pool.ns, ino, name, &value, &length);

	if (r < 0)
		(void)snprintf(text, sizeof(text), "%d", r);
	else
		(void)snprintf(text, sizeof(text), "%.*s", (int)length, (const char *)value);
	return text;
}

#define NONE "-61" /* ENODATA */

/* The names with commas. */
static const char *list(uint64_t ino, bool privileged)
{
	static char text[512];
	_cleanup_free_ char *names = NULL;
	size_t size;

	cr_assert_eq(ns_listxattr(&pool.ns, ino, privileged, &names, &size), 0);
	cr_assert_lt(size, sizeof(text));
	for (size_t n = 0; n < size; n++)
		text[n] = names[n] ? names[n] : ',';
	text[size] = '\0';
	return text;
}

static struct stat stat_of(uint64_t ino)
{
	struct stat st;

	cr_assert_eq(ns_getattr(&pool.ns, ino, &st), 0);
	return st;
}

static uint32_t mode_of(uint64_t ino)
{
	return stat_of(ino).st_mode & 07777;
}

static int chmod_ino(uint64_t ino, uint32_t mode)
{
	const struct ns_change c = {.set = NS_SET_MODE, .mode = mode};
	struct stat st;

	return ns_setattr(&pool.ns, &pool.rq, ino, &c, &st);
}

/* ---- what is kept ---- */

Test(xattrs, are_set_read_listed_and_removed)
{
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_expect_str_eq(get(f, "user.b"), NONE);
	cr_expect_str_eq(list(f, true), "");
	cr_assert_eq(set(f, "user.b", "two"), 0);
	cr_assert_eq(set(f, "user.c", ""), 0);
	cr_assert_eq(set(f, "user.a", "one"), 0);
	cr_expect_str_eq(get(f, "user.a"), "one");
	cr_expect_str_eq(get(f, "user.b"), "two");
	cr_expect_str_eq(get(f, "user.c"), "");
	cr_expect_str_eq(list(f, false), "user.a,user.b,user.c,");
	cr_assert_eq(set(f, "user.b", "three"), 0);
	cr_expect_str_eq(get(f, "user.b"), "three");
	cr_assert_eq(take(f, "user.a"), 0);
	cr_expect_eq(take(f, "user.a"), -ENODATA);
	cr_expect_str_eq(list(f, false), "user.b,user.c,");
	cr_expect_str_eq(list(ROOT, false), "");
}

Test(xattrs, change_the_ctime_and_no_other)
{
	uint64_t f = pool_create(&pool, ROOT, "f");
	struct stat before = stat_of(f), after;

	pool_tick(&pool);
	cr_assert_eq(set(f, "user.a", "x"), 0);
	after = stat_of(f);
	cr_expect_eq(after.st_ctim.tv_sec, pool.rq.now.tv_sec);
	cr_expect_eq(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
	pool_tick(&pool);
	cr_assert_eq(take(f, "user.a"), 0);
	cr_expect_eq(stat_of(f).st_ctim.tv_sec, pool.rq.now.tv_sec);
	pool_tick(&pool);
	cr_assert_eq(take(f, "user.a"), -ENODATA);
	cr_expect_neq(stat_of(f).st_ctim.tv_sec, pool.rq.now.tv_sec);
}

Test(xattrs, are_there_after_a_restart_and_in_checkpoints)
{
	uint64_t f = pool_create(&pool, ROOT, "f"), d = pool_mkdir(&pool, ROOT, "d");

	cr_assert_eq(set(f, "user.a", "one"), 0);
	cr_assert_eq(set(d, "trusted.a", "root's"), 0);
	cr_assert_eq(store_checkpoint(pool.store), 0);
	cr_assert_eq(set(f, "user.a", "two"), 0);
	cr_assert_eq(set(f, "security.b", "x"), 0);
	cr_assert_eq(take(d, "trusted.a"), 0);
	for (unsigned n = 0; n < 2; n++) {
		pool_reopen(&pool, n > 0);
		cr_expect_str_eq(list(f, true), "security.b,user.a,");
		cr_expect_str_eq(get(f, "user.a"), "two");
		cr_expect_str_eq(list(d, true), "");
		cr_assert_eq(store_checkpoint(pool.store), 0);
	}
}

Test(xattrs, go_with_their_inode_and_leave_no_trace)
{
	uint64_t empty = meta_image_bytes(store_meta(pool.store)), f, d;

	f = pool_create(&pool, ROOT, "f");
	d = pool_mkdir(&pool, ROOT, "d");
	cr_assert_eq(set(f, "user.a", "one"), 0);
	cr_assert_eq(set(f, "user.b", "two"), 0);
	cr_assert_eq(set(d, "user.b", "two"), 0);
	cr_assert_eq(ns_unlink(&pool.ns, &pool.rq, ROOT, "f", 1), 0);
	cr_assert_eq(ns_rmdir(&pool.ns, &pool.rq, ROOT, "d", 1), 0);
	cr_expect_eq(store_meta(pool.store)->xattr_count, 0);
	cr_expect_eq(meta_image_bytes(store_meta(pool.store)), empty);
	f = pool_create(&pool, ROOT, "f");
	cr_expect_str_eq(list(f, true), "");
}

Test(xattrs, many_inodes_with_many_each_are_told_apart)
{
	uint64_t ino[60];
	char name[32], value[32];

	for (unsigned k = 0; k < ARRAY_SIZE(ino); k++) {
		(void)snprintf(name, sizeof(name), "f%u", k);
		ino[k] = pool_create(&pool, ROOT, name);
	}
	for (unsigned n = 0; n < 30; n++)
		for (unsigned k = 0; k < ARRAY_SIZE(ino); k++) {
			(void)snprintf(name, sizeof(name), "user.%u", (n * 7 + k) % 30);
			(void)snprintf(value, sizeof(value), "%u-%u", k, (n * 7 + k) % 30);
			cr_assert_eq(set(ino[k], name, value), 0);
		}
	for (unsigned k = 0; k < ARRAY_SIZE(ino); k += 2)
		for (unsigned n = 0; n < 30; n += 1 + k % 3) {
			(void)snprintf(name, sizeof(name), "user.%u", n);
			cr_assert_eq(take(ino[k], name), 0);
		}
	pool_reopen(&pool, false);
	for (unsigned k = 0; k < ARRAY_SIZE(ino); k++)
		for (unsigned n = 0; n < 30; n++) {
			bool gone = k % 2 == 0 && n % (1 + k % 3) == 0;

			(void)snprintf(name, sizeof(name), "user.%u", n);
			(void)snprintf(value, sizeof(value), "%u-%u", k, n);
			cr_expect_str_eq(get(ino[k], name), gone ? NONE : value);
		}
}

/* ---- names, flags, limits ---- */

Test(xattrs, names_are_taken_or_refused)
{
	static const struct {
		const char *name;
		int dir, file;
	} cases[] = {
		{"user.x", 0, 0},
		{"trusted.x", 0, 0},
		{"security.selinux", 0, 0},
		{"user.guestmemfsx", 0, 0},
		{"user.", -EINVAL, -EINVAL},
		{"trusted.", -EINVAL, -EINVAL},
		{"system.x", -EOPNOTSUPP, -EOPNOTSUPP},
		{"system.posix_acl_accessx", -EOPNOTSUPP, -EOPNOTSUPP},
		{"user.guestmemfs.", -EOPNOTSUPP, -EOPNOTSUPP},
		{"user.guestmemfs.unknown", -EOPNOTSUPP, -EOPNOTSUPP},
		{"nothing", -EOPNOTSUPP, -EOPNOTSUPP},
		{"", -ERANGE, -ERANGE},
		{"user.guestmemfs.pagesize", -EINVAL, -EINVAL},
		{"user.guestmemfs.quota", -EPERM, -ENOTDIR},
		{"system.posix_acl_access", -EINVAL, -EINVAL},
		{"system.posix_acl_default", -EINVAL, -EACCES},
	};
	uint64_t f = pool_create(&pool, ROOT, "f"), d = pool_mkdir(&pool, ROOT, "d");
	char longest[258] = "user.";

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		cr_expect_eq(set(d, cases[n].name, "?"), cases[n].dir, "%s", cases[n].name);
		cr_expect_eq(set(f, cases[n].name, "?"), cases[n].file, "%s", cases[n].name);
	}
	memset(longest + 5, 'n', 250);
	cr_expect_eq(set(f, longest, "x"), 0);
	longest[255] = 'n';
	cr_expect_eq(set(f, longest, "x"), -ERANGE);
	cr_expect_eq(set(99, "user.x", "x"), -ESTALE);
	cr_expect_eq(take(f, "user.guestmemfs.unknown"), -ENODATA);
	cr_expect_eq(take(f, "user.guestmemfs.quota"), -ENODATA);
	cr_expect_eq(take(f, "system.posix_acl_access"), 0);
	cr_expect_eq(take(d, "system.posix_acl_default"), 0);
}

Test(xattrs, flags_say_whether_it_may_or_must_be_there)
{
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_expect_eq(set_bytes(f, "user.a", "x", 1, XATTR_REPLACE), -ENODATA);
	cr_expect_eq(set_bytes(f, "user.a", "x", 1, XATTR_CREATE), 0);
	cr_expect_eq(set_bytes(f, "user.a", "y", 1, XATTR_CREATE), -EEXIST);
	cr_expect_eq(set_bytes(f, "user.a", "y", 1, XATTR_REPLACE), 0);
	cr_expect_eq(set_bytes(f, "user.a", "y", 1, 4), -EINVAL);
	cr_expect_str_eq(get(f, "user.a"), "y");
}

Test(xattrs, the_largest_value_fits_and_survives)
{
	static uint8_t value[GM_XATTR_VALUE_MAX + 1];
	uint64_t f = pool_create(&pool, ROOT, "f");
	const void *is;
	size_t length;

	for (size_t n = 0; n < sizeof(value); n++)
		value[n] = (uint8_t)(n * 7 >> 3);
	cr_expect_eq(set_bytes(f, "user.a", value, sizeof(value), 0), -E2BIG);
	cr_assert_eq(set_bytes(f, "user.a", value, sizeof(value) - 1, 0), 0);
	for (unsigned n = 0; n < 2; n++) {
		pool_reopen(&pool, false);
		cr_assert_eq(ns_getxattr(&pool.ns, f, "user.a", &is, &length), 0);
		cr_assert_eq(length, GM_XATTR_VALUE_MAX);
		cr_expect_eq(memcmp(is, value, length), 0);
		cr_assert_eq(store_checkpoint(pool.store), 0);
	}
}

Test(xattrs, one_inode_has_a_limit_and_all_together_have_one)
{
	static const uint8_t value[GM_XATTR_VALUE_MAX];
	uint64_t f = pool_create(&pool, ROOT, "f"), slot = pool.super.plan.slot_size;
	char name[16];
	int r = 0;

	cr_assert_eq(set_bytes(f, "user.a", value, 60000, 0), 0);
	cr_assert_eq(set_bytes(f, "user.b", value, 60000, 0), 0);
	cr_expect_eq(set_bytes(f, "user.c", value, 60000, 0), -ENOSPC);
	cr_expect_eq(set_bytes(f, "user.b", value, 65536, 0), 0, "it takes the other one's place");
	for (unsigned n = 0; n < 100 && r == 0; n++) {
		(void)snprintf(name, sizeof(name), "f%u", n);
		r = set_bytes(pool_create(&pool, ROOT, name), "user.a", value, 65536, 0);
	}
	cr_expect_eq(r, -ENOSPC);
	cr_expect(store_meta(pool.store)->xattr_bytes <= slot / 4 &&
		  store_meta(pool.store)->xattr_bytes + 66000 > slot / 4);
	cr_expect_neq(pool_create(&pool, ROOT, "files-go-on"), 0);
	cr_assert_eq(take(f, "user.a"), 0);
	cr_expect_eq(set(f, "user.c", "x"), 0);
}

Test(xattrs, a_listing_never_gets_too_long_to_be_read)
{
	uint64_t f = pool_create(&pool, ROOT, "f");
	_cleanup_free_ char *names = NULL;
	char name[256];
	size_t size;
	int r = 0;

	for (unsigned n = 0; r == 0 && n < 1000; n++) {
		(void)snprintf(name, sizeof(name), "user.%0250u", n);
		r = set(f, name, "");
	}
	cr_expect_eq(r, -ENOSPC);
	cr_assert_eq(ns_listxattr(&pool.ns, f, true, &names, &size), 0);
	cr_expect_eq(size, 65536);
}

Test(xattrs, listings_hide_what_is_not_for_the_reader)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d");

	pool.rq.uid = 0;
	cr_assert_eq(set(d, "user.guestmemfs.quota", "8M"), 0);
	cr_assert_eq(set(d, "user.guestmemfs.pagesize", "2M"), 0);
	cr_assert_eq(set(d, "trusted.x", "1"), 0);
	cr_expect_str_eq(list(d, false), "user.guestmemfs.pagesize,");
	cr_expect_str_eq(list(d, true), "trusted.x,user.guestmemfs.pagesize,");
	cr_expect_str_eq(get(d, "user.guestmemfs.quota"), "8388608");
}

Test(xattrs, nothing_is_set_while_the_pool_is_frozen)
{
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert_eq(set(f, "user.a", "x"), 0);
	cr_assert_eq(store_freeze(pool.store), 0);
	cr_expect_eq(set(f, "user.b", "x"), -EBUSY);
	cr_expect_eq(take(f, "user.a"), -EBUSY);
	cr_expect_str_eq(get(f, "user.a"), "x");
}

/* ---- access lists ---- */

/* owner, user 3, group, mask, others: five octal digits. */
static size_t make_list(uint8_t bytes[44], const char *digits)
{
	static const uint8_t tags[5] = {0x01, 0x02, 0x04, 0x10, 0x20};

	memset(bytes, 0, 44);
	bytes[0] = 2;
	for (unsigned n = 0; n < 5; n++) {
		uint8_t *at = bytes + 4 + 8 * n;

		at[0] = tags[n];
		at[2] = (uint8_t)(digits[n] - '0');
		memset(at + 4, n == 1 ? 0 : 0xff, 4);
		at[4] = n == 1 ? 3 : 0xff;
	}
	return 44;
}

static const char *digits_of(uint64_t ino, const char *name)
{
	static char text[6];
	const uint8_t *list = NULL;
	const void *value;
	size_t length;

	if (ns_getxattr(&pool.ns, ino, name, &value, &length) < 0)
		return "";
	cr_assert_eq(length, 44);
	list = value;
	for (unsigned n = 0; n < 5; n++)
		text[n] = (char)('0' + list[4 + 8 * n + 2]);
	return text;
}

static int set_list(uint64_t ino, const char *name, const char *digits)
{
	uint8_t bytes[44];

	return set_bytes(ino, name, bytes, make_list(bytes, digits), 0);
}

Test(xattrs, a_list_and_the_mode_keep_in_step)
{
	uint64_t f = pool_create(&pool, ROOT, "f");
	static const uint8_t minimal[28] = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0,
		255, 255, 255, 255, 32, 0, 1, 0, 255, 255, 255, 255};

	cr_assert_eq(chmod_ino(f, 04640), 0);
	cr_assert_eq(set_list(f, ACL_ACCESS_NAME, "67450"), 0);
	cr_expect_eq(mode_of(f), 04650);
	cr_assert_eq(chmod_ino(f, 0724), 0);
	cr_expect_str_eq(digits_of(f, ACL_ACCESS_NAME), "77424");
	pool_reopen(&pool, false);
	cr_expect_str_eq(digits_of(f, ACL_ACCESS_NAME), "77424");
	cr_expect_eq(mode_of(f), 0724);
	cr_assert_eq(set_bytes(f, ACL_ACCESS_NAME, minimal, sizeof(minimal), 0), 0);
	cr_expect_eq(mode_of(f), 0751);
	cr_expect_str_eq(list(f, true), "", "the mode says all of it");
	cr_assert_eq(set_list(f, ACL_ACCESS_NAME, "67450"), 0);
	cr_assert_eq(take(f, ACL_ACCESS_NAME), 0);
	cr_expect_eq(mode_of(f), 0650);
}

static uint64_t make_in(uint64_t dir, const char *name, bool is_dir, uint32_t mode)
{
	struct stat st;
	int r = is_dir ? ns_mkdir(&pool.ns, &pool.rq, dir, name, strlen(name), mode, &st)
		       : ns_create(&pool.ns, &pool.rq, dir, name, strlen(name), mode, &st);

	cr_assert_eq(r, 0);
	return st.st_ino;
}

Test(xattrs, a_default_list_takes_the_place_of_the_umask)
{
	uint64_t d = pool_mkdir(&pool, ROOT, "d"), f, e;

	pool.rq.umask = 0077;
	cr_expect_eq(mode_of(make_in(d, "plain", false, 0666)), 0600);
	cr_expect_eq(mode_of(make_in(d, "plain-dir", true, 0777)), 0700);
	cr_assert_eq(set_list(d, ACL_DEFAULT_NAME, "76574"), 0);
	cr_expect_eq(mode_of(d), 0750, "a default list changes no mode");
	f = make_in(d, "f", false, 0666);
	cr_expect_eq(mode_of(f), 0664);
	cr_expect_str_eq(digits_of(f, ACL_ACCESS_NAME), "66564");
	cr_expect_str_eq(digits_of(f, ACL_DEFAULT_NAME), "");
	e = make_in(d, "e", true, 0777);
	cr_expect_eq(mode_of(e), 0774);
	cr_expect_str_eq(digits_of(e, ACL_ACCESS_NAME), "76574");
	cr_expect_str_eq(digits_of(e, ACL_DEFAULT_NAME), "76574");
	pool_reopen(&pool, true);
	cr_expect_str_eq(digits_of(f, ACL_ACCESS_NAME), "66564");
	cr_expect_str_eq(digits_of(e, ACL_DEFAULT_NAME), "76574");
}

Test(xattrs, a_device_node_gives_nobody_what_the_list_denies)
{
	const struct meta *m = store_meta(pool.store);
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_expect_eq(ns_node_mode(m, pool_inode(&pool, f)), 0640);
	cr_assert_eq(set_list(f, ACL_ACCESS_NAME, "66060"), 0);
	cr_expect_eq(mode_of(f), 0660);
	cr_expect_eq(ns_node_mode(m, pool_inode(&pool, f)), 0600);
}

/* ---- page size ---- */

Test(xattrs, the_page_size_is_inherited_and_insisted_on)
{
	uint64_t d, f, e;

	pool_deinit(&pool);
	pool_init(&pool, 2600, 1000, true);
	d = pool_mkdir(&pool, ROOT, "d");
	cr_expect_eq(set(d, XATTR_PAGE_SIZE, "4K"), -EINVAL);
	cr_assert_eq(set(d, XATTR_PAGE_SIZE, "1G"), 0);
	f = pool_create(&pool, d, "f");
	e = pool_mkdir(&pool, d, "e");
	cr_expect_str_eq(get(f, XATTR_PAGE_SIZE), "1G");
	cr_expect_str_eq(get(e, XATTR_PAGE_SIZE), "1G");
	cr_expect_eq(pool_resize(&pool, f, GIB + GM_BLOCK_SIZE), -EINVAL);
	cr_assert_eq(pool_resize(&pool, f, 4 * GIB), 0);
	for (uint32_t n = 0; n < pool_inode(&pool, f)->extent_count; n++)
		cr_expect(pool_inode(&pool, f)->extents[n].block % GM_BLOCKS_PER_GROUP == 0 &&
			  pool_inode(&pool, f)->extents[n].count % GM_BLOCKS_PER_GROUP == 0);
	e = pool_create(&pool, e, "g");
	cr_assert_gt(pool_stats(&pool).free, GM_BLOCKS_PER_GROUP);
	cr_expect_eq(pool_resize(&pool, e, GIB), -ENOSPC, "no group is whole any more");
	cr_assert_eq(set(e, XATTR_PAGE_SIZE, "auto"), 0);
	cr_expect_str_eq(get(e, XATTR_PAGE_SIZE), NONE);
	cr_expect_eq(pool_resize(&pool, e, GIB / 2), 0);
	cr_expect_eq(set(e, XATTR_PAGE_SIZE, "1G"), -EINVAL, "it has memory already");
}

Test(xattrs, whole_gigabytes_come_and_go_whole)
{
	const struct ns_range part = {.offset = 3 * GM_BLOCK_SIZE, .length = 9 * GM_BLOCK_SIZE};
	const struct ns_range over = {.offset = GIB - GM_BLOCK_SIZE, .length = GIB + GM_BLOCK_SIZE};
	uint64_t f;

	pool_deinit(&pool);
	pool_init(&pool, 2600, 1000, true);
	f = pool_create(&pool, ROOT, "f");
	cr_assert_eq(set(f, XATTR_PAGE_SIZE, "1G"), 0);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, f, NS_ALLOCATE, &part), -EINVAL);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, f, NS_ALLOCATE_KEEP, &part), 0);
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), GM_BLOCKS_PER_GROUP);
	cr_assert_eq(pool_resize(&pool, f, 3 * GIB), 0);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, f, NS_PUNCH, &part), 0);
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), 3 * GM_BLOCKS_PER_GROUP);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, f, NS_PUNCH, &over), 0);
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), 2 * GM_BLOCKS_PER_GROUP);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, f, NS_ALLOCATE, &over), 0);
	for (uint32_t n = 0; n < pool_inode(&pool, f)->extent_count; n++)
		cr_expect(pool_inode(&pool, f)->extents[n].block % GM_BLOCKS_PER_GROUP == 0 &&
			  pool_inode(&pool, f)->extents[n].count % GM_BLOCKS_PER_GROUP == 0);
}

Test(xattrs, two_megabytes_leave_whole_groups_alone)
{
	uint64_t f;

	pool_deinit(&pool);
	pool_init(&pool, 1800, 1000, true);
	f = pool_create(&pool, ROOT, "f");
	cr_assert_eq(set(f, XATTR_PAGE_SIZE, "2M"), 0);
	cr_assert_eq(pool_resize(&pool, f, 700 * GM_BLOCK_SIZE), 0);
	cr_expect_eq(pool_stats(&pool).free, 1800 - 700);
}
