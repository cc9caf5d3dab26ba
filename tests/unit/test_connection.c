// SPDX-License-Identifier: MIT
/*
 * Wherever a worker dies in a request, its caller gets the answer that it would have had, and the
 * pool is what it would have been.
 */
#include <sys/xattr.h>

#include "connection_fixture.h"
#include "util/cleanup.h"

TestSuite(connection, .init = connection_setup, .fini = connection_teardown);

/* ---- every kind of change ---- */

static const struct fuse_create_in create_in = {.flags = O_CREAT | O_EXCL | O_RDWR, .mode = 0640};
static const struct fuse_mkdir_in mkdir_in = {.mode = 0750};
static const struct fuse_mknod_in mknod_in = {.mode = S_IFIFO | 0600};
static const struct fuse_link_in link_in = {.oldnodeid = 2};
static const struct fuse_rename2_in exchange_in = {.newdir = ROOT, .flags = RENAME_EXCHANGE};
static const struct fuse_rename_in rename_in = {.newdir = 4};
static const struct fuse_rename2_in noreplace_in = {.newdir = 4, .flags = RENAME_NOREPLACE};
static const struct fuse_rename_in replace_in = {.newdir = ROOT};
static const struct fuse_setattr_in grow_in = {.valid = FATTR_SIZE, .size = 5 * GM_BLOCK_SIZE};
static const struct fuse_setattr_in shrink_in = {.valid = FATTR_SIZE, .size = GM_BLOCK_SIZE};
static const struct fuse_setattr_in chmod_in = {.valid = FATTR_MODE, .mode = S_IFREG | 0604};
static const struct fuse_setattr_in chown_in = {.valid = FATTR_UID | FATTR_GID, .uid = 7, .gid = 8};
static const struct fuse_setattr_in truncate_in = {.valid = FATTR_SIZE | FATTR_FH, .size = 0};
static const struct fuse_setattr_in cut_in = {.valid = FATTR_SIZE, .size = 100};
static const struct fuse_setattr_in utimes_in = {.valid = FATTR_MTIME, .mtime = 77};
static const struct fuse_fallocate_in allocate_in = {.length = 6 * GM_BLOCK_SIZE};
static const struct fuse_fallocate_in punch_in = {.offset = GM_BLOCK_SIZE,
	.length = GM_BLOCK_SIZE,
	.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
static const struct {
	uint32_t size, flags;
} xattr_in = {.size = 3, .flags = XATTR_CREATE}, mark_in = {.size = 1}, quota_in = {.size = 2},
  acl_in = {.size = 44};
#define ACL(tag, perm, id) tag "\0" perm "\0" id
#define NOBODY             "\xff\xff\xff\xff"
/* A user of number 5 may write as well. */
static const char acl_rest[] =
	"system.posix_acl_access\0\2\0\0\0" ACL("\1", "\6", NOBODY) ACL("\2", "\6", "\5\0\0\0")
		ACL("\4", "\4", NOBODY) ACL("\x10", "\6", NOBODY) ACL("\x20", "\0", NOBODY);
/* Over the end of the file: in a unit that it has, which is stored after the record, and a new one.
 */
static const struct fuse_write_in write_in = {.offset = 2048, .size = 3000};
static const char written[3000] = "what is written";
static const struct fuse_fallocate_in punch_content_in = {
	.length = 2000, .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
static const struct fuse_fallocate_in allocate_content_in = {.length = 3 * GM_UNIT_SIZE};

static const struct request changes[] = {
	{"create", FUSE_CREATE, ROOT, FIXED(create_in), REST("new")},
	{"mkdir", FUSE_MKDIR, ROOT, FIXED(mkdir_in), REST("new")},
	{"mknod", FUSE_MKNOD, ROOT, FIXED(mknod_in), REST("new")},
	{"symlink", FUSE_SYMLINK, ROOT, NULL, 0, REST("new\0target")},
	{"link", FUSE_LINK, ROOT, FIXED(link_in), REST("new")},
	{"unlink", FUSE_UNLINK, ROOT, NULL, 0, REST("file")},
	{"rmdir", FUSE_RMDIR, ROOT, NULL, 0, REST("dir")},
	{"rename", FUSE_RENAME, ROOT, FIXED(rename_in), REST("file\0moved")},
	{"replace", FUSE_RENAME, ROOT, FIXED(replace_in), REST("file\0other")},
	{"rename without replacing", FUSE_RENAME2, ROOT, FIXED(noreplace_in), REST("file\0moved")},
	{"exchange", FUSE_RENAME2, ROOT, FIXED(exchange_in), REST("file\0dir")},
	{"grow", FUSE_SETATTR, 2, FIXED(grow_in), NULL, 0},
	{"shrink", FUSE_SETATTR, 2, FIXED(shrink_in), NULL, 0},
	{"chmod", FUSE_SETATTR, 2, FIXED(chmod_in), NULL, 0},
	{"chown", FUSE_SETATTR, 2, FIXED(chown_in), NULL, 0},
	{"open with O_TRUNC", FUSE_SETATTR, 2, FIXED(truncate_in), NULL, 0}, /* its second half */
	{"utimes", FUSE_SETATTR, 2, FIXED(utimes_in), NULL, 0},
	{"fallocate", FUSE_FALLOCATE, 2, FIXED(allocate_in), NULL, 0},
	{"punch", FUSE_FALLOCATE, 2, FIXED(punch_in), NULL, 0},
	{"setxattr", FUSE_SETXATTR, 2, FIXED(xattr_in), REST("user.new\0abc")},
	{"mark", FUSE_SETXATTR, 4, FIXED(mark_in),
		REST("user.guestmemfs.io\0"
		     "1")},
	{"quota", FUSE_SETXATTR, 4, FIXED(quota_in),
		REST("user.guestmemfs.quota\0"
		     "8M")},
	{"access control list", FUSE_SETXATTR, 2, FIXED(acl_in), REST(acl_rest)},
	{"write", FUSE_WRITE, CONTENT, FIXED(write_in), .rest = written, sizeof(written)},
	{"cut content", FUSE_SETATTR, CONTENT, FIXED(cut_in), NULL, 0},
	{"punch content", FUSE_FALLOCATE, CONTENT, FIXED(punch_content_in), NULL, 0},
	{"allocate content", FUSE_FALLOCATE, CONTENT, FIXED(allocate_content_in), NULL, 0},
	{"removexattr", FUSE_REMOVEXATTR, 2, NULL, 0, REST("user.old")},
};

/* Of the setxattr's value no NUL is sent. */
static struct request change(size_t n)
{
	struct request rq = changes[n];

	if (rq.opcode == FUSE_SETXATTR)
		rq.rest_size--;
	return rq;
}

/* The request is asked for, a worker dies in it, the next one answers. */
static uint64_t change_with_death(const struct request *rq, enum death at, struct answer *ret)
{
	unsigned deaths = at == BEFORE_COMMIT_TWICE ? 2 : 1;
	uint64_t wanted = number + 2;

	kill_worker();
	for (unsigned n = 0; n < deaths; n++) {
		number = wanted - 2;
		start_worker(at == BEFORE_COMMIT_TWICE ? BEFORE_COMMIT : at);
		if (n == 0)
			send_to_worker(rq);
		cr_assert_eq(wait_worker(), 9, "%s: death %u", rq->what, n);
	}
	number = wanted;
	if (at == AFTER_REPLY)
		receive_answer(ret);
	start_worker(NEVER);
	receive_answer(ret);
	return sum_of_pool();
}

Test(connection, a_change_is_made_once_and_answered_with_the_truth)
{
	static const enum death points[] = {
		BEFORE_COMMIT, AFTER_COMMIT, BEFORE_REPLY, AFTER_REPLY, BEFORE_COMMIT_TWICE};

	for (size_t n = 0; n < ARRAY_SIZE(changes); n++) {
		const struct request rq = change(n);
		struct answer wanted, a;
		uint64_t sum;

		send_to_worker(&rq);
		receive_answer(&wanted);
		cr_expect_eq(wanted.header.error, 0, "%s: %d", rq.what, wanted.header.error);
		sum = sum_of_pool();
		for (size_t p = 0; p < ARRAY_SIZE(points); p++) {
			connection_teardown();
			connection_setup();
			cr_expect_eq(change_with_death(&rq, points[p], &a), sum,
				"%s, death %d: the pool is another", rq.what, points[p]);
			cr_expect_eq(a.header.error, 0, "%s, death %d: %d", rq.what, points[p],
				a.header.error);
			cr_expect_eq(a.header.len, wanted.header.len, "%s", rq.what);
			if (rq.opcode == FUSE_CREATE || rq.opcode == FUSE_LINK)
				cr_expect_eq(a.node, wanted.node);
		}
		connection_teardown();
		connection_setup();
	}
}

/* ---- what is open ---- */

static const struct fuse_open_in open_in = {.flags = O_RDWR};
static const struct fuse_release_in release_in = {.flags = O_RDWR};
static const struct request open_file = {
	.what = "open", .opcode = FUSE_OPEN, .node = 2, FIXED(open_in)};
static const struct request release_file = {
	.what = "release", .opcode = FUSE_RELEASE, .node = 2, FIXED(release_in)};
static const struct request unlink_file = {
	.what = "unlink", .opcode = FUSE_UNLINK, .node = ROOT, REST("file")};
static const struct request stat_file = {.opcode = FUSE_GETATTR,
	.node = 2,
	.fixed = &(struct fuse_getattr_in){.fh = 0},
	.fixed_size = sizeof(struct fuse_getattr_in)};

/* Dies in the request; the next worker has answered it when this returns. */
static void ask_with_death(const struct request *rq, enum death at)
{
	struct answer a;

	kill_worker();
	start_worker(at);
	send_to_worker(rq);
	cr_assert_eq(wait_worker(), 9);
	if (at == AFTER_REPLY)
		receive_answer(&a);
	start_worker(NEVER);
	receive_answer(&a);
	cr_expect_eq(a.header.error, 0, "%s: %d", rq->what, a.header.error);
}

Test(connection, opens_and_closes_are_counted_once_whoever_dies_in_them)
{
	static const enum death points[] = {BEFORE_REPLY, AFTER_REPLY};

	for (size_t n = 0; n < 4; n++) {
		ask_with_death(&open_file, points[n % 2]);
		ask_with_death(&open_file, points[n / 2]);
		cr_assert_eq(ask(&unlink_file), 0);
		ask_with_death(&release_file, points[n % 2]);
		kill_worker();
		start_worker(NEVER);
		cr_expect_eq(ask(&stat_file), 0, "it is open once more");
		ask_with_death(&release_file, points[n / 2]);
		cr_expect_eq(ask(&stat_file), -ESTALE, "its last user is gone");
		connection_teardown();
		connection_setup();
	}
}

Test(connection, what_is_open_without_a_name_is_removed_by_the_one_who_closes_it)
{
	cr_assert_eq(ask(&open_file), 0);
	cr_assert_eq(ask(&unlink_file), 0);
	for (unsigned n = 0; n < 3; n++) {
		kill_worker();
		start_worker(NEVER);
		cr_expect_eq(ask(&stat_file), 0);
	}
	cr_expect_eq(ask(&release_file), 0);
	cr_expect_eq(ask(&stat_file), -ESTALE);
}

Test(connection, what_is_done_to_an_open_file_without_a_name_is_not_said_to_have_failed)
{
	static const enum death points[] = {AFTER_COMMIT, BEFORE_REPLY};

	for (size_t n = 0; n < ARRAY_SIZE(changes) * ARRAY_SIZE(points); n++) {
		const struct request rq = change(n / ARRAY_SIZE(points));

		if (rq.node != open_file.node)
			continue;
		cr_assert_eq(ask(&open_file), 0);
		cr_assert_eq(ask(&unlink_file), 0);
		ask_with_death(&rq, points[n % ARRAY_SIZE(points)]);
		cr_expect_eq(ask(&stat_file), 0, "%s", rq.what);
		connection_teardown();
		connection_setup();
	}
}

/* ---- a request that no worker survives ---- */

Test(connection, a_request_that_kills_three_workers_is_given_up)
{
	const struct request rq = change(0);
	struct answer a;

	kill_worker();
	for (unsigned n = 0; n < SLOT_DEATHS_MAX; n++) {
		start_worker(BEFORE_COMMIT);
		if (n == 0) {
			send_to_worker(&rq);
			number -= 2; /* which each of them dies at */
		}
		cr_assert_eq(wait_worker(), 9, "worker %u", n);
	}
	number += 2;
	start_worker(NEVER);
	receive_answer(&a);
	cr_expect_eq(a.header.error, -EIO);
	cr_expect_eq(ask(&stat_file), 0, "others are served");
	cr_expect_eq(ask(&rq), 0, "it was not done");
}

/* ---- what a worker must not believe ---- */

static uint8_t *slot_of(uint32_t n)
{
	return table.slots + (size_t)n * SLOT_BYTES;
}

Test(connection, another_connections_result_is_not_this_ones)
{
	const struct request rq = change(1);

	cr_assert_eq(ask(&rq), 0);
	kill_worker();
	/* As after a cold start: the numbers begin anew. */
	table.header->first_mount = UINT64_MAX;
	start_worker(NEVER);
	number -= 2;
	cr_expect_eq(ask(&rq), -EEXIST);
}

Test(connection, nonsense_in_the_table_is_no_request)
{
	struct fuse_in_header header = {.opcode = FUSE_SETXATTR, .nodeid = 2, .unique = 1000};

	kill_worker();
	for (uint32_t n = 0; n < 64; n++) {
		header.len = n == 0 ? UINT32_MAX : n;
		header.unique += 2;
		memcpy(slot_of(n), &header, sizeof(header));
		memset(slot_of(n) + sizeof(header), 0xff, 64);
	}
	table.header->slots.used = UINT64_MAX;
	table.header->slots.serving.unique = UINT64_MAX;
	table.header->opens_used = UINT64_MAX;
	for (uint32_t n = 0; n < 100; n++) {
		table.opens[n].ino = n % 10;
		table.opens[n].word = UINT64_MAX - n;
	}
	start_worker(NEVER);
	cr_expect_eq(ask(&stat_file), 0);
	for (uint32_t n = 1; n < 64; n++) /* the first one was just in use */
		cr_expect_eq(((struct fuse_in_header *)(void *)slot_of(n))->len, 0, "%u", n);
}

Test(connection, a_connection_that_would_have_been_another_is_not_gone_on_with)
{
	struct fuse_init_out *out =
		(void *)(table.header->init_reply + sizeof(struct fuse_out_header));

	kill_worker();
	out->flags ^= FUSE_DO_READDIRPLUS;
	start_worker(NEVER);
	cr_expect_eq(wait_worker(), 7, "EPROTONOSUPPORT, with a sentence");
	out->flags ^= FUSE_DO_READDIRPLUS;
	start_worker(NEVER);
	cr_expect_eq(ask(&stat_file), 0);
	kill_worker();
	table.header->init_request_size++;
	start_worker(NEVER);
	cr_expect_eq(wait_worker(), 7);
	table.header->version++;
	start_worker(NEVER);
	cr_expect_eq(wait_worker(), 2, "another version's table");
	worker_pid = 0;
}
