/* SPDX-License-Identifier: MIT */
/*
 * What each message of the worker does. Sizes and headers have been checked (link.c); every other
 * field is checked here.
 */
#ifndef GM_HELPER_ORDERS_H
#define GM_HELPER_ORDERS_H

#include "proto/link.h"
#include "util/problem.h"

struct server;
struct work_job;

/* Negative errno with a sentence: the worker does not keep to the protocol, its link must end. */
int orders_take(struct server *s, const union link_from_worker *m, struct problem *why);

/* A SCRUB or ZERO has been done, or has failed: the worker is told, if it is the one that asked. */
void orders_take_done(struct server *s, const struct work_job *job);

#endif
