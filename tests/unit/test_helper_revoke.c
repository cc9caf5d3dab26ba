// SPDX-License-Identifier: MIT
/* A revocation on a file region that ends before the look into /proc is over: the look goes on. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "fake_soft.h"
#include "util/le.h"

static struct rig rig;

/* The table is for the looks alone, which it can hold up. */
static void setup(void)
{
	rig_init(&rig);
	fake_soft_init(&rig);
	rig.kind = GM_REGION_FILE;
	rig_start(&rig);
	rig_bring_up(&rig);
}

static void teardown(void)
{
	atomic_store(&fake_soft->hold_scan, false);
	cr_expect_eq(rig_stop(&rig), 0, "the helper ends in good order");
	fake_soft_deinit();
	rig_deinit(&rig);
}

TestSuite(helper_revoke, .init = setup, .fini = teardown);

static const struct rig_extent file[] = {{0, 10, 2}};

/* Who holds it is killed, and its end is known to the helper, which can't look for others yet. */
static void kill_holder(uint64_t ino)
{
	struct link_revoke m = {
		.ino = put_le64(ino), .flags = put_le32(LINK_REVOKE_KILL), .uid = put_le32(0)};
	struct rig_child child = rig_child_start(&rig, false);
	struct link_holder killed;

	rig_grant(&rig, ino, GM_ACCESS_READ | GM_ACCESS_WRITE, file, 1);
	rig_child_wait(&child);
	atomic_store(&fake_soft->hold_scan, true);
	rig_send(&rig, &m, sizeof(m), LINK_REVOKE, 5);
	rig_expect(&rig, &killed, sizeof(killed), LINK_HOLDER);
	cr_assert_eq((pid_t)get_le32(killed.pid), child.pid);
	rig_child_end(&child);
	cr_assert_eq(rig_scrub(&rig, 40, 1), 0, "it takes events in their order");
}

Test(helper_revoke, what_nobody_holds_is_free_though_the_worker_went)
{
	kill_holder(7);
	rig_meet(&rig);
	rig_resume(&rig, 7, file, 1);
	atomic_store(&fake_soft->hold_scan, false);
	rig_expect_free(&rig, 7, rig.epoch);
}
