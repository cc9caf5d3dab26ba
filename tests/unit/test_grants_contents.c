// SPDX-License-Identifier: MIT
/*
 * How the worker gets at the content store on soft regions, seen from the helper's end of the link:
 * nothing is asked for that is not clean and held, and nothing is taken that was not asked for.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>

#include "grants_fixture.h"
#include "util/cleanup.h"

static uint64_t store; /* the content store */

/* ---- the helper ---- */

static void say_part(uint64_t id, uint64_t file_block, uint64_t device_block, uint64_t count)
{
	struct link_part m = {.file_block = put_le64(file_block),
		.device_block = put_le64(device_block),
		.count = put_le64(count)};
	_cleanup_fd_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	say_with(&m, sizeof(m), LINK_PART, id, fd);
}

static void say_given(uint64_t id, int error)
{
	struct link_contents_given m = {.error = put_le32((uint32_t)error)};

	say(&m, sizeof(m), LINK_CONTENTS_GIVEN, id);
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

static void setup(void)
{
	grants_setup();
	clean_everything();
	store = make_store(3);
	cr_assert_eq(fixture_scrub(&fixture, store), 0);
}

TestSuite(grants_contents, .init = setup, .fini = grants_teardown);

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
	cr_expect(is_held(store), "the mark is on the media before anything is asked");
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
	unsigned orders = 0, opcode;

	dirty_everything();
	cr_assert_eq(fixture_grow(&fixture, store, 2), 0);
	cr_assert(!meta_is_clean(meta, meta_inode(meta, store)));
	connect_helper();
	grants_fetch_contents(grants, store, 3);
	grants_advance(grants);
	while ((opcode = next()) == LINK_SCRUB) {
		cr_expect(!is_held(store), "nobody holds what is being zeroed");
		say_done(get_le64(got.header.id), 0);
		cr_assert(pump());
		orders++;
	}
	cr_expect_gt(orders, 0);
	cr_expect_eq(opcode, LINK_CONTENTS);
	cr_expect(is_held(store));
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
	cr_expect(!is_held(store));
}

Test(grants_contents, a_refusal_is_told)
{
	uint64_t id = fetch();

	say_given(id, EUCLEAN);
	cr_assert(pump());
	cr_expect_eq(came.error, -EUCLEAN);
}

/* ---- on regions that the worker maps itself ---- */

Test(grants_contents, each_part_that_is_clean_is_told)
{
	const struct meta *meta = store_meta(fixture.store);
	bool early = false;

	dirty_everything();
	cr_assert_eq(fixture_grow(&fixture, store, 2), 0);
	mark_dirty(store, 0, 1);
	connect_helper();
	cr_assert_eq(grants_clean(grants, store), 0);
	grants_advance(grants);
	while (!meta_is_clean(meta, meta_inode(meta, store))) {
		cr_assert_eq(next(), LINK_SCRUB);
		say_done(get_le64(got.header.id), 0);
		cr_assert(pump());
		early |= came.cleaned > 0 && !meta_is_clean(meta, meta_inode(meta, store));
	}
	cr_expect(early, "not only the whole");
	cr_expect_eq(came.error, 0);
}

Test(grants_contents, what_fails_is_told_with_its_blocks)
{
	dirty_everything();
	cr_assert_eq(fixture_grow(&fixture, store, 2), 0);
	connect_helper();
	cr_assert_eq(grants_clean(grants, store), 0);
	grants_advance(grants);
	while (came.error == 0) { /* the first ones may be about blocks that nobody waits for */
		cr_assert_eq(next(), LINK_SCRUB);
		say_done(get_le64(got.header.id), EIO);
		cr_assert(pump());
	}
	cr_expect_eq(came.error, -EIO);
	cr_expect_eq(came.failed.block, get_le64(got.scrub.block));
	cr_expect_eq(came.failed.count, get_le32(got.scrub.count));
}

Test(grants_contents, waiting_clients_keep_no_write_from_waiting)
{
	uint64_t file;

	dirty_everything();
	cr_assert_eq(fixture_grow(&fixture, store, 2), 0);
	file = make_dirty_file("g", 2);
	connect_helper();
	for (unsigned n = 0; n < GRANTS_WAITING_MAX; n++)
		redeem(n + 1, file, GM_ACCESS_READ);
	while (next() == LINK_SCRUB)
		continue;
	redeem(GRANTS_WAITING_MAX + 1, file, GM_ACCESS_READ);
	cr_expect_eq(next(), LINK_REFUSE);
	cr_expect_eq(grants_clean(grants, store), 0);
	redeem(GRANTS_WAITING_MAX + 2, file, GM_ACCESS_READ);
	cr_expect_eq(next(), LINK_REFUSE, "nor does that make room");
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

	say_with(&m, sizeof(m), LINK_CONTENTS_GIVEN, id, fd);
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
	say(&bare, sizeof(bare), LINK_PART, id);
	cr_expect(!pump(), "one without a descriptor");
	cr_expect_eq(came.parts, 0);
}
