// SPDX-License-Identifier: MIT
#include "cli/look.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "cli/aside.h"
#include "guestmemfs/protocol.h"
#include "util/cleanup.h"

#define SECONDS_MAX 86400

int look_get_patience(int *seconds, struct problem *why)
{
	const char *text = getenv(LOOK_ENVIRONMENT);
	char *end;
	long n;

	if (!text || !*text) {
		*seconds = LOOK_SECONDS;
		return 0;
	}
	n = strtol(text, &end, 10);
	if (*end || n < 1 || n > SECONDS_MAX)
		return problem(why, EINVAL,
			LOOK_ENVIRONMENT " in the environment is no number of seconds from 1 to %d",
			SECONDS_MAX);
	*seconds = (int)n;
	return 0;
}

/* ---- the process that asks ---- */

/* Files and directories alone have user xattrs: of what else there is, the directory that it is in
 * says where its mount is served. malloc'ed. */
static char *find_asked(const char *path, mode_t mode)
{
	char *real;

	if (S_ISREG(mode) || S_ISDIR(mode))
		return strdup(path);
	real = realpath(path, NULL);
	return real ? dirname(real) : NULL; /* in place: an absolute path has a directory */
}

static int find(struct look *l, const char *path)
{
	_cleanup_free_ char *asked = NULL;
	ssize_t n;

	if (stat(path, &l->st) < 0)
		return errno;
	asked = find_asked(path, l->st.st_mode);
	n = asked ? getxattr(asked, GM_XATTR_CONTROL, l->socket, sizeof(l->socket) - 1) : -1;
	if (n < 0)
		return errno;
	l->socket[n] = '\0';
	return 0;
}

static void ask(const char *path, void *result)
{
	struct look *l = result;

	l->error = find(l, path);
}

/* ---- ours ---- */

int look_at(struct look *ret, const char *path, int seconds, struct problem *why)
{
	struct aside a;
	int r;

	*ret = (struct look){.error = 0};
	r = aside_begin(&a, ask, path, ret, sizeof(*ret));
	if (r < 0)
		return problem_errno(why, -r, "asking the mount of %s", path);
	r = aside_wait(&a, ret, sizeof(*ret), seconds);
	aside_end(&a);
	if (r == -ETIMEDOUT)
		return problem(why, ETIMEDOUT,
			"%s: the mount has not answered within %d seconds: its worker "
			"(guestmemfs-worker) was stopped, hangs or can't be started. kill -CONT "
			"lets one that was stopped go on; after kill -9 of it another one answers",
			path, seconds);
	if (r < 0)
		return problem(why, EIO, "who was to ask the mount of %s has ended", path);
	return 0;
}
