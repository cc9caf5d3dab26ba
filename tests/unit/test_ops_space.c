// SPDX-License-Identifier: MIT
/*
 * fallocate and lseek: blocks are taken, punched and found, and a punch waits until its ends are
 * zeroed.
 */
#include <linux/falloc.h>

#include "fuse/content_memory.h"
#include "ops_fixture.h"
#include "util/cleanup.h"

TestSuite(ops, .init = ops_setup, .fini = ops_teardown);

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static void send_fallocate(uint64_t ino, uint32_t mode, uint64_t offset, uint64_t length)
{
	struct fuse_fallocate_in in = {.mode = mode, .offset = offset, .length = length};

	send_request(FUSE_FALLOCATE, ino, &in, sizeof(in), NULL, 0);
}

static int call_lseek(uint64_t ino, uint64_t offset, uint32_t whence)
{
	struct fuse_lseek_in in = {.offset = offset, .whence = whence};

	return call(FUSE_LSEEK, ino, &in, sizeof(in), NULL, 0);
}

static uint64_t make_sized(const char *name, uint64_t size)
{
	uint64_t ino = pool_create(&pool, ROOT, name);

	cr_assert_eq(pool_resize(&pool, ino, size), 0);
	pool_clean(&pool, ino);
	return ino;
}

Test(ops, allocates_punches_and_seeks)
{
	const struct fuse_lseek_out *found = (const void *)reply.data;
	uint64_t f = pool_create(&pool, ROOT, "f"), at;

	send_fallocate(f, 0, 0, 8 * MIB);
	expect_reply(0);
	cr_expect_eq(pool_inode(&pool, f)->attr.size, 8 * MIB);
	send_fallocate(f, PUNCH, 2 * MIB, 4 * MIB);
	expect_reply(0);
	cr_expect_eq(zeroed.count, 0, "whole blocks");
	cr_expect_eq(call_lseek(f, 0, SEEK_HOLE), 0);
	cr_expect_eq(found->offset, 2 * MIB);
	cr_expect_eq(call_lseek(f, 3 * MIB, SEEK_DATA), 0);
	cr_expect_eq(found->offset, 6 * MIB);
	cr_expect_eq(call_lseek(f, 8 * MIB, SEEK_HOLE), -ENXIO);
	send_fallocate(f, FALLOC_FL_KEEP_SIZE, 0, 10 * MIB);
	expect_reply(0);
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), 5);
	cr_expect_eq(pool_inode(&pool, f)->attr.size, 8 * MIB);
	send_fallocate(f, 0, 0, 1ULL << 40);
	expect_reply(-ENOSPC);
	cr_expect_not(ops_next_deadline(&ops, &at));
}

Test(ops, fallocates_in_no_other_way)
{
	static const uint32_t modes[] = {FALLOC_FL_ZERO_RANGE, FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE, FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, PUNCH | FALLOC_FL_UNSHARE_RANGE,
		1U << 31};
	uint64_t f = make_sized("f", 8 * MIB);

	for (size_t n = 0; n < ARRAY_SIZE(modes); n++) {
		send_fallocate(f, modes[n], 0, 2 * MIB);
		expect_reply(-EOPNOTSUPP);
	}
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), 4);
}

Test(ops, waits_with_a_punch_until_its_ends_are_zeroed)
{
	uint64_t f = make_sized("f", 8 * MIB);

	send_fallocate(f, PUNCH, MIB, 6 * MIB);
	cr_expect_eq(reply.count, 0);
	cr_expect(zeroed.count == 1 && zeroed.ino == f && zeroed.range_count == 2);
	cr_expect(zeroed.ranges[0].offset == MIB && zeroed.ranges[0].length == MIB);
	cr_expect(zeroed.ranges[1].offset == 6 * MIB && zeroed.ranges[1].length == MIB);
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), 4, "nothing is freed before");
	ops_take_zeroed(&ops, 77, 0);
	cr_expect_eq(reply.count, 0, "not his");
	ops_take_zeroed(&ops, 1, 0);
	expect_reply(0);
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), 2);
	cr_expect_eq(zeroed.cancelled, 0);
}

Test(ops, frees_nothing_when_the_ends_of_a_punch_can_not_be_zeroed)
{
	uint64_t f = make_sized("f", 8 * MIB);

	send_fallocate(f, PUNCH, MIB, 7 * MIB);
	cr_expect_eq(zeroed.range_count, 1, "it ends with the file");
	ops_take_zeroed(&ops, 1, -EUCLEAN);
	expect_reply(-EUCLEAN);
	send_fallocate(f, PUNCH, MIB, 7 * MIB);
	ops_expire(&ops, deadline());
	expect_reply(-EIO);
	cr_expect_eq(zeroed.cancelled, 1);
	send_fallocate(f, PUNCH, MIB, 7 * MIB);
	cr_assert_eq(ns_hold(&pool.ns, f), 0); /* which the grants see to that it does not happen */
	ops_take_zeroed(&ops, 3, 0);
	expect_reply(-EBUSY);
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), 4);
}

Test(ops, waits_with_a_punch_until_the_helper_has_looked)
{
	uint64_t f = make_held("f", 8 * MIB);

	pool_clean(&pool, f);
	send_fallocate(f, PUNCH, MIB, 6 * MIB);
	cr_expect(reply.count == 0 && zeroed.count == 0);
	cr_expect(checked_count == 1 && checked[0] == f && check_flags[0] == LINK_CHECK_TAKE);
	ops_recheck(&ops, f, true);
	expect_reply(-EBUSY);
	send_fallocate(f, PUNCH, MIB, 6 * MIB);
	cr_assert_eq(ns_unhold(&pool.ns, f), 0);
	ops_recheck(&ops, f, false);
	cr_expect(reply.count == 0 && zeroed.count == 1, "the next wait");
	ops_take_zeroed(&ops, 1, 0);
	expect_reply(0);
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), 2);
}

Test(ops, waits_with_an_allocation_for_the_blocks_of_the_dead)
{
	uint64_t a = make_held("a", 10 * MIB), f = pool_create(&pool, ROOT, "f");
	uint64_t all = pool_stats(&pool).data * GM_BLOCK_SIZE;

	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "a"), 0);
	send_fallocate(f, FALLOC_FL_KEEP_SIZE, 0, all);
	cr_expect_eq(reply.count, 0);
	cr_assert_eq(ns_unhold(&pool.ns, a), 0);
	ops_recheck(&ops, a, false);
	expect_reply(0);
	cr_expect_eq(inode_blocks(pool_inode(&pool, f)), all / GM_BLOCK_SIZE);
}

/* ---- content, which is allocated step by step ---- */

/* Nobody looks at the bytes: one block stands for all. */
static uint8_t any_block[GM_BLOCK_SIZE];
static bool pending; /* it is not there yet */

static int map_any(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	(void)data, (void)gap;
	if (pending)
		return -EINPROGRESS;
	*ret = (struct content_window){.file_block = file_block, .count = 1, .address = any_block};
	return 0;
}

static void unmap_any(void *data, const struct content_window *window)
{
	(void)data, (void)window;
}

static struct content_memory *contents;

/* An empty file with content, in a pool of 160 MiB. */
static uint64_t make_content(void)
{
	const struct content_source source = {
		.map = map_any, .unmap = unmap_any, .ops = &media_memory_ops};
	const struct ns_xattr mark = {.name = "user.guestmemfs.io", .value = "1", .value_len = 1};
	uint64_t ino;

	pool_deinit(&pool);
	pool_init(&pool, 80, 1000, true);
	cr_assert_eq(content_memory_new(&contents, store_meta(pool.store), &source), 0);
	pool.ns.memory = contents;
	ino = pool_create(&pool, ROOT, "c");
	cr_assert_eq(ns_setxattr(&pool.ns, &pool.rq, ino, &mark), 0);
	return ino;
}

static void end_content(void)
{
	contents = content_memory_free(contents);
}

static uint64_t allocated(uint64_t ino)
{
	return (uint64_t)pool_stat(&pool, ino).st_blocks * 512;
}

TestSuite(ops_steps, .init = ops_setup, .fini = ops_teardown);

Test(ops_steps, allocates_content_step_by_step, .fini = end_content)
{
	uint64_t f = make_content(), first;

	send_fallocate(f, 0, 10 * MIB, 140 * MIB);
	first = last_unique;
	cr_expect_eq(reply.count, 0);
	cr_expect(ops_goes_on(&ops));
	cr_expect_eq(allocated(f), 54 * MIB);
	cr_expect_eq(pool_stat(&pool, f).st_size, 0, "the size comes at the end");
	cr_expect_eq(call_name(FUSE_UNLINK, ROOT, "other"), -ENOENT, "others have their turn");
	reply.count = 0;
	ops_expire(&ops, UINT64_MAX - 1);
	cr_expect_eq(reply.count, 0, "it may take its time");
	ops_go_on(&ops);
	cr_expect_eq(reply.count, 0);
	cr_expect_eq(allocated(f), 118 * MIB);
	ops_go_on(&ops);
	cr_expect(reply.count == 1 && reply.error == 0 && reply.unique == first);
	cr_expect_eq(allocated(f), 140 * MIB);
	cr_expect_eq(pool_stat(&pool, f).st_size, 150 * MIB);
	cr_expect_not(ops_goes_on(&ops));
	ops_go_on(&ops);
	cr_expect_eq(reply.count, 1);
	cr_expect_eq(notified, 0);
}

Test(ops_steps, keeps_what_it_has_when_space_ends, .fini = end_content)
{
	uint64_t f = make_content();

	send_fallocate(f, 0, 0, 1ULL << 40);
	for (unsigned n = 0; n < 10 && ops_goes_on(&ops); n++)
		ops_go_on(&ops);
	expect_reply(-ENOSPC);
	cr_expect_eq(allocated(f), 128 * MIB);
	cr_expect_eq(pool_stat(&pool, f).st_size, 0);
	cr_expect_eq(notified, 1, "the kernel learns that there is more than there was");
	send_fallocate(f, 0, 1, 1ULL << 62);
	expect_reply(-EFBIG);
}

Test(ops_steps, waits_part_of_the_way_for_the_blocks_of_the_dead, .fini = end_content)
{
	uint64_t f = make_content(), dead = make_held("dead", 40 * MIB);

	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "dead"), 0);
	checked_count = 0;
	send_fallocate(f, FALLOC_FL_KEEP_SIZE, 0, 140 * MIB);
	for (unsigned n = 0; n < 10 && ops_goes_on(&ops); n++)
		ops_go_on(&ops);
	cr_expect_eq(reply.count, 0);
	cr_expect(checked_count == 1 && checked[0] == dead);
	cr_assert_eq(ns_unhold(&pool.ns, dead), 0);
	ops_recheck(&ops, dead, false);
	while (ops_goes_on(&ops))
		ops_go_on(&ops);
	expect_reply(0);
	cr_expect_eq(allocated(f), 140 * MIB);
}

Test(ops_steps, ends_when_it_is_interrupted, .fini = end_content)
{
	uint64_t f = make_content();
	struct fuse_interrupt_in in;

	send_fallocate(f, 0, 0, 140 * MIB);
	in.unique = last_unique;
	send_request(FUSE_INTERRUPT, 0, &in, sizeof(in), NULL, 0);
	cr_expect_eq(reply.count, 0);
	ops_go_on(&ops);
	cr_expect(reply.count == 1 && reply.error == -EINTR && reply.unique == in.unique);
	cr_expect_eq(allocated(f), 64 * MIB);
	cr_expect_not(ops_goes_on(&ops));
}

Test(ops_steps, is_answered_at_the_end_of_the_mount, .fini = end_content)
{
	send_fallocate(make_content(), 0, 0, 140 * MIB);
	cr_expect_eq(reply.count, 0);
	ops_deinit(&ops);
	expect_reply(-EIO);
	cr_expect_not(ops_goes_on(&ops));
}

Test(ops_steps, has_its_time_anew_when_a_part_has_come, .fini = end_content)
{
	uint64_t f = make_content(), first;
	const struct timespec tick = {.tv_nsec = 5000000};

	pending = true;
	send_fallocate(f, 0, 0, MIB);
	cr_expect(reply.count == 0 && !ops_goes_on(&ops));
	first = deadline();
	(void)nanosleep(&tick, NULL);
	ops_take_memory(&ops);
	cr_expect_eq(reply.count, 0);
	cr_expect_gt(deadline(), first);
	pending = false;
	ops_take_memory(&ops);
	expect_reply(0);
	cr_expect_eq(allocated(f), MIB);
}
