/* SPDX-License-Identifier: MIT */
/*
 * The worker's memory of the content store: which source it comes from on these regions, and what
 * is due when some of it has come.
 */
#ifndef GM_FUSE_WORKER_CONTENTS_H
#define GM_FUSE_WORKER_CONTENTS_H

#include <stdbool.h>

#include "fuse/content_memory.h"
#include "fuse/content_regions.h"
#include "fuse/content_soft.h"
#include "fuse/grants.h"
#include "fuse/namespace.h"
#include "pool/pool.h"

struct worker_contents {
	struct content_memory *memory;
	struct content_regions regions; /* where it comes from; or, on soft regions: */
	struct content_soft soft;
	bool came; /* content_memory_arrived() is due */
};

/* ns, whose memory it becomes, pool and grants outlive it; arrived is called when memory came.
 * -ENOMEM. */
int worker_contents_init(struct worker_contents *c, struct pool *pool, struct namespace *ns,
	struct grants *grants, void (*arrived)(void *data), void *data);
void worker_contents_deinit(struct worker_contents *c); /* also if it was only zeroed */

/* For grants_config's callbacks: what has come is told of by worker_contents_settle(). */
void worker_contents_take_cleaned(
	struct worker_contents *c, int error, const struct alloc_extent *blocks);
void worker_contents_take_part(struct worker_contents *c, const struct grants_part *part, int fd);
void worker_contents_take_given(struct worker_contents *c, int error);

/* Tells those who wait for memory what has come, until nothing more has. */
void worker_contents_settle(struct worker_contents *c, struct grants *grants);

/* Blocks of the content store that are empty by now; a failure is a line in the log. */
void worker_contents_give_back(struct namespace *ns);

#endif
