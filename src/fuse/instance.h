/* SPDX-License-Identifier: MIT */
/*
 * What an instance consists of before any process of it runs: mount point, name, regions (open,
 * locked, formatted where that was asked for) and the runtime directory.
 */
#ifndef GM_FUSE_INSTANCE_H
#define GM_FUSE_INSTANCE_H

#include <stdbool.h>

#include "fuse/options.h"
#include "fuse/runtime.h"
#include "pool/pool.h"
#include "util/problem.h"

#define INSTANCE_LOCK_MS 10000U /* for a predecessor that is still writing its last checkpoint */

struct instance {
	const struct options *options; /* not owned */
	char *mount_path;              /* owned */
	const char *name;              /* options' or mount_path's */
	struct pool pool;
	struct runtime runtime;
	bool privileged; /* run by root */
};

#define INSTANCE_NULL ((struct instance){.pool = POOL_NULL, .runtime = RUNTIME_NULL})

/* Sentences for everything that an operator can have got wrong; then nothing is left that was not
 * there before. -EWOULDBLOCK: another one has had the regions locked for lock_ms. */
int instance_open(
	struct instance *ret, const struct options *options, unsigned lock_ms, struct problem *why);

/* Mount point, name and paths alone: nothing is opened or made. For instance_forget(). */
int instance_name(struct instance *ret, const struct options *options, struct problem *why);

/* A start that fails after instance_open(): takes away what it has made. */
void instance_discard(struct instance *i);

void instance_close(struct instance *i);

/* Closes what is open here, and leaves all that others find. */
void instance_forget(struct instance *i);

#endif
