/* SPDX-License-Identifier: MIT */
/* The instances of root that run on this host, found by their runtime directories, each with what
 * its worker says. */
#ifndef GM_CLI_INSTANCES_H
#define GM_CLI_INSTANCES_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/query.h"

struct instance {
	char socket[PATH_MAX];
	struct json_object *status; /* owned */
	bool frozen_by_us;
};

struct instances {
	struct instance *list; /* owned */
	size_t count;
};

#define INSTANCES_NULL ((struct instances){.list = NULL})

/*
 * Asks every instance below /run/guestmemfs. One whose worker does not answer is an error with a
 * sentence: it can't be left out of what concerns the whole host. A directory whose instance has
 * ended is passed over.
 */
int instances_find(struct instances *ret, struct problem *why);
void instances_deinit(struct instances *i);

/* The status anew. */
int instance_ask(struct instance *i, struct problem *why);

#endif
