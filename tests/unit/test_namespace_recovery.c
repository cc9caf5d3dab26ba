// SPDX-License-Identifier: MIT
/*
 * Whatever a sequence of live changes leaves on the media, recovery takes and makes the very same
 * state of it, and fsck finds no fault: after every single change of a random workload with open,
 * held and half-zeroed files, orphans and a metadata area that is full at times. A state that lives
 * but would be refused is a pool that nobody can mount any more.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chance.h"
#include "pool_fixture.h"
#include "store/fsck.h"

#define NODES 48U /* inode numbers that the workload knows */
#define STEPS 6000U

static struct pool pool;
static uint64_t nodes[NODES]; /* 0: none; some are gone by now */

static void setup(void)
{
	pool_init(&pool, 200, 40, false);
	nodes[0] = GM_ROOT_INO;
}

static void teardown(void)
{
	pool_deinit(&pool);
}

TestSuite(namespace_recovery, .init = setup, .fini = teardown, .timeout = 280);

/* ---- the two must be the same ---- */

static void expect_same_inode(const struct inode *a, const struct inode *b)
{
	cr_assert_not_null(b, "inode %llu is lost", (unsigned long long)a->attr.ino);
	cr_assert_eq(memcmp(&a->attr, &b->attr, sizeof(a->attr)), 0, "inode %llu differs",
		(unsigned long long)a->attr.ino);
	if (inode_is_dir(a)) {
		cr_assert_eq(a->entry_count, b->entry_count);
		return;
	}
	cr_assert_eq(a->extent_count, b->extent_count);
	for (uint32_t n = 0; n < a->extent_count; n++)
		cr_assert_eq(memcmp(&a->extents[n], &b->extents[n], sizeof(a->extents[n])), 0);
}

static void expect_same_entries(const struct inode *a, const struct inode *b)
{
	const struct dirent *d = meta_next_entry(a, 0), *e = meta_next_entry(b, 0);

	for (; d && e; d = meta_next_entry(a, d->cookie), e = meta_next_entry(b, e->cookie)) {
		cr_assert_eq(d->ino, e->ino);
		cr_assert_eq(d->cookie, e->cookie);
		cr_assert_eq(d->name_len, e->name_len);
		cr_assert_eq(memcmp(d->name, e->name, d->name_len), 0);
	}
	cr_assert(!d && !e, "one directory has more entries");
}

static void expect_same_maps(const struct meta *a, const struct meta *b)
{
	static const enum alloc_map maps[] = {
		ALLOC_MAP_USED, ALLOC_MAP_CLEAN, ALLOC_MAP_POISONED, ALLOC_MAP_QUARANTINED};
	uint8_t x[512], y[512];
	uint64_t length = alloc_map_bytes(a->alloc, 0);

	cr_assert_leq(length, sizeof(x));
	for (size_t n = 0; n < sizeof(maps) / sizeof(maps[0]); n++) {
		alloc_copy_map(a->alloc, 0, maps[n], 0, length, x);
		alloc_copy_map(b->alloc, 0, maps[n], 0, length, y);
		cr_assert_eq(memcmp(x, y, length), 0, "map %zu differs", n);
	}
}

static void expect_recovers(unsigned step)
{
	struct problem why = PROBLEM_INIT;
	struct store *twin = NULL;
	const struct meta *a = store_meta(pool.store), *b;
	const struct inode *i;

	cr_assert_eq(store_open(&twin, &pool.media, &pool.super, &why), 0, "step %u: %s", step,
		why.text);
	b = store_meta(twin);
	cr_assert_eq(a->inode_count, b->inode_count);
	cr_assert_eq(a->next_ino, b->next_ino);
	cr_assert_eq(meta_image_bytes(a), meta_image_bytes(b));
	for (size_t c = 0; (i = meta_each_inode(a, &c));) {
		const struct inode *j = meta_inode(b, i->attr.ino);

		expect_same_inode(i, j);
		if (inode_is_dir(i))
			expect_same_entries(i, j);
	}
	expect_same_maps(a, b);
	store_close(twin);
}

static void expect_no_fault(unsigned step)
{
	static const uint8_t no_token[16];
	struct gm_stamp stamps[2];
	const struct gm_stamp *places[2] = {&stamps[0], &stamps[1]};
	uint64_t bytes = pool.region.blocks * GM_BLOCK_SIZE;
	struct fsck_report report;

	store_make_stamp(&stamps[0], pool.super.uuid, 0, GM_STAMP_FIRST, pool.region.blocks,
		&pool.super.plan, no_token);
	store_make_stamp(&stamps[1], pool.super.uuid, 0, GM_STAMP_LAST, pool.region.blocks,
		&pool.super.plan, no_token);
	const struct fsck_input in = {.area = pool.media.base,
		.area_bytes = pool.media.size,
		.region_count = 1,
		.region_bytes = &bytes,
		.stamps = places};
	cr_assert_eq(fsck_run(&report, &in), 0);
	cr_assert_eq(report.errors, 0, "step %u: %s", step, report.findings[0].text);
	fsck_report_deinit(&report);
}

/* ---- the workload ---- */

static uint64_t any(void)
{
	return nodes[chance_below(NODES)];
}

static struct ns_name any_name(char text[static 256])
{
	static const size_t lengths[] = {1, 8, 100, 255};
	size_t length = lengths[chance_below(4)];

	memset(text, 'a' + (int)chance_below(6), length);
	return (struct ns_name){.parent = any(), .name = text, .length = length};
}

static void make(void)
{
	char text[256];
	struct ns_name n = any_name(text);
	struct stat st;
	int r = chance_below(2)
			? ns_create(&pool.ns, &pool.rq, n.parent, n.name, n.length, 0600, &st)
			: ns_mkdir(&pool.ns, &pool.rq, n.parent, n.name, n.length, 0700, &st);

	if (r == 0)
		nodes[1 + chance_below(NODES - 1)] = st.st_ino;
}

static void rename_any(void)
{
	static const unsigned flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	char a[256], b[256];
	struct ns_name from = any_name(a), to = any_name(b);

	(void)ns_rename(&pool.ns, &pool.rq, &from, &to, flags[chance_below(3)]);
}

static void remove_any(void)
{
	char text[256];
	struct ns_name n = any_name(text);

	if (ns_unlink(&pool.ns, &pool.rq, n.parent, n.name, n.length) == -EISDIR)
		(void)ns_rmdir(&pool.ns, &pool.rq, n.parent, n.name, n.length);
}

/* At times with the blocks of removed files that somebody may still reach. */
static void resize_any(void)
{
	static const uint64_t units[] = {1, 512, 4096, GM_BLOCK_SIZE / 2, GM_BLOCK_SIZE};
	bool spares = chance_below(2);
	uint64_t *inos = NULL;
	size_t count = 0;

	cr_assert_eq(ns_list_held_orphans(&pool.ns, 0, &inos, &count), 0);
	for (size_t n = 0; spares && n < count; n++) {
		const struct ns_spare spare = {.ino = inos[n], .any = true};

		cr_assert_eq(ns_spare_add(&pool.ns, &spare), 0);
	}
	(void)pool_resize(&pool, any(), chance_below(80) * units[chance_below(5)]);
	ns_spares_forget(&pool.ns);
	free(inos);
}

/* Some of the blocks, as scrubbing goes; all of it at times. */
static void clean_any(void)
{
	uint64_t ino = any();
	const struct inode *i = pool_inode(&pool, ino);

	if (!i || inode_is_dir(i))
		return;
	for (uint32_t n = 0; n < i->extent_count; n++) {
		struct alloc_extent e = {.block = i->extents[n].block,
			.region = i->extents[n].region,
			.count = 1 + chance_below(i->extents[n].count)};

		cr_assert_eq(ns_blocks_clean(&pool.ns, &e, 1), 0);
	}
	if (chance_below(2))
		cr_assert_eq(ns_stale_done(&pool.ns, ino, i->attr.stale_from), 0);
}

static void change_any(void)
{
	struct ns_change c = {.set = NS_SET_MODE | NS_SET_UID | NS_SET_MTIME,
		.mode = chance_below(010000),
		.uid = chance_below(9),
		.mtime = {.tv_sec = -1, .tv_nsec = 999999999}};
	struct stat st;

	(void)ns_setattr(&pool.ns, &pool.rq, any(), &c, &st);
}

static void step(void)
{
	pool_tick(&pool);
	switch (chance_below(12)) {
	case 0:
	case 1:
	case 2:
		make();
		break;
	case 3:
	case 4:
		rename_any();
		break;
	case 5:
		remove_any();
		break;
	case 6:
	case 7:
		resize_any();
		break;
	case 8:
		(void)ns_open(&pool.ns, any(), 0);
		break;
	case 9:
		(void)ns_release(&pool.ns, any(), 0);
		break;
	case 10:
		(void)(chance_below(2) ? ns_hold(&pool.ns, any()) : ns_unhold(&pool.ns, any()));
		break;
	default:
		chance_below(2) ? clean_any() : change_any();
	}
}

Test(namespace_recovery, takes_every_state_that_changes_can_make)
{
	chance_start();
	for (unsigned n = 0; n < STEPS; n++) {
		step();
		expect_recovers(n);
		if (n % 50 == 0)
			expect_no_fault(n);
		if (chance_below(200) == 0)
			cr_assert_eq(store_checkpoint(pool.store), 0);
		if (chance_below(300) == 0) {
			pool_reopen(&pool, chance_below(3) == 0);
			expect_recovers(n);
			expect_no_fault(n);
		}
	}
}
