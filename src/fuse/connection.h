/* SPDX-License-Identifier: MIT */
/*
 * The connection to the kernel, as one worker after the other serves it: requests are read into the
 * slots of the runtime table, and a worker that is new on a connection first answers what its
 * predecessor has left there.
 *
 * What was asked is done once and answered with the truth. Of all requests that are not answered
 * one at most has changed anything: each reply is sent before another change is committed, and the
 * store knows the last change by its request's number. That one is answered by what is there; all
 * others run again, as do writes and punches, which may be half done and come to the same when they
 * are done twice; but what was refused is refused again.
 */
#ifndef GM_FUSE_CONNECTION_H
#define GM_FUSE_CONNECTION_H

#include "fuse/ops.h"
#include "fuse/runtime_table.h"

struct connection {
	struct runtime_table table; /* mapped by the caller; unmapped by connection_close() */
	struct slots slots;
	struct fuse_session *session;
	struct ops *ops;                    /* not owned */
	bool replaying_init;                /* its answer is not for the kernel */
	bool mute;                          /* what is said reaches nobody */
	bool unfit;                         /* that answer is not the one that the kernel has */
	bool scarce;                        /* a request is left to the next worker, for ENOMEM */
	_Alignas(1024) uint8_t reply[1024]; /* room for a small one; never in two pages */
};

/* Makes a session of ops over it. Takes fd over. table is there, and of this version. */
int connection_open(struct connection *c, int fd, struct ops *ops, struct problem *why);
void connection_close(struct connection *c); /* also if it was never opened */

/*
 * Before anything is read: the first request is told to libfuse again, and what was not answered
 * is. last: the store's last result before this worker's own changes. *answered: how many requests.
 * -EPROTONOSUPPORT with a sentence: this worker can't serve this connection;
 * -ENOMEM: not now.
 */
int connection_resume(struct connection *c, const struct store_result *last, unsigned *answered,
	struct problem *why);

/* True once the kernel's first request has been answered: it asks for nothing before. */
bool connection_has_begun(const struct connection *c);

enum { /* a request was served, */
	CONNECTION_WAITED_FOR = 1,
	CONNECTION_NOT_WAITED_FOR, /* whoever made it went on meanwhile */
};

/* Reads and serves one request: one of these; -EAGAIN, -EINTR there is none; -ENOMEM this worker
 * can't go on, and another one may; 0 or another negative errno: the connection has ended. */
int connection_serve(struct connection *c);

/* From now on nothing is answered, whoever tries to: what has no answer is the next worker's. */
void connection_mute(struct connection *c);

int connection_fd(const struct connection *c);

#endif
