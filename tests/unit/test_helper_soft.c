// SPDX-License-Identifier: MIT
/* A real helper on a soft region whose devices are files (fake_soft.h). */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soft_helper.h"
#include "util/cleanup.h"
#include "util/le.h"

TestSuite(helper_soft, .init = soft_helper_set_up, .fini = soft_helper_tear_down);

static void expect_extent(const struct got *g, size_t i, uint64_t file_block, uint64_t count,
	unsigned device, uint64_t device_block)
{
	const struct gm_grant_extent *e = &g->grant.extents[i];

	cr_expect_eq(get_le64(e->file_offset), file_block << GM_BLOCK_SHIFT);
	cr_expect_eq(get_le64(e->length), count << GM_BLOCK_SHIFT);
	cr_expect_eq(get_le32(e->device), device);
	cr_expect_eq(get_le64(e->device_offset), device_block << GM_BLOCK_SHIFT);
}

/* ---- grants ---- */

Test(helper_soft, a_file_gets_a_device_of_its_own)
{
	struct got g;

	attach(&g, 11, small, 2);
	cr_assert_eq(get_le32(g.grant.device_count), 1);
	cr_assert_eq(get_le64(g.grant.extent_count), 1, "it adjoins in the device");
	expect_extent(&g, 0, 0, 5, 0, 0);
	cr_expect_eq(get_le64(g.grant.devices[0].size), 5 * GM_BLOCK_SIZE);
	cr_expect_eq(get_le64(g.grant.devices[0].align), GM_BLOCK_SIZE);
	const struct fake_device *d = fake_soft_find(g.ids[0]);
	cr_assert_not_null(d);
	cr_assert_eq(d->range_count, 2);
	cr_expect(d->ranges[0].block == 10 && d->ranges[0].count == 3);
	cr_expect(d->ranges[1].block == 100 && d->ranges[1].count == 2);
}

Test(helper_soft, whole_gigabytes_get_large_pages)
{
	static const struct rig_extent extents[] = {{0, 1024, 512}, {512, 20, 4}, {516, 512, 1}};
	struct got g;

	attach(&g, 11, extents, 3);
	cr_assert_eq(get_le32(g.grant.device_count), 2);
	cr_assert_eq(get_le64(g.grant.extent_count), 2);
	expect_extent(&g, 0, 0, 512, 0, 0);
	expect_extent(&g, 1, 512, 5, 1, 0);
	cr_expect_eq(get_le64(g.grant.devices[0].align), GM_GROUP_SIZE);
	cr_expect_eq(get_le64(g.grant.devices[1].align), GM_BLOCK_SIZE);
}

Test(helper_soft, the_same_devices_are_handed_out_again)
{
	struct got first, second;

	attach(&first, 11, small, 2);
	attach(&second, 11, small, 2);
	cr_expect_eq(first.ids[0], second.ids[0]);
	cr_expect_eq(fake_soft->made, 1);
}

Test(helper_soft, a_file_that_grew_gets_a_further_device)
{
	static const struct rig_extent grown[] = {{0, 10, 3}, {3, 100, 2}, {5, 102, 4}};
	struct got first, second;

	attach(&first, 11, small, 2);
	attach(&second, 11, grown, 3);
	cr_assert_eq(get_le32(second.grant.device_count), 2);
	cr_expect_eq(first.ids[0], second.ids[0]);
	cr_assert_eq(get_le64(second.grant.extent_count), 2);
	expect_extent(&second, 0, 0, 5, 0, 0);
	expect_extent(&second, 1, 5, 4, 1, 0);
	cr_expect_eq(fake_soft->made, 2);
}

Test(helper_soft, holes_are_in_no_device)
{
	static const struct rig_extent extents[] = {{0, 10, 1}, {7, 11, 1}};
	struct got g;

	attach(&g, 11, extents, 2);
	cr_assert_eq(get_le64(g.grant.extent_count), 2);
	expect_extent(&g, 0, 0, 1, 0, 0);
	expect_extent(&g, 1, 7, 1, 0, 1);
}

Test(helper_soft, an_empty_file_needs_no_device)
{
	struct got g;

	attach(&g, 11, NULL, 0);
	cr_expect_eq(g.count, 0);
	cr_expect_eq(fake_soft->made, 0);
}

Test(helper_soft, others_are_served_while_a_device_is_made)
{
	static const struct rig_extent more[] = {{0, 200, 2}};
	struct got g;
	int client = rig_client(&rig);

	attach(&g, 11, small, 2);
	atomic_store(&fake_soft->hold, true);
	rig_send_attach(client, 8);
	(void)rig_grant(&rig, 12, RW, more, 1);
	fake_soft_wait_until_making();
	attach(&g, 11, small, 2); /* whose device is there */
	atomic_store(&fake_soft->hold, false);
	take(&g, client, 8);
	cr_expect_eq(get_le64(g.grant.ino), 12);
	close(client);
}

Test(helper_soft, who_comes_while_it_is_made_gets_the_same_device)
{
	static const struct rig_extent grown[] = {{0, 10, 3}, {3, 100, 2}, {5, 102, 4}};
	struct got g[3];
	int clients[3];

	atomic_store(&fake_soft->hold, true);
	for (unsigned i = 0; i < 3; i++) {
		clients[i] = rig_client(&rig);
		rig_send_attach(clients[i], i);
		(void)rig_grant(&rig, 11, RW, i < 2 ? small : grown, i < 2 ? 2 : 3);
	}
	fake_soft_wait_until_making();
	atomic_store(&fake_soft->hold, false);
	for (unsigned i = 0; i < 3; i++) {
		take(&g[i], clients[i], i);
		close(clients[i]);
	}
	cr_expect_eq(g[0].ids[0], g[1].ids[0]);
	cr_expect_eq(g[0].ids[0], g[2].ids[0]);
	cr_expect_eq(
		get_le32(g[1].grant.device_count), 1, "each gets the extents of its own grant");
	cr_expect_eq(get_le32(g[2].grant.device_count), 2);
	cr_expect_eq(fake_soft->made, 2);
}

Test(helper_soft, a_client_that_goes_while_its_device_is_made_does_no_harm)
{
	struct got g;
	int client = rig_client(&rig);

	atomic_store(&fake_soft->hold, true);
	rig_send_attach(client, 8);
	(void)rig_grant(&rig, 11, RW, small, 2);
	fake_soft_wait_until_making();
	close(client);
	atomic_store(&fake_soft->hold, false);
	attach(&g, 11, small, 2);
	cr_expect_eq(fake_soft->made, 1);
}

Test(helper_soft, the_helper_ends_while_a_device_is_made)
{
	int client = rig_client(&rig);

	atomic_store(&fake_soft->hold, true);
	rig_send_attach(client, 8);
	(void)rig_grant(&rig, 11, RW, small, 2);
	fake_soft_wait_until_making();
	rig.control = close_fd(rig.control); /* it waits for the job at hand */
	atomic_store(&fake_soft->hold, false);
	rig_expect_closed(client);
	close(client);
	cr_expect_eq(rig_stop(&rig), 0);
}

Test(helper_soft, what_can_not_be_made_is_refused_and_leaves_nothing)
{
	static const struct rig_extent extents[] = {{0, 1024, 512}, {512, 20, 4}};
	unsigned before = fake_soft_count();
	int client = rig_client(&rig);
	struct got g;

	atomic_store(&fake_soft->fail_in, 1);
	rig_send_attach(client, 8);
	(void)rig_grant(&rig, 11, RW, extents, 2);
	rig_expect_refused(client, 8, EIO, GM_REASON_DEVICE);
	close(client);
	cr_expect_eq(fake_soft_count(), before, "the first of the two is gone again");
	attach(&g, 11, extents, 2);
	cr_expect_eq(get_le32(g.grant.device_count), 2);
}

Test(helper_soft, blocks_under_a_foreign_device_are_refused)
{
	unsigned foreign = fake_soft_add(false, true, 101, 1);
	int client = rig_client(&rig);

	cr_expect_eq(rig_scrub(&rig, 101, 1), EBUSY);
	rig_send_attach(client, 8);
	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_expect_refused(client, 8, EBUSY, GM_REASON_DEVICE);
	close(client);
	cr_expect_not_null(fake_soft_find(foreign));
}

Test(helper_soft, more_devices_than_a_grant_can_carry_are_refused)
{
	struct rig_extent extents[GM_GRANT_DEVICES_MAX + 1];
	int client = rig_client(&rig);
	struct got g;

	/* Behind each block of the file there is one of nobody, so that each growth is apart. */
	for (unsigned i = 0; i < ARRAY_SIZE(extents); i++)
		extents[i] = (struct rig_extent){i, 10 + 2 * i, 1};
	for (unsigned n = 1; n <= GM_GRANT_DEVICES_MAX; n++)
		attach(&g, 11, extents, n);
	cr_assert_eq(get_le32(g.grant.device_count), GM_GRANT_DEVICES_MAX);
	rig_send_attach(client, 8);
	(void)rig_grant(&rig, 11, RW, extents, GM_GRANT_DEVICES_MAX + 1);
	rig_expect_refused(client, 8, EMFILE, GM_REASON_EXTENTS);
	close(client);
	cr_expect_eq(fake_soft->made, GM_GRANT_DEVICES_MAX);
}

Test(helper_soft, nobody_needs_to_be_trusted)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct got g;
		if (!rig_become_nobody())
			_exit(77); /* not root: nobody else to become */
		int client = rig_client(&rig);
		rig_send_attach(client, 7);
		take(&g, client, 7);
		_exit(get_le32(g.grant.device_count) == 1 ? 0 : 1);
	}
	if (geteuid() == 0)
		(void)rig_grant(&rig, 11, RW, small, 2);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(WEXITSTATUS(status), geteuid() == 0 ? 0 : 77);
}

/* ---- zeroing ---- */

Test(helper_soft, scrubs_through_a_device_that_is_gone_afterwards)
{
	unsigned before = fake_soft_count();

	for (uint64_t block = 19; block < 23; block++)
		rig_fill(&rig, block, 0xaa);
	cr_expect_eq(rig_scrub(&rig, 20, 2), 0);
	cr_expect(rig_is_filled(&rig, 19, 0xaa));
	cr_expect(rig_is_filled(&rig, 20, 0));
	cr_expect(rig_is_filled(&rig, 21, 0));
	cr_expect(rig_is_filled(&rig, 22, 0xaa));
	cr_expect_eq(fake_soft_count(), before);
	cr_expect_eq(fake_soft->made, 1);
	cr_expect_eq(fake_soft->windows, 1, "noted, so that the next helper may remove it");
}

Test(helper_soft, zeroes_a_piece_of_a_block)
{
	struct link_zero m = {.offset = put_le64(20 * GM_BLOCK_SIZE + 4096),
		.length = put_le32(GM_BLOCK_SIZE - 4096)};
	struct link_done done;
	unsigned before = fake_soft_count();

	rig_fill(&rig, 20, 0xaa);
	rig_send(&rig, &m, sizeof(m), LINK_ZERO, 9);
	rig_expect(&rig, &done, sizeof(done), LINK_DONE);
	cr_expect_eq(get_le32(done.error), 0);
	cr_expect_eq(fake_soft_count(), before);
	m.offset = put_le64(20 * GM_BLOCK_SIZE);
	m.length = put_le32(4096);
	rig_send(&rig, &m, sizeof(m), LINK_ZERO, 9);
	rig_expect(&rig, &done, sizeof(done), LINK_DONE);
	cr_expect(rig_is_filled(&rig, 20, 0));
}

Test(helper_soft, never_zeroes_what_was_granted)
{
	struct got g;

	attach(&g, 11, small, 2);
	cr_expect_eq(rig_scrub(&rig, 10, 1), EUCLEAN);
	cr_expect_eq(rig_scrub(&rig, 9, 2), EUCLEAN);
	cr_expect_eq(fake_soft->made, 1);
	cr_expect_eq(fake_soft->windows, 0);
}

/* ---- holders ---- */

Test(helper_soft, what_was_granted_stays_held_unless_it_is_wanted_back)
{
	struct rig_child c = rig_child_start(&rig, false);

	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	struct link_check answer = rig_check(&rig, 11);
	cr_expect_eq(get_le16(answer.header.opcode), LINK_BUSY);
	cr_expect_eq((pid_t)get_le32(answer.pid), c.pid);
	rig_child_end(&c);
	rig_expect_nothing(&rig, 300);
	answer = rig_check(&rig, 11);
	cr_expect_eq(get_le16(answer.header.opcode), LINK_BUSY);
	cr_expect_eq(get_le32(answer.pid), 0, "nobody is known to hold it");
}

Test(helper_soft, tells_who_holds_what)
{
	struct rig_child c = rig_child_start(&rig, false);
	struct link_holder h;
	struct link_holders_end end;

	(void)rig_grant(&rig, 11, GM_ACCESS_READ, small, 2);
	rig_child_wait(&c);
	rig_send_plain(&rig, LINK_HOLDERS, 42);
	rig_expect(&rig, &h, sizeof(h), LINK_HOLDER);
	cr_expect_eq(get_le64(h.header.id), 42);
	cr_expect_eq(get_le64(h.ino), 11);
	cr_expect_eq((pid_t)get_le32(h.pid), c.pid);
	cr_expect_eq(get_le32(h.access), GM_ACCESS_READ);
	rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
	for (uint64_t id = 1; id <= 40; id++) /* more than are kept for one look */
		rig_send_plain(&rig, LINK_HOLDERS, id);
	for (int i = 0; i < 40; i++) {
		rig_expect(&rig, &h, sizeof(h), LINK_HOLDER);
		rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
	}
	rig_child_end(&c);
}

/* ---- a helper that is started anew ---- */

Test(helper_soft, adopts_the_devices_of_held_files)
{
	static const struct rig_extent extents[] = {{0, 1024, 512}, {512, 20, 4}};
	struct got first, second;

	attach(&first, 11, extents, 2);
	restart(11, extents, 2);
	attach(&second, 11, extents, 2);
	cr_expect_eq(memcmp(first.ids, second.ids, 2 * sizeof(first.ids[0])), 0);
	cr_expect_eq(
		memcmp(&first.grant.devices, &second.grant.devices, sizeof(first.grant.devices)),
		0);
	cr_expect_eq(fake_soft->made, 2);
}

Test(helper_soft, makes_what_a_dead_helper_had_not_come_to)
{
	static const struct rig_extent extents[] = {{0, 1024, 512}, {512, 20, 4}};
	struct got g;

	cr_assert_eq(rig_stop(&rig), 0);
	unsigned there = fake_soft_add(true, true, 20, 4);
	rig_start(&rig);
	rig_meet(&rig);
	rig_send_held(&rig, 11, 1, extents, 2);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	rig.epoch = 1;
	attach(&g, 11, extents, 2);
	cr_assert_eq(get_le32(g.grant.device_count), 2);
	cr_expect_eq(g.ids[1], there);
	cr_expect_eq(fake_soft->made, 1);
}

Test(helper_soft, removes_what_a_dead_helper_left_and_nothing_else)
{
	struct got g;

	attach(&g, 11, small, 2);
	unsigned window = fake_soft_add_window(300, LINK_SCRUB_MAX);
	unsigned unbound = fake_soft_add(true, false, 400, 3);
	unsigned foreign = fake_soft_add(false, true, 500, 1);
	unsigned unknown = fake_soft_add(true, true, 600, 1);
	/* The counts alone keep it: it is over nobody's blocks, and as small as a window. */
	atomic_store(&((struct fake_device *)fake_soft_find(unknown))->open_elsewhere, 1);
	restart(11, small, 2);
	/* Orders that come at once are not taken before the devices are known. */
	cr_expect_eq(rig_scrub(&rig, 310, 2), 0);
	cr_expect_null(fake_soft_find(window));
	cr_expect_not_null(fake_soft_find(unbound), "somebody has unbound it");
	cr_expect_not_null(fake_soft_find(foreign));
	cr_expect_not_null(fake_soft_find(unknown));
	cr_expect_not_null(fake_soft_find(g.ids[0]));
	cr_expect_not_null(fake_soft_find(0), "the seed");
	cr_expect_not_null(fake_soft_find(1), "the metadata");
	cr_expect_eq(rig_scrub(&rig, 500, 1), EBUSY);
	cr_expect_eq(rig_scrub(&rig, 600, 1), EBUSY);
}

/* Then somebody may have it open; and the next helper looks again. */
Test(helper_soft, what_a_dead_helper_left_stays_where_nobody_can_look)
{
	unsigned window = fake_soft_add_window(300, LINK_SCRUB_MAX);

	atomic_store(&fake_soft->scan_fails, -EMFILE);
	restart(0, NULL, 0);
	cr_expect_eq(rig_scrub(&rig, 310, 2), EBUSY);
	cr_expect_not_null(fake_soft_find(window));
	if (!getenv("GM_VERBOSE"))
		cr_expect_eq(rig_count_log(&rig, "what a helper that ended has left stays: looking "
						 "for who has it open fails: Too many open files"),
			1);
	atomic_store(&fake_soft->scan_fails, 0);
	restart(0, NULL, 0);
	cr_expect_eq(rig_scrub(&rig, 310, 2), 0);
	cr_expect_null(fake_soft_find(window));
}

Test(helper_soft, a_worker_that_is_started_anew_changes_nothing)
{
	struct got first, second;

	attach(&first, 11, small, 2);
	rig_meet(&rig);
	rig_send_held(&rig, 11, rig.epoch, small, 2);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	attach(&second, 11, small, 2);
	cr_expect_eq(first.ids[0], second.ids[0]);
}
