/* SPDX-License-Identifier: MIT */
/* What supervisor.c and the files beside it share, and nobody else sees. */
#ifndef GM_FUSE_SUPERVISOR_INTERNAL_H
#define GM_FUSE_SUPERVISOR_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "fuse/children.h"
#include "fuse/instance.h"
#include "fuse/keeping.h"
#include "fuse/mount.h"
#include "fuse/upgrade.h"
#include "util/problem.h"

enum supervisor_source { /* what an event of the epoll set is about */
	SOURCE_SIGNAL,
	SOURCE_WORKER_END,
	SOURCE_WORKER_LINK,
	SOURCE_HELPER_END,
	SOURCE_HELPER_LINK,
	SOURCE_PROBE_END,
	SOURCE_KEEPER,
};

struct supervisor {
	struct instance instance;
	struct child worker;
	struct child helper;
	struct child keeper;
	struct child next_keeper; /* in an upgrade, until it has taken the other one's place */
	struct mount mount;
	struct upgrade upgrade;
	char own_path[PATH_MAX]; /* of the program that was started */
	const char *helper_path; /* of the helper's; borrowed */
	int table;               /* the runtime table of the mount's connection; owned */
	int record;              /* of the instance (instance_record.h); owned */
	int epoll;
	int signals;
	int notify;       /* owned; -1 once the start is over */
	char *manager;    /* the socket of whoever has started us as a service; owned; or NULL */
	bool recovered;   /* the worker waits for its mount */
	bool unfit;       /* the worker can't go on with the connection that is there */
	uint64_t died_at; /* when the worker did, in clock_milliseconds(); 0: it serves */
	bool serving;     /* has served: what dies from now on is started again */
	bool told;        /* the reason of a failing start has been told */
	bool stopping;    /* LINK_STOP is sent */
	bool done;        /* the loop ends */
	uint64_t stop_by; /* when the worker must have ended */
	uint64_t scarce_told; /* when the log was told that a descriptor was lost; 0: none is */
	int exit_code;
};

/* The instance ends, with this sentence. */
void supervisor_fail(struct supervisor *s, const struct problem *why);

/* While the operator waits for the start, a sentence is for the terminal; later it is for the log.
 */
void supervisor_tell(struct supervisor *s, const char *sentence);

/* It serves: the operator's command returns. */
void supervisor_announce(struct supervisor *s);

/* Hears what a child has said; the other, all that one has said that has ended. */
void supervisor_serve_link(struct supervisor *s, struct child *c);
void supervisor_take_words(struct supervisor *s, struct child *c);

/* Which process is the keeper. */
void supervisor_tell_keeper(const struct supervisor *s, const struct child *c);

int supervisor_watch(struct supervisor *s, int fd, enum supervisor_source source);
void supervisor_unwatch(const struct supervisor *s, int fd); /* before it is closed; -1 is fine */

/* child_discard(), of one that may be watched. */
void supervisor_discard(struct supervisor *s, struct child *c);

/* path: as for supervisor_restart(). Watched, and told to the keeper. */
int supervisor_start_child(
	struct supervisor *s, struct child *c, const char *path, struct problem *why);

/* It may have ended: what follows from that. */
void supervisor_take_end(struct supervisor *s, struct child *c);

/* Kills it if it should have ended by now, as its link has. */
void supervisor_end_due(struct child *c);

/* Starts it again if that is due. */
void supervisor_start_due(struct supervisor *s, struct child *c);

/* The program that has served before. True if it runs, or will be tried again. */
bool supervisor_start_again(struct supervisor *s, struct child *c, struct problem *why);

/* Starts the child, whose process has ended, once. path: of its program; NULL: the one that has
 * served before. After a failure, child_discard(). */
int supervisor_restart(
	struct supervisor *s, struct child *c, const char *path, struct problem *why);

#endif
