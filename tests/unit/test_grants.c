// SPDX-License-Identifier: MIT
/*
 * Grants, seen from the helper's end of the link: what is granted is clean and held on the media,
 * what can't be is refused with its reason, and nothing is let go by an old word.
 */
#include "grants_fixture.h"

TestSuite(grants, .init = grants_setup, .fini = grants_teardown);

/* ---- what is granted, and what is refused ---- */

Test(grants, a_clean_file_is_granted_at_once_and_held_on_the_media_by_then)
{
	struct fixture copy;
	struct problem why = PROBLEM_INIT;
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 3);
	resize(ino, 3 * BLOCK - 5);
	resize(ino, 3 * BLOCK);
	cr_assert_eq(ns_stale_done(&ns, ino, 3 * BLOCK - 5), 0);
	connect_helper();
	redeem(77, ino, GM_ACCESS_READ | GM_ACCESS_WRITE);

	cr_assert_eq(next(), LINK_GRANT);
	cr_assert_eq(get_le64(got.header.id), 77);
	cr_assert_eq(get_le64(got.grant.ino), ino);
	cr_assert_eq(get_le64(got.grant.size), 3 * BLOCK);
	cr_assert_eq(get_le32(got.grant.access), GM_ACCESS_READ | GM_ACCESS_WRITE);
	cr_assert_eq(get_le64(got.grant.extent_count), 1);
	cr_assert_eq(next(), LINK_EXTENTS);
	cr_assert_eq(get_le64(got.header.id), 77);
	cr_assert_eq(get_le32(got.extents.count), 1);
	cr_assert_eq(get_le64(got.extents.extents[0].block), inode_of(ino)->extents[0].block);
	cr_assert_eq(get_le32(got.extents.extents[0].count), 3);
	cr_assert_eq(next(), 0);

	fixture_copy(&copy, &fixture);
	cr_assert_eq(fixture_open(&copy, &why), 0, "%s", why.text);
	cr_assert(meta_inode(store_meta(copy.store), ino)->attr.flags & GM_INODE_HELD);
	fixture_deinit(&copy);
}

Test(grants, a_bad_ticket_is_refused)
{
	struct gm_ticket t = {.bytes = {1, 2, 3}};
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	say_redeem(5, &t);
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	say_redeem(6, &t);
	say_redeem(7, &t);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_REFUSE);
	cr_assert_eq(get_le64(got.header.id), 5);
	cr_assert_eq(get_le32(got.refuse.error), EKEYREJECTED);
	cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_TICKET);
	cr_assert_eq(next(), LINK_GRANT);
	cr_assert_eq(next(), LINK_EXTENTS);
	cr_assert_eq(next(), LINK_REFUSE, "used twice");
	cr_assert_eq(get_le64(got.header.id), 7);
}

Test(grants, a_removed_file_is_refused)
{
	struct gm_ticket t;
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "a", 1), 0);
	say_redeem(5, &t);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_REFUSE);
	cr_assert_eq(get_le32(got.refuse.error), ESTALE);
	cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_GONE);
}

Test(grants, what_was_taken_past_the_end_is_not_granted)
{
	struct ns_range range = {0, 5 * BLOCK};
	uint64_t ino = make_dirty_file("a", 2), blocks = 0;

	resize(ino, BLOCK + 1);
	cr_assert_eq(ns_change_space(&ns, &nobody, ino, NS_ALLOCATE_KEEP, &range), 0);
	cr_assert_eq(inode_blocks(inode_of(ino)), 5);
	cr_assert_eq(fixture_scrub(&fixture, ino), 0);
	clean_everything();
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_GRANT);
	cr_assert_eq(get_le64(got.grant.size), BLOCK + 1);
	cr_assert_eq(get_le64(got.grant.extent_count), 1);
	cr_assert_eq(next(), LINK_EXTENTS);
	for (uint32_t n = 0; n < get_le32(got.extents.count); n++)
		blocks += get_le32(got.extents.extents[n].count);
	cr_assert_eq(blocks, 2);
}

/* A helper that took them for held would refuse to zero them, and the file could not be granted. */
Test(grants, blocks_that_came_after_the_grant_are_not_told_as_held)
{
	struct ns_range middle = {BLOCK, BLOCK};
	uint64_t ino = make_dirty_file("a", 3), seen = 0;

	cr_assert_eq(ns_change_space(&ns, &nobody, ino, NS_PUNCH, &middle), 0);
	cr_assert_eq(fixture_scrub(&fixture, ino), 0);
	clean_everything();
	connect_helper();
	(void)grant_now(1, ino);
	cr_assert_eq(ns_change_space(&ns, &nobody, ino, NS_ALLOCATE, &middle), 0);
	resize(ino, 6 * BLOCK);
	mark_dirty(ino, 1, 2);
	mark_dirty(ino, 3, 6);
	new_link();
	cr_assert_eq(next(), LINK_CONFIG);
	cr_assert_eq(next(), LINK_HELD);
	cr_assert_eq(get_le64(got.held.extent_count), 2);
	cr_assert_eq(next(), LINK_EXTENTS);
	cr_assert_eq(get_le32(got.extents.count), 2);
	for (uint32_t n = 0; n < 2; n++) {
		cr_assert_eq(get_le64(got.extents.extents[n].file_block), 2 * n);
		seen += get_le32(got.extents.extents[n].count);
	}
	cr_assert_eq(seen, 2);
	cr_assert_eq(next(), LINK_RESUMED);
}

/* ---- letting go ---- */

Test(grants, a_free_counts_only_with_the_number_of_the_last_grant)
{
	uint64_t ino, old, latest;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	old = grant_now(1, ino);
	latest = grant_now(2, ino);
	say_free(ino, old);
	cr_assert(pump());
	cr_assert(is_held(ino));
	cr_assert_eq(checked.count, 1);
	cr_assert_eq(checked.ino, ino);
	cr_assert(checked.busy);

	say_free(ino, latest + 1); /* never given */
	cr_assert(pump());
	cr_assert(is_held(ino));

	say_free(ino, latest);
	cr_assert(pump());
	cr_assert_not(is_held(ino));
	cr_assert_eq(checked.count, 3);
	cr_assert_not(checked.busy);
}

/* A device that the panic has not stopped may write to it still. */
Test(grants, in_a_crash_kernel_nothing_is_free)
{
	struct grants_config config = {.ns = &ns,
		.tickets = tickets,
		.checked = on_checked,
		.holder = on_holder,
		.after_panic = true};
	uint64_t ino, epoch;

	clean_everything();
	ino = make_clean_file("a", 1);
	grants = grants_free(grants);
	cr_assert_eq(grants_new(&grants, &config), 0);
	connect_helper();
	epoch = grant_now(1, ino);
	grants_check(grants, ino, LINK_CHECK_TAKE);
	cr_assert(pump());
	cr_assert_eq(next(), 0, "nobody is asked");
	say_free(ino, epoch);
	cr_assert(pump());
	cr_assert(is_held(ino));
	cr_assert(checked.busy);
}

Test(grants, a_free_gives_back_an_unlinked_files_blocks)
{
	uint64_t ino, epoch, free;

	clean_everything();
	free = stats().free;
	ino = make_clean_file("a", 5);
	connect_helper();
	epoch = grant_now(1, ino);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "a", 1), 0);
	cr_assert_eq(stats().free, free - 5);
	say_free(ino, epoch);
	cr_assert(pump());
	cr_assert_null(inode_of(ino));
	cr_assert_eq(stats().free, free);
	cr_assert_eq(checked.ino, ino);
	cr_assert_not(checked.busy);
	/* Once more, and of an inode that never was: nothing happens. */
	say_free(ino, epoch);
	say_free(12345, 1);
	cr_assert(pump());
}

Test(grants, a_check_is_asked_and_its_answer_passed_on)
{
	struct link_check busy = {.pid = put_le32(4711)};
	uint64_t ino, epoch;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	epoch = grant_now(1, ino);
	grants_check(grants, ino, LINK_CHECK_TAKE);
	cr_assert_eq(next(), LINK_CHECK);
	cr_assert_eq(get_le32(got.check.flags), LINK_CHECK_TAKE);
	cr_assert_eq(get_le64(got.check.ino), ino);
	cr_assert_eq(get_le64(got.check.epoch), epoch);
	busy.ino = put_le64(ino);
	busy.epoch = put_le64(epoch);
	say(&busy, sizeof(busy), LINK_BUSY, 0);
	cr_assert(pump());
	cr_assert_eq(checked.count, 1);
	cr_assert(checked.busy);
	cr_assert(is_held(ino));
}

/* ---- a frozen pool ---- */

Test(grants, a_frozen_pool_grants_and_scrubs_nothing)
{
	struct gm_ticket t;
	uint64_t ino = make_dirty_file("a", 1);

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB); /* of free blocks, in the background */
	uint64_t id = get_le64(got.header.id);
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	cr_assert_eq(store_freeze(fixture.store), 0);
	say_redeem(7, &t);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_REFUSE);
	cr_assert_eq(get_le32(got.refuse.error), EBUSY);
	cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_FROZEN);
	say_done(id, 0); /* it is zero, but the journal can't be told */
	cr_assert(pump());
	cr_assert_eq(next(), 0);
	cr_assert_eq(ns_thaw(&ns), 0);
	cr_assert_gt(stats().free_dirty, 0);
}

Test(grants, what_was_freed_while_frozen_is_asked_for_after_the_thaw)
{
	uint64_t ino, epoch;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	epoch = grant_now(1, ino);
	cr_assert_eq(store_freeze(fixture.store), 0);
	say_free(ino, epoch);
	cr_assert(pump());
	cr_assert(is_held(ino));
	cr_assert_eq(ns_thaw(&ns), 0);
	grants_thawed(grants);
	cr_assert_eq(next(), LINK_CHECK);
	cr_assert_eq(get_le64(got.check.ino), ino);
	say_free(ino, get_le64(got.check.epoch));
	cr_assert(pump());
	cr_assert_not(is_held(ino));
}
