/* SPDX-License-Identifier: MIT */
/* What fake_soft.c and fake_devices.c share. */
#ifndef GM_TESTS_FAKE_DEVICES_H
#define GM_TESTS_FAKE_DEVICES_H

#include "fake_soft.h"

/* NULL: there is none with this id. */
struct fake_device *fake_device_find(unsigned id);

/* Is a block of the range in a device? */
bool fake_device_is_taken(const struct soft_range *r);

/* Adds it to the table, with an id if it has none, and makes its file; or takes that away. */
struct fake_device *fake_device_insert(const struct fake_device *d);
void fake_device_remove_file(const struct fake_device *d);

const char *fake_device_path(char path[128], unsigned id);
uint64_t fake_device_blocks(const struct fake_device *d);

/* No process looks into /proc between these two. A helper that is killed in between leaves it to
 * the next one. Beside a rig of a file there is nothing to wait for. */
void fake_soft_begin_look(void);
void fake_soft_end_look(void);

#endif
