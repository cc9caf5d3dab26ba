/* SPDX-License-Identifier: MIT */
#ifndef GM_TESTS_CRASH_GO_ON_H
#define GM_TESTS_CRASH_GO_ON_H

#include <stdbool.h>

#include "store/store.h"

/*
 * What must be possible with every pool that recovery accepts: it is mounted, thawed, and changed
 * in several ways. 0, or the first error that has no good reason.
 */
int go_on(struct store *s, const uint8_t boot_id[16], bool checkpoint, struct problem *why);

#endif
