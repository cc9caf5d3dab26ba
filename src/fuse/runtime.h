/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory of an instance: /run/guestmemfs/NAME for root,
 * $XDG_RUNTIME_DIR/guestmemfs/NAME or /tmp/guestmemfs-UID/NAME for others. The sockets are in it.
 * Locked for as long as the instance lives.
 */
#ifndef GM_FUSE_RUNTIME_H
#define GM_FUSE_RUNTIME_H

#include "util/problem.h"

struct runtime {
	char *base;           /* of all of the user's instances (util/run_directory.h); owned */
	char *directory;      /* owned, as are the others */
	char *grant_socket;   /* where clients find the helper */
	char *control_socket; /* where the operator's command finds the worker */
	char *keeper_socket;  /* where the next supervisor finds the keeper */
	int lock;             /* the directory, opened and locked */
	int control;          /* that socket, listening; -1 */
	int grants;           /* the other ones, likewise */
	int keeper;
};

#define RUNTIME_NULL ((struct runtime){.lock = -1, .control = -1, .grants = -1, .keeper = -1})

/* Names it, and makes nothing. -ENAMETOOLONG with a sentence. */
int runtime_name(struct runtime *ret, const char *name, const char *socket, struct problem *why);

/*
 * Makes what is not there. socket: in place of NAME/grant.sock, or NULL. Sentences: another
 * instance has this name
 * (-EADDRINUSE), a directory on the way that isn't one, is another user's or writable for others
 * (-EPERM), a path too long for a socket (-ENAMETOOLONG).
 */
int runtime_make(struct runtime *ret, const char *name, const char *socket, struct problem *why);

/*
 * Makes the sockets. They outlive the worker and the helper that serve them, so that who connects
 * while there is none waits. Who is there already may be a predecessor's process that is ending: it
 * has two seconds for that. Sentences: a path is taken (-EADDRINUSE, -EEXIST) or can't be made.
 */
int runtime_listen(struct runtime *r, struct problem *why);

/* Removes what is in it, and it. */
void runtime_remove(struct runtime *r);
void runtime_deinit(struct runtime *r);

#endif
