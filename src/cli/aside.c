// SPDX-License-Identifier: MIT
#include "cli/aside.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/packet.h"

/* One that is left behind keeps nothing open: somebody may read our output to its end. */
static void run(int sock, aside_work work, const char *path, void *result, size_t size)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(sock, STDIN_FILENO) < 0 || close_range(STDIN_FILENO + 1, ~0U, 0) < 0)
		return;
	work(path, result);
	(void)packet_send(STDIN_FILENO, result, size, NULL, 0, true);
}

int aside_begin(struct aside *a, aside_work work, const char *path, void *result, size_t size)
{
	int ends[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	*a = (struct aside){.sock = ends[0], .pid = fork()};
	if (a->pid == 0) {
		run(ends[1], work, path, result, size);
		_exit(0);
	}
	if (a->pid < 0) {
		r = -errno;
		a->sock = close_fd(a->sock);
	}
	(void)close_fd(ends[1]);
	return r;
}

int aside_wait(struct aside *a, void *result, size_t size, int seconds)
{
	const struct timeval limit = {.tv_sec = seconds};
	ssize_t n;

	if (setsockopt(a->sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	n = packet_receive(a->sock, result, size, NULL, NULL, true);
	if (n == -EAGAIN)
		return -ETIMEDOUT;
	a->ended = true;
	return n == (ssize_t)size ? 0 : -EIO;
}

void aside_end(struct aside *a)
{
	int status;

	(void)kill(a->pid, SIGKILL);
	/* In the middle of a request it does not even die before the worker answers. */
	(void)waitpid(a->pid, &status, a->ended ? 0 : WNOHANG);
	a->sock = close_fd(a->sock);
}
