// SPDX-License-Identifier: MIT
/* Revocations: answered when the helper has answered, limited, and not for everybody. */
#include "ops_fixture.h"
#include "util/le.h"

TestSuite(ops, .init = ops_setup, .fini = ops_teardown);

static uint64_t make_owned(const char *name, uint32_t uid)
{
	const struct ns_change c = {.set = NS_SET_UID, .uid = uid};
	const struct ns_request rq = {.uid = 0};
	uint64_t ino = pool_create(&pool, ROOT, name);
	struct stat st;

	cr_assert_eq(ns_setattr(&pool.ns, &rq, ino, &c, &st), 0);
	return ino;
}

static int send_revoke(uint64_t ino, uint32_t flags, size_t in_size)
{
	struct {
		struct fuse_ioctl_in in;
		struct gm_revoke m;
	} rq = {.in = {.fh = O_RDONLY,
			.cmd = GM_IOC_REVOKE,
			.in_size = (uint32_t)in_size,
			.out_size = sizeof(rq.m)},
		.m.flags = put_le32(flags)};

	send_request(FUSE_IOCTL, ino, &rq, sizeof(rq.in) + in_size, NULL, 0);
	return reply.count ? reply.error : 0;
}

Test(ops, a_revocation_is_answered_when_the_helper_has_answered)
{
	uint64_t f = make_owned("f", 1000);
	struct link_holder h = {.pid = put_le32(4711), .command = "vmm", .cgroup = "/machine"};
	const struct gm_revoke *m = (const void *)(reply.data + sizeof(struct fuse_ioctl_out));

	(void)send_revoke(f, GM_REVOKE_KILL, sizeof(*m));
	cr_assert_eq(reply.count, 0);
	cr_expect(revoked.count == 1 && revoked.ino == f && revoked.kill);
	cr_expect_eq(revoked.uid, 1000);
	ops_take_revoked(&ops, 1, &h, 0);
	ops_take_revoked(&ops, 1, &h, 0); /* the same once more */
	for (uint32_t pid = 1; pid <= GM_REVOKE_HOLDERS; pid++) {
		h.pid = put_le32(pid);
		ops_take_revoked(&ops, 1, &h, 0);
	}
	ops_take_revoked(&ops, 2, NULL, 0);
	cr_expect_eq(reply.count, 0, "another one's answer");
	ops_take_revoked(&ops, 1, NULL, GM_REVOKED_HELD);
	expect_reply(0);
	cr_expect_eq(get_le32(m->state), GM_REVOKED_HELD);
	cr_expect_eq(get_le32(m->count), GM_REVOKE_HOLDERS);
	cr_expect_eq(get_le32(m->more), 1);
	cr_expect_eq(get_le32(m->holders[0].pid), 4711);
	cr_expect_str_eq(m->holders[0].command, "vmm");
	cr_expect_str_eq(m->holders[0].cgroup, "/machine");
}

Test(ops, who_may_not_revoke_is_told_at_once)
{
	uint64_t mine = make_owned("f", 1000), roots = make_owned("g", 0);

	cr_expect_eq(send_revoke(roots, 0, sizeof(struct gm_revoke)), -EPERM);
	cr_expect_eq(send_revoke(ROOT, 0, sizeof(struct gm_revoke)), -ENOTTY);
	cr_expect_eq(send_revoke(999, 0, sizeof(struct gm_revoke)), -ESTALE);
	cr_expect_eq(send_revoke(mine, 2, sizeof(struct gm_revoke)), -EINVAL);
	cr_expect_eq(send_revoke(mine, 0, 16), -ENOTTY);
	revoked.error = -EAGAIN;
	cr_expect_eq(send_revoke(mine, 0, sizeof(struct gm_revoke)), -EAGAIN);
	cr_expect_eq(revoked.count, 0);
}

Test(ops, revocations_are_limited_and_end_with_the_link)
{
	uint64_t f = make_owned("f", 1000);

	for (unsigned i = 0; i < REVOKES_MAX; i++)
		(void)send_revoke(f, 0, sizeof(struct gm_revoke));
	cr_expect_eq(reply.count, 0);
	cr_expect_eq(send_revoke(f, 0, sizeof(struct gm_revoke)), -EAGAIN);
	reply.count = 0;
	ops_take_revoked(&ops, 0, NULL, -EAGAIN);
	cr_expect_eq(reply.count, REVOKES_MAX);
	cr_expect_eq(reply.error, -EAGAIN);
}

Test(ops, a_revocation_waits_for_a_helper_that_is_about_to_come)
{
	uint64_t f = make_owned("f", 1000), at = 0;

	ops_expect_helper(&ops, 5000);
	revoked.error = -EAGAIN;
	(void)send_revoke(f, GM_REVOKE_KILL, sizeof(struct gm_revoke));
	cr_assert_eq(reply.count, 0);
	revoked.error = 0;
	ops_take_helper(&ops);
	cr_assert(revoked.count == 1 && revoked.ino == f && revoked.kill && reply.count == 0);
	ops_take_revoked(&ops, 1, NULL, GM_REVOKED_FREE);
	expect_reply(0);

	ops_expect_helper(&ops, 5000);
	revoked.error = -EAGAIN;
	(void)send_revoke(f, 0, sizeof(struct gm_revoke));
	ops_expire(&ops, 4999);
	cr_expect(reply.count == 0 && ops_next_deadline(&ops, &at) && at == 5000);
	ops_expire(&ops, 5000);
	expect_reply(-EAGAIN);
	cr_expect_eq(send_revoke(f, 0, sizeof(struct gm_revoke)), -EAGAIN, "no more waiting");
}

Test(ops, who_waits_for_a_look_is_asked_about_again_when_the_helper_comes)
{
	uint64_t f = make_held("f", 2 * GM_BLOCK_SIZE);
	struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = 0};

	send_request(FUSE_SETATTR, f, &in, sizeof(in), NULL, 0);
	cr_assert(reply.count == 0 && checked_count == 1);
	ops_take_helper(&ops);
	cr_expect(checked_count == 2 && checked[1] == f && check_flags[1] == check_flags[0]);
	ops_recheck(&ops, f, true);
	expect_reply(-EBUSY);
}
