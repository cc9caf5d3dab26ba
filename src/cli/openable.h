/* SPDX-License-Identifier: MIT */
/* May a path be opened? Not where that could wait for ever, or do something: on a mount that does
 * not answer, and what is neither file nor directory. */
#ifndef GM_CLI_OPENABLE_H
#define GM_CLI_OPENABLE_H

#include "util/problem.h"

/*
 * -EINVAL with a sentence if path (symlinks are followed) is a FIFO, a socket or a device node; as
 * look_at() if it is on a mount that does not answer. For commands that open a file for its memory,
 * before they catch signals; a path that is not there is theirs to complain of.
 */
int openable_check(const char *path, struct problem *why);

#endif
