/* SPDX-License-Identifier: MIT */
/*
 * A start that finds its instance running without a supervisor becomes the supervisor of the
 * processes that are there: it gets from the keeper what the one before had, and adopts them.
 */
#ifndef GM_FUSE_TAKEOVER_H
#define GM_FUSE_TAKEOVER_H

#include <stdbool.h>

#include "fuse/options.h"
#include "util/problem.h"

struct supervisor;

/*
 * 1: s has the instance, with its processes, and watches them; of those that have ended the events
 * are still to come. 0: there is none, or it has its supervisor, or it was unmounted: the start
 * goes its usual way. Negative errno with a sentence: there is one that this start does not fit, or
 * that can't be taken over; it goes on as it did. *supervised: it has its supervisor, or seems to:
 * one that was killed is seen until it has ended and each process that it had just forked has run
 * another program.
 */
int takeover_try(
	struct supervisor *s, const struct options *options, bool *supervised, struct problem *why);

#endif
