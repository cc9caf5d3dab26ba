/* SPDX-License-Identifier: MIT */
/*
 * What the worker gives up, in two steps: its privileges before it looks at a single byte of the
 * media, and all system calls but those of serving once the metadata area is mapped, before it
 * decodes journal and checkpoints.
 */
#ifndef GM_FUSE_WORKER_CONFINE_H
#define GM_FUSE_WORKER_CONFINE_H

#include "fuse/worker_options.h"
#include "pool/pool.h"
#include "util/problem.h"

int worker_confine_privileges(const struct worker_options *o, struct problem *why);

/*
 * From here on no descriptor can be mapped, and those of the regions can't be read or written
 * either: what is mapped stays all that there is. They stay open for the lock that they carry.
 * link: to the supervisor, who is told of a violation.
 */
int worker_confine_syscalls(struct pool *pool, int link, struct problem *why);

#endif
