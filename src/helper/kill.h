/* SPDX-License-Identifier: MIT */
/* Killing those who hold an inode, and nobody else. */
#ifndef GM_HELPER_KILL_H
#define GM_HELPER_KILL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct holder;
struct watch;

/* Who wants somebody killed. */
struct killer {
	uid_t uid;
	bool anybody;         /* whosever process it is */
	uint64_t looks_ended; /* server.looks */
};

/*
 * kill_is_allowed(): is it certain who the holder is, and would kill(2) let the killer do it
 * himself? kill_is_forbidden(): it would not, whatever another look at the holder shows.
 */
bool kill_is_allowed(const struct killer *k, const struct holder *h);
bool kill_is_forbidden(const struct killer *k, const struct holder *h);

/*
 * Kills the holder's process; before it the whole cgroup that it is in, so that nobody gets away by
 * forking, if all processes of that cgroup hold the inode and may be killed. -ESRCH it has ended;
 * -EPERM and others of pidfd_send_signal(2).
 */
int kill_process_or_cgroup(const struct killer *k, const struct holder *h);

/* Is everybody in this list of numbers, cgroup.procs, one who may be killed? Not if it can't be
 * read to its end, or if it names nobody. */
bool kill_takes_only(const struct killer *k, const struct watch *w, FILE *procs);

#endif
