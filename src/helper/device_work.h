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

/* Lists the devices of all regions. *ret must be empty. */
int device_work_list(
	const struct region *regions, unsigned count, struct device_list *ret, struct problem *why);

/*
 * Removes those of the devices that nobody has: a window, or one that is not bound, if no process
 * has it open or maps it; any other if the counts show it (reuse.h). The others, and what fails,
 * are logged and stay. scan says whose processes we are. Returns what the look into /proc returns.
 */
int device_work_remove(const struct region *regions, const struct device_list *devices,
	const struct scan_options *scan, struct reuse *reuse);

/*
 * Zeroes [offset, offset + length) of a region: through those of the devices that are over it, if
 * they are still there, and the rest through a device of its own, which is gone again when this
 * returns. -ECANCELED if *stop came.
 */
int device_work_zero(const struct region *regions, unsigned region, uint64_t offset,
	uint64_t length, const struct device_list *devices, struct reuse *reuse,
	const atomic_bool *stop, struct problem *why);

#endif
