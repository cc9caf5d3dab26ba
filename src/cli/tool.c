// SPDX-License-Identifier: MIT
#include "cli/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "util/cleanup.h"

#define LOOK_MS 20 /* how often we look for its end, and for a signal */

struct tool {
	pid_t pid;
	int output; /* -1: at its end */
	char *words;
	size_t size, length;
};

/* 0 or a positive errno, as the next one. */
static int spawn_with(
	struct tool *t, char *const argv[], int output, const posix_spawnattr_t *attributes)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return r;
	r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	if (r == 0)
		r = posix_spawnp(&t->pid, argv[0], &actions, attributes, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* Signals that we hold back are not held back there. */
static int spawn(struct tool *t, char *const argv[], int output)
{
	posix_spawnattr_t attributes;
	sigset_t none;
	int r = posix_spawnattr_init(&attributes);

	if (r)
		return r;
	(void)sigemptyset(&none);
	r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	if (r == 0)
		r = posix_spawnattr_setsigmask(&attributes, &none);
	if (r == 0)
		r = posix_spawnattr_setpgroup(&attributes, 0);
	if (r == 0)
		r = spawn_with(t, argv, output, &attributes);
	(void)posix_spawnattr_destroy(&attributes);
	return r;
}

/* Takes what is there. What finds no room is read all the same: a pipe that nobody empties, or that
 * is closed, would stop it or kill it. */
static void drain(struct tool *t)
{
	char piece[512];
	ssize_t n;

	while ((n = read(t->output, piece, sizeof(piece))) > 0) {
		size_t room = t->size - 1 - t->length;
		size_t kept = (size_t)n < room ? (size_t)n : room;

		memcpy(t->words + t->length, piece, kept);
		t->length += kept;
	}
	if (n == 0)
		t->output = -1;
}

static int wait_for(struct tool *t, bool interruptible)
{
	bool killed = false;
	int status = 0;

	for (;;) {
		struct pollfd p = {.fd = t->output, .events = POLLIN};
		pid_t ended = waitpid(t->pid, &status, WNOHANG);

		if (t->output >= 0)
			drain(t);
		if (ended == t->pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : TOOL_KILLED;
		if (ended < 0 && errno != EINTR)
			return -errno;
		if (interruptible && !killed && interrupt_held())
			killed = kill(-t->pid, SIGKILL) == 0;
		(void)poll(&p, 1, LOOK_MS);
	}
}

int tool_run(char *const argv[], char *words, size_t size, bool interruptible)
{
	struct tool t = {.words = words, .size = size};
	int pipefd[2], r;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return -errno;
	_cleanup_fd_ int output = pipefd[0];
	r = spawn(&t, argv, pipefd[1]);
	(void)close_fd(pipefd[1]);
	if (r)
		return -r;
	t.output = output;
	(void)fcntl(output, F_SETFL, O_NONBLOCK);
	r = wait_for(&t, interruptible);
	words[t.length] = '\0';
	words[strcspn(words, "\n")] = '\0';
	return r;
}
