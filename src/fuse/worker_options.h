/* SPDX-License-Identifier: MIT */
/*
 * The worker's command line: what the supervisor says, not what an operator writes.
 */
#ifndef GM_FUSE_WORKER_OPTIONS_H
#define GM_FUSE_WORKER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guestmemfs/format.h"
#include "util/problem.h"

struct worker_region { /* "file:FD:NAME" */
	enum gm_region_kind kind;
	int fd;
	const char *name;
};

struct worker_options { /* the texts are argv's */
	const char *name;
	const char *mount_path;
	const char *grant_socket;
	const char *control_socket; /* where it is found, and its descriptor */
	int control;
	int table; /* the runtime table's descriptor */
	struct worker_region regions[GM_REGIONS_MAX];
	uint32_t region_count;
	bool trust_memory;
	uint64_t scrub_rate; /* bytes a second; 0: no limit */
	bool has_user;       /* whom it becomes once it has what it needs */
	uid_t user;
	gid_t group;
};

/* -EINVAL with a sentence. */
int worker_options_parse(
	struct worker_options *ret, int argc, char *const argv[], struct problem *why);

#endif
