// SPDX-License-Identifier: MIT
/* A worker that does not read what it is told: what waits for it has an end, and so has the link.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/server.h"
#include "util/packet.h"

static struct server server;
static int worker;

static void set_up(void)
{
	int ends[2];

	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	link_init(&server.link);
	server.link.source.fd = ends[0];
	cr_assert_eq(source_add(&server.link.source, server.epoll, EPOLLIN), 0);
	server.link.state = LINK_STATE_UP;
	worker = ends[1];
}

static void tear_down(void)
{
	(void)close(worker);
	(void)close(server.link.source.fd);
	(void)close(server.epoll);
	free(server.link.queue);
}

TestSuite(helper_link, .init = set_up, .fini = tear_down);

/* Returns how many of them came, the first with this number, in their order. */
static uint64_t read_all(uint64_t first)
{
	struct link_holder m;
	uint64_t count = 0;

	while (packet_receive(worker, &m, sizeof(m), NULL, NULL, false) == (ssize_t)sizeof(m)) {
		cr_assert_eq(get_le64(m.header.id), first + count);
		count++;
	}
	return count;
}

static void send_holders(uint64_t first, uint64_t count)
{
	for (uint64_t n = first; n < first + count; n++) {
		struct link_holder m = {.header = link_header_make(sizeof(m), LINK_HOLDER, n)};

		link_send(&server, &m.header);
	}
}

Test(helper_link, what_is_not_read_yet_waits_in_its_order)
{
	uint64_t sent = 4 * LINK_QUEUE_BUSY / sizeof(struct link_holder), got = 0;

	send_holders(0, sent);
	cr_assert_gt(server.link.queue_end, 0);
	while (got < sent) {
		uint64_t more = read_all(got);

		cr_assert_gt(more, 0);
		got += more;
		link_flush(&server);
		if (got == more) { /* what comes now has room where the first ones were */
			send_holders(sent, sent);
			sent *= 2;
		}
	}
	cr_expect_eq(server.link.queue_end, 0);
	cr_expect_eq(server.link.state, LINK_STATE_UP);
}

Test(helper_link, too_much_of_it_is_the_end)
{
	uint64_t fit = LINK_QUEUE_MAX / sizeof(struct link_holder), got;

	send_holders(0, fit);
	cr_assert_gt(server.link.queue_end, LINK_QUEUE_MAX / 2);
	send_holders(fit, fit);
	cr_expect_eq(server.link.queue_end, 0, "nothing of it is kept");
	got = read_all(0);
	cr_expect_lt(got, fit);
	struct link_holder m;
	cr_expect_eq(packet_receive(worker, &m, sizeof(m), NULL, NULL, false), 0,
		"and the worker learns of it");
}
