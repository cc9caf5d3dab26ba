// SPDX-License-Identifier: MIT
/*
 * Grants, seen from the helper's end of the link: what is granted is clean and held on the media,
 * what can't be is refused with its reason, nothing is let go by an old word, and a new helper
 * learns everything. The store is real; the test is the helper.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "fuse/grants.h"
#include "fuse/namespace.h"
#include "fuse/scrub.h"
#include "fuse/tickets.h"
#include "store_fixture.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define BLOCK GM_BLOCK_SIZE

static struct fixture fixture;
static struct namespace ns;
static struct tickets *tickets;
static struct grants *grants;
static int helper = -1; /* the test's end of the link */

static struct { /* the last call of checked() */
	unsigned count;
	uint64_t ino;
	bool busy;
} checked;

static struct { /* calls of holder() */
	unsigned count;
	unsigned ends;
	uint32_t pid;
} holders;

static struct { /* the last call of exported() */
	unsigned count;
	uint64_t ino;
	int error;
	char node[64];
} exported;

static struct { /* the last call of unexported() */
	unsigned count;
	uint64_t ino;
	int error;
} unexported;

static union message {
	struct link_header header;
	struct link_plain plain;
	struct link_config config;
	struct link_held held;
	struct link_grant grant;
	struct link_refuse refuse;
	struct link_extents extents;
	struct link_scrub scrub;
	struct link_zero zero;
	struct link_check check;
	struct link_hand_over hand_over;
	struct link_export export;
	struct link_revoke revoke;
} got; /* what the helper received last */

static void on_checked(void *data, uint64_t ino, bool busy)
{
	(void)data;
	checked.count++;
	checked.ino = ino;
	checked.busy = busy;
}

static void on_holder(void *data, const struct link_holder *h)
{
	(void)data;
	holders.count += h != NULL;
	holders.ends += h == NULL;
	if (h)
		holders.pid = get_le32(h->pid);
}

static void on_exported(
	void *data, uint64_t ino, int error, enum gm_reason reason, const char *node)
{
	(void)data, (void)reason;
	exported.count++;
	exported.ino = ino;
	exported.error = error;
	(void)snprintf(exported.node, sizeof(exported.node), "%s", node ? node : "");
}

static void on_unexported(void *data, uint64_t ino, int error)
{
	(void)data;
	unexported.count++;
	unexported.ino = ino;
	unexported.error = error;
}

static struct {
	unsigned holders, ends;
	uint64_t id;
	int state;
} revoked;

static void on_revoked(void *data, uint64_t id, const struct link_holder *h, int state)
{
	(void)data;
	revoked.holders += h != NULL;
	revoked.ends += h == NULL;
	revoked.id = id;
	revoked.state = state;
}

static struct { /* the last call of zeroed() */
	unsigned count;
	uint64_t id;
	int error;
} zeroed;

static void on_zeroed(void *data, uint64_t id, int error)
{
	(void)data;
	zeroed.count++;
	zeroed.id = id;
	zeroed.error = error;
}

/* ---- the helper ---- */

static bool pump(void)
{
	bool there = grants_serve(grants, EPOLLIN | EPOLLOUT);

	grants_advance(grants);
	return there;
}

/* The opcode of the next message, which is in `got`; 0 if there is none. */
static unsigned next(void)
{
	ssize_t n;

	memset(&got, 0, sizeof(got));
	n = packet_receive(helper, &got, sizeof(got), NULL, NULL, false);
	if (n == -EAGAIN)
		return 0;
	cr_assert_geq(n, (ssize_t)sizeof(got.header));
	cr_assert_eq(get_le32(got.header.size), n);
	cr_assert_eq(get_le16(got.header.reserved), 0);
	return get_le16(got.header.opcode);
}

static void say(void *message, size_t size, unsigned opcode, uint64_t id)
{
	struct link_header header = {
		.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id),
	};

	memcpy(message, &header, sizeof(header));
	cr_assert_eq(packet_send(helper, message, size, NULL, 0, false), 0);
}

static void say_plain(unsigned opcode)
{
	struct link_plain m;

	say(&m, sizeof(m), opcode, 0);
}

static void say_done(uint64_t id, int error)
{
	struct link_done m = {.error = put_le32((uint32_t)error)};

	say(&m, sizeof(m), LINK_DONE, id);
}

static void say_free(uint64_t ino, uint64_t epoch)
{
	struct link_check m = {.ino = put_le64(ino), .epoch = put_le64(epoch)};

	say(&m, sizeof(m), LINK_FREE, 0);
}

static void say_redeem(uint64_t id, const struct gm_ticket *t)
{
	struct link_redeem m = {.ticket = *t};

	say(&m, sizeof(m), LINK_REDEEM, id);
}

static void new_link(void)
{
	int ends[2];

	(void)close_fd(helper);
	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	helper = ends[1];
	cr_assert_eq(grants_set_link(grants, ends[0]), 0);
}

static void connect_helper(void)
{
	new_link();
	while (next() != LINK_RESUMED)
		cr_assert_neq(get_le16(got.header.opcode), 0);
	say_plain(LINK_READY);
	cr_assert(pump());
	cr_assert(grants_is_ready(grants));
}

/* ---- files ---- */

static const struct ns_request nobody = {.unique = 0};

static uint64_t make_file(const char *name)
{
	struct stat st;

	cr_assert_eq(ns_create(&ns, &nobody, GM_ROOT_INO, name, strlen(name), 0600, &st), 0);
	return st.st_ino;
}

static void resize(uint64_t ino, uint64_t size)
{
	struct ns_change change = {.set = NS_SET_SIZE, .size = size};
	struct stat st;

	cr_assert_eq(ns_setattr(&ns, &nobody, ino, &change, &st), 0);
}

static uint64_t make_dirty_file(const char *name, uint64_t blocks)
{
	uint64_t ino = make_file(name);

	resize(ino, blocks * BLOCK);
	return ino;
}

static uint64_t make_clean_file(const char *name, uint64_t blocks)
{
	uint64_t ino = make_dirty_file(name, blocks);

	cr_assert_eq(fixture_scrub(&fixture, ino), 0);
	return ino;
}

static const struct inode *inode_of(uint64_t ino)
{
	return meta_inode(store_meta(fixture.store), ino);
}

static bool is_held(uint64_t ino)
{
	return inode_of(ino)->attr.flags & GM_INODE_HELD;
}

static struct alloc_stats stats(void)
{
	struct alloc_stats s;

	alloc_get_stats(store_meta(fixture.store)->alloc, &s);
	return s;
}

static void redeem(uint64_t id, uint64_t ino, uint32_t access)
{
	struct gm_ticket t;

	cr_assert_eq(tickets_issue(tickets, ino, 0, access, &t), 0);
	say_redeem(id, &t);
	cr_assert(pump());
}

static uint64_t free_epoch;

/* A granted file's number, with the GRANT and its EXTENTS read away. */
static uint64_t grant_now(uint64_t id, uint64_t ino)
{
	redeem(id, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_GRANT);
	free_epoch = get_le64(got.grant.epoch);
	for (uint64_t left = get_le64(got.grant.extent_count); left > 0;
		left -= get_le32(got.extents.count))
		cr_assert_eq(next(), LINK_EXTENTS);
	return free_epoch;
}

/* All free blocks are clean: nothing goes on in the background. */
static void clean_everything(void)
{
	const struct alloc *a = store_meta(fixture.store)->alloc;
	struct alloc_extent e;
	uint64_t cursor = 0;

	while (alloc_next_dirty(a, &cursor, 64, &e))
		cr_assert_eq(ns_blocks_clean(&ns, &e, 1), 0);
}

static void setup(void)
{
	struct grants_config config = {.ns = &ns,
		.checked = on_checked,
		.holder = on_holder,
		.exported = on_exported,
		.unexported = on_unexported,
		.revoked = on_revoked,
		.zeroed = on_zeroed};

	fixture_init(&fixture, 64);
	ns_init(&ns, fixture.store);
	tickets = config.tickets = tickets_new(0);
	cr_assert_eq(grants_new(&grants, &config), 0);
}

static void teardown(void)
{
	grants = grants_free(grants);
	tickets = tickets_free(tickets);
	helper = close_fd(helper);
	fixture_deinit(&fixture);
}

/* Who asks. */
static const struct asker root = {.pid = 1, .uid = 0};
static const struct asker somebody = {.pid = 4711, .uid = 1000};

TestSuite(grants, .init = setup, .fini = teardown);

/* ---- the link ---- */

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

/* ---- grants ---- */

Test(grants, a_clean_file_is_granted_at_once_and_held_on_the_media_by_then)
{
	struct fixture copy;
	struct problem why = PROBLEM_INIT;
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 3);
	resize(ino, 3 * BLOCK - 5);
	resize(ino, 3 * BLOCK);
	cr_assert_eq(ns_stale_done(&ns, ino, 3 * BLOCK - 5), 0);
	connect_helper();
	redeem(77, ino, GM_ACCESS_READ | GM_ACCESS_WRITE);

	cr_assert_eq(next(), LINK_GRANT);
	cr_assert_eq(get_le64(got.header.id), 77);
	cr_assert_eq(get_le64(got.grant.ino), ino);
	cr_assert_eq(get_le64(got.grant.size), 3 * BLOCK);
	cr_assert_eq(get_le32(got.grant.access), GM_ACCESS_READ | GM_ACCESS_WRITE);
	cr_assert_eq(get_le64(got.grant.extent_count), 1);
	cr_assert_eq(next(), LINK_EXTENTS);
	cr_assert_eq(get_le64(got.header.id), 77);
	cr_assert_eq(get_le32(got.extents.count), 1);
	cr_assert_eq(get_le64(got.extents.extents[0].block), inode_of(ino)->extents[0].block);
	cr_assert_eq(get_le32(got.extents.extents[0].count), 3);
	cr_assert_eq(next(), 0);

	fixture_copy(&copy, &fixture);
	cr_assert_eq(fixture_open(&copy, &why), 0, "%s", why.text);
	cr_assert(meta_inode(store_meta(copy.store), ino)->attr.flags & GM_INODE_HELD);
	fixture_deinit(&copy);
}

Test(grants, a_bad_ticket_is_refused)
{
	struct gm_ticket t = {.bytes = {1, 2, 3}};
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	say_redeem(5, &t);
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	say_redeem(6, &t);
	say_redeem(7, &t);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_REFUSE);
	cr_assert_eq(get_le64(got.header.id), 5);
	cr_assert_eq(get_le32(got.refuse.error), EKEYREJECTED);
	cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_TICKET);
	cr_assert_eq(next(), LINK_GRANT);
	cr_assert_eq(next(), LINK_EXTENTS);
	cr_assert_eq(next(), LINK_REFUSE, "used twice");
	cr_assert_eq(get_le64(got.header.id), 7);
}

Test(grants, a_removed_file_is_refused)
{
	struct gm_ticket t;
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "a", 1), 0);
	say_redeem(5, &t);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_REFUSE);
	cr_assert_eq(get_le32(got.refuse.error), ESTALE);
	cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_GONE);
}

/* ---- scrubbing ---- */

/* Answers all orders that are there; how many blocks they were about. Other messages end it, in
 * `got`. */
static uint64_t scrub_until_other(unsigned *opcode)
{
	uint64_t blocks = 0;

	while ((*opcode = next()) == LINK_SCRUB) {
		cr_assert_leq(get_le32(got.scrub.count), LINK_SCRUB_MAX);
		blocks += get_le32(got.scrub.count);
		say_done(get_le64(got.header.id), 0);
		cr_assert(pump());
	}
	return blocks;
}

Test(grants, a_dirty_file_waits_until_every_block_is_zeroed)
{
	uint64_t ino = make_dirty_file("a", 90), dirty = stats().used_dirty, first;
	unsigned opcode;

	cr_assert_eq(dirty, 90);
	clean_everything();
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	redeem(2, ino, GM_ACCESS_READ | GM_ACCESS_WRITE);
	cr_assert_not(is_held(ino));
	cr_assert_eq(scrub_until_other(&opcode), dirty);
	cr_assert_eq(stats().used_dirty, 0);
	cr_assert_eq(opcode, LINK_GRANT);
	cr_assert_eq(get_le64(got.header.id), 1);
	first = get_le64(got.grant.epoch);
	do
		opcode = next();
	while (opcode == LINK_EXTENTS);
	cr_assert_eq(opcode, LINK_GRANT);
	cr_assert_eq(get_le64(got.header.id), 2);
	cr_assert_eq(get_le32(got.grant.access), GM_ACCESS_READ | GM_ACCESS_WRITE);
	cr_assert_gt(get_le64(got.grant.epoch), first);
	cr_assert(is_held(ino));
}

Test(grants, few_orders_are_outstanding_and_none_twice)
{
	uint64_t ino = make_dirty_file("a", 100);
	struct link_scrub first;

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB, "in the background");
	say_done(get_le64(got.header.id), 0);
	redeem(1, ino, GM_ACCESS_READ);
	/* The background's second order may have come before the file's. */
	unsigned orders = 0;
	while (next() == LINK_SCRUB) {
		if (orders == 0)
			first = got.scrub;
		else
			cr_assert(get_le64(got.scrub.block) != get_le64(first.block));
		orders++;
	}
	cr_assert_eq(orders, SCRUB_ORDERS_MAX);
	cr_assert(pump());
	cr_assert_eq(next(), 0, "no more until one is done");
}

Test(grants, when_zeroing_fails_the_file_is_refused_and_stays_dirty)
{
	uint64_t ino = make_dirty_file("a", 90);

	clean_everything();
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	redeem(2, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_SCRUB);
	say_done(get_le64(got.header.id), EIO);
	cr_assert(pump());
	for (uint64_t id = 1; id <= 2; id++) {
		while (next() == LINK_SCRUB)
			;
		cr_assert_eq(get_le16(got.header.opcode), LINK_REFUSE);
		cr_assert_eq(get_le64(got.header.id), id);
		cr_assert_eq(get_le32(got.refuse.error), EIO);
		cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_SCRUB);
	}
	cr_assert_not(is_held(ino));
	cr_assert_not(meta_is_clean(store_meta(fixture.store), inode_of(ino)));
}

Test(grants, a_file_with_poison_under_old_bytes_is_refused)
{
	uint64_t ino = make_dirty_file("a", 3);
	const struct file_extent *f = &inode_of(ino)->extents[0];
	unsigned opcode;

	clean_everything();
	alloc_set_poisoned(store_meta(fixture.store)->alloc,
		&(struct alloc_extent){f->block + 1, f->region, 1});
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(scrub_until_other(&opcode), 2, "the sound ones");
	cr_assert_eq(opcode, LINK_REFUSE);
	cr_assert_eq(get_le32(got.refuse.error), EIO);
	cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_SCRUB);
	cr_assert_not(is_held(ino));
}

Test(grants, a_file_that_grows_while_it_waits_is_granted_whole)
{
	uint64_t ino, blocks = 0;
	unsigned opcode;

	ino = make_dirty_file("a", 2);
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	resize(ino, 70 * BLOCK);
	(void)scrub_until_other(&opcode);
	cr_assert_eq(opcode, LINK_GRANT);
	cr_assert_eq(get_le64(got.grant.size), 70 * BLOCK);
	for (uint64_t left = get_le64(got.grant.extent_count); left > 0;) {
		cr_assert_eq(next(), LINK_EXTENTS);
		for (unsigned i = 0; i < get_le32(got.extents.count); i++, left--)
			blocks += get_le32(got.extents.extents[i].count);
	}
	cr_assert_eq(blocks, 70);
	cr_assert(meta_is_clean(store_meta(fixture.store), inode_of(ino)));
}

Test(grants, a_file_that_shrinks_or_goes_while_it_waits_is_no_trouble)
{
	uint64_t shrinking = make_dirty_file("a", 40), going = make_dirty_file("b", 40);
	unsigned opcode, grants_seen = 0, refusals = 0;

	connect_helper();
	redeem(1, shrinking, GM_ACCESS_READ);
	redeem(2, going, GM_ACCESS_READ);
	resize(shrinking, 0);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "b", 1), 0);
	cr_assert(pump());
	for (unsigned i = 0; i < 1000 && grants_seen + refusals < 2; i++) {
		(void)scrub_until_other(&opcode);
		if (opcode == LINK_GRANT) {
			cr_assert_eq(get_le64(got.header.id), 1);
			cr_assert_eq(get_le64(got.grant.extent_count), 0);
			grants_seen++;
		} else if (opcode == LINK_REFUSE) {
			cr_assert_eq(get_le64(got.header.id), 2);
			cr_assert_eq(get_le32(got.refuse.error), ESTALE);
			refusals++;
		}
	}
	cr_assert_eq(grants_seen, 1);
	cr_assert_eq(refusals, 1);
}

/* A late zero must never hit what has been granted. */
Test(grants, a_block_under_an_order_is_not_granted_before_it_is_done)
{
	struct alloc_extent ordered;
	uint64_t ino, order;

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB);
	order = get_le64(got.header.id);
	ordered = (struct alloc_extent){
		get_le64(got.scrub.block), get_le32(got.scrub.region), get_le32(got.scrub.count)};
	/* The block becomes a file's, and clean in some other way; the order is still on its way.
	 */
	ino = make_dirty_file("a", stats().free);
	cr_assert_eq(fixture_scrub(&fixture, ino), 0);
	cr_assert(alloc_is_used(store_meta(fixture.store)->alloc, &ordered));
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), 0);
	say_done(order, 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_GRANT);
}

Test(grants, a_small_file_does_not_wait_for_all_of_a_great_one)
{
	uint64_t great = make_dirty_file("a", 80), small = make_dirty_file("b", 1);
	const struct file_extent *f = &inode_of(great)->extents[0];
	unsigned opcode;

	/* Every second block is clean: each order is about one block, so that there are many. */
	cr_assert_eq(f->count, 80);
	for (uint32_t i = 0; i < f->count; i += 2)
		cr_assert_eq(
			ns_blocks_clean(&ns, &(struct alloc_extent){f->block + i, f->region, 1}, 1),
			0);
	clean_everything();
	connect_helper();
	redeem(1, great, GM_ACCESS_READ);
	redeem(2, small, GM_ACCESS_READ);
	cr_assert_leq(scrub_until_other(&opcode), 3 * SCRUB_ORDERS_MAX, "of 41");
	cr_assert_eq(opcode, LINK_GRANT);
	cr_assert_eq(get_le64(got.header.id), 2);
}

Test(grants, the_rest_of_a_block_is_zeroed_where_a_file_was_cut)
{
	uint64_t ino, block, order;

	clean_everything();
	ino = make_clean_file("a", 2);
	resize(ino, BLOCK + 4097);
	block = inode_of(ino)->extents[0].block + 1;
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_ZERO);
	cr_assert_eq(get_le64(got.zero.offset), block * BLOCK + 4097);
	cr_assert_eq(get_le32(got.zero.length), BLOCK - 4097);
	cr_assert_eq(get_le32(got.zero.region), 0);
	order = get_le64(got.header.id);
	cr_assert_eq(next(), 0);
	cr_assert_eq(inode_of(ino)->attr.stale_from, BLOCK + 4097);
	say_done(order, 0);
	cr_assert(pump());
	cr_assert_eq(inode_of(ino)->attr.stale_from, 0);
	cr_assert_eq(next(), LINK_GRANT);
}

Test(grants, a_cut_that_moved_meanwhile_is_zeroed_again)
{
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 1);
	resize(ino, 5000);
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_ZERO);
	resize(ino, 100);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_ZERO);
	cr_assert_eq(get_le32(got.zero.length), BLOCK - 100);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_GRANT);
	cr_assert_eq(get_le64(got.grant.size), 100);
}

/* ---- zeroing for a punch ---- */

static uint64_t zero(uint64_t ino, const struct ns_range *ranges, unsigned count)
{
	uint64_t id = 0;

	cr_assert_eq(grants_zero(grants, ino, ranges, count, &id), 0);
	cr_assert_neq(id, 0);
	return id;
}

static void expect_zero(uint64_t ino, uint64_t offset, uint64_t length)
{
	cr_assert_eq(next(), LINK_ZERO);
	cr_assert_eq(get_le64(got.zero.offset), inode_of(ino)->extents[0].block * BLOCK + offset);
	cr_assert_eq(get_le32(got.zero.length), length);
}

/* As if they had been taken from blocks that were not scrubbed yet. */
static void mark_dirty(uint64_t ino, uint64_t first, uint64_t end)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);
	const struct inode *i = inode_of(ino);

	for (uint32_t n = 0; n < i->extent_count; n++)
		for (uint32_t k = 0; k < i->extents[n].count; k++) {
			uint64_t at = i->extents[n].file_block + k;
			struct alloc_extent e = {i->extents[n].block + k, 0, 1};

			if (at >= first && at < end)
				txn_set_blocks(&t, &e, GM_BLOCKS_DIRTY);
		}
	cr_assert_eq(store_commit(fixture.store, &t), 0);
}

static const struct ns_range both_ends[] = {{100, BLOCK - 100}, {2 * BLOCK, 7}};

Test(grants, bytes_are_zeroed_one_range_after_the_other)
{
	uint64_t ino, id;

	clean_everything();
	ino = make_clean_file("a", 3);
	id = zero(ino, both_ends, 2);
	connect_helper();
	expect_zero(ino, 100, BLOCK - 100);
	cr_assert_eq(next(), 0);
	say_done(get_le64(got.header.id), EPROTO); /* of an order that there is not */
	cr_assert_not(pump());
	cr_assert_eq(zeroed.count, 0);

	connect_helper();
	expect_zero(ino, 100, BLOCK - 100);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	cr_assert_eq(zeroed.count, 0);
	expect_zero(ino, 2 * BLOCK, 7);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	cr_assert(zeroed.count == 1 && zeroed.id == id && zeroed.error == 0);
	cr_assert_eq(next(), 0);
}

Test(grants, a_file_whose_bytes_are_being_zeroed_is_not_granted)
{
	uint64_t ino, other;

	clean_everything();
	ino = make_clean_file("a", 3);
	other = make_clean_file("b", 3);
	connect_helper();
	(void)zero(ino, both_ends, 2);
	redeem(1, ino, GM_ACCESS_READ);
	expect_zero(ino, 100, BLOCK - 100);
	(void)grant_now(2, other); /* whose answer would come behind that one's */
	cr_assert_not(is_held(ino));
}

Test(grants, bytes_that_are_gone_or_dirty_need_no_zeroing)
{
	uint64_t ino = make_clean_file("a", 3);

	clean_everything();
	connect_helper();
	cr_assert_eq(ns_change_space(&ns, &nobody, ino, NS_PUNCH, &(struct ns_range){0, BLOCK}), 0);
	(void)zero(ino, both_ends, 1); /* asked for before the block went */
	cr_assert(pump());
	cr_assert(zeroed.count == 1 && zeroed.error == 0);
	ino = make_clean_file("b", 3);
	mark_dirty(ino, 0, 3);
	(void)zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert(zeroed.count == 2 && zeroed.error == 0);
	(void)zero(4711, both_ends, 2);
	cr_assert(pump());
	cr_assert(zeroed.count == 3 && zeroed.error == -ESTALE);
}

Test(grants, bytes_that_can_not_be_zeroed_are_told_of)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);
	struct alloc_extent poisoned = {.count = 1};
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 3);
	connect_helper();
	(void)zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_ZERO);
	say_done(get_le64(got.header.id), EUCLEAN);
	cr_assert(pump());
	cr_assert(zeroed.count == 1 && zeroed.error == -EUCLEAN);
	cr_assert_eq(next(), 0, "the second end stays as it is");

	poisoned.block = inode_of(ino)->extents[0].block;
	txn_set_blocks(&t, &poisoned, GM_BLOCKS_POISONED);
	cr_assert_eq(store_commit(fixture.store, &t), 0);
	(void)zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert(zeroed.count == 2 && zeroed.error == -EIO);
	cr_assert_eq(store_freeze(fixture.store), 0);
	(void)zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert(zeroed.count == 3 && zeroed.error == -EBUSY);
	cr_assert_eq(next(), 0);
}

Test(grants, what_is_zeroed_for_nobody_any_more_is_granted_when_it_is_done)
{
	uint64_t ino, id, order;

	clean_everything();
	ino = make_clean_file("a", 3);
	connect_helper();
	id = zero(ino, both_ends, 2);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_ZERO);
	order = get_le64(got.header.id);
	grants_cancel_zero(grants, id);
	grants_cancel_zero(grants, id + 7);
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), 0);
	say_done(order, 0);
	cr_assert(pump());
	cr_assert_eq(zeroed.count, 0);
	cr_assert_eq(next(), LINK_GRANT);
}

/* ---- what of a file is granted and held ---- */

Test(grants, what_was_taken_past_the_end_is_not_granted)
{
	struct ns_range range = {0, 5 * BLOCK};
	uint64_t ino = make_dirty_file("a", 2), blocks = 0;

	resize(ino, BLOCK + 1);
	cr_assert_eq(ns_change_space(&ns, &nobody, ino, NS_ALLOCATE_KEEP, &range), 0);
	cr_assert_eq(inode_blocks(inode_of(ino)), 5);
	cr_assert_eq(fixture_scrub(&fixture, ino), 0);
	clean_everything();
	connect_helper();
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_GRANT);
	cr_assert_eq(get_le64(got.grant.size), BLOCK + 1);
	cr_assert_eq(get_le64(got.grant.extent_count), 1);
	cr_assert_eq(next(), LINK_EXTENTS);
	for (uint32_t n = 0; n < get_le32(got.extents.count); n++)
		blocks += get_le32(got.extents.extents[n].count);
	cr_assert_eq(blocks, 2);
}

/* A helper that took them for held would refuse to zero them, and the file could not be granted. */
Test(grants, blocks_that_came_after_the_grant_are_not_told_as_held)
{
	struct ns_range middle = {BLOCK, BLOCK};
	uint64_t ino = make_dirty_file("a", 3), seen = 0;

	cr_assert_eq(ns_change_space(&ns, &nobody, ino, NS_PUNCH, &middle), 0);
	cr_assert_eq(fixture_scrub(&fixture, ino), 0);
	clean_everything();
	connect_helper();
	(void)grant_now(1, ino);
	cr_assert_eq(ns_change_space(&ns, &nobody, ino, NS_ALLOCATE, &middle), 0);
	resize(ino, 6 * BLOCK);
	mark_dirty(ino, 1, 2);
	mark_dirty(ino, 3, 6);
	new_link();
	cr_assert_eq(next(), LINK_CONFIG);
	cr_assert_eq(next(), LINK_HELD);
	cr_assert_eq(get_le64(got.held.extent_count), 2);
	cr_assert_eq(next(), LINK_EXTENTS);
	cr_assert_eq(get_le32(got.extents.count), 2);
	for (uint32_t n = 0; n < 2; n++) {
		cr_assert_eq(get_le64(got.extents.extents[n].file_block), 2 * n);
		seen += get_le32(got.extents.extents[n].count);
	}
	cr_assert_eq(seen, 2);
	cr_assert_eq(next(), LINK_RESUMED);
}

Test(grants, free_blocks_are_scrubbed_in_the_background_one_order_at_a_time)
{
	uint64_t dirty = stats().free_dirty, blocks = 0;

	cr_assert_gt(dirty, LINK_SCRUB_MAX);
	connect_helper();
	while (next() == LINK_SCRUB) {
		uint64_t id = get_le64(got.header.id);

		blocks += get_le32(got.scrub.count);
		cr_assert_eq(next(), 0, "one at a time");
		say_done(id, 0);
		cr_assert(pump());
	}
	cr_assert_eq(blocks, dirty);
	cr_assert_eq(stats().free_dirty, 0);
}

Test(grants, after_a_failure_the_background_rests)
{
	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB);
	say_done(get_le64(got.header.id), EIO);
	cr_assert(pump());
	cr_assert_eq(next(), 0);
}

Test(grants, orders_of_a_helper_that_died_are_given_to_the_next_one)
{
	uint64_t ino = make_dirty_file("a", 2);
	struct link_scrub lost;

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB);
	lost = got.scrub;
	redeem(1, ino, GM_ACCESS_READ);
	cr_assert_eq(next(), LINK_SCRUB);

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB);
	cr_assert_eq(get_le64(got.scrub.block), get_le64(lost.block));
	cr_assert_eq(get_le32(got.scrub.count), get_le32(lost.count));
	say_done(get_le64(got.header.id), 0);
	cr_assert_eq(next(), LINK_SCRUB);
	say_done(get_le64(got.header.id), 0);
	cr_assert(pump());
	/* Who waited has lost the connection: no grant for nobody. */
	cr_assert_not(is_held(ino));
}

/* ---- letting go ---- */

Test(grants, a_free_counts_only_with_the_number_of_the_last_grant)
{
	uint64_t ino, old, latest;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	old = grant_now(1, ino);
	latest = grant_now(2, ino);
	say_free(ino, old);
	cr_assert(pump());
	cr_assert(is_held(ino));
	cr_assert_eq(checked.count, 1);
	cr_assert_eq(checked.ino, ino);
	cr_assert(checked.busy);

	say_free(ino, latest + 1); /* never given */
	cr_assert(pump());
	cr_assert(is_held(ino));

	say_free(ino, latest);
	cr_assert(pump());
	cr_assert_not(is_held(ino));
	cr_assert_eq(checked.count, 3);
	cr_assert_not(checked.busy);
}

/* A device that the panic has not stopped may write to it still. */
Test(grants, in_a_crash_kernel_nothing_is_free)
{
	struct grants_config config = {.ns = &ns,
		.tickets = tickets,
		.checked = on_checked,
		.holder = on_holder,
		.after_panic = true};
	uint64_t ino, epoch;

	clean_everything();
	ino = make_clean_file("a", 1);
	grants = grants_free(grants);
	cr_assert_eq(grants_new(&grants, &config), 0);
	connect_helper();
	epoch = grant_now(1, ino);
	grants_check(grants, ino, LINK_CHECK_TAKE);
	cr_assert(pump());
	cr_assert_eq(next(), 0, "nobody is asked");
	say_free(ino, epoch);
	cr_assert(pump());
	cr_assert(is_held(ino));
	cr_assert(checked.busy);
}

Test(grants, a_free_gives_back_an_unlinked_files_blocks)
{
	uint64_t ino, epoch, free;

	clean_everything();
	free = stats().free;
	ino = make_clean_file("a", 5);
	connect_helper();
	epoch = grant_now(1, ino);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "a", 1), 0);
	cr_assert_eq(stats().free, free - 5);
	say_free(ino, epoch);
	cr_assert(pump());
	cr_assert_null(inode_of(ino));
	cr_assert_eq(stats().free, free);
	cr_assert_eq(checked.ino, ino);
	cr_assert_not(checked.busy);
	/* Once more, and of an inode that never was: nothing happens. */
	say_free(ino, epoch);
	say_free(12345, 1);
	cr_assert(pump());
}

static void say_spare(uint64_t ino, uint64_t epoch, uint64_t blocks, uint32_t flags)
{
	struct link_spare m = {.ino = put_le64(ino),
		.epoch = put_le64(epoch),
		.blocks = put_le64(blocks),
		.flags = put_le32(flags)};

	say(&m, sizeof(m), LINK_SPARE, 0);
}

/* A removed file of all blocks but these; its number of the last grant in free_epoch. */
static uint64_t make_removed_file(uint64_t rest)
{
	clean_everything();
	uint64_t ino = make_clean_file("a", stats().free - rest);
	connect_helper();
	(void)grant_now(1, ino);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "a", 1), 0);
	return ino;
}

static int try_to_resize(uint64_t ino, uint64_t blocks)
{
	struct ns_change change = {.set = NS_SET_SIZE, .size = blocks * BLOCK};
	struct stat st;

	return ns_setattr(&ns, &nobody, ino, &change, &st);
}

Test(grants, what_the_helper_offers_is_handed_over_and_it_is_told_to_whom)
{
	uint64_t ino = make_removed_file(3), blocks = inode_blocks(inode_of(ino)), next_one;

	next_one = make_file("b");
	say_spare(ino, free_epoch, blocks, 0);
	cr_assert(pump());
	cr_assert_eq(try_to_resize(next_one, blocks + 3), 0);
	grants_hand_over(grants);
	grants_hand_over(grants); /* once */
	cr_assert_eq(next(), LINK_HAND_OVER);
	cr_expect_eq(get_le64(got.hand_over.from), ino);
	cr_expect_eq(get_le64(got.hand_over.ino), next_one);
	cr_expect_eq(get_le64(got.hand_over.file_block), 0);
	uint64_t epoch = get_le64(got.hand_over.epoch);
	redeem(2, next_one, GM_ACCESS_READ);
	grants_advance(grants);
	unsigned opcode;
	cr_expect_eq(scrub_until_other(&opcode), blocks, "zeroed before it is granted");
	cr_assert_eq(opcode, LINK_GRANT);
	cr_expect_gt(get_le64(got.grant.epoch), epoch);
	cr_expect_eq(get_le32(got.grant.owner), inode_of(next_one)->attr.uid);
}

/* There are devices over it, which are not to be taken for nobody's. */
Test(grants, a_new_helper_is_told_all_that_was_handed_over_dirty_or_not)
{
	uint64_t ino = make_removed_file(3), blocks = inode_blocks(inode_of(ino));
	uint64_t next_one = make_file("b"), told = 0;

	say_spare(ino, free_epoch, blocks, 0);
	cr_assert(pump());
	cr_assert_eq(try_to_resize(next_one, blocks + 3), 0);
	cr_expect(inode_of(next_one)->attr.flags & GM_INODE_INHERITED);
	new_link();
	cr_assert_eq(next(), LINK_CONFIG);
	cr_assert_eq(next(), LINK_HELD);
	cr_expect_eq(get_le64(got.held.ino), next_one);
	cr_assert_eq(next(), LINK_EXTENTS);
	for (uint32_t n = 0; n < get_le32(got.extents.count); n++)
		told += get_le32(got.extents.extents[n].count);
	cr_expect_eq(told, blocks + 3);
}

/* It had got free memory besides, which nobody was granted. */
Test(grants, what_a_removed_heir_was_not_handed_is_free_at_once)
{
	uint64_t ino = make_removed_file(3), blocks = inode_blocks(inode_of(ino));
	uint64_t next_one = make_file("b");

	say_spare(ino, free_epoch, blocks, 0);
	cr_assert(pump());
	cr_assert_eq(try_to_resize(next_one, blocks + 3), 0);
	grants_hand_over(grants);
	cr_assert_eq(next(), LINK_HAND_OVER);
	uint64_t epoch = get_le64(got.hand_over.epoch);
	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "b", 1), 0);
	cr_assert_eq(stats().free, 0);
	say_spare(next_one, epoch, blocks + 4, 0);
	cr_assert(pump());
	cr_expect_eq(stats().free, 0, "it has not so many");
	say_spare(next_one, epoch, blocks, 0);
	cr_assert(pump());
	cr_expect_eq(stats().free, 3);
	uint64_t last_one = make_file("c");
	cr_assert_eq(try_to_resize(last_one, blocks + 3), 0, "and is offered");
	grants_hand_over(grants);
	unsigned opcode = next();
	while (opcode == LINK_SCRUB)
		opcode = next();
	cr_assert_eq(opcode, LINK_HAND_OVER);
	cr_expect_eq(get_le64(got.hand_over.from), next_one);
}

/* Any of them may be mapped. */
Test(grants, a_file_that_was_granted_loses_nothing_by_an_offer)
{
	uint64_t ino = make_removed_file(3), blocks = inode_blocks(inode_of(ino));

	say_spare(ino, free_epoch, blocks - 1, 0);
	cr_assert(pump());
	cr_expect_eq(stats().free, 3);
	cr_expect_eq(inode_blocks(inode_of(ino)), blocks);
}

Test(grants, an_offer_that_is_out_of_date_is_none)
{
	uint64_t ino = make_removed_file(0), blocks = inode_blocks(inode_of(ino));
	uint64_t next_one = make_file("b");

	say_spare(ino, free_epoch - 1, blocks, LINK_SPARE_ANY);
	say_spare(ino, free_epoch, blocks + 1, LINK_SPARE_ANY);
	say_spare(next_one, 1, 0, LINK_SPARE_ANY);
	say_spare(4711, 1, 1, LINK_SPARE_ANY);
	cr_assert(pump());
	cr_expect_eq(try_to_resize(next_one, blocks), -ENOSPC);
	say_spare(ino, free_epoch, blocks, LINK_SPARE_ANY);
	cr_assert(pump());
	new_link(); /* it went with the helper that made it */
	cr_expect_eq(try_to_resize(next_one, blocks), -ENOSPC);
}

Test(grants, a_ticket_of_before_ends_an_offer)
{
	uint64_t ino = make_removed_file(0), blocks = inode_blocks(inode_of(ino));
	uint64_t next_one = make_file("b");

	say_spare(ino, free_epoch, blocks, LINK_SPARE_ANY);
	cr_assert(pump());
	(void)grant_now(2, ino);
	cr_expect_eq(try_to_resize(next_one, blocks), -ENOSPC);
}

Test(grants, an_offer_that_makes_no_sense_ends_the_link)
{
	uint64_t ino = make_removed_file(0);

	say_spare(ino, free_epoch, 1, 2);
	cr_expect_not(pump());
}

Test(grants, a_check_is_asked_and_its_answer_passed_on)
{
	struct link_check busy = {.pid = put_le32(4711)};
	uint64_t ino, epoch;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	epoch = grant_now(1, ino);
	grants_check(grants, ino, LINK_CHECK_TAKE);
	cr_assert_eq(next(), LINK_CHECK);
	cr_assert_eq(get_le32(got.check.flags), LINK_CHECK_TAKE);
	cr_assert_eq(get_le64(got.check.ino), ino);
	cr_assert_eq(get_le64(got.check.epoch), epoch);
	busy.ino = put_le64(ino);
	busy.epoch = put_le64(epoch);
	say(&busy, sizeof(busy), LINK_BUSY, 0);
	cr_assert(pump());
	cr_assert_eq(checked.count, 1);
	cr_assert(checked.busy);
	cr_assert(is_held(ino));
}

Test(grants, holders_are_asked_for_and_come)
{
	struct link_holder h = {.pid = put_le32(4711)};
	struct link_holders_end end = {.retired = put_le32(3)};

	clean_everything();
	connect_helper();
	cr_assert_eq(grants_retired(grants), 0);
	cr_assert(grants_ask_holders(grants));
	cr_assert(grants_ask_holders(grants)); /* the same question */
	cr_assert_eq(next(), LINK_HOLDERS);
	cr_assert_eq(next(), 0);
	say(&h, sizeof(h), LINK_HOLDER, 0);
	say(&end, sizeof(end), LINK_HOLDERS_END, 0);
	cr_assert(pump());
	cr_assert_eq(grants_retired(grants), 3);
	cr_assert_eq(holders.count, 1);
	cr_assert_eq(holders.pid, 4711);
	cr_assert_eq(holders.ends, 1);
	/* A helper that ends before it has told all: nobody waits for ever. */
	cr_assert(grants_ask_holders(grants));
	helper = close_fd(helper);
	cr_assert_not(pump());
	cr_assert_eq(holders.ends, 2);
}

/* ---- revocations ---- */

Test(grants, a_revocation_makes_tickets_void_and_its_answer_is_passed_on)
{
	struct link_holder h = {.pid = put_le32(4711)};
	struct link_revoked done = {.state = put_le32(LINK_REVOKED_HELD)};
	struct gm_ticket t;
	uint64_t ino, id = 0;

	cr_expect_eq(grants_revoke(grants, 2, true, &root, &id), -EAGAIN, "there is no helper");
	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	cr_assert_eq(grants_revoke(grants, ino, true, &somebody, &id), 0);
	cr_assert_eq(next(), LINK_REVOKE);
	cr_expect_eq(get_le64(got.header.id), id);
	cr_expect_eq(get_le64(got.revoke.ino), ino);
	cr_expect_eq(get_le32(got.revoke.flags), LINK_REVOKE_KILL);
	cr_expect_eq(get_le32(got.revoke.uid), 1000);
	say_redeem(7, &t);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_REFUSE);
	cr_expect_eq(get_le32(got.refuse.reason), GM_REASON_TICKET);
	say(&h, sizeof(h), LINK_HOLDER, id);
	say(&done, sizeof(done), LINK_REVOKED, id);
	cr_assert(pump());
	cr_expect(revoked.holders == 1 && revoked.ends == 1 && revoked.id == id);
	cr_expect_eq(revoked.state, GM_REVOKED_HELD);
	cr_expect_eq(holders.count, 0, "it is not HOLDERS' answer");
	say(&done, sizeof(done), LINK_REVOKED, id);
	cr_expect_not(pump(), "nobody asks any more");
}

Test(grants, who_only_asks_who_holds_it_changes_nothing)
{
	struct gm_ticket t;
	uint64_t ino, id = 0;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	cr_assert_eq(grants_revoke(grants, ino, false, &root, &id), 0);
	cr_assert_eq(next(), LINK_REVOKE);
	cr_expect_eq(get_le32(got.revoke.flags), 0);
	cr_expect_eq(tickets_count(tickets), 1);
	helper = close_fd(helper);
	cr_expect_not(pump());
	cr_expect(revoked.ends == 1 && revoked.id == 0 && revoked.state == -EAGAIN);
}

Test(grants, a_holder_whose_names_do_not_end_is_refused)
{
	struct link_holder h = {.pid = put_le32(4711)};

	clean_everything();
	connect_helper();
	cr_assert(grants_ask_holders(grants));
	memset(h.cgroup, 'x', sizeof(h.cgroup));
	say(&h, sizeof(h), LINK_HOLDER, 0);
	cr_expect_not(pump());
}

/* ---- a frozen pool ---- */

Test(grants, a_frozen_pool_grants_and_scrubs_nothing)
{
	struct gm_ticket t;
	uint64_t ino = make_dirty_file("a", 1);

	connect_helper();
	cr_assert_eq(next(), LINK_SCRUB); /* of free blocks, in the background */
	uint64_t id = get_le64(got.header.id);
	cr_assert_eq(tickets_issue(tickets, ino, 0, GM_ACCESS_READ, &t), 0);
	cr_assert_eq(store_freeze(fixture.store), 0);
	say_redeem(7, &t);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_REFUSE);
	cr_assert_eq(get_le32(got.refuse.error), EBUSY);
	cr_assert_eq(get_le32(got.refuse.reason), GM_REASON_FROZEN);
	say_done(id, 0); /* it is zero, but the journal can't be told */
	cr_assert(pump());
	cr_assert_eq(next(), 0);
	cr_assert_eq(ns_thaw(&ns), 0);
	cr_assert_gt(stats().free_dirty, 0);
}

Test(grants, what_was_freed_while_frozen_is_asked_for_after_the_thaw)
{
	uint64_t ino, epoch;

	clean_everything();
	ino = make_clean_file("a", 1);
	connect_helper();
	epoch = grant_now(1, ino);
	cr_assert_eq(store_freeze(fixture.store), 0);
	say_free(ino, epoch);
	cr_assert(pump());
	cr_assert(is_held(ino));
	cr_assert_eq(ns_thaw(&ns), 0);
	grants_thawed(grants);
	cr_assert_eq(next(), LINK_CHECK);
	cr_assert_eq(get_le64(got.check.ino), ino);
	say_free(ino, get_le64(got.check.epoch));
	cr_assert(pump());
	cr_assert_not(is_held(ino));
}

/* ---- exports ---- */

static void say_exported(uint64_t ino, int error, const char *node)
{
	struct link_exported m = {.error = put_le32((uint32_t)error)};

	memcpy(m.node, node, strlen(node));
	say(&m, sizeof(m), LINK_EXPORTED, ino);
}

static void begin_export(uint64_t ino)
{
	cr_assert_eq(grants_export(grants, ino, &somebody), 0);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_EXPORT);
	cr_assert_eq(get_le64(got.export.ino), ino);
	cr_assert_eq(get_le64(got.export.extent_count), 1);
	cr_assert_eq(get_le32(got.export.mode), 0600);
	cr_assert(is_held(ino), "held by the journal before the node is made");
	cr_assert_eq(next(), LINK_EXTENTS);
}

static bool is_exported(uint64_t ino)
{
	return inode_of(ino)->attr.flags & GM_INODE_EXPORTED;
}

/* A clean file whose node is there. */
static uint64_t make_exported_file(void)
{
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 2);
	connect_helper();
	begin_export(ino);
	say_exported(ino, 0, "/dev/dax0.7");
	cr_assert(pump());
	return ino;
}

static uint64_t expect_end(uint64_t ino)
{
	cr_assert_eq(next(), LINK_UNEXPORT);
	cr_assert_eq(get_le64(got.export.ino), ino);
	cr_assert_eq(get_le32(got.export.mode), 0);
	return get_le64(got.header.id);
}

static void end_export(uint64_t ino, int error)
{
	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0);
	say_done(expect_end(ino), error);
	cr_assert(pump());
}

Test(grants, an_exported_file_is_held_follows_its_owner_and_can_not_grow)
{
	struct ns_change grow = {.set = NS_SET_SIZE, .size = 5 * BLOCK};
	uint64_t ino = make_exported_file();
	struct stat st;

	cr_assert_eq(exported.count, 1);
	cr_assert_eq(exported.ino, ino);
	cr_assert_str_eq(exported.node, "/dev/dax0.7");
	cr_assert_eq(ns_setattr(&ns, &nobody, ino, &grow, &st), -EBUSY);
	grants_node_changed(grants, ino);
	cr_assert_eq(next(), LINK_NODE);
	end_export(ino, 0);
	cr_assert(is_held(ino), "somebody may have opened the node");
	cr_assert_eq(grants_unexport(grants, ino, &somebody), -ENOENT);
	grants_node_changed(grants, ino);
	cr_assert_eq(next(), 0);
}

Test(grants, the_node_of_a_removed_file_opens_no_more)
{
	uint64_t ino = make_exported_file();

	cr_assert_eq(ns_unlink(&ns, &nobody, GM_ROOT_INO, "a", 1), 0);
	cr_assert(is_exported(ino));
	grants_node_changed(grants, ino);
	cr_assert_eq(next(), 0);
	new_link();
	for (unsigned opcode; (opcode = next()) != LINK_RESUMED;)
		cr_assert_neq(opcode, 0);
	say_plain(LINK_READY);
	cr_assert(pump());
	cr_assert_eq(next(), LINK_CHECK);
	cr_expect_eq(get_le32(got.check.flags), LINK_CHECK_TAKE | LINK_CHECK_KEEP);
}

Test(grants, an_export_ends_when_the_node_is_closed_and_not_before)
{
	uint64_t ino = make_exported_file(), id;

	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0);
	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0, "who asks too waits too");
	id = expect_end(ino);
	cr_assert(pump());
	cr_assert_eq(next(), 0, "it is said once");
	cr_assert(is_exported(ino));
	cr_assert_eq(unexported.count, 0);
	grants_node_changed(grants, ino);
	cr_assert_eq(next(), 0, "a node that is being closed does not open again");
	cr_assert_eq(grants_export(grants, ino, &somebody), 0);
	cr_assert(pump());
	cr_assert_eq(exported.count, 2);
	cr_assert_eq(exported.error, -EAGAIN);
	say_done(id, 0);
	cr_assert(pump());
	cr_assert_not(is_exported(ino));
	cr_assert_eq(unexported.count, 1);
	cr_assert_eq(unexported.ino, ino);
	cr_assert_eq(unexported.error, 0);
	say_done(id, 0);
	cr_assert_not(pump(), "an answer to a question that was answered");
}

Test(grants, a_node_that_can_not_be_closed_stays_exported)
{
	uint64_t ino = make_exported_file();

	end_export(ino, EIO);
	cr_assert_eq(unexported.error, -EIO);
	cr_assert(is_exported(ino));
	cr_assert_eq(next(), LINK_NODE, "as it was before");
	cr_assert_eq(get_le32(got.export.mode), 0600);
	end_export(ino, 0);
	cr_assert_eq(unexported.error, 0);
	cr_assert_not(is_exported(ino));
}

Test(grants, an_end_that_can_not_be_journalled_opens_the_node_again)
{
	uint64_t ino = make_exported_file();

	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0);
	cr_assert_eq(store_freeze(fixture.store), 0);
	say_done(expect_end(ino), 0);
	cr_assert(pump());
	cr_assert_eq(unexported.error, -EBUSY);
	cr_assert(is_exported(ino));
	cr_assert_eq(next(), LINK_NODE);
	cr_assert_eq(get_le32(got.export.mode), 0600);
}

Test(grants, an_end_that_loses_its_helper_is_answered_and_comes_with_the_next_one)
{
	uint64_t ino = make_exported_file();

	cr_assert_eq(grants_unexport(grants, ino, &somebody), 0);
	(void)expect_end(ino);
	helper = close_fd(helper);
	cr_assert_not(pump());
	cr_assert_eq(unexported.count, 1);
	cr_assert_eq(unexported.error, -EAGAIN);
	cr_assert(is_exported(ino), "the node may be open");
	cr_assert_eq(grants_unexport(grants, ino, &somebody), -EAGAIN, "there is no helper");
	connect_helper();
	say_done(expect_end(ino), 0);
	cr_assert_eq(next(), 0);
	cr_assert(pump());
	cr_assert_not(is_exported(ino));
	cr_assert_eq(unexported.count, 1, "nobody waits for it any more");
}

Test(grants, a_new_helper_is_told_whose_the_nodes_are)
{
	uint64_t ino = make_exported_file();

	connect_helper();
	cr_assert_eq(next(), LINK_NODE);
	cr_assert_eq(get_le64(got.export.ino), ino);
	cr_assert_eq(get_le32(got.export.mode), 0600);
	cr_assert_eq(next(), 0);
}

Test(grants, an_export_that_fails_is_answered)
{
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 2);
	cr_assert_eq(grants_export(grants, ino, &somebody), -EAGAIN, "there is no helper");
	connect_helper();
	begin_export(ino);
	cr_assert_eq(grants_unexport(grants, ino, &somebody), -EAGAIN, "it has not quite begun");
	say_exported(ino, EBUSY, "");
	cr_assert(pump());
	cr_assert_eq(exported.error, -EBUSY);
	cr_assert_not(is_exported(ino));
}

Test(grants, an_export_that_loses_its_helper_is_answered_and_its_node_closed_by_the_next_one)
{
	uint64_t ino;

	clean_everything();
	ino = make_clean_file("a", 2);
	connect_helper();
	begin_export(ino);
	helper = close_fd(helper);
	cr_assert_not(pump());
	cr_assert_eq(exported.count, 1);
	cr_assert_eq(exported.error, -EAGAIN);
	cr_assert(is_exported(ino), "the node may be open");
	connect_helper();
	say_done(expect_end(ino), 0);
	cr_assert(pump());
	cr_assert_not(is_exported(ino));
	cr_assert_eq(unexported.count, 0);
}

Test(grants, an_export_that_is_asked_for_again_in_vain_goes_on)
{
	uint64_t ino = make_exported_file();

	begin_export(ino);
	say_exported(ino, ENOMEM, "");
	cr_assert(pump());
	cr_assert_eq(exported.error, -ENOMEM);
	cr_assert(is_exported(ino));
	begin_export(ino);
	connect_helper();
	cr_assert_eq(exported.error, -EAGAIN);
	cr_assert(is_exported(ino));
	cr_assert_eq(next(), LINK_NODE);
}

Test(grants, an_answer_to_an_export_that_nobody_asked_for_ends_the_link)
{
	connect_helper();
	say_exported(12, 0, "/dev/dax0.1");
	cr_assert_not(pump());
	connect_helper();
	say_done((1ULL << 63) | 12, 0);
	cr_assert_not(pump());
}
