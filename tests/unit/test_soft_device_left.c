// SPDX-License-Identifier: MIT
/* What a process leaves that dies while it makes a device of a soft region, or retires one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake_dax.h"
#include "region/dax_sysfs.h"
#include "region/soft_record.h"
#include "util/cleanup.h"

TestSuite(soft_device_left, .init = fake_dax_set_up, .fini = fake_dax_tear_down);

/* ---- half made ---- */

/* As a process leaves it that dies while it makes dax7.4 over these ranges. */
static void begin_with(unsigned id, const struct soft_range *ranges, size_t count)
{
	struct soft_record r = SOFT_RECORD_NULL;
	struct soft_work w = {.id = id, .ranges = (struct soft_range *)ranges, .count = count};

	cr_assert_eq(dax_get_instance((struct dax_id){.region = 7, .id = id}, &w.instance), 0);
	cr_assert_eq(soft_record_open(&r, START, NULL), 0);
	cr_assert_eq(soft_record_begin(&r, &w, NULL), 0);
	soft_record_close(&r);
}

static void begin(const struct soft_range *ranges, size_t count)
{
	begin_with(4, ranges, count);
}

static void expect_left(void)
{
	struct soft_device found = find(4);

	cr_expect_not_null(found.ranges);
	cr_expect_not(found.ours);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", ""));
	soft_device_deinit(&found);
}

static void expect_deleted(void)
{
	struct soft_device found = find(4);

	cr_expect(was_written(REGION "/dax_region/delete", "dax7.4"));
	soft_device_deinit(&found);
}

Test(soft_device_left, half_made_without_memory_it_is_removed)
{
	make_device(4, NULL, 0);
	begin(other, 1);
	expect_deleted();
}

Test(soft_device_left, half_made_with_part_of_its_memory_it_is_removed)
{
	static const struct soft_range wanted[] = {{100, 6}, {200, 1}};

	make_device(4, other, 1);
	begin(wanted, 2);
	expect_deleted();
}

Test(soft_device_left, half_made_with_other_memory_it_is_somebody_elses)
{
	make_device(4, two, 1);
	begin(other, 1);
	expect_left();
}

Test(soft_device_left, another_that_is_being_made_with_the_id_is_left)
{
	make_device(4, NULL, 0);
	begin(other, 1);
	remove_device(4);
	make_device(4, NULL, 0);
	expect_left();
	remove_device(4);
	make_device(4, other, 1);
	expect_left();
}

Test(soft_device_left, one_that_is_bound_is_not_half_made_but_ours)
{
	make_device(4, other, 1);
	bind_device(4);
	begin(other, 1);
	struct soft_device found = find(4);
	cr_expect(found.ours && found.bound && !found.exported && !found.window);
	cr_expect_eq(soft_device_has_lost(START, NULL), 0);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", ""));
	soft_device_deinit(&found);
}

Test(soft_device_left, one_that_is_bound_with_part_of_its_memory_is_somebody_elses)
{
	static const struct soft_range wanted[] = {{100, 6}, {200, 1}};

	make_device(4, other, 1);
	bind_device(4);
	begin(wanted, 2);
	expect_left();
}

/* Whoever was about to remove it died before, and what is noted is of the device as it was. */
Test(soft_device_left, half_taken_away_and_bound_anew_it_is_left)
{
	begin_with(3, two, 2);
	unbind_device(3);
	bind_device(3);
	struct soft_device found = find(3);
	cr_expect(!found.ours && found.bound);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	soft_device_deinit(&found);
}

Test(soft_device_left, half_taken_away_and_unbound_it_is_removed)
{
	begin_with(3, two, 2);
	unbind_device(3);
	struct soft_device found = find(3);
	cr_expect(was_written(REGION "/dax_region/delete", "dax7.3"));
	cr_expect_eq(soft_device_has_lost(START, NULL), 0);
	soft_device_deinit(&found);
}

Test(soft_device_left, but_not_if_it_was_exported)
{
	cr_assert_eq(soft_device_note_exported(START, &device), 0);
	begin_with(3, two, 2);
	unbind_device(3);
	struct soft_device found = find(3);
	cr_expect(!found.ours && !found.bound);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	soft_device_deinit(&found);
}

Test(soft_device_left, nothing_that_was_not_noted_is_half_made)
{
	make_device(4, NULL, 0);
	expect_left();
}

/* ---- retired ---- */

/* As a process leaves it that dies while it retires dax7.3. */
static void begin_retiring(void)
{
	struct soft_record r = SOFT_RECORD_NULL;
	const struct soft_work w = {.id = 3,
		.instance = device.instance,
		.ranges = device.ranges,
		.count = device.range_count};

	cr_assert_eq(soft_device_note_exported(START, &device), 0);
	cr_assert_eq(soft_record_open(&r, START, NULL), 0);
	cr_assert_eq(soft_record_begin(&r, &w, NULL), 0);
	cr_assert_eq(soft_record_set_retired(&r, 3, device.instance, NULL), 0);
	soft_record_close(&r);
}

static void empty(void)
{
	remove_tree(REGION "/dax7.3/mapping0");
	remove_tree(REGION "/dax7.3/mapping1");
	write_number(REGION "/dax7.3", "size", 0);
}

static void expect_retired(void)
{
	struct soft_device found = find(3);

	cr_expect(found.retired && !found.ours && !found.bound && found.range_count == 0);
	cr_expect(was_written(REGION "/dax_region/delete", ""), "its name stays taken");
	cr_expect_eq(soft_device_has_lost(START, NULL), 0);
	soft_device_deinit(&found);
}

Test(soft_device_left, retired_it_stays_and_is_ours_no_more)
{
	begin_retiring();
	unbind_device(3);
	empty();
	expect_retired();
	expect_retired();
	struct soft_device found = find(3);
	cr_expect_eq(soft_device_remove(START, &found, NULL), -EPERM);
	cr_expect_eq(soft_device_retire(START, &found, NULL), -EPERM);
	soft_device_deinit(&found);
	remove_device(3);
	make_device(3, NULL, 0);
	found = find(3);
	cr_expect_not(found.retired, "another of its name is not");
	soft_device_deinit(&found);
}

Test(soft_device_left, unbound_but_not_empty_it_is_gone_on_with)
{
	begin_retiring();
	unbind_device(3);
	struct soft_device found = find(3);
	/* The kernel of this test keeps its memory. */
	cr_expect(found.retiring && !found.retired && !found.ours);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	soft_device_deinit(&found);
	empty();
	expect_retired();
}

Test(soft_device_left, what_is_bound_is_retired_by_nobody_who_has_not_shown_it_idle)
{
	begin_retiring();
	struct soft_device found = find(3);
	cr_expect(found.ours && found.exported && found.bound && !found.retiring);
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", ""));
	soft_device_deinit(&found);
	unbind_device(3);
	found = find(3);
	cr_expect(!found.ours && !found.retiring, "somebody else has unbound it");
	soft_device_deinit(&found);
}

Test(soft_device_left, with_other_memory_it_is_not_retired)
{
	begin_retiring();
	unbind_device(3);
	empty();
	add_mapping(3, 0, &other[0], 0);
	write_number(REGION "/dax7.3", "size", 6 * BLOCK);
	struct soft_device found = find(3);
	cr_expect(!found.retired && !found.ours);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	soft_device_deinit(&found);
}

Test(soft_device_left, only_what_was_exported_is_retired)
{
	struct problem why = PROBLEM_INIT;

	cr_expect_eq(soft_device_retire(START, &device, &why), -EBUSY);
	cr_expect_not_null(strstr(why.text, "was not exported"), "%s", why.text);
	cr_assert_eq(soft_device_note_exported(START, &device), 0);
	cr_expect_eq(soft_device_remove(START, &device, &why), -EBUSY);
	cr_expect_not_null(strstr(why.text, "must stay"), "%s", why.text);
	/* Still bound, says the kernel of this test. */
	cr_expect_eq(soft_device_retire(START, &device, &why), -EIO);
	cr_expect_not_null(strstr(why.text, "still has a driver"), "%s", why.text);
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", "dax7.3"));
	cr_expect(was_written(REGION "/dax_region/delete", ""));
}
