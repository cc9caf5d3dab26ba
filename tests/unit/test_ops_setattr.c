// SPDX-License-Identifier: MIT
/*
 * setattr, at once and later: what takes or frees blocks that somebody may hold waits for the
 * helper's look, and is answered once.
 */
#include "ops_fixture.h"

TestSuite(ops, .init = ops_setup, .fini = ops_teardown);

static void send_resize(uint64_t ino, uint64_t size)
{
	struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = size};

	send_request(FUSE_SETATTR, ino, &in, sizeof(in), NULL, 0);
}

Test(ops, sets_attributes)
{
	uint64_t f = pool_create(&pool, ROOT, "f");
	const struct fuse_attr_out *out = (const void *)reply.data;
	struct fuse_setattr_in in = {
		.valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME |
			 FATTR_MTIME | FATTR_ATIME_NOW | FATTR_FH,
		.size = 3 * MIB,
		.mode = 04755,
		.uid = 1,
		.gid = 2,
		.mtime = 77,
		.mtimensec = 88,
		.atime = 5,
	};
	uint64_t at;

	cr_assert_eq(call(FUSE_SETATTR, f, &in, sizeof(in), NULL, 0), 0);
	cr_expect_eq(out->attr_valid, 86400);
	cr_expect_eq(out->attr.mode, S_IFREG | 04755);
	cr_expect(out->attr.uid == 1 && out->attr.gid == 2 && out->attr.size == 3 * MIB);
	cr_expect(out->attr.mtime == 77 && out->attr.mtimensec == 88);
	cr_expect_gt(out->attr.atime, 1000000, "now, not what came along");
	cr_expect_eq(out->attr.blocks, 2 * 4096);
	send_resize(999, 0);
	expect_reply(-ESTALE);
	send_resize(f, 1ULL << 40);
	expect_reply(-ENOSPC);
	cr_expect_not(ops_next_deadline(&ops, &at));
	cr_expect_eq(checked_count, 0, "no orphan, no reason to wait");
}

Test(ops, waits_with_a_shrink_until_the_helper_has_looked)
{
	uint64_t f = make_held("f", 4 * MIB), at;

	send_resize(f, 0);
	cr_expect_eq(reply.count, 0);
	cr_expect(checked_count == 1 && checked[0] == f);
	cr_expect_eq(check_flags[0], LINK_CHECK_TAKE, "as long as he waits");
	ops_recheck(&ops, f + 1, true);
	cr_expect_eq(reply.count, 0, "another inode's answer");
	cr_assert_eq(ns_unhold(&pool.ns, f), 0);
	ops_recheck(&ops, f, false);
	expect_reply(0);
	cr_expect_eq(pool_inode(&pool, f)->attr.size, 0);
	cr_expect_not(ops_next_deadline(&ops, &at));
	ops_recheck(&ops, f, false);
	expect_reply(0);
}

Test(ops, fails_a_shrink_when_somebody_holds_the_file)
{
	uint64_t f = make_held("f", 4 * MIB), at;

	send_resize(f, 0);
	cr_expect_eq(reply.count, 0);
	ops_recheck(&ops, f, true);
	expect_reply(-EBUSY);
	cr_expect_not(ops_next_deadline(&ops, &at));
	send_resize(f, 0);
	cr_expect_eq(reply.count, 0);
	ops_expire(&ops, deadline() - 1);
	cr_expect_eq(reply.count, 0);
	ops_expire(&ops, deadline());
	expect_reply(-EBUSY);
	ops_expire(&ops, UINT64_MAX);
	expect_reply(-EBUSY);
	cr_expect_eq(pool_inode(&pool, f)->attr.size, 4 * MIB);
}

Test(ops, a_removed_file_is_wanted_back_once_nobody_has_it_open)
{
	uint64_t a = make_held("a", 2 * MIB), b = make_held("b", 2 * MIB);

	cr_assert_eq(ns_open(&pool.ns, b, 0), 0);
	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "b"), 0);
	cr_expect_eq(checked_count, 0);
	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "a"), 0);
	cr_expect(checked_count == 1 && checked[0] == a);
	struct fuse_release_in in = {.flags = O_RDWR};
	cr_assert_eq(call(FUSE_RELEASE, b, &in, sizeof(in), NULL, 0), 0);
	cr_expect(checked_count == 2 && checked[1] == b);
	cr_expect_eq(check_flags[1], LINK_CHECK_TAKE | LINK_CHECK_KEEP);
}

Test(ops, an_exported_file_does_not_shrink_while_it_is_one)
{
	uint64_t f = make_held("f", 4 * MIB);

	cr_assert_eq(ns_set_exported(&pool.ns, f, true), 0);
	send_resize(f, 0);
	expect_reply(-EBUSY);
	cr_expect_eq(checked_count, 0);
}

Test(ops, waits_with_a_growth_for_the_blocks_of_the_dead)
{
	uint64_t a = make_held("a", 10 * MIB), b = make_held("b", 10 * MIB);
	uint64_t f = pool_create(&pool, ROOT, "f"), all = pool_stats(&pool).data * GM_BLOCK_SIZE;

	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "a"), 0);
	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "b"), 0);
	send_resize(f, all);
	cr_expect_eq(reply.count, 0);
	cr_expect_eq(checked_count, 4, "when they were removed, and now");
	cr_expect_eq(checked[2] + checked[3], a + b);
	for (unsigned i = 0; i < 4; i++)
		cr_expect_eq(check_flags[i], LINK_CHECK_TAKE | LINK_CHECK_KEEP);
	cr_assert_eq(ns_unhold(&pool.ns, a), 0);
	ops_recheck(&ops, a, false);
	cr_expect_eq(reply.count, 0, "not enough yet");
	cr_assert_eq(ns_unhold(&pool.ns, b), 0);
	ops_recheck(&ops, b, false);
	expect_reply(0);
	cr_expect_eq(pool_inode(&pool, f)->attr.size, all);
}

Test(ops, takes_the_first_blocks_that_suffice)
{
	uint64_t a = make_held("a", 10 * MIB), b = make_held("b", 10 * MIB), at;
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "a"), 0);
	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "b"), 0);
	send_resize(f, (pool_stats(&pool).free + 1) * GM_BLOCK_SIZE);
	cr_expect_eq(reply.count, 0);
	ops_recheck(&ops, a, true);
	cr_expect_eq(reply.count, 0);
	cr_assert_eq(ns_unhold(&pool.ns, b), 0);
	ops_recheck(&ops, b, false);
	expect_reply(0);
	cr_expect_not(ops_next_deadline(&ops, &at));
}

Test(ops, fails_a_growth_when_the_dead_are_alive)
{
	uint64_t a = make_held("a", 10 * MIB), b = make_held("b", 10 * MIB);
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "a"), 0);
	cr_assert_eq(call_name(FUSE_UNLINK, ROOT, "b"), 0);
	send_resize(f, pool_stats(&pool).data * GM_BLOCK_SIZE);
	ops_recheck(&ops, a, true);
	cr_expect_eq(reply.count, 0);
	ops_recheck(&ops, b, true);
	expect_reply(-ENOSPC);
	send_resize(f, pool_stats(&pool).data * GM_BLOCK_SIZE);
	cr_expect_eq(reply.count, 0);
	ops_expire(&ops, deadline());
	expect_reply(-ENOSPC);
	cr_expect_eq(pool_inode(&pool, f)->attr.size, 0);
}

Test(ops, answers_each_of_several_that_wait)
{
	uint64_t f = make_held("f", 4 * MIB), g = make_held("g", 4 * MIB);
	uint64_t first, second, third;

	send_resize(f, MIB);
	first = last_unique;
	send_resize(g, MIB);
	second = last_unique;
	send_resize(f, 2 * MIB);
	third = last_unique;
	cr_expect_eq(reply.count, 0);
	ops_recheck(&ops, g, true);
	cr_expect(reply.count == 1 && reply.unique == second && reply.error == -EBUSY);
	reply.count = 0;
	cr_assert_eq(ns_unhold(&pool.ns, f), 0);
	ops_recheck(&ops, f, false);
	cr_expect(reply.count == 2 && reply.unique == third && reply.error == 0);
	cr_expect_eq(pool_inode(&pool, f)->attr.size, 2 * MIB, "in the order in which they came");
	cr_expect_lt(first, second);
}

Test(ops, answers_what_waits_when_it_ends)
{
	uint64_t f = make_held("f", 4 * MIB);

	send_resize(f, 0);
	cr_expect_eq(reply.count, 0);
	ops_deinit(&ops);
	expect_reply(-EBUSY);
}
