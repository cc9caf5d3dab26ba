// SPDX-License-Identifier: MIT
/* When memory of a soft region comes back: a real helper, devices that are files, and counts that
 * are the test's. */
#include <criterion/criterion.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "soft_helper.h"
#include "util/cleanup.h"
#include "util/le.h"

TestSuite(helper_reuse, .init = soft_helper_set_up, .fini = soft_helper_tear_down);

static const struct rig_extent both[] = {{0, 1024, 512}, {512, 20, 4}};

/* ---- shown ---- */

Test(helper_reuse, an_idle_file_that_is_removed_is_free_and_its_blocks_anothers)
{
	unsigned id, before = fake_soft_count();

	learn();
	grant_and_end(11, small, 2, &id, 1);
	expect_answer(11, REMOVED, LINK_FREE);
	cr_expect_null(fake_soft_find(id));
	cr_expect_eq(fake_soft_count(), before);
	cr_expect_eq(rig_scrub(&rig, 10, 3), 0);
	cr_expect_eq(rig_scrub(&rig, 100, 2), 0);
	expect_answer(11, REMOVED, LINK_FREE); /* said again: the first one may have been lost */
	grant_and_end(12, small, 2, &id, 1);
	cr_expect_not_null(fake_soft_find(id));
}

static void wait_for_removal(unsigned id)
{
	const struct timespec step = {.tv_nsec = 2000000};

	for (int i = 0; i < 10000 && atomic_load(&fake_soft->leaving) != id; i++)
		(void)nanosleep(&step, NULL);
	cr_assert_eq(atomic_load(&fake_soft->leaving), id);
}

/* The kernel takes its time over a large device, and keeps waiting whoever asks what it is. */
Test(helper_reuse, nobody_waits_for_a_device_that_is_being_removed)
{
	struct link_check check = {.ino = put_le64(11), .flags = put_le32(REMOVED)};
	struct link_holder h;
	struct link_holders_end end;
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	struct rig_child c = rig_child_start(&rig, false);
	(void)rig_grant(&rig, 12, RW, &(struct rig_extent){0, 200, 2}, 1);
	rig_child_wait(&c);
	atomic_store(&fake_soft->hold_removal, true);
	check.epoch = put_le64(rig.epoch);
	rig_send(&rig, &check, sizeof(check), LINK_CHECK, 55);
	wait_for_removal(id);
	rig_send_plain(&rig, LINK_HOLDERS, 42);
	rig_expect(&rig, &h, sizeof(h), LINK_HOLDER);
	cr_expect_eq((pid_t)get_le32(h.pid), c.pid);
	rig_expect(&rig, &h, sizeof(h), LINK_HOLDER); /* who has ended, until it is free */
	cr_expect_eq(get_le64(h.ino), 11);
	rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
	atomic_store(&fake_soft->hold_removal, false);
	rig_expect(&rig, &check, sizeof(check), LINK_FREE);
	cr_expect_eq(get_le64(check.ino), 11);
	rig_child_end(&c);
}

Test(helper_reuse, nothing_is_taken_unasked)
{
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	expect_answer(11, 0, LINK_BUSY);
	rig_expect_nothing(&rig, 200);
	cr_expect_not_null(fake_soft_find(id), "who starts it again gets the same device");
}

Test(helper_reuse, all_devices_of_a_file_are_idle_before_the_first_is_removed)
{
	unsigned ids[2];

	learn();
	grant_and_end(11, both, 2, ids, 2);
	struct fake_device *d = (struct fake_device *)fake_soft_find(ids[1]);
	atomic_store(&d->pinned, 21);
	expect_answer(11, REMOVED, LINK_BUSY);
	wait_for_readings(4);
	cr_expect(fake_soft_find(ids[0]) && fake_soft_find(ids[1]));
	cr_expect_eq(fake_soft_find(ids[0])->mode, 0, "but nobody opens it any more");
	cr_expect_eq(rig_scrub(&rig, 20, 1), EUCLEAN);
	atomic_store(&d->pinned, 0);
	rig_expect_free(&rig, 11, rig.epoch);
	cr_expect_null(fake_soft_find(ids[0]));
	cr_expect_null(fake_soft_find(ids[1]));
}

Test(helper_reuse, a_descriptor_that_nobody_is_seen_to_have_keeps_it)
{
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	struct fake_device *d = (struct fake_device *)fake_soft_find(id);
	atomic_store(&d->open_elsewhere, 1);
	expect_answer(11, REMOVED, LINK_BUSY);
	wait_for_readings(3);
	rig_expect_nothing(&rig, 100);
	cr_expect_not_null(fake_soft_find(id));
	atomic_store(&d->open_elsewhere, 0);
	rig_expect_free(&rig, 11, rig.epoch);
}

Test(helper_reuse, whoever_wants_it_for_a_moment_is_answered_and_no_more)
{
	unsigned id, readings;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	struct fake_device *d = (struct fake_device *)fake_soft_find(id);
	atomic_store(&d->pinned, 11);
	expect_answer(11, LINK_CHECK_TAKE, LINK_BUSY);
	atomic_store(&d->pinned, 0);
	readings = fake_soft->readings;
	rig_expect_nothing(&rig, 300);
	cr_expect_eq(fake_soft->readings, readings);
	expect_answer(11, LINK_CHECK_TAKE, LINK_FREE);
}

Test(helper_reuse, a_holder_that_lives_is_waited_for)
{
	unsigned readings;

	learn();
	struct rig_child c = rig_child_start(&rig, false);
	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	readings = fake_soft->readings;
	const struct link_check m = rig_check_flags(&rig, 11, REMOVED);
	cr_expect_eq(get_le16(m.header.opcode), LINK_BUSY);
	cr_expect_eq((pid_t)get_le32(m.pid), c.pid);
	rig_expect_nothing(&rig, 200);
	cr_expect_eq(fake_soft->readings, readings, "not even looked at");
	rig_child_end(&c);
	rig_expect_free(&rig, 11, rig.epoch);
}

static void tell(const struct rig_child *c, enum rig_command command)
{
	char word = (char)command, answer = 0;

	cr_assert_eq(write(c->sock, &word, 1), 1);
	cr_assert_eq(read(c->sock, &answer, 1), 1);
}

Test(helper_reuse, who_has_let_it_go_is_waited_for_no_more)
{
	learn();
	struct rig_child c = rig_child_start(&rig, true);
	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	unsigned id = fake_soft->last_id;
	tell(&c, RIG_UNMAP);
	expect_answer(11, REMOVED, LINK_BUSY);
	rig_expect_nothing(&rig, 1500); /* it has its descriptor */
	tell(&c, RIG_CLOSE);
	rig_expect_free(&rig, 11, rig.epoch);
	cr_expect_null(fake_soft_find(id));
	rig_child_end(&c);
}

Test(helper_reuse, a_grant_of_meanwhile_gets_new_devices)
{
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	struct fake_device *d = (struct fake_device *)fake_soft_find(id);
	atomic_store(&d->pinned, 11);
	expect_answer(11, REMOVED, LINK_BUSY);
	struct rig_child c = rig_child_start(&rig, false);
	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	atomic_store(&d->pinned, 0);
	rig_expect_nothing(&rig, 200);
	rig_child_end(&c);
	rig_expect_free(&rig, 11, rig.epoch);
}

Test(helper_reuse, several_in_quarantine_come_back_each_by_itself)
{
	static const struct rig_extent extents[][1] = {
		{{0, 30, 1}}, {{0, 31, 1}}, {{0, 32, 1}}, {{0, 33, 1}}};
	uint64_t epochs[4];
	unsigned ids[4];

	learn();
	for (unsigned i = 0; i < 4; i++) {
		grant_and_end(20 + i, extents[i], 1, &ids[i], 1);
		epochs[i] = rig.epoch;
		struct fake_device *d = (struct fake_device *)fake_soft_find(ids[i]);
		atomic_store(&d->pinned, 30 + i);
		expect_answer(20 + i, REMOVED, LINK_BUSY);
	}
	for (unsigned i = 4; i-- > 0;) {
		struct fake_device *d = (struct fake_device *)fake_soft_find(ids[i]);
		atomic_store(&d->pinned, 0);
		rig_expect_free(&rig, 20 + i, epochs[i]);
	}
}

/* ---- learning ---- */

Test(helper_reuse, one_new_device_is_enough_to_learn_from)
{
	unsigned id;

	grant_and_end(11, small, 2, &id, 1);
	cr_expect_eq(fake_soft->readings, 2, "one reading is not");
	expect_answer(11, REMOVED, LINK_FREE);
	cr_expect_null(fake_soft_find(id));
}

Test(helper_reuse, without_a_new_device_nothing_is_known)
{
	unsigned id = fake_soft_add(true, true, 10, 3);
	static const struct rig_extent extents[] = {{0, 10, 3}};

	restart(11, extents, 1);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_not_null(fake_soft_find(id));
	cr_expect_eq(rig_scrub(&rig, 300, 1), 0);
	rig_expect_free(&rig, 11, rig.epoch);
}

Test(helper_reuse, who_only_looks_at_a_new_device_does_no_harm)
{
	unsigned id;

	for (unsigned readings = 1; readings <= 3; readings++) { /* first ones, then later ones */
		atomic_store(&fake_soft->passing, readings == 2 ? 3 : 1);
		cr_assert_eq(rig_scrub(&rig, 300, 1), 0);
		cr_expect_eq(atomic_load(&fake_soft->passing), 0);
	}
	cr_expect_eq(fake_soft->idle.cdev, 2);
	cr_expect_eq(fake_soft->idle.cdev_readings, 4);
	cr_expect_eq(fake_soft->idle.differed, 0);
	grant_and_end(11, small, 2, &id, 1);
	expect_answer(11, REMOVED, LINK_FREE);
}

Test(helper_reuse, what_idle_devices_are_like_is_kept_for_the_next_helper)
{
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	unsigned readings = fake_soft->readings;
	restart(11, small, 2);
	expect_answer(11, REMOVED, LINK_FREE);
	cr_expect_eq(fake_soft->readings, readings + 1);
}

Test(helper_reuse, enough_is_enough)
{
	for (unsigned i = 0; i < 10; i++)
		cr_assert_eq(rig_scrub(&rig, 300, 1), 0);
	cr_expect_eq(fake_soft->readings, 4);
}

Test(helper_reuse, new_devices_that_differ_end_it_for_this_boot)
{
	unsigned id;

	learn();
	atomic_store(&fake_soft->idle_cdev, 3);
	grant_and_end(11, small, 2, &id, 1);
	atomic_store(&fake_soft->idle_cdev, 2);
	expect_answer(11, REMOVED, LINK_BUSY);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_not_null(fake_soft_find(id));
	restart(11, small, 2);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_not_null(fake_soft_find(id), "also for the next helper");
}

Test(helper_reuse, pages_of_another_size_may_have_other_counts)
{
	unsigned id;
	static const struct rig_extent large[] = {{0, 1024, 512}};

	learn();
	atomic_store(&fake_soft->idle_page, 7);
	grant_and_end(11, large, 1, &id, 1);
	expect_answer(11, REMOVED, LINK_FREE);
}

Test(helper_reuse, fewer_references_than_an_idle_one_show_nothing)
{
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	atomic_store(&fake_soft->idle_page, 0);
	expect_answer(11, REMOVED, LINK_BUSY);
	atomic_store(&fake_soft->idle_page, 1);
	atomic_store(&fake_soft->idle_cdev, 1);
	wait_for_readings(2);
	cr_expect_not_null(fake_soft_find(id));
	atomic_store(&fake_soft->idle_cdev, 2);
	rig_expect_free(&rig, 11, rig.epoch);
}

/* ---- where it is not possible ---- */

static void expect_quarantine(void)
{
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	expect_answer(11, REMOVED, LINK_BUSY);
	rig_expect_nothing(&rig, 200);
	cr_expect_not_null(fake_soft_find(id));
	cr_expect_eq(fake_soft->readings, 0);
	cr_expect_eq(rig_scrub(&rig, 10, 1), EUCLEAN);
}

Test(helper_reuse, without_counts_it_stays_until_the_next_boot, .init = soft_helper_set_up_without)
{
	expect_quarantine();
}

Test(helper_reuse, by_never_it_stays_until_the_next_boot, .init = soft_helper_set_up_never)
{
	expect_quarantine();
}

Test(helper_reuse, counts_that_say_nothing_end_it)
{
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	atomic_store(&fake_soft->counts_fail, -EOPNOTSUPP);
	expect_answer(11, REMOVED, LINK_BUSY);
	unsigned readings = fake_soft->readings;
	expect_answer(11, REMOVED, LINK_BUSY);
	rig_expect_nothing(&rig, 200);
	cr_expect_eq(fake_soft->readings, readings);
}

Test(helper_reuse, the_helper_ends_with_what_reads_the_counts)
{
	const struct link_check m = {.ino = put_le64(11), .flags = put_le32(REMOVED)};
	struct link_check copy = m;
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	atomic_store(&fake_soft->counts_fail, -EPIPE);
	rig_send(&rig, &copy, sizeof(copy), LINK_CHECK, 5);
	rig_expect_link_closed(&rig);
	cr_expect_eq(rig_stop(&rig), 1);
	cr_expect_not_null(fake_soft_find(id));
}

/* ---- what a helper that is started anew finds ---- */

Test(helper_reuse, a_held_inode_without_devices_is_free)
{
	/* Its devices were gone when the helper before this one ended, and nobody had been told. */
	restart(11, small, 2);
	expect_answer(11, 0, LINK_FREE);
	cr_expect_eq(rig_scrub(&rig, 10, 3), 0);
}

Test(helper_reuse, by_never_too, .init = soft_helper_set_up_never)
{
	restart(11, small, 2);
	expect_answer(11, REMOVED, LINK_FREE);
}

Test(helper_reuse, one_with_a_foreign_device_over_it_is_not)
{
	(void)fake_soft_add(false, true, 101, 1);
	restart(11, small, 2);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_eq(rig_scrub(&rig, 10, 1), EUCLEAN);
}

Test(helper_reuse, what_can_not_be_removed_is_tried_again)
{
	unsigned ids[2];

	learn();
	grant_and_end(11, both, 2, ids, 2);
	atomic_store(&fake_soft->keep, 1);
	expect_answer(11, REMOVED, LINK_BUSY);
	rig_expect_free(&rig, 11, rig.epoch);
	cr_expect_null(fake_soft_find(ids[0]));
	cr_expect_null(fake_soft_find(ids[1]));
}

/* ---- devices of files that nobody knows ---- */

static struct fake_device *leave_behind(uint64_t block, uint32_t count)
{
	return (struct fake_device *)fake_soft_find(fake_soft_add(true, true, block, count));
}

Test(helper_reuse, what_a_former_pool_has_left_is_taken_back_if_it_is_idle)
{
	learn();
	const struct fake_device *idle = leave_behind(10, 3);
	struct fake_device *pinned = leave_behind(20, 1), *exported = leave_behind(30, 1);
	unsigned idle_id = idle->id, pinned_id = pinned->id;
	atomic_store(&pinned->pinned, 20);
	exported->exported = true;
	restart(11, NULL, 0);
	cr_expect_eq(rig_scrub(&rig, 10, 3), 0);
	cr_expect_null(fake_soft_find(idle_id));
	cr_expect_eq(rig_scrub(&rig, 20, 1), EBUSY);
	cr_expect_eq(fake_soft_find(pinned_id), pinned, "somebody has its page in a pipe");
	cr_expect_eq(rig_scrub(&rig, 30, 1), 0);
	cr_expect(exported->used && exported->retired, "this one stays, without its memory");
	atomic_store(&pinned->pinned, 0);
	restart(11, NULL, 0);
	cr_expect_eq(rig_scrub(&rig, 20, 1), 0, "the next start looks again");
	cr_expect_null(fake_soft_find(pinned_id));
}

Test(helper_reuse, what_a_former_pool_has_left_stays_without_counts,
	.init = soft_helper_set_up_without)
{
	unsigned idle = leave_behind(10, 3)->id, window = fake_soft_add_window(20, 1);

	restart(11, NULL, 0);
	cr_expect_eq(rig_scrub(&rig, 10, 1), EBUSY);
	cr_expect_not_null(fake_soft_find(idle));
	cr_expect_eq(rig_scrub(&rig, 20, 1), 0);
	cr_expect_null(fake_soft_find(window));
}

/* ---- orders ---- */

Test(helper_reuse, flags_that_make_no_sense_end_the_link)
{
	static const unsigned cases[] = {LINK_CHECK_KEEP, 4, 0x80000000U};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct link_check m = {.ino = put_le64(11), .flags = put_le32(cases[i])};
		rig_send(&rig, &m, sizeof(m), LINK_CHECK, 5);
		rig_expect_link_closed(&rig);
		rig_bring_up(&rig);
	}
}
