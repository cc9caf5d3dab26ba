// SPDX-License-Identifier: MIT
/* The content store on a soft region whose devices are files (fake_soft.h): the worker's alone. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_soft.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define RW       (GM_ACCESS_READ | GM_ACCESS_WRITE)
#define STORE    20U /* the content store */
#define FILE_INO 11U /* of a client */
#define ID       77U
#define PATIENCE 60000 /* ms */

static struct rig rig;

static void set_up(void)
{
	rig_init(&rig);
	fake_soft_init(&rig);
	rig_start(&rig);
	rig_bring_up(&rig);
}

static void tear_down(void)
{
	cr_expect_eq(rig_stop(&rig), 0, "the helper ends in good order");
	fake_soft_deinit();
	rig_deinit(&rig);
}

TestSuite(helper_contents, .init = set_up, .fini = tear_down);

/* ---- as the worker ---- */

static void announce(uint64_t ino, uint64_t epoch, uint64_t from, size_t count, uint64_t id)
{
	struct link_contents m = {.ino = put_le64(ino),
		.epoch = put_le64(epoch),
		.extent_count = put_le64(count),
		.from = put_le64(from)};

	rig_send(&rig, &m, sizeof(m), LINK_CONTENTS, id);
}

static void ask(uint64_t ino, uint64_t from, const struct rig_extent *extents, size_t count)
{
	announce(ino, ++rig.epoch, from, count, ID);
	rig_send_extents(&rig, ID, ino, extents, count);
}

/* What came of one question. */
struct got {
	int error;
	size_t count;
	struct {
		uint64_t file_block, device_block, count;
		unsigned device; /* its id */
		int mode;        /* as it was opened */
	} parts[16];
};

static int receive(void *message, size_t room, int *fd)
{
	struct pollfd p = {.fd = rig.worker, .events = POLLIN};
	size_t nfds = 1;

	cr_assert_eq(poll(&p, 1, PATIENCE), 1, "nothing comes");
	ssize_t n = packet_receive(rig.worker, message, room, fd, &nfds, false);
	cr_assert_gt(n, 0, "the link is closed");
	if (nfds == 0)
		*fd = -1;
	return (int)n;
}

union answer {
	struct link_header header;
	struct link_part part;
	struct link_contents_given given;
};

static void note_part(struct got *g, const struct link_part *m, int fd)
{
	cr_assert_lt(g->count, ARRAY_SIZE(g->parts));
	g->parts[g->count].file_block = get_le64(m->file_block);
	g->parts[g->count].device_block = get_le64(m->device_block);
	g->parts[g->count].count = get_le64(m->count);
	g->parts[g->count].device = fake_soft_id(fd);
	g->parts[g->count].mode = fcntl(fd, F_GETFL) & O_ACCMODE;
	g->count++;
}

static struct got take(void)
{
	struct got g = {.count = 0};

	for (;;) {
		union answer m;
		_cleanup_fd_ int fd = -1;
		int n = receive(&m, sizeof(m), &fd);
		cr_assert_eq(get_le64(m.header.id), ID);
		if (get_le16(m.header.opcode) == LINK_CONTENTS_GIVEN) {
			cr_assert_eq(n, (int)sizeof(m.given));
			cr_assert_eq(fd, -1);
			g.error = (int)get_le32(m.given.error);
			return g;
		}
		cr_assert_eq(get_le16(m.header.opcode), LINK_PART);
		cr_assert_eq(n, (int)sizeof(m.part));
		cr_assert_geq(fd, 0, "a part comes with a descriptor");
		note_part(&g, &m.part, fd);
	}
}

static struct got get(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	ask(ino, 0, extents, count);
	return take();
}

static void expect_part(const struct got *g, size_t i, uint64_t file_block, uint64_t count,
	unsigned device, uint64_t device_block)
{
	cr_assert_lt(i, g->count);
	cr_expect_eq(g->parts[i].file_block, file_block);
	cr_expect_eq(g->parts[i].count, count);
	cr_expect_eq(g->parts[i].device, device);
	cr_expect_eq(g->parts[i].device_block, device_block);
	cr_expect_eq(g->parts[i].mode, O_RDWR);
}

static const struct rig_extent small[] = {{0, 10, 1}, {1, 100, 2}};
static const struct rig_extent grown[] = {{0, 10, 1}, {1, 100, 2}, {4, 200, 4}};
static const struct rig_extent other[] = {{0, 300, 2}};

static void expect_no_grant(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	int client = rig_client(&rig);

	rig_send_attach(client, 8);
	(void)rig_grant(&rig, ino, RW, extents, count);
	rig_expect_refused(client, 8, EUCLEAN, GM_REASON_RECORD);
	close(client);
}

static void restart(uint64_t ino, const struct rig_extent *held, size_t count)
{
	rig_restart(&rig);
	rig_send_held(&rig, ino, rig.epoch, held, count);
	rig_send_plain(&rig, LINK_RESUMED, 0);
}

/* ---- what the worker gets ---- */

Test(helper_contents, the_worker_gets_a_device_over_the_content_store)
{
	struct got g = get(STORE, small, 2);

	cr_assert_eq(g.error, 0);
	cr_assert_eq(g.count, 2);
	unsigned id = g.parts[0].device;
	expect_part(&g, 0, 0, 1, id, 0);
	expect_part(&g, 1, 1, 2, id, 1);
	const struct fake_device *d = fake_soft_find(id);
	cr_assert_not_null(d);
	cr_expect_eq(d->user.users, SOFT_USERS_WORKER, "it is noted whose it is");
	cr_expect_eq(d->align, GM_BLOCK_SIZE);
	cr_expect(!d->exported);
	cr_expect_eq(rig_count_log(&rig, "grant of=worker ino=20 access=rw ranges=2"), 1);
}

Test(helper_contents, what_grows_gets_a_further_device)
{
	struct got before = get(STORE, small, 2), g;

	ask(STORE, 4, grown, 3);
	g = take();
	cr_assert_eq(g.error, 0);
	cr_assert_eq(g.count, 1, "what the worker has does not come again");
	cr_expect_neq(g.parts[0].device, before.parts[0].device);
	expect_part(&g, 0, 4, 4, g.parts[0].device, 0);
	g = get(STORE, grown, 3);
	cr_assert_eq(g.count, 3, "but all of it for one that has nothing");
	expect_part(&g, 0, 0, 1, before.parts[0].device, 0);
	cr_expect_eq(fake_soft->made, 2);
}

Test(helper_contents, it_may_be_empty)
{
	const struct got g = get(STORE, NULL, 0);

	cr_expect_eq(g.error, 0);
	cr_expect_eq(g.count, 0);
}

Test(helper_contents, more_devices_than_a_grant_can_carry)
{
	struct rig_extent extents[GM_GRANT_DEVICES_MAX + 4];

	for (unsigned i = 0; i < ARRAY_SIZE(extents); i++) {
		extents[i] = (struct rig_extent){i, 20 + 2 * i, 1};
		ask(STORE, i, extents, i + 1);
		const struct got g = take();
		cr_assert_eq(g.error, 0);
		cr_assert_eq(g.count, 1);
		expect_part(&g, 0, i, 1, g.parts[0].device, 0);
	}
	cr_expect_eq(fake_soft->made, ARRAY_SIZE(extents));
}

/* A worker that does not read has the helper wait with descriptors, and with none in hand. */
Test(helper_contents, many_questions_are_answered_as_the_worker_reads)
{
	const unsigned questions = 100;
	struct rig_extent extents[FAKE_RANGES];

	for (unsigned i = 0; i < ARRAY_SIZE(extents); i++)
		extents[i] = (struct rig_extent){i, 20 + 2 * i, 1};
	for (unsigned i = 0; i < questions; i++)
		ask(STORE, 0, extents, ARRAY_SIZE(extents));
	for (unsigned i = 0; i < questions; i++) {
		const struct got g = take();
		cr_assert_eq(g.error, 0);
		cr_assert_eq(g.count, ARRAY_SIZE(extents));
	}
	cr_expect_eq(fake_soft->made, 1);
}

Test(helper_contents, a_device_that_can_not_be_made_is_said)
{
	atomic_store(&fake_soft->fail_in, 0);
	cr_expect_neq(get(STORE, small, 2).error, 0);
	atomic_store(&fake_soft->fail_in, -1);
	cr_expect_eq(get(STORE, small, 2).error, 0, "and can be made later");
}

Test(helper_contents, no_descriptor_leaves_before_it_is_noted_whose_it_is)
{
	atomic_store(&fake_soft->no_room, -ENOSPC);
	const struct got g = get(STORE, small, 2);
	cr_expect_eq(g.error, EIO);
	cr_expect_eq(g.count, 0);
	atomic_store(&fake_soft->no_room, 0);
	cr_expect_eq(get(STORE, other, 1).error, EUCLEAN, "it stays what it was to be");
}

/* ---- nobody else ---- */

Test(helper_contents, no_client_is_granted_it)
{
	(void)get(STORE, small, 2);
	expect_no_grant(STORE, small, 2);
	cr_expect_eq(rig_count_log(&rig, "inode 20 is the content store, the worker's alone"), 1);
	cr_expect_eq(get(STORE, small, 2).error, 0, "the worker has it all the same");
}

Test(helper_contents, it_is_not_exported)
{
	struct link_export m = {.ino = put_le64(STORE), .extent_count = put_le64(2)};
	struct link_exported answer;

	const struct got g = get(STORE, small, 2);
	m.epoch = put_le64(++rig.epoch);
	rig_send(&rig, &m, sizeof(m), LINK_EXPORT, 4);
	rig_send_extents(&rig, 4, STORE, small, 2);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	cr_expect_eq((int)get_le32(answer.error), EUCLEAN);
	cr_expect(!fake_soft_find(g.parts[0].device)->exported);
}

Test(helper_contents, no_block_of_it_is_another_ones)
{
	static const struct rig_extent overlap[] = {{0, 101, 4}};

	(void)get(STORE, small, 2);
	expect_no_grant(FILE_INO, overlap, 1);
	cr_expect_eq(rig_scrub(&rig, 100, 1), EUCLEAN, "nor is it zeroed");
}

Test(helper_contents, nothing_is_given_that_a_client_has)
{
	static const struct rig_extent overlap[] = {{0, 301, 4}};

	(void)fake_soft_attach(&rig, FILE_INO, other, 1);
	cr_expect_eq(get(STORE, overlap, 1).error, EUCLEAN);
	cr_expect_eq(rig_count_log(&rig, "refusal of=worker message=31 ino=20 errno=117"), 1);
	cr_expect_eq(fake_soft->made, 1);
}

Test(helper_contents, what_a_client_was_granted_never_becomes_the_workers)
{
	unsigned id = fake_soft_attach(&rig, FILE_INO, other, 1);

	cr_expect_eq(get(FILE_INO, other, 1).error, EUCLEAN);
	cr_expect_eq(fake_soft_find(id)->user.users, SOFT_USERS_ONE);
	restart(FILE_INO, other, 1);
	cr_expect_eq(get(FILE_INO, other, 1).error, EUCLEAN, "whatever the next helper is told");
	cr_expect_eq(fake_soft_find(id)->user.users, SOFT_USERS_ONE);
}

Test(helper_contents, what_a_client_waits_for_is_not_the_workers)
{
	struct gm_grant grant;
	int fd, client = rig_client(&rig);

	atomic_store(&fake_soft->hold, true);
	rig_send_attach(client, 7);
	(void)rig_grant(&rig, FILE_INO, RW, other, 1);
	fake_soft_wait_until_making();
	cr_expect_eq(get(FILE_INO, other, 1).error, EUCLEAN);
	atomic_store(&fake_soft->hold, false);
	cr_expect_eq(rig_expect_grant(client, 7, &grant, &fd, 1), 1);
	close(fd);
	close(client);
}

Test(helper_contents, there_is_one_content_store)
{
	(void)get(STORE, small, 2);
	cr_expect_eq(get(STORE + 1, other, 1).error, EUCLEAN);
	cr_expect_eq(fake_soft->made, 1);
	restart(STORE, small, 2);
	cr_expect_eq(get(STORE + 1, other, 1).error, EUCLEAN, "for the next helper, too");
}

Test(helper_contents, it_does_not_shrink)
{
	(void)get(STORE, grown, 3);
	cr_expect_eq(get(STORE, small, 2).error, EUCLEAN);
	cr_expect_eq(get(STORE, grown, 3).error, 0);
}

Test(helper_contents, an_old_number_is_refused)
{
	(void)get(STORE, small, 2);
	announce(STORE, rig.epoch, 0, 2, ID);
	rig_send_extents(&rig, ID, STORE, small, 2);
	cr_expect_eq(take().error, EUCLEAN);
}

/* ---- as long as the boot lasts ---- */

Test(helper_contents, it_is_not_taken_back)
{
	const struct got g = get(STORE, small, 2);
	struct link_check answer = rig_check_flags(&rig, STORE, LINK_CHECK_TAKE | LINK_CHECK_KEEP);

	cr_expect_eq(get_le16(answer.header.opcode), LINK_BUSY);
	cr_expect_eq(get_le32(answer.pid), 0);
	rig_expect_nothing(&rig, 300);
	cr_expect_not_null(fake_soft_find(g.parts[0].device));
}

Test(helper_contents, nobody_is_killed_for_it)
{
	struct link_revoke m = {.ino = put_le64(STORE), .flags = put_le32(LINK_REVOKE_KILL)};
	struct link_revoked answer;

	const struct got g = get(STORE, small, 2);
	rig_send(&rig, &m, sizeof(m), LINK_REVOKE, 5);
	rig_expect(&rig, &answer, sizeof(answer), LINK_REVOKED);
	cr_expect_eq((int)get_le32(answer.state), LINK_REVOKED_HELD);
	cr_expect_not_null(fake_soft_find(g.parts[0].device));
}

/* We have the device open, as a worker has it mapped: that is nobody who holds memory. */
Test(helper_contents, nobody_is_listed_as_its_holder)
{
	struct link_holders_end end;
	char path[128];

	const struct got g = get(STORE, small, 2);
	(void)snprintf(path, sizeof(path), "%s/dax.%u", fake_soft->directory, g.parts[0].device);
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	rig_send_plain(&rig, LINK_HOLDERS, 0);
	rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
	restart(STORE, small, 2);
	rig_send_plain(&rig, LINK_HOLDERS, 0);
	rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
}

Test(helper_contents, the_next_helper_takes_its_devices_over)
{
	const struct got before = get(STORE, small, 2);

	restart(STORE, small, 2);
	expect_no_grant(STORE, small, 2);
	const struct got g = get(STORE, small, 2);
	cr_assert_eq(g.error, 0);
	expect_part(&g, 0, 0, 1, before.parts[0].device, 0);
	cr_expect_eq(fake_soft->made, 1);
}

Test(helper_contents, the_next_worker_gets_the_same)
{
	const struct got before = get(STORE, small, 2);

	rig_meet(&rig);
	rig_send_held(&rig, STORE, rig.epoch, small, 2);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	const struct got g = get(STORE, small, 2);
	cr_assert_eq(g.error, 0);
	expect_part(&g, 0, 0, 1, before.parts[0].device, 0);
	cr_expect_eq(fake_soft->made, 1);
}

Test(helper_contents, a_worker_that_goes_while_its_device_is_made)
{
	atomic_store(&fake_soft->hold, true);
	ask(STORE, 0, small, 2);
	fake_soft_wait_until_making();
	rig_meet(&rig);
	rig_send_held(&rig, STORE, rig.epoch, small, 2);
	rig_send_plain(&rig, LINK_RESUMED, 0);
	ask(STORE, 0, small, 2);
	atomic_store(&fake_soft->hold, false);
	const struct got g = take();
	cr_expect_eq(g.error, 0);
	cr_expect_eq(g.count, 2);
	rig_expect_nothing(&rig, 100);
	cr_expect_eq(fake_soft->made, 1);
}

/* ---- the message, whose fields are in test_helper_lies.c ---- */

Test(helper_contents, nothing_comes_between_it_and_its_extents)
{
	announce(STORE, 1, 0, 2, ID);
	rig_send_plain(&rig, LINK_HOLDERS, 0);
	rig_expect_link_closed(&rig);
	cr_expect_eq(rig_count_log(&rig, "refusal of=worker"), 1);
}
