// SPDX-License-Identifier: MIT
/* A worker that breaks the protocol, or contradicts the helper's record. */
#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

#include "file_helper.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

TestSuite(helper_breaches, .init = file_helper_set_up, .fini = file_helper_tear_down);

/* ---- the record ---- */

Test(helper_breaches, refuses_grants_that_contradict_its_record)
{
	static const struct {
		const char *name;
		struct rig_extent e[2];
	} cases[] = {
		{"a block of another inode", {{0, 40, 1}, {1, 11, 1}}},
		{"metadata", {{0, RIG_FIRST_DATA - 1, 1}, {1, 50, 1}}},
		{"the last block, which has the stamp", {{0, RIG_BLOCKS - 1, 1}, {1, 50, 1}}},
		{"beyond the region", {{0, RIG_BLOCKS, 1}, {1, 50, 1}}},
		{"far beyond", {{0, UINT64_MAX, 1}, {1, 50, 1}}},
		{"no blocks", {{0, 50, 0}, {1, 51, 1}}},
		{"not ascending", {{1, 50, 1}, {0, 51, 1}}},
		{"one block twice", {{0, 50, 2}, {2, 51, 1}}},
	};
	_cleanup_fd_ int sock = rig_client(&rig);

	attach(sock, 1);
	for (uint64_t i = 0; i < ARRAY_SIZE(cases); i++) {
		rig_send_attach(sock, 100 + i);
		rig_grant(&rig, 20 + i, WRITE, cases[i].e, 2);
		rig_expect_refused(sock, 100 + i, EUCLEAN, GM_REASON_RECORD);
		struct link_check c = rig_check(&rig, 20 + i);
		cr_expect_eq(get_le16(c.header.opcode), LINK_BUSY,
			"%s: nobody can tell who reaches it", cases[i].name);
	}
	/* A number that is not above the last one. */
	rig.epoch = 0;
	rig_send_attach(sock, 2);
	rig_grant(&rig, 9, WRITE, small, 1);
	rig_expect_refused(sock, 2, EUCLEAN, GM_REASON_RECORD);
	/* And a good one again. */
	rig.epoch = 100;
	attach(sock, 3);
}

/* ---- the protocol ---- */

static void send_config_of(uint64_t first, uint64_t count, uint32_t regions, uint32_t version)
{
	struct link_config m = {.version = put_le32(version),
		.region_count = put_le32(regions),
		.uuid = {1, 2, 3},
		.regions[0] = {put_le64(first), put_le64(count)}};

	rig_send(&rig, &m, sizeof(m), LINK_CONFIG, 1);
}

Test(helper_breaches, takes_no_configuration_that_contradicts_the_first_or_the_region)
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

Test(helper_breaches, closes_a_link_that_breaks_the_protocol)
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

Test(helper_breaches, closes_a_link_that_breaks_the_protocol_later)
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
