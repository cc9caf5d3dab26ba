// SPDX-License-Identifier: MIT
/*
 * What to look for: how a region or a device of ours appears in /proc.
 */
#include "region/procscan_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "region/maps.h"
#include "util/cleanup_file.h"

static int find_own_mapping(struct scan_target *t, const void *address)
{
	_cleanup_free_ char *buffer = malloc(SCAN_BUFFER);
	_cleanup_fd_ int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct maps_reader reader = {.length = 0};
	struct maps_line line;
	ssize_t n;

	if (!buffer)
		return -ENOMEM;
	if (fd < 0)
		return -errno;
	while ((n = read(fd, buffer, SCAN_BUFFER)) > 0) {
		const char *text = buffer;
		size_t length = (size_t)n;
		while (length > 0) {
			int r = maps_read_line(&reader, &text, &length, &line);
			if (r <= 0 || line.start > (uintptr_t)address ||
				line.end <= (uintptr_t)address)
				continue;
			t->maps_major = line.major;
			t->maps_minor = line.minor;
			t->maps_ino = line.ino;
			return 0;
		}
	}
	return n < 0 ? -errno : -ENOENT;
}

int procscan_identify(struct scan_target *ret, int fd, const void *address)
{
	struct scan_target t = {.has_fdinfo_ino = false};
	char name[16];
	struct statx st;
	int r = find_own_mapping(&t, address);

	if (r < 0)
		return r;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO, &st) < 0)
		return -errno;
	t.ino = st.stx_ino;
	t.dev_major = st.stx_dev_major;
	t.dev_minor = st.stx_dev_minor;
	_cleanup_fd_ int self = open("/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (self < 0)
		return -errno;
	(void)snprintf(name, sizeof(name), "%d", fd);
	r = scan_fdinfo_ino(self, name, &t.fdinfo_ino);
	if (r < 0 && r != -ENODATA)
		return r;
	t.has_fdinfo_ino = r == 0;
	*ret = t;
	return 0;
}

void procscan_identify_device(struct scan_target *ret, dev_t rdev, const char *node)
{
	struct scan_target t = {
		.is_device = true, .rdev_major = major(rdev), .rdev_minor = minor(rdev)};
	struct stat st;

	/* A node that is gone or another's by now: then map_files alone finds mappings. */
	if (stat(node, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == rdev) {
		t.maps_major = major(st.st_dev);
		t.maps_minor = minor(st.st_dev);
		t.maps_ino = st.st_ino;
	}
	*ret = t;
}
