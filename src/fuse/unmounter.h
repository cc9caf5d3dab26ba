/* SPDX-License-Identifier: MIT */
/*
 * The one thing that the worker needs a privilege for after it has given them up: taking its mount
 * away when nobody else is left to do it. A process that the worker forks at its very start does it
 * on the worker's order. It knows one path, and touches what is mounted there only if it has the
 * device number that it is told. It ends with the worker.
 */
#ifndef GM_FUSE_UNMOUNTER_H
#define GM_FUSE_UNMOUNTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/problem.h"

struct unmounter {
	int fd; /* owned */
};

#define UNMOUNTER_NULL ((struct unmounter){.fd = -1})

/*
 * Forks: to be called while the process has one thread and nothing that must not be in two. title
 * is the caller's argv[0], by which ps(1) tells the two apart afterwards.
 */
int unmounter_start(struct unmounter *ret, const char *path, char *title, struct problem *why);

/* Ends the process too. */
void unmounter_deinit(struct unmounter *u);

/* As mountpoint_is_ours(); false also if nobody answers. */
bool unmounter_is_ours(const struct unmounter *u, dev_t device);

/* As mountpoint_detach(). */
int unmounter_detach(const struct unmounter *u, dev_t device, struct problem *why);

#endif
