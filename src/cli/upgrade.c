// SPDX-License-Identifier: MIT
/* guestmemfs upgrade: worker and helper are replaced by the programs that are installed now. */
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
	return CLI_DONE;
}

const struct cli_command cli_upgrade = {
	.name = "upgrade",
	.usage = "MOUNT [--json]",
	.summary = "replace worker and helper by the programs that are installed now",
	.help = "For an instance that runs: no request fails, what is open stays open, and "
		"guests' memory is not touched. A\n"
		"new program that does not come to serve gives its place back to the one from "
		"before; then the exit code is 1.\n"
		"SIGHUP to guestmemfs-fuse does the same. The supervisor itself stays the one that "
		"was started.\n\n"
		"  --json  print the processes and the outages as JSON\n"
		"  --help  print this",
	.run = run_upgrade,
};
