/* SPDX-License-Identifier: MIT */
/* Another program that does a part of the work, and what it has to say. */
#ifndef GM_CLI_TOOL_H
#define GM_CLI_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#define TOOL_KILLED 128 /* the exit status of one that died of a signal, as in a shell */

/*
 * Runs argv[0], found as execvp(3) does, to its end. The first line of what it says on stdout and
 * stderr goes into words; the rest is read and dropped. It has a process group of its own, so that
 * a signal from the terminal is ours alone; with interruptible it is killed when interrupt_held()
 * comes true. Its exit status, TOOL_KILLED, or a negative errno if it can't be run.
 */
int tool_run(char *const argv[], char *words, size_t size, bool interruptible);

#endif
