// SPDX-License-Identifier: MIT
#include "cli/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "util/cleanup.h"

int flush_mount(const char *path, struct problem *why)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* A mount that is in another namespace, say, has its share of everything's. */
	if (fd < 0 && errno == ENOENT) {
		sync();
		return 0;
	}
	if (fd < 0)
		return problem_errno(why, errno, "opening %s", path);
	if (syncfs(fd) < 0)
		return problem_errno(why, errno,
			"writing what the page cache has for files with content at %s", path);
	return 0;
}
