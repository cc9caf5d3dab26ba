/* SPDX-License-Identifier: MIT */
/*
 * The worker's events (util/audit.h, docs/audit.md): who was refused a ticket, a revocation or a
 * command. Limited, as whoever asks can cause them at will; what is left out is counted, and owned
 * up to.
 */
#ifndef GM_FUSE_REFUSALS_H
#define GM_FUSE_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/limiter.h"

#define REFUSALS_LINES 40U /* of one way to ask, in LIMITER_PERIOD */

/* Who asks, as the kernel says. */
struct asker {
	pid_t pid;
	uid_t uid;
};

/* One way to ask: the mount, or the control socket. All zero at first. */
struct refusals {
	struct limiter limiter;
};

/* request: a word, "ticket". error: a negative errno. what: a sentence, or NULL for the system's
 * words. now: clock_milliseconds(). */
void refusals_audit(struct refusals *r, const struct asker *asker, const char *request,
	uint64_t ino, int error, const char *what, uint64_t now);

/* Owns up if it is time; and when it will be. False: there is nothing to own up to. */
void refusals_expire(struct refusals *r, uint64_t now);
bool refusals_next_deadline(const struct refusals *r, uint64_t *ret);

#endif
