// SPDX-License-Identifier: MIT
/* What clients can't do to the helper or to each other, and whom it trusts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_helper.h"
#include "helper/clients.h"
#include "helper/users.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/packet.h"

TestSuite(helper_clients, .init = file_helper_set_up, .fini = file_helper_tear_down);

/* ---- the protocol ---- */

union packet {
	struct gm_header header;
	struct gm_hello hello;
	struct gm_attach attach;
	uint8_t bytes[4096];
};

static size_t make_hello(union packet *p)
{
	*p = (union packet){.hello = {.header = {.size = put_le32(sizeof(p->hello)),
					      .opcode = put_le16(GM_OP_HELLO),
					      .serial = put_le64(6)},
				    .version_min = put_le32(1),
				    .version_max = put_le32(1)}};
	return sizeof(p->hello);
}

static size_t make_attach(union packet *p)
{
	*p = (union packet){.attach = {.header = {.size = put_le32(sizeof(p->attach)),
					       .opcode = put_le16(GM_OP_ATTACH),
					       .serial = put_le64(6)}}};
	return sizeof(p->attach);
}

static size_t short_hello(union packet *p)
{
	return make_hello(p) - 1;
}

static size_t long_hello(union packet *p)
{
	return make_hello(p) + 1;
}

static size_t hello_that_lies_about_its_size(union packet *p)
{
	size_t n = make_hello(p);

	p->header.size = put_le32(UINT32_MAX);
	return n;
}

static size_t unknown_opcode(union packet *p)
{
	size_t n = make_hello(p);

	p->header.opcode = put_le16(99);
	return n;
}

static size_t an_answer(union packet *p)
{
	size_t n = make_hello(p);

	p->header.opcode = put_le16(GM_OP_GRANT);
	return n;
}

static size_t reserved_in_use(union packet *p)
{
	size_t n = make_hello(p);

	p->header.reserved = put_le16(1);
	return n;
}

static size_t one_byte(union packet *p)
{
	p->bytes[0] = 1;
	return 1;
}

static size_t four_kilobytes(union packet *p)
{
	(void)make_hello(p);
	return sizeof(*p);
}

static size_t too_old(union packet *p)
{
	size_t n = make_hello(p);

	p->hello.version_min = p->hello.version_max = put_le32(0);
	return n;
}

static size_t too_new(union packet *p)
{
	size_t n = make_hello(p);

	p->hello.version_min = p->hello.version_max = put_le32(2);
	return n;
}

static size_t versions_the_wrong_way_round(union packet *p)
{
	size_t n = make_hello(p);

	p->hello.version_min = put_le32(2);
	return n;
}

static size_t hello_with_a_flag(union packet *p)
{
	size_t n = make_hello(p);

	p->hello.flags = put_le64(1ULL << 63);
	return n;
}

static size_t attach_with_a_flag(union packet *p)
{
	size_t n = make_attach(p);

	p->attach.flags = put_le64(1);
	return n;
}

static size_t short_attach(union packet *p)
{
	return make_attach(p) - 8;
}

Test(helper_clients, ends_a_connection_that_breaks_the_protocol)
{
	static const struct {
		const char *name;
		size_t (*make)(union packet *);
		bool greeted;
		uint64_t serial;
		int error;
		enum gm_reason reason;
	} cases[] = {
		{"short hello", short_hello, false, 6, EPROTO, GM_REASON_NONE},
		{"long hello", long_hello, false, 6, EPROTO, GM_REASON_NONE},
		{"lying hello", hello_that_lies_about_its_size, false, 6, EPROTO, GM_REASON_NONE},
		{"unknown opcode", unknown_opcode, false, 6, EPROTO, GM_REASON_NONE},
		{"an answer", an_answer, false, 6, EPROTO, GM_REASON_NONE},
		{"reserved", reserved_in_use, false, 6, EPROTO, GM_REASON_NONE},
		{"one byte", one_byte, false, 0, EPROTO, GM_REASON_NONE},
		{"4 KiB", four_kilobytes, false, 0, EPROTO, GM_REASON_NONE},
		{"attach first", make_attach, false, 6, EPROTO, GM_REASON_NONE},
		{"too old", too_old, false, 6, EPROTONOSUPPORT, GM_REASON_VERSION},
		{"too new", too_new, false, 6, EPROTONOSUPPORT, GM_REASON_VERSION},
		{"max below min", versions_the_wrong_way_round, false, 6, EPROTONOSUPPORT,
			GM_REASON_VERSION},
		{"flag", hello_with_a_flag, false, 6, EPROTONOSUPPORT, GM_REASON_VERSION},
		{"second hello", make_hello, true, 6, EPROTO, GM_REASON_NONE},
		{"attach with a flag", attach_with_a_flag, true, 6, EPROTONOSUPPORT,
			GM_REASON_VERSION},
		{"short attach", short_attach, true, 6, EPROTO, GM_REASON_NONE},
		{"garbage later", unknown_opcode, true, 6, EPROTO, GM_REASON_NONE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_fd_ int sock =
			cases[i].greeted ? rig_client(&rig) : packet_connect(rig.socket);
		union packet p;
		size_t size = cases[i].make(&p);
		cr_assert_eq(packet_send(sock, &p, size, NULL, 0, true), 0, "%s", cases[i].name);
		rig_expect_refused(sock, cases[i].serial, cases[i].error, cases[i].reason);
		rig_expect_closed(sock);
	}
	rig_expect_nothing(&rig, 0);
	close(rig_client(&rig));
}

Test(helper_clients, takes_no_descriptors)
{
	_cleanup_fd_ int sock = packet_connect(rig.socket);
	union packet p;
	size_t size = make_hello(&p);
	int pair[2];
	char c;

	cr_assert_eq(pipe(pair), 0);
	cr_assert_eq(packet_send(sock, &p, size, &pair[1], 1, true), 0);
	rig_expect_refused(sock, 0, EPROTO, GM_REASON_NONE);
	rig_expect_closed(sock);
	/* Nobody has the other end of the pipe any more. */
	close(pair[1]);
	cr_expect_eq(read(pair[0], &c, 1), 0);
}

Test(helper_clients, takes_one_attach_at_a_time)
{
	_cleanup_fd_ int sock = rig_client(&rig);
	struct link_redeem asked;

	rig_send_attach(sock, 1);
	rig_expect(&rig, &asked, sizeof(asked), LINK_REDEEM);
	rig_send_attach(sock, 2);
	rig_expect_refused(sock, 2, EPROTO, GM_REASON_NONE);
	rig_expect_closed(sock);
}

Test(helper_clients, serves_others_while_clients_say_nothing_and_ends_those)
{
	uint64_t connected = clock_milliseconds();
	_cleanup_fd_ int silent = packet_connect(rig.socket);
	_cleanup_fd_ int sock = rig_client(&rig);
	struct pollfd p = {.fd = silent, .events = POLLIN};

	attach(sock, 1);
	cr_assert_eq(poll(&p, 1, -1), 1);
	cr_expect_geq(clock_milliseconds() - connected, CLIENT_HELLO_MS, "not so soon");
	rig_expect_refused(silent, 0, ETIMEDOUT, GM_REASON_NONE);
	rig_expect_closed(silent);
	/* One that has been greeted may be silent. */
	attach(sock, 2);
}

Test(helper_clients, ends_a_client_that_does_not_take_its_answers)
{
	_cleanup_fd_ int deaf = rig_client(&rig);
	struct link_redeem asked;
	struct link_refuse m = {.error = put_le32(ESTALE), .reason = put_le32(GM_REASON_GONE)};
	struct link_holders_end end;
	uint64_t n;

	for (n = 0; n < 5000; n++) {
		union packet p;
		size_t size = make_attach(&p);
		if (packet_send(deaf, &p, size, NULL, 0, true) < 0)
			break;
		rig_expect(&rig, &asked, sizeof(asked), LINK_REDEEM);
		rig_send(&rig, &m, sizeof(m), LINK_REFUSE, get_le64(asked.header.id));
		/*
		 * Its answer is in its queue, or it is closed, once the link's
		 * next message is answered.
		 */
		rig_send_plain(&rig, LINK_HOLDERS, n);
		rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
	}
	cr_expect_lt(n, 5000, "its queue never filled");
	close(rig_client(&rig));
}

Test(helper_clients, ends_a_client_that_leaves_its_grants_unread)
{
	_cleanup_fd_ int deaf = rig_client(&rig);
	struct pollfd answered = {.fd = deaf, .events = POLLIN};
	struct pollfd ended = {.fd = deaf, .events = POLLRDHUP};
	struct gm_grant g;
	int fd;

	rig_send_attach(deaf, 1);
	rig_grant(&rig, 9, WRITE, small, 1);
	cr_assert_eq(poll(&answered, 1, 20000), 1);
	rig_send_attach(deaf, 2);
	cr_assert_eq(poll(&ended, 1, 20000), 1);
	cr_assert_eq(rig_expect_grant(deaf, 1, &g, &fd, 1), 1);
	close(fd);
	rig_expect_refused(deaf, 2, EPROTO, GM_REASON_NONE);
	rig_expect_closed(deaf);
	/* Who reads may ask again. */
	_cleanup_fd_ int sock = rig_client(&rig);
	for (uint64_t i = 1; i <= 3; i++) {
		rig_send_attach(sock, i);
		rig_grant(&rig, 9, WRITE, small, 1);
		cr_assert_eq(rig_expect_grant(sock, i, &g, &fd, 1), 1);
		close(fd);
	}
}

/* ---- whom it trusts ---- */

/* Runs act() in a process that is nobody; true if it came to its end. */
static bool run_as_nobody(void (*act)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (!rig_become_nobody())
			_exit(1);
		act();
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void attach_untrusted(void)
{
	int sock = rig_client(&rig);

	for (uint64_t i = 0; i < 3; i++) {
		rig_send_attach(sock, i);
		rig_expect_refused(sock, i, EACCES, GM_REASON_TRUST);
	}
}

Test(helper_clients, refuses_users_who_are_not_trusted_without_asking_the_worker)
{
	if (geteuid() != 0)
		cr_skip_test("needs root to become another user");
	cr_assert(run_as_nobody(attach_untrusted));
	rig_expect_nothing(&rig, 0);
}

static void connect_too_often(void)
{
	int sock = -1;

	for (unsigned i = 0; i < CLIENTS_UID_MAX; i++)
		(void)rig_client(&rig);
	sock = packet_connect(rig.socket);
	rig_expect_refused(sock, 0, EUSERS, GM_REASON_LIMIT);
	rig_expect_closed(sock);
}

Test(helper_clients, limits_the_connections_of_a_user)
{
	if (geteuid() != 0)
		cr_skip_test("needs root to become another user");
	unsigned before = count_helper_descriptors();
	cr_assert(run_as_nobody(connect_too_often));
	/* They are gone with him. */
	while (count_helper_descriptors() > before)
		usleep(1000);
	cr_assert(run_as_nobody(connect_too_often));
}

#define AT_ONCE 16U /* answers that fit into a connection's buffer */

/* Asks over and over, many times at once so that it is far faster than anybody may be, until he is
 * told that it is too fast. */
static void ask_too_fast(void)
{
	struct gm_refused m = {.reason = put_le32(GM_REASON_NONE)};
	int sock = rig_client(&rig);

	while (get_le32(m.reason) != GM_REASON_RATE) {
		for (unsigned i = 0; i < AT_ONCE; i++) {
			union packet p;
			size_t size = make_attach(&p);
			(void)packet_send(sock, &p, size, NULL, 0, true); /* it may be closed */
		}
		for (unsigned i = 0; i < AT_ONCE && get_le32(m.reason) != GM_REASON_RATE; i++)
			if (packet_receive(sock, &m, sizeof(m), NULL, NULL, true) != sizeof(m))
				_exit(3);
	}
	if (get_le32(m.error) != EAGAIN)
		_exit(2);
}

static void connect_in_time(void)
{
	int sock = packet_connect(rig.socket);

	rig_send_hello(sock, 1);
	rig_expect_welcome(sock, 1);
}

Test(helper_clients, limits_the_messages_of_a_user_and_nobody_elses)
{

	if (geteuid() != 0)
		cr_skip_test("needs root to become another user");
	cr_assert(run_as_nobody(ask_too_fast));
	_cleanup_fd_ int sock = rig_client(&rig);
	attach(sock, 1);
	sleep(1); /* as he is told */
	cr_assert(run_as_nobody(connect_in_time));
	if (!getenv("GM_VERBOSE"))
		cr_expect_leq(rig_count_log(&rig, "refusal pid="), 400);
}

/* One client that attaches again and again fills no log; how often it did is told. */
Test(helper_clients, limits_the_lines_about_grants_to_one_process)
{
	const unsigned grants = 60;
	_cleanup_fd_ int sock = rig_client(&rig);

	for (uint32_t i = 0; i < grants; i++)
		attach(sock, i);
	rig_expect_all_lines(&rig, "grant pid=", "more grants to user", grants);
}
