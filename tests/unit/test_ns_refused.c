// SPDX-License-Identifier: MIT
/* What our own attributes refuse: flags, values, and inodes that they are not for. Nothing is
 * changed by it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/xattr.h>

#include "namespace_fixture.h"
#include "util/cleanup.h"

#define MARK      "user.guestmemfs.io"
#define PAGE_SIZE "user.guestmemfs.pagesize"

TestSuite(ns_refused, .init = setup, .fini = teardown);

static int set(uint64_t ino, const char *name, const char *value, int flags)
{
	const struct ns_xattr x = {
		.name = name, .value = value, .value_len = strlen(value), .flags = flags};

	return ns_setxattr(&pool.ns, &pool.rq, ino, &x);
}

static int take(uint64_t ino, const char *name)
{
	return ns_removexattr(&pool.ns, &pool.rq, ino, name);
}

static bool is_there(uint64_t ino, const char *name)
{
	const void *value;
	size_t length;

	return ns_getxattr(&pool.ns, ino, name, &value, &length) == 0;
}

/* Of each kind of inode one. */
static struct {
	uint64_t file, dir, symlink, fifo;
} made;

static void make_all(void)
{
	struct ns_name where = {.parent = ROOT, .name = "link", .length = 4};
	struct stat st;

	made.file = pool_create(&pool, ROOT, "file");
	made.dir = pool_mkdir(&pool, ROOT, "dir");
	cr_assert_eq(ns_symlink(&pool.ns, &pool.rq, &where, "elsewhere", &st), 0);
	made.symlink = st.st_ino;
	where.name = "fifo";
	cr_assert_eq(ns_mknod(&pool.ns, &pool.rq, &where, S_IFIFO | 0600, 0, &st), 0);
	made.fifo = st.st_ino;
}

Test(ns_refused, the_mark_of_content)
{
	make_all();
	cr_expect_eq(set(made.symlink, MARK, "1", 0), -EPERM);
	cr_expect_eq(set(made.fifo, MARK, "1", 0), -EPERM);
	cr_expect_eq(take(made.fifo, MARK), -EPERM);
	cr_expect_eq(take(made.file, MARK), -ENODATA);
	cr_expect_eq(set(made.file, MARK, "1", XATTR_REPLACE), -ENODATA);
	cr_expect_eq(set(made.file, MARK, "1", 4), -EINVAL);
	cr_expect_eq(set(made.file, MARK, "0", 0), -EINVAL);
	cr_expect_eq(set(made.file, MARK, "11", 0), -EINVAL);
	cr_expect_eq(set(made.file, MARK, "", 0), -EINVAL);
	cr_expect_not(is_there(made.file, MARK));
	cr_expect_eq(set(made.file, MARK, "1", XATTR_CREATE), 0);
	cr_expect_eq(set(made.file, MARK, "1", XATTR_CREATE), -EEXIST);
	cr_expect_eq(set(made.file, MARK, "1", XATTR_REPLACE), 0);
	cr_expect(is_there(made.file, MARK));
	cr_expect_eq(take(made.file, MARK), 0);
	cr_expect_not(is_there(made.file, MARK));
}

Test(ns_refused, what_is_held_or_has_memory_does_not_become_content)
{
	make_all();
	cr_assert_eq(pool_resize(&pool, made.file, GM_BLOCK_SIZE), 0);
	cr_expect_eq(set(made.file, MARK, "1", 0), -ENOTEMPTY);
	pool_clean(&pool, made.file);
	cr_assert_eq(ns_hold(&pool.ns, made.file), 0);
	cr_expect_eq(set(made.file, MARK, "1", 0), -EBUSY);
	cr_expect_not(is_there(made.file, MARK));
}

Test(ns_refused, page_sizes)
{
	make_all();
	cr_expect_eq(set(made.file, PAGE_SIZE, "4K", 0), -EINVAL);
	cr_expect_eq(set(made.file, PAGE_SIZE, "1G ", 0), -EINVAL);
	cr_expect_eq(set(made.file, PAGE_SIZE, "", 0), -EINVAL);
	cr_expect_eq(set(made.symlink, PAGE_SIZE, "2M", 0), -EPERM);
	cr_expect_eq(set(made.fifo, PAGE_SIZE, "2M", 0), -EPERM);
	cr_expect_eq(take(made.fifo, PAGE_SIZE), -EPERM);
	cr_assert_eq(pool_resize(&pool, made.file, GM_BLOCK_SIZE), 0);
	cr_expect_eq(set(made.file, PAGE_SIZE, "1G", 0), -EINVAL, "it has other memory already");
	cr_expect_not(is_there(made.file, PAGE_SIZE));
	cr_expect_eq(set(made.dir, PAGE_SIZE, "1G", 0), 0);
}

/* Where memory is given out by whole GiBs. */
Test(ns_refused, small_pages_where_there_are_none)
{
	const struct store_region region = {.kind = GM_REGION_PMEM,
		.blocks = 3ULL * GM_BLOCKS_PER_GROUP,
		.physical_start = 4 * GM_GROUP_SIZE,
		.node = GM_NODE_NONE,
		.large_pages = true};

	pool_deinit(&pool);
	pool_init_region(&pool, &region, 64);
	uint64_t f = pool_create(&pool, ROOT, "f");
	cr_expect_eq(set(f, PAGE_SIZE, "2M", 0), -EINVAL);
	cr_expect_not(is_there(f, PAGE_SIZE));
	cr_expect_eq(set(f, PAGE_SIZE, "1G", 0), 0);
}

Test(ns_refused, a_frozen_pool_allocates_no_content)
{
	const struct ns_range range = {.offset = 0, .length = 4096};

	make_all();
	cr_assert_eq(set(made.file, MARK, "1", 0), 0);
	cr_assert_eq(store_freeze(pool.store), 0);
	cr_expect_eq(ns_change_space(&pool.ns, &pool.rq, made.file, NS_ALLOCATE, &range), -EBUSY);
	cr_expect_eq(set(made.dir, MARK, "1", 0), -EBUSY);
	cr_expect_eq(pool_inode(&pool, made.file)->extent_count, 0);
}
