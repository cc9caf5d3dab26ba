// SPDX-License-Identifier: MIT
/*
 * The store on ordinary memory (what a region in tmpfs or reserved RAM is): one journalled change,
 * a checkpoint, and the recovery of 10,000 files from the checkpoint and from the journal. The
 * first two also with every store written back, as on an NVDIMM, for each way that the processor
 * has.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "store/store.h"
#include "util/cleanup.h"

#define FILES 10000U

struct pool {
	struct media media;
	struct store_super super;
	struct store *store;
};

static void check(int r, const struct problem *why)
{
	if (r < 0)
		errx(EXIT_FAILURE, "%s (%s)", why->text, strerror(-r));
}

static void open_pool(struct pool *p)
{
	struct problem why = PROBLEM_INIT;

	check(store_read_super(&p->super, p->media.base, 64ULL << 30, &why), &why);
	check(store_open(&p->store, &p->media, &p->super, &why), &why);
}

/* 64 GiB: enough for 10,000 files of a block each. */
static void make_pool(struct pool *p, uint64_t max_files, write_back_fn *write_back)
{
	static const uint8_t boot[16] = {1};
	struct store_region region = {
		.kind = GM_REGION_FILE, .blocks = 32768, .node = GM_NODE_NONE};
	struct problem why = PROBLEM_INIT;
	struct store_plan plan;
	struct store_format f = {.plan = &plan, .regions = &region, .region_count = 1, .uuid = {1}};

	check(store_plan(&plan, &region, 1, max_files, &why), &why);
	p->media = (struct media){.ops = &media_memory_ops,
		.size = plan.meta_blocks * GM_BLOCK_SIZE,
		.write_back = write_back};
	p->media.base = calloc(1, p->media.size);
	if (!p->media.base)
		errx(EXIT_FAILURE, "out of memory");
	check(store_format(&p->media, &f, &why), &why);
	open_pool(p);
	check(store_begin_mount(p->store, boot, &why), &why);
}

static void free_pool(struct pool *p)
{
	p->store = store_close(p->store);
	free(p->media.base);
}

static void make_file(struct pool *p, unsigned n)
{
	struct meta *m = store_meta(p->store);
	struct inode_attr root = meta_inode(m, GM_ROOT_INO)->attr;
	struct inode_attr a = {.ino = m->next_ino, .mode = S_IFREG | 0600, .links = 1};
	struct file_extent e = {.block = p->super.first_data[0] + n, .count = 1};
	_cleanup_(txn_deinit) struct txn create = TXN_INIT(GM_RECORD_CREATE, 0);
	_cleanup_(txn_deinit) struct txn grow = TXN_INIT(GM_RECORD_SETATTR, 0);
	char name[32];
	int length = snprintf(name, sizeof(name), "machine-%06u.ram", n);

	txn_put_inode(&create, &a);
	txn_add_dirent(&create, GM_ROOT_INO, a.ino, root.next_cookie++, S_IFREG >> 12, name,
		(size_t)length);
	txn_put_inode(&create, &root);
	a.size = GM_BLOCK_SIZE;
	txn_put_inode(&grow, &a);
	txn_add_extent(&grow, a.ino, &e);
	if (store_commit(p->store, &create) < 0 || store_commit(p->store, &grow) < 0)
		errx(EXIT_FAILURE, "a file can't be made");
}

/* One inode replaced: record built, checked, applied, stored, published. */
static void bench_record(const struct write_back_way *way)
{
	struct bench b = {.suite = "store", .operations = 100000, .aim = way ? 0 : 1000};
	char name[64];
	struct pool p;

	(void)snprintf(name, sizeof(name), "journal record (setattr)%s%s", way ? ", " : "",
		way ? way->name : "");
	b.name = name;
	make_pool(&p, 65536, way ? way->run : NULL);
	make_file(&p, 0);
	while (bench_next(&b)) {
		struct inode_attr a = meta_inode(store_meta(p.store), GM_ROOT_INO + 1)->attr;

		bench_start(&b);
		for (uint64_t n = 0; n < b.operations; n++) {
			_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, n + 1);

			a.mtime++;
			txn_put_inode(&t, &a);
			if (store_commit(p.store, &t) < 0)
				errx(EXIT_FAILURE, "commit failed");
		}
		bench_stop(&b);
	}
	bench_report(&b);
	free_pool(&p);
}

static void bench_checkpoint(struct pool *p, const struct write_back_way *way)
{
	struct bench b = {.suite = "store", .operations = 1};
	char name[64];

	(void)snprintf(name, sizeof(name), "checkpoint of 10,000 files%s%s", way ? ", " : "",
		way ? way->name : "");
	b.name = name;
	p->media.write_back = way ? way->run : NULL;
	while (bench_next(&b)) {
		bench_start(&b);
		if (store_checkpoint(p->store) < 0)
			errx(EXIT_FAILURE, "checkpoint failed");
		bench_stop(&b);
	}
	bench_report(&b);
	p->media.write_back = NULL;
}

static void bench_recovery(struct pool *p, const char *name)
{
	struct bench b = {.suite = "store", .name = name, .operations = 1, .aim = 50e6};

	while (bench_next(&b)) {
		p->store = store_close(p->store);
		bench_start(&b);
		open_pool(p);
		bench_stop(&b);
	}
	bench_report(&b);
}

int main(void)
{
	const struct write_back_features is = write_back_detect();
	const struct write_back_features each[] = {
		{.clflush = is.clflush}, {.clflushopt = is.clflushopt}, {.clwb = is.clwb}};
	struct pool p;

	bench_record(NULL);
	for (size_t n = 0; n < ARRAY_SIZE(each); n++)
		if (write_back_way_of(&each[n]))
			bench_record(write_back_way_of(&each[n]));
	/* Its journal holds the making of all files without a checkpoint. */
	make_pool(&p, 1U << 20, NULL);
	for (unsigned n = 0; n < FILES; n++)
		make_file(&p, n);
	bench_recovery(&p, "recovery of 10,000 files, from the journal");
	bench_checkpoint(&p, NULL);
	for (size_t n = 0; n < ARRAY_SIZE(each); n++)
		if (write_back_way_of(&each[n]))
			bench_checkpoint(&p, write_back_way_of(&each[n]));
	bench_recovery(&p, "recovery of 10,000 files, from a checkpoint");
	free_pool(&p);
	return 0;
}
