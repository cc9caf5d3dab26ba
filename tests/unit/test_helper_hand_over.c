// SPDX-License-Identifier: MIT
/* Devices of removed files that are given on as they are, to another file, to the next helper and
 * by the next worker. */
#include <criterion/criterion.h>
#include <errno.h>

#include "spare_helper.h"
#include "util/cleanup.h"
#include "util/le.h"

TestSuite(helper_hand_over, .init = spare_helper_set_up, .fini = soft_helper_tear_down);

/* What makes devices is kept from it until end_wait(), so that what comes now waits behind it. */
static struct rig_child begin_wait(void)
{
	static const struct rig_extent other[] = {{0, 400, 1}};

	atomic_store(&fake_soft->hold, true);
	struct rig_child c = rig_child_start(&rig, false);
	(void)rig_grant(&rig, 20, RW, other, 1);
	fake_soft_wait_until_making();
	return c;
}

static void end_wait(struct rig_child *c)
{
	atomic_store(&fake_soft->hold, false);
	rig_child_wait(c);
	rig_child_end(c);
}

/* ---- handed over ---- */

Test(helper_hand_over, the_next_file_has_the_same_device_zeroed)
{
	learn();
	unsigned id = leave_pinned(11), made = fake_soft->made;
	remove_file(11);
	fill(id);
	hand_over(11, 12, 1);
	cr_expect_eq(rig_scrub(&rig, 100, 2), 0);
	cr_expect_eq(count_filled(id), 3, "its last two blocks are zero");
	cr_expect_eq(rig_scrub(&rig, 10, 3), 0);
	cr_expect_eq(count_filled(id), 0);
	cr_expect_eq(fake_soft->made, made, "through itself");
	cr_expect_eq(rig_scrub(&rig, 200, 1), 0);
	cr_expect_eq(expect_granted(12, heir, 3), id);
	cr_expect(device(id)->bound && !device(id)->user.spare);
	cr_expect_eq(device(id)->pinned, 11);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN, "it is granted");
}

Test(helper_hand_over, nothing_is_granted_that_is_not_zeroed)
{
	learn();
	(void)leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	cr_expect_eq(rig_scrub(&rig, 10, 3), 0);
	expect_refused(12, heir_part, 2, EUCLEAN, GM_REASON_RECORD);
}

Test(helper_hand_over, it_can_be_given_on_once_more)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 0);
	remove_file(12);
	hand_over(12, 13, 1);
	scrub_small();
	cr_expect_eq(expect_granted(13, heir_part, 2), id);
}

Test(helper_hand_over, a_file_that_is_another_users_by_now_gets_it_only_if_it_is_idle)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	scrub_small();
	rig.owner = OTHER;
	expect_refused(12, heir_part, 2, EBUSY, GM_REASON_DEVICE);
	cr_expect_not_null(fake_soft_find(id));
	atomic_store(&device(id)->pinned, 0);
	cr_expect_eq(expect_granted(12, heir_part, 2), fake_soft->last_id);
	cr_expect_null(fake_soft_find(id));
}

Test(helper_hand_over, a_look_that_is_under_way_finds_it_with_its_new_file)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	struct rig_child c = begin_wait();
	send_check(11); /* not answered before it is looked at */
	rig_expect_nothing(&rig, 1500);
	hand_over(11, 12, 1);
	expect_busy(11);
	atomic_store(&device(id)->pinned, 0);
	end_wait(&c);
	scrub_small();
	cr_expect_eq(expect_granted(12, heir_part, 2), fake_soft->last_id);
	cr_expect_null(fake_soft_find(id), "nobody reached it");
}

/* ---- when something dies ---- */

Test(helper_hand_over, the_next_helper_takes_it_over_with_its_new_file)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	fill(id);
	restart(12, heir, 3); /* the worker had handed it over, and nobody was told */
	scrub_small();
	cr_expect_eq(count_filled(id), 0);
	cr_expect_eq(rig_scrub(&rig, 200, 1), 0);
	cr_expect_eq(expect_granted(12, heir, 3), id);
	cr_expect(device(id)->bound && !device(id)->user.spare);
}

/* The file has got free memory besides, which has the bytes of a third one that is gone. */
Test(helper_hand_over, what_is_named_with_it_before_it_is_zeroed_is_taken_over_but_not_granted)
{
	static const struct rig_extent third[] = {{0, 200, 1}};

	learn();
	leave(9, third, 1);
	cr_assert_eq(get_le16(rig_check_flags(&rig, 9, REMOVED).header.opcode), LINK_FREE);
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	meet_next_worker(12, heir, 3);
	for (unsigned helpers = 0; helpers < 3; helpers++) {
		expect_refused(12, heir, 3, EUCLEAN, GM_REASON_RECORD);
		restart(12, heir, 3);
	}
	scrub_small();
	expect_refused(12, heir, 3, EUCLEAN, GM_REASON_RECORD); /* the third one's bytes */
	cr_expect_eq(rig_scrub(&rig, 200, 1), 0);
	(void)expect_granted(12, heir, 3);
	cr_expect(device(id)->bound && !device(id)->user.spare);
}

/* It was shown free while it was handed over: nobody has it, whatever is said to be held. */
Test(helper_hand_over, what_is_free_can_be_zeroed_for_the_next_worker)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	atomic_store(&device(id)->pinned, 0);
	rig_expect_free(&rig, 11, rig.epoch);
	hand_over(11, 12, 1);
	meet_next_worker(12, heir_part, 2);
	expect_refused(12, heir_part, 2, EUCLEAN, GM_REASON_RECORD);
	scrub_small();
	(void)expect_granted(12, heir_part, 2);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN);
}

Test(helper_hand_over, the_next_helper_offers_it_anew)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	restart(11, small, 2);
	remove_file(11);
	hand_over(11, 12, 1);
	scrub_small();
	cr_expect_eq(expect_granted(12, heir_part, 2), id);
}

Test(helper_hand_over, the_next_worker_is_offered_it_anew)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	meet_next_worker(11, small, 2);
	(void)expect_spare(11);
	hand_over(11, 12, 1);
	scrub_small();
	cr_expect_eq(expect_granted(12, heir_part, 2), id);
}

/* What it got besides, from what is free, no device has: that is somebody else's at once. */
Test(helper_hand_over, a_file_that_is_removed_before_its_first_grant_keeps_what_it_was_handed)
{
	static const struct rig_extent all[] = {{0, 200, 1}, {1, 10, 3}, {4, 100, 4}};
	static const struct rig_extent beside[] = {{0, 102, 2}, {2, 200, 1}};

	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	meet_next_worker(12, all, 3);
	for (unsigned helpers = 0; helpers < 2; helpers++) {
		send_check(12);
		cr_expect_eq(get_le64(expect_spare(12).file_block), 1);
		expect_busy(12);
		restart(12, all, 3); /* which has not heard of it */
	}
	send_check(12);
	(void)expect_spare(12);
	expect_busy(12);
	cr_expect_eq(rig_scrub(&rig, 102, 2), 0);
	cr_expect_eq(rig_scrub(&rig, 200, 1), 0);
	cr_expect_neq(expect_granted(13, beside, 2), id);
	hand_over(12, 14, 1);
	scrub_small();
	cr_expect_eq(expect_granted(14, heir_part, 2), id);
}

/* Nobody could say which of them the worker was to keep. */
Test(helper_hand_over, nor_is_one_offered_that_has_others_in_its_midst)
{
	static const struct rig_extent apart[] = {{1, 10, 3}, {4, 200, 1}, {5, 100, 2}};

	learn();
	(void)leave_pinned(11);
	remove_file(11);
	restart(12, apart, 3);
	send_check(12);
	expect_busy(12);
	rig_expect_nothing(&rig, 200);
}

Test(helper_hand_over, the_next_worker_has_handed_it_over)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	meet_next_worker(12, heir, 3);
	expect_refused(12, heir, 3, EUCLEAN, GM_REASON_RECORD); /* it is not zeroed */
	cr_expect(device(id)->bound && device(id)->user.spare);
}

Test(helper_hand_over, what_a_restarted_helper_finds_granted_is_not_zeroed)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	scrub_small();
	cr_expect_eq(expect_granted(12, heir_part, 2), id);
	restart(12, heir_part, 2);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN);
}

/* ---- a worker that lies ---- */

Test(helper_hand_over, what_was_not_offered_is_not_handed_over)
{
	learn();
	(void)leave_pinned(11);
	hand_over(11, 12, 0);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN);
	expect_refused(12, small, 2, EUCLEAN, GM_REASON_RECORD);
}

Test(helper_hand_over, nor_to_a_file_that_has_something)
{
	static const struct rig_extent other[] = {{0, 400, 1}};

	learn();
	(void)leave_pinned(11);
	(void)expect_granted(12, other, 1);
	remove_file(11);
	hand_over(11, 12, 1);
	cr_expect_eq(rig_scrub(&rig, 400, 1), EUCLEAN, "it is its as before");
	cr_expect_eq(rig_count_log(&rig, "can't take over what inode 11 had") > 0, true);
}

Test(helper_hand_over, nor_beyond_every_file)
{
	learn();
	(void)leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, UINT64_MAX - 2);
	cr_expect_eq(rig_scrub(&rig, 300, 1), 0);
	cr_expect_eq(rig_count_log(&rig, "is beyond every file") > 0, true);
}

/* It took over what a helper before had noted, and no worker has told since where that is. */
Test(helper_hand_over, nor_what_was_said_of_after_a_restart_and_was_a_lie)
{
	static const struct rig_extent lie[] = {{0, 1U << 30, 1}, {1, 10, 3}, {4, 100, 2}};
	const struct link_export node = {.ino = put_le64(12), .mode = put_le32(0666)};

	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	rig_restart(&rig);
	rig_connect(&rig);
	rig_send_config(&rig);
	rig_expect_ready(&rig);
	rig_send_held(&rig, 12, rig.epoch, lie, ARRAY_SIZE(lie));
	rig_expect_link_closed(&rig);
	rig_bring_up(&rig);
	hand_over(12, 13, 0);
	struct link_export m = node;
	rig_send(&rig, &m, sizeof(m), LINK_NODE, 0);
	expect_refused(13, small, 2, EUCLEAN, GM_REASON_RECORD);
	hear_from_next_worker(14, heir, 3);
	rig_expect_link_closed(&rig);
	cr_expect_eq(rig_count_log(&rig, "inode 12 is not to be given on"), 1);
	cr_expect_eq(rig_count_log(&rig, "it has no node that could be exported"), 1);
	cr_expect(device(id)->bound && device(id)->user.spare);
}

static void expect_export_answer(uint32_t error)
{
	struct link_exported answer;

	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	cr_expect_eq(get_le32(answer.error), error, "%u", get_le32(answer.error));
}

Test(helper_hand_over, nor_while_an_export_of_it_is_made)
{
	learn();
	(void)leave_pinned(11);
	remove_file(11);
	struct rig_child c = begin_wait();
	send_export(11, small, 2);
	hand_over(11, 12, 1);
	end_wait(&c);
	expect_export_answer(EBUSY); /* to another user than who left it and may reach it */
	cr_expect_eq(rig_count_log(&rig, "inode 11 is not to be given on"), 1);
	expect_refused(12, heir_part, 2, EUCLEAN, GM_REASON_RECORD);
}

/* It was looked at before, and the result comes when the export waits. */
Test(helper_hand_over, nor_offered_while_an_export_of_it_is_made)
{
	learn();
	(void)leave_pinned(11);
	struct rig_child c = begin_wait();
	send_check(11);
	send_export(11, small, 2);
	end_wait(&c);
	expect_busy(11);
	expect_export_answer(0);
}

Test(helper_hand_over, a_hand_over_that_makes_no_sense_ends_the_link)
{
	static const uint64_t cases[][2] = {{0, 12}, {11, 0}, {11, 11}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		hand_over(cases[i][0], cases[i][1], 0);
		rig_expect_link_closed(&rig);
		rig_bring_up(&rig);
	}
}
