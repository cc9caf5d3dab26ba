/* SPDX-License-Identifier: MIT */
/* The --max-files option, of what lays out a pool. */
#ifndef GM_CLI_MAX_FILES_H
#define GM_CLI_MAX_FILES_H

#include <stdint.h>

#include "cli/cli.h"

/* CLI_DONE, or CLI_USAGE after a complaint: it is no decimal number, 0, or too large for *ret.
 * Whether a pool can have so many is store_plan()'s to say. */
int cli_parse_max_files(const struct cli_command *self, const char *text, uint64_t *ret);

#endif
