// SPDX-License-Identifier: MIT
/* Memory is zeroed on order, stays held while anybody can reach it, and becomes free when nobody
 * can. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "file_helper.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

TestSuite(helper_holders, .init = file_helper_set_up, .fini = file_helper_tear_down, .timeout = 60);

static void expect_checked_free(uint64_t ino)
{
	struct link_check m = rig_check(&rig, ino);

	cr_assert_eq(get_le16(m.header.opcode), LINK_FREE);
	cr_assert_eq(get_le64(m.epoch), rig.epoch);
	cr_assert_eq(get_le32(m.pid), 0);
}

/* ---- zeroing ---- */

Test(helper_holders, zeroes_what_it_is_told_and_nothing_else)
{
	struct link_zero zero = {
		.offset = put_le64(13 * GM_BLOCK_SIZE + 4000), .length = put_le32(200)};
	struct link_done done;
	uint8_t data[8192];

	for (uint64_t b = 10; b < 14; b++)
		rig_fill(&rig, b, 0x77);
	cr_assert_eq(rig_scrub(&rig, 11, 2), 0);
	cr_expect(rig_is_filled(&rig, 10, 0x77));
	cr_expect(rig_is_filled(&rig, 11, 0));
	cr_expect(rig_is_filled(&rig, 12, 0));
	cr_expect(rig_is_filled(&rig, 13, 0x77));
	rig_send(&rig, &zero, sizeof(zero), LINK_ZERO, 5);
	rig_expect(&rig, &done, sizeof(done), LINK_DONE);
	cr_assert_eq(get_le32(done.error), 0);
	_cleanup_fd_ int fd = open(rig.region, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(pread(fd, data, sizeof(data), 13 * GM_BLOCK_SIZE), (ssize_t)sizeof(data));
	for (size_t i = 0; i < sizeof(data); i++)
		cr_assert_eq(data[i], i >= 4000 && i < 4200 ? 0 : 0x77, "byte %zu", i);
}

Test(helper_holders, zeroes_nothing_that_is_held_or_no_data)
{
	struct link_zero zero = {.offset = put_le64(11 * GM_BLOCK_SIZE), .length = put_le32(1)};
	struct link_done done;

	rig_fill(&rig, 10, 0x77);
	rig_fill(&rig, 3, 0x33);
	struct rig_child c = attach_child(9, small, false);
	cr_expect_eq(rig_scrub(&rig, 9, 2), EUCLEAN);
	cr_expect_eq(rig_scrub(&rig, 11, 1), EUCLEAN);
	cr_expect_eq(rig_scrub(&rig, RIG_FIRST_DATA - 1, 1), EUCLEAN);
	cr_expect_eq(rig_scrub(&rig, RIG_FIRST_DATA + RIG_DATA, 1), EUCLEAN);
	cr_expect_eq(rig_scrub(&rig, UINT64_MAX, 1), EUCLEAN);
	rig_send(&rig, &zero, sizeof(zero), LINK_ZERO, 5);
	rig_expect(&rig, &done, sizeof(done), LINK_DONE);
	cr_expect_eq(get_le32(done.error), EUCLEAN);
	cr_expect(rig_is_filled(&rig, 10, 0x77));
	cr_expect(rig_is_filled(&rig, 3, 0x33));
	rig_child_end(&c);
	rig_expect_free(&rig, 9, rig.epoch);
	cr_expect_eq(rig_scrub(&rig, 10, 2), 0);
	cr_expect(rig_is_filled(&rig, 10, 0));
}

Test(helper_holders, survives_memory_that_cannot_be_written)
{
	cr_assert_eq(truncate(rig.region, 10 * GM_BLOCK_SIZE), 0);
	cr_expect_eq(rig_scrub(&rig, 12, 1), EIO);
	cr_assert_eq(truncate(rig.region, RIG_BLOCKS * GM_BLOCK_SIZE), 0);
	cr_expect_eq(rig_scrub(&rig, 12, 1), 0);
}

/* ---- held and free ---- */

Test(helper_holders, holds_while_the_client_lives_and_frees_when_it_has_ended)
{
	struct rig_child c = attach_child(9, small, false);

	expect_busy(9, c.pid);
	rig_expect_nothing(&rig, 300);
	rig_child_end(&c);
	rig_expect_free(&rig, 9, rig.epoch);
	/*
	 * Asked again, as when the question and the answer met: free, and the blocks are anybody's
	 * once they are zeroed.
	 */
	expect_checked_free(9);
	cr_assert_eq(rig_scrub(&rig, 10, 2), 0);
	c = attach_child(10, small, false);
	rig_child_end(&c);
	rig_expect_free(&rig, 10, rig.epoch);
}

Test(helper_holders, hands_no_bytes_of_one_to_another)
{
	struct rig_child c = attach_child(9, small, false);
	_cleanup_fd_ int sock = rig_client(&rig);

	rig_child_end(&c);
	rig_expect_free(&rig, 9, rig.epoch);
	cr_assert_eq(rig_scrub(&rig, 10, 1), 0); /* one of the two */
	rig_send_attach(sock, 1);
	rig_grant(&rig, 10, WRITE, small, 1);
	rig_expect_refused(sock, 1, EUCLEAN, GM_REASON_RECORD);
	cr_expect_geq(rig_count_log(&rig, "block 11 of region 0 was granted for inode 9"), 1);
	/* Its own bytes a file may have again at any time. */
	c = attach_child(9, small, false);
	rig_child_end(&c);
}

Test(helper_holders, never_calls_one_a_holder_who_has_ended)
{
	for (uint64_t i = 0; i < 20; i++) {
		struct rig_child c = attach_child(9, small, false);
		rig_child_end(&c);
		struct link_check m = rig_check(&rig, 9);
		cr_assert_eq(get_le16(m.header.opcode), LINK_FREE);
	}
}

Test(helper_holders, holds_while_a_descendant_of_the_client_maps_it)
{
	struct rig_child c = attach_child(9, small, false);
	const char command = RIG_FORK;
	pid_t descendant = 0;

	cr_assert_eq(packet_send(c.sock, &command, 1, NULL, 0, true), 0);
	cr_assert_eq(packet_receive(c.sock, &descendant, sizeof(descendant), NULL, NULL, true),
		(ssize_t)sizeof(descendant));
	rig_child_end(&c);
	rig_expect_nothing(&rig, 400);
	expect_busy(9, descendant);
	cr_expect_eq(rig_scrub(&rig, 10, 1), EUCLEAN);
	kill(descendant, SIGKILL);
	rig_expect_free(&rig, 9, rig.epoch);
}

/* A process that takes the descriptor and does nothing with it. */
static pid_t pass_to_outsider(const struct rig_child *c)
{
	const char command = RIG_PASS;
	char byte;
	int fd = -1, out[2];
	size_t one = 1;

	cr_assert_eq(packet_send(c->sock, &command, 1, NULL, 0, true), 0);
	cr_assert_eq(pipe(out), 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		byte = packet_receive(c->sock, &byte, 1, &fd, &one, true) == 1 && one == 1;
		close(c->sock);
		(void)!write(out[1], &byte, 1);
		for (;;)
			pause();
	}
	cr_assert_eq(read(out[0], &byte, 1), 1);
	cr_assert_eq(byte, 1, "it has no descriptor");
	close(out[0]);
	close(out[1]);
	return pid;
}

Test(helper_holders, holds_while_an_outsider_has_the_descriptor)
{
	struct rig_child c = attach_child(9, small, true);
	pid_t outsider = pass_to_outsider(&c);

	rig_child_end(&c);
	rig_expect_nothing(&rig, 400);
	expect_busy(9, outsider);
	kill(outsider, SIGKILL);
	waitpid(outsider, NULL, 0);
	rig_expect_free(&rig, 9, rig.epoch);
}

/* As when somebody tries to shrink the file in a loop. */
Test(helper_holders, is_not_driven_into_proc_by_questions_and_says_once_who_holds)
{
	struct rig_child c = attach_child(9, small, true);
	pid_t outsider = pass_to_outsider(&c);
	struct timespec start, end;

	rig_child_end(&c);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < 8; i++)
		expect_busy(9, outsider);
	clock_gettime(CLOCK_MONOTONIC, &end);
	long took = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
	cr_expect_geq(took, 500, "eight answers after %ld ms", took);
	cr_expect_eq(rig_count_log(&rig, "inode 9 stays held"), 1);
	kill(outsider, SIGKILL);
	waitpid(outsider, NULL, 0);
	rig_expect_free(&rig, 9, rig.epoch);
}

Test(helper_holders, frees_beside_a_live_client_of_another_file)
{
	struct rig_child a = attach_child(9, small, true);
	uint64_t epoch = rig.epoch;
	struct rig_child b = attach_child(10, other, true);

	rig_child_end(&a);
	rig_expect_free(&rig, 9, epoch);
	expect_busy(10, b.pid);
	rig_child_end(&b);
	rig_expect_free(&rig, 10, rig.epoch);
}

Test(helper_holders, holds_until_the_last_of_several_clients_has_ended)
{
	struct rig_child a = attach_child(9, small, false);
	struct rig_child b = attach_child(9, small, false);

	rig_child_end(&a);
	rig_expect_nothing(&rig, 300);
	expect_busy(9, b.pid);
	rig_child_end(&b);
	rig_expect_free(&rig, 9, rig.epoch);
}

/* A grant while the memory is being watched for its release must put an end to that. */
Test(helper_holders, does_not_free_what_has_been_granted_again)
{
	struct rig_child a = attach_child(9, small, true);
	pid_t outsider = pass_to_outsider(&a);

	rig_child_end(&a);
	expect_busy(9, outsider);
	struct rig_child b = attach_child(9, small, false);
	kill(outsider, SIGKILL);
	waitpid(outsider, NULL, 0);
	rig_expect_nothing(&rig, 1500);
	rig_child_end(&b);
	rig_expect_free(&rig, 9, rig.epoch);
}

Test(helper_holders, frees_what_a_client_never_got_because_it_ended_first)
{
	struct rig_child c = rig_child_start(&rig, false);

	rig_child_end(&c);
	usleep(100000); /* that it has gone is known before the grant comes */
	rig_grant(&rig, 9, WRITE, small, 1);
	rig_expect_free(&rig, 9, rig.epoch);
}

Test(helper_holders, lists_the_holders)
{
	struct rig_child a = attach_child(9, small, true);
	struct rig_child b = attach_child(10, other, false);
	pid_t outsider = pass_to_outsider(&a), seen[2] = {0};
	struct link_holder m;
	struct link_holders_end end;

	rig_child_end(&a);
	expect_checked_free(99);
	rig_send_plain(&rig, LINK_HOLDERS, 55);
	for (int i = 0; i < 2; i++) {
		rig_expect(&rig, &m, sizeof(m), LINK_HOLDER);
		cr_expect_eq(get_le64(m.header.id), 55);
		cr_expect_eq(get_le32(m.uid), getuid());
		cr_expect_eq(get_le32(m.access), WRITE);
		bool first = get_le64(m.ino) == 9;
		seen[first ? 0 : 1] = (pid_t)get_le32(m.pid);
		cr_expect_eq(get_le32(m.flags), first ? LINK_HOLDER_DEAD : 0);
	}
	rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
	cr_expect_eq(seen[0], a.pid);
	cr_expect_eq(seen[1], b.pid);
	kill(outsider, SIGKILL);
	waitpid(outsider, NULL, 0);
	rig_child_end(&b);
}
