// SPDX-License-Identifier: MIT
/*
 * The worker's link to the helper: what a new helper is told, what ends the link, and that a slow
 * helper misses nothing.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "grants_fixture.h"
#include "util/cleanup.h"
#include "util/packet.h"

TestSuite(grants, .init = grants_setup, .fini = grants_teardown);

Test(grants, a_link_begins_with_the_configuration)
{
	new_link();
	cr_assert_eq(next(), LINK_CONFIG);
	cr_assert_eq(get_le32(got.config.version), LINK_VERSION);
	cr_assert_eq(get_le32(got.config.region_count), 1);
	cr_assert_arr_eq(got.config.uuid, fixture.super.uuid, 16);
	cr_assert_eq(get_le64(got.config.regions[0].first_data), fixture.super.first_data[0]);
	cr_assert_eq(get_le64(got.config.regions[0].data_blocks), fixture.super.data_blocks[0]);
	cr_assert_eq(next(), LINK_RESUMED);
	cr_assert_eq(next(), 0);
	cr_assert(!grants_is_ready(grants));
	say_plain(LINK_READY);
	cr_assert(pump());
	cr_assert(grants_is_ready(grants));
}

Test(grants, a_new_helper_is_told_what_is_held)
{
	uint64_t ino, epoch;

	clean_everything();
	ino = make_clean_file("a", 3);
	(void)make_clean_file("b", 1);
	connect_helper();
	(void)grant_now(1, ino);
	epoch = grant_now(2, ino);

	new_link();
	cr_assert_eq(next(), LINK_CONFIG);
	cr_assert_eq(next(), LINK_HELD);
	cr_assert_eq(get_le64(got.held.ino), ino);
	cr_assert_eq(get_le64(got.held.epoch), epoch);
	cr_assert_eq(get_le64(got.held.extent_count), inode_of(ino)->extent_count);
	cr_assert_eq(next(), LINK_EXTENTS);
	cr_assert_eq(get_le64(got.extents.extents[0].block), inode_of(ino)->extents[0].block);
	cr_assert_eq(get_le32(got.extents.extents[0].count), inode_of(ino)->extents[0].count);
	cr_assert_eq(next(), LINK_RESUMED);
}

/* One that was restarted does not know the numbers that its predecessor gave. */
Test(grants, a_new_worker_is_above_all_numbers_of_the_old_one)
{
	struct grants_config config = {.ns = &ns, .checked = on_checked, .holder = on_holder};
	struct problem why = PROBLEM_INIT;
	uint64_t ino, epoch;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	epoch = grant_now(1, ino);

	grants = grants_free(grants);
	cr_assert_eq(fixture_reopen(&fixture, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(fixture.store, fixture_boot, &why), 0, "%s", why.text);
	ns_init(&ns, fixture.store);
	config.tickets = tickets;
	cr_assert_eq(grants_new(&grants, &config), 0);
	new_link();
	cr_assert_eq(next(), LINK_CONFIG);
	cr_assert_eq(next(), LINK_HELD);
	cr_assert_gt(get_le64(got.held.epoch), epoch);
	epoch = get_le64(got.held.epoch);
	cr_assert_eq(next(), LINK_EXTENTS);
	cr_assert_eq(next(), LINK_RESUMED);
	say_plain(LINK_READY);
	cr_assert(pump());
	cr_assert_gt(grant_now(1, ino), epoch);
}

Test(grants, a_slow_helper_gets_everything_in_its_order)
{
	char name[8];
	uint64_t inos[40], seen = 0;
	int ends[2], small = 1; /* the kernel makes it as small as it can be */
	unsigned opcode, waits = 0;

	clean_everything();
	connect_helper();
	for (unsigned i = 0; i < ARRAY_SIZE(inos); i++) {
		(void)snprintf(name, sizeof(name), "%u", i);
		inos[i] = make_clean_file(name, 1);
		(void)grant_now(i, inos[i]);
	}
	(void)close_fd(helper);
	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	helper = ends[1];
	cr_assert_eq(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	small = 12000; /* a packet of extents must fit */
	cr_assert_eq(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	cr_assert_eq(grants_set_link(grants, ends[0]), 0);
	cr_assert_eq(next(), LINK_CONFIG);
	do {
		opcode = next();
		if (opcode == 0) {
			waits++;
			cr_assert(grants_events(grants) & EPOLLOUT);
			cr_assert(pump());
			continue;
		}
		seen += opcode == LINK_HELD;
		if (opcode == LINK_HELD)
			cr_assert_eq(next(), LINK_EXTENTS);
	} while (opcode != LINK_RESUMED);
	cr_assert_eq(seen, ARRAY_SIZE(inos));
	cr_assert_gt(waits, 0, "the socket was never full: nothing was tried");
	cr_assert_eq(grants_events(grants), EPOLLIN);
}

Test(grants, what_breaks_the_protocol_ends_the_link)
{
	static const struct {
		const char *what;
		unsigned opcode;
		unsigned size;
		unsigned said_size;
		unsigned reserved_at; /* a byte that is not zero; 0: none */
		bool ready;
	} cases[] = {
		{"nothing before READY", LINK_DONE, 24, 24, 0, false},
		{"READY twice", LINK_READY, 16, 16, 0, true},
		{"an opcode of the other side", LINK_GRANT, 56, 56, 0, true},
		{"an unknown opcode", 99, 16, 16, 0, true},
		{"too short for a header", LINK_READY, 8, 8, 0, false},
		{"too short", LINK_REDEEM, 40, 40, 0, true},
		{"too long", LINK_DONE, 32, 32, 0, true},
		{"another size in its header", LINK_DONE, 24, 23, 0, true},
		{"reserved in the header", LINK_REDEEM, 48, 48, 6, true},
		{"reserved in REDEEM", LINK_REDEEM, 48, 48, 44, true},
		{"reserved in FREE", LINK_FREE, 40, 40, 36, true},
		{"a pid in FREE", LINK_FREE, 40, 40, 32, true},
		{"reserved in BUSY", LINK_BUSY, 40, 40, 36, true},
		{"DONE of no order", LINK_DONE, 24, 24, 8, true},
		{"DONE with number 0", LINK_DONE, 24, 24, 0, true},
		{"HOLDER unasked", LINK_HOLDER, 40, 40, 0, true},
		{"HOLDERS_END unasked", LINK_HOLDERS_END, 24, 24, 0, true},
		{"HOLDERS_END of before", LINK_HOLDERS_END, 16, 16, 0, true},
		{"longer than any message", LINK_DONE, 200, 200, 0, true},
	};

	clean_everything();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t bytes[256] = {0};
		struct link_header h = {
			.size = put_le32(cases[i].said_size),
			.opcode = put_le16((uint16_t)cases[i].opcode),
		};

		if (cases[i].ready)
			connect_helper();
		else
			new_link();
		memcpy(bytes, &h, sizeof(h));
		if (cases[i].reserved_at)
			bytes[cases[i].reserved_at] = 1;
		cr_assert_eq(packet_send(helper, bytes, cases[i].size, NULL, 0, false), 0);
		cr_expect_not(pump(), "%s", cases[i].what);
		cr_expect_eq(grants_fd(grants), -1, "%s", cases[i].what);
	}
}

Test(grants, a_helper_that_ends_is_noticed)
{
	connect_helper();
	helper = close_fd(helper);
	cr_assert_not(pump());
	cr_assert_not(grants_is_ready(grants));
	cr_assert_not(grants_ask_holders(grants));
	grants_check(grants, 2, 0); /* to nobody */
}
