/* SPDX-License-Identifier: MIT */
/* A cgroup (version 2) for one program and what it starts, so that killing all of it hits nobody
 * else. */
#ifndef GM_CLI_SCOPE_H
#define GM_CLI_SCOPE_H

#include "util/problem.h"

/*
 * Moves this process, alone, into a cgroup of its own: a transient scope where systemd runs the
 * host, else a new cgroup below the one it is in. Does nothing if it is alone in its cgroup
 * already, as the program of a unit is. Negative errno with a sentence, and it is where it was: no
 * cgroup2 is mounted, no right to make one, or systemd refuses.
 */
int scope_enter(struct problem *why);

#endif
