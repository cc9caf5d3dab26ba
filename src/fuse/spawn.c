// SPDX-License-Identifier: MIT
#include "fuse/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"

/* What follows runs in the new process, between fork and exec: system calls only. */

static void default_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int signal = 1; signal < NSIG; signal++)
		(void)sigaction(signal, &action, NULL); /* fails for those that can't be changed */
	action.sa_handler = SIG_IGN;
	(void)sigaction(SIGHUP, &action, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int arrange_stdio(bool quiet)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	if (quiet && dup2(null, STDERR_FILENO) < 0)
		return -errno;
	return 0;
}

int spawn_copy_fd(int fd, int first)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, first);

	if (copy >= 0)
		return copy;
	return errno == EINVAL ? -EMFILE : -errno; /* `first` is above the limit itself */
}

/* error_fd goes behind the ones that stay, so that an exec that fails can still tell. */
static int arrange_fds(const struct spawn *s, int *error_fd)
{
	int high = SPAWN_FIRST_FD + (int)s->nfds;
	int copies[SPAWN_FDS_MAX];

	/* First out of the way, so that no descriptor is overwritten before it has been placed. */
	int copy = spawn_copy_fd(*error_fd, high);
	if (copy < 0)
		return copy;
	*error_fd = copy;
	for (size_t i = 0; i < s->nfds; i++) {
		copies[i] = spawn_copy_fd(s->fds[i], high);
		if (copies[i] < 0)
			return copies[i];
	}
	for (size_t i = 0; i < s->nfds; i++)
		if (dup2(copies[i], SPAWN_FIRST_FD + (int)i) < 0)
			return -errno;
	/* Whatever else is open here, and whoever opened it without O_CLOEXEC. */
	if (close_range((unsigned)high, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	return 0;
}

static void run_child(const struct spawn *s, int error_fd)
{
	int r;

	default_signals();
	/* Ctrl-C is for the supervisor, which then ends the others in their order. */
	(void)setpgid(0, 0);
	r = arrange_fds(s, &error_fd);
	if (r == 0)
		r = arrange_stdio(s->quiet);
	if (r == 0) {
		execv(s->path, s->argv);
		r = -errno;
	}
	(void)!write(error_fd, &r, sizeof(r));
	_exit(127);
}

/* The other end of the pipe is closed by a successful exec, and by nothing else. */
static int wait_for_exec(int fd)
{
	ssize_t n;
	int error;

	do
		n = read(fd, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(error) ? error : 0;
}

int spawn_process(struct process *ret, const struct spawn *s, struct problem *why)
{
	int ends[2], r;
	pid_t pid;

	assert(s->nfds <= SPAWN_FDS_MAX);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return problem_errno(why, errno, "starting %s", s->path);
	_cleanup_fd_ int read_end = ends[0];
	_cleanup_fd_ int write_end = ends[1];

	pid = fork();
	if (pid < 0)
		return problem_errno(why, errno, "starting %s", s->path);
	if (pid == 0)
		run_child(s, write_end);
	write_end = close_fd(write_end);
	r = wait_for_exec(read_end);
	if (r < 0) {
		(void)waitpid(pid, NULL, 0);
		return problem_errno(why, -r, "starting %s", s->path);
	}
	/* The number can't be another process's yet: it is ours to wait for. */
	int pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		r = -errno;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return problem_errno(why, -r, "watching %s", s->path);
	}
	*ret = (struct process){.pid = pid, .pidfd = pidfd};
	return 0;
}

int process_wait(struct process *p, int timeout_ms, int *status)
{
	struct pollfd poll_fd = {.fd = p->pidfd, .events = POLLIN};
	int n;

	do
		n = poll(&poll_fd, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return -ETIMEDOUT;
	*status = PROCESS_UNKNOWN;
	while (!p->adopted && waitpid(p->pid, status, 0) < 0 && errno == EINTR)
		;
	(void)close_fd(p->pidfd);
	*p = PROCESS_NULL;
	return 0;
}

bool process_has_ended(const struct process *p)
{
	struct pollfd poll_fd = {.fd = p->pidfd, .events = POLLIN};

	return p->pid == 0 || poll(&poll_fd, 1, 0) == 1;
}

void process_kill(const struct process *p)
{
	if (p->pidfd >= 0)
		(void)pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0); /* ESRCH: it has ended */
}
