/* SPDX-License-Identifier: MIT */
/* What procscan.c and the files beside it share, and nobody else sees. */
#ifndef GM_REGION_PROCSCAN_INTERNAL_H
#define GM_REGION_PROCSCAN_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "region/procscan.h"

#define SCAN_BUFFER 65536U

struct scan {
	const struct scan_options *options;
	struct scan_result *result;
	bool must_see_all;
	bool seeks_devices;
	char *buffer; /* SCAN_BUFFER bytes */
	/* the process at hand */
	int process; /* its directory in /proc; borrowed */
	pid_t pid;
	uid_t uid;
};

/* ---- procscan.c ---- */

/* -ENOMEM. */
int scan_add(struct scan *s, const struct scan_use *use);

/*
 * The process, or this part of it, went away while we looked (then it reaches nothing, or other
 * parts of it show the same); or we were kept out, which the result tells. Negative errno where
 * the scan can't go on. error: positive.
 */
int scan_failed(struct scan *s, int error);

/* ---- procscan_task.c: what one task reaches; task: its directory in /proc ---- */

/* Sets *seen if there is an address space at all. */
int scan_maps(struct scan *s, int task, bool *seen);
int scan_descriptors(struct scan *s, int task);

/* The inode number that fdinfo tells of a descriptor; asks no file system. -ENODATA: none; -ENXIO:
 * nothing is open by it (O_PATH). */
int scan_fdinfo_ino(int task, const char *name, uint64_t *ret);

/* ---- procscan_ours.c ---- */

/* Whether the process at hand, whose directory this is, has the region by right. */
bool scan_is_ours(const struct scan *s, int process);

#endif
