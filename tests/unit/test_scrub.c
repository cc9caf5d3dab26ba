// SPDX-License-Identifier: MIT
/* What is ordered to be zeroed, when, and how fast; and what is never touched. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "fuse/scrub.h"
#include "store_fixture.h"
#include "util/cleanup.h"

#define BLOCK GM_BLOCK_SIZE
#define RATE  (64ULL << 20) /* bytes a second: 32 blocks, so that an order is of 3 */
#define START 1000000ULL

static struct fixture fixture;
static struct namespace ns;
static struct outbox outbox; /* on no socket: the orders are looked at where they are kept */
static struct scrub scrub;

static void setup(void)
{
	fixture_init(&fixture, 64);
	ns_init(&ns, fixture.store);
	outbox_init(&outbox, -1);
	scrub_init(&scrub, &ns, &outbox, RATE);
}

static void teardown(void)
{
	outbox_deinit(&outbox);
	fixture_deinit(&fixture);
}

TestSuite(scrub, .init = setup, .fini = teardown);

static const struct ns_request nobody = {.unique = 0};

static const struct inode *make_file(uint64_t blocks)
{
	struct ns_change change = {.set = NS_SET_SIZE, .size = blocks * BLOCK};
	struct stat st;

	cr_assert_eq(ns_create(&ns, &nobody, GM_ROOT_INO, "a", 1, 0600, &st), 0);
	cr_assert_eq(ns_setattr(&ns, &nobody, st.st_ino, &change, &st), 0);
	return meta_inode(store_meta(fixture.store), st.st_ino);
}

static struct alloc *alloc(void)
{
	return store_meta(fixture.store)->alloc;
}

/* The one order that is outstanding, done at this time. */
static struct alloc_extent finish_order(uint64_t now, uint32_t error)
{
	struct scrub_order done;

	for (unsigned i = 0; i < SCRUB_ORDERS_MAX; i++)
		if (scrub.orders[i].id) {
			int r = scrub_done(&scrub, scrub.orders[i].id, error, now, &done);
			cr_assert_eq(r, -(int)error);
			return done.blocks;
		}
	cr_assert(false, "nothing was ordered");
	return (struct alloc_extent){.count = 0};
}

static uint64_t dirty(void)
{
	struct alloc_stats s;

	alloc_get_stats(alloc(), &s);
	return s.free_dirty;
}

/* ---- the rate ---- */

Test(scrub, the_background_keeps_to_its_rate)
{
	uint64_t now = START, blocks = 0, due = 0, before = dirty();

	while (blocks < 30) {
		cr_assert(scrub_order_free(&scrub, now));
		blocks += finish_order(now + 1, 0).count;
		cr_assert(scrub_next_order(&scrub, now + 1, &due));
		cr_assert_gt(due, now + 1);
		cr_assert_not(scrub_order_free(&scrub, due - 1), "before its time");
		now = due;
	}
	cr_expect_eq(dirty(), before - blocks);
	/* 32 blocks a second; a millisecond of each order may be lost in the division. */
	cr_expect_geq(now - START, blocks * 1000 / 32 - 10);
	cr_expect_leq(now - START, blocks * 1000 / 32 + 10);
}

Test(scrub, what_somebody_waits_for_is_not_slowed_down)
{
	const struct inode *inode = make_file(20);
	uint64_t at = 0, blocks = 0;

	cr_assert(scrub_order_free(&scrub, START));
	(void)finish_order(START, 0);
	while (scrub_order_file(&scrub, inode, &at))
		blocks += finish_order(START, 0).count;
	cr_expect_eq(blocks, 20);
	cr_expect(meta_is_clean(store_meta(fixture.store), inode));
	cr_expect_not(scrub_order_free(&scrub, START), "nor does it make the background faster");
}

Test(scrub, without_a_limit_one_order_follows_the_other)
{
	uint64_t left = dirty(), due;

	scrub_init(&scrub, &ns, &outbox, 0);
	while (scrub_order_free(&scrub, START)) {
		cr_assert_not(scrub_next_order(&scrub, START, &due));
		uint32_t count = finish_order(START, 0).count;
		cr_assert_leq(count, LINK_SCRUB_MAX);
		left -= count;
	}
	cr_expect_eq(left, 0);
	cr_expect_eq(dirty(), 0);
}

Test(scrub, tells_how_fast_it_goes)
{
	scrub_init(&scrub, &ns, &outbox, 0);
	cr_expect_eq(scrub_speed(&scrub, START), 0);
	for (unsigned i = 0; i <= 10; i++) { /* so small that there are enough orders for it */
		struct alloc_extent e;
		uint64_t cursor = 0;
		cr_assert(alloc_next_dirty(alloc(), &cursor, 1, &e));
		scrub.orders[0] = (struct scrub_order){.id = 1, .blocks = e};
		(void)finish_order(START + i * 100, 0);
	}
	cr_expect_eq(scrub.done, 11);
	cr_expect_eq(scrub_speed(&scrub, START + 1000), 10 * BLOCK);
	cr_expect_eq(scrub_speed(&scrub, START + 1000 + 2 * SCRUB_WINDOW_MS), 0, "long ago");
}

/* ---- what is not there, or ordered already ---- */

Test(scrub, no_block_is_ordered_twice)
{
	static const uint32_t left[][2] = {{0, 2}, {3, 6}}; /* where, and how many */
	const struct inode *inode = make_file(9);
	const struct file_extent *f = &inode->extents[0];
	uint64_t at = 0;

	scrub.orders[0] = (struct scrub_order){.id = 1000, .blocks = {f->block + 2, f->region, 1}};
	for (unsigned n = 0; n < ARRAY_SIZE(left); n++) {
		cr_assert(scrub_order_file(&scrub, inode, &at));
		cr_expect_eq(scrub.orders[1].blocks.block, f->block + left[n][0]);
		cr_expect_eq(scrub.orders[1].blocks.count, left[n][1]);
		scrub.orders[1].id = 0;
	}
	cr_expect_not(scrub_order_file(&scrub, inode, &at));
}

/* No worker journals it, but the media may say so. */
static void say_stale(const struct inode *inode, uint64_t size, uint64_t from)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);
	struct inode_attr attr = inode->attr;

	attr.size = size;
	attr.stale_from = from;
	txn_put_inode(&t, &attr);
	cr_assert_eq(store_commit(fixture.store, &t), 0);
}

Test(scrub, stale_bytes_where_the_file_has_no_block_are_forgotten)
{
	const struct inode *inode = make_file(2);
	const struct ns_range first = {0, BLOCK};
	uint64_t at = 0;

	cr_assert_eq(fixture_scrub(&fixture, inode->attr.ino), 0);
	say_stale(inode, 4 * BLOCK, 3 * BLOCK + 17);
	cr_expect_not(scrub_order_file(&scrub, inode, &at));
	cr_expect_eq(inode->attr.stale_from, 0);
	cr_assert_eq(ns_change_space(&ns, &nobody, inode->attr.ino, NS_PUNCH, &first), 0);
	say_stale(inode, 4 * BLOCK, 17);
	cr_expect_not(scrub_order_file(&scrub, inode, &at));
	cr_expect_eq(inode->attr.stale_from, 0);
}

/* ---- poison ---- */

Test(scrub, poisoned_blocks_are_never_touched)
{
	const struct inode *inode = make_file(9);
	const struct file_extent *f = &inode->extents[0];
	const struct alloc_extent bad[] = {{f->block, f->region, 1}, {f->block + 4, f->region, 2},
		{f->block + 8, f->region, 1}};
	uint64_t at = 0, blocks = 0;

	cr_assert_eq(inode->extent_count, 1);
	for (size_t i = 0; i < 3; i++)
		alloc_set_poisoned(alloc(), &bad[i]);
	while (scrub_order_file(&scrub, inode, &at)) {
		struct alloc_extent e = finish_order(START, 0);
		cr_expect_not(alloc_any_poisoned(alloc(), &e));
		blocks += e.count;
	}
	cr_expect_eq(blocks, 5);
	cr_expect_not(meta_is_clean(store_meta(fixture.store), inode),
		"so it is never granted, rather than with somebody's bytes in it");
}

Test(scrub, a_poisoned_tail_is_not_touched)
{
	struct ns_change change = {.set = NS_SET_SIZE, .size = BLOCK + 17};
	const struct inode *inode = make_file(2);
	uint64_t at = 0;
	struct stat st;

	cr_assert_eq(fixture_scrub(&fixture, inode->attr.ino), 0);
	cr_assert_eq(ns_setattr(&ns, &nobody, inode->attr.ino, &change, &st), 0);
	cr_assert_neq(inode->attr.stale_from, 0);
	alloc_set_poisoned(alloc(),
		&(struct alloc_extent){inode->extents[0].block + 1, inode->extents[0].region, 1});
	cr_expect_not(scrub_order_file(&scrub, inode, &at));
	cr_expect(scrub_is_idle(&scrub));
}

/* ---- failures ---- */

Test(scrub, what_failed_is_dirty_still_and_tried_again_after_a_rest)
{
	uint64_t before = dirty();

	cr_assert(scrub_order_free(&scrub, START));
	(void)finish_order(START + 5, EIO);
	cr_expect_eq(dirty(), before);
	cr_expect_not(scrub_order_free(&scrub, START + 5 + SCRUB_REST_MS - 1));
	cr_expect(scrub_order_free(&scrub, START + 5 + SCRUB_REST_MS));
}
