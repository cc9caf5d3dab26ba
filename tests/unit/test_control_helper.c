// SPDX-License-Identifier: MIT
/* What is asked at the control socket and only a helper can answer: who asks has the answer when it
 * comes, and does not wait for ever. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_fixture.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

static struct control_fixture s;

static void setup(void)
{
	control_fixture_init(&s);
}

static void teardown(void)
{
	control_fixture_deinit(&s);
}

TestSuite(control_helper, .init = setup, .fini = teardown);

static int helper = -1;

static void say(void *message, size_t size, unsigned opcode, uint64_t id)
{
	const struct link_header header = {.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id)};

	memcpy(message, &header, sizeof(header));
	cr_assert_eq(packet_send(helper, message, size, NULL, 0, false), 0);
	cr_assert(grants_serve(s.grants, EPOLLIN | EPOLLOUT));
}

static void connect_helper(void)
{
	struct link_plain ready = {.header = {.size = {0}}};
	int ends[2];

	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	helper = ends[1];
	cr_assert_eq(grants_set_link(s.grants, ends[0]), 0);
	say(&ready, sizeof(ready), LINK_READY, 0);
}

/* The id of the message; what a link begins with comes before. */
static uint64_t expect_unexport(void)
{
	union {
		struct link_header header;
		struct link_extents extents;
	} m;

	cr_assert(grants_serve(s.grants, EPOLLOUT));
	do
		cr_assert_gt(packet_receive(helper, &m, sizeof(m), NULL, NULL, false), 0);
	while (get_le16(m.header.opcode) != LINK_UNEXPORT);
	return get_le64(m.header.id);
}

/* Asks, and has it read, at 1,000 ms. Returns where the answer comes. */
static int begin_to_ask(uint32_t opcode, uint64_t ino)
{
	const struct control_request m = {.size = put_le32(sizeof(m)),
		.version = put_le32(CONTROL_VERSION),
		.opcode = put_le32(opcode),
		.ino = put_le64(ino)};
	int sock = packet_connect(s.path);

	cr_assert_geq(sock, 0);
	cr_assert_eq(packet_send(sock, &m, sizeof(m), NULL, 0, false), 0);
	control_serve(s.control, 1000); /* takes the connection */
	control_serve(s.control, 1000); /* and the request */
	return sock;
}

static ssize_t receive(int sock)
{
	_cleanup_fd_ int memfd = -1;
	size_t nfds = 1;

	return packet_receive(sock, &s.answer, sizeof(s.answer), &memfd, &nfds, false);
}

static void expect_answer(int sock, int error)
{
	cr_assert_eq(receive(sock), (ssize_t)sizeof(s.answer));
	cr_assert_eq(get_le32(s.answer.error), (uint32_t)error, "%s", s.answer.text);
}

/* ---- the end of an export ---- */

static uint64_t make_exported_file(void)
{
	uint64_t ino = control_fixture_make_file(&s, GM_ROOT_INO, "file", GM_BLOCK_SIZE);

	cr_assert_eq(ns_set_exported(&s.ns, ino, true), 0);
	return ino;
}

Test(control_helper, the_end_of_an_export_is_answered_when_the_helper_has_closed_the_node)
{
	uint64_t ino = make_exported_file();
	struct link_done done = {.error = {0}};

	cr_assert_null(control_fixture_ask(&s, CONTROL_UNEXPORT, ino));
	cr_assert_eq(get_le32(s.answer.error), EAGAIN, "there is no helper");
	connect_helper();
	_cleanup_fd_ int first = begin_to_ask(CONTROL_UNEXPORT, ino),
			 second = begin_to_ask(CONTROL_UNEXPORT, ino);
	uint64_t node_id;

	cr_assert_eq(receive(first), -EAGAIN);
	node_id = expect_unexport();
	say(&done, sizeof(done), LINK_DONE, node_id);
	expect_answer(first, 0);
	expect_answer(second, 0);
	cr_assert_null(control_fixture_ask(&s, CONTROL_UNEXPORT, ino));
	cr_assert_eq(get_le32(s.answer.error), ENOENT);
	helper = close_fd(helper);
}

Test(control_helper, an_end_that_fails_or_loses_its_helper_says_that_the_export_goes_on)
{
	uint64_t ino = make_exported_file();
	struct link_done done = {.error = put_le32(EIO)};

	connect_helper();
	_cleanup_fd_ int first = begin_to_ask(CONTROL_UNEXPORT, ino);
	say(&done, sizeof(done), LINK_DONE, expect_unexport());
	expect_answer(first, EIO);
	cr_assert_neq(strstr(s.answer.text, "still exported"), NULL);
	_cleanup_fd_ int second = begin_to_ask(CONTROL_UNEXPORT, ino);
	helper = close_fd(helper);
	cr_assert_not(grants_serve(s.grants, EPOLLIN));
	expect_answer(second, EAGAIN);
}

Test(control_helper, nobody_waits_for_ever_for_the_end_of_an_export)
{
	uint64_t deadline = 0;

	connect_helper();
	_cleanup_fd_ int sock = begin_to_ask(CONTROL_UNEXPORT, make_exported_file());
	cr_assert(control_next_deadline(s.control, &deadline));
	cr_assert_eq(deadline, 1000 + CONTROL_UNEXPORT_MS);
	control_expire(s.control, deadline);
	cr_assert_eq(receive(sock), 0);
	helper = close_fd(helper);
}

/* ---- who has a grant ---- */

static void expect_status(int sock, size_t grant_count, bool complete)
{
	_cleanup_fd_ int memfd = -1;
	size_t nfds = 1;

	cr_assert_eq(packet_receive(sock, &s.answer, sizeof(s.answer), &memfd, &nfds, false),
		(ssize_t)sizeof(s.answer));
	cr_assert_eq(nfds, 1);
	cr_assert_eq(lseek(memfd, 0, SEEK_SET), 0);
	struct json_object *o = json_object_from_fd(memfd);
	cr_assert_not_null(o);
	cr_expect_eq(json_object_array_length(json_at(o, "/grants")), grant_count);
	cr_expect_eq(json_object_get_boolean(json_at(o, "/grants_complete")), complete);
	if (complete)
		cr_expect_eq(json_number(o, "/retired_devices"), 3, "as the helper has said");
	json_object_put(o);
}

static void say_holder(void)
{
	struct link_holder m = {.ino = put_le64(5), .pid = put_le32(1)};

	say(&m, sizeof(m), LINK_HOLDER, 0);
}

static void say_that_was_all(void)
{
	struct link_holders_end end = {.retired = put_le32(3)};

	say(&end, sizeof(end), LINK_HOLDERS_END, 0);
}

Test(control_helper, status_says_whether_the_helper_has_told_of_all)
{
	struct json_object *o = control_fixture_ask(&s, CONTROL_STATUS, 0);

	cr_expect_not(
		json_object_get_boolean(json_at(o, "/grants_complete")), "there is no helper");
	json_object_put(o);
	connect_helper();
	_cleanup_fd_ int whole = begin_to_ask(CONTROL_STATUS, 0);
	say_holder();
	cr_assert_eq(receive(whole), -EAGAIN);
	say_that_was_all();
	expect_status(whole, 1, true);

	_cleanup_fd_ int lost = begin_to_ask(CONTROL_STATUS, 0);
	say_holder();
	helper = close_fd(helper);
	cr_assert_not(grants_serve(s.grants, EPOLLIN));
	expect_status(lost, 1, false);
}

Test(control_helper, a_slow_helper_is_waited_for_and_then_no_more)
{
	uint64_t deadline = 0;

	connect_helper();
	_cleanup_fd_ int sock = begin_to_ask(CONTROL_STATUS, 0);
	say_holder();
	control_expire(s.control, 1000 + 9000);
	cr_assert_eq(receive(sock), -EAGAIN, "it may take longer than that on a busy host");
	cr_assert(control_next_deadline(s.control, &deadline));
	control_expire(s.control, deadline);
	expect_status(sock, 1, false);
	/* Who asks meanwhile shares the answer that comes in the end. */
	_cleanup_fd_ int next = begin_to_ask(CONTROL_STATUS, 0);
	say_holder();
	say_that_was_all();
	expect_status(next, 2, true);
	helper = close_fd(helper);
}
