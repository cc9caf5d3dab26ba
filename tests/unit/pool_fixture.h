/* SPDX-License-Identifier: MIT */
/*
 * A pool for tests: the metadata area of one region in heap memory, formatted, opened and mounted,
 * with a namespace over it. The data blocks are numbers only.
 */
#ifndef GM_TESTS_POOL_FIXTURE_H
#define GM_TESTS_POOL_FIXTURE_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/namespace.h"

struct pool {
	struct media media;
	struct store_region region;
	struct store_super super;
	struct store *store;
	struct namespace ns;
	struct ns_request rq;
	uint8_t boot_id[16];
};

static inline void pool_open(struct pool *p)
{
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(
		store_read_super(&p->super, p->media.base, p->region.blocks * GM_BLOCK_SIZE, &why),
		0, "%s", why.text);
	cr_assert_eq(store_open(&p->store, &p->media, &p->super, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(p->store, p->boot_id, &why), 0, "%s", why.text);
	ns_init(&p->ns, p->store);
}

/* What a worker does that dies and comes back; under another kernel if new_boot. */
static inline void pool_reopen(struct pool *p, bool new_boot)
{
	ns_spares_forget(&p->ns);
	p->store = store_close(p->store);
	p->boot_id[0] = (uint8_t)(p->boot_id[0] + new_boot);
	pool_open(p);
}

/* Formats this region, whose number of blocks is right, and mounts it. */
static inline void pool_init_region(
	struct pool *p, const struct store_region *region, uint64_t max_files)
{
	struct problem why = PROBLEM_INIT;
	struct store_plan plan;
	struct store_format format = {.plan = &plan, .regions = &p->region, .region_count = 1};

	*p = (struct pool){
		.region = *region,
		.rq = {.now = {.tv_sec = 1000, .tv_nsec = 1}, .unique = 7, .uid = 1000, .gid = 100},
		.boot_id = {1},
	};
	memset(format.uuid, 0x55, sizeof(format.uuid));
	cr_assert_eq(store_plan(&plan, &p->region, 1, max_files, &why), 0, "%s", why.text);
	p->media =
		(struct media){.ops = &media_memory_ops, .size = plan.meta_blocks * GM_BLOCK_SIZE};
	p->media.base = aligned_alloc(4096, p->media.size);
	cr_assert_not_null(p->media.base);
	memset(p->media.base, 0, p->media.size);
	cr_assert_eq(store_format(&p->media, &format, &why), 0, "%s", why.text);
	pool_open(p);
}

/* With at least data_blocks blocks to give out, all clean if zeroed. */
static inline void pool_init(struct pool *p, uint64_t data_blocks, uint64_t max_files, bool zeroed)
{
	struct problem why = PROBLEM_INIT;
	struct store_plan plan;
	struct store_region region = {
		.kind = GM_REGION_FILE, .blocks = 4096, .node = GM_NODE_NONE, .zeroed = zeroed};

	cr_assert_eq(store_plan(&plan, &region, 1, max_files, &why), 0, "%s", why.text);
	region.blocks = plan.meta_blocks + data_blocks + 1; /* the last one has the stamp */
	pool_init_region(p, &region, max_files);
}

static inline void pool_deinit(struct pool *p)
{
	ns_spares_forget(&p->ns);
	p->store = store_close(p->store);
	free(p->media.base);
}

static inline struct alloc_stats pool_stats(const struct pool *p)
{
	struct alloc_stats s;

	alloc_get_stats(store_meta(p->store)->alloc, &s);
	return s;
}

static inline const struct inode *pool_inode(const struct pool *p, uint64_t ino)
{
	return meta_inode(store_meta(p->store), ino);
}

/* A later moment. */
static inline void pool_tick(struct pool *p)
{
	p->rq.now.tv_sec++;
	p->rq.now.tv_nsec += 3;
	p->rq.unique++;
}

static inline uint64_t pool_create(struct pool *p, uint64_t parent, const char *name)
{
	struct stat st;

	cr_assert_eq(
		ns_create(&p->ns, &p->rq, parent, name, strlen(name), 0640, &st), 0, "%s", name);
	return st.st_ino;
}

static inline uint64_t pool_mkdir(struct pool *p, uint64_t parent, const char *name)
{
	struct stat st;

	cr_assert_eq(
		ns_mkdir(&p->ns, &p->rq, parent, name, strlen(name), 0750, &st), 0, "%s", name);
	return st.st_ino;
}

static inline int pool_lookup(struct pool *p, uint64_t parent, const char *name, struct stat *st)
{
	return ns_lookup(&p->ns, parent, name, strlen(name), st);
}

static inline int pool_unlink(struct pool *p, uint64_t parent, const char *name)
{
	return ns_unlink(&p->ns, &p->rq, parent, name, strlen(name));
}

static inline int pool_rmdir(struct pool *p, uint64_t parent, const char *name)
{
	return ns_rmdir(&p->ns, &p->rq, parent, name, strlen(name));
}

static inline int pool_rename(
	struct pool *p, uint64_t from, const char *a, uint64_t to, const char *b, unsigned flags)
{
	struct ns_name f = {.parent = from, .name = a, .length = strlen(a)};
	struct ns_name t = {.parent = to, .name = b, .length = strlen(b)};

	return ns_rename(&p->ns, &p->rq, &f, &t, flags);
}

static inline struct stat pool_stat(struct pool *p, uint64_t ino)
{
	struct stat st;

	cr_assert_eq(ns_getattr(&p->ns, ino, &st), 0);
	return st;
}

static inline int pool_resize(struct pool *p, uint64_t ino, uint64_t size)
{
	struct ns_change c = {.set = NS_SET_SIZE, .size = size};
	struct stat st;

	return ns_setattr(&p->ns, &p->rq, ino, &c, &st);
}

/* What the helper and the worker do before a grant. */
static inline void pool_clean(struct pool *p, uint64_t ino)
{
	const struct inode *i = pool_inode(p, ino);

	for (uint32_t n = 0; n < i->extent_count; n++) {
		struct alloc_extent e = {
			.block = i->extents[n].block,
			.region = i->extents[n].region,
			.count = i->extents[n].count,
		};

		cr_assert_eq(ns_blocks_clean(&p->ns, &e, 1), 0);
	}
	cr_assert_eq(ns_stale_done(&p->ns, ino, i->attr.stale_from), 0);
	cr_assert(meta_is_clean(store_meta(p->store), i));
}

#endif
