/* SPDX-License-Identifier: MIT */
/*
 * The process guestmemfs-counts: loads its program, gives up what it needed for that, then answers
 * the one helper at the other end of its socket until that goes away.
 */
#ifndef GM_COUNTS_SERVER_H
#define GM_COUNTS_SERVER_H

#include "util/problem.h"

/*
 * Serves at COUNTS_FD until the other end is closed: 0. Negative errno with a sentence, which the
 * other end has been told too.
 */
int counts_serve(struct problem *why);

/*
 * Can counts be read here? 0, or -EOPNOTSUPP with the reason. *gate: 0 if devices can be closed as
 * well, else why they can't.
 */
int counts_check(struct problem *why, int *gate, struct problem *gate_why);

#endif
