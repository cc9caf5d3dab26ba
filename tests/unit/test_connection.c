// SPDX-License-Identifier: MIT
/*
 * Workers that die over a connection, one after the other: processes of their own, over the same
 * pool and the same runtime table, with the test as the kernel. Wherever a worker dies in a
 * request, its caller gets the answer that it would have had, and the pool is what it would have
 * been.
 */
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "fuse/connection.h"
#include "ops_fixture.h"
#include "util/cleanup.h"
#include "util/le.h"

enum death {
	NEVER,
	BEFORE_COMMIT, /* of what the request asks for */
	BEFORE_REPLY,
	AFTER_REPLY,
	BEFORE_COMMIT_TWICE,
};

/* ---- a worker ---- */

/* What it dies at; of no meaning in the test's own process. */
static struct {
	enum death at;
	uint64_t unique;
} dies;

int __real_store_commit(struct store *s, struct txn *t);
int __wrap_store_commit(struct store *s, struct txn *t);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);

int __wrap_store_commit(struct store *s, struct txn *t)
{
	if (t->unique == dies.unique && dies.at == BEFORE_COMMIT)
		_exit(9);
	return __real_store_commit(s, t);
}

/* Small replies, as all of these are, go out in one part. */
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
	const struct fuse_out_header *header = data;
	bool is_it =
		size >= sizeof(*header) && header->len == size && header->unique == dies.unique;
	ssize_t n;

	if (is_it && dies.at == BEFORE_REPLY)
		_exit(9);
	n = __real_write(fd, data, size);
	if (is_it && dies.at == AFTER_REPLY)
		_exit(9);
	return n;
}

static int table_fd;
static struct runtime_table table; /* as the test sees it */

static void serve(struct connection *c, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		int n = connection_serve(c);

		if (n == -EAGAIN)
			(void)poll(&p, 1, -1);
		else if (n <= 0)
			_exit(1);
	}
}

/* As worker.c does it. */
static void be_worker(int fd)
{
	struct connection c = {.ops = NULL};
	struct open_table opens;
	struct problem why = PROBLEM_INIT;
	struct store_result last;
	unsigned answered;

	if (runtime_table_map(&c.table, table_fd, &why) < 0 || !runtime_table_begin(&c.table))
		_exit(2);
	if (store_open(&pool.store, &pool.media, &pool.super, &why) < 0)
		_exit(3);
	open_table_init(&opens, c.table.opens, &c.table.header->opens_used, RUNTIME_TABLE_OPENS);
	if (open_table_adopt(&opens, store_meta(pool.store)) < 0)
		_exit(4);
	last = store_last_result(pool.store);
	if (store_begin_mount(pool.store, pool.boot_id, &why) < 0)
		_exit(5);
	if (c.table.header->first_mount == 0)
		c.table.header->first_mount = store_meta(pool.store)->mount_number;
	ns_init(&pool.ns, pool.store);
	pool.ns.opens = &opens;
	ops = (struct ops){.ns = &pool.ns, .grant_socket = "/g", .control_socket = "/c"};
	ops_init(&ops);
	if (connection_open(&c, fd, &ops, &why) < 0)
		_exit(6);
	if (connection_resume(&c, &last, &answered, &why) < 0)
		_exit(why.text[0] ? 7 : 8);
	serve(&c, fd);
}

/* ---- the kernel ---- */

static int kernel, connection_end;
static pid_t worker_pid;
static uint64_t number = 2; /* of the last request */

static void start_worker(enum death at)
{
	worker_pid = fork();
	cr_assert_geq(worker_pid, 0);
	if (worker_pid > 0)
		return;
	dies.at = at;
	dies.unique = number + 2;
	be_worker(dup(connection_end));
	_exit(1);
}

static int wait_worker(void)
{
	int status;

	cr_assert_eq(waitpid(worker_pid, &status, 0), worker_pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void kill_worker(void)
{
	kill(worker_pid, SIGKILL);
	(void)wait_worker();
}

struct request {
	const char *what;
	uint32_t opcode;
	uint64_t node;
	const void *fixed;
	size_t fixed_size;
	const char *rest;
	size_t rest_size;
};

static void send_to_worker(const struct request *rq)
{
	uint8_t bytes[1024] = {0};
	struct fuse_in_header header = {
		.len = (uint32_t)(sizeof(header) + rq->fixed_size + rq->rest_size),
		.opcode = rq->opcode,
		.unique = number += 2,
		.nodeid = rq->node,
		.uid = 1000,
		.gid = 100,
		.pid = 1,
	};

	memcpy(bytes, &header, sizeof(header));
	if (rq->fixed_size)
		memcpy(bytes + sizeof(header), rq->fixed, rq->fixed_size);
	if (rq->rest_size)
		memcpy(bytes + sizeof(header) + rq->fixed_size, rq->rest, rq->rest_size);
	cr_assert_eq(send(kernel, bytes, header.len, 0), (ssize_t)header.len);
}

struct answer {
	struct fuse_out_header header;
	uint64_t node; /* of an entry */
	uint8_t rest[4096];
};

static void receive_answer(struct answer *ret)
{
	struct pollfd p = {.fd = kernel, .events = POLLIN};

	do {
		memset(ret, 0, sizeof(*ret));
		cr_assert_eq(poll(&p, 1, 20000), 1, "no answer");
		cr_assert_geq(recv(kernel, ret, sizeof(*ret), 0), (ssize_t)sizeof(ret->header));
		/* What was answered before its worker was killed may be answered again. */
	} while (ret->header.unique < number);
	cr_assert_eq(ret->header.unique, number);
}

static int ask(const struct request *rq)
{
	struct answer a;

	send_to_worker(rq);
	receive_answer(&a);
	return a.header.error;
}

/* ---- the pool ---- */

static uint8_t *private_base;
static uint64_t file, other, dir;

static void setup(void)
{
	struct fuse_init_in init = {
		.major = 7, .minor = 36, .flags = ~(uint32_t)FUSE_INIT_EXT, .flags2 = ~0U};
	const struct request first = {
		.opcode = FUSE_INIT, .fixed = &init, .fixed_size = sizeof(init)};
	int ends[2];
	struct problem why = PROBLEM_INIT;
	struct ns_xattr x = {.name = "user.old", .value = "1", .value_len = 1};

	pool_init(&pool, 16, 1000, true);
	file = pool_create(&pool, ROOT, "file");
	other = pool_create(&pool, ROOT, "other");
	dir = pool_mkdir(&pool, ROOT, "dir");
	pool_tick(&pool);
	cr_assert_eq(pool_resize(&pool, file, 3 * GM_BLOCK_SIZE), 0);
	cr_assert_eq(ns_setxattr(&pool.ns, &pool.rq, file, &x), 0);
	pool.store = store_close(pool.store);
	/* From here on in memory that survives who writes to it. */
	private_base = pool.media.base;
	pool.media.base = mmap(
		NULL, pool.media.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)pool.media.base, MAP_FAILED);
	memcpy(pool.media.base, private_base, pool.media.size);

	table_fd = runtime_table_make(&why);
	cr_assert_geq(table_fd, 0, "%s", why.text);
	cr_assert_eq(runtime_table_map(&table, table_fd, &why), 0, "%s", why.text);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	kernel = ends[0];
	connection_end = ends[1];
	number = 0;
	start_worker(NEVER);
	cr_assert_eq(ask(&first), 0);
	/* A worker that answers this one has done with the first. */
	cr_assert_eq(ask(&(struct request){.opcode = FUSE_STATFS, .node = ROOT}), 0);
}

static void teardown(void)
{
	if (worker_pid > 0)
		kill_worker();
	worker_pid = 0;
	(void)close_fd(kernel);
	(void)close_fd(connection_end);
	(void)close_fd(table_fd);
	runtime_table_unmap(&table);
	(void)munmap(pool.media.base, pool.media.size);
	free(private_base);
}

TestSuite(connection, .init = setup, .fini = teardown);

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x100000001b3ULL;
}

/* All that a request changes, but for the times. */
static uint64_t sum_of_pool(void)
{
	struct problem why = PROBLEM_INIT;
	uint64_t sum = 0;
	const struct inode *i;

	kill_worker();
	cr_assert_eq(store_open(&pool.store, &pool.media, &pool.super, &why), 0, "%s", why.text);
	for (size_t cursor = 0; (i = meta_each_inode(store_meta(pool.store), &cursor));) {
		const struct inode_attr *a = &i->attr;
		uint64_t one = mix(
			mix(mix(mix(mix(1, a->ino), a->size), a->parent), a->next_cookie), a->mode);

		one = mix(mix(mix(mix(one, a->links), a->uid), a->gid), a->rdev);
		one = mix(one, inode_is_file(i) ? inode_blocks(i) : i->entry_count);
		if (a->mtime == 77)
			one = mix(one, 77);
		sum += one;
	}
	sum = mix(mix(sum, store_meta(pool.store)->xattr_bytes), store_meta(pool.store)->next_ino);
	pool.store = store_close(pool.store);
	worker_pid = 0;
	return sum;
}

/* ---- every kind of change ---- */

static const struct fuse_create_in create_in = {.flags = O_CREAT | O_EXCL | O_RDWR, .mode = 0640};
static const struct fuse_mkdir_in mkdir_in = {.mode = 0750};
static const struct fuse_mknod_in mknod_in = {.mode = S_IFIFO | 0600};
static const struct fuse_link_in link_in = {.oldnodeid = 2};
static const struct fuse_rename2_in exchange_in = {.newdir = ROOT, .flags = RENAME_EXCHANGE};
static const struct fuse_rename_in rename_in = {.newdir = 4};
static const struct fuse_rename_in replace_in = {.newdir = ROOT};
static const struct fuse_setattr_in grow_in = {.valid = FATTR_SIZE, .size = 5 * GM_BLOCK_SIZE};
static const struct fuse_setattr_in shrink_in = {.valid = FATTR_SIZE, .size = GM_BLOCK_SIZE};
static const struct fuse_setattr_in chmod_in = {.valid = FATTR_MODE, .mode = S_IFREG | 0604};
static const struct fuse_setattr_in utimes_in = {.valid = FATTR_MTIME, .mtime = 77};
static const struct fuse_fallocate_in allocate_in = {.length = 6 * GM_BLOCK_SIZE};
static const struct fuse_fallocate_in punch_in = {.offset = GM_BLOCK_SIZE,
	.length = GM_BLOCK_SIZE,
	.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
static const struct {
	uint32_t size, flags;
} xattr_in = {.size = 3, .flags = XATTR_CREATE};

#define FIXED(f) .fixed = &(f), .fixed_size = sizeof(f)
#define REST(r)  .rest = (r), .rest_size = sizeof(r)

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
	{"exchange", FUSE_RENAME2, ROOT, FIXED(exchange_in), REST("file\0dir")},
	{"grow", FUSE_SETATTR, 2, FIXED(grow_in), NULL, 0},
	{"shrink", FUSE_SETATTR, 2, FIXED(shrink_in), NULL, 0},
	{"chmod", FUSE_SETATTR, 2, FIXED(chmod_in), NULL, 0},
	{"utimes", FUSE_SETATTR, 2, FIXED(utimes_in), NULL, 0},
	{"fallocate", FUSE_FALLOCATE, 2, FIXED(allocate_in), NULL, 0},
	{"punch", FUSE_FALLOCATE, 2, FIXED(punch_in), NULL, 0},
	{"setxattr", FUSE_SETXATTR, 2, FIXED(xattr_in), REST("user.new\0abc")},
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
		BEFORE_COMMIT, BEFORE_REPLY, AFTER_REPLY, BEFORE_COMMIT_TWICE};

	for (size_t n = 0; n < ARRAY_SIZE(changes); n++) {
		const struct request rq = change(n);
		struct answer wanted, a;
		uint64_t sum;

		send_to_worker(&rq);
		receive_answer(&wanted);
		cr_expect_eq(wanted.header.error, 0, "%s: %d", rq.what, wanted.header.error);
		sum = sum_of_pool();
		for (size_t p = 0; p < ARRAY_SIZE(points); p++) {
			teardown();
			setup();
			cr_expect_eq(change_with_death(&rq, points[p], &a), sum,
				"%s, death %d: the pool is another", rq.what, points[p]);
			cr_expect_eq(a.header.error, 0, "%s, death %d: %d", rq.what, points[p],
				a.header.error);
			cr_expect_eq(a.header.len, wanted.header.len, "%s", rq.what);
			if (rq.opcode == FUSE_CREATE || rq.opcode == FUSE_LINK)
				cr_expect_eq(a.node, wanted.node);
		}
		teardown();
		setup();
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
		teardown();
		setup();
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
	table.header->slots.serving = UINT64_MAX;
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
