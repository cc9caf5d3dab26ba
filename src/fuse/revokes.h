/* SPDX-License-Identifier: MIT */
/* Revocations that were asked for by ioctl(2) and wait for the helper's answer. */
#ifndef GM_FUSE_REVOKES_H
#define GM_FUSE_REVOKES_H

#include <stdint.h>
#include <sys/queue.h>

#include "guestmemfs/protocol.h"

#define REVOKES_MAX 16U

struct fuse_req;
struct link_holder;

struct revoke {
	LIST_ENTRY(revoke) link; /* revokes.list */
	struct fuse_req *req;    /* answered once */
	uint64_t id;             /* as grants_revoke() gave it; 0: it is not asked yet */
	uint64_t ino;
	struct gm_revoke answer;
};

struct revokes {
	LIST_HEAD(, revoke) list;
	unsigned count;
	uint64_t wait_until; /* in clock_milliseconds(): so long the helper is about to come; 0 */
};

#endif
