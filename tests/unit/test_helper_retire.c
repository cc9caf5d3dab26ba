// SPDX-License-Identifier: MIT
/*
 * Memory of exported files comes back as well, but its device stays, empty, until the next boot:
 * its name and number were given away. A real helper, devices that are files, and counts that are
 * the test's.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "soft_helper.h"
#include "util/le.h"

TestSuite(helper_retire, .init = soft_helper_set_up, .fini = soft_helper_tear_down);

/* Exports the file and returns its device. */
static struct fake_device *export(uint64_t ino, const struct rig_extent *extents, size_t count)
{
	struct link_exported answer;

	send_export(ino, extents, count);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	cr_assert_eq(get_le32(answer.error), 0);
	return (struct fake_device *)fake_soft_find(fake_soft->last_id);
}

static void expect_retired(const struct fake_device *d, unsigned id)
{
	cr_expect(d == fake_soft_find(id), "it is there, so that its name and number are taken");
	cr_expect(d->retired && !d->bound && d->range_count == 0);
	cr_expect_eq(fake_soft->closed, 0, "nothing stays closed");
}

static unsigned count_retired(void)
{
	struct link_holders_end end;

	rig_send_plain(&rig, LINK_HOLDERS, 42);
	rig_expect(&rig, &end, sizeof(end), LINK_HOLDERS_END);
	cr_expect_eq(get_le32(end.reserved), 0);
	return get_le32(end.retired);
}

Test(helper_retire, what_was_exported_is_closed_shown_and_retired)
{
	learn();
	cr_expect_eq(count_retired(), 0);
	struct fake_device *d = export(11, small, 2);
	unsigned id = d->id;
	cr_expect_eq(d->mode, 0640);
	expect_answer(11, REMOVED, LINK_FREE);
	cr_expect_eq(fake_soft->closings, 1);
	expect_retired(d, id);
	cr_expect_eq(count_retired(), 1);
	cr_expect_eq(rig_scrub(&rig, 10, 3), 0);
	cr_expect_eq(rig_scrub(&rig, 100, 2), 0);
	restart(0, NULL, 0);
	cr_expect_eq(count_retired(), 1, "the next helper finds it");
	cr_expect_eq(rig_scrub(&rig, 10, 3), 0);
	expect_retired(d, id);
	cr_expect_neq(export(12, small, 2)->id, id);
}

/* Its owner has no file any more, and has no leave to open the memory of one. */
static void expect_closed_when_removed(void)
{
	struct fake_device *d = export(11, small, 2);
	struct link_export node = {.ino = put_le64(11), .mode = put_le32(0666)};

	cr_expect_eq(d->mode, 0640);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_eq(d->mode, 0);
	cr_expect_eq(d->uid, 0);
	rig_send(&rig, &node, sizeof(node), LINK_NODE, 0);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_eq(d->mode, 0, "changed through a descriptor of before");
	if (!getenv("GM_VERBOSE")) /* the log is kept */
		cr_expect_eq(rig_count_log(&rig, "export ino=11 ended=yes"), 1);
}

Test(helper_retire, a_removed_file_has_no_node_by_never, .init = soft_helper_set_up_never)
{
	expect_closed_when_removed();
}

/* The audit has a line of when it was so, and one. */
Test(helper_retire, nor_at_the_second_try, .init = soft_helper_set_up_never)
{
	struct fake_device *d = export(11, small, 2);

	atomic_store(&fake_soft->no_owner, -EIO);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_eq(d->mode, 0640);
	if (!getenv("GM_VERBOSE"))
		cr_expect_eq(rig_count_log(&rig, "export ino=11 ended=yes"), 0);
	atomic_store(&fake_soft->no_owner, 0);
	for (int i = 0; i < 2; i++)
		expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_eq(d->mode, 0);
	if (!getenv("GM_VERBOSE"))
		cr_expect_eq(rig_count_log(&rig, "export ino=11 ended=yes"), 1);
}

Test(helper_retire, nor_without_counts, .init = soft_helper_set_up_without)
{
	expect_closed_when_removed();
}

Test(helper_retire, nor_while_somebody_has_it)
{
	learn();
	struct rig_child c = rig_child_start(&rig, true);
	(void)rig_grant(&rig, 11, RW, small, 2);
	rig_child_wait(&c);
	expect_closed_when_removed();
	rig_child_end(&c);
}

Test(helper_retire, what_is_removed_while_it_is_exported_gets_no_node,
	.init = soft_helper_set_up_never)
{
	struct link_exported answer;

	atomic_store(&fake_soft->hold, true);
	send_export(11, small, 2);
	fake_soft_wait_until_making();
	expect_answer(11, REMOVED, LINK_BUSY);
	atomic_store(&fake_soft->hold, false);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	cr_expect_eq(get_le32(answer.error), ENOENT);
	cr_expect_neq(fake_soft_find(fake_soft->last_id)->mode, 0640);
}

Test(helper_retire, an_exported_one_that_somebody_reaches_is_not_even_closed)
{
	learn();
	struct fake_device *d = export(11, small, 2);
	unsigned id = d->id;
	atomic_store(&d->pinned, 11);
	expect_answer(11, REMOVED, LINK_BUSY);
	wait_for_readings(3);
	cr_expect_eq(fake_soft->closings, 0);
	restart(11, small, 2);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect(d == fake_soft_find(id) && d->bound, "by the next helper neither");
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN);
	atomic_store(&d->pinned, 0);
	rig_expect_free(&rig, 11, rig.epoch);
	expect_retired(d, id);
}

Test(helper_retire, who_was_about_to_open_it_is_counted)
{
	const struct timespec step = {.tv_nsec = 2000000};

	learn();
	struct fake_device *d = export(11, small, 2);
	atomic_store(&fake_soft->arrivals, 1);
	expect_answer(11, REMOVED, LINK_BUSY);
	for (int i = 0; i < 10000 && (atomic_load(&fake_soft->arrivals) || fake_soft->closed); i++)
		(void)nanosleep(&step, NULL);
	cr_expect(d->bound);
	cr_expect_eq(fake_soft->closed, 0, "it is open again");
	atomic_store(&d->open_elsewhere, 0);
	rig_expect_free(&rig, 11, rig.epoch);
	expect_retired(d, d->id);
}

Test(helper_retire, who_has_himself_waited_for_is_not_waited_for_again_soon)
{
	unsigned id;

	learn();
	struct fake_device *d = export(11, small, 2);
	atomic_store(&fake_soft->late, 1);
	expect_answer(11, REMOVED, LINK_BUSY);
	rig_expect_nothing(&rig, 500);
	cr_expect_eq(fake_soft->closings, 1);
	cr_expect(d->bound);
	grant_and_end(12, (const struct rig_extent[]){{0, 30, 2}}, 1, &id, 1);
	expect_answer(12, REMOVED, LINK_FREE);
	cr_expect_null(fake_soft_find(id), "others are not kept waiting");
}

static void set_up_ungated(void)
{
	soft_helper_set_up();
	fake_soft->no_gate = true;
}

Test(helper_retire, what_can_not_be_closed_stays_until_the_next_boot, .init = set_up_ungated)
{
	unsigned id;

	learn();
	const struct fake_device *d = export(11, small, 2);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_eq(d->mode, 0, "nobody opens it any more, but by a copy of its node");
	unsigned readings = fake_soft->readings;
	rig_expect_nothing(&rig, 300);
	cr_expect_eq(fake_soft->readings, readings, "and it is not looked at again in vain");
	cr_expect(d->bound);
	cr_expect_eq(rig_scrub(&rig, 10, 3), EUCLEAN);
	expect_answer(11, REMOVED, LINK_BUSY);
	grant_and_end(12, (const struct rig_extent[]){{0, 30, 2}}, 1, &id, 1);
	expect_answer(12, REMOVED, LINK_FREE);
	cr_expect_eq(fake_soft->closings, 1, "it was tried once");
}

Test(helper_retire, an_export_of_a_file_that_has_grown_retires_the_one_before)
{
	static const struct rig_extent grown[] = {{0, 10, 3}, {3, 100, 2}, {5, 200, 4}};
	struct link_exported answer;

	learn();
	struct fake_device *d = export(11, small, 2);
	unsigned id = d->id;
	atomic_store(&d->open_elsewhere, 1);
	send_export(11, grown, 3);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	cr_expect_eq(get_le32(answer.error), EBUSY);
	atomic_store(&d->open_elsewhere, 0);
	cr_expect_neq(export(11, grown, 3)->id, id);
	expect_retired(d, id);
}

Test(helper_retire, an_exported_device_that_somebody_has_unbound_shows_nothing)
{
	unsigned id = fake_soft_add(true, false, 10, 3);

	((struct fake_device *)fake_soft_find(id))->exported = true;
	restart(11, small, 2);
	expect_answer(11, REMOVED, LINK_BUSY);
	cr_expect_not_null(fake_soft_find(id));
}

Test(helper_retire, a_node_is_opened_only_by_an_export)
{
	struct link_export m = {.ino = put_le64(11),
		.uid = put_le32(1000),
		.gid = put_le32(100),
		.mode = put_le32(0600)};
	unsigned id;

	grant_and_end(11, small, 2, &id, 1);
	rig_send(&rig, &m, sizeof(m), LINK_NODE, 0);
	expect_answer(11, 0, LINK_BUSY); /* answered in order, so that the other one is done */
	cr_expect_eq(fake_soft_find(id)->uid, 0);
	cr_expect_eq(fake_soft_find(id)->mode & 0077, 0);
}

Test(helper_retire, a_file_whose_devices_are_in_the_way_of_an_export_gets_a_new_one)
{
	static const struct rig_extent large[] = {{0, 1024, 512}};
	struct link_exported answer;
	unsigned id;

	learn();
	grant_and_end(11, large, 1, &id, 1);
	struct fake_device *d = (struct fake_device *)fake_soft_find(id);
	atomic_store(&d->pinned, 1025);
	send_export(11, large, 1);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	cr_expect_eq(get_le32(answer.error), EBUSY);
	atomic_store(&d->pinned, 0);
	send_export(11, large, 1);
	rig_expect(&rig, &answer, sizeof(answer), LINK_EXPORTED);
	cr_expect_eq(get_le32(answer.error), 0);
	cr_expect_null(fake_soft_find(id));
	cr_expect_eq(fake_soft_find(fake_soft->last_id)->align, GM_BLOCK_SIZE);
}
