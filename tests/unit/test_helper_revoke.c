// SPDX-License-Identifier: MIT
/* Revocations: who holds a file is told and, if that is asked, killed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/kill.h"
#include "helper/server.h"
#include "soft_helper.h"
#include "util/le.h"

/* ---- a kill that takes as long as its process ---- */

int __real_kill_process_or_cgroup(const struct killer *k, const struct holder *h);
int __wrap_kill_process_or_cgroup(const struct killer *k, const struct holder *h);
int __wrap_kill_process_or_cgroup(const struct killer *k, const struct holder *h)
{
	int r = __real_kill_process_or_cgroup(k, h);

	while (r == 0 && !process_has_ended(h->process))
		(void)sched_yield();
	return r;
}

/* ---- on a file region: one that ends before the look into /proc is over ---- */

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

/* ---- on a soft region ---- */

TestSuite(helper_revoke_soft, .init = soft_helper_set_up, .fini = soft_helper_tear_down);

static void send_revoke_of(uid_t uid, uint64_t ino, uint64_t id, uint32_t flags)
{
	struct link_revoke m = {
		.ino = put_le64(ino), .flags = put_le32(flags), .uid = put_le32(uid)};

	rig_send(&rig, &m, sizeof(m), LINK_REVOKE, id);
}

static void send_revoke(uint64_t ino, uint64_t id, uint32_t flags)
{
	send_revoke_of(0, ino, id, flags);
}

static void expect_holder(uint64_t id, uint64_t ino, pid_t pid, uint32_t flags)
{
	struct link_holder h;

	rig_expect(&rig, &h, sizeof(h), LINK_HOLDER);
	cr_expect_eq(get_le64(h.header.id), id);
	cr_expect_eq(get_le64(h.ino), ino);
	if (pid)
		cr_expect_eq((pid_t)get_le32(h.pid), pid);
	cr_expect_eq(get_le32(h.flags), flags);
}

static void expect_revoked(uint64_t id, enum link_revoked_state state)
{
	struct link_revoked m;

	rig_expect(&rig, &m, sizeof(m), LINK_REVOKED);
	cr_expect_eq(get_le64(m.header.id), id);
	cr_expect_eq(get_le32(m.state), state);
}

Test(helper_revoke_soft, a_revocation_tells_who_holds_it)
{
	struct rig_child c = rig_child_start(&rig, false);
	struct link_holder h;

	(void)rig_grant(&rig, 11, GM_ACCESS_READ, small, 2);
	rig_child_wait(&c);
	send_revoke(11, 6, 0);
	rig_expect(&rig, &h, sizeof(h), LINK_HOLDER);
	cr_expect_eq((pid_t)get_le32(h.pid), c.pid);
	cr_expect_neq(h.command[0], '\0');
	expect_revoked(6, LINK_REVOKED_HELD);
	cr_expect_eq(kill(c.pid, 0), 0);
	rig_child_end(&c);
	send_revoke(11, 7, 0);
	expect_revoked(7, LINK_REVOKED_HELD);
	send_revoke(12, 8, 0);
	expect_revoked(8, LINK_REVOKED_FREE);
}

Test(helper_revoke_soft, those_who_hold_it_are_killed_and_it_is_taken_back)
{
	learn();
	struct rig_child c = rig_child_start(&rig, false);
	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	send_revoke(11, 6, LINK_REVOKE_KILL);
	expect_holder(6, 11, c.pid, LINK_HOLDER_KILLED);
	rig_expect_free(&rig, 11, rig.epoch);
	expect_revoked(6, LINK_REVOKED_FREE);
	cr_expect_eq(waitpid(c.pid, NULL, 0), c.pid, "it has ended");
	c.pid = -1;
	close(c.pipe);
	close(c.sock);
}

/* What is told was read before: a killed process's names are gone as soon as it is. */
Test(helper_revoke_soft, who_is_killed_has_a_name_still)
{
	struct link_holder h;

	learn();
	struct rig_child c = rig_child_start(&rig, false);
	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	send_revoke(11, 6, LINK_REVOKE_KILL);
	rig_expect(&rig, &h, sizeof(h), LINK_HOLDER);
	cr_expect_eq((pid_t)get_le32(h.pid), c.pid);
	cr_expect_neq(h.command[0], '\0');
	cr_expect_neq(h.cgroup[0], '\0');
	rig_expect_free(&rig, 11, rig.epoch);
	expect_revoked(6, LINK_REVOKED_FREE);
	rig_child_end(&c);
}

/* A descriptor that was handed to somebody makes him nobody's to kill but his own. */
Test(helper_revoke_soft, who_is_somebody_elses_is_told_but_not_killed)
{
	unsigned id;

	learn();
	struct rig_child c = rig_child_start(&rig, false);
	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	id = fake_soft->last_id;
	send_revoke_of(geteuid() + 1, 11, 6, LINK_REVOKE_KILL);
	expect_holder(6, 11, c.pid, 0);
	expect_revoked(6, LINK_REVOKED_HELD);
	cr_expect_eq(waitpid(c.pid, NULL, WNOHANG), 0, "it lives");
	cr_expect_not_null(fake_soft_find(id));
	send_revoke_of(geteuid(), 11, 7, LINK_REVOKE_KILL);
	expect_holder(7, 11, c.pid, LINK_HOLDER_KILLED);
	rig_expect_free(&rig, 11, rig.epoch);
	expect_revoked(7, LINK_REVOKED_FREE);
	rig_child_end(&c);
}

Test(helper_revoke_soft, what_was_revoked_in_vain_is_wanted_no_more)
{
	unsigned id;

	learn();
	grant_and_end(11, small, 2, &id, 1);
	struct fake_device *d = (struct fake_device *)fake_soft_find(id);
	atomic_store(&d->pinned, 11);
	send_revoke(11, 6, LINK_REVOKE_KILL);
	expect_revoked(6, LINK_REVOKED_HELD);
	atomic_store(&d->pinned, 0);
	rig_expect_nothing(&rig, 200);
	cr_expect_not_null(fake_soft_find(id), "it was not removed");
}

Test(helper_revoke_soft, a_grant_that_waits_is_refused_by_a_revocation)
{
	int client = rig_client(&rig);

	learn();
	atomic_store(&fake_soft->hold, true);
	rig_send_attach(client, 8);
	(void)rig_grant(&rig, 11, RW, small, 2);
	send_revoke(11, 6, LINK_REVOKE_KILL);
	rig_expect_refused(client, 8, EKEYREJECTED, GM_REASON_TICKET);
	atomic_store(&fake_soft->hold, false);
	rig_expect_free(&rig, 11, rig.epoch);
	expect_revoked(6, LINK_REVOKED_FREE);
	close(client);
}
