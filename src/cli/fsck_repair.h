/* SPDX-License-Identifier: MIT */
/* guestmemfs fsck --repair and --restore. */
#ifndef GM_CLI_FSCK_REPAIR_H
#define GM_CLI_FSCK_REPAIR_H

#include "cli/cli.h"
#include "cli/regions.h"
#include "pool/pool.h"

struct fsck_repair {
	bool yes;            /* write without asking */
	const char *backup;  /* where the copy goes; NULL: a name in the working directory */
	uint64_t max_files;  /* 0: not given */
	const char *restore; /* the copy that is put back; NULL: it is a repair */
};

/* Both: the exit code. */
int fsck_repair_pool(const struct cli_regions *regions, const struct fsck_repair *options);
int fsck_restore_pool(const struct cli_regions *regions, const struct fsck_repair *options);

/* For either: opened writable and locked. Errors with a sentence; *ret is for pool_close() even
 * then. */
int fsck_open_to_write(struct pool *ret, const struct cli_regions *regions, struct problem *why);

/* Asks if nobody has said yes. CLI_DONE if it may be written. */
int fsck_may_write(bool yes);

#endif
