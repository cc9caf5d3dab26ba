/* SPDX-License-Identifier: MIT */
/* Binding a device of a soft region to device_dax, whose module may have to be loaded first. */
#ifndef GM_REGION_SOFT_DRIVER_H
#define GM_REGION_SOFT_DRIVER_H

#include "region/dax_sysfs.h"
#include "util/problem.h"

/* Negative errno with a sentence. */
int soft_driver_bind(struct dax_id d, struct problem *why);

#endif
