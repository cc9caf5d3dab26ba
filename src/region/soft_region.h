/* SPDX-License-Identifier: MIT */
/*
 * A soft region as libdaxctl shows it. The library remembers what it has read: what is to be read
 * anew needs a new struct soft_region.
 */
#ifndef GM_REGION_SOFT_REGION_H
#define GM_REGION_SOFT_REGION_H

#include <daxctl/libdaxctl.h>
#include <stddef.h>
#include <stdint.h>

#include "region/soft_device.h"
#include "region/soft_record.h"
#include "util/problem.h"

struct soft_region {
	struct daxctl_ctx *ctx; /* owned */
	struct daxctl_region *region;
	uint64_t start;  /* physical, bytes */
	uint64_t blocks; /* of 2 MiB */
};

#define SOFT_REGION_NULL ((struct soft_region){.ctx = NULL})

/*
 * The region that begins at start. Sentences: -ENODEV there is none, with those that there are;
 * -EACCES not root.
 */
int soft_region_find(struct soft_region *ret, uint64_t start, struct problem *why);

/* The only one. -ENODEV there is none; -EINVAL there are several, all of them named. */
int soft_region_find_only(struct soft_region *ret, struct problem *why);
void soft_region_deinit(struct soft_region *r);

/* How many there are; negative errno. */
int soft_region_count(struct problem *why);

/* The libdaxctl object of a device, NULL if there is none. */
struct daxctl_dev *soft_region_device(const struct soft_region *r, unsigned id);

/* As soft_device_list(), but changes nothing. record may be NULL: then none is known to be ours. */
int soft_region_scan(const struct soft_region *r, const struct soft_record *record,
	struct soft_device **ret, size_t *count, struct problem *why);

/* "0x100000000". Returns buffer. */
#define SOFT_REGION_NAME 32
const char *soft_region_name(char buffer[SOFT_REGION_NAME], uint64_t start);

#endif
