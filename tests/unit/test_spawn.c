// SPDX-License-Identifier: MIT
/* A new process has the descriptors that it is meant to have, in their places, and no others. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/spawn.h"
#include "util/cleanup.h"

static struct problem why;

static int run_shell(const char *script, const int *fds, size_t nfds)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	struct spawn s = {.path = "/bin/sh", .argv = argv, .fds = fds, .nfds = nfds};
	struct process p = PROCESS_NULL;
	int status = -1;

	cr_assert_eq(spawn_process(&p, &s, &why), 0, "%s", why.text);
	cr_assert_gt(p.pid, 0);
	cr_assert_eq(process_wait(&p, 10000, &status), 0);
	cr_assert_eq(p.pid, 0);
	cr_assert_eq(p.pidfd, -1);
	return status;
}

static void read_all(int fd, char *to, size_t room)
{
	size_t n = 0;
	ssize_t m;

	while (n < room - 1 && (m = read(fd, to + n, room - 1 - n)) > 0)
		n += (size_t)m;
	to[n] = '\0';
}

Test(spawn, passes_on_what_it_is_given_and_nothing_else)
{
	int ends[2];
	char text[256];
	/* Left open without O_CLOEXEC, high and low: a library might. */
	int leaked = dup2(STDERR_FILENO, 57);

	cr_assert_eq(leaked, 57);
	cr_assert_eq(pipe(ends), 0);
	cr_assert(WIFEXITED(run_shell("exec ls /proc/self/fd >&3", &ends[1], 1)));
	(void)close(ends[1]);
	read_all(ends[0], text, sizeof(text));
	cr_assert_str_eq(text, "0\n1\n2\n3\n4\n"); /* 4: the directory that ls reads */
	(void)close(leaked);
}

/* Also where the new place of one is the old place of another. */
Test(spawn, keeps_their_order)
{
	int pipes[3][2], fds[3];
	char text[16];

	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(pipe2(pipes[i], O_CLOEXEC), 0);
		fds[2 - i] = pipes[i][1];
	}
	cr_assert(WIFEXITED(run_shell("echo a >&3; echo b >&4; echo c >&5", fds, 3)));
	for (unsigned i = 0; i < 3; i++) {
		static const char *const expected[] = {"c\n", "b\n", "a\n"};

		(void)close(pipes[i][1]);
		read_all(pipes[i][0], text, sizeof(text));
		cr_assert_str_eq(text, expected[i]);
	}
}

Test(spawn, what_cant_be_executed_is_an_error_here)
{
	char *argv[] = {(char *)"x", NULL};
	struct spawn s = {.path = "/no/such/program", .argv = argv};
	struct process p = PROCESS_NULL;

	cr_assert_eq(spawn_process(&p, &s, &why), -ENOENT);
	cr_assert(strstr(why.text, "/no/such/program"), "%s", why.text);
	cr_assert_eq(p.pidfd, -1);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "no process is left to be waited for");
}

Test(spawn, signals_are_as_they_are_by_default)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	(void)signal(SIGPIPE, SIG_IGN);
	int status = run_shell("kill -TERM $$; exit 3", NULL, 0);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	status = run_shell("kill -PIPE $$; exit 3", NULL, 0);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
	status = run_shell("kill -HUP $$; exit 3", NULL, 0);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

Test(spawn, a_process_is_waited_for_and_killed)
{
	char *argv[] = {(char *)"sleep", (char *)"1000", NULL};
	struct spawn s = {.path = "/bin/sleep", .argv = argv};
	struct process p = PROCESS_NULL;
	int status;

	cr_assert(process_has_ended(&p));
	cr_assert_eq(spawn_process(&p, &s, &why), 0, "%s", why.text);
	cr_assert_not(process_has_ended(&p));
	cr_assert_eq(process_wait(&p, 10, &status), -ETIMEDOUT);
	process_kill(&p);
	cr_assert_eq(process_wait(&p, 10000, &status), 0);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	process_kill(&p); /* nobody */
}
