// SPDX-License-Identifier: MIT
/*
 * Grants that wait: no block is granted before the helper has zeroed it, nobody waits for more than
 * he needs, and what is free is zeroed in the background.
 */
#include "fuse/scrub.h"
#include "grants_fixture.h"

TestSuite(grants, .init = grants_setup, .fini = grants_teardown);

/* ---- for a grant ---- */

Test(grants, a_dirty_file_waits_until_every_block_is_zeroed)
{
	uint64_t ino = make_dirty_file("a", 90), dirty = stats().used_dirty, first;
	unsigned opcode;

	cr_assert_eq(dirty, 90);
	clean_everything();
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	redeem(2, ino, GM_ACCESS_READ | GM_ACCESS_WRITE);
	cr_assert_not(is_held(ino));
	cr_assert_eq(scrub_until_other(&opcode), dirty);
	cr_assert_eq(stats().used_dirty, 0);
	cr_assert_eq(opcode, LINK_GRANT);
	cr_assert_eq(get_le64(got.header.id), 1);
	first = get_le64(got.grant.epoch);
	do
		opcode = next();
	while (opcode == LINK_EXTENTS);
	cr_assert_eq(opcode, LINK_GRANT);
	cr_assert_eq(get_le64(got.header.id), 2);
	cr_assert_eq(get_le32(got.grant.access), GM_ACCESS_READ | GM_ACCESS_WRITE);
	cr_assert_gt(get_le64(got.grant.epoch), first);
	cr_assert(is_held(ino));
}

Test(grants, few_orders_are_outstanding_and_none_twice)
{
	uint64_t ino = make_dirty_file("a", 100);
	struct link_scrub first;

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB, "in the background");
	say_done(get_le64(got.header.id), 0);
	redeem(1, ino, GM_ACCESS_READ);
	/* The background's second order may have come before the file's. */
	unsigned orders = 0;
	while (next() == LINK_SCRUB) {
		if (orders == 0)
			first = got.scrub;
		else
			cr_assert(get_le64(got.scrub.block) != get_le64(first.block));
		orders++;
	}
	cr_assert_eq(orders, SCRUB_ORDERS_MAX);
	cr_assert(pump());
	cr_assert_eq(next(), 0, "no more until one is done");
}

Test(grants, when_zeroing_fails_the_file_is_refused_and_stays_dirty)
{
	uint64_t ino = make_dirty_file("a", 90);

	clean_everything();
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	redeem(2, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_SCRUB);
	say_done(get_le64(got.header.id), EIO);
	cr_assert(pump());
	for (uint64_t id = 1; id <= 2; id++) {
		while (next() == LINK_SCRUB)
			;
		cr_assert_eq(get_le16(got.header.opcode), LINK_REFUSE);
		cr_assert_eq(get_le64(got.header.id), id);
		cr_assert_eq(get_le32(got.refuse.error), EIO);
		cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_SCRUB);
	}
	cr_assert_not(is_held(ino));
	cr_assert_not(meta_is_clean(store_meta(fixture.store), inode_of(ino)));
}

Test(grants, a_file_with_poison_under_old_bytes_is_refused)
{
	uint64_t ino = make_dirty_file("a", 3);
	const struct file_extent *f = &inode_of(ino)->extents[0];
	unsigned opcode;

	clean_everything();
	alloc_set_poisoned(store_meta(fixture.store)->alloc,
		&(struct alloc_extent){f->block + 1, f->region, 1});
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(scrub_until_other(&opcode), 2, "the sound ones");
	cr_assert_eq(opcode, LINK_REFUSE);
	cr_assert_eq(get_le32(got.refuse.error), EIO);
	cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_SCRUB);
	cr_assert_not(is_held(ino));
}

Test(grants, a_file_that_grows_while_it_waits_is_granted_whole)
{
	uint64_t ino, blocks = 0;
	unsigned opcode;

	ino = make_dirty_file("a", 2);
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	resize(ino, 70 * BLOCK);
	(void)scrub_until_other(&opcode);
	cr_assert_eq(opcode, LINK_GRANT);
	cr_assert_eq(get_le64(got.grant.size), 70 * BLOCK);
	for (uint64_t left = get_le64(got.grant.extent_count); left > 0;) {
		cr_assert_eq(next(), LINK_EXTENTS);
		for (unsigned i = 0; i < get_le32(got.extents.count); i++, left--)
			blocks += get_le32(got.extents.extents[i].count);
	}
	cr_assert_eq(blocks, 70);
	cr_assert(meta_is_clean(store_meta(fixture.store), inode_of(ino)));
}

Test(grants, a_file_that_shrinks_or_goes_while_it_waits_is_no_trouble)
{
	uint64_t shrinking = make_dirty_file("a", 40), going = make_dirty_file("b", 40);
	unsigned opcode, grants_seen = 0, refusals = 0;

	connect_helper();
	redeem(1, shrinking, GM_ACCESS_READ);
	redeem(2, going, GM_ACCESS_READ);
	resize(shrinking, 0);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "b", 1), 0);
	cr_assert(pump());
	for (unsigned i = 0; i < 1000 && grants_seen + refusals < 2; i++) {
		(void)scrub_until_other(&opcode);
		if (opcode == LINK_GRANT) {
			cr_assert_eq(get_le64(got.header.id), 1);
			cr_assert_eq(get_le64(got.grant.extent_count), 0);
			grants_seen++;
		} else if (opcode == LINK_REFUSE) {
			cr_assert_eq(get_le64(got.header.id), 2);
			cr_assert_eq(get_le32(got.refuse.error), ESTALE);
			refusals++;
		}
	}
	cr_assert_eq(grants_seen, 1);
	cr_assert_eq(refusals, 1);
}

/* A late zero must never hit what has been granted. */
Test(grants, a_block_under_an_order_is_not_granted_before_it_is_done)
{
	struct alloc_extent ordered;
	uint64_t ino, order;

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB);
	order = get_le64(got.header.id);
	ordered = (struct alloc_extent){
		get_le64(got.scrub.block), get_le32(got.scrub.region), get_le32(got.scrub.count)};
	/* The block becomes a file's, and clean in some other way; the order is still on its way.
	 */
	ino = make_dirty_file("a", stats().free);
	cr_assert_eq(fixture_scrub(&fixture, ino), 0);
	cr_assert(alloc_is_used(store_meta(fixture.store)->alloc, &ordered));
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), 0);
	say_done(order, 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_GRANT);
}

Test(grants, a_small_file_does_not_wait_for_all_of_a_great_one)
{
	uint64_t great = make_dirty_file("a", 80), small = make_dirty_file("b", 1);
	const struct file_extent *f = &inode_of(great)->extents[0];
	unsigned opcode;

	/* Every second block is clean: each order is about one block, so that there are many. */
	cr_assert_eq(f->count, 80);
	for (uint32_t i = 0; i < f->count; i += 2)
		cr_assert_eq(
			ns_blocks_clean(&ns, &(struct alloc_extent){f->block + i, f->region, 1}, 1),
			0);
	clean_everything();
	connect_helper();
	redeem(1, great, GM_ACCESS_READ);
	redeem(2, small, GM_ACCESS_READ);
	cr_assert_leq(scrub_until_other(&opcode), 3 * SCRUB_ORDERS_MAX, "of 41");
	cr_assert_eq(opcode, LINK_GRANT);
	cr_assert_eq(get_le64(got.header.id), 2);
}

Test(grants, the_rest_of_a_block_is_zeroed_where_a_file_was_cut)
{
	uint64_t ino, block, order;

	clean_everything();
	ino = make_clean_file("a", 2);
	resize(ino, BLOCK + 4097);
	block = inode_of(ino)->extents[0].block + 1;
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_ZERO);
	cr_assert_eq(get_le64(got.zero.offset), block * BLOCK + 4097);
	cr_assert_eq(get_le32(got.zero.length), BLOCK - 4097);
	cr_assert_eq(get_le32(got.zero.region), 0);
	order = get_le64(got.header.id);
	cr_assert_eq(next(), 0);
	cr_assert_eq(inode_of(ino)->attr.stale_from, BLOCK + 4097);
	say_done(order, 0);
	cr_assert(pump());
	cr_assert_eq(inode_of(ino)->attr.stale_from, 0);
	cr_assert_eq(next(), LINK_GRANT);
}

Test(grants, a_cut_that_moved_meanwhile_is_zeroed_again)
{
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 1);
	resize(ino, 5000);
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_ZERO);
	resize(ino, 100);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_ZERO);
	cr_assert_eq(get_le32(got.zero.length), BLOCK - 100);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_GRANT);
	cr_assert_eq(get_le64(got.grant.size), 100);
}

/* ---- in the background ---- */

Test(grants, free_blocks_are_scrubbed_in_the_background_one_order_at_a_time)
{
	uint64_t dirty = stats().free_dirty, blocks = 0;

	cr_assert_gt(dirty, LINK_SCRUB_MAX);
	connect_helper();
	while (next() == LINK_SCRUB) {
		uint64_t id = get_le64(got.header.id);

		blocks += get_le32(got.scrub.count);
		cr_assert_eq(next(), 0, "one at a time");
		say_done(id, 0);
		cr_assert(pump());
	}
	cr_assert_eq(blocks, dirty);
	cr_assert_eq(stats().free_dirty, 0);
}

Test(grants, after_a_failure_the_background_rests)
{
	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB);
	say_done(get_le64(got.header.id), EIO);
	cr_assert(pump());
	cr_assert_eq(next(), 0);
}

Test(grants, who_waits_is_not_kept_by_the_rest_after_a_failure)
{
	uint64_t ino = make_dirty_file("a", 2);

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB);
	say_done(get_le64(got.header.id), EIO);
	cr_assert(pump());
	cr_assert_eq(next(), 0);
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_SCRUB);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_GRANT);
}

Test(grants, orders_of_a_helper_that_died_are_given_to_the_next_one)
{
	uint64_t ino = make_dirty_file("a", 2);
	struct link_scrub lost;

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB);
	lost = got.scrub;
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_SCRUB);

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB);
	cr_assert_eq(get_le64(got.scrub.block), get_le64(lost.block));
	cr_assert_eq(get_le32(got.scrub.count), get_le32(lost.count));
	say_done(get_le64(got.header.id), 0);
	cr_assert_eq(next(), LINK_SCRUB);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	/* Who waited has lost the connection: no grant for nobody. */
	cr_assert_not(is_held(ino));
}
