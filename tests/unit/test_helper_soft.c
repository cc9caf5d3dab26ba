// SPDX-License-Identifier: MIT
/* A real helper on a soft region whose devices are files (fake_soft.h). */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_soft.h"
#include "helper/audits.h"
#include "util/cleanup.h"
#include "util/le.h"

#define RW (GM_ACCESS_READ | GM_ACCESS_WRITE)

static struct rig rig;

static void set_up(void)
{
	fake_soft_set_up(&rig);
}

static void tear_down(void)
{
	fake_soft_tear_down(&rig);
}

TestSuite(helper_soft, .init = set_up, .fini = tear_down);

/* What one attach gets. */
struct got {
	struct gm_grant grant;
	int fds[GM_GRANT_DEVICES_MAX + 1];
	size_t count;
	unsigned ids[GM_GRANT_DEVICES_MAX];
};

static void take(struct got *g, int client, uint64_t serial)
{
	g->count = rig_expect_grant(client, serial, &g->grant, g->fds, ARRAY_SIZE(g->fds));
	for (size_t i = 0; i < get_le32(g->grant.device_count); i++)
		g->ids[i] = fake_soft_id(g->fds[i]);
	for (size_t i = 0; i < g->count; i++)
		close(g->fds[i]);
}

static void attach(struct got *g, uint64_t ino, const struct rig_extent *extents, size_t count)
{
	int client = rig_client(&rig);

	rig_send_attach(client, 7);
	(void)rig_grant(&rig, ino, RW, extents, count);
	take(g, client, 7);
	close(client);
}

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

static const struct rig_extent small[] = {{0, 10, 3}, {3, 100, 2}};

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

static void wait_until_making(void)
{
	const struct timespec step = {.tv_nsec = 2000000};

	for (int i = 0; i < 5000 && !atomic_load(&fake_soft->waits); i++)
		(void)nanosleep(&step, NULL);
	cr_assert(atomic_load(&fake_soft->waits));
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
	wait_until_making();
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
	wait_until_making();
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
	wait_until_making();
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
	wait_until_making();
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

static void restart(const struct rig_extent *held, size_t count)
{
	rig_restart(&rig);
	rig_resume(&rig, 11, held, count);
}

Test(helper_soft, adopts_the_devices_of_held_files)
{
	static const struct rig_extent extents[] = {{0, 1024, 512}, {512, 20, 4}};
	struct got first, second;

	attach(&first, 11, extents, 2);
	restart(extents, 2);
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
	restart(small, 2);
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

/* ---- exports ---- */

static struct link_exported export_file(
	uint64_t ino, const struct rig_extent *extents, size_t count)
{
	struct link_export m = {.ino = put_le64(ino),
		.epoch = put_le64(++rig.epoch),
		.extent_count = put_le64(count),
		.uid = put_le32(1000),
		.gid = put_le32(100),
		.mode = put_le32(0640),
		.asker_pid = put_le32((uint32_t)getpid()),
		.asker_uid = put_le32(77)};
	struct link_exported answer;

	rig_send(&rig, &m, sizeof(m), LINK_EXPORT, 5);
	rig_send_extents(&rig, 5, ino, extents, count);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	cr_expect_eq(get_le64(answer.header.id), 5);
	return answer;
}

static unsigned exported_id(const struct link_exported *answer)
{
	unsigned id = 0;

	cr_assert_eq(get_le32(answer->error), 0, "%u", get_le32(answer->error));
	cr_assert_eq(sscanf(answer->node, "/dev/dax900.%u", &id), 1, "%s", answer->node);
	return id;
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

Test(helper_soft, an_export_is_one_small_paged_device_in_file_order)
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

Test(helper_soft, an_export_and_a_grant_share_the_device)
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

Test(helper_soft, a_file_whose_devices_do_not_serve_is_not_exported)
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

Test(helper_soft, a_file_with_a_hole_is_not_exported)
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

Test(helper_soft, an_export_of_anothers_blocks_is_refused)
{
	static const struct rig_extent extents[] = {{0, 11, 1}};
	struct got g;

	attach(&g, 11, small, 2);
	const struct link_exported answer = export_file(12, extents, 1);
	expect_export_refused(&answer, EUCLEAN, GM_REASON_RECORD);
}

Test(helper_soft, an_owner_that_changes_while_the_device_is_made_counts)
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
	wait_until_making();
	send_node(LINK_NODE, 1002, 102, 0660);
	end_export(EBUSY);
	atomic_store(&fake_soft->hold, false);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	expect_owner(exported_id(&answer), 1002, 102, 0660);
}

Test(helper_soft, the_next_worker_ends_an_export_that_is_still_being_made)
{
	struct link_export m = {.ino = put_le64(11),
		.epoch = put_le64(++rig.epoch),
		.extent_count = put_le64(2),
		.uid = put_le32(1000),
		.mode = put_le32(0600)};

	atomic_store(&fake_soft->hold, true);
	rig_send(&rig, &m, sizeof(m), LINK_EXPORT, 5);
	rig_send_extents(&rig, 5, 11, small, 2);
	wait_until_making();
	rig_bring_up(&rig);
	end_export(0);
	atomic_store(&fake_soft->hold, false);
	cr_expect_eq(rig_scrub(&rig, 300, 1), 0); /* the work is done in order */
	expect_owner(2, 0, 0, 0);
}

Test(helper_soft, exports_out_of_range_end_the_link)
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

Test(helper_soft, the_log_says_who_asked_for_an_export)
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
Test(helper_soft, the_lines_about_one_export_are_limited)
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
