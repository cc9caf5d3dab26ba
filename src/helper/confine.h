/* SPDX-License-Identifier: MIT */
/*
 * What the helper gives up, and what it keeps for each kind of region. In two steps, because
 * capabilities are a thread's and threads are begun between them.
 */
#ifndef GM_HELPER_CONFINE_H
#define GM_HELPER_CONFINE_H

#include <stdbool.h>

#include "util/problem.h"

/*
 * Once everything is open that a user is not meant to reach, and every process that needs more than
 * this one has been started; before the first thread.
 */
int helper_confine_privileges(bool soft, struct problem *why);

/* Once the threads run. link: to the supervisor, who is told of a violation. */
int helper_confine_syscalls(bool soft, int link, struct problem *why);

#endif
