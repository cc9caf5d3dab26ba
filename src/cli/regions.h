/* SPDX-License-Identifier: MIT */
/* The --region options of the offline commands, in the order in which they were given. */
#ifndef GM_CLI_REGIONS_H
#define GM_CLI_REGIONS_H

#include "cli/cli.h"
#include "region/region.h"

/* How long an offline command waits for the lock: umount(8) returns before the instance has ended.
 */
#define REGIONS_LOCK_MS 3000U

struct cli_regions {
	struct region_spec specs[GM_REGIONS_MAX];
	uint32_t count;
};

void cli_regions_deinit(struct cli_regions *r);

/* Adds one. CLI_DONE, or CLI_USAGE after a complaint. */
int cli_regions_add(struct cli_regions *r, const struct cli_command *self, const char *text);

/*
 * To be called behind the last option. Where no region was given it adds the one that is meant
 * then. CLI_USAGE after a complaint if something but options was given, CLI_FAILED if none is
 * found.
 */
int cli_regions_check(struct cli_regions *r, const struct cli_command *self, int argc, char **argv);

#endif
