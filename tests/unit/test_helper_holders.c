// SPDX-License-Identifier: MIT
/* Memory stays held while anybody can reach it, and becomes free when nobody can; whatever becomes
 * of the worker. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helper_rig.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

static struct rig rig;

static void setup(void)
{
	rig_init(&rig);
	rig_start(&rig);
	rig_bring_up(&rig);
}

static void teardown(void)
{
	rig_deinit(&rig);
}

TestSuite(helper_holders, .init = setup, .fini = teardown, .timeout = 60);

#define WRITE (GM_ACCESS_READ | GM_ACCESS_WRITE)

static const struct rig_extent small[] = {{0, 10, 2}};
static const struct rig_extent other[] = {{0, 20, 1}};

static struct rig_child attach_child(uint64_t ino, const struct rig_extent *extents, bool keep_fd)
{
	struct rig_child c = rig_child_start(&rig, keep_fd);

	rig_grant(&rig, ino, WRITE, extents, 1);
	rig_child_wait(&c);
	return c;
}

static void expect_busy(uint64_t ino, pid_t pid)
{
	struct link_check m = rig_check(&rig, ino);

	cr_assert_eq(get_le16(m.header.opcode), LINK_BUSY);
	cr_assert_eq(get_le64(m.epoch), rig.epoch);
	cr_assert_eq((pid_t)get_le32(m.pid), pid, "%u instead of %d", get_le32(m.pid), pid);
}

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

/* ---- restarts ---- */

Test(helper_holders, asks_the_next_worker_what_a_lost_one_has_not_answered)
{
	struct rig_child c = attach_child(9, small, false);
	struct link_refuse refuse = {
		.error = put_le32(EKEYREJECTED), .reason = put_le32(GM_REASON_TICKET)};
	_cleanup_fd_ int sock = rig_client(&rig);
	struct link_redeem asked, again;

	rig_send_attach(sock, 3);
	rig_expect(&rig, &asked, sizeof(asked), LINK_REDEEM);
	rig.worker = close_fd(rig.worker);
	rig_meet(&rig);
	rig_send_held(&rig, 9, 1, small, 1);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	rig_expect(&rig, &again, sizeof(again), LINK_REDEEM);
	cr_expect_eq(memcmp(&again, &asked, sizeof(asked)), 0);
	/* Its predecessor has used the ticket up. */
	rig_send(&rig, &refuse, sizeof(refuse), LINK_REFUSE, get_le64(again.header.id));
	rig_expect_refused(sock, 3, EAGAIN, GM_REASON_STARTING);
	rig.epoch = 1;
	expect_busy(9, c.pid);
	rig_child_end(&c);
	rig_expect_free(&rig, 9, 1);
}

Test(helper_holders, remembers_what_is_held_over_the_loss_of_the_link)
{
	struct rig_child c = attach_child(9, small, false);

	/* A worker that has forgotten it still can't do anything with its blocks. */
	rig_bring_up(&rig);
	cr_expect_eq(rig_scrub(&rig, 10, 1), EUCLEAN);
	_cleanup_fd_ int sock = rig_client(&rig);
	rig_send_attach(sock, 1);
	rig_grant(&rig, 10, WRITE, small, 1);
	rig_expect_refused(sock, 1, EUCLEAN, GM_REASON_RECORD);
	rig_child_end(&c);
}

Test(helper_holders, frees_nothing_before_the_worker_has_resumed)
{
	struct rig_child c = attach_child(9, small, false);

	rig_meet(&rig);
	rig_child_end(&c);
	rig_expect_nothing(&rig, 400);
	rig_send_held(&rig, 9, 4, small, 1);
	rig_expect_nothing(&rig, 200);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	rig_expect_free(&rig, 9, 4);
}

/* The worker asks who holds what before that was found out: the list is not empty for that. */
Test(helper_holders, lists_nobody_before_it_has_looked)
{
	struct rig_child c = attach_child(9, small, false);
	struct link_holder m;
	struct link_holders_end end;

	rig_restart(&rig);
	rig_send_held(&rig, 9, 7, small, 1);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	rig_send_plain(&rig, LINK_HOLDERS, 3);
	rig_expect(&rig, &m, sizeof(m), LINK_HOLDER);
	cr_expect_eq((pid_t)get_le32(m.pid), c.pid);
	rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
	cr_expect_eq(get_le64(end.header.id), 3);
	rig.epoch = 7;
	rig_child_end(&c);
	rig_expect_free(&rig, 9, 7);
}

/* A new helper for a region that is in use: it finds who uses it. */
Test(helper_holders, adopts_holders_after_a_restart)
{
	struct rig_child c = attach_child(9, small, false);
	struct link_holder m;
	struct link_holders_end end;

	rig_restart(&rig);
	rig_send_held(&rig, 9, 7, small, 1);
	rig_send_held(&rig, 10, 8, other, 1);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	rig.epoch = 7;
	rig_expect_free(&rig, 10, 8);
	expect_busy(9, c.pid);
	cr_expect_eq(rig_scrub(&rig, 11, 1), EUCLEAN);
	rig_send_plain(&rig, LINK_HOLDERS, 1);
	rig_expect(&rig, &m, sizeof(m), LINK_HOLDER);
	cr_expect_eq(get_le64(m.ino), 9);
	cr_expect_eq((pid_t)get_le32(m.pid), c.pid);
	cr_expect_eq(get_le32(m.flags), LINK_HOLDER_ADOPTED);
	cr_expect_eq(get_le32(m.access), WRITE);
	rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
	rig_expect_nothing(&rig, 300);
	rig_child_end(&c);
	rig_expect_free(&rig, 9, 7);
}

/* Whoever has the region open may have been granted what only the worker knows of, and not have
 * mapped it yet; that it maps another file says nothing. */
Test(helper_holders, frees_nothing_from_before_a_restart_while_a_client_has_the_descriptor)
{
	struct rig_child c = attach_child(9, small, true);

	rig_restart(&rig);
	rig_send_held(&rig, 9, 7, small, 1);
	rig_send_held(&rig, 10, 8, other, 1);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	rig_expect_nothing(&rig, 400);
	rig.epoch = 8;
	expect_busy(10, c.pid);
	rig_child_end(&c);
	for (unsigned i = 0; i < 2; i++) {
		struct link_check m;

		rig_expect(&rig, &m, sizeof(m), LINK_FREE);
		cr_expect(get_le64(m.ino) == 9 || get_le64(m.ino) == 10);
	}
}

/* A launcher that connects, asks, gives the connection to another process and ends: the grant lies
 * in the socket, where nobody sees it. */
Test(helper_holders, frees_nothing_while_a_dead_clients_connection_goes_on)
{
	int pair[2], sock = -1;
	size_t one = 1;
	char byte;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		close(rig.control);
		close(rig.worker);
		sock = rig_client(&rig);
		rig_send_attach(sock, 5);
		(void)packet_send(pair[1], "s", 1, &sock, 1, true);
		for (;;)
			pause();
	}
	close(pair[1]);
	cr_assert_eq(packet_receive(pair[0], &byte, 1, &sock, &one, true), 1);
	close(pair[0]);
	rig_grant(&rig, 9, WRITE, small, 1);
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	rig_expect_nothing(&rig, 400);
	expect_busy(9, pid);
	close(sock);
	rig_expect_free(&rig, 9, rig.epoch);
}

Test(helper_holders, lets_a_ticket_wait_a_moment_for_the_worker)
{
	_cleanup_fd_ int a = rig_client(&rig), b = rig_client(&rig);
	struct link_redeem asked;

	rig.worker = close_fd(rig.worker);
	rig_send_attach(a, 1);
	rig_expect_refused(a, 1, EAGAIN, GM_REASON_STARTING);
	rig_send_attach(b, 2);
	rig_bring_up(&rig);
	rig_expect(&rig, &asked, sizeof(asked), LINK_REDEEM);
}

/* ---- a worker that breaks the protocol ---- */

static void send_config_of(uint64_t first, uint64_t count, uint32_t regions, uint32_t version)
{
	struct link_config m = {.version = put_le32(version),
		.region_count = put_le32(regions),
		.uuid = {1, 2, 3},
		.regions[0] = {put_le64(first), put_le64(count)}};

	rig_send(&rig, &m, sizeof(m), LINK_CONFIG, 1);
}

Test(helper_holders, takes_no_configuration_that_contradicts_the_first_or_the_region)
{
	static const struct {
		uint64_t first, count;
		uint32_t regions, version;
	} cases[] = {
		{RIG_FIRST_DATA, RIG_DATA - 1, 1, LINK_VERSION},
		{RIG_FIRST_DATA + 1, RIG_DATA, 1, LINK_VERSION},
		{RIG_FIRST_DATA, RIG_DATA, 2, LINK_VERSION},
		{RIG_FIRST_DATA, RIG_DATA, 0, LINK_VERSION},
		{RIG_FIRST_DATA, RIG_DATA, 1, LINK_VERSION + 1},
		{RIG_FIRST_DATA, UINT64_MAX, 1, LINK_VERSION},
		{RIG_BLOCKS + 1, 0, 1, LINK_VERSION},
	};

	/* Contradicts the first one, then, with a helper that has none yet, the region. */
	for (int fresh = 0; fresh < 2; fresh++) {
		for (size_t i = fresh ? 2 : 0; i < ARRAY_SIZE(cases); i++) {
			rig_connect(&rig);
			send_config_of(
				cases[i].first, cases[i].count, cases[i].regions, cases[i].version);
			rig_expect_link_closed(&rig);
		}
		cr_assert_eq(rig_stop(&rig), 0);
		rig_start(&rig);
	}
	rig_bring_up(&rig);
	cr_expect_eq(rig_scrub(&rig, 10, 1), 0);
}

static void held_by_two(void)
{
	rig_send_held(&rig, 9, 1, small, 1);
	rig_send_held(&rig, 10, 2, small, 1);
}

static void held_outside(void)
{
	const struct rig_extent e[] = {{0, RIG_FIRST_DATA - 1, 1}};

	rig_send_held(&rig, 9, 1, e, 1);
}

static void extents_of_nothing(void)
{
	rig_send_extents(&rig, 0, 9, small, 1);
}

static void something_between_extents(void)
{
	struct link_held m = {.ino = put_le64(9), .extent_count = put_le64(2)};

	rig_send(&rig, &m, sizeof(m), LINK_HELD, 0);
	rig_send_extents(&rig, 0, 9, small, 1);
	rig_send_plain(&rig, LINK_RESUMED, 0);
}

static void more_extents_than_blocks(void)
{
	struct link_held m = {.ino = put_le64(9), .extent_count = put_le64(UINT64_MAX)};

	rig_send(&rig, &m, sizeof(m), LINK_HELD, 0);
}

static void more_extents_than_announced(void)
{
	const struct rig_extent e[] = {{0, 10, 1}, {1, 20, 1}};
	struct link_held m = {.ino = put_le64(9), .extent_count = put_le64(1)};

	rig_send(&rig, &m, sizeof(m), LINK_HELD, 0);
	rig_send_extents(&rig, 0, 9, e, 2);
}

static void extents_of_another(void)
{
	struct link_held m = {.ino = put_le64(9), .extent_count = put_le64(1)};

	rig_send(&rig, &m, sizeof(m), LINK_HELD, 0);
	rig_send_extents(&rig, 0, 8, small, 1);
}

static void scrub_before_resumed(void)
{
	struct link_scrub m = {.block = put_le64(10), .count = put_le32(1)};

	rig_send(&rig, &m, sizeof(m), LINK_SCRUB, 1);
}

static void unknown_message(void)
{
	rig_send_plain(&rig, 99, 1);
}

static void message_of_the_wrong_size(void)
{
	rig_send_plain(&rig, LINK_HELD, 1);
}

static void two_bytes(void)
{
	cr_assert_eq(packet_send(rig.worker, "ab", 2, NULL, 0, true), 0);
}

static void a_descriptor(void)
{
	struct link_plain m = {
		.header = {.size = put_le32(sizeof(m)), .opcode = put_le16(LINK_RESUMED)}};
	int fd = STDERR_FILENO;

	cr_assert_eq(packet_send(rig.worker, &m, sizeof(m), &fd, 1, true), 0);
}

Test(helper_holders, closes_a_link_that_breaks_the_protocol)
{
	static const struct {
		const char *name;
		void (*act)(void);
	} cases[] = {
		{"one block held by two", held_by_two},
		{"held outside", held_outside},
		{"extents of nothing", extents_of_nothing},
		{"something between extents", something_between_extents},
		{"more extents than blocks", more_extents_than_blocks},
		{"more extents than announced", more_extents_than_announced},
		{"extents of another", extents_of_another},
		{"scrub before resumed", scrub_before_resumed},
		{"unknown message", unknown_message},
		{"wrong size", message_of_the_wrong_size},
		{"two bytes", two_bytes},
		{"a descriptor", a_descriptor},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		/* A new helper each time: what it recorded before the breach stays recorded. */
		rig_restart(&rig);
		cases[i].act();
		rig_expect_link_closed(&rig);
	}
}

static void grant_nobody_asked_for(void)
{
	struct link_grant m = {.ino = put_le64(9), .epoch = put_le64(1), .access = put_le32(WRITE)};

	rig_send(&rig, &m, sizeof(m), LINK_GRANT, 12345);
}

static void refusal_nobody_asked_for(void)
{
	struct link_refuse m = {.error = put_le32(EIO)};

	rig_send(&rig, &m, sizeof(m), LINK_REFUSE, 12345);
}

static void second_config(void)
{
	rig_send_config(&rig);
}

static void held_after_resumed(void)
{
	struct link_held m = {.ino = put_le64(9)};

	rig_send(&rig, &m, sizeof(m), LINK_HELD, 0);
}

static void scrub_too_much(void)
{
	struct link_scrub m = {.block = put_le64(10), .count = put_le32(LINK_SCRUB_MAX + 1)};

	rig_send(&rig, &m, sizeof(m), LINK_SCRUB, 1);
}

static void zero_across_blocks(void)
{
	struct link_zero m = {.offset = put_le64(11 * GM_BLOCK_SIZE - 1), .length = put_le32(2)};

	rig_send(&rig, &m, sizeof(m), LINK_ZERO, 1);
}

Test(helper_holders, closes_a_link_that_breaks_the_protocol_later)
{
	static const struct {
		const char *name;
		void (*act)(void);
	} cases[] = {
		{"grant nobody asked for", grant_nobody_asked_for},
		{"refusal nobody asked for", refusal_nobody_asked_for},
		{"second config", second_config},
		{"held after resumed", held_after_resumed},
		{"scrub too much", scrub_too_much},
		{"zero across blocks", zero_across_blocks},
		{"unknown message", unknown_message},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cases[i].act();
		rig_expect_link_closed(&rig);
		rig_bring_up(&rig);
	}
	/* A grant that breaks it: its client is told to try again. */
	_cleanup_fd_ int sock = rig_client(&rig);
	rig_send_attach(sock, 1);
	rig_grant(&rig, 9, GM_ACCESS_WRITE, NULL, 0);
	rig_expect_link_closed(&rig);
	rig_expect_refused(sock, 1, EAGAIN, GM_REASON_STARTING);
}

/* ---- start and end ---- */

Test(helper_holders, ends_with_its_supervisor)
{
	cr_assert_eq(rig_stop(&rig), 0);
}

Test(helper_holders, says_why_it_does_not_start)
{
	struct link_failed m;
	int pair[2], status;

	cr_assert_eq(rig_stop(&rig), 0);
	unlink(rig.socket);
	close(open(rig.socket, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid_t pid = fork();
	if (pid == 0)
		rig_run_helper(&rig, pair[1]);
	close(pair[1]);
	cr_assert_eq(packet_receive(pair[0], &m, sizeof(m), NULL, NULL, true), (ssize_t)sizeof(m));
	cr_expect_eq(get_le16(m.header.opcode), LINK_FAILED);
	cr_expect_eq(get_le32(m.error), EBADF);
	cr_expect_not_null(strstr(m.text, "--listen-fd"));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	close(pair[0]);
}

static void send_yield(void)
{
	const struct link_plain m = {
		.header = {.size = put_le32(sizeof(m)), .opcode = put_le16(LINK_YIELD)}};

	cr_assert_eq(packet_send(rig.control, &m, sizeof(m), NULL, 0, true), 0);
}

Test(helper_holders, yields_when_every_client_has_its_answer)
{
	struct link_refuse refuse = {
		.error = put_le32(EBUSY), .reason = put_le32(GM_REASON_MEMORY)};
	int sock = rig_client(&rig), status;
	struct link_redeem m;

	rig_send_attach(sock, 1);
	rig_expect(&rig, &m, sizeof(m), LINK_REDEEM);
	send_yield();
	rig_send(&rig, &refuse, sizeof(refuse), LINK_REFUSE, get_le64(m.header.id));
	rig_expect_refused(sock, 1, EBUSY, GM_REASON_MEMORY);
	(void)close_fd(sock);
	cr_assert_eq(waitpid(rig.supervisor, &status, 0), rig.supervisor);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	rig.control = close_fd(rig.control);
	rig.worker = close_fd(rig.worker);
}
