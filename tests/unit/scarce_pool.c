// SPDX-License-Identifier: MIT
#include "scarce_pool.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "util/cleanup.h"

struct pool pool;
struct content_memory *memory;
uint8_t bytes[8 * UNIT];

static uint8_t *region; /* the data blocks' bytes, by block number */
static uint8_t *before; /* the media as every try finds them */
static uint8_t *found;  /* and as the operation does */

/* ---- a pool with one of each ---- */

static int map_block(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	(void)data;
	*ret = (struct content_window){.file_block = file_block,
		.count = 1,
		.address = region + (gap->block + (file_block - gap->file_block)) * BLOCK};
	return 0;
}

static void unmap_block(void *data, const struct content_window *w)
{
	(void)data, (void)w;
}

static void attach_memory(void)
{
	const struct content_source source = {
		.map = map_block, .unmap = unmap_block, .ops = &media_memory_ops};

	cr_assert_eq(content_memory_new(&memory, store_meta(pool.store), &source), 0);
	pool.ns.memory = memory;
}

uint64_t ino_of(const char *name)
{
	struct stat st;

	cr_assert_eq(pool_lookup(&pool, GM_ROOT_INO, name, &st), 0, "%s", name);
	return st.st_ino;
}

int set_xattr(uint64_t ino, const char *name, const char *value)
{
	const struct ns_xattr x = {.name = name, .value = value, .value_len = strlen(value)};
	struct ns_request rq = pool.rq;

	rq.uid = 0; /* quotas are root's */
	return ns_setxattr(&pool.ns, &rq, ino, &x);
}

int write_content(const char *name, uint64_t offset, uint64_t length)
{
	const struct ns_range range = {.offset = offset, .length = length};

	return ns_write(&pool.ns, &pool.rq, ino_of(name), &range, bytes);
}

static void make_file(const char *name, uint64_t blocks)
{
	uint64_t ino = pool_create(&pool, GM_ROOT_INO, name);

	cr_assert_eq(pool_resize(&pool, ino, blocks * BLOCK), 0);
	if (blocks > 0)
		pool_clean(&pool, ino);
}

static void make_content(const char *name)
{
	cr_assert_eq(
		set_xattr(pool_create(&pool, GM_ROOT_INO, name), "user.guestmemfs.io", "1"), 0);
}

static const uint8_t list[] = "\2\0\0\0"                   /* version */
			      "\1\0\6\0\377\377\377\377"   /* owner */
			      "\2\0\4\0\3\0\0\0"           /* a named user */
			      "\4\0\4\0\377\377\377\377"   /* group */
			      "\20\0\4\0\377\377\377\377"  /* mask */
			      "\40\0\0\0\377\377\377\377"; /* others */

int set_list(const char *file, const char *name)
{
	const struct ns_xattr x = {.name = name, .value = list, .value_len = sizeof(list) - 1};

	return ns_setxattr(&pool.ns, &pool.rq, ino_of(file), &x);
}

/* Every other block of the pool is free: what is allocated now has many extents. */
static void make_scattered(void)
{
	char name[16];

	for (unsigned n = 0; n < 24; n++) {
		(void)snprintf(name, sizeof(name), "s%u", n);
		make_file(name, 1);
	}
	for (unsigned n = 0; n < 24; n += 2) {
		(void)snprintf(name, sizeof(name), "s%u", n);
		cr_assert_eq(pool_unlink(&pool, GM_ROOT_INO, name), 0);
	}
}

static void make_world(unsigned fillers)
{
	char name[24];

	(void)pool_mkdir(&pool, GM_ROOT_INO, "dir");
	cr_assert_eq(set_list("dir", "system.posix_acl_default"), 0);
	(void)pool_mkdir(&pool, GM_ROOT_INO, "empty");
	(void)pool_mkdir(&pool, GM_ROOT_INO, "limited");
	cr_assert_eq(set_xattr(ino_of("limited"), "user.guestmemfs.quota", "64M"), 0);
	make_file("none", 0);
	make_file("file", 6);
	make_file("held", 2);
	make_file("gone", 3);
	cr_assert_eq(ns_hold(&pool.ns, ino_of("held")), 0);
	cr_assert_eq(ns_hold(&pool.ns, ino_of("gone")), 0);
	cr_assert_eq(set_xattr(ino_of("file"), "user.old", "value"), 0);
	make_content("bytes");
	cr_assert_eq(write_content("bytes", 0, 6 * UNIT), 0);
	make_content("nothing");
	make_scattered();
	for (unsigned n = 0; n < fillers; n++) {
		(void)snprintf(name, sizeof(name), "filler%u", n);
		make_file(name, 0);
	}
	cr_assert_eq(store_checkpoint(pool.store), 0);
}

static void close_pool(void)
{
	ns_spares_forget(&pool.ns);
	memory = content_memory_free(memory);
	pool.store = store_close(pool.store);
}

void scarce_pool_setup(unsigned fillers)
{
	pool_init(&pool, 56, 100, true);
	region = mmap(NULL, pool.region.blocks * BLOCK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(region, MAP_FAILED);
	memset(bytes, 'b', sizeof(bytes));
	attach_memory();
	make_world(fillers);
	memset(bytes, 'n', sizeof(bytes));
	before = malloc(pool.media.size);
	found = malloc(pool.media.size);
	cr_assert(before && found);
	memcpy(before, pool.media.base, pool.media.size);
}

void scarce_pool_teardown(void)
{
	close_pool();
	free(before);
	free(found);
	free(pool.media.base);
	munmap(region, pool.region.blocks * BLOCK);
}

/* A worker that has just come up on the media as they were. */
static void start_anew(void)
{
	struct problem why = PROBLEM_INIT;

	close_pool();
	memcpy(pool.media.base, before, pool.media.size);
	cr_assert_eq(store_open(&pool.store, &pool.media, &pool.super, &why), 0, "%s", why.text);
	ns_init(&pool.ns, pool.store);
	attach_memory();
}

/* ---- trying ---- */

/* Of bytes that the file has, wherever they lie. */
static uint64_t sum_content(void)
{
	const struct ns_range all = {.offset = 0, .length = 64 * UNIT};
	struct stat st;
	uint64_t sum = 0;
	size_t count = 0;

	if (pool_lookup(&pool, GM_ROOT_INO, "bytes", &st) < 0)
		return 0;
	_cleanup_free_ struct iovec *parts = NULL;
	cr_assert_eq(ns_read(&pool.ns, st.st_ino, &all, &parts, &count), 0);
	for (size_t k = 0; k < count; k++)
		for (size_t n = 0; n < parts[k].iov_len; n++)
			sum = sum * 31 + ((const uint8_t *)parts[k].iov_base)[n];
	return sum;
}

struct state {
	uint64_t digest;
	uint64_t content;
	size_t orphans;
};

static struct state look(void)
{
	return (struct state){scarce_digest(pool.store), sum_content(), pool.ns.orphans};
}

static void expect_state(const struct state *wanted, const char *what, unsigned long n)
{
	const struct state is = look();

	cr_assert_eq(is.digest, wanted->digest, "%s, call %lu: another state", what, n);
	cr_assert_eq(is.content, wanted->content, "%s, call %lu: other bytes", what, n);
	cr_assert_eq(is.orphans, wanted->orphans, "%s, call %lu", what, n);
}

static void put_bytes_back(void)
{
	const struct file_extent *p = pool_inode(&pool, ino_of("bytes"))->extents;
	uint64_t length = 6 * UNIT;
	uint8_t old[6 * UNIT];

	memset(old, 'b', sizeof(old));
	cr_assert_eq(content_memory_store(memory, p->block, 0, old, &length), 0);
	cr_assert_eq(length, sizeof(old));
}

/* The state before an operation, and the bytes of the content file as they were. */
static struct state begin(const struct operation *o)
{
	start_anew();
	(void)sum_content(); /* maps it */
	put_bytes_back();
	if (o->prepare)
		o->prepare();
	memcpy(found, pool.media.base, pool.media.size);
	return look();
}

/* False: so many calls were not made. */
static bool try_failing(
	const struct operation *o, const struct state *after, unsigned long n, enum scarce how)
{
	const struct state was = begin(o);
	int r;

	scarce_begin(n, how);
	r = o->run();
	bool failed = scarce_end();
	if (r == 0) {
		if (!failed || !o->partly)
			expect_state(after, o->name, n);
		return failed;
	}
	cr_assert_eq(r, -ENOMEM, "%s, call %lu: %s", o->name, n, strerror(-r));
	if (!o->partly) {
		cr_assert_eq(memcmp(pool.media.base, found, pool.media.size), 0,
			"%s, call %lu: the media have changed", o->name, n);
		expect_state(&was, o->name, n);
	}
	cr_assert_eq(sum_content(), was.content, "%s, call %lu: other bytes", o->name, n);
	cr_assert_eq(o->run(), 0, "%s, call %lu: not possible any more", o->name, n);
	if (!o->partly)
		expect_state(after, o->name, n);
	cr_assert_eq(sum_content(), after->content, "%s, call %lu: other bytes", o->name, n);
	return true;
}

/* How many calls can fail. */
unsigned long try_all(const struct operation *o)
{
	unsigned long n = 0;

	(void)begin(o);
	cr_assert_eq(o->run(), 0, "%s", o->name);
	const struct state after = look();
	scarce_check_media(&pool.media, pool.region.blocks * GM_BLOCK_SIZE, after.digest, o->name);
	for (unsigned how = 0; how < SCARCE_MODES; how++)
		for (n = 0; try_failing(o, &after, n, (enum scarce)how); n++)
			continue;
	cr_expect_geq(n, o->fewest, "%s: only %lu calls could fail", o->name, n);
	return n;
}
