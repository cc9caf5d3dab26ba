// SPDX-License-Identifier: MIT
/* What removed files leave is offered to the worker: a real helper, devices that are files, and
 * counts that are the test's. */
#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

#include "spare_helper.h"
#include "util/cleanup.h"
#include "util/le.h"

TestSuite(helper_spare, .init = spare_helper_set_up, .fini = soft_helper_tear_down);

/* ---- what is offered ---- */

Test(helper_spare, what_somebody_may_reach_is_offered_to_its_own_user)
{
	learn();
	unsigned id = leave_pinned(11);
	send_check(11);
	const struct link_spare m = expect_spare(11);
	expect_busy(11);
	cr_expect_eq(get_le32(m.uid), getuid());
	cr_expect_eq(get_le32(m.flags), 0);
	cr_expect_eq(get_le64(m.epoch), rig.epoch);
	cr_expect(device(id)->bound && device(id)->user.spare);
	cr_expect_eq(device(id)->mode, 0);
	send_check(11);
	expect_busy(11); /* once is enough */
	atomic_store(&device(id)->pinned, 0);
	rig_expect_free(&rig, 11, rig.epoch); /* looked at all the time */
	cr_expect_null(fake_soft_find(id));
}

Test(helper_spare, what_nobody_reaches_is_not)
{
	learn();
	atomic_store(&device(leave_pinned(11))->pinned, 0);
	const struct link_check m = rig_check_flags(&rig, 11, REMOVED);
	cr_expect_eq(get_le16(m.header.opcode), LINK_FREE);
}

Test(helper_spare, by_shown_nothing_is, .init = spare_helper_set_up_shown)
{
	learn();
	(void)leave_pinned(11);
	send_check(11);
	expect_busy(11);
	rig_expect_nothing(&rig, 200);
}

Test(helper_spare, without_counts_it_is_all_that_can_be_done, .init = spare_helper_set_up_without)
{
	unsigned id = leave_pinned(11);

	remove_file(11);
	hand_over(11, 12, 1);
	scrub_small();
	cr_expect_eq(expect_granted(12, heir_part, 2), id);
}

Test(helper_spare, what_is_not_removed_is_not)
{
	learn();
	(void)leave_pinned(11);
	const struct link_check m = rig_check_flags(&rig, 11, LINK_CHECK_TAKE);
	cr_expect_eq(get_le16(m.header.opcode), LINK_BUSY);
	rig_expect_nothing(&rig, 200);
}

/* Its devices are as somebody before has left them. */
static void expect_no_offer(struct soft_user user, bool exported)
{
	unsigned id = leave_pinned(11);

	device(id)->user = user;
	device(id)->exported = exported;
	restart(11, small, 2);
	send_check(11);
	expect_busy(11);
	rig_expect_nothing(&rig, 200);
	cr_expect_not(device(id)->user.spare);
}

Test(helper_spare, what_two_users_had_is_not)
{
	learn();
	unsigned id = leave_pinned(11);
	device(id)->user.uid = OTHER;
	restart(11, small, 2);
	cr_expect_eq(expect_granted(11, small, 2), id);
	cr_expect_eq(device(id)->user.users, SOFT_USERS_SEVERAL);
	send_check(11);
	expect_busy(11);
	rig_expect_nothing(&rig, 200);
}

/* As helpers leave it that die after they have noted the one and before the other. */
Test(helper_spare, nor_what_each_had_a_device_of)
{
	static const struct rig_extent grown[] = {{0, 10, 3}, {3, 100, 2}, {5, 200, 1}};

	learn();
	leave(11, small, 2);
	unsigned first = fake_soft->last_id;
	leave(11, grown, ARRAY_SIZE(grown));
	unsigned second = fake_soft->last_id;
	cr_assert_neq(first, second);
	device(second)->user.uid = OTHER;
	restart(11, grown, ARRAY_SIZE(grown));
	cr_expect_eq(device(first)->user.users, SOFT_USERS_ONE);
	cr_expect_eq(device(second)->user.users, SOFT_USERS_ONE);
	atomic_store(&device(first)->pinned, 11);
	send_check(11);
	expect_busy(11);
	rig_expect_nothing(&rig, 200);
}

Test(helper_spare, what_nobody_knows_the_users_of_is_not)
{
	learn();
	expect_no_offer(SOFT_USER_NULL, false);
}

Test(helper_spare, what_was_exported_is_not)
{
	learn();
	expect_no_offer((struct soft_user){.users = SOFT_USERS_ONE, .uid = getuid()}, true);
}

Test(helper_spare, by_trusting_everything_is, .init = spare_helper_set_up_trusting)
{
	learn();
	unsigned id = leave_pinned(11);
	device(id)->user = (struct soft_user){.users = SOFT_USERS_SEVERAL};
	device(id)->exported = true;
	restart(11, small, 2);
	send_check(11);
	const struct link_spare m = expect_spare(11);
	cr_expect_eq(get_le32(m.flags), LINK_SPARE_ANY);
	expect_busy(11);
	hand_over(11, 12, 1);
	scrub_small();
	rig.owner = OTHER;
	cr_expect_eq(expect_granted(12, heir_part, 2), id);
}

Test(helper_spare, what_can_not_be_noted_is_not)
{
	learn();
	unsigned id = leave_pinned(11);
	atomic_store(&fake_soft->no_room, -ENOSPC);
	send_check(11);
	expect_busy(11);
	rig_expect_nothing(&rig, 200);
	cr_expect_not(device(id)->user.spare);
	atomic_store(&fake_soft->no_room, 0);
	/* No descriptor leaves before it is noted whose it is. */
	device(id)->user.uid = OTHER;
	restart(11, small, 2);
	atomic_store(&fake_soft->no_room, -ENOSPC);
	expect_refused(11, small, 2, ENOSPC, GM_REASON_DEVICE);
}

Test(helper_spare, a_grant_of_meanwhile_ends_the_offer)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	cr_expect_eq(expect_granted(11, small, 2), id);
	cr_expect_not(device(id)->user.spare);
	hand_over(11, 12, 0);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN);
	cr_expect_eq(rig_count_log(&rig, "is not to be given on") > 0, true);
}

/* ---- when root takes it away ---- */

Test(helper_spare, what_root_has_taken_away_is_not_offered)
{
	learn();
	unsigned id = leave_pinned(11);
	device(id)->used = false;
	send_check(11);
	expect_busy(11);
	rig_expect_nothing(&rig, 200);
}

Test(helper_spare, nor_zeroed_nor_granted_once_it_was)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	scrub_small();
	device(id)->used = false;
	cr_expect_neq(rig_scrub(&rig, 10, 3), 0);
	rig.owner = OTHER;
	expect_refused(12, heir_part, 2, EIO, GM_REASON_DEVICE);
}
