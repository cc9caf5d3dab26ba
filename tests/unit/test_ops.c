// SPDX-License-Identifier: MIT
/*
 * The FUSE operations as the kernel sees them: requests in the kernel's own form go through libfuse
 * to the operations, and the replies are caught. Each request gets exactly one reply. The test
 * stands in for the helper.
 */
#include "fuse/ops.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <sys/uio.h>

#include "fuse/grants.h"
#include "fuse/tickets.h"
#include "pool_fixture.h"
#include "util/cleanup.h"
#include "util/le.h"

#define ROOT GM_ROOT_INO
#define MIB  (1ULL << 20)

static struct pool pool;
static struct ops ops;
static struct fuse_session *session;
static uint64_t last_unique;

static struct {
	unsigned count; /* replies since the last request */
	int error;
	uint64_t unique;
	size_t size; /* of data */
	_Alignas(8) uint8_t data[70000];
} reply;

static uint64_t checked[64]; /* what grants_check() was called for */
static unsigned check_flags[64];
static size_t checked_count;

/* ---- in place of grants.c and tickets.c ---- */

void grants_check(struct grants *g, uint64_t ino, unsigned flags)
{
	(void)g;
	cr_assert_lt(checked_count, ARRAY_SIZE(checked));
	check_flags[checked_count] = flags;
	checked[checked_count++] = ino;
}

static struct {
	unsigned count;
	uint64_t ino;
	bool kill;
	uid_t uid;
	int error;
} revoked; /* grants_revoke() */

int grants_revoke(
	struct grants *g, uint64_t ino, bool kill, const struct asker *asker, uint64_t *id)
{
	(void)g;
	revoked.ino = ino;
	revoked.kill = kill;
	revoked.uid = asker->uid;
	if (revoked.error == 0)
		*id = ++revoked.count;
	return revoked.error;
}

static struct { /* grants_zero() */
	unsigned count, cancelled;
	uint64_t ino;
	struct ns_range ranges[GRANTS_RANGES_MAX];
	unsigned range_count;
} zeroed;

int grants_zero(
	struct grants *g, uint64_t ino, const struct ns_range *ranges, unsigned count, uint64_t *id)
{
	(void)g;
	zeroed.ino = ino;
	zeroed.range_count = count;
	memcpy(zeroed.ranges, ranges, count * sizeof(*ranges));
	*id = ++zeroed.count;
	return 0;
}

void grants_cancel_zero(struct grants *g, uint64_t id)
{
	(void)g;
	cr_assert_eq(id, zeroed.count);
	zeroed.cancelled++;
}

void grants_hand_over(struct grants *g)
{
	(void)g;
}

void grants_node_changed(struct grants *g, uint64_t ino)
{
	(void)g;
	(void)ino;
}

int tickets_issue(
	struct tickets *t, uint64_t ino, uid_t uid, uint32_t access, struct gm_ticket *out)
{
	(void)t, (void)uid;
	memset(out, 0, sizeof(*out));
	out->bytes[0] = (uint8_t)ino;
	out->bytes[1] = (uint8_t)access;
	return 0;
}

/* ---- in place of the kernel ---- */

static ssize_t catch_reply(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fuse_out_header header;
	size_t length = 0;

	(void)fd, (void)userdata;
	cr_assert_geq(iov[0].iov_len, sizeof(header));
	memcpy(&header, iov[0].iov_base, sizeof(header));
	reply.count++;
	reply.error = header.error;
	reply.unique = header.unique;
	reply.size = 0;
	for (int n = 0; n < count; n++) {
		size_t skip = n == 0 ? sizeof(header) : 0, size = iov[n].iov_len - skip;

		length += iov[n].iov_len;
		cr_assert_leq(reply.size + size, sizeof(reply.data));
		if (size > 0)
			memcpy(reply.data + reply.size, (char *)iov[n].iov_base + skip, size);
		reply.size += size;
	}
	cr_assert_eq(length, header.len);
	return (ssize_t)length;
}

static ssize_t no_read(int fd, void *buf, size_t size, void *userdata)
{
	(void)fd, (void)buf, (void)size, (void)userdata;
	errno = EIO;
	return -1;
}

/* Sends a request of fixed and variable part, answered or not. */
static void send_request(uint32_t opcode, uint64_t ino, const void *fixed, size_t fixed_size,
	const void *rest, size_t rest_size)
{
	_Alignas(8) uint8_t bytes[sizeof(struct gm_revoke) + 4096] = {0};
	struct fuse_in_header header = {
		.len = (uint32_t)(sizeof(header) + fixed_size + rest_size),
		.opcode = opcode,
		.unique = last_unique += 2,
		.nodeid = ino,
		.uid = 1000,
		.gid = 100,
		.pid = 1,
	};
	struct fuse_buf buf = {.mem = bytes, .size = header.len};

	cr_assert_leq(header.len, sizeof(bytes));
	memcpy(bytes, &header, sizeof(header));
	if (fixed_size > 0)
		memcpy(bytes + sizeof(header), fixed, fixed_size);
	if (rest_size > 0)
		memcpy(bytes + sizeof(header) + fixed_size, rest, rest_size);
	reply.count = 0;
	ops_process(&ops, session, &buf);
}

/* The same; the answer comes at once. Returns its error. */
static int call(uint32_t opcode, uint64_t ino, const void *fixed, size_t fixed_size,
	const void *rest, size_t rest_size)
{
	send_request(opcode, ino, fixed, fixed_size, rest, rest_size);
	cr_assert_eq(reply.count, 1, "opcode %u: %u replies", opcode, reply.count);
	cr_assert_eq(reply.unique, last_unique);
	return reply.error;
}

static int call_name(uint32_t opcode, uint64_t ino, const char *name)
{
	return call(opcode, ino, name, strlen(name) + 1, NULL, 0);
}

static void setup(void)
{
	static const struct fuse_custom_io io = {.writev = catch_reply, .read = no_read};
	struct fuse_init_in init = {
		.major = 7, .minor = 36, .flags = ~(uint32_t)FUSE_INIT_EXT, .flags2 = ~0U};
	char *argv[] = {(char *)"test", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	pool_init(&pool, 16, 1000, true);
	ops = (struct ops){
		.ns = &pool.ns,
		.grant_socket = "/run/x/grant.sock",
		.control_socket = "/run/x/control.sock",
	};
	ops_init(&ops);
	session = fuse_session_new(&args, &ops_table, sizeof(ops_table), &ops);
	cr_assert_not_null(session);
	cr_assert_eq(
		fuse_session_custom_io(session, &io, open("/dev/null", O_RDWR | O_CLOEXEC)), 0);
	cr_assert_eq(call(FUSE_INIT, 0, &init, sizeof(init), NULL, 0), 0);
	fuse_opt_free_args(&args);
}

static void teardown(void)
{
	ops_deinit(&ops);
	fuse_session_destroy(session);
	pool_deinit(&pool);
}

TestSuite(ops, .init = setup, .fini = teardown);

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
		{FUSE_FSYNC, sizeof(struct fuse_fsync_in), NULL, 0, -ENOSYS},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++)
		cr_expect_eq(call(cases[n].opcode, f, zeros, cases[n].fixed, cases[n].rest,
				     cases[n].rest_size),
			cases[n].error, "opcode %u", cases[n].opcode);
}

/* ---- names ---- */

Test(ops, lets_the_kernel_remember_names_and_their_absence)
{
	const struct fuse_entry_out *out = (const void *)reply.data;
	uint64_t f = pool_create(&pool, ROOT, "f");

	cr_assert_eq(call_name(FUSE_LOOKUP, ROOT, "f"), 0);
	cr_expect(out->nodeid == f && out->generation == 0 && out->attr.ino == f);
	cr_expect(out->entry_valid == 86400 && out->attr_valid == 86400);
	cr_expect_eq(out->attr.mode, S_IFREG | 0640);
	cr_assert_eq(call_name(FUSE_LOOKUP, ROOT, "g"), 0);
	cr_expect(out->nodeid == 0 && out->entry_valid == 86400);
	cr_expect_eq(call_name(FUSE_LOOKUP, f, "x"), -ENOTDIR);
}

Test(ops, makes_moves_and_removes)
{
	struct fuse_mkdir_in dir = {.mode = 0700};
	struct fuse_rename2_in move = {.newdir = ROOT, .flags = RENAME_NOREPLACE};
	struct stat st;

	cr_expect_eq(call(FUSE_MKDIR, ROOT, &dir, sizeof(dir), "d", 2), 0);
	cr_expect_eq(call(FUSE_MKDIR, ROOT, &dir, sizeof(dir), "d", 2), -EEXIST);
	cr_expect_eq(call(FUSE_RENAME2, ROOT, &move, sizeof(move), "d\0e", 4), 0);
	cr_expect_eq(call(FUSE_RENAME2, ROOT, &move, sizeof(move), "e\0e", 4), -EEXIST);
	cr_expect_eq(ns_lookup(&pool.ns, ROOT, "e", 1, &st), 0);
	cr_expect(st.st_uid == 1000 && st.st_gid == 100);
	cr_expect_eq(call_name(FUSE_UNLINK, ROOT, "e"), -EISDIR);
	cr_expect_eq(call_name(FUSE_RMDIR, ROOT, "e"), 0);
	cr_expect_eq(call_name(FUSE_RMDIR, ROOT, "e"), -ENOENT);
}

Test(ops, links_symlinks_and_makes_nodes)
{
	const struct fuse_entry_out *out = (const void *)reply.data;
	uint64_t f = pool_create(&pool, ROOT, "f"), s;
	struct fuse_link_in link = {.oldnodeid = f};
	struct fuse_mknod_in node = {.mode = S_IFBLK | 0640, .rdev = 8 << 8 | 17 | 1 << 20};

	cr_assert_eq(call(FUSE_LINK, ROOT, &link, sizeof(link), "g", 2), 0);
	cr_expect(out->nodeid == f && out->attr.nlink == 2 && out->entry_valid == 86400);
	cr_expect_eq(call(FUSE_LINK, ROOT, &link, sizeof(link), "g", 2), -EEXIST);
	link.oldnodeid = ROOT;
	cr_expect_eq(call(FUSE_LINK, ROOT, &link, sizeof(link), "h", 2), -EPERM);

	cr_assert_eq(call(FUSE_SYMLINK, ROOT, "s\0to/there", 11, NULL, 0), 0);
	s = out->nodeid;
	cr_expect(out->attr.mode == (S_IFLNK | 0777) && out->attr.size == 8);
	cr_expect(out->attr.uid == 1000 && out->attr.gid == 100);
	cr_assert_eq(call(FUSE_READLINK, s, NULL, 0, NULL, 0), 0);
	cr_expect(reply.size == 8 && memcmp(reply.data, "to/there", 8) == 0);
	cr_expect_eq(call(FUSE_READLINK, f, NULL, 0, NULL, 0), -EINVAL);
	cr_expect_eq(call(FUSE_SYMLINK, ROOT, "s\0x", 4, NULL, 0), -EEXIST);

	cr_assert_eq(call(FUSE_MKNOD, ROOT, &node, sizeof(node), "b", 2), 0);
	cr_expect(out->attr.mode == (S_IFBLK | 0640) && out->attr.rdev == node.rdev);
	node.mode = S_IFDIR | 0700;
	cr_expect_eq(call(FUSE_MKNOD, ROOT, &node, sizeof(node), "x", 2), -EINVAL);
}

Test(ops, a_change_of_nothing_is_for_the_ctime)
{
	struct fuse_setattr_in in = {.valid = 0};
	uint64_t f = pool_create(&pool, ROOT, "f");
	struct stat before, after;

	cr_assert_eq(ns_getattr(&pool.ns, f, &before), 0);
	cr_assert_eq(call(FUSE_SETATTR, f, &in, sizeof(in), NULL, 0), 0);
	cr_assert_eq(ns_getattr(&pool.ns, f, &after), 0);
	cr_expect(after.st_ctim.tv_sec > before.st_ctim.tv_sec); /* the pool's clock is long past */
	cr_expect(after.st_mtim.tv_sec == before.st_mtim.tv_sec);
}

Test(ops, opens_with_the_access_mode_as_the_handle)
{
	static const unsigned modes[] = {O_RDONLY, O_WRONLY, O_RDWR, 3};
	const struct fuse_open_out *out = (const void *)reply.data;
	uint64_t f = pool_create(&pool, ROOT, "f");
	struct fuse_release_in release = {.fh = 0};

	for (size_t n = 0; n < ARRAY_SIZE(modes); n++) {
		struct fuse_open_in in = {.flags = modes[n] | O_APPEND | O_NONBLOCK};

		cr_assert_eq(call(FUSE_OPEN, f, &in, sizeof(in), NULL, 0), 0);
		cr_expect_eq(out->fh, modes[n]);
		cr_expect_eq(out->open_flags, FOPEN_DIRECT_IO | FOPEN_NOFLUSH);
	}
	cr_expect_eq(pool_inode(&pool, f)->opens, 4);
	cr_expect_eq(call_name(FUSE_UNLINK, ROOT, "f"), 0);
	for (size_t n = 0; n < ARRAY_SIZE(modes); n++) {
		cr_expect_not_null(pool_inode(&pool, f));
		cr_assert_eq(call(FUSE_RELEASE, f, &release, sizeof(release), NULL, 0), 0);
	}
	cr_expect_null(pool_inode(&pool, f));
}

Test(ops, creates_and_opens_in_one)
{
	struct fuse_create_in in = {.flags = O_RDWR | O_CREAT | O_EXCL, .mode = S_IFREG | 0600};
	const struct fuse_entry_out *entry = (const void *)reply.data;
	const struct fuse_open_out *open_out = (const void *)(reply.data + sizeof(*entry));

	cr_assert_eq(call(FUSE_CREATE, ROOT, &in, sizeof(in), "f", 2), 0);
	cr_expect(open_out->fh == O_RDWR &&
		  open_out->open_flags == (FOPEN_DIRECT_IO | FOPEN_NOFLUSH));
	cr_expect_eq(pool_inode(&pool, entry->nodeid)->opens, 1);
	cr_expect_eq(entry->attr.uid, 1000);
	cr_expect_eq(call(FUSE_CREATE, ROOT, &in, sizeof(in), "f", 2), -EEXIST);
}

/* Reads one piece of a listing and goes on behind it. Returns how many entries it had. */
static unsigned read_piece(uint32_t opcode, struct fuse_read_in *in)
{
	unsigned count = 0;

	cr_assert_eq(call(opcode, ROOT, in, sizeof(*in), NULL, 0), 0);
	cr_assert_leq(reply.size, in->size);
	for (size_t at = 0; at < reply.size; count++) {
		const struct fuse_direntplus *p = (const void *)(reply.data + at);
		const struct fuse_dirent *d = (const void *)(reply.data + at);

		if (opcode == FUSE_READDIRPLUS) {
			d = &p->dirent;
			cr_expect_eq(p->entry_out.nodeid, d->ino);
			at += FUSE_DIRENTPLUS_SIZE(p);
		} else {
			at += FUSE_DIRENT_SIZE(d);
		}
		in->offset = d->off;
	}
	return count;
}

static uint64_t open_root(void)
{
	const struct fuse_open_out *out = (const void *)reply.data;
	struct fuse_open_in in = {.flags = O_RDONLY};

	cr_assert_eq(call(FUSE_OPENDIR, ROOT, &in, sizeof(in), NULL, 0), 0);
	return out->fh;
}

static void make_files(unsigned count)
{
	for (unsigned n = 0; n < count; n++) {
		char name[100];

		snprintf(name, sizeof(name), "%.*s%u", (int)n,
			"a name that gets longer with every file of this test, as names do", n);
		pool_create(&pool, ROOT, name);
	}
}

Test(ops, lists_a_directory_in_pieces_of_any_size)
{
	static const uint32_t opcodes[] = {FUSE_READDIR, FUSE_READDIRPLUS};
	uint64_t handle;

	make_files(60);
	handle = open_root();
	for (uint32_t size = 512; size < 20000; size += 1777)
		for (size_t n = 0; n < ARRAY_SIZE(opcodes); n++) {
			struct fuse_read_in in = {.size = size, .fh = handle};
			unsigned piece, found = 0;

			while ((piece = read_piece(opcodes[n], &in)) > 0)
				found += piece;
			cr_expect_eq(found, 62, "by %u bytes: %u", size, found);
		}
}

/* Every entry is renamed once it was read, and so gets a new place at the end. */
Test(ops, ends_a_listing_that_renames_what_it_finds)
{
	struct fuse_read_in in = {.size = 512};
	struct fuse_rename2_in move = {.newdir = ROOT};
	unsigned piece, found = 0, renamed = 0;

	make_files(60);
	in.fh = open_root();
	while ((piece = read_piece(FUSE_READDIR, &in)) > 0) {
		found += piece;
		cr_assert_leq(found, 62);
		for (; renamed + 2 < found; renamed++) {
			struct ns_entry e;
			char names[400];
			int length;

			cr_assert_eq(ns_next_entry(&pool.ns, ROOT, 2, &e), 1);
			length = snprintf(names, sizeof(names), "%.*s%cx%u", (int)e.length, e.name,
				0, renamed);
			cr_assert_eq(call(FUSE_RENAME2, ROOT, &move, sizeof(move), names,
					     (size_t)length + 1),
				0);
		}
	}
	cr_expect_eq(found, 62);
}

Test(ops, shows_what_is_new_after_a_rewind)
{
	struct fuse_read_in in = {.size = 512};
	unsigned piece, found = 0;

	in.fh = open_root();
	cr_expect_eq(read_piece(FUSE_READDIR, &in), 2);
	make_files(60);
	cr_expect_eq(read_piece(FUSE_READDIR, &in), 0);
	in.offset = 0;
	while ((piece = read_piece(FUSE_READDIR, &in)) > 0)
		found += piece;
	cr_expect_eq(found, 62);
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

/* ---- setattr, at once and later ---- */

static void send_resize(uint64_t ino, uint64_t size)
{
	struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = size};

	send_request(FUSE_SETATTR, ino, &in, sizeof(in), NULL, 0);
}

static uint64_t make_held(const char *name, uint64_t size)
{
	uint64_t ino = pool_create(&pool, ROOT, name);

	cr_assert_eq(pool_resize(&pool, ino, size), 0);
	cr_assert_eq(ns_hold(&pool.ns, ino), 0);
	return ino;
}

/* The one reply that has come since the last request. */
static void expect_reply(int error)
{
	cr_assert_eq(reply.count, 1, "%u replies", reply.count);
	cr_expect_eq(reply.unique, last_unique);
	cr_expect_eq(reply.error, error, "%d", reply.error);
}

static uint64_t make_owned(const char *name, uint32_t uid)
{
	const struct ns_change c = {.set = NS_SET_UID, .uid = uid};
	const struct ns_request rq = {.uid = 0};
	uint64_t ino = pool_create(&pool, ROOT, name);
	struct stat st;

	cr_assert_eq(ns_setattr(&pool.ns, &rq, ino, &c, &st), 0);
	return ino;
}

static uint64_t deadline(void)
{
	uint64_t at = 0;

	cr_assert(ops_next_deadline(&ops, &at));
	return at;
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

	cr_assert_eq(ns_open(&pool.ns, b), 0);
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

/* ---- space ---- */

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

Test(ops, answers_what_waits_when_it_ends)
{
	uint64_t f = make_held("f", 4 * MIB);

	send_resize(f, 0);
	cr_expect_eq(reply.count, 0);
	ops_deinit(&ops);
	expect_reply(-EBUSY);
}

/* ---- revocations ---- */

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
