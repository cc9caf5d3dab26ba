// SPDX-License-Identifier: MIT
/* The node of a device: a /dev of our own with a device in it that is none of a region. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "region/soft_device.h"

#define ACL "system.posix_acl_access"

static struct soft_device device = {.region_id = 7, .id = 3};
static char node[SOFT_DEVICE_NODE];

/* Where nobody else sees it; skips where that can't be. */
static void set_up(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip("no private mount namespace here (needs root)");
	if (mount("none", "/dev", "tmpfs", 0, "size=1M") < 0)
		cr_skip("no tmpfs over /dev here");
	device.rdev = makedev(1, 3);
	soft_device_node(node, &device);
	if (mknod(node, S_IFCHR | 0600, device.rdev) < 0)
		cr_skip("no device nodes here");
}

TestSuite(soft_device, .init = set_up);

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

Test(soft_device, another_device_by_its_name_is_left_alone)
{
	device.rdev = makedev(1, 5);
	cr_expect_eq(soft_device_set_owner(&device, 1234, 1235, 0640), -ESTALE);
	cr_expect_eq(soft_device_open(&device, O_RDWR), -ESTALE);
	expect_owner(0, 0, 0600);
	cr_assert_eq(unlink(node), 0);
	cr_expect_eq(soft_device_set_owner(&device, 1234, 1235, 0640), -ENOENT);
}
