/* SPDX-License-Identifier: MIT */
/*
 * What a mount says of a path. Whoever asks a mount waits in the kernel for its worker, by a signal
 * at best: so a process of its own asks, and is left behind if it does not come back.
 */
#ifndef GM_CLI_LOOK_H
#define GM_CLI_LOOK_H

#include <limits.h>
#include <sys/stat.h>

#include "util/problem.h"

#define LOOK_ENVIRONMENT "GUESTMEMFS_WAIT"
#define LOOK_SECONDS     30

struct look {
	int error; /* a positive errno, of the mount's; 0: the rest is there */
	struct stat st;
	char socket[PATH_MAX]; /* GM_XATTR_CONTROL; its directory's, if it has no attributes */
};

/* For how long who does not answer is waited for: what the environment says, else LOOK_SECONDS. A
 * sentence for what is no such number (-EINVAL). */
int look_get_patience(int *seconds, struct problem *why);

/* Sentences: no answer for so long (-ETIMEDOUT), the question could not be asked. */
int look_at(struct look *ret, const char *path, int seconds, struct problem *why);

#endif
