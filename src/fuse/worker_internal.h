/* SPDX-License-Identifier: MIT */
/* What worker.c and the files beside it share, and nobody else sees. */
#ifndef GM_FUSE_WORKER_INTERNAL_H
#define GM_FUSE_WORKER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse/connection.h"
#include "fuse/control.h"
#include "fuse/grants.h"
#include "fuse/namespace.h"
#include "fuse/open_table.h"
#include "fuse/ops.h"
#include "fuse/origin.h"
#include "fuse/spawn.h"
#include "fuse/status.h"
#include "fuse/tickets.h"
#include "fuse/unmounter.h"
#include "fuse/wakeup.h"
#include "fuse/worker_contents.h"
#include "fuse/worker_options.h"
#include "pool/pool.h"
#include "store/store.h"
#include "util/problem.h"

#define WORKER_LINK_FD SPAWN_FIRST_FD /* to the supervisor */

enum worker_source { /* what an event of the epoll set is about */
	SOURCE_SIGNAL,
	SOURCE_SUPERVISOR,
	SOURCE_HELPER,
	SOURCE_CONTROL,
	SOURCE_FUSE,
	SOURCE_WAKEUP,
};

struct worker {
	struct worker_options options;
	struct pool pool;
	struct store *store;
	struct namespace ns;
	struct tickets *tickets;
	struct grants *grants;
	struct worker_contents contents;
	struct ops ops;
	struct status status;
	struct control *control;
	struct store_origin origin;
	struct origin_texts origin_texts;
	struct unmounter unmounter;
	uid_t owner; /* who has started us */
	struct connection connection;
	struct open_table opens;
	unsigned inherited; /* requests that a predecessor had left */

	int epoll;
	int signals;
	struct wakeup wakeup;
	int peer;            /* link to the helper that came before the mount was begun; -1 */
	int watched;         /* the helper's link as it is in the epoll set; -1 */
	uint32_t events;     /* what it is watched for */
	dev_t device;        /* of the mount; 0: there is none */
	unsigned lonely;     /* wakeups since the last one that found more than one request */
	bool announced;      /* LINK_SERVING is sent */
	bool has_helper;     /* its link was up the last time that we looked */
	pid_t broken_helper; /* whose link has ended, and is to be replaced; 0: there is none */
	bool end;
	uint64_t yield_by; /* when the next worker is to have the mount, in any case; 0: it stays
			      ours */
};

/* ---- worker.c ---- */

/* Has one before it begun this connection's mount on the media? It has shown then whose the memory
 * is, and stamped the regions. */
static inline bool worker_goes_on(const struct worker *w)
{
	return w->connection.table.header->first_mount != 0;
}

/* Negative errno. */
int worker_watch(const struct worker *w, int fd, enum worker_source source);

/* ---- worker_start.c: until the metadata is read ---- */

/* What needs a privilege or a path. title: argv[0]. */
int worker_prepare(struct worker *w, char *title, struct problem *why);

/* Reads the metadata, and stores nothing. Does not return where it can't be read. */
int worker_recover(struct worker *w, struct problem *why);

/* ---- worker_mount.c: the mount, from beginning to end ---- */

/* fd: of the connection to the kernel; becomes the worker's. */
int worker_begin_mount(struct worker *w, int fd, uint64_t device, struct problem *why);

/* Some of the requests that wait. */
int worker_serve_mount(struct worker *w, struct problem *why);

/* The last checkpoint and the lazy unmount. Not for a worker that has failed, which leaves both to
 * the next one: it trusts itself no more. */
void worker_end_mount(struct worker *w);

/* ---- worker_helper.c: the link to the helper ---- */

/* Makes w->grants, whose answers go to those who wait for them. -ENOMEM. */
int worker_make_grants(struct worker *w);

/* Before each wait: the link comes and goes, and what it is watched for changes with what is
 * waiting to be sent. */
void worker_watch_helper(struct worker *w);

/* What needs the helper waits for its next link, for some seconds. */
void worker_expect_helper(struct worker *w);

/* A new link, which becomes the worker's. */
void worker_take_helper(struct worker *w, int fd);
void worker_serve_helper(struct worker *w, uint32_t events);

/* ---- worker_supervisor.c: the link to the supervisor ---- */

/* Does what it says; a failure ends the worker. */
int worker_serve_supervisor(struct worker *w, struct problem *why);

/* What the operator has asked for at the control socket and the supervisor answers: it replaces
 * us. */
void worker_hand_on_upgrade(struct worker *w);

/* Whether the next worker, for which the supervisor has asked, can have the mount now. */
bool worker_may_yield(struct worker *w, uint64_t now);

#endif
