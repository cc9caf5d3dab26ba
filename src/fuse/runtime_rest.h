/* SPDX-License-Identifier: MIT */
/*
 * What an instance leaves of its runtime directory (runtime.h) when it ends without a supervisor:
 * sockets where nobody listens. Whoever lives longest takes it away, under the directory's lock, so
 * that it is never the next instance's.
 */
#ifndef GM_FUSE_RUNTIME_REST_H
#define GM_FUSE_RUNTIME_REST_H

#include <stdbool.h>

struct runtime_rest {
	int directory; /* owned; -1: there is nothing to remove */
	char *path;    /* of it; owned, as are the others */
	char *keeper;
	char *control;
	char *grants;
};

#define RUNTIME_REST_NULL ((struct runtime_rest){.directory = -1})

/* Which it is. control: the path of that socket, which is in the directory; grants: of the clients'
 * one, wherever it is. 0 or negative errno. */
int runtime_rest_open(struct runtime_rest *ret, const char *control, const char *grants);

/* Waits up to 10 s for those who have it locked. One that was replaced meanwhile stays. */
void runtime_rest_remove(const struct runtime_rest *r);

void runtime_rest_close(struct runtime_rest *r);

/* True if fd is still what is at the path. */
bool runtime_is_at(int fd, const char *path);

/* What is there and is no socket is not ours to remove. */
void runtime_remove_socket(const char *path);

#endif
