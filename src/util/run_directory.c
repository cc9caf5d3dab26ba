// SPDX-License-Identifier: MIT
#include "util/run_directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char *run_directory(void)
{
	const char *own = getenv("XDG_RUNTIME_DIR");
	uid_t uid = geteuid();
	char *path = NULL;
	int n;

	if (uid == 0)
		n = asprintf(&path, "/run/guestmemfs");
	else if (own && own[0] == '/')
		n = asprintf(&path, "%s/guestmemfs", own);
	else
		n = asprintf(&path, "/tmp/guestmemfs-%u", (unsigned)uid);
	return n < 0 ? NULL : path;
}
