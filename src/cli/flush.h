/* SPDX-License-Identifier: MIT */
/* What the kernel's page cache has that a pool does not have yet. */
#ifndef GM_CLI_FLUSH_H
#define GM_CLI_FLUSH_H

#include "util/problem.h"

/*
 * Has it written, by syncfs(2), for the mount that path is on: a frozen pool takes no write, and of
 * files with content pages that were changed through a mapping are written by the kernel when it
 * likes. Where there is no such path in this mount namespace, by sync(2). Waits for the worker.
 * Negative errno with a sentence.
 */
int flush_mount(const char *path, struct problem *why);

#endif
