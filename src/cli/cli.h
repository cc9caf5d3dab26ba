/* SPDX-License-Identifier: MIT */
/*
 * What the subcommands of guestmemfs share. Exit codes: 0 done, 1 failed or a danger found, 2 wrong
 * usage.
 */
#ifndef GM_CLI_CLI_H
#define GM_CLI_CLI_H

#include <stdbool.h>

#include "util/problem.h"

enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
};

struct cli_command {
	const char *name;
	const char *usage;   /* what follows the name: "--region SPEC [--json]" */
	const char *summary; /* one line of `guestmemfs --help` */
	const char *help;    /* what `guestmemfs NAME --help` says below the usage, in lines */
	/* argv[0] is "guestmemfs NAME", for getopt's own messages. Returns the exit code. */
	int (*run)(const struct cli_command *self, int argc, char **argv);
};

extern const struct cli_command cli_doctor;
extern const struct cli_command cli_dump;
extern const struct cli_command cli_export;
extern const struct cli_command cli_extents;
extern const struct cli_command cli_format;
extern const struct cli_command cli_freeze;
extern const struct cli_command cli_fsck;
extern const struct cli_command cli_kexec;
extern const struct cli_command cli_load;
extern const struct cli_command cli_ls;
extern const struct cli_command cli_revoke;
extern const struct cli_command cli_run;
extern const struct cli_command cli_status;
extern const struct cli_command cli_thaw;
extern const struct cli_command cli_token;
extern const struct cli_command cli_unexport;
extern const struct cli_command cli_upgrade;

/* Prints the command's help; CLI_DONE. */
int cli_print_help(const struct cli_command *self);

/* Says what is wrong with how the command was called, and where help is; CLI_USAGE. */
int cli_usage_error(const struct cli_command *self, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same after getopt has said it. */
int cli_usage_hint(const struct cli_command *self);

/* Says why it failed; CLI_FAILED. */
int cli_fail(const struct problem *why);

/*
 * For commands that take one operand (called so in complaints) and no option but --help and, with
 * json not NULL, --json. True if the command is to go on with argv[optind]; else *ret is its exit
 * code.
 */
bool cli_parse_simple(const struct cli_command *self, int argc, char **argv, bool *json,
	const char *operand, int *ret);

#endif
