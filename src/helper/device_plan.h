/* SPDX-License-Identifier: MIT */
/*
 * Which devices an inode still needs, as arithmetic on its extents. Pure.
 *
 * Whole 1 GiB units go on a device with 1 GiB pages, all of one region on one device; the rest goes
 * on one with 2 MiB pages. A unit is 512 blocks that follow each other in the file and in memory
 * and begin at a multiple of 1 GiB in both: in memory because the kernel reaches foreign memory
 * otherwise, in the file because its mapping would not be aligned otherwise.
 */
#ifndef GM_HELPER_DEVICE_PLAN_H
#define GM_HELPER_DEVICE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "helper/cover.h"
#include "util/problem.h"

struct planned_device {
	unsigned region;
	uint64_t align;            /* GM_BLOCK_SIZE or GM_GROUP_SIZE */
	struct soft_range *ranges; /* in the order of the file; owned */
	size_t range_count;
	size_t range_room;
};

struct device_plan {
	struct planned_device devices[2 * GM_REGIONS_MAX];
	size_t count;
};

#define DEVICE_PLAN_NULL ((struct device_plan){.count = 0})

/*
 * Plans for the blocks of the extents that no device of `have` covers. start: of each region,
 * physical, bytes. With small_only all goes on 2 MiB pages. -ENOMEM.
 */
int device_plan_init(struct device_plan *p, const struct record_extent *extents, size_t count,
	const struct device_list *have, const uint64_t *start, bool small_only);
void device_plan_deinit(struct device_plan *p);

/*
 * Whether start (physical) and length of every range are multiples of the align: the kernel looks
 * at lengths only, and a device that is not would reach another one's memory. -EUCLEAN with a
 * sentence.
 */
int device_plan_check(const struct planned_device *d, uint64_t region_start, struct problem *why);

#endif
