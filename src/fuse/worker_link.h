/* SPDX-License-Identifier: MIT */
/*
 * The worker's side of its link to the supervisor.
 */
#ifndef GM_FUSE_WORKER_LINK_H
#define GM_FUSE_WORKER_LINK_H

#include <stdint.h>

#include "util/problem.h"

/* A message without a body. The supervisor always reads: there is no waiting. */
void worker_link_send(int link, unsigned opcode, uint64_t id);

/* The same with a descriptor, which stays the caller's. Negative errno. */
int worker_link_send_fd(int link, unsigned opcode, int fd);

/* LINK_FAILED. error: negative errno. */
void worker_link_send_failed(int link, int error, const struct problem *why);

struct worker_order {    /* what the supervisor says, or the keeper in its place */
	unsigned opcode; /* LINK_FUSE_FD, LINK_PEER, LINK_STOP, LINK_YIELD; who there is:
			    LINK_SUPERVISOR, LINK_KEEPER */
	uint64_t id;     /* as in proto/link.h */
	int fd;          /* with LINK_FUSE_FD and LINK_PEER: the caller's; else -1 */
};

/* 0; -EAGAIN nothing is there; -ECONNRESET supervisor and keeper are gone; -EPROTO. */
int worker_link_receive(int link, struct worker_order *ret);

/* Has the supervisor log a line. Negative errno: it does not take it now. */
int worker_link_send_log(int link, int level, const char *text);

#endif
