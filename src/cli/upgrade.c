// SPDX-License-Identifier: MIT
/* guestmemfs upgrade: worker, helper and keeper are replaced by the programs that are installed
 * now. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/query.h"
#include "util/cleanup.h"

static void print_part(const char *name, struct json_object *o, const char *pid, const char *outage)
{
	printf("%s: process %" PRIu64 ", after %" PRIu64 " ms without one\n", name,
		query_number(o, pid), query_number(o, outage));
}

static void print_rest(struct json_object *o)
{
	uint64_t supervisor = query_number(o, "/supervisor/pid");

	printf("keeper: process %" PRIu64 "\n", query_number(o, "/keeper/pid"));
	if (query_true(o, "/supervisor/outdated"))
		printf("supervisor: process %" PRIu64
		       " goes on with the program that it was started with. To replace it too: "
		       "kill -9 %" PRIu64
		       ", then guestmemfs-fuse again with the same arguments (of a service: see "
		       "docs/boot.md)\n",
			supervisor, supervisor);
}

static int run_upgrade(const struct cli_command *self, int argc, char **argv)
{
	_cleanup_(json_object_putp) struct json_object *o = NULL;
	struct problem why = PROBLEM_INIT;
	bool json = false;
	int r;

	if (!cli_parse_simple(self, argc, argv, &json, "mount", &r))
		return r;
	if (query_path(argv[optind], CONTROL_UPGRADE, &o, NULL, &why) < 0)
		return cli_fail(&why);
	if (json)
		return query_print(o, &why) < 0 ? cli_fail(&why) : CLI_DONE;
	print_part("worker", o, "/worker/pid", "/worker/outage_ms");
	print_part("helper", o, "/helper/pid", "/helper/outage_ms");
	print_rest(o);
	return CLI_DONE;
}

const struct cli_command cli_upgrade = {
	.name = "upgrade",
	.usage = "MOUNT [--json]",
	.summary = "replace worker, helper and keeper by the programs that are installed now",
	.help = "For an instance that runs: no request fails, what is open stays open, and "
		"guests' memory is not touched. A\n"
		"new program that does not come to serve gives its place back to the one from "
		"before; then the exit code is 1.\n"
		"SIGHUP to guestmemfs-fuse does the same. The supervisor itself goes on with the "
		"program that it was started with, and the\n"
		"answer says so if another one is installed: kill -9 of it and a start with the "
		"same arguments replace it too.\n"
		"An upgrade that has not begun within 30 s (GUESTMEMFS_WAIT in the environment) "
		"does not begin any more.\n\n"
		"  --json  print the processes and the outages as JSON\n"
		"  --help  print this",
	.run = run_upgrade,
};
