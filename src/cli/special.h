/* SPDX-License-Identifier: MIT */
/* What is neither file nor directory: opening it could wait for ever, or do something. */
#ifndef GM_CLI_SPECIAL_H
#define GM_CLI_SPECIAL_H

#include "util/problem.h"

/*
 * -EINVAL with a sentence if path (symlinks are followed) is a FIFO, a socket or a device node. For
 * commands that open a file for its memory; a path that is not there is theirs to complain of.
 */
int special_refuse(const char *path, struct problem *why);

#endif
