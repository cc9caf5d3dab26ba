/* SPDX-License-Identifier: MIT */
/*
 * Starts a process that gets exactly the descriptors that it is meant to have,
 * and watches it by a pidfd.
 */
#ifndef GM_FUSE_SPAWN_H
#define GM_FUSE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "guestmemfs/types.h"
#include "util/problem.h"

#define SPAWN_FIRST_FD 3 /* where the descriptors that are passed on begin */
#define SPAWN_FDS_MAX  (3U + 2U * GM_REGIONS_MAX)

struct process {
	pid_t pid;    /* 0: none */
	int pidfd;    /* owned; readable once the process has ended */
	bool adopted; /* not our child: nobody tells us with which status it ends */
};

#define PROCESS_UNKNOWN (-1) /* no status of waitpid(2) is that */

#define PROCESS_NULL ((struct process){.pid = 0, .pidfd = -1})

struct spawn {
	const char *path;
	char *const *argv;
	const int *fds; /* become SPAWN_FIRST_FD, SPAWN_FIRST_FD + 1, ...; they stay the caller's */
	size_t nfds;
	bool quiet; /* stderr is /dev/null; stdin and stdout always are */
};

/*
 * The new process has no other descriptors, no blocked signals, and the default action for every
 * signal but SIGHUP, which is ignored. A path that can't be executed is an error here, with a
 * sentence, not an early end of the process.
 */
int spawn_process(struct process *ret, const struct spawn *s, struct problem *why);

/* A copy of fd whose number is `first` or above, closed by an exec. Negative errno: -EMFILE also
 * where the limit of open files is below `first`, of which fcntl(2) says EINVAL. */
int spawn_copy_fd(int fd, int first);

/*
 * Waits until the process has ended and takes its status, as of waitpid(2); PROCESS_UNKNOWN of one
 * that was adopted. timeout_ms < 0: for ever. -ETIMEDOUT it is still there; else 0, and *p is
 * PROCESS_NULL.
 */
int process_wait(struct process *p, int timeout_ms, int *status);

/* True if it has ended, or there is none. Its status can still be taken. */
bool process_has_ended(const struct process *p);

/* SIGKILL. A process that has ended already is fine. */
void process_kill(const struct process *p);

#endif
