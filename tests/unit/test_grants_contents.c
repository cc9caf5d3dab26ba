// SPDX-License-Identifier: MIT
/*
 * How the worker gets at the content store on soft regions, seen from the helper's end of the link:
 * nothing is asked for that is not clean and held, and nothing is taken that was not asked for.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuse/grants.h"
#include "fuse/namespace.h"
#include "fuse/tickets.h"
#include "store_fixture.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

static struct fixture fixture;
static struct namespace ns;
static struct tickets *tickets;
static struct grants *grants;
static int helper = -1; /* the test's end of the link */
static uint64_t store;  /* the content store */

static struct {
	unsigned parts;
	struct grants_part last;
	unsigned given;
	int error;
} came;

static union message {
	struct link_header header;
	struct link_contents contents;
	struct link_extents extents;
	struct link_scrub scrub;
	struct link_held held;
	struct link_config config;
} got; /* what the helper received last */

static void on_part(void *data, const struct grants_part *part, int fd)
{
	_cleanup_fd_ int device = fd;

	(void)data;
	cr_expect_geq(fcntl(device, F_GETFD), 0, "it comes with a descriptor");
	came.parts++;
	came.last = *part;
}

static void on_given(void *data, int error)
{
	(void)data;
	came.given++;
	came.error = error;
}

static void on_checked(void *data, uint64_t ino, bool busy)
{
	(void)data, (void)ino, (void)busy;
}

/* ---- the helper ---- */

static bool pump(void)
{
	bool there = grants_serve(grants, EPOLLIN | EPOLLOUT);

	grants_advance(grants);
	return there;
}

static unsigned next(void)
{
	memset(&got, 0, sizeof(got));
	ssize_t n = packet_receive(helper, &got, sizeof(got), NULL, NULL, false);
	if (n == -EAGAIN)
		return 0;
	cr_assert_geq(n, (ssize_t)sizeof(got.header));
	return get_le16(got.header.opcode);
}

static void say(void *message, size_t size, unsigned opcode, uint64_t id, int fd)
{
	struct link_header header = {
		.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.id = put_le64(id),
	};

	memcpy(message, &header, sizeof(header));
	cr_assert_eq(packet_send(helper, message, size, &fd, fd >= 0 ? 1 : 0, false), 0);
}

static void say_part(uint64_t id, uint64_t file_block, uint64_t device_block, uint64_t count)
{
	struct link_part m = {.file_block = put_le64(file_block),
		.device_block = put_le64(device_block),
		.count = put_le64(count)};
	_cleanup_fd_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	say(&m, sizeof(m), LINK_PART, id, fd);
}

static void say_given(uint64_t id, int error)
{
	struct link_contents_given m = {.error = put_le32((uint32_t)error)};

	say(&m, sizeof(m), LINK_CONTENTS_GIVEN, id, -1);
}

static void connect_helper(void)
{
	struct link_plain m;
	int ends[2];

	(void)close_fd(helper);
	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	helper = ends[1];
	cr_assert_eq(grants_set_link(grants, ends[0]), 0);
	while (next() != LINK_RESUMED)
		cr_assert_neq(get_le16(got.header.opcode), 0);
	say(&m, sizeof(m), LINK_READY, 0, -1);
	cr_assert(pump());
	cr_assert(grants_is_ready(grants));
}

/* ---- the pool ---- */

static uint64_t make_store(uint64_t blocks)
{
	struct meta *m = store_meta(fixture.store);
	const struct inode_attr a = {
		.ino = m->next_ino, .mode = S_IFREG | 0600, .flags = GM_INODE_CONTENTS};
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_CONTENTS, 0);

	txn_put_inode(&t, &a);
	cr_assert_eq(store_commit(fixture.store, &t), 0);
	cr_assert_eq(fixture_grow(&fixture, a.ino, blocks), 0);
	return a.ino;
}

static void clean_everything(void)
{
	const struct alloc *a = store_meta(fixture.store)->alloc;
	struct alloc_extent e;
	uint64_t cursor = 0;

	while (alloc_next_dirty(a, &cursor, 64, &e))
		cr_assert_eq(ns_blocks_clean(&ns, &e, 1), 0);
}

/* All free blocks were a file's. */
static void dirty_everything(void)
{
	struct alloc_stats free;
	uint64_t ino;

	alloc_get_stats(store_meta(fixture.store)->alloc, &free);
	cr_assert_eq(fixture_make(&fixture, GM_ROOT_INO, "f", S_IFREG | 0600, &ino), 0);
	cr_assert_eq(fixture_grow(&fixture, ino, free.free), 0);
	cr_assert_eq(fixture_shrink(&fixture, ino), 0);
}

static bool is_held(void)
{
	return inode_is_held(meta_inode(store_meta(fixture.store), store));
}

static void setup(void)
{
	struct grants_config config = {.ns = &ns,
		.checked = on_checked,
		.contents_part = on_part,
		.contents_given = on_given};

	fixture_init(&fixture, 64);
	ns_init(&ns, fixture.store);
	tickets = config.tickets = tickets_new(0);
	cr_assert_eq(grants_new(&grants, &config), 0);
	clean_everything();
	store = make_store(3);
	cr_assert_eq(fixture_scrub(&fixture, store), 0);
}

static void teardown(void)
{
	grants = grants_free(grants);
	tickets = tickets_free(tickets);
	helper = close_fd(helper);
	fixture_deinit(&fixture);
}

TestSuite(grants_contents, .init = setup, .fini = teardown, .timeout = 60);

/* The question with its extents; returns its id. */
static uint64_t expect_question(uint64_t blocks, uint64_t from)
{
	uint64_t sum = 0;

	cr_assert_eq(next(), LINK_CONTENTS);
	const struct link_contents m = got.contents;
	cr_expect_eq(get_le64(m.ino), store);
	cr_expect_eq(get_le64(m.from), from);
	cr_expect_neq(get_le64(m.header.id), 0);
	for (uint64_t left = get_le64(m.extent_count); left > 0;
		left -= get_le32(got.extents.count)) {
		cr_assert_eq(next(), LINK_EXTENTS);
		for (uint32_t i = 0; i < get_le32(got.extents.count); i++)
			sum += get_le32(got.extents.extents[i].count);
	}
	cr_expect_eq(sum, blocks);
	cr_expect(is_held(), "the mark is on the media before anything is asked");
	return get_le64(m.header.id);
}

static uint64_t fetch(void)
{
	connect_helper();
	grants_fetch_contents(grants, store, 0);
	grants_advance(grants);
	return expect_question(3, 0);
}

/* ---- what is asked ---- */

Test(grants_contents, what_is_clean_is_held_and_asked_for)
{
	uint64_t id = fetch();

	say_part(id, 0, 5, 2);
	say_part(id, 2, 9, 1);
	say_given(id, 0);
	cr_assert(pump());
	cr_expect_eq(came.parts, 2);
	cr_expect(came.last.file_block == 2 && came.last.device_block == 9 && came.last.count == 1);
	cr_expect_eq(came.given, 1);
	cr_expect_eq(came.error, 0);
	cr_expect_eq(next(), 0, "nothing is asked twice");
}

Test(grants_contents, what_is_dirty_is_scrubbed_first)
{
	const struct meta *meta = store_meta(fixture.store);
	struct link_done done = {.error = put_le32(0)};
	unsigned orders = 0;

	dirty_everything();
	cr_assert_eq(fixture_grow(&fixture, store, 2), 0);
	cr_assert(!meta_is_clean(meta, meta_inode(meta, store)));
	connect_helper();
	grants_fetch_contents(grants, store, 3);
	grants_advance(grants);
	for (;;) {
		unsigned opcode = next();
		if (opcode != LINK_SCRUB)
			break;
		cr_expect(!is_held(), "nobody holds what is being zeroed");
		say(&done, sizeof(done), LINK_DONE, get_le64(got.header.id), -1);
		cr_assert(pump());
		orders++;
	}
	cr_expect_gt(orders, 0);
	cr_expect_eq(get_le16(got.header.opcode), LINK_CONTENTS);
	cr_expect(is_held());
	cr_expect_eq(get_le64(got.contents.from), 3);
}

Test(grants_contents, without_a_helper_it_waits_for_one)
{
	grants_fetch_contents(grants, store, 0);
	grants_advance(grants);
	cr_expect_eq(came.given, 0);
	connect_helper();
	say_given(expect_question(3, 0), 0);
	cr_assert(pump());
	cr_expect_eq(came.given, 1);
}

Test(grants_contents, the_next_helper_is_asked_anew)
{
	uint64_t id = fetch();

	connect_helper();
	uint64_t second = expect_question(3, 0);
	cr_expect_neq(second, id);
	say_part(second, 0, 0, 3);
	say_given(second, 0);
	cr_assert(pump());
	cr_expect_eq(came.given, 1);
}

Test(grants_contents, what_is_being_fetched_is_not_asked_for_again)
{
	uint64_t id = fetch();

	grants_fetch_contents(grants, store, 2);
	grants_advance(grants);
	cr_expect_eq(next(), 0);
	say_given(id, 0);
	cr_assert(pump());
	grants_fetch_contents(grants, store, 2);
	grants_advance(grants);
	(void)expect_question(3, 2);
}

Test(grants_contents, a_frozen_pool_gives_what_is_held_already)
{
	uint64_t id = fetch();

	say_given(id, 0);
	cr_assert(pump());
	cr_assert_eq(store_freeze(fixture.store), 0);
	grants_fetch_contents(grants, store, 0);
	grants_advance(grants);
	(void)expect_question(3, 0);
}

Test(grants_contents, a_frozen_pool_gives_nothing_else)
{
	connect_helper();
	cr_assert_eq(store_freeze(fixture.store), 0);
	grants_fetch_contents(grants, store, 0);
	grants_advance(grants);
	cr_expect_eq(came.given, 1);
	cr_expect_eq(came.error, -EBUSY);
	cr_expect_eq(next(), 0);
	cr_expect(!is_held());
}

Test(grants_contents, a_refusal_is_told)
{
	uint64_t id = fetch();

	say_given(id, EUCLEAN);
	cr_assert(pump());
	cr_expect_eq(came.error, -EUCLEAN);
}

/* ---- what is not taken ---- */

Test(grants_contents, a_descriptor_that_nobody_asked_for_ends_the_link)
{
	connect_helper();
	say_part(1, 0, 0, 1);
	cr_expect(!pump());
	cr_expect_eq(came.parts, 0);
}

Test(grants_contents, a_descriptor_with_another_message_ends_the_link)
{
	struct link_contents_given m = {.error = put_le32(0)};
	uint64_t id = fetch();
	_cleanup_fd_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	say(&m, sizeof(m), LINK_CONTENTS_GIVEN, id, fd);
	cr_expect(!pump());
	cr_expect_eq(came.given, 0);
}

Test(grants_contents, an_answer_to_another_question_ends_the_link)
{
	uint64_t id = fetch();

	say_part(id + 1, 0, 0, 1);
	cr_expect(!pump());
	connect_helper();
	say_given(expect_question(3, 0) + 1, 0);
	cr_expect(!pump());
	cr_expect(came.parts == 0 && came.given == 0);
}

Test(grants_contents, each_field_of_a_part_is_checked)
{
	static const uint64_t parts[][3] = {{0, 0, 0}, {0, 0, UINT64_MAX}, {UINT64_MAX, 0, 1},
		{0, UINT64_MAX, 1}, {0, (uint64_t)INT64_MAX >> GM_BLOCK_SHIFT, 1}};
	struct link_part bare = {.count = put_le64(1)};
	uint64_t id = fetch();

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		say_part(id, parts[i][0], parts[i][1], parts[i][2]);
		cr_expect(!pump(), "part %zu", i);
		connect_helper();
		id = expect_question(3, 0);
	}
	say(&bare, sizeof(bare), LINK_PART, id, -1);
	cr_expect(!pump(), "one without a descriptor");
	cr_expect_eq(came.parts, 0);
}
