/* SPDX-License-Identifier: MIT */
/* What the kernel's page cache has that a pool does not have yet. */
#ifndef GM_CLI_FLUSH_H
#define GM_CLI_FLUSH_H

#include "util/problem.h"

/* Asks the worker anything; negative errno with a sentence if it does not answer. */
typedef int (*flush_ask)(void *data, struct problem *why);

/*
 * Has it written, by syncfs(2), for the mount that path is on: a frozen pool takes no write, and of
 * files with content pages that were changed through a mapping are written by the kernel when it
 * likes. Where there is no such path in this mount namespace, by sync(2). Waits as long as the
 * worker answers, which is asked each time that a command's patience is over (look_get_patience()),
 * and no signal is held back (interrupt_hold()). Negative errno with a sentence; it may be written
 * yet.
 */
int flush_mount(const char *path, flush_ask ask, void *data, struct problem *why);

#endif
