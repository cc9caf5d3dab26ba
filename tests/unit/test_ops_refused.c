// SPDX-License-Identifier: MIT
/* Who gets no ticket and no revocation: what a file is, and what the pool is at, comes before what
 * the helper would say. */
#include "ops_fixture.h"
#include "util/cleanup.h"
#include "util/le.h"

TestSuite(ops_refused, .init = ops_setup, .fini = ops_teardown);

static int ask(uint64_t ino, uint32_t cmd, uint32_t size)
{
	struct {
		struct fuse_ioctl_in in;
		struct gm_revoke m;
	} rq = {.in = {.fh = O_RDWR, .cmd = cmd, .out_size = size}};
	size_t sent = 0;

	if (cmd == GM_IOC_REVOKE)
		rq.in.in_size = (uint32_t)(sent = sizeof(rq.m));
	return call(FUSE_IOCTL, ino, &rq, sizeof(rq.in) + sent, NULL, 0);
}

static const struct {
	uint32_t cmd, size;
} questions[] = {
	{GM_IOC_TICKET, sizeof(struct gm_ticket)},
	{GM_IOC_INVITATION, sizeof(struct gm_invitation)},
	{GM_IOC_REVOKE, sizeof(struct gm_revoke)},
};

/* As root, who may revoke everything. */
static void expect_refused(uint64_t ino, int error)
{
	for (size_t n = 0; n < ARRAY_SIZE(questions); n++)
		cr_expect_eq(ask(ino, questions[n].cmd, questions[n].size), error, "%zu", n);
	cr_expect_eq(revoked.count, 0);
}

static uint64_t make_own(const char *name)
{
	const struct ns_change c = {.set = NS_SET_UID, .uid = 1000};
	const struct ns_request root = {.uid = 0};
	uint64_t ino = pool_create(&pool, ROOT, name);
	struct stat st;

	cr_assert_eq(ns_setattr(&pool.ns, &root, ino, &c, &st), 0);
	return ino;
}

Test(ops_refused, a_file_with_content_has_no_memory)
{
	const struct ns_xattr mark = {.name = "user.guestmemfs.io", .value = "1", .value_len = 1};
	uint64_t f = make_own("f");

	cr_assert_eq(ns_setxattr(&pool.ns, &pool.rq, f, &mark), 0);
	expect_refused(f, -EMEDIUMTYPE);
}

Test(ops_refused, a_frozen_pool_gives_and_takes_nothing)
{
	uint64_t f = make_own("f");

	cr_assert_eq(store_freeze(pool.store), 0);
	expect_refused(f, -EBUSY);
}

Test(ops_refused, a_socket_whose_path_does_not_fit)
{
	char path[sizeof(((struct gm_invitation *)0)->socket) + 1];
	uint64_t f = make_own("f");

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	ops.grant_socket = path;
	cr_expect_eq(ask(f, GM_IOC_INVITATION, sizeof(struct gm_invitation)), -ENAMETOOLONG);
	path[sizeof(path) - 2] = '\0';
	cr_expect_eq(ask(f, GM_IOC_INVITATION, sizeof(struct gm_invitation)), 0);
}
