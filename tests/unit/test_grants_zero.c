// SPDX-License-Identifier: MIT
/*
 * Bytes that the helper zeroes for a punch: one range after the other, and the file is not granted
 * meanwhile.
 */
#include "fuse/scrub.h"
#include "grants_fixture.h"
#include "util/cleanup.h"

TestSuite(grants, .init = grants_setup, .fini = grants_teardown);

static uint64_t zero(uint64_t ino, const struct ns_range *ranges, unsigned count)
{
	uint64_t id = 0;

	cr_assert_eq(grants_zero(grants, ino, ranges, count, &id), 0);
	cr_assert_neq(id, 0);
	return id;
}

static void expect_zero(uint64_t ino, uint64_t offset, uint64_t length)
{
	cr_assert_eq(next(), LINK_ZERO);
	cr_assert_eq(get_le64(got.zero.offset), inode_of(ino)->extents[0].block * BLOCK + offset);
	cr_assert_eq(get_le32(got.zero.length), length);
}

/* What waits for the order with this id goes on when it is done, and nothing else is asked. */
static void expect_zeroed(uint64_t id)
{
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	cr_assert(zeroed.count == 1 && zeroed.id == id && zeroed.error == 0);
	cr_assert_eq(next(), 0);
}

static const struct ns_range both_ends[] = {{100, BLOCK - 100}, {2 * BLOCK, 7}};

Test(grants, bytes_are_zeroed_one_range_after_the_other)
{
	uint64_t ino, id;

	clean_everything();
	ino = make_clean_file("a", 3);
	id = zero(ino, both_ends, 2);
	connect_helper();
	expect_zero(ino, 100, BLOCK - 100);
	cr_assert_eq(next(), 0);
	say_done(get_le64(got.header.id), EPROTO); /* of an order that there is not */
	cr_assert_not(pump());
	cr_assert_eq(zeroed.count, 0);

	connect_helper();
	expect_zero(ino, 100, BLOCK - 100);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	cr_assert_eq(zeroed.count, 0);
	expect_zero(ino, 2 * BLOCK, 7);
	expect_zeroed(id);
}

/* The order of a link that is given up for its answer is the next helper's. */
Test(grants, an_answer_that_breaks_the_protocol_ends_no_order)
{
	struct link_done m = {.reserved = put_le32(1)};
	uint64_t ino, id;

	clean_everything();
	ino = make_clean_file("a", 3);
	id = zero(ino, both_ends, 1);
	connect_helper();
	expect_zero(ino, 100, BLOCK - 100);
	say(&m, sizeof(m), LINK_DONE, get_le64(got.header.id));
	cr_assert_not(pump());
	cr_assert_eq(zeroed.count, 0);

	connect_helper();
	expect_zero(ino, 100, BLOCK - 100);
	expect_zeroed(id);
}

/* Whatever the errno is, it is the order's, not the link's; and not each is one that the kernel
 * takes. */
Test(grants, who_punches_hears_that_zeroing_has_failed)
{
	static const int errors[] = {EIO, EPROTO, 600, 4096};
	uint64_t ino, id;

	clean_everything();
	ino = make_clean_file("a", 3);
	connect_helper();
	for (unsigned n = 0; n < ARRAY_SIZE(errors); n++) {
		id = zero(ino, both_ends, 1);
		grants_advance(grants);
		expect_zero(ino, 100, BLOCK - 100);
		say_done(get_le64(got.header.id), errors[n]);
		cr_expect(pump(), "%d", errors[n]);
		cr_expect(zeroed.count == n + 1 && zeroed.id == id && zeroed.error == -EIO, "%d",
			errors[n]);
	}
}

Test(grants, a_file_whose_bytes_are_being_zeroed_is_not_granted)
{
	uint64_t ino, other;

	clean_everything();
	ino = make_clean_file("a", 3);
	other = make_clean_file("b", 3);
	connect_helper();
	(void)zero(ino, both_ends, 2);
	redeem(1, ino, GM_ACCESS_READ);
	expect_zero(ino, 100, BLOCK - 100);
	(void)grant_now(2, other); /* whose answer would come behind that one's */
	cr_assert_not(is_held(ino));
}

/* As two users do who punch as fast as they can: as soon as one is done there is another. */
Test(grants, zeroing_without_end_keeps_no_grant_waiting)
{
	static const char *const names[SCRUB_ORDERS_MAX + 1] = {"a", "b", "c"};
	uint64_t punched[ARRAY_SIZE(names)], dirty;
	unsigned orders = 0, opcode;

	for (unsigned n = 0; n < ARRAY_SIZE(names); n++)
		punched[n] = make_clean_file(names[n], 3);
	dirty = make_dirty_file("z", 90);
	clean_everything();
	connect_helper();
	for (unsigned n = 0; n < ARRAY_SIZE(names); n++)
		(void)zero(punched[n], both_ends, 2);
	redeem(1, dirty, GM_ACCESS_READ);
	while ((opcode = next()) == LINK_ZERO || opcode == LINK_SCRUB) {
		cr_assert_lt(++orders, 1000, "not granted yet");
		if (opcode == LINK_ZERO)
			(void)zero(punched[orders % ARRAY_SIZE(names)], both_ends, 2);
		say_done(get_le64(got.header.id), 0);
		cr_assert(pump());
	}
	cr_assert_eq(opcode, LINK_GRANT);
	cr_assert_gt(zeroed.count, 0, "nor who punches");
}

Test(grants, bytes_that_are_gone_or_dirty_need_no_zeroing)
{
	uint64_t ino = make_clean_file("a", 3);

	clean_everything();
	connect_helper();
	cr_assert_eq(ns_change_space(&ns, &nobody, ino, NS_PUNCH, &(struct ns_range){0, BLOCK}), 0);
	(void)zero(ino, both_ends, 1); /* asked for before the block went */
	cr_assert(pump());
	cr_assert(zeroed.count == 1 && zeroed.error == 0);
	ino = make_clean_file("b", 3);
	mark_dirty(ino, 0, 3);
	(void)zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert(zeroed.count == 2 && zeroed.error == 0);
	(void)zero(4711, both_ends, 2);
	cr_assert(pump());
	cr_assert(zeroed.count == 3 && zeroed.error == -ESTALE);
}

Test(grants, bytes_that_can_not_be_zeroed_are_told_of)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);
	struct alloc_extent poisoned = {.count = 1};
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 3);
	connect_helper();
	(void)zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_ZERO);
	say_done(get_le64(got.header.id), EUCLEAN);
	cr_assert(pump());
	cr_assert(zeroed.count == 1 && zeroed.error == -EIO);
	cr_assert_eq(next(), 0, "the second end stays as it is");

	poisoned.block = inode_of(ino)->extents[0].block;
	txn_set_blocks(&t, &poisoned, GM_BLOCKS_POISONED);
	cr_assert_eq(store_commit(fixture.store, &t), 0);
	(void)zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert(zeroed.count == 2 && zeroed.error == -EIO);
	cr_assert_eq(store_freeze(fixture.store), 0);
	(void)zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert(zeroed.count == 3 && zeroed.error == -EBUSY);
	cr_assert_eq(next(), 0);
}

Test(grants, what_is_zeroed_for_nobody_any_more_is_granted_when_it_is_done)
{
	uint64_t ino, id, order;

	clean_everything();
	ino = make_clean_file("a", 3);
	connect_helper();
	id = zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_ZERO);
	order = get_le64(got.header.id);
	grants_cancel_zero(grants, id);
	grants_cancel_zero(grants, id + 7);
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), 0);
	say_done(order, 0);
	cr_assert(pump());
	cr_assert_eq(zeroed.count, 0);
	cr_assert_eq(next(), LINK_GRANT);
}
