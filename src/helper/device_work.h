/* SPDX-License-Identifier: MIT */
/*
 * What the background thread does with the devices of soft regions. Each step may take a tenth of a
 * second and more. A device is made and deleted, never bound twice; see region/soft_device.h.
 */
#ifndef GM_HELPER_DEVICE_WORK_H
#define GM_HELPER_DEVICE_WORK_H

#include <stdatomic.h>

#include "helper/device_list.h"
#include "helper/device_plan.h"
#include "helper/reuse.h"
#include "region/procscan.h"
#include "region/region.h"

/*
 * Makes the planned devices, learns from them, and adds them to *made, which must be empty. All or
 * nothing: if one fails, those that were made just now are removed again, which is safe since no
 * descriptor of theirs ever left.
 */
int device_work_make(const struct region *regions, const struct device_plan *plan,
	struct reuse *reuse, struct device_list *made, struct problem *why);

/* Lists the devices of all regions, and tells the regions of which some are lost
 * (soft_device_has_lost()), a bit each. *ret must be empty. */
int device_work_list(const struct region *regions, unsigned count, struct device_list *ret,
	uint32_t *lost, struct problem *why);

/*
 * Removes those of the devices that nobody has. Windows: if no process has one open or maps it;
 * sought is what a look into /proc has found, its targets numbered as the devices are. Others
 * (sought is NULL): if the counts show it (reuse.h). Those that somebody has, and what fails, are
 * logged and stay.
 */
void device_work_remove(const struct region *regions, const struct device_list *devices,
	const struct scan_result *sought, struct reuse *reuse);

/*
 * Zeroes [offset, offset + length) of a region: through those of the devices that are over it, if
 * they are still there, and the rest through a device of its own, which is gone again when this
 * returns. -ECANCELED if *stop came.
 */
int device_work_zero(const struct region *regions, unsigned region, uint64_t offset,
	uint64_t length, const struct device_list *devices, struct reuse *reuse,
	const atomic_bool *stop, struct problem *why);

#endif
