// SPDX-License-Identifier: MIT
#include "region/soft_idle.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"

#define IDLE_DIR  "/run/guestmemfs"
#define IDLE_PATH 64

static int open_idle(char path[IDLE_PATH], uint64_t region_start, int flags)
{
	(void)snprintf(path, IDLE_PATH, IDLE_DIR "/.idle-%#" PRIx64, region_start);
	int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int soft_idle_load(struct soft_idle *ret, uint64_t region_start, struct problem *why)
{
	char path[IDLE_PATH];
	_cleanup_fd_ int fd = open_idle(path, region_start, O_RDONLY);
	struct soft_idle found;

	*ret = (struct soft_idle){.cdev = 0};
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return problem_errno(why, -fd, "opening %s", path);
	ssize_t n = pread(fd, &found, sizeof(found), 0);
	if (n < 0)
		return problem_errno(why, errno, "reading %s", path);
	/* Cut short by a full /run: learned anew. */
	if (n == (ssize_t)sizeof(found))
		*ret = found;
	return 0;
}

int soft_idle_store(const struct soft_idle *idle, uint64_t region_start, struct problem *why)
{
	char path[IDLE_PATH];
	_cleanup_fd_ int fd = open_idle(path, region_start, O_WRONLY | O_CREAT);

	if (fd < 0)
		return problem_errno(why, -fd, "opening %s", path);
	ssize_t n = pwrite(fd, idle, sizeof(*idle), 0);
	if (n != (ssize_t)sizeof(*idle))
		return problem_errno(why, n < 0 ? errno : ENOSPC, "writing %s", path);
	return 0;
}
