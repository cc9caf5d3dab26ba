// SPDX-License-Identifier: MIT
#include "cli/openable.h"

#include <errno.h>
#include <sys/stat.h>

#include "cli/look.h"

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

int openable_check(const char *path, struct problem *why)
{
	struct look here = {.error = 0};
	const char *name;
	int seconds, r = look_get_patience(&seconds, why);

	if (r == 0)
		r = look_at(&here, path, seconds, why);
	if (r < 0)
		return r;
	name = special_name(here.st.st_mode); /* where there is nothing: none */
	if (!name)
		return 0;
	return problem(why, EINVAL,
		"%s is not a file of a guestmemfs mount: it is a %s, and only regular files have "
		"memory",
		path, name);
}
