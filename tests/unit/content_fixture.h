/* SPDX-License-Identifier: MIT */
/* A pool with files of content: their memory is the heap's, a block at a time. */
#ifndef GM_TESTS_CONTENT_FIXTURE_H
#define GM_TESTS_CONTENT_FIXTURE_H

#include "pool_fixture.h"

struct content {
	struct pool pool;
	struct content_memory *memory;
	int map_error; /* of the next try to map; 0: it is mapped */
	unsigned windows;
};

static inline int content_map(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	struct content *c = data;

	(void)gap;
	if (c->map_error)
		return c->map_error;
	*ret = (struct content_window){
		.file_block = file_block, .count = 1, .address = malloc(GM_BLOCK_SIZE)};
	cr_assert(ret->address);
	memset(ret->address, 0xaa, GM_BLOCK_SIZE); /* what must never be seen */
	c->windows++;
	return 0;
}

static inline void content_unmap(void *data, const struct content_window *w)
{
	struct content *c = data;

	free(w->address);
	c->windows--;
}

static inline void content_init(struct content *c, uint64_t blocks)
{
	const struct content_source source = {
		.map = content_map, .unmap = content_unmap, .ops = &media_memory_ops, .data = c};

	*c = (struct content){.map_error = 0};
	pool_init(&c->pool, blocks, 100, true);
	cr_assert_eq(content_memory_new(&c->memory, store_meta(c->pool.store), &source), 0);
	c->pool.ns.memory = c->memory;
}

static inline void content_deinit(struct content *c)
{
	c->memory = content_memory_free(c->memory);
	cr_assert_eq(c->windows, 0);
	pool_deinit(&c->pool);
}

/* A marked file in the root. */
static inline uint64_t content_create(struct content *c, const char *name)
{
	const struct ns_xattr mark = {.name = "user.guestmemfs.io", .value = "1", .value_len = 1};
	uint64_t ino = pool_create(&c->pool, GM_ROOT_INO, name);

	cr_assert_eq(ns_setxattr(&c->pool.ns, &c->pool.rq, ino, &mark), 0);
	return ino;
}

static inline int content_write(
	struct content *c, uint64_t ino, uint64_t offset, const void *data, uint64_t length)
{
	const struct ns_range range = {.offset = offset, .length = length};

	return ns_write(&c->pool.ns, &c->pool.rq, ino, &range, data);
}

/* Reads into data; how many bytes, or the error. */
static inline int64_t content_read(
	struct content *c, uint64_t ino, uint64_t offset, void *data, uint64_t length)
{
	const struct ns_range range = {.offset = offset, .length = length};
	struct iovec *parts;
	size_t count;
	int64_t n = 0;
	int r = ns_read(&c->pool.ns, ino, &range, &parts, &count);

	if (r < 0)
		return r;
	for (size_t k = 0; k < count; k++) {
		memcpy((char *)data + n, parts[k].iov_base, parts[k].iov_len);
		n += (int64_t)parts[k].iov_len;
	}
	free(parts);
	return n;
}

#endif
