// SPDX-License-Identifier: MIT
/* Exports: the device of a file as a node, with the file's owner and mode. A real helper, devices
 * that are files. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/audits.h"
#include "soft_helper.h"
#include "util/cleanup.h"
#include "util/le.h"

TestSuite(helper_exports, .init = soft_helper_set_up, .fini = soft_helper_tear_down);

static struct link_exported export_file(
	uint64_t ino, const struct rig_extent *extents, size_t count)
{
	struct link_exported answer;

	send_export(ino, extents, count);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	cr_expect_eq(get_le64(answer.header.id), 5);
	return answer;
}

static void expect_export_refused(
	const struct link_exported *answer, unsigned error, enum gm_reason reason)
{
	static const char none[sizeof(answer->node)];

	cr_expect_eq(get_le32(answer->error), error, "%u", get_le32(answer->error));
	cr_expect_eq(get_le32(answer->reason), reason);
	cr_expect_eq(memcmp(answer->node, none, sizeof(none)), 0);
}

static void expect_owner(unsigned id, uid_t uid, gid_t gid, mode_t mode)
{
	const struct fake_device *d = fake_soft_find(id);

	cr_assert_not_null(d);
	cr_expect(d->uid == uid && d->gid == gid && d->mode == mode, "%u %u %o", d->uid, d->gid,
		d->mode);
}

static void send_node(uint16_t opcode, uint32_t uid, uint32_t gid, uint32_t mode)
{
	struct link_export m = {.ino = put_le64(11),
		.uid = put_le32(uid),
		.gid = put_le32(gid),
		.mode = put_le32(mode)};

	rig_send(&rig, &m, sizeof(m), opcode, opcode == LINK_NODE ? 0 : 6);
}

static void end_export(unsigned error)
{
	struct link_done done;

	send_node(LINK_UNEXPORT, 0, 0, 0);
	rig_expect(&rig, &done, sizeof(done), LINK_DONE);
	cr_expect_eq(get_le32(done.error), error);
}

Test(helper_exports, an_export_is_one_small_paged_device_in_file_order)
{
	static const struct rig_extent extents[] = {{0, 1024, 512}, {512, 20, 4}};
	const struct link_exported answer = export_file(11, extents, 2);
	unsigned id = exported_id(&answer);
	const struct fake_device *d = fake_soft_find(id);

	cr_assert_not_null(d);
	cr_expect_eq(d->align, GM_BLOCK_SIZE);
	cr_assert_eq(d->range_count, 2);
	cr_expect(d->ranges[0].block == 1024 && d->ranges[1].block == 20);
	expect_owner(id, 1000, 100, 0640);
	send_node(LINK_NODE, 1001, 101, 0600);
	end_export(0); /* answered in order, so that the other one is done */
	expect_owner(id, 0, 0, 0);
	send_node(LINK_NODE, 1001, 101, 0711);
	cr_expect_eq(rig_scrub(&rig, 300, 1), 0);
	expect_owner(id, 1001, 101, 0600);
	struct link_check check = rig_check(&rig, 11);
	cr_expect_eq(get_le16(check.header.opcode), LINK_BUSY);
}

Test(helper_exports, an_export_and_a_grant_share_the_device)
{
	struct got g;
	const struct link_exported answer = export_file(11, small, 2);

	attach(&g, 11, small, 2);
	cr_expect_eq(g.ids[0], exported_id(&answer));
	end_export(0);
	const struct link_exported again = export_file(11, small, 2);
	cr_expect_eq(exported_id(&again), g.ids[0]);
	cr_expect_eq(fake_soft->made, 1);
}

Test(helper_exports, a_file_whose_devices_do_not_serve_is_not_exported)
{
	static const struct rig_extent grown[] = {{0, 10, 3}, {3, 100, 2}, {5, 200, 1}};
	static const struct rig_extent large[] = {{0, 1024, 512}};
	struct got g;

	attach(&g, 11, small, 2);
	struct link_exported answer = export_file(11, grown, 3);
	expect_export_refused(&answer, EBUSY, GM_REASON_DEVICE);
	attach(&g, 12, large, 1);
	answer = export_file(12, large, 1);
	expect_export_refused(&answer, EBUSY, GM_REASON_DEVICE);
	expect_owner(g.ids[0], 0, 0, 0);
	cr_expect_eq(fake_soft->made, 2);
}

Test(helper_exports, a_file_with_a_hole_is_not_exported)
{
	static const struct rig_extent in_it[] = {{0, 10, 1}, {2, 11, 1}};
	static const struct rig_extent at_its_start[] = {{1, 20, 1}};
	struct link_exported answer = export_file(11, in_it, 2);

	expect_export_refused(&answer, ENXIO, GM_REASON_DEVICE);
	answer = export_file(12, at_its_start, 1);
	expect_export_refused(&answer, ENXIO, GM_REASON_DEVICE);
	answer = export_file(13, NULL, 0);
	expect_export_refused(&answer, ENXIO, GM_REASON_DEVICE);
	cr_expect_eq(fake_soft->made, 0);
}

Test(helper_exports, an_export_of_anothers_blocks_is_refused)
{
	static const struct rig_extent extents[] = {{0, 11, 1}};
	struct got g;

	attach(&g, 11, small, 2);
	const struct link_exported answer = export_file(12, extents, 1);
	expect_export_refused(&answer, EUCLEAN, GM_REASON_RECORD);
}

/* The node that is there stays root's. */
Test(helper_exports, an_export_whose_node_can_not_be_given_away)
{
	atomic_store(&fake_soft->no_owner, -EIO);
	struct link_exported answer = export_file(11, small, 2);

	expect_export_refused(&answer, EIO, GM_REASON_DEVICE);
	cr_expect_eq(rig_count_log(&rig, "to user 1000 fails: Input/output error"), 1);
	atomic_store(&fake_soft->no_owner, 0);
	answer = export_file(11, small, 2);
	expect_owner(exported_id(&answer), 1000, 100, 0640);
}

/* What can't be closed may be opened still: that is no end, and nothing of it is free. */
Test(helper_exports, a_node_that_can_not_be_closed_is_told_of)
{
	const struct link_exported answer = export_file(11, small, 2);

	atomic_store(&fake_soft->no_owner, -EIO);
	end_export(EIO);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_geq(rig_count_log(&rig, "which is removed, does not end: Input/output error"), 1);
	expect_owner(exported_id(&answer), 1000, 100, 0640);
	cr_expect_eq(rig_count_log(&rig, "ended=yes"), 0);
	atomic_store(&fake_soft->no_owner, 0);
	end_export(0);
	expect_owner(exported_id(&answer), 0, 0, 0);
}

/* Also when its memory comes back at once then. */
Test(helper_exports, an_end_that_comes_at_the_second_try_is_told_of)
{
	(void)export_file(11, small, 2);
	atomic_store(&fake_soft->no_owner, -EIO);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_eq(rig_count_log(&rig, "ended=yes"), 0);
	atomic_store(&fake_soft->no_owner, 0);
	rig_expect_free(&rig, 11, rig.epoch);
	cr_expect_eq(rig_count_log(&rig, "export ino=11 ended=yes"), 1);
}

/* The worker could not note the end. */
Test(helper_exports, what_is_opened_once_more_ends_once_more)
{
	(void)export_file(11, small, 2);
	end_export(0);
	end_export(0);
	cr_expect_eq(rig_count_log(&rig, "ended=yes"), 1);
	send_node(LINK_NODE, 1000, 100, 0640);
	end_export(0);
	cr_expect_eq(rig_count_log(&rig, "ended=yes"), 2);
	atomic_store(&fake_soft->no_owner, -EIO);
	(void)export_file(11, small, 2);
	atomic_store(&fake_soft->no_owner, 0);
	expect_answer(11, REMOVED, LINK_FREE);
	cr_expect_eq(rig_count_log(&rig, "ended=yes"), 2, "it was not opened");
}

Test(helper_exports, an_owner_that_changes_while_the_device_is_made_counts)
{
	struct link_export m = {.ino = put_le64(11),
		.epoch = put_le64(++rig.epoch),
		.extent_count = put_le64(2),
		.uid = put_le32(1000),
		.mode = put_le32(0600)};
	struct link_exported answer;

	atomic_store(&fake_soft->hold, true);
	rig_send(&rig, &m, sizeof(m), LINK_EXPORT, 5);
	rig_send_extents(&rig, 5, 11, small, 2);
	fake_soft_wait_until_making();
	send_node(LINK_NODE, 1002, 102, 0660);
	end_export(EBUSY);
	atomic_store(&fake_soft->hold, false);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	expect_owner(exported_id(&answer), 1002, 102, 0660);
}

Test(helper_exports, the_next_worker_ends_an_export_that_is_still_being_made)
{
	struct link_export m = {.ino = put_le64(11),
		.epoch = put_le64(++rig.epoch),
		.extent_count = put_le64(2),
		.uid = put_le32(1000),
		.mode = put_le32(0600)};

	atomic_store(&fake_soft->hold, true);
	rig_send(&rig, &m, sizeof(m), LINK_EXPORT, 5);
	rig_send_extents(&rig, 5, 11, small, 2);
	fake_soft_wait_until_making();
	rig_bring_up(&rig);
	end_export(0);
	atomic_store(&fake_soft->hold, false);
	cr_expect_eq(rig_scrub(&rig, 300, 1), 0); /* the work is done in order */
	expect_owner(2, 0, 0, 0);
}

Test(helper_exports, exports_out_of_range_end_the_link)
{
	static const struct link_export cases[] = {
		{.ino = {0}, .mode = {0600}},
		{.ino = {11}, .mode = {01000}},
		{.ino = {11}, .reserved = {1}},
		{.ino = {11}, .uid = {UINT32_MAX}},
		{.ino = {11}, .gid = {UINT32_MAX}},
		{.ino = {11}, .extent_count = {UINT64_MAX}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct link_export m = cases[i];
		rig_send(&rig, &m, sizeof(m), LINK_EXPORT, 5);
		rig_expect_link_closed(&rig);
		rig_bring_up(&rig);
	}
	struct link_export m = {.ino = put_le64(11), .epoch = put_le64(1)};
	rig_send(&rig, &m, sizeof(m), LINK_NODE, 0);
	rig_expect_link_closed(&rig);
	rig_bring_up(&rig);
	m = (struct link_export){.ino = put_le64(11), .mode = put_le32(1)};
	rig_send(&rig, &m, sizeof(m), LINK_UNEXPORT, 5);
	rig_expect_link_closed(&rig);
}

Test(helper_exports, the_log_says_who_asked_for_an_export)
{
	struct link_export end = {.ino = put_le64(11)};
	struct link_done done;
	char wanted[128];

	(void)export_file(11, small, 2);
	rig_send(&rig, &end, sizeof(end), LINK_UNEXPORT, 6);
	rig_expect(&rig, &done, sizeof(done), LINK_DONE);
	snprintf(wanted, sizeof(wanted), "export by_pid=%d by_uid=77 by_cgroup=", (int)getpid());
	cr_expect_eq(rig_count_log(&rig, wanted), 1);
	if (!getenv("GM_VERBOSE"))
		cr_expect_eq(rig_count_log(&rig, "export ino=11 ended=yes"), 1, "nobody asked");
}

/* Whoever owns an exported file can change its mode again and again. */
Test(helper_exports, the_lines_about_one_export_are_limited)
{
	(void)export_file(11, small, 2);
	for (uint32_t i = 0; i < AUDITS_GRANT_LINES + 20; i++) {
		struct link_export m = {.ino = put_le64(11),
			.uid = put_le32(1000),
			.gid = put_le32(100),
			.mode = put_le32(i % 2 ? 0600 : 0640)};
		rig_send(&rig, &m, sizeof(m), LINK_NODE, 0);
	}
	(void)rig_check(&rig, 11); /* all of it is done */
	rig_expect_all_lines(&rig, "export ", "more exports", AUDITS_GRANT_LINES + 21);
}
