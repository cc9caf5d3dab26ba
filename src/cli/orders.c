// SPDX-License-Identifier: MIT
/* guestmemfs freeze, thaw, token, export and unexport: one question to the worker each. */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/flush.h"
#include "cli/query.h"
#include "util/cleanup.h"

/* Asks about the operand; *ret is the exit code if that failed. */
static struct json_object *ask(const struct cli_command *self, int argc, char **argv,
	const char *operand, enum control_opcode opcode, int *ret)
{
	struct problem why = PROBLEM_INIT;
	struct json_object *o = NULL;

	if (!cli_parse_simple(self, argc, argv, NULL, operand, ret))
		return NULL;
	if (query_path(argv[optind], opcode, &o, NULL, &why) < 0)
		*ret = cli_fail(&why);
	return o;
}

static int order(const struct cli_command *self, int argc, char **argv, const char *operand,
	enum control_opcode opcode)
{
	struct problem why = PROBLEM_INIT;
	int r = CLI_DONE;

	if (!cli_parse_simple(self, argc, argv, NULL, operand, &r))
		return r;
	return query_path(argv[optind], opcode, NULL, NULL, &why) < 0 ? cli_fail(&why) : CLI_DONE;
}

static int ask_again(void *path, struct problem *why)
{
	return query_path(path, CONTROL_STATUS, NULL, NULL, why);
}

static int run_freeze(const struct cli_command *self, int argc, char **argv)
{
	int r = CLI_DONE;
	_cleanup_(json_object_putp) struct json_object *o =
		ask(self, argc, argv, "mount", CONTROL_STATUS, &r);
	struct problem why = PROBLEM_INIT;

	if (!o)
		return r;
	if (flush_mount(query_text(o, "/mount_point"), ask_again, argv[optind], &why) < 0)
		return cli_fail(&why);
	return order(self, argc, argv, "mount", CONTROL_FREEZE);
}

static int run_thaw(const struct cli_command *self, int argc, char **argv)
{
	return order(self, argc, argv, "mount", CONTROL_THAW);
}

static int run_unexport(const struct cli_command *self, int argc, char **argv)
{
	return order(self, argc, argv, "file", CONTROL_UNEXPORT);
}

static int run_export(const struct cli_command *self, int argc, char **argv)
{
	int r = CLI_DONE;
	_cleanup_(json_object_putp) struct json_object *o =
		ask(self, argc, argv, "file", CONTROL_EXPORT, &r);

	if (o)
		puts(query_text(o, "/node"));
	return r;
}

static int run_token(const struct cli_command *self, int argc, char **argv)
{
	int r = CLI_DONE;
	_cleanup_(json_object_putp) struct json_object *o =
		ask(self, argc, argv, "mount", CONTROL_TOKEN, &r);
	struct problem why;

	if (!o)
		return r;
	if (query_text(o, "/token")[0] == '-') {
		(void)problem(&why, 0,
			"the pool asks for no succession token: it is not on reserved RAM");
		return cli_fail(&why);
	}
	puts(query_text(o, "/token"));
	return CLI_DONE;
}

const struct cli_command cli_freeze = {
	.name = "freeze",
	.usage = "MOUNT",
	.summary = "take no change, ticket or grant any more, as before a kexec",
	.help = "Has the kernel write what its page cache has for files with content, writes a "
		"checkpoint, and refuses every\n"
		"change with EBUSY until 'guestmemfs thaw', or until another kernel mounts the "
		"pool. Mapped memory is not\n"
		"touched. 'guestmemfs kexec' does it by itself.\n"
		"\n"
		"  --help  print this",
	.run = run_freeze,
};

const struct cli_command cli_thaw = {
	.name = "thaw",
	.usage = "MOUNT",
	.summary = "take changes again after a freeze",
	.help = "  --help  print this",
	.run = run_thaw,
};

const struct cli_command cli_export = {
	.name = "export",
	.usage = "FILE",
	.summary = "make a device node over a file's memory, and print its path",
	.help = "For programs that can open a path and know nothing of guestmemfs. The node has "
		"the file's owner and mode and\n"
		"follows them; the file can't grow while it is exported. Only on soft regions.\n"
		"Its memory comes back like any other file's, also where somebody has made a copy "
		"of the node, if devices can be\n"
		"closed on this host (guestmemfs doctor says so); else at the host's next boot.\n\n"
		"  --help  print this",
	.run = run_export,
};

const struct cli_command cli_unexport = {
	.name = "unexport",
	.usage = "FILE",
	.summary = "take an export back: nobody can open its node any more",
	.help = "Who has it open or mapped keeps it. The node's name does not come back in this "
		"boot.\n\n"
		"  --help  print this",
	.run = run_unexport,
};

const struct cli_command cli_token = {
	.name = "token",
	.usage = "MOUNT",
	.summary = "print the succession token for the next kernel's command line",
	.help = "Add guestmemfs.succession=TOKEN to the next kernel's command line if you load it "
		"with another tool than\n"
		"'guestmemfs kexec'. Without it the next kernel refuses the pool.\n\n"
		"  --help  print this",
	.run = run_token,
};
