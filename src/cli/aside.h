/* SPDX-License-Identifier: MIT */
/* What may wait in the kernel for ever, as a call on a mount whose worker was stopped, is done by a
 * process of its own: who waits for it can give up, which the kernel lets nobody who has made the
 * call. */
#ifndef GM_CLI_ASIDE_H
#define GM_CLI_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* In the process of its own, which has nothing open but where the result goes. */
typedef void (*aside_work)(const char *path, void *result);

struct aside {
	pid_t pid;
	int sock;
	bool ended; /* it has no more to do */
};

/* Starts it with a copy of the result, which the work fills in. Negative errno. */
int aside_begin(struct aside *a, aside_work work, const char *path, void *result, size_t size);

/* 0: the result is there; -ETIMEDOUT: not yet, and it can be waited for again; -EIO: it has died.
 */
int aside_wait(struct aside *a, void *result, size_t size, int seconds);

/* For one that has begun. If it has not ended it is killed, and may live on until its call is
 * answered. */
void aside_end(struct aside *a);

#endif
