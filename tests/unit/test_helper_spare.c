// SPDX-License-Identifier: MIT
/* Devices of removed files that are given on as they are: a real helper, devices that are files,
 * and counts that are the test's. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake_soft.h"
#include "util/cleanup.h"
#include "util/le.h"

#define RW      (GM_ACCESS_READ | GM_ACCESS_WRITE)
#define REMOVED (LINK_CHECK_TAKE | LINK_CHECK_KEEP)
#define OTHER   4711U /* a user who is nobody here */

static struct rig rig;

static void set_up_by(enum reuse_policy policy, bool counts)
{
	rig_init(&rig);
	fake_soft_init(&rig);
	fake_soft->no_counts = !counts;
	rig.reuse = policy;
	rig.owner = getuid();
	rig_start(&rig);
	rig_bring_up(&rig);
}

static void set_up(void)
{
	set_up_by(REUSE_SAME_OWNER, true);
}

static void set_up_shown(void)
{
	set_up_by(REUSE_SHOWN, true);
}

static void set_up_trusting(void)
{
	set_up_by(REUSE_TRUSTING, true);
}

static void set_up_without(void)
{
	set_up_by(REUSE_SAME_OWNER, false);
}

static void tear_down(void)
{
	cr_expect_eq(rig_stop(&rig), 0, "the helper ends in good order");
	fake_soft_deinit();
	rig_deinit(&rig);
}

TestSuite(helper_spare, .init = set_up, .fini = tear_down);

/* As the first file has them, and as the next one does, from its second block on. */
static const struct rig_extent small[] = {{0, 10, 3}, {3, 100, 2}};
static const struct rig_extent next[] = {{0, 200, 1}, {1, 10, 3}, {4, 100, 2}};
static const struct rig_extent moved[] = {{1, 10, 3}, {4, 100, 2}};

static void learn(void)
{
	cr_assert_eq(rig_scrub(&rig, 300, 1), 0);
	cr_assert_eq(rig_scrub(&rig, 300, 1), 0);
}

static struct fake_device *device(unsigned id)
{
	return (struct fake_device *)fake_soft_find(id);
}

/* Granted to a process that has ended. */
static void leave(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	struct rig_child c = rig_child_start(&rig, false);

	(void)rig_grant(&rig, ino, RW, extents, count);
	rig_child_wait(&c);
	rig_child_end(&c);
}

/* The same, and its pages are in some pipe. Returns the device's id. */
static unsigned leave_pinned(uint64_t ino)
{
	leave(ino, small, 2);
	unsigned id = fake_soft->last_id;
	atomic_store(&device(id)->pinned, 11);
	return id;
}

static void send_check(uint64_t ino)
{
	struct link_check m = {.ino = put_le64(ino), .flags = put_le32(REMOVED)};

	rig_send(&rig, &m, sizeof(m), LINK_CHECK, 5);
}

static void expect_busy(uint64_t ino)
{
	struct link_check m;

	rig_expect(&rig, &m, sizeof(m), LINK_BUSY);
	cr_expect_eq(get_le64(m.ino), ino);
}

static struct link_spare expect_spare(uint64_t ino)
{
	struct link_spare m;

	rig_expect(&rig, &m, sizeof(m), LINK_SPARE);
	cr_expect_eq(get_le64(m.header.id), 0);
	cr_expect_eq(get_le64(m.ino), ino);
	cr_expect_eq(get_le64(m.blocks), 5);
	return m;
}

static void remove_file(uint64_t ino)
{
	send_check(ino);
	(void)expect_spare(ino);
	expect_busy(ino);
}

static void hand_over(uint64_t from, uint64_t ino, uint64_t file_block)
{
	struct link_hand_over m = {.from = put_le64(from),
		.ino = put_le64(ino),
		.epoch = put_le64(++rig.epoch),
		.file_block = put_le64(file_block)};

	rig_send(&rig, &m, sizeof(m), LINK_HAND_OVER, 0);
}

static void meet_next_worker(uint64_t ino, const struct rig_extent *held, size_t count)
{
	rig_connect(&rig);
	rig_send_config(&rig);
	rig_expect_ready(&rig);
	rig_send_held(&rig, ino, rig.epoch, held, count);
	rig_send_plain(&rig, LINK_RESUMED, 0);
}

static void restart(uint64_t ino, const struct rig_extent *held, size_t count)
{
	cr_assert_eq(rig_stop(&rig), 0);
	rig_start(&rig);
	meet_next_worker(ino, held, count);
}

static int open_file(unsigned id)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/dax.%u", fake_soft->directory, id);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	return fd;
}

static void fill(unsigned id)
{
	_cleanup_fd_ int fd = open_file(id);

	for (off_t block = 0; block < 5; block++)
		cr_assert_eq(pwrite(fd, "theirs", 6, block << GM_BLOCK_SHIFT), 6);
}

static unsigned count_filled(unsigned id)
{
	_cleanup_fd_ int fd = open_file(id);
	unsigned filled = 0;

	for (off_t block = 0; block < 5; block++) {
		char text[6];
		cr_assert_eq(pread(fd, text, 6, block << GM_BLOCK_SHIFT), 6);
		filled += memcmp(text, "theirs", 6) == 0;
	}
	return filled;
}

/* Grants the next file; returns the id of its last device. */
static unsigned expect_granted(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	int fds[4], sock = rig_client(&rig);
	struct gm_grant g;

	rig_send_attach(sock, 1);
	(void)rig_grant(&rig, ino, RW, extents, count);
	size_t n = rig_expect_grant(sock, 1, &g, fds, ARRAY_SIZE(fds));
	cr_assert_gt(n, 0);
	unsigned id = fake_soft_id(fds[n - 1]);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	close(sock);
	return id;
}

static void expect_refused(uint64_t ino, const struct rig_extent *extents, size_t count, int error,
	enum gm_reason reason)
{
	int sock = rig_client(&rig);

	rig_send_attach(sock, 1);
	(void)rig_grant(&rig, ino, RW, extents, count);
	rig_expect_refused(sock, 1, error, reason);
	close(sock);
}

static void scrub_small(void)
{
	cr_assert_eq(rig_scrub(&rig, 10, 3), 0);
	cr_assert_eq(rig_scrub(&rig, 100, 2), 0);
}

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

Test(helper_spare, by_shown_nothing_is, .init = set_up_shown)
{
	learn();
	(void)leave_pinned(11);
	send_check(11);
	expect_busy(11);
	rig_expect_nothing(&rig, 200);
}

Test(helper_spare, without_counts_it_is_all_that_can_be_done, .init = set_up_without)
{
	unsigned id = leave_pinned(11);

	remove_file(11);
	hand_over(11, 12, 1);
	scrub_small();
	cr_expect_eq(expect_granted(12, moved, 2), id);
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

Test(helper_spare, by_trusting_everything_is, .init = set_up_trusting)
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
	cr_expect_eq(expect_granted(12, moved, 2), id);
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

/* ---- handed over ---- */

Test(helper_spare, the_next_file_has_the_same_device_zeroed)
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
	cr_expect_eq(expect_granted(12, next, 3), id);
	cr_expect(device(id)->bound && !device(id)->user.spare);
	cr_expect_eq(device(id)->pinned, 11);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN, "it is granted");
}

Test(helper_spare, nothing_is_granted_that_is_not_zeroed)
{
	learn();
	(void)leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	cr_expect_eq(rig_scrub(&rig, 10, 3), 0);
	expect_refused(12, moved, 2, EUCLEAN, GM_REASON_RECORD);
}

Test(helper_spare, it_can_be_given_on_once_more)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 0);
	remove_file(12);
	hand_over(12, 13, 1);
	scrub_small();
	cr_expect_eq(expect_granted(13, moved, 2), id);
}

Test(helper_spare, a_file_that_is_another_users_by_now_gets_it_only_if_it_is_idle)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	scrub_small();
	rig.owner = OTHER;
	expect_refused(12, moved, 2, EBUSY, GM_REASON_DEVICE);
	cr_expect_not_null(fake_soft_find(id));
	atomic_store(&device(id)->pinned, 0);
	cr_expect_eq(expect_granted(12, moved, 2), fake_soft->last_id);
	cr_expect_null(fake_soft_find(id));
}

Test(helper_spare, a_look_that_is_under_way_finds_it_with_its_new_file)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	atomic_store(&fake_soft->hold, true);
	struct rig_child c = rig_child_start(&rig, false); /* what is looked at waits behind it */
	static const struct rig_extent other[] = {{0, 400, 1}};
	(void)rig_grant(&rig, 20, RW, other, 1);
	while (!atomic_load(&fake_soft->waits))
		(void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	send_check(11); /* not answered before it is looked at */
	rig_expect_nothing(&rig, 1500);
	hand_over(11, 12, 1);
	expect_busy(11);
	atomic_store(&device(id)->pinned, 0);
	atomic_store(&fake_soft->hold, false);
	rig_child_wait(&c);
	scrub_small();
	cr_expect_eq(expect_granted(12, moved, 2), fake_soft->last_id);
	cr_expect_null(fake_soft_find(id), "nobody reached it");
	rig_child_end(&c);
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
	expect_refused(12, moved, 2, EIO, GM_REASON_DEVICE);
}

/* ---- when something dies ---- */

Test(helper_spare, the_next_helper_takes_it_over_with_its_new_file)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	fill(id);
	restart(12, next, 3); /* the worker had handed it over, and nobody was told */
	scrub_small();
	cr_expect_eq(count_filled(id), 0);
	cr_expect_eq(rig_scrub(&rig, 200, 1), 0);
	cr_expect_eq(expect_granted(12, next, 3), id);
	cr_expect(device(id)->bound && !device(id)->user.spare);
}

/* The file has got free memory besides, which has the bytes of a third one that is gone. */
Test(helper_spare, what_is_named_with_it_before_it_is_zeroed_is_taken_over_but_not_granted)
{
	static const struct rig_extent third[] = {{0, 200, 1}};

	learn();
	leave(9, third, 1);
	cr_assert_eq(get_le16(rig_check_flags(&rig, 9, REMOVED).header.opcode), LINK_FREE);
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	meet_next_worker(12, next, 3);
	for (unsigned helpers = 0; helpers < 3; helpers++) {
		expect_refused(12, next, 3, EUCLEAN, GM_REASON_RECORD);
		restart(12, next, 3);
	}
	scrub_small();
	expect_refused(12, next, 3, EUCLEAN, GM_REASON_RECORD); /* the third one's bytes */
	cr_expect_eq(rig_scrub(&rig, 200, 1), 0);
	(void)expect_granted(12, next, 3);
	cr_expect(device(id)->bound && !device(id)->user.spare);
}

/* It was shown free while it was handed over: nobody has it, whatever is said to be held. */
Test(helper_spare, what_is_free_can_be_zeroed_for_the_next_worker)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	atomic_store(&device(id)->pinned, 0);
	rig_expect_free(&rig, 11, rig.epoch);
	hand_over(11, 12, 1);
	meet_next_worker(12, moved, 2);
	expect_refused(12, moved, 2, EUCLEAN, GM_REASON_RECORD);
	scrub_small();
	(void)expect_granted(12, moved, 2);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN);
}

Test(helper_spare, the_next_helper_offers_it_anew)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	restart(11, small, 2);
	remove_file(11);
	hand_over(11, 12, 1);
	scrub_small();
	cr_expect_eq(expect_granted(12, moved, 2), id);
}

Test(helper_spare, the_next_worker_is_offered_it_anew)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	meet_next_worker(11, small, 2);
	(void)expect_spare(11);
	hand_over(11, 12, 1);
	scrub_small();
	cr_expect_eq(expect_granted(12, moved, 2), id);
}

/* What it got besides, from what is free, no device has: that is somebody else's at once. */
Test(helper_spare, a_file_that_is_removed_before_its_first_grant_keeps_what_it_was_handed)
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
	cr_expect_eq(expect_granted(14, moved, 2), id);
}

/* Nobody could say which of them the worker was to keep. */
Test(helper_spare, nor_is_one_offered_that_has_others_in_its_midst)
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

Test(helper_spare, the_next_worker_has_handed_it_over)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	meet_next_worker(12, next, 3);
	expect_refused(12, next, 3, EUCLEAN, GM_REASON_RECORD); /* it is not zeroed */
	cr_expect(device(id)->bound && device(id)->user.spare);
}

Test(helper_spare, what_a_restarted_helper_finds_granted_is_not_zeroed)
{
	learn();
	unsigned id = leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, 1);
	scrub_small();
	cr_expect_eq(expect_granted(12, moved, 2), id);
	restart(12, moved, 2);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN);
}

/* ---- a worker that lies ---- */

Test(helper_spare, what_was_not_offered_is_not_handed_over)
{
	learn();
	(void)leave_pinned(11);
	hand_over(11, 12, 0);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN);
	expect_refused(12, small, 2, EUCLEAN, GM_REASON_RECORD);
}

Test(helper_spare, nor_to_a_file_that_has_something)
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

Test(helper_spare, nor_beyond_every_file)
{
	learn();
	(void)leave_pinned(11);
	remove_file(11);
	hand_over(11, 12, UINT64_MAX - 2);
	cr_expect_eq(rig_scrub(&rig, 300, 1), 0);
	cr_expect_eq(rig_count_log(&rig, "is beyond every file") > 0, true);
}

Test(helper_spare, a_hand_over_that_makes_no_sense_ends_the_link)
{
	static const uint64_t cases[][2] = {{0, 12}, {11, 0}, {11, 11}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		hand_over(cases[i][0], cases[i][1], 0);
		rig_expect_link_closed(&rig);
		rig_bring_up(&rig);
	}
}
