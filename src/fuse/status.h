/* SPDX-License-Identifier: MIT */
/*
 * What the worker tells the operator's command, as JSON. docs/protocol.md describes every key.
 */
#ifndef GM_FUSE_STATUS_H
#define GM_FUSE_STATUS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse/namespace.h"
#include "pool/pool.h"
#include "proto/link.h"

struct json_object;

struct status { /* what it is all about; nothing is owned */
	const char *name;
	const char *mount_path;
	const struct pool *pool;
	const struct namespace *ns;
	const struct grants *grants;
	pid_t supervisor_pid; /* 0: none at the moment; these too */
	pid_t keeper_pid;
	pid_t helper_pid;
};

/* These give NULL when out of memory; else json_object_put() takes what they give. */
struct json_object *status_make(
	const struct status *s, const struct link_holder *holders, size_t count, bool whole);
struct json_object *status_make_token(const struct status *s);
struct json_object *status_make_node(const char *node);
struct json_object *status_make_files(const struct status *s);
struct json_object *status_make_extents(const struct status *s, const struct inode *inode);

#endif
