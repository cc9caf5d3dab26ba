// SPDX-License-Identifier: MIT
#include "connection_fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "fuse/connection.h"
#include "fuse/content_memory.h"
#include "util/cleanup.h"

/* ---- a worker ---- */

/* What it dies at; of no meaning in the test's own process. */
static struct {
	enum death at;
	uint64_t unique;
} dies;

uint64_t unwanted;

int __real_store_commit(struct store *s, struct txn *t);
int __wrap_store_commit(struct store *s, struct txn *t);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
void __real_open_table_drop(struct open_table *t, struct inode *i, uint64_t unique);
void __wrap_open_table_drop(struct open_table *t, struct inode *i, uint64_t unique);

int __wrap_store_commit(struct store *s, struct txn *t)
{
	bool is_it = t->unique == dies.unique;
	int r;

	if (is_it && dies.at == BEFORE_COMMIT)
		_exit(9);
	r = __real_store_commit(s, t);
	if (is_it && dies.at == AFTER_COMMIT)
		_exit(9);
	return r;
}

/* Small replies, as all of these are, go out in one part. */
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
	const struct fuse_out_header *header = data;
	bool is_reply = size >= sizeof(*header) && header->len == size;
	bool is_it = is_reply && header->unique == dies.unique;
	ssize_t n;

	if (is_it && dies.at == BEFORE_REPLY)
		_exit(9);
	if (is_reply && unwanted && header->unique == unwanted) {
		errno = ENOENT;
		return -1;
	}
	n = __real_write(fd, data, size);
	if (is_it && dies.at == AFTER_REPLY)
		_exit(9);
	return n;
}

void __wrap_open_table_drop(struct open_table *t, struct inode *i, uint64_t unique)
{
	bool is_it = ops.unique == 0 && dies.unique == unwanted;

	if (is_it && dies.at == BEFORE_DROP)
		_exit(9);
	__real_open_table_drop(t, i, unique);
	if (is_it && dies.at == AFTER_DROP)
		_exit(9);
}

/* ---- the memory of files with content, which survives who writes to it ---- */

#define CONTENT_BLOCKS 16U

static uint8_t *content_bytes;
static struct content_memory *content;

static int map_content(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	(void)data, (void)gap;
	cr_assert_lt(file_block, CONTENT_BLOCKS);
	*ret = (struct content_window){.file_block = file_block,
		.count = 1,
		.address = content_bytes + file_block * GM_BLOCK_SIZE};
	return 0;
}

static void unmap_content(void *data, const struct content_window *window)
{
	(void)data, (void)window;
}

static void open_content(void)
{
	const struct content_source source = {
		.map = map_content, .unmap = unmap_content, .ops = &media_memory_ops};

	cr_assert_eq(content_memory_new(&content, store_meta(pool.store), &source), 0);
	pool.ns.memory = content;
}

static void close_pool(void)
{
	pool.ns.memory = content = content_memory_free(content);
	pool.store = store_close(pool.store);
}

static void *share(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	cr_assert_neq(at, MAP_FAILED);
	return at;
}

/* ---- a worker as a process ---- */

static int table_fd;
struct runtime_table table;

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

/* As worker_start.c and worker_mount.c do it. */
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
	pool.ns.owner = 1000;
	open_content();
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
pid_t worker_pid;
uint64_t number = 2;

void start_worker(enum death at)
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

int wait_worker(void)
{
	int status;

	cr_assert_eq(waitpid(worker_pid, &status, 0), worker_pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void kill_worker(void)
{
	kill(worker_pid, SIGKILL);
	(void)wait_worker();
}

void send_to_worker(const struct request *rq)
{
	uint8_t bytes[8192] = {0};
	struct fuse_in_header header = {
		.len = (uint32_t)(sizeof(header) + rq->fixed_size + rq->rest_size),
		.opcode = rq->opcode,
		.unique = number += 2,
		.nodeid = rq->node,
		.uid = 1000,
		.gid = 100,
		.pid = 1,
	};

	cr_assert_leq(header.len, sizeof(bytes));
	memcpy(bytes, &header, sizeof(header));
	if (rq->fixed_size)
		memcpy(bytes + sizeof(header), rq->fixed, rq->fixed_size);
	if (rq->rest_size)
		memcpy(bytes + sizeof(header) + rq->fixed_size, rq->rest, rq->rest_size);
	cr_assert_eq(send(kernel, bytes, header.len, 0), (ssize_t)header.len);
}

void receive_answer(struct answer *ret)
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

int ask(const struct request *rq)
{
	struct answer a;

	send_to_worker(rq);
	receive_answer(&a);
	return a.header.error;
}

/* ---- the pool ---- */

static uint8_t *private_base;

void connection_setup(void)
{
	struct fuse_init_in init = {
		.major = 7, .minor = 36, .flags = ~(uint32_t)FUSE_INIT_EXT, .flags2 = ~0U};
	const struct request first = {
		.opcode = FUSE_INIT, .fixed = &init, .fixed_size = sizeof(init)};
	int ends[2];
	struct problem why = PROBLEM_INIT;
	struct ns_xattr x = {.name = "user.old", .value = "1", .value_len = 1};
	struct ns_xattr mark = {.name = "user.guestmemfs.io", .value = "1", .value_len = 1};
	const struct ns_range whole = {.length = 4096};
	const char bytes[4096] = "as it was";
	uint64_t file, marked;

	pool_init(&pool, 16, 1000, true);
	file = pool_create(&pool, ROOT, "file");
	(void)pool_create(&pool, ROOT, "other");
	(void)pool_mkdir(&pool, ROOT, "dir");
	pool_tick(&pool);
	cr_assert_eq(pool_resize(&pool, file, 3 * GM_BLOCK_SIZE), 0);
	cr_assert_eq(ns_setxattr(&pool.ns, &pool.rq, file, &x), 0);
	marked = pool_create(&pool, ROOT, "content");
	cr_assert_eq(ns_setxattr(&pool.ns, &pool.rq, marked, &mark), 0);
	content_bytes = share(CONTENT_BLOCKS * GM_BLOCK_SIZE);
	open_content();
	cr_assert_eq(ns_write(&pool.ns, &pool.rq, marked, &whole, bytes), 0);
	close_pool();
	/* From here on in memory that survives who writes to it. */
	private_base = pool.media.base;
	pool.media.base = share(pool.media.size);
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

void connection_teardown(void)
{
	if (worker_pid > 0)
		kill_worker();
	worker_pid = 0;
	(void)close_fd(kernel);
	(void)close_fd(connection_end);
	(void)close_fd(table_fd);
	runtime_table_unmap(&table);
	(void)munmap(pool.media.base, pool.media.size);
	(void)munmap(content_bytes, CONTENT_BLOCKS * GM_BLOCK_SIZE);
	free(private_base);
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x100000001b3ULL;
}

static uint64_t mix_content(uint64_t sum, const struct inode *i)
{
	const struct ns_range all = {.length = i->attr.size};
	struct iovec *parts = NULL;
	size_t count = 0;

	cr_assert_eq(ns_read(&pool.ns, i->attr.ino, &all, &parts, &count), 0);
	for (size_t n = 0; n < count; n++)
		for (size_t k = 0; k < parts[n].iov_len; k++)
			sum = mix(sum, ((const uint8_t *)parts[n].iov_base)[k]);
	free(parts);
	return sum;
}

uint64_t sum_of_pool(void)
{
	struct problem why = PROBLEM_INIT;
	uint64_t sum = 0;
	const struct inode *i;

	kill_worker();
	cr_assert_eq(store_open(&pool.store, &pool.media, &pool.super, &why), 0, "%s", why.text);
	ns_init(&pool.ns, pool.store);
	open_content();
	for (size_t cursor = 0; (i = meta_each_inode(store_meta(pool.store), &cursor));) {
		const struct inode_attr *a = &i->attr;
		uint64_t one = mix(
			mix(mix(mix(mix(1, a->ino), a->size), a->parent), a->next_cookie), a->mode);

		one = mix(mix(mix(mix(one, a->links), a->uid), a->gid), a->rdev);
		one = mix(one, inode_is_file(i) ? inode_blocks(i) : i->entry_count);
		one = mix(one, a->flags);
		if (a->ino == CONTENT)
			one = mix_content(one, i);
		if (a->mtime == 77)
			one = mix(one, 77);
		sum += one;
	}
	sum = mix(mix(sum, store_meta(pool.store)->xattr_bytes), store_meta(pool.store)->next_ino);
	close_pool();
	worker_pid = 0;
	return sum;
}
