// SPDX-License-Identifier: MIT
/* Which device of a soft region is ours. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fake_dax.h"
#include "region/dax_sysfs.h"
#include "region/soft_record.h"
#include "util/cleanup.h"

#define ACL "system.posix_acl_access"

TestSuite(soft_device, .init = fake_dax_set_up, .fini = fake_dax_tear_down);

/* ---- nodes ---- */

/* Lets in a user whom no attribute of the mode shows. As in linux/posix_acl_xattr.h. */
static void let_in(uint32_t uid)
{
	const struct {
		uint32_t version;
		struct {
			uint16_t tag, rights;
			uint32_t id;
		} entries[5];
	} list = {2, {{1, 6, UINT32_MAX}, {2, 6, uid}, {4, 6, UINT32_MAX}, {0x10, 6, UINT32_MAX},
			     {0x20, 0, UINT32_MAX}}};

	if (setxattr(node, ACL, &list, sizeof(list), 0) < 0 && errno == EOPNOTSUPP)
		cr_skip("this kernel's tmpfs has no access lists");
	cr_assert_gt(getxattr(node, ACL, NULL, 0), 0);
}

static void expect_owner(uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;

	cr_assert_eq(stat(node, &st), 0);
	cr_expect_eq(st.st_uid, uid);
	cr_expect_eq(st.st_gid, gid);
	cr_expect_eq(st.st_mode & 07777, mode);
}

Test(soft_device, a_new_owner_has_nobody_in_whom_the_last_one_let_in)
{
	cr_assert_eq(soft_device_set_owner(&device, 1234, 1235, 0640), 0);
	expect_owner(1234, 1235, 0640);
	let_in(5678);
	cr_assert_eq(soft_device_set_owner(&device, 4321, 4322, 0660), 0);
	expect_owner(4321, 4322, 0660);
	cr_expect_eq(getxattr(node, ACL, NULL, 0), -1);
	cr_expect_eq(errno, ENODATA);
}

Test(soft_device, another_device_by_its_number_is_left_alone)
{
	device.rdev = makedev(1, 5);
	cr_expect_eq(soft_device_set_owner(&device, 1234, 1235, 0640), -ESTALE);
	cr_expect_eq(soft_device_open(&device, O_RDWR), -ESTALE);
	expect_owner(0, 0, 0600);
	cr_assert_eq(unlink(node), 0);
	cr_expect_eq(soft_device_set_owner(&device, 1234, 1235, 0640), -ENOENT);
}

/* ---- another device that has the name and the number ---- */

/* Nothing is opened, given to anybody or told to the kernel. */
static void expect_untouched(const char *sentence)
{
	struct problem why = PROBLEM_INIT;

	cr_expect_eq(soft_device_check(&device, &why), -ESTALE);
	cr_expect_not_null(strstr(why.text, sentence), "%s", why.text);
	cr_expect_eq(soft_device_open(&device, O_RDWR), -ESTALE);
	cr_expect_eq(soft_device_set_owner(&device, 1234, 1235, 0640), -ESTALE);
	expect_owner(0, 0, 0600);
	cr_expect_eq(soft_device_remove(START, &device, NULL), -EBUSY);
	cr_expect(was_written(BUS "/drivers/device_dax/unbind", ""));
	cr_expect(was_written(REGION "/dax_region/delete", ""));
}

static void expect_not_ours(void)
{
	struct soft_device found = find(3);

	cr_expect_not(found.ours);
	soft_device_deinit(&found);
}

Test(soft_device, what_is_as_it_was_made_is_ours)
{
	int fd = soft_device_open(&device, O_RDONLY);

	cr_expect_eq(soft_device_check(&device, NULL), 0);
	cr_expect_geq(fd, 0);
	close(fd);
	cr_expect(device.ours && device.bound && device.identity != 0);
	cr_expect(soft_device_covers(&device, two, 2));
}

Test(soft_device, one_over_other_blocks_is_not_ours)
{
	remove_device(3);
	make_device(3, other, 1);
	bind_device(3);
	expect_untouched("is another device now");
	expect_not_ours();
}

Test(soft_device, nor_is_one_over_the_same_blocks)
{
	remove_device(3);
	make_device(3, two, 2);
	bind_device(3);
	expect_untouched("is another device now");
	expect_not_ours();
}

Test(soft_device, nor_one_that_was_given_a_further_range)
{
	add_mapping(3, 2, &other[0], 6);
	write_number(REGION "/dax7.3", "size", 12 * BLOCK);
	expect_untouched("somebody has changed its ranges");
	expect_not_ours();
}

Test(soft_device, nor_one_that_was_emptied_and_filled_with_as_much)
{
	remove_tree(REGION "/dax7.3/mapping0");
	remove_tree(REGION "/dax7.3/mapping1");
	add_mapping(3, 0, &other[0], 0);
	expect_untouched("somebody has changed its ranges");
}

Test(soft_device, one_that_is_gone_is_said_to_be)
{
	remove_device(3);
	expect_untouched("is gone");
}

Test(soft_device, one_that_was_unbound_is_not_taken_away_and_ours_no_more)
{
	struct problem why = PROBLEM_INIT;

	unbind_device(3);
	cr_expect_eq(soft_device_check(&device, &why), -ENXIO);
	cr_expect_not_null(strstr(why.text, "somebody has unbound it"), "%s", why.text);
	cr_expect_eq(soft_device_open(&device, O_RDWR), -ESTALE);
	cr_expect_eq(soft_device_remove(START, &device, NULL), -EBUSY);
	struct soft_device found = find(3);
	cr_expect(!found.ours && !found.bound);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	cr_expect(was_written(REGION "/dax_region/delete", ""));
	soft_device_deinit(&found);
}

/* Its pages have new counts, which tell nothing of who had it before. */
Test(soft_device, nor_is_one_that_was_unbound_and_bound_again)
{
	unbind_device(3);
	bind_device(3);
	expect_untouched("bound it again");
	struct soft_device found = find(3);
	cr_expect(!found.ours && found.bound);
	cr_expect_eq(found.instance, device.instance);
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
	soft_device_deinit(&found);
}

Test(soft_device, its_node_can_be_closed_all_the_same)
{
	cr_assert_eq(soft_device_set_owner(&device, 1234, 1235, 0640), 0);
	unbind_device(3);
	cr_expect_eq(soft_device_set_owner(&device, 4321, 4322, 0660), -ESTALE);
	expect_owner(1234, 1235, 0640);
	cr_expect_eq(soft_device_set_owner(&device, 0, 0, 0), 0);
	expect_owner(0, 0, 0);
	remove_device(3);
	make_device(3, two, 2);
	bind_device(3);
	cr_expect_eq(
		soft_device_set_owner(&device, 0, 0, 0), -ESTALE, "of another device it can't");
}

/* ---- what is noted ---- */

static bool is_noted(unsigned id, uint64_t identity)
{
	struct soft_record r = SOFT_RECORD_NULL;

	cr_assert_eq(soft_record_open(&r, START, NULL), 0);
	bool noted = soft_record_is_ours(&r, id, identity);
	soft_record_close(&r);
	return noted;
}

Test(soft_device, what_was_noted_of_one_that_is_gone_is_forgotten)
{
	cr_expect(is_noted(3, device.identity));
	remove_device(3);
	struct soft_device found = find(3);
	cr_expect_null(found.ranges);
	cr_expect_not(is_noted(3, device.identity));
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
}

Test(soft_device, one_that_has_taken_the_place_of_another_tells_that_it_is_lost)
{
	cr_expect_eq(soft_device_has_lost(START, NULL), 0);
	remove_device(3);
	make_device(3, other, 1);
	note_ours(3); /* made by us, before anybody has looked */
	cr_expect_eq(soft_device_has_lost(START, NULL), 1);
}

Test(soft_device, what_is_noted_is_of_one_device)
{
	cr_assert_eq(soft_device_note_exported(START, &device), 0);
	struct soft_device found = find(3);
	cr_expect(found.ours && found.exported && !found.window);
	soft_device_deinit(&found);
	cr_expect_eq(soft_device_remove(START, &device, NULL), -EBUSY, "it was exported");
	remove_device(3);
	make_device(3, two, 2);
	bind_device(3);
	note_ours(3);
	found = find(3);
	cr_expect(found.ours && !found.exported);
	/* A note that comes too late is of the one that is gone. */
	cr_assert_eq(soft_device_note_window(START, &device), 0);
	soft_device_deinit(&found);
	found = find(3);
	cr_expect(found.ours && !found.window);
	soft_device_deinit(&found);
}

Test(soft_device, a_record_of_another_version_is_refused)
{
	struct soft_record r = SOFT_RECORD_NULL;
	struct problem why = PROBLEM_INIT;

	write_file("/run/guestmemfs/.soft-0x100000000", "-ooo");
	cr_expect_eq(soft_record_open(&r, START, &why), -EPROTO);
	cr_expect_not_null(strstr(why.text, "not written by this version"), "%s", why.text);
}
