// SPDX-License-Identifier: MIT
#include "cli/regions.h"

#include <errno.h>
#include <getopt.h>

void cli_regions_deinit(struct cli_regions *r)
{
	while (r->count > 0)
		region_spec_deinit(&r->specs[--r->count]);
}

int cli_regions_add(struct cli_regions *r, const struct cli_command *self, const char *text)
{
	struct problem why = PROBLEM_INIT;

	if (r->count == GM_REGIONS_MAX)
		return cli_usage_error(self, "a pool has at most %u regions", GM_REGIONS_MAX);
	int error = region_spec_parse(&r->specs[r->count], text, &why);
	if (error == -ENOMEM)
		return cli_fail(&why);
	if (error < 0)
		return cli_usage_error(self, "%s", why.text);
	r->count++;
	return CLI_DONE;
}

int cli_regions_check(struct cli_regions *r, const struct cli_command *self, int argc, char **argv)
{
	struct problem why = PROBLEM_INIT;

	if (optind < argc)
		return cli_usage_error(self,
			"'%s' is one argument too many; a region is given with --region",
			argv[optind]);
	if (r->count > 0)
		return CLI_DONE;
	if (region_find_default(&r->specs[0], &why) < 0)
		return cli_fail(&why);
	r->count++;
	return CLI_DONE;
}
