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
	struct instance *list; /* owned; those that have answered */
	size_t count;
	unsigned silent;        /* others that are there and have not */
	int error;              /* of the first of these, negative */
	struct problem silence; /* about it */
};

#define INSTANCES_NULL ((struct instances){.list = NULL})

/*
 * Asks every instance below /run/guestmemfs. One whose worker does not answer hides no other; but
 * it can't be left out of what concerns the whole host: look at silent. A directory whose instance
 * has ended is passed over. -ENOMEM, or why the directory can't be read.
 */
int instances_find(struct instances *ret, struct problem *why);
void instances_deinit(struct instances *i);

/* What to do about one that has not answered; error: negative. */
const char *instances_remedy(int error);

/* Is any of its regions of that kind ("soft", "pmem", "file")? */
bool instance_has_kind(const struct instance *i, const char *kind);

/* The status anew. */
int instance_ask(struct instance *i, struct problem *why);

#endif
