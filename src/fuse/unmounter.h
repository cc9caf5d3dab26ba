/* SPDX-License-Identifier: MIT */
/*
 * The one thing that the worker needs a privilege for after it has given them up: taking its mount
 * away when nobody else is left to do it. A process that the worker forks at its very start does it
 * on the worker's order. It knows one path, and touches what is mounted there only if it has the
 * device number that it is told. It ends with the worker, and takes the runtime directory away then
 * if it was told to: nobody else is left for that either.
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

struct unmounter_paths { /* borrowed for as long as it lives */
	const char *mount;
	const char *control_socket; /* in the runtime directory, as the keeper's */
	const char *grant_socket;
};

/*
 * Forks: to be called while the process has one thread and nothing that must not be in two. title
 * is the caller's argv[0], by which ps(1) tells the two apart afterwards.
 */
int unmounter_start(struct unmounter *ret, const struct unmounter_paths *paths, char *title,
	struct problem *why);

/* Ends the process too. */
void unmounter_deinit(struct unmounter *u);

/* As mountpoint_is_ours(); false also if nobody answers. */
bool unmounter_is_ours(const struct unmounter *u, dev_t device);

/* When the process ends, and no instance has the runtime directory locked any more, that is taken
 * away with its sockets. Negative errno. */
int unmounter_tidy(const struct unmounter *u);

/* As mountpoint_detach(). */
int unmounter_detach(const struct unmounter *u, dev_t device, struct problem *why);

#endif
