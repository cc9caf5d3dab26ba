// SPDX-License-Identifier: MIT
#include "soft_helper.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/le.h"

struct rig rig;

const struct rig_extent small[2] = {{0, 10, 3}, {3, 100, 2}};

/* ---- its life ---- */

void soft_helper_set_up_by(enum reuse_policy policy, bool counts)
{
	rig_init(&rig);
	fake_soft_init(&rig);
	fake_soft->no_counts = !counts;
	rig.reuse = policy;
	rig_start(&rig);
	rig_bring_up(&rig);
}

void soft_helper_set_up(void)
{
	fake_soft_set_up(&rig);
}

void soft_helper_set_up_without(void)
{
	soft_helper_set_up_by(REUSE_SHOWN, false);
}

void soft_helper_set_up_never(void)
{
	soft_helper_set_up_by(REUSE_NEVER, true);
}

void soft_helper_tear_down(void)
{
	fake_soft_tear_down(&rig);
}

void restart(uint64_t ino, const struct rig_extent *held, size_t count)
{
	rig_restart(&rig);
	rig_resume(&rig, ino, held, count);
}

/* ---- grants ---- */

void learn(void)
{
	cr_assert_eq(rig_scrub(&rig, 300, 1), 0);
	cr_assert_eq(rig_scrub(&rig, 300, 1), 0);
}

void take(struct got *g, int client, uint64_t serial)
{
	int fds[GM_GRANT_DEVICES_MAX + 1];

	g->count = rig_expect_grant(client, serial, &g->grant, fds, ARRAY_SIZE(fds));
	for (size_t i = 0; i < get_le32(g->grant.device_count); i++)
		g->ids[i] = fake_soft_id(fds[i]);
	for (size_t i = 0; i < g->count; i++)
		close(fds[i]);
}

void attach(struct got *g, uint64_t ino, const struct rig_extent *extents, size_t count)
{
	int client = rig_client(&rig);

	rig_send_attach(client, 7);
	(void)rig_grant(&rig, ino, RW, extents, count);
	take(g, client, 7);
	close(client);
}

void grant_and_end(
	uint64_t ino, const struct rig_extent *extents, size_t count, unsigned *ids, size_t n)
{
	struct rig_child c = rig_child_start(&rig, false);

	(void)rig_grant(&rig, ino, RW, extents, count);
	rig_child_wait(&c);
	for (unsigned id = fake_soft->last_id; n > 0; id--)
		if (fake_soft_find(id))
			ids[--n] = id;
	rig_child_end(&c);
}

void expect_answer(uint64_t ino, unsigned flags, unsigned opcode)
{
	const struct link_check m = rig_check_flags(&rig, ino, flags);

	cr_expect_eq(get_le16(m.header.opcode), opcode, "%u", get_le16(m.header.opcode));
	if (opcode == LINK_FREE)
		cr_expect_eq(get_le64(m.epoch), rig.epoch);
}

/* ---- waiting ---- */

void wait_for_readings(unsigned more)
{
	const struct timespec step = {.tv_nsec = 2000000};
	unsigned wanted = fake_soft->readings + more;

	for (int i = 0; i < 10000 && fake_soft->readings < wanted; i++)
		(void)nanosleep(&step, NULL);
	cr_assert_geq(fake_soft->readings, wanted);
}

/* ---- exports ---- */

void send_export(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	struct link_export m = {.ino = put_le64(ino),
		.epoch = put_le64(++rig.epoch),
		.extent_count = put_le64(count),
		.uid = put_le32(1000),
		.gid = put_le32(100),
		.mode = put_le32(0640),
		.asker_pid = put_le32((uint32_t)getpid()),
		.asker_uid = put_le32(77)};

	rig_send(&rig, &m, sizeof(m), LINK_EXPORT, 5);
	rig_send_extents(&rig, 5, ino, extents, count);
}

unsigned exported_id(const struct link_exported *answer)
{
	unsigned id = 0;

	cr_assert_eq(get_le32(answer->error), 0, "%u", get_le32(answer->error));
	cr_assert_eq(sscanf(answer->node, "/dev/dax900.%u", &id), 1, "%s", answer->node);
	return id;
}
