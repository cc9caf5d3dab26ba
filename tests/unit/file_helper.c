// SPDX-License-Identifier: MIT
#include "file_helper.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "util/le.h"

struct rig rig;

const struct rig_extent small[1] = {{0, 10, 2}};
const struct rig_extent other[1] = {{0, 20, 1}};

void file_helper_set_up(void)
{
	rig_init(&rig);
	rig_start(&rig);
	rig_bring_up(&rig);
}

void file_helper_tear_down(void)
{
	rig_deinit(&rig);
}

void attach(int sock, uint64_t serial)
{
	struct gm_grant g;
	int fd;

	rig_send_attach(sock, serial);
	rig_grant(&rig, 9, WRITE, small, 1);
	rig_expect_grant(sock, serial, &g, &fd, 1);
	close(fd);
}

struct rig_child attach_child(uint64_t ino, const struct rig_extent *extents, bool keep_fd)
{
	struct rig_child c = rig_child_start(&rig, keep_fd);

	rig_grant(&rig, ino, WRITE, extents, 1);
	rig_child_wait(&c);
	return c;
}

void expect_busy(uint64_t ino, pid_t pid)
{
	struct link_check m = rig_check(&rig, ino);

	cr_assert_eq(get_le16(m.header.opcode), LINK_BUSY);
	cr_assert_eq(get_le64(m.epoch), rig.epoch);
	cr_assert_eq((pid_t)get_le32(m.pid), pid, "%u instead of %d", get_le32(m.pid), pid);
}

unsigned count_helper_descriptors(void)
{
	char path[64];
	unsigned n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", rig.helper);
	DIR *d = opendir(path);
	cr_assert_not_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
