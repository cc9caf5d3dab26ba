// SPDX-License-Identifier: MIT
/*
 * Devices of soft regions that root has taken away, and what he has put in their place; and windows
 * that a helper has left behind. A real helper, devices that are files.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "soft_helper.h"
#include "util/cleanup.h"
#include "util/le.h"

#define OTHER 700U /* a block of no file */

static void set_up(void)
{
	soft_helper_set_up();
	rig_fill(&rig, OTHER, 0xaa);
}

TestSuite(helper_lost, .init = set_up, .fini = soft_helper_tear_down);

/* ---- what happens to a device, and to what stands in its place ---- */

/* Grants to a process that ends at once, and is known to have ended: a look tells. The id of the
 * device. */
static unsigned grant_and_look(void)
{
	struct rig_child c = rig_child_start(&rig, false);

	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	rig_child_end(&c);
	(void)rig_check(&rig, 11);
	return fake_soft->last_id;
}

static void expect_no_grant(int error)
{
	int client = rig_client(&rig);

	rig_send_attach(client, 8);
	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_expect_refused(client, 8, error, GM_REASON_DEVICE);
	close(client);
}

static void expect_check(unsigned opcode)
{
	const struct link_check answer = rig_check_flags(&rig, 11, REMOVED);

	cr_expect_eq(get_le16(answer.header.opcode), opcode);
}

/* Root's own device is as he made it. */
static void expect_alone(unsigned id)
{
	const struct fake_device *d = fake_soft_find(id);

	cr_assert_not_null(d);
	cr_expect(!d->ours && d->bound && !d->exported && !d->window);
	cr_expect(d->uid == 0 && d->gid == 0 && d->mode == 0, "nobody has changed its node");
	cr_expect(rig_is_filled(&rig, OTHER, 0xaa), "nor its bytes");
}

/* ---- grants ---- */

Test(helper_lost, another_device_with_the_id_is_not_handed_out)
{
	struct rig_child c = rig_child_start(&rig, false);

	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	unsigned id = fake_soft->last_id, count = fake_soft_count();
	fake_soft_replace(id, OTHER, 1);
	expect_no_grant(EIO); /* as long as somebody lives who had the one that was there */
	expect_alone(id);
	cr_expect_eq(fake_soft_count(), count, "and none is made");
	rig_child_end(&c);
}

/* A look, after which this one holds it as before. */
static void expect_holder(const struct rig_child *c)
{
	struct link_holder h;
	struct link_holders_end end;

	rig_send_plain(&rig, LINK_HOLDERS, 42);
	rig_expect(&rig, &h, sizeof(h), LINK_HOLDER);
	cr_expect_eq((pid_t)get_le32(h.pid), c->pid);
	rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
}

Test(helper_lost, no_look_shows_that_who_had_a_device_that_is_gone_has_let_it_go)
{
	struct rig_child c = rig_child_start(&rig, false);

	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	unsigned id = fake_soft->last_id;
	fake_soft_take_away(id);
	expect_holder(&c);
	expect_holder(&c);
	unsigned made = fake_soft->made;
	expect_no_grant(EIO);
	cr_expect_eq(fake_soft->made, made, "he may have its pages pinned");
	rig_child_end(&c);
	cr_expect_neq(fake_soft_attach(&rig, 11, small, 2), id);
}

Test(helper_lost, a_file_gets_a_device_anew_when_nobody_is_left_who_had_it)
{
	unsigned id;

	learn();
	id = grant_and_look();
	fake_soft_replace(id, OTHER, 1);
	unsigned made = grant_and_look();
	cr_assert_neq(made, id);
	cr_assert_not_null(fake_soft_find(made));
	cr_expect_eq(fake_soft_find(made)->range_count, 2);
	expect_alone(id);
	/* Somebody may have its pages pinned through the one that is gone: no count shows that. */
	expect_check(LINK_BUSY);
	cr_expect_eq(fake_soft_attach(&rig, 11, small, 2), made);
}

Test(helper_lost, a_device_that_is_gone_is_made_anew)
{
	unsigned id = grant_and_look();

	fake_soft_take_away(id);
	cr_expect_neq(fake_soft_attach(&rig, 11, small, 2), id);
}

Test(helper_lost, no_grant_reaches_what_another_device_is_over)
{
	unsigned id = grant_and_look();

	fake_soft_replace(id, 10, 3);
	unsigned made = fake_soft->made;
	expect_no_grant(EBUSY);
	cr_expect_eq(fake_soft->made, made);
	cr_expect(!fake_soft_find(id)->ours && fake_soft_find(id)->bound);
	expect_check(LINK_BUSY);
}

Test(helper_lost, a_device_without_a_driver_is_never_bound_again)
{
	unsigned id = grant_and_look();

	fake_soft_unbind(id);
	expect_no_grant(EIO);
	restart(11, small, 2);
	expect_no_grant(EBUSY);
	cr_assert_not_null(fake_soft_find(id));
	cr_expect_not(fake_soft_find(id)->bound);
	fake_soft_take_away(id); /* as the log says */
	cr_expect_neq(fake_soft_attach(&rig, 11, small, 2), id);
}

/* ---- taking back, and starting anew ---- */

Test(helper_lost, another_device_with_the_id_is_not_removed)
{
	unsigned id;

	learn();
	id = grant_and_look();
	fake_soft_replace(id, OTHER, 1);
	expect_check(LINK_BUSY);
	cr_expect_eq(rig_scrub(&rig, 10, 1), EUCLEAN, "its blocks stay the file's");
	expect_alone(id);
}

Test(helper_lost, another_device_with_the_id_is_left_alone_by_the_next_helper)
{
	unsigned id = grant_and_look();

	fake_soft_replace(id, OTHER, 1);
	restart(11, small, 2);
	cr_expect_neq(fake_soft_attach(&rig, 11, small, 2), id);
	cr_expect_eq(rig_scrub(&rig, OTHER, 1), EBUSY);
	expect_alone(id);
}

Test(helper_lost, what_root_took_away_is_not_free_for_the_next_helper)
{
	fake_soft_take_away(grant_and_look());
	restart(11, small, 2);
	expect_check(LINK_BUSY); /* without any device it would be free, if none had been lost */
	cr_expect_eq(rig_scrub(&rig, 10, 1), EUCLEAN);
}

Test(helper_lost, what_is_bound_anew_tells_nothing_by_its_counts)
{
	unsigned id;

	learn();
	id = grant_and_look();
	struct fake_device *d = (struct fake_device *)fake_soft_find(id);
	atomic_store(&d->pinned, 10);
	expect_check(LINK_BUSY);
	fake_soft_bind_anew(id);
	expect_check(LINK_BUSY);
	expect_no_grant(EBUSY); /* it is over the blocks */
	restart(11, small, 2);
	expect_check(LINK_BUSY);
	cr_expect_eq(rig_scrub(&rig, 10, 1), EUCLEAN, "its blocks stay the file's");
	cr_expect(fake_soft_find(id) && fake_soft_find(id)->bound);
}

/* ---- exports ---- */

static struct link_exported export_file(void)
{
	struct link_exported answer;

	send_export(11, small, 2);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	return answer;
}

Test(helper_lost, the_node_of_another_device_with_the_id_keeps_its_owner)
{
	const struct link_exported answer = export_file();
	unsigned id = exported_id(&answer);
	struct link_export m = {.ino = put_le64(11), .uid = put_le32(1001), .mode = put_le32(0600)};
	struct link_done done;

	fake_soft_replace(id, OTHER, 1);
	rig_send(&rig, &m, sizeof(m), LINK_NODE, 0);
	cr_expect_eq(rig_scrub(&rig, 300, 1), 0); /* answered in order */
	expect_alone(id);
	m = (struct link_export){.ino = put_le64(11)};
	rig_send(&rig, &m, sizeof(m), LINK_UNEXPORT, 6);
	rig_expect(&rig, &done, sizeof(done), LINK_DONE);
	cr_expect_eq(get_le32(done.error), 0, "it has no node any more");
	expect_alone(id);
	const struct link_exported again = export_file();
	cr_expect_neq(exported_id(&again), id);
	expect_alone(id);
}

/* ---- windows that a helper has left ---- */

static void send_scrub(uint64_t block)
{
	struct link_scrub m = {.block = put_le64(block), .count = put_le32(2)};

	rig_send(&rig, &m, sizeof(m), LINK_SCRUB, 78);
}

Test(helper_lost, nobody_waits_for_the_look_for_who_has_a_window)
{
	unsigned window = fake_soft_add_window(300, LINK_SCRUB_MAX);
	struct link_done done;

	atomic_store(&fake_soft->hold_scan, true);
	restart(11, NULL, 0);
	send_scrub(310); /* this alone waits: the window is over it */
	cr_expect_neq(fake_soft_attach(&rig, 11, small, 2), window);
	cr_expect_eq(rig_scrub(&rig, 500, 2), 0);
	cr_expect_not_null(fake_soft_find(window));
	atomic_store(&fake_soft->hold_scan, false);
	rig_expect(&rig, &done, sizeof(done), LINK_DONE);
	cr_expect_eq(get_le64(done.header.id), 78);
	cr_expect_eq(get_le32(done.error), 0);
	cr_expect_null(fake_soft_find(window));
}

Test(helper_lost, the_helper_ends_while_it_looks_for_who_has_a_window)
{
	unsigned window = fake_soft_add_window(300, LINK_SCRUB_MAX);

	atomic_store(&fake_soft->hold_scan, true);
	restart(11, NULL, 0);
	send_scrub(310);
	cr_expect_neq(fake_soft_attach(&rig, 11, small, 2), window);
	rig.control = close_fd(rig.control);
	atomic_store(&fake_soft->hold_scan, false);
	rig_expect_link_closed(&rig);
	cr_expect_eq(rig_stop(&rig), 0);
}
