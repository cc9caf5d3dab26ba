/* SPDX-License-Identifier: MIT */
/*
 * The processes that the helper has to do with, each with a pidfd: the peers of connections
 * and the holders of memory. A pid alone names whoever has it next; the pidfd says when the
 * process itself has ended.
 */
#ifndef GM_HELPER_PROCESSES_H
#define GM_HELPER_PROCESSES_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "helper/source.h"
#include "util/limiter.h"

struct server;
struct holder;
struct user;

struct process {
	struct source source; /* pidfd; -1 once it is dead */
	pid_t pid;
	uid_t uid;                  /* as it was when it connected or was found */
	struct user *user;          /* the same; a reference */
	struct limiter grant_noise; /* of log lines about what it is granted */
	bool dead;
	unsigned references;
	LIST_HEAD(, holder) holders;   /* holders.h */
	LIST_ENTRY(process) by_server; /* server->processes.all */
};

struct processes {
	LIST_HEAD(, process) all;
};

void processes_init(struct processes *p);

/*
 * The process with this pid, as a new reference. pidfd, if not -1, is one of it (taken over, also
 * on failure); else one is opened. -ESRCH: it has ended.
 */
int process_get(struct server *s, pid_t pid, uid_t uid, int pidfd, struct process **ret);
void process_put(struct server *s, struct process *p);

/* A living process with this pid that is known already, without a reference; or NULL. */
struct process *process_find(const struct server *s, pid_t pid);

/* Has it ended, whether its pidfd has had its turn or not? */
bool process_has_ended(const struct process *p);

/* The pidfd has become readable, or is found to be. */
void process_ended(struct server *s, struct process *p);

/* A pidfd of the peer of sock: of the very process that connected, where the kernel can tell (6.5).
 * -ESRCH: it has ended, or is one that we can't see (pid 0). */
int process_open_peer(int sock, pid_t pid);

#endif
