/* SPDX-License-Identifier: MIT */
/*
 * The link to the supervisor. It is the one that descriptors are taken from; its end is ours.
 */
#ifndef GM_HELPER_SUPERVISOR_H
#define GM_HELPER_SUPERVISOR_H

#include "util/problem.h"

struct server;

/* Says that clients may come, or that they never will (with the sentence of why). */
int supervisor_send_serving(const struct server *s);
void supervisor_send_failed(const struct server *s, int error, const struct problem *why);

/*
 * Takes one message. 1: go on; 0: supervisor and keeper have gone; negative errno with a sentence:
 * it does not keep to the protocol.
 */
int supervisor_receive(struct server *s, struct problem *why);

#endif
