// SPDX-License-Identifier: MIT
/* guestmemfs, the operator's command: finds the subcommand. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "config.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/sigbus.h"

static const struct cli_command *const commands[] = {
	&cli_format,
	&cli_status,
	&cli_ls,
	&cli_extents,
	&cli_load,
	&cli_dump,
	&cli_run,
	&cli_revoke,
	&cli_export,
	&cli_unexport,
	&cli_freeze,
	&cli_thaw,
	&cli_token,
	&cli_doctor,
	&cli_kexec,
	&cli_fsck,
	&cli_upgrade,
};

static void print_commands(FILE *out)
{
	fputs("Usage: guestmemfs COMMAND [ARGUMENTS]\n\nCommands:\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n'guestmemfs COMMAND --help' says more. 'guestmemfs --version' says which version "
	      "this is.\n"
	      "Exit codes: 0 done, 1 failed or a danger found, 2 wrong usage.\n"
	      "GUESTMEMFS_WAIT=SECONDS in the environment: so long a command waits for a worker, "
	      "or for an upgrade to begin,\nwithout an answer (30).\n",
		out);
}

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int run_command(int argc, char **argv)
{
	const struct cli_command *command = find_command(argv[1]);
	char name[64];

	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_commands(stdout);
		return CLI_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("guestmemfs " GM_VERSION);
		return CLI_DONE;
	}
	if (!command) {
		fprintf(stderr,
			"guestmemfs: there is no command '%s'; 'guestmemfs --help' lists them\n",
			argv[1]);
		return CLI_USAGE;
	}
	(void)snprintf(name, sizeof(name), "guestmemfs %s", command->name);
	argv[1] = name;
	return command->run(command, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	log_init("guestmemfs", LOG_LEVEL_INFO);
	(void)sigbus_init(); /* without it, memory that is bad ends the process without a word */
	if (argc < 2) {
		print_commands(stderr);
		return CLI_USAGE;
	}
	int r = run_command(argc, argv);
	/* What stdio still holds may meet a full disk only now, and a cut table must not look like
	 * a whole one. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && r == CLI_DONE) {
		fprintf(stderr, "guestmemfs: writing to standard output: %s\n", strerror(errno));
		r = CLI_FAILED;
	}
	return r;
}
