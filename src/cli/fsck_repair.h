/* SPDX-License-Identifier: MIT */
/* guestmemfs fsck --repair. */
#ifndef GM_CLI_FSCK_REPAIR_H
#define GM_CLI_FSCK_REPAIR_H

#include "cli/cli.h"
#include "cli/regions.h"

struct fsck_repair {
	bool yes;           /* write without asking */
	const char *backup; /* where the copy goes; NULL: a name in the working directory */
	uint64_t max_files; /* 0: not given */
};

/* The exit code. */
int fsck_repair_pool(const struct cli_regions *regions, const struct fsck_repair *options);

#endif
