// SPDX-License-Identifier: MIT
/*
 * What a helper has granted, the one after it does not take the worker's word for: a worker that
 * was taken over has the helper killed, and tells the next one another story.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_soft.h"
#include "region/ledger.h"
#include "util/cleanup.h"
#include "util/le.h"

static struct rig rig;
static const struct rig_extent granted[] = {{0, 10, 4}, {4, 40, 2}};

static void set_up(void)
{
	rig_init(&rig);
}

static void tear_down(void)
{
	rig_deinit(&rig);
}

static void set_up_soft(void)
{
	rig_init(&rig);
	fake_soft_init(&rig);
}

static void tear_down_soft(void)
{
	fake_soft_deinit();
	rig_deinit(&rig);
}

TestSuite(helper_notes, .init = set_up, .fini = tear_down);
TestSuite(helper_notes_soft, .init = set_up_soft, .fini = tear_down_soft);

/* The worker has no clean end in mind for it. */
static void kill_helper(void)
{
	cr_assert_eq(kill(rig.helper, SIGKILL), 0);
	cr_assert_eq(rig_stop(&rig), 103, "it was killed");
}

static void meet_again(void)
{
	rig_connect(&rig);
	rig_send_config(&rig);
	rig_expect_ready(&rig);
}

/* A client that has the file's memory, and stays. */
static int attach(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	struct gm_grant grant;
	int fds[GM_GRANT_DEVICES_MAX + 1];
	int sock = rig_client(&rig);

	rig_send_attach(sock, 1);
	rig_grant(&rig, ino, GM_ACCESS_READ | GM_ACCESS_WRITE, extents, count);
	size_t n = rig_expect_grant(sock, 1, &grant, fds, ARRAY_SIZE(fds));
	while (n > 0)
		close(fds[--n]);
	return sock;
}

static void expect_refused(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	_cleanup_fd_ int sock = rig_client(&rig);

	rig_send_attach(sock, 1);
	rig_grant(&rig, ino, GM_ACCESS_READ, extents, count);
	rig_expect_refused(sock, 1, EUCLEAN, GM_REASON_RECORD);
}

/* All that a worker could try to get at the granted blocks, or have them wiped. */
static void lie(void)
{
	static const struct rig_extent one[] = {{0, 13, 1}};
	static const struct rig_extent beside[] = {{0, 14, 1}};
	static const struct rig_extent fewer[] = {{0, 10, 3}, {4, 40, 2}};
	static const struct rig_extent swapped[] = {{0, 40, 2}, {2, 10, 4}};
	static const struct {
		uint64_t ino;
		const struct rig_extent *extents;
		size_t count;
	} held[] = {{500, one, 1}, {500, granted, 2}, {9, fewer, 2}, {9, swapped, 2}, {9, one, 1}};
	unsigned before = rig_count_log(&rig, "refusal of=worker message=");

	for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
		meet_again();
		rig_send_held(&rig, held[i].ino, 99, held[i].extents, held[i].count);
		rig_expect_link_closed(&rig);
	}
	cr_expect(getenv("GM_VERBOSE") ||
		  rig_count_log(&rig, "refusal of=worker message=") == before + ARRAY_SIZE(held));
	meet_again(); /* not a word of it */
	rig_send_plain(&rig, LINK_RESUMED, 0);
	cr_expect_eq(rig_scrub(&rig, 12, 2), EUCLEAN);
	expect_refused(500, one, 1);
	expect_refused(9, fewer, 2);
	close(attach(501, beside, 1));
}

static void be_honest(void)
{
	meet_again();
	rig_send_held(&rig, 9, rig.epoch, granted, 2);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	close(attach(9, granted, 2));
}

Test(helper_notes, the_next_helper_is_told_no_other_story)
{
	rig_start(&rig);
	rig_bring_up(&rig);
	struct rig_child c = rig_child_start(&rig, true);
	rig_grant(&rig, 9, GM_ACCESS_READ | GM_ACCESS_WRITE, granted, 2);
	rig_child_wait(&c);
	rig_fill(&rig, 12, 'x');
	kill_helper();
	rig_start(&rig);
	lie();
	cr_expect(rig_is_filled(&rig, 12, 'x'));
	be_honest();
	rig_child_end(&c);
}

Test(helper_notes_soft, the_next_helper_is_told_no_other_story)
{
	rig_start(&rig);
	rig_bring_up(&rig);
	close(attach(9, granted, 2));
	unsigned id = fake_soft->last_id;
	/* Somebody has it, whom no look at processes finds. */
	atomic_store(&((struct fake_device *)fake_soft_find(id))->open_elsewhere, 1);
	kill_helper();
	rig_start(&rig);
	lie();
	cr_expect_not_null(fake_soft_find(id));
	be_honest();
}

/* Nobody asks for what the worker has forgotten, so it is taken back once nobody has it. */
Test(helper_notes, what_the_worker_has_forgotten_is_free_when_its_holder_has_ended)
{
	rig_start(&rig);
	rig_bring_up(&rig);
	struct rig_child c = rig_child_start(&rig, true);
	rig_grant(&rig, 9, GM_ACCESS_READ | GM_ACCESS_WRITE, granted, 2);
	rig_child_wait(&c);
	kill_helper();
	rig_start(&rig);
	meet_again();
	rig_send_plain(&rig, LINK_RESUMED, 0);
	cr_expect_eq(rig_scrub(&rig, 12, 1), EUCLEAN);
	rig_child_end(&c);
	rig_expect_free(&rig, 9, 0);
	cr_expect_eq(rig_scrub(&rig, 12, 1), 0);
}

Test(helper_notes_soft, what_the_worker_has_forgotten_is_free_once_it_is_shown)
{
	rig_start(&rig);
	rig_bring_up(&rig);
	int sock = attach(9, granted, 2);
	unsigned devices = fake_soft_count();
	kill_helper();
	close(sock);
	rig_start(&rig);
	meet_again();
	rig_send_plain(&rig, LINK_RESUMED, 0);
	rig_expect_free(&rig, 9, 0);
	cr_expect_lt(fake_soft_count(), devices);
	cr_expect_eq(rig_scrub(&rig, 12, 1), 0);
}

/* Its bytes are still there: freed and not zeroed when the helper ends. */
Test(helper_notes, nobody_gets_the_bytes_that_the_helper_before_had_granted)
{
	rig_start(&rig);
	rig_bring_up(&rig);
	struct rig_child c = rig_child_start(&rig, true);
	rig_grant(&rig, 9, GM_ACCESS_READ | GM_ACCESS_WRITE, granted, 2);
	rig_child_wait(&c);
	rig_child_end(&c);
	rig_expect_free(&rig, 9, rig.epoch);
	kill_helper();
	rig_start(&rig);
	meet_again();
	rig_send_plain(&rig, LINK_RESUMED, 0);
	expect_refused(500, granted, 2);
	cr_expect_eq(rig_scrub(&rig, 10, 4), 0);
	cr_expect_eq(rig_scrub(&rig, 40, 2), 0);
	close(attach(501, granted, 2));
}

/* ---- the notes as a file ---- */

static int open_region(struct region *ret)
{
	struct problem why = PROBLEM_INIT;

	return region_adopt(
		ret, GM_REGION_FILE, open(rig.region, O_RDWR | O_CLOEXEC), rig.region, &why);
}

Test(helper_notes, are_the_owners_alone_and_of_this_file)
{
	struct ledger l = LEDGER_NULL;
	struct region region = REGION_NULL;
	struct problem why = PROBLEM_INIT;
	char path[256];
	struct stat st;

	cr_assert_eq(open_region(&region), 0);
	cr_assert_eq(ledger_open(&l, rig.directory, &region, &why), 0, "%s", why.text);
	l.entries[RIG_BLOCKS - 1] = (struct ledger_entry){.ino = 7, .at = LEDGER_HELD};
	ledger_close(&l);
	cr_assert_eq(ledger_open(&l, rig.directory, &region, &why), 0, "%s", why.text);
	cr_expect_eq(l.entries[RIG_BLOCKS - 1].ino, 7);
	ledger_close(&l);
	/* Of another boot, or of who knows what. */
	cr_assert_eq(fstat(region.fd, &st), 0);
	snprintf(path, sizeof(path), "%s/.granted-%lx-%lx", rig.directory, (unsigned long)st.st_dev,
		(unsigned long)st.st_ino);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600);
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "x", 1, 12), 1);
	cr_assert_eq(ledger_open(&l, rig.directory, &region, &why), 0, "%s", why.text);
	cr_expect_eq(l.entries[RIG_BLOCKS - 1].ino, 0);
	ledger_close(&l);
	region_close(&region);
}

Test(helper_notes, stay_only_while_something_is_noted)
{
	struct ledger l = LEDGER_NULL;
	struct region region = REGION_NULL;
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(open_region(&region), 0);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t ino = i < 2 ? 7 : 0;
		cr_assert_eq(ledger_open(&l, rig.directory, &region, &why), 0, "%s", why.text);
		cr_expect_eq(l.entries[RIG_BLOCKS - 1].ino, i > 0 ? 7 : 0);
		l.entries[RIG_BLOCKS - 1].ino = ino;
		ledger_close(&l);
		ledger_tidy(&region, rig.directory);
	}
	cr_assert_eq(ledger_open(&l, rig.directory, &region, &why), 0, "%s", why.text);
	cr_expect_eq(l.entries[RIG_BLOCKS - 1].ino, 0);
	ledger_close(&l);
	ledger_tidy(&region, rig.directory);
	region_close(&region);
	cr_assert_eq(unlink(rig.region), 0);
	cr_expect_eq(rmdir(rig.directory), 0, "nothing is left");
	cr_assert_eq(mkdir(rig.directory, 0700), 0);
}

Test(helper_notes, a_region_that_has_grown_keeps_its_notes)
{
	struct ledger l = LEDGER_NULL;
	struct region region = REGION_NULL;
	struct problem why = PROBLEM_INIT;

	cr_assert_eq(open_region(&region), 0);
	cr_assert_eq(ledger_open(&l, rig.directory, &region, &why), 0, "%s", why.text);
	l.entries[3] = (struct ledger_entry){.ino = 7};
	ledger_close(&l);
	region.size += 10000 * GM_BLOCK_SIZE;
	cr_assert_eq(ledger_open(&l, rig.directory, &region, &why), 0, "%s", why.text);
	cr_expect_eq(l.entries[3].ino, 7);
	cr_expect_eq(l.entries[RIG_BLOCKS + 9999].ino, 0);
	ledger_close(&l);
	region_close(&region);
}
