// SPDX-License-Identifier: MIT
/*
 * guestmemfs run: a program under the preload library, so that its mmap() of a
 * guestmemfs file maps the memory.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/program.h"
#include "cli/scope.h"
#include "config.h"
#include "util/cleanup.h"
#include "util/log.h"

/* What env(1), nohup(1) and every shell say. */
#define RUN_CANNOT_EXECUTE 126
#define RUN_NOT_FOUND      127

static int run_set_preload(struct problem *why)
{
	const char *old = getenv("LD_PRELOAD");
	_cleanup_free_ char *value = NULL;

	if (access(GM_PRELOAD_PATH, R_OK) < 0)
		return problem_errno(why, errno,
			"the preload library %s, which should have been installed",
			GM_PRELOAD_PATH);
	if (asprintf(&value, "%s%s%s", GM_PRELOAD_PATH, old && *old ? ":" : "", old ? old : "") <
			0 ||
		setenv("LD_PRELOAD", value, 1) < 0)
		return problem_errno(why, ENOMEM, "setting LD_PRELOAD");
	return 0;
}

static void run_warn(const char *name)
{
	_cleanup_free_ char *path = program_find(name);

	switch (path ? program_check(path) : PROGRAM_PRELOADS) {
	case PROGRAM_STATIC:
		log_warning("%s is statically linked: the preload library has no effect in it, "
			    "and its mmap of a guestmemfs file will fail with ENODEV",
			path);
		break;
	case PROGRAM_SECURE:
		log_warning("%s runs with other rights than yours (set-id or file capabilities), "
			    "so the dynamic loader ignores the preload library: its mmap of a "
			    "guestmemfs file will fail with ENODEV",
			path);
		break;
	case PROGRAM_PRELOADS:
		break;
	}
}

/* Killing the whole of a cgroup is how a guest's memory is taken back from all who have it; without
 * one of its own the program still runs. */
static void run_enter_scope(const char *name)
{
	struct problem why = PROBLEM_INIT;

	if (scope_enter(&why) < 0)
		log_warning("%s gets no cgroup of its own: %s; revoke --kill can end its processes "
			    "one by one only (--same-cgroup does without this warning)",
			name, why.text);
}

static int run_execute(char **command)
{
	run_warn(command[0]);
	execvp(command[0], command);
	int err = errno;
	fprintf(stderr, "guestmemfs: running %s: %s\n", command[0], strerror(err));
	return err == ENOENT ? RUN_NOT_FOUND : RUN_CANNOT_EXECUTE;
}

static int run_run(const struct cli_command *self, int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"same-cgroup", no_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	struct problem why = PROBLEM_INIT;
	/* "+": the options end where the program begins; what follows is the program's. */
	bool own_cgroup = true;
	int c;

	while ((c = getopt_long(argc, argv, "+h", options, NULL)) == 's')
		own_cgroup = false;
	if (c == 'h')
		return cli_print_help(self);
	if (c != -1)
		return cli_usage_hint(self);
	if (optind == argc)
		return cli_usage_error(self, "it needs a program to run");
	if (own_cgroup)
		run_enter_scope(argv[optind]);
	if (run_set_preload(&why) < 0)
		return cli_fail(&why);
	return run_execute(argv + optind);
}

const struct cli_command cli_run = {
	.name = "run",
	.usage = "[--same-cgroup] [--] PROGRAM [ARGUMENTS]",
	.summary = "run an unmodified program that maps files of a guestmemfs mount",
	.help = "Runs PROGRAM with libguestmemfs-preload.so in front of LD_PRELOAD: where it\n"
		"opens a file of a guestmemfs mount and maps it MAP_SHARED, it gets the memory\n"
		"itself. The exit code is the program's; 127 if there is no such program, 126 if\n"
		"it can't be executed.\n\n"
		"  guestmemfs run -- qemu-system-x86_64 -m 512M -machine memory-backend=m \\\n"
		"      -object memory-backend-file,id=m,mem-path=/mnt/gm/vm0,size=512M,share=on\n\n"
		"PROGRAM gets a cgroup of its own, unless it is alone in one already: a scope of\n"
		"systemd where that runs the host, else one below the caller's. If none can be "
		"had,\n"
		"a warning says why, and PROGRAM runs where its caller is.\n\n"
		"  --same-cgroup  leave PROGRAM in the cgroup of its caller\n"
		"  --help         print this",
	.run = run_run,
};
