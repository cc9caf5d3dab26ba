/* SPDX-License-Identifier: MIT */
/*
 * guestmemfs-helper as a function: main() takes the command line apart and calls this.
 */
#ifndef GM_HELPER_HELPER_H
#define GM_HELPER_HELPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "guestmemfs/format.h"
#include "proto/reuse.h"

struct helper_region {
	enum gm_region_kind kind;
	int fd;
	const char *name; /* for messages */
};

struct helper_options {
	int link_fd; /* to the supervisor */
	struct helper_region regions[GM_REGIONS_MAX];
	unsigned region_count;
	int listen_fd;               /* where clients connect */
	const char *notes_directory; /* region/ledger.h */
	bool has_trusted_group;
	gid_t trusted_group;
	enum reuse_policy reuse;
	const char *counts_program; /* absolute path of guestmemfs-counts */
};

/*
 * Serves until its link to the supervisor ends, of which the keeper has a copy. Takes over link_fd,
 * listen_fd and the regions' descriptors. Returns the exit status: 0 when both are gone, 1 when it
 * could not start or go on (then the next helper does); the sentence is on stderr and, before it
 * served, has also been sent to the supervisor (LINK_FAILED).
 */
int helper_run(const struct helper_options *options);

#endif
