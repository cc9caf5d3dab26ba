/* SPDX-License-Identifier: MIT */
/* Runs the real guestmemfs and catches what it says. */
#ifndef GM_TESTS_CLI_SPAWN_H
#define GM_TESTS_CLI_SPAWN_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLI_ARGS_MAX 70

struct cli_result {
	int code; /* exit code, or 1000 + signal */
	char out[65536];
	char err[8192];
};

/* Reads back what was written to a temporary file. */
static inline void cli_slurp(FILE *from, char *to, size_t size)
{
	rewind(from);
	to[fread(to, 1, size - 1, from)] = '\0';
	(void)fclose(from);
}

/* args: words between blanks, without the program; its standard input is empty. */
static inline void cli_run_command(struct cli_result *ret, const char *args)
{
	FILE *out = tmpfile();
	FILE *err = tmpfile();
	char *argv[CLI_ARGS_MAX] = {(char[]){"guestmemfs"}};
	char *copy = strdup(args);
	char *rest = *copy ? copy : NULL;
	unsigned argc = 1;
	int status = 0;

	cr_assert(out && err);
	while (rest) {
		cr_assert_lt(argc, CLI_ARGS_MAX - 1);
		argv[argc++] = strsep(&rest, " ");
	}
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		(void)dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
		(void)dup2(fileno(out), STDOUT_FILENO);
		(void)dup2(fileno(err), STDERR_FILENO);
		execv(GUESTMEMFS_EXE, argv);
		_exit(99);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	ret->code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
	cli_slurp(out, ret->out, sizeof(ret->out));
	cli_slurp(err, ret->err, sizeof(ret->err));
	free(copy);
}

#endif
