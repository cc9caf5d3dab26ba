/* SPDX-License-Identifier: MIT */
/*
 * What an instance was started with, and which regions it has open, as a supervisor leaves it to
 * the next one: words, each with a NUL behind it, in a memfd. First those that must be the same for
 * a start to go on with it; behind an empty one the regions, "KIND:NAME".
 */
#ifndef GM_FUSE_INSTANCE_RECORD_H
#define GM_FUSE_INSTANCE_RECORD_H

#include "fuse/instance.h"

/* The descriptor, or a negative errno with a sentence. */
int instance_record_make(const struct instance *i, struct problem *why);

/*
 * i: a start as far as instance_name() makes it. -EBUSY with a sentence that says what is
 * different; -EPROTO: it is no record.
 */
int instance_record_compare(int record, const struct instance *i, struct problem *why);

/* Adds the regions to the pool; fds: one for each, in their order; taken over, also on failure. */
int instance_record_adopt(
	int record, struct pool *pool, int *fds, size_t count, struct problem *why);

#endif
