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

union order_message {
	struct link_header header;
	struct link_config config;
	struct link_held held;
	struct link_grant grant;
	struct link_refuse refuse;
	struct link_extents extents;
	struct link_scrub scrub;
	struct link_zero zero;
	struct link_check check;
	struct link_export export;
	struct link_revoke revoke;
	struct link_hand_over hand_over;
	struct link_contents contents;
};

/* Negative errno with a sentence: the worker does not keep to the protocol, its link must end. */
int orders_take(struct server *s, const union order_message *m, struct problem *why);

#endif
