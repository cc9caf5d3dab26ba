// SPDX-License-Identifier: MIT
#include "cli/look.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "guestmemfs/protocol.h"
#include "util/cleanup.h"
#include "util/packet.h"

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

static int ask(struct look *l, const char *path)
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

/* One that is left behind keeps nothing open: somebody may read our output to its end. */
static void run(int sock, const char *path)
{
	struct look l = {.error = 0};

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(sock, STDIN_FILENO) < 0 || close_range(STDIN_FILENO + 1, ~0U, 0) < 0)
		return;
	l.error = ask(&l, path);
	(void)packet_send(STDIN_FILENO, &l, sizeof(l), NULL, 0, true);
}

/* ---- ours ---- */

static int take(int sock, struct look *ret, const char *path, int seconds, struct problem *why)
{
	const struct timeval limit = {.tv_sec = seconds};
	ssize_t n;

	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return problem_errno(why, errno, "asking the mount of %s", path);
	n = packet_receive(sock, ret, sizeof(*ret), NULL, NULL, true);
	if (n == (ssize_t)sizeof(*ret))
		return 0;
	if (n == -EAGAIN)
		return problem(why, ETIMEDOUT,
			"%s: the mount has not answered within %d seconds: its worker "
			"(guestmemfs-worker) was stopped, hangs or can't be started. kill -CONT "
			"lets one that was stopped go on; after kill -9 of it another one answers",
			path, seconds);
	return problem(why, EIO, "who was to ask the mount of %s has ended", path);
}

int look_at(struct look *ret, const char *path, int seconds, struct problem *why)
{
	int ends[2], status, r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return problem_errno(why, errno, "asking the mount of %s", path);
	pid = fork();
	if (pid == 0) {
		run(ends[1], path);
		_exit(0);
	}
	r = pid < 0 ? problem_errno(why, errno, "asking the mount of %s", path) : 0;
	(void)close_fd(ends[1]);
	if (r == 0) {
		r = take(ends[0], ret, path, seconds, why);
		(void)kill(pid, SIGKILL);
		/* In the middle of a request it does not even die before the worker answers. */
		(void)waitpid(pid, &status, r == -ETIMEDOUT ? WNOHANG : 0);
	}
	(void)close_fd(ends[0]);
	return r;
}
