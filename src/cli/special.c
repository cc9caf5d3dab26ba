// SPDX-License-Identifier: MIT
#include "cli/special.h"

#include <errno.h>
#include <sys/stat.h>

static const char *special_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFIFO:
		return "FIFO";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
	case S_IFBLK:
		return "device node";
	default:
		return NULL;
	}
}

int special_refuse(const char *path, struct problem *why)
{
	const char *name;
	struct stat st;

	if (stat(path, &st) < 0)
		return 0;
	name = special_name(st.st_mode);
	if (!name)
		return 0;
	return problem(why, EINVAL,
		"%s is not a file of a guestmemfs mount: it is a %s, and only regular files have "
		"memory",
		path, name);
}
