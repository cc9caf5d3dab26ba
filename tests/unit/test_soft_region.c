// SPDX-License-Identifier: MIT
/* A soft region that is looked at while others make and remove devices in it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake_dax.h"
#include "region/dax_sysfs.h"
#include "region/soft_record.h"
#include "region/soft_region.h"
#include "util/cleanup.h"

TestSuite(soft_region, .init = fake_dax_set_up, .fini = fake_dax_tear_down);

/* ---- what others do meanwhile ---- */

static void nothing(void)
{
}

/* Each once: when the product waits for a moment, and when it asks for this attribute (of dax7.3).
 */
static void (*in_the_pause)(void) = nothing;
static void (*at_resource)(void) = nothing;
static void (*at_align)(void) = nothing;
static unsigned pauses;

/* By readdir(3), in the first so many looks at the bus. */
static const char *left_out = "";
static unsigned left_out_looks, looks;

static void do_once(void (**what)(void))
{
	void (*now)(void) = *what;

	*what = nothing;
	now();
}

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker gives calls to these */
int __real_dax_get(struct dax_id d, const char *attribute, uint64_t *ret);
int __wrap_dax_get(struct dax_id d, const char *attribute, uint64_t *ret);
int __wrap_nanosleep(const struct timespec *time, struct timespec *rest);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
struct dirent *__real_readdir64(DIR *d);
struct dirent *__wrap_readdir64(DIR *d);

DIR *__wrap_opendir(const char *path)
{
	looks += strcmp(path, BUS "/devices") == 0;
	return __real_opendir(path);
}

struct dirent *__wrap_readdir64(DIR *d)
{
	struct dirent *e = __real_readdir64(d);

	while (e && looks <= left_out_looks && strcmp(e->d_name, left_out) == 0)
		e = __real_readdir64(d);
	return e;
}

int __wrap_dax_get(struct dax_id d, const char *attribute, uint64_t *ret)
{
	if (strcmp(attribute, "resource") == 0)
		do_once(&at_resource);
	if (strcmp(attribute, "align") == 0 && d.id == 3)
		do_once(&at_align);
	return __real_dax_get(d, attribute, ret);
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *rest)
{
	(void)time;
	(void)rest;
	pauses++;
	do_once(&in_the_pause);
	return 0;
}
/* NOLINTEND(bugprone-reserved-identifier) */

/* ---- devices that go ---- */

static int scan(struct soft_device **list, size_t *count, struct problem *why)
{
	struct soft_region r = SOFT_REGION_NULL;

	cr_assert_eq(soft_region_find(&r, START, why), 0, "%s", why->text);
	return soft_region_scan(&r, NULL, list, count, why);
}

/* The numbers of all that are found: "0 3". */
static void expect_found(const char *wanted)
{
	struct problem why = PROBLEM_INIT;
	struct soft_device *list = NULL;
	char text[64] = "";
	size_t count = 0, length = 0;

	cr_assert_eq(scan(&list, &count, &why), 0, "%s", why.text);
	for (size_t i = 0; i < count; i++)
		length += (size_t)snprintf(
			text + length, sizeof(text) - length, "%s%u", i ? " " : "", list[i].id);
	soft_device_list_free(list, count);
	cr_expect_str_eq(text, wanted);
}

/* dax7.3, where that and the seed are all; its ranges are the test's to free. */
static struct soft_device scan_third(void)
{
	struct problem why = PROBLEM_INIT;
	struct soft_device *list = NULL, third = SOFT_DEVICE_NULL;
	size_t count = 0;

	cr_assert_eq(scan(&list, &count, &why), 0, "%s", why.text);
	cr_assert_eq(count, 2);
	cr_expect_eq(list[1].id, 3);
	third = list[1];
	list[1] = SOFT_DEVICE_NULL;
	soft_device_list_free(list, count);
	return third;
}

static void take_away(const char *file)
{
	char path[128];

	(void)snprintf(path, sizeof(path), REGION "/dax7.3/%s", file);
	cr_assert_eq(unlink(path), 0, "%s", path);
}

static void remove_name(void)
{
	remove_device(3);
}

static void make_another(void)
{
	remove_device(3);
	make_device(3, other, 1);
}

Test(soft_region, a_device_whose_files_have_gone_before_its_name_is_gone)
{
	take_away("size");
	in_the_pause = remove_name;
	expect_found("0");
	cr_expect_eq(pauses, 1);
}

Test(soft_region, and_another_one_may_have_its_name_by_then)
{
	take_away("align");
	in_the_pause = make_another;
	struct soft_device found = scan_third();
	cr_expect_eq(found.range_count, 1);
	cr_expect_eq(found.ranges[0].block, other[0].block);
	soft_device_deinit(&found);
}

static void unbind_third(void)
{
	unbind_device(3);
}

Test(soft_region, one_that_is_changed_while_it_is_read_is_read_again)
{
	at_align = unbind_third;
	struct soft_device found = scan_third();
	cr_expect_eq(pauses, 1);
	cr_expect_neq(found.identity, 0);
	cr_expect_neq(found.identity, device.identity);
	cr_expect_not(found.bound);
	soft_device_deinit(&found);
}

static void go_on_with_mapping(void)
{
	remove_tree(REGION "/dax7.3/mapping1");
}

Test(soft_region, a_mapping_goes_by_itself)
{
	take_away("mapping1/start");
	in_the_pause = go_on_with_mapping;
	expect_found("0 3");
	cr_expect_eq(pauses, 1);
}

/* Then it is no removal, but a kernel that we do not know. */
Test(soft_region, files_that_do_not_come_and_a_name_that_does_not_go_are_an_error_in_the_end)
{
	struct problem why = PROBLEM_INIT;
	struct soft_device *list = NULL;
	size_t count = 0;

	take_away("align");
	cr_expect_eq(scan(&list, &count, &why), -ENOENT);
	cr_expect_str_eq(why.text, "reading device dax7.3: No such file or directory");
	cr_expect_gt(pauses, 10);
	cr_expect_null(list);
}

/* ---- devices that are left out, while others go ---- */

static void leave_out(const char *name, unsigned in_looks)
{
	left_out = name;
	left_out_looks = in_looks;
	looks = 0;
}

static void expect_region(int (*search)(struct soft_region *ret, struct problem *why))
{
	struct problem why = PROBLEM_INIT;
	struct soft_region r = SOFT_REGION_NULL;

	leave_out("dax7.0", 1);
	cr_expect_eq(search(&r, &why), 0, "%s", why.text);
	cr_expect_eq(r.start, START);
}

static int find_by_start(struct soft_region *ret, struct problem *why)
{
	return soft_region_find(ret, START, why);
}

Test(soft_region, it_is_found_though_its_first_device_is_left_out)
{
	expect_region(find_by_start);
	expect_region(soft_region_find_only);
	leave_out("dax7.0", 1);
	cr_expect_eq(soft_region_count(NULL), 1);
}

Test(soft_region, all_devices_are_found_though_one_is_left_out)
{
	struct problem why = PROBLEM_INIT;
	struct soft_region r = SOFT_REGION_NULL;
	struct soft_device *list = NULL;
	size_t count = 0;

	cr_assert_eq(soft_region_find(&r, START, &why), 0, "%s", why.text);
	leave_out("dax7.3", 1);
	cr_assert_eq(soft_region_scan(&r, NULL, &list, &count, &why), 0, "%s", why.text);
	cr_expect_eq(count, 2);
	soft_device_list_free(list, count);
}

/* As a process leaves it that dies when it has made a device and has not given it memory. */
Test(soft_region, one_that_is_half_made_is_removed_though_it_is_left_out)
{
	struct soft_record record = SOFT_RECORD_NULL;
	struct soft_work work = {.id = 4};
	struct soft_device *list = NULL;
	size_t count = 0;

	make_device(4, NULL, 0);
	cr_assert_eq(dax_get_instance((struct dax_id){.region = 7, .id = 4}, &work.instance), 0);
	cr_assert_eq(soft_record_open(&record, START, NULL), 0);
	cr_assert_eq(soft_record_begin(&record, &work, NULL), 0);
	soft_record_close(&record);
	leave_out("dax7.4", 1000);
	cr_assert_eq(soft_device_list(START, &list, &count, NULL), 0);
	soft_device_list_free(list, count);
	cr_expect(was_written(REGION "/dax_region/delete", "dax7.4"));
}

Test(soft_region, one_of_ours_is_asked_for_by_its_name)
{
	struct soft_device found;

	leave_out("dax7.3", 4);
	found = find(3);
	cr_expect(found.ours);
	soft_device_deinit(&found);
}

/* However often: it is forgotten only when it is gone by its name. */
Test(soft_region, one_that_is_left_out_stays_ours)
{
	struct problem why = PROBLEM_INIT;
	struct soft_device *list = NULL;
	struct soft_device found;
	size_t count = 0;

	leave_out("dax7.3", 1000);
	cr_expect_eq(soft_device_list(START, &list, &count, &why), -EAGAIN);
	cr_expect(strstr(why.text, "not all of ours can be seen"), "%s", why.text);
	leave_out("", 0);
	found = find(3);
	cr_expect(found.ours);
	cr_expect_eq(soft_device_has_lost(START, NULL), 0);
	soft_device_deinit(&found);
}

/* ---- where a region begins ---- */

/* As the kernel has made the first one, over all of it, so that another one is asked. */
static void fill_seed(void)
{
	write_number(REGION "/dax7.0", "size", 1024 * BLOCK);
}

/* The kernel shows the start of the memory that it has, then. */
static void give_memory(void)
{
	write_number(REGION "/dax7.4", "size", other[0].count * BLOCK);
	write_number(REGION "/dax7.4", "resource", START + other[0].block * BLOCK);
}

static void remove_empty(void)
{
	remove_device(4);
}

static void expect_start(void)
{
	struct problem why = PROBLEM_INIT;
	struct soft_region r = SOFT_REGION_NULL;

	cr_expect_eq(soft_region_find_only(&r, &why), 0, "%s", why.text);
	cr_expect_eq(r.start, START);
}

Test(soft_region, an_empty_device_that_is_given_memory_shows_no_start)
{
	fill_seed();
	make_device(4, NULL, 0);
	at_resource = give_memory;
	expect_start();
}

Test(soft_region, nor_does_one_that_goes)
{
	fill_seed();
	make_device(4, NULL, 0);
	at_resource = remove_empty;
	expect_start();
}
