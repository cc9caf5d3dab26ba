/* SPDX-License-Identifier: MIT */
/*
 * The processes that the supervisor starts, with the socket to each of them, and the rule by which
 * a process that keeps dying is given up. Worker and helper are started here, the keeper in
 * keeping.c.
 */
#ifndef GM_FUSE_CHILDREN_H
#define GM_FUSE_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>

#include "fuse/instance.h"
#include "fuse/spawn.h"

#define CHILD_DEATHS_MAX 5U     /* so many ... */
#define CHILD_DEATHS_MS  10000U /* ... within this time are too many */

struct child {
	const char *name; /* for messages */
	struct process process;
	int link;       /* owned */
	bool recovered; /* these two it has said */
	bool serving;
	bool ended;            /* in order */
	char words[256];       /* the last sentence that it could not go on for; "" */
	int error;             /* and its errno, positive; 0: it has said none */
	uint64_t retry_at;     /* it is started again then; 0: it need not be */
	uint64_t end_by;       /* its link has ended, and so should it have then; 0: it has not */
	uint64_t scarce_since; /* when what it takes was short first; 0: it has served since */
	uint64_t deaths[CHILD_DEATHS_MAX]; /* the latest ones, milliseconds */
	unsigned death_count;
	int program;   /* that has served, opened, so that it can be started again whatever is at
			  its path by then; owned; -1 before */
	int candidate; /* the one that runs and has not served yet; owned; -1: it is that one */
};

#define CHILD_NULL(n)                                                                              \
	((struct child){                                                                           \
		.name = (n), .process = PROCESS_NULL, .link = -1, .program = -1, .candidate = -1})

/*
 * path: of the program; NULL: the one that has served before. table: the runtime table of the
 * connection that it is to serve; the caller's.
 */
int child_start_worker(struct child *c, const struct instance *i, const char *path, int table,
	struct problem *why);
int child_start_helper(
	struct child *c, const struct instance *i, const char *path, struct problem *why);

/* The program at path, or the one that has served before, with all else as spawn says; its link is
 * closed on failure. */
int child_spawn(struct child *c, const char *path, struct spawn *spawn, struct problem *why);

/* It has said so. Its program is the one to be started again from now on. */
void child_has_served(struct child *c);

/*
 * A message without a body, or with a descriptor if fd is one. Failure is no news:
 * the end of the process is.
 */
void child_send(const struct child *c, unsigned opcode, uint64_t id, int fd);

/* Gives the two a socket to each other. */
int children_connect(const struct child *worker, const struct child *helper, struct problem *why);

/* The sentence of how it has ended, with status as of process_wait(). */
void child_describe_end(const struct child *c, int status, struct problem *ret);

/* Notes a death. True if there were too many lately. */
bool child_has_died_too_often(struct child *c, uint64_t now);

/*
 * It could not be started, or has ended at once, for an errno (positive). If that is of what others
 * may give back (processes, descriptors, memory, room in the runtime directory), retry_at is set:
 * true, and what there is of it is to be discarded. It is said once (why). False for other errors,
 * or when it has been so for CHILD_SCARCE_MS.
 */
#define CHILD_RETRY_MS  500U
#define CHILD_SCARCE_MS 60000U

bool child_try_later(struct child *c, int error, uint64_t now, const struct problem *why);

/* Ends what there is of it at once. */
void child_discard(struct child *c);

/* Ends it by closing its link, and by SIGKILL if it has not ended after timeout_ms. It is not to be
 * started again. */
void child_end(struct child *c, int timeout_ms);

#endif
