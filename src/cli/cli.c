// SPDX-License-Identifier: MIT
/* Help, complaints and the options that most subcommands share. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>

int cli_print_help(const struct cli_command *self)
{
	printf("Usage: guestmemfs %s %s\n\n%s\n", self->name, self->usage, self->help);
	return CLI_DONE;
}

int cli_usage_hint(const struct cli_command *self)
{
	fprintf(stderr, "Usage: guestmemfs %s %s\nSee 'guestmemfs %s --help'.\n", self->name,
		self->usage, self->name);
	return CLI_USAGE;
}

int cli_usage_error(const struct cli_command *self, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "guestmemfs %s: ", self->name);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return cli_usage_hint(self);
}

int cli_fail(const struct problem *why)
{
	fprintf(stderr, "guestmemfs: %s\n", why->text);
	return CLI_FAILED;
}

bool cli_parse_simple(const struct cli_command *self, int argc, char **argv, bool *json,
	const char *operand, int *ret)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"json", no_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	static const struct option without_json[] = {
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c = 0;

	while ((c = getopt_long(argc, argv, "h", json ? options : without_json, NULL)) != -1) {
		if (c == 'j' && json) {
			*json = true;
			continue;
		}
		*ret = c == 'h' ? cli_print_help(self) : cli_usage_hint(self);
		return false;
	}
	if (argc - optind == 1)
		return true;
	if (argc == optind)
		*ret = cli_usage_error(self, "it needs a %s", operand);
	else
		*ret = cli_usage_error(self, "it takes one %s, and '%s' is one too many", operand,
			argv[optind + 1]);
	return false;
}
