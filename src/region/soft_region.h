/* SPDX-License-Identifier: MIT */
/*
 * A soft region and its devices as the kernel shows them now. Finding a region takes the names of
 * all devices; only soft_region_scan() reads them.
 */
#ifndef GM_REGION_SOFT_REGION_H
#define GM_REGION_SOFT_REGION_H

#include <stddef.h>
#include <stdint.h>

#include "region/dax_sysfs.h"
#include "region/soft_device.h"
#include "region/soft_record.h"
#include "util/problem.h"

struct soft_region {
	unsigned id;         /* of its devices: dax<id>.<n> */
	char path[DAX_PATH]; /* in sysfs */
	uint64_t start;      /* physical, bytes */
	uint64_t blocks;     /* of 2 MiB */
};

#define SOFT_REGION_NULL ((struct soft_region){.blocks = 0})

/*
 * The region that begins at start. Sentences: -ENODEV there is none, with those that there are;
 * -EACCES not root.
 */
int soft_region_find(struct soft_region *ret, uint64_t start, struct problem *why);

/* The only one. -ENODEV there is none; -EINVAL there are several, all of them named. */
int soft_region_find_only(struct soft_region *ret, struct problem *why);

/* How many there are; negative errno. */
int soft_region_count(struct problem *why);

/*
 * Makes a device without memory and says which one it is (instance: dax_sysfs.h). -EBUSY devices
 * have come or gone meanwhile: which one is ours is not known then.
 */
int soft_region_add(
	const struct soft_region *r, unsigned *id, uint64_t *instance, struct problem *why);

/* What one device is; -ENOENT: there is none with this id. record: as below. */
int soft_region_read(const struct soft_region *r, const struct soft_record *record, unsigned id,
	struct soft_device *ret, struct problem *why);

/* The same, with patience for what changes just then (dax_wait_passing()): 1; 0 there is none. */
int soft_region_look(const struct soft_region *r, const struct soft_record *record, unsigned id,
	struct soft_device *ret, struct problem *why);

/* As soft_device_list(), but changes nothing. record may be NULL: then none is known to be ours. */
int soft_region_scan(const struct soft_region *r, const struct soft_record *record,
	struct soft_device **ret, size_t *count, struct problem *why);

/* "0x100000000". Returns buffer. */
#define SOFT_REGION_NAME 32
const char *soft_region_name(char buffer[SOFT_REGION_NAME], uint64_t start);

#endif
