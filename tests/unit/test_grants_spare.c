// SPDX-License-Identifier: MIT
/*
 * Blocks of removed files that the helper offers to the next owner: what is handed over, what the
 * helper is told of it, and when an offer ends.
 */
#include "grants_fixture.h"

TestSuite(grants, .init = grants_setup, .fini = grants_teardown);

static void say_spare(uint64_t ino, uint64_t epoch, uint64_t blocks, uint32_t flags)
{
	struct link_spare m = {.ino = put_le64(ino),
		.epoch = put_le64(epoch),
		.blocks = put_le64(blocks),
		.flags = put_le32(flags)};

	say(&m, sizeof(m), LINK_SPARE, 0);
}

/* A removed file of all blocks but these; its number of the last grant in free_epoch. */
static uint64_t make_removed_file(uint64_t rest)
{
	clean_everything();
	uint64_t ino = make_clean_file("a", stats().free - rest);
	connect_helper();
	(void)grant_now(1, ino);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "a", 1), 0);
	return ino;
}

static int try_to_resize(uint64_t ino, uint64_t blocks)
{
	struct ns_change change = {.set = NS_SET_SIZE, .size = blocks * BLOCK};
	struct stat st;

	return ns_setattr(&ns, &nobody, ino, &change, &st);
}

Test(grants, what_the_helper_offers_is_handed_over_and_it_is_told_to_whom)
{
	uint64_t ino = make_removed_file(3), blocks = inode_blocks(inode_of(ino)), next_one;

	next_one = make_file("b");
	say_spare(ino, free_epoch, blocks, 0);
	cr_assert(pump());
	cr_assert_eq(try_to_resize(next_one, blocks + 3), 0);
	grants_hand_over(grants);
	grants_hand_over(grants); /* once */
	cr_assert_eq(next(), LINK_HAND_OVER);
	cr_expect_eq(get_le64(got.hand_over.from), ino);
	cr_expect_eq(get_le64(got.hand_over.ino), next_one);
	cr_expect_eq(get_le64(got.hand_over.file_block), 0);
	uint64_t epoch = get_le64(got.hand_over.epoch);
	redeem(2, next_one, GM_ACCESS_READ);
	grants_advance(grants);
	unsigned opcode;
	cr_expect_eq(scrub_until_other(&opcode), blocks, "zeroed before it is granted");
	cr_assert_eq(opcode, LINK_GRANT);
	cr_expect_gt(get_le64(got.grant.epoch), epoch);
	cr_expect_eq(get_le32(got.grant.owner), inode_of(next_one)->attr.uid);
}

/* The helper has heard of the removal before, and has closed its node for good. */
Test(grants, an_heir_that_is_removed_while_its_export_waits_gets_no_node)
{
	uint64_t ino = make_removed_file(3), blocks = inode_blocks(inode_of(ino));
	uint64_t next_one = make_file("b");
	unsigned opcode;

	say_spare(ino, free_epoch, blocks, 0);
	cr_assert(pump());
	cr_assert_eq(try_to_resize(next_one, blocks + 3), 0);
	grants_hand_over(grants);
	cr_assert_eq(next(), LINK_HAND_OVER);
	cr_assert_eq(grants_export(grants, next_one, &somebody), 0);
	cr_assert(pump());
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "b", 1), 0);
	cr_assert_eq(ns.left, next_one, "the helper is told of it");
	cr_expect_eq(scrub_until_other(&opcode), blocks);
	cr_expect_eq(opcode, 0);
	cr_expect_eq(exported.count, 1);
	cr_expect_eq(exported.error, -ESTALE);
	cr_expect_not(inode_of(next_one)->attr.flags & GM_INODE_EXPORTED);
}

/* There are devices over it, which are not to be taken for nobody's. */
Test(grants, a_new_helper_is_told_all_that_was_handed_over_dirty_or_not)
{
	uint64_t ino = make_removed_file(3), blocks = inode_blocks(inode_of(ino));
	uint64_t next_one = make_file("b"), told = 0;

	say_spare(ino, free_epoch, blocks, 0);
	cr_assert(pump());
	cr_assert_eq(try_to_resize(next_one, blocks + 3), 0);
	cr_expect(inode_of(next_one)->attr.flags & GM_INODE_INHERITED);
	new_link();
	cr_assert_eq(next(), LINK_CONFIG);
	cr_assert_eq(next(), LINK_HELD);
	cr_expect_eq(get_le64(got.held.ino), next_one);
	cr_assert_eq(next(), LINK_EXTENTS);
	for (uint32_t n = 0; n < get_le32(got.extents.count); n++)
		told += get_le32(got.extents.extents[n].count);
	cr_expect_eq(told, blocks + 3);
}

/* It had got free memory besides, which nobody was granted. */
Test(grants, what_a_removed_heir_was_not_handed_is_free_at_once)
{
	uint64_t ino = make_removed_file(3), blocks = inode_blocks(inode_of(ino));
	uint64_t next_one = make_file("b");

	say_spare(ino, free_epoch, blocks, 0);
	cr_assert(pump());
	cr_assert_eq(try_to_resize(next_one, blocks + 3), 0);
	grants_hand_over(grants);
	cr_assert_eq(next(), LINK_HAND_OVER);
	uint64_t epoch = get_le64(got.hand_over.epoch);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "b", 1), 0);
	cr_assert_eq(stats().free, 0);
	say_spare(next_one, epoch, blocks + 4, 0);
	cr_assert(pump());
	cr_expect_eq(stats().free, 0, "it has not so many");
	say_spare(next_one, epoch, blocks, 0);
	cr_assert(pump());
	cr_expect_eq(stats().free, 3);
	uint64_t last_one = make_file("c");
	cr_assert_eq(try_to_resize(last_one, blocks + 3), 0, "and is offered");
	grants_hand_over(grants);
	unsigned opcode = next();
	while (opcode == LINK_SCRUB)
		opcode = next();
	cr_assert_eq(opcode, LINK_HAND_OVER);
	cr_expect_eq(get_le64(got.hand_over.from), next_one);
}

/* Any of them may be mapped. */
Test(grants, a_file_that_was_granted_loses_nothing_by_an_offer)
{
	uint64_t ino = make_removed_file(3), blocks = inode_blocks(inode_of(ino));

	say_spare(ino, free_epoch, blocks - 1, 0);
	cr_assert(pump());
	cr_expect_eq(stats().free, 3);
	cr_expect_eq(inode_blocks(inode_of(ino)), blocks);
}

Test(grants, an_offer_that_is_out_of_date_is_none)
{
	uint64_t ino = make_removed_file(0), blocks = inode_blocks(inode_of(ino));
	uint64_t next_one = make_file("b");

	say_spare(ino, free_epoch - 1, blocks, LINK_SPARE_ANY);
	say_spare(ino, free_epoch, blocks + 1, LINK_SPARE_ANY);
	say_spare(next_one, 1, 0, LINK_SPARE_ANY);
	say_spare(4711, 1, 1, LINK_SPARE_ANY);
	cr_assert(pump());
	cr_expect_eq(try_to_resize(next_one, blocks), -ENOSPC);
	say_spare(ino, free_epoch, blocks, LINK_SPARE_ANY);
	cr_assert(pump());
	new_link(); /* it went with the helper that made it */
	cr_expect_eq(try_to_resize(next_one, blocks), -ENOSPC);
}

Test(grants, a_ticket_of_before_ends_an_offer)
{
	uint64_t ino = make_removed_file(0), blocks = inode_blocks(inode_of(ino));
	uint64_t next_one = make_file("b");

	say_spare(ino, free_epoch, blocks, LINK_SPARE_ANY);
	cr_assert(pump());
	(void)grant_now(2, ino);
	cr_expect_eq(try_to_resize(next_one, blocks), -ENOSPC);
}

Test(grants, an_offer_that_makes_no_sense_ends_the_link)
{
	uint64_t ino = make_removed_file(0);

	say_spare(ino, free_epoch, 1, 2);
	cr_expect_not(pump());
}

/* The device would be over what is another's by then; and nobody would answer for it. */
Test(grants, what_is_removed_while_it_is_exported_is_not_handed_over)
{
	clean_everything();
	uint64_t ino = make_clean_file("a", stats().free - 3);
	uint64_t blocks = inode_blocks(inode_of(ino));
	connect_helper();
	(void)grant_now(1, ino);
	cr_assert_eq(grants_export(grants, ino, &somebody), 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_EXPORT);
	uint64_t epoch = get_le64(got.export.epoch);
	cr_assert_eq(next(), LINK_EXTENTS);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "a", 1), 0);
	say_spare(ino, epoch, blocks, 0);
	cr_assert(pump());
	uint64_t next_one = make_file("b");
	cr_expect_eq(try_to_resize(next_one, blocks + 3), -ENOSPC);

	struct link_exported m = {.error = put_le32(EBUSY)};
	say(&m, sizeof(m), LINK_EXPORTED, ino);
	cr_assert(pump());
	say_spare(ino, epoch, blocks, 0);
	cr_assert(pump());
	cr_expect_eq(try_to_resize(next_one, blocks + 3), 0, "it is offered again");
}
