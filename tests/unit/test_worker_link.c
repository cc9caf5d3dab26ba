// SPDX-License-Identifier: MIT
/* What the worker takes from its supervisor: whole orders, with the descriptor that belongs to them
 * or none. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuse/worker_link.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

static int supervisor, worker;

static void set_up(void)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	supervisor = ends[0];
	worker = ends[1];
}

static void tear_down(void)
{
	(void)close_fd(supervisor);
	(void)close_fd(worker);
}

TestSuite(worker_link, .init = set_up, .fini = tear_down);

static void say(uint16_t opcode, uint32_t said_size, uint16_t reserved, size_t size, size_t nfds)
{
	const struct link_plain m = {.header = {.size = put_le32(said_size),
					     .opcode = put_le16(opcode),
					     .reserved = put_le16(reserved),
					     .id = put_le64(4711)}};
	const int fds[2] = {STDIN_FILENO, STDIN_FILENO};

	cr_assert_eq(packet_send(supervisor, &m, size, fds, nfds, true), 0);
}

static size_t count_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(worker_link, orders_are_taken_with_their_descriptors)
{
	static const struct {
		uint16_t opcode;
		size_t nfds;
	} cases[] = {
		{LINK_FUSE_FD, 1},
		{LINK_PEER, 1},
		{LINK_STOP, 0},
		{LINK_YIELD, 0},
		{LINK_SUPERVISOR, 0},
		{LINK_KEEPER, 0},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct worker_order order = {.fd = -1};

		say(cases[n].opcode, sizeof(struct link_plain), 0, sizeof(struct link_plain),
			cases[n].nfds);
		cr_expect_eq(worker_link_receive(worker, &order), 0, "%u", cases[n].opcode);
		cr_expect_eq(order.opcode, cases[n].opcode);
		cr_expect_eq(order.id, 4711);
		cr_expect_eq(order.fd >= 0, cases[n].nfds == 1);
		if (order.fd >= 0)
			cr_expect_eq(fcntl(order.fd, F_GETFD), FD_CLOEXEC);
		order.fd = close_fd(order.fd);
	}
}

Test(worker_link, everything_else_ends_it_and_leaves_no_descriptor)
{
	static const struct {
		const char *what;
		uint16_t opcode, reserved;
		uint32_t said_size;
		size_t size, nfds;
	} cases[] = {
		{"half a header", LINK_STOP, 0, 16, 8, 0},
		{"another size in its header", LINK_STOP, 0, 15, 16, 0},
		{"reserved", LINK_STOP, 1, 16, 16, 0},
		{"unknown", 99, 0, 16, 16, 0},
		{"what a helper says", LINK_READY, 0, 16, 16, 0},
		{"a mount without a connection", LINK_FUSE_FD, 0, 16, 16, 0},
		{"a helper without a link", LINK_PEER, 0, 16, 16, 0},
		{"a descriptor for nothing", LINK_STOP, 0, 16, 16, 1},
		{"two connections", LINK_FUSE_FD, 0, 16, 16, 2},
	};
	const size_t before = count_fds();

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct worker_order order = {.opcode = 12345, .fd = -1};

		say(cases[n].opcode, cases[n].said_size, cases[n].reserved, cases[n].size,
			cases[n].nfds);
		int r = worker_link_receive(worker, &order);
		cr_expect(r == -EPROTO || r == -EMSGSIZE, "%s: %d", cases[n].what, r);
		cr_expect_eq(order.opcode, 12345, "%s was taken", cases[n].what);
		cr_expect_eq(count_fds(), before, "%s", cases[n].what);
	}
}

Test(worker_link, its_end_and_its_silence_are_told_apart)
{
	struct worker_order order;

	cr_expect_eq(worker_link_receive(worker, &order), -EAGAIN);
	supervisor = close_fd(supervisor);
	cr_expect_eq(worker_link_receive(worker, &order), -ECONNRESET);
}
