// SPDX-License-Identifier: MIT
#include "ops_fixture.h"

#include <errno.h>
#include <sys/uio.h>

#include "util/cleanup.h"

struct pool pool;
struct ops ops;
uint64_t last_unique;
struct reply reply;
unsigned notified;

uint64_t checked[64];
unsigned check_flags[64];
size_t checked_count;
struct revoked revoked;
struct zeroed zeroed;

static struct fuse_session *session;

/* ---- in place of grants.c and tickets.c ---- */

void grants_check(struct grants *g, uint64_t ino, unsigned flags)
{
	(void)g;
	cr_assert_lt(checked_count, ARRAY_SIZE(checked));
	check_flags[checked_count] = flags;
	checked[checked_count++] = ino;
}

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
	if (header.unique == 0) {
		notified++;
		return (ssize_t)header.len;
	}
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

void send_request(uint32_t opcode, uint64_t ino, const void *fixed, size_t fixed_size,
	const void *rest, size_t rest_size)
{
	/* As slots do, for those that may wait still. */
	static _Alignas(8) uint8_t kept[64][sizeof(struct gm_revoke) + 4096];
	uint8_t *bytes = kept[last_unique / 2 % ARRAY_SIZE(kept)];
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

	cr_assert_leq(header.len, sizeof(kept[0]));
	memset(bytes, 0, sizeof(kept[0]));
	memcpy(bytes, &header, sizeof(header));
	if (fixed_size > 0)
		memcpy(bytes + sizeof(header), fixed, fixed_size);
	if (rest_size > 0)
		memcpy(bytes + sizeof(header) + fixed_size, rest, rest_size);
	reply.count = 0;
	ops_process(&ops, session, &buf);
}

int call(uint32_t opcode, uint64_t ino, const void *fixed, size_t fixed_size, const void *rest,
	size_t rest_size)
{
	send_request(opcode, ino, fixed, fixed_size, rest, rest_size);
	cr_assert_eq(reply.count, 1, "opcode %u: %u replies", opcode, reply.count);
	cr_assert_eq(reply.unique, last_unique);
	return reply.error;
}

int call_name(uint32_t opcode, uint64_t ino, const char *name)
{
	return call(opcode, ino, name, strlen(name) + 1, NULL, 0);
}

void expect_reply(int error)
{
	cr_assert_eq(reply.count, 1, "%u replies", reply.count);
	cr_expect_eq(reply.unique, last_unique);
	cr_expect_eq(reply.error, error, "%d", reply.error);
}

uint64_t make_held(const char *name, uint64_t size)
{
	uint64_t ino = pool_create(&pool, ROOT, name);

	cr_assert_eq(pool_resize(&pool, ino, size), 0);
	cr_assert_eq(ns_hold(&pool.ns, ino), 0);
	return ino;
}

uint64_t deadline(void)
{
	uint64_t at = 0;

	cr_assert(ops_next_deadline(&ops, &at));
	return at;
}

void ops_setup(void)
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

void ops_teardown(void)
{
	ops_deinit(&ops);
	fuse_session_destroy(session);
	pool_deinit(&pool);
}
