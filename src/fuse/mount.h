/* SPDX-License-Identifier: MIT */
/*
 * Makes the mount, as the supervisor does. libfuse does the work, so that its ways for root and for
 * plain users (fusermount3) are everybody's. The connection is kept here, so that it outlives each
 * worker that serves it.
 */
#ifndef GM_FUSE_MOUNT_H
#define GM_FUSE_MOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/problem.h"

struct mount {
	int fd;           /* the connection to the kernel; owned; -1: not mounted */
	const char *path; /* not owned; absolute and resolved */
	dev_t device;
};

#define MOUNT_NULL ((struct mount){.fd = -1})

struct mount_options {
	const char *path;
	const char *name;    /* shown as the source of the mount */
	const char *options; /* further ones, joined by commas, or "" */
	bool privileged;     /* root: for every user */
};

/* What a mount needs of this machine: /dev/fuse and, for plain users, fusermount3. -ENOENT, -EACCES
 * with a sentence. */
int mount_check_machine(bool privileged, struct problem *why);

/* Mounts. When ret->fd and its copies are closed, the mount is dead. */
int mount_make(struct mount *ret, const struct mount_options *o, struct problem *why);

/* False if the connection has ended: the mount is gone, or somebody has aborted it. */
bool mount_is_alive(const struct mount *m);

/* Detaches the mount if it is still there, and closes the connection: nobody waits for an answer
 * any more. MOUNT_NULL is fine, and what *m is afterwards. */
void mount_end(struct mount *m);

#endif
