// SPDX-License-Identifier: MIT
/*
 * Every change of the namespace when memory runs out at any of its calls for it: it says -ENOMEM
 * and not a byte of the media has changed, or it is done; and the same change, tried again, is
 * done.
 */
#include <fcntl.h>
#include <stdio.h>

#include "scarce_pool.h"
#include "util/cleanup.h"

static void setup(void)
{
	scarce_pool_setup(0);
}

TestSuite(memory_namespace, .init = setup, .fini = scarce_pool_teardown);

/* ---- changes ---- */

static int create(void)
{
	struct stat st;

	return ns_create(&pool.ns, &pool.rq, GM_ROOT_INO, "new", 3, 0640, &st);
}

static int create_in_dir(void) /* whose default list goes on to it */
{
	struct stat st;

	return ns_create(&pool.ns, &pool.rq, ino_of("dir"), "new", 3, 0640, &st);
}

static int make_dir(void)
{
	struct stat st;

	return ns_mkdir(&pool.ns, &pool.rq, ino_of("dir"), "new", 3, 0750, &st);
}

static int make_fifo(void)
{
	const struct ns_name where = {.parent = GM_ROOT_INO, .name = "new", .length = 3};
	struct stat st;

	return ns_mknod(&pool.ns, &pool.rq, &where, S_IFIFO | 0600, 0, &st);
}

static int make_symlink(void)
{
	const struct ns_name where = {.parent = GM_ROOT_INO, .name = "new", .length = 3};
	struct stat st;

	return ns_symlink(&pool.ns, &pool.rq, &where, "somewhere/else", &st);
}

static int add_link(void)
{
	const struct ns_name where = {.parent = ino_of("dir"), .name = "new", .length = 3};
	struct stat st;

	return ns_link(&pool.ns, &pool.rq, ino_of("file"), &where, &st);
}

static int unlink_file(void)
{
	return pool_unlink(&pool, GM_ROOT_INO, "file");
}

static int unlink_held(void)
{
	return pool_unlink(&pool, GM_ROOT_INO, "held");
}

static int unlink_content(void)
{
	return pool_unlink(&pool, GM_ROOT_INO, "bytes");
}

static int remove_dir(void)
{
	return pool_rmdir(&pool, GM_ROOT_INO, "empty");
}

static int rename_over(void)
{
	return pool_rename(&pool, GM_ROOT_INO, "none", GM_ROOT_INO, "file", 0);
}

static int rename_dir(void)
{
	return pool_rename(&pool, GM_ROOT_INO, "empty", ino_of("dir"), "moved", 0);
}

static int exchange(void)
{
	return pool_rename(&pool, GM_ROOT_INO, "file", GM_ROOT_INO, "dir", RENAME_EXCHANGE);
}

static int change_attributes(void)
{
	const struct ns_change c = {.set = NS_SET_MODE | NS_SET_UID | NS_SET_GID | NS_SET_ATIME,
		.mode = 0700,
		.uid = 7,
		.gid = 8,
		.atime = {.tv_sec = 5}};
	struct stat st;

	return ns_setattr(&pool.ns, &pool.rq, ino_of("file"), &c, &st);
}

static int grow(void)
{
	return pool_resize(&pool, ino_of("none"), pool_stats(&pool).free * BLOCK);
}

static int grow_held(void)
{
	return pool_resize(&pool, ino_of("held"), 9 * BLOCK);
}

static int shrink(void)
{
	return pool_resize(&pool, ino_of("file"), 3 * BLOCK + 17);
}

static int change_space(const char *name, enum ns_space what, uint64_t offset, uint64_t length)
{
	const struct ns_range range = {.offset = offset, .length = length};

	return ns_change_space(&pool.ns, &pool.rq, ino_of(name), what, &range);
}

static int allocate(void)
{
	return change_space("none", NS_ALLOCATE, 0, 10 * BLOCK);
}

static int allocate_keep(void)
{
	return change_space("file", NS_ALLOCATE_KEEP, 4 * BLOCK, 5 * BLOCK);
}

static int punch(void) /* out of the middle: one extent becomes two */
{
	return change_space("file", NS_PUNCH, BLOCK, 2 * BLOCK);
}

static int add_attribute(void)
{
	return set_xattr(ino_of("none"), "user.new", "a value");
}

static int replace_attribute(void)
{
	return set_xattr(ino_of("file"), "user.old", "another value");
}

static int remove_attribute(void)
{
	return ns_removexattr(&pool.ns, &pool.rq, ino_of("file"), "user.old");
}

static int add_list(void)
{
	return set_list("file", "system.posix_acl_access");
}

static int chmod_with_list(void)
{
	const struct ns_change c = {.set = NS_SET_MODE, .mode = 0770};
	struct stat st;

	return ns_setattr(&pool.ns, &pool.rq, ino_of("dir"), &c, &st);
}

static int set_quota(void)
{
	return set_xattr(ino_of("empty"), "user.guestmemfs.quota", "16M");
}

static int rename_under_quota(void)
{
	return pool_rename(&pool, GM_ROOT_INO, "file", ino_of("limited"), "moved", 0);
}

static int set_page_size(void)
{
	return set_xattr(ino_of("none"), "user.guestmemfs.pagesize", "2M");
}

static int set_mark(void)
{
	return set_xattr(ino_of("none"), "user.guestmemfs.io", "1");
}

static int hold(void)
{
	return ns_hold(&pool.ns, ino_of("file"));
}

static int unhold(void)
{
	return ns_unhold(&pool.ns, ino_of("held"));
}

static int set_exported(void)
{
	return ns_set_exported(&pool.ns, ino_of("held"), true);
}

static int note_clean(void)
{
	const struct file_extent *e = pool_inode(&pool, ino_of("file"))->extents;
	const struct alloc_extent clean = {.block = e->block, .region = e->region, .count = 1};

	return ns_blocks_clean(&pool.ns, &clean, 1);
}

static int freeze(void)
{
	return store_freeze(pool.store);
}

static int checkpoint(void)
{
	return store_checkpoint(pool.store);
}

static int write_in_place(void)
{
	return write_content("bytes", UNIT / 2, UNIT);
}

static int write_new_units(void)
{
	return write_content("nothing", UNIT, 3 * UNIT);
}

static int write_across_the_end(void)
{
	return write_content("bytes", 5 * UNIT, 3 * UNIT);
}

static int allocate_content(void)
{
	return change_space("nothing", NS_ALLOCATE, 0, 9 * UNIT);
}

static int punch_content(void)
{
	return change_space("bytes", NS_PUNCH, UNIT, 2 * UNIT);
}

static int resize_content(void)
{
	return pool_resize(&pool, ino_of("bytes"), 2 * UNIT + 9);
}

static const struct operation operations[] = {
	{.name = "create", .run = create, .fewest = 3},
	{.name = "create, with the directory's list", .run = create_in_dir, .fewest = 4},
	{.name = "mkdir", .run = make_dir, .fewest = 4},
	{.name = "mkfifo", .run = make_fifo, .fewest = 3},
	{.name = "symlink", .run = make_symlink, .fewest = 4},
	{.name = "link", .run = add_link, .fewest = 2},
	{.name = "unlink", .run = unlink_file, .fewest = 1},
	{.name = "unlink, held", .run = unlink_held, .fewest = 1},
	{.name = "unlink, content", .run = unlink_content, .fewest = 1},
	{.name = "rmdir", .run = remove_dir, .fewest = 1},
	{.name = "rename over a file", .run = rename_over, .fewest = 2},
	{.name = "rename a directory", .run = rename_dir, .fewest = 2},
	{.name = "exchange", .run = exchange, .fewest = 3},
	{.name = "chmod, chown, utimes", .run = change_attributes, .fewest = 1},
	{.name = "grow, in many extents", .run = grow, .fewest = 4},
	{.name = "grow, held", .run = grow_held, .fewest = 3},
	{.name = "shrink", .run = shrink, .fewest = 1},
	{.name = "fallocate", .run = allocate, .fewest = 3},
	{.name = "fallocate, keeping the size", .run = allocate_keep, .fewest = 3},
	{.name = "punch", .run = punch, .fewest = 2},
	{.name = "setxattr", .run = add_attribute, .fewest = 2},
	{.name = "setxattr, another value", .run = replace_attribute, .fewest = 2},
	{.name = "removexattr", .run = remove_attribute, .fewest = 1},
	{.name = "an access list", .run = add_list, .fewest = 2},
	{.name = "chmod beside a default list", .run = chmod_with_list, .fewest = 1},
	{.name = "a quota", .run = set_quota, .fewest = 2},
	{.name = "rename under a quota", .run = rename_under_quota, .fewest = 2},
	{.name = "a page size", .run = set_page_size, .fewest = 2},
	{.name = "the mark of content", .run = set_mark, .fewest = 1},
	{.name = "hold", .run = hold, .fewest = 1},
	{.name = "unhold", .run = unhold, .fewest = 1},
	{.name = "export", .run = set_exported, .fewest = 1},
	{.name = "blocks zeroed", .run = note_clean, .fewest = 1},
	{.name = "freeze", .run = freeze, .fewest = 1},
	{.name = "checkpoint", .run = checkpoint, .fewest = 1},
	{.name = "write in place", .run = write_in_place, .fewest = 1},
	{.name = "write new units", .run = write_new_units, .fewest = 4},
	{.name = "write across the end", .run = write_across_the_end, .fewest = 4},
	{.name = "fallocate, content", .run = allocate_content, .fewest = 4},
	{.name = "punch, content", .run = punch_content, .fewest = 2},
	{.name = "truncate, content", .run = resize_content, .fewest = 1},
};

Test(memory_namespace, what_fails_leaves_no_trace)
{
	for (size_t k = 0; k < ARRAY_SIZE(operations); k++)
		(void)try_all(&operations[k]);
}
