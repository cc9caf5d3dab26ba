// SPDX-License-Identifier: MIT
/* What is held stays held whatever becomes of worker and helper; and how a helper begins and ends.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_helper.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

TestSuite(helper_restarts, .init = file_helper_set_up, .fini = file_helper_tear_down);

/* ---- restarts ---- */

Test(helper_restarts, asks_the_next_worker_what_a_lost_one_has_not_answered)
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

Test(helper_restarts, remembers_what_is_held_over_the_loss_of_the_link)
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

Test(helper_restarts, frees_nothing_before_the_worker_has_resumed)
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
Test(helper_restarts, lists_nobody_before_it_has_looked)
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
Test(helper_restarts, adopts_holders_after_a_restart)
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
Test(helper_restarts, frees_nothing_from_before_a_restart_while_a_client_has_the_descriptor)
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
Test(helper_restarts, frees_nothing_while_a_dead_clients_connection_goes_on)
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

Test(helper_restarts, lets_a_ticket_wait_a_moment_for_the_worker)
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

/* ---- start and end ---- */

Test(helper_restarts, ends_with_its_supervisor)
{
	cr_assert_eq(rig_stop(&rig), 0);
}

Test(helper_restarts, says_why_it_does_not_start)
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

Test(helper_restarts, yields_when_every_client_has_its_answer)
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
