/* SPDX-License-Identifier: MIT */
/*
 * What the kernel's reference counts are of a device of a soft region that nobody reaches, as it
 * was read from devices that had just been made. It is never assumed, and what was learned goes
 * with the boot: kept in /run/guestmemfs/.idle-START.
 */
#ifndef GM_REGION_SOFT_IDLE_H
#define GM_REGION_SOFT_IDLE_H

#include <stdint.h>

#include "util/problem.h"

enum soft_idle_pages { SOFT_IDLE_2M, SOFT_IDLE_1G, SOFT_IDLE_PAGES };

struct soft_idle {
	uint32_t cdev;          /* of a device, whatever its pages */
	uint32_t cdev_readings; /* how often it was read; 0: not known */
	uint32_t page[SOFT_IDLE_PAGES];
	uint32_t page_readings[SOFT_IDLE_PAGES];
	uint32_t differed; /* not 0: devices that had just been made were not alike */
};

/* What is not there is all zero. Negative errno with a sentence. */
int soft_idle_load(struct soft_idle *ret, uint64_t region_start, struct problem *why);
int soft_idle_store(const struct soft_idle *idle, uint64_t region_start, struct problem *why);

#endif
