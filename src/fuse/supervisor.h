/* SPDX-License-Identifier: MIT */
/*
 * The supervisor: starts worker, helper and keeper, or takes over those that have lost theirs;
 * makes the mount, connects the two, restarts what dies, and ends it all in order. It looks into no
 * region and parses no message of a client.
 */
#ifndef GM_FUSE_SUPERVISOR_H
#define GM_FUSE_SUPERVISOR_H

#include "fuse/options.h"

/*
 * Runs an instance from start to end and gives the exit code. When it serves, the exit code 0 is
 * written to notify_fd (one byte, then it is closed), if that is one; messages then go where a
 * daemon's go. What goes wrong before is told on stderr. helper: the path of its program.
 */
int supervisor_run(const struct options *options, const char *helper, int notify_fd);

#endif
