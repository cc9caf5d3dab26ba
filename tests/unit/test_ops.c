// SPDX-License-Identifier: MIT
/*
 * The session with the kernel, and what is ours alone: tickets, invitations, and where the sockets
 * are.
 */
#include "ops_fixture.h"
#include "util/cleanup.h"
#include "util/le.h"

TestSuite(ops, .init = ops_setup, .fini = ops_teardown);

/* ---- the session ---- */

Test(ops, asks_the_kernel_for_what_it_needs_and_nothing_else)
{
	const struct fuse_init_out *out = (const void *)reply.data;

	cr_expect(out->flags & FUSE_DO_READDIRPLUS);
	cr_expect_not(out->flags & FUSE_WRITEBACK_CACHE);
	cr_expect_not(out->flags & FUSE_ATOMIC_O_TRUNC);
	cr_expect_not(out->flags & FUSE_HANDLE_KILLPRIV);
	cr_expect_not(out->flags & FUSE_AUTO_INVAL_DATA);
	cr_expect(out->flags & FUSE_DONT_MASK);
	cr_expect(out->flags & FUSE_POSIX_ACL);
	cr_expect(out->flags & FUSE_CACHE_SYMLINKS);
	cr_expect_not(out->flags & FUSE_POSIX_LOCKS);
	cr_expect_not(out->flags & FUSE_FLOCK_LOCKS);
	cr_expect_eq(out->time_gran, 1);
}

Test(ops, writes_the_requests_number_into_the_journal)
{
	const struct store_plan *plan = &pool.super.plan;
	bool found = false;

	last_unique = 0x1234567890ULL;
	cr_assert_eq(call(FUSE_MKDIR, ROOT, &(struct fuse_mkdir_in){.mode = 0755},
			     sizeof(struct fuse_mkdir_in), "d", 2),
		0);
	for (uint64_t at = 0; at < plan->journal_size; at += GM_TAIL_UNIT) {
		const struct gm_record *r =
			(const void *)(pool.media.base + plan->journal_offset + at);

		found |= get_le32(r->magic) == GM_RECORD_MAGIC &&
			 get_le64(r->unique) == last_unique && get_le16(r->type) == GM_RECORD_MKDIR;
	}
	cr_expect(found);
}

Test(ops, refuses_data_and_leaves_the_rest_to_the_kernel)
{
	uint64_t f = pool_create(&pool, ROOT, "f");
	static const uint8_t zeros[256];
	static const struct {
		uint32_t opcode;
		size_t fixed;
		const char *rest;
		size_t rest_size;
		int error;
	} cases[] = {
		{FUSE_READ, sizeof(struct fuse_read_in), NULL, 0, -EOPNOTSUPP},
		{FUSE_WRITE, sizeof(struct fuse_write_in), "x", 1, -EOPNOTSUPP},
		{FUSE_FLUSH, sizeof(struct fuse_flush_in), NULL, 0, -ENOSYS},
		{FUSE_FSYNC, sizeof(struct fuse_fsync_in), NULL, 0, 0}, /* each time: ops.c */
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++)
		cr_expect_eq(call(cases[n].opcode, f, zeros, cases[n].fixed, cases[n].rest,
				     cases[n].rest_size),
			cases[n].error, "opcode %u", cases[n].opcode);
}

/* ---- ours ---- */

Test(ops, gives_tickets_to_open_files_that_can_be_read)
{
	static const struct {
		uint64_t handle;
		uint32_t cmd, flags, out_size;
		int error;
		uint8_t access;
	} cases[] = {
		{O_RDONLY, GM_IOC_TICKET, 0, 16, 0, GM_ACCESS_READ},
		{O_RDWR, GM_IOC_TICKET, 0, 16, 0, GM_ACCESS_READ | GM_ACCESS_WRITE},
		{O_WRONLY, GM_IOC_TICKET, 0, 16, -EACCES, 0},
		{3, GM_IOC_TICKET, 0, 16, -EACCES, 0},
		{O_RDWR, GM_IOC_TICKET, FUSE_IOCTL_DIR, 16, -ENOTTY, 0},
		{4, GM_IOC_TICKET, 0, 16, -EACCES, 0},
		{O_RDWR, GM_IOC_TICKET, 0, 15, -ENOTTY, 0},
		{O_RDWR, GM_IOC_TICKET + 1, 0, 16, -ENOTTY, 0},
		{O_RDWR, 0x5401, 0, 0, -ENOTTY, 0},
		{UINT64_MAX, GM_IOC_TICKET, 0, 16, -EACCES, 0},
		{O_RDONLY, GM_IOC_INVITATION, 0, 128, 0, GM_ACCESS_READ},
		{O_RDWR, GM_IOC_INVITATION, 0, 128, 0, GM_ACCESS_READ | GM_ACCESS_WRITE},
		{O_WRONLY, GM_IOC_INVITATION, 0, 128, -EACCES, 0},
		{O_RDWR, GM_IOC_INVITATION, FUSE_IOCTL_DIR, 128, -ENOTTY, 0},
		{O_RDWR, GM_IOC_INVITATION, 0, 127, -ENOTTY, 0},
	};
	const uint8_t *ticket = reply.data + sizeof(struct fuse_ioctl_out);
	struct fuse_ioctl_in in = {.fh = O_RDWR, .cmd = GM_IOC_TICKET, .out_size = 16};
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_expect_eq(call(FUSE_IOCTL, ROOT, &in, sizeof(in), NULL, 0), -ENOTTY, "no directory");
	cr_expect_eq(call(FUSE_IOCTL, 999, &in, sizeof(in), NULL, 0), -ESTALE);
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		in = (struct fuse_ioctl_in){
			.fh = cases[n].handle,
			.flags = cases[n].flags,
			.cmd = cases[n].cmd,
			.out_size = cases[n].out_size,
		};

		cr_expect_eq(
			call(FUSE_IOCTL, f, &in, sizeof(in), NULL, 0), cases[n].error, "%zu", n);
		if (cases[n].error)
			continue;
		cr_expect_eq(reply.size, sizeof(struct fuse_ioctl_out) + cases[n].out_size);
		cr_expect(ticket[0] == f && ticket[1] == cases[n].access);
	}
}

Test(ops, invites_to_the_helpers_socket)
{
	struct fuse_ioctl_in in = {.fh = O_RDWR, .cmd = GM_IOC_INVITATION, .out_size = 128};
	const void *answer = reply.data + sizeof(struct fuse_ioctl_out);
	struct gm_invitation i, wanted = {.socket = "/run/x/grant.sock"};
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert_eq(call(FUSE_IOCTL, f, &in, sizeof(in), NULL, 0), 0);
	memcpy(&i, answer, sizeof(i));
	wanted.ticket = i.ticket;
	cr_expect_eq(memcmp(&i, &wanted, sizeof(i)), 0, "nothing else is in it");
}

Test(ops, tells_where_the_sockets_are)
{
	static const struct {
		const char *name;
		uint32_t size;
		int error;
		const char *value;
	} cases[] = {
		{GM_XATTR_SOCKET, 0, 0, NULL},
		{GM_XATTR_SOCKET, 17, 0, "/run/x/grant.sock"},
		{GM_XATTR_SOCKET, 4096, 0, "/run/x/grant.sock"},
		{GM_XATTR_SOCKET, 16, -ERANGE, NULL},
		{GM_XATTR_CONTROL, 100, 0, "/run/x/control.sock"},
		{"user.guestmemfs.sockets", 100, -ENODATA, NULL},
		{"security.capability", 100, -ENODATA, NULL},
	};
	const struct fuse_getxattr_out *out = (const void *)reply.data;
	struct fuse_getxattr_in in = {.size = 0};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		in.size = cases[n].size;
		cr_expect_eq(call(FUSE_GETXATTR, ROOT, &in, sizeof(in), cases[n].name,
				     strlen(cases[n].name) + 1),
			cases[n].error, "%zu", n);
		if (cases[n].value)
			cr_expect(reply.size == strlen(cases[n].value) &&
					  memcmp(reply.data, cases[n].value, reply.size) == 0,
				"%zu", n);
		else if (cases[n].error == 0)
			cr_expect_eq(out->size, strlen("/run/x/grant.sock"));
	}
	in.size = 0;
	cr_expect(call(FUSE_LISTXATTR, ROOT, &in, sizeof(in), NULL, 0) == 0 && out->size == 0);
	in.size = 100;
	cr_expect(call(FUSE_LISTXATTR, ROOT, &in, sizeof(in), NULL, 0) == 0 && reply.size == 0);
}
