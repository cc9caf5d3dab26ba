/* SPDX-License-Identifier: MIT */
/*
 * Makes the mount, as the supervisor does. libfuse does the work, so that its ways for root and for
 * plain users (fusermount3) are everybody's; the descriptor then goes to the worker.
 */
#ifndef GM_FUSE_MOUNT_H
#define GM_FUSE_MOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/problem.h"

struct fuse_session;

struct mount {
	struct fuse_session *session; /* NULL: not mounted */
	const char *path;             /* not owned; absolute and resolved */
	dev_t device;
};

#define MOUNT_NULL ((struct mount){.session = NULL})

struct mount_options {
	const char *path;
	const char *name;    /* shown as the source of the mount */
	const char *options; /* further ones, joined by commas, or "" */
	bool privileged;     /* root: for every user */
};

/* What a mount needs of this machine: /dev/fuse and, for plain users, fusermount3. -ENOENT, -EACCES
 * with a sentence. */
int mount_check_machine(bool privileged, struct problem *why);

/*
 * Mounts. *fd is the connection to the kernel, the caller's, and the only one: when it and its
 * copies are closed, the mount is dead.
 */
int mount_make(struct mount *ret, const struct mount_options *o, int *fd, struct problem *why);

/* Detaches the mount if it is still there. MOUNT_NULL is fine, and what *m is afterwards. */
void mount_end(struct mount *m);

#endif
