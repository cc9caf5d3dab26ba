/* SPDX-License-Identifier: MIT */
/*
 * Devices of soft regions, each with the region of the pool that it is cut from. A list owns its
 * devices; it knows nothing of inodes.
 */
#ifndef GM_HELPER_DEVICE_LIST_H
#define GM_HELPER_DEVICE_LIST_H

#include <stddef.h>

#include "region/soft_device.h"
#include "region/soft_user.h"

struct device {
	unsigned region; /* index into the pool's regions */
	struct soft_device soft;
	struct soft_user user; /* as it is noted */
};

struct device_list {
	struct device *at;
	size_t count;
	size_t room;
};

#define DEVICE_LIST_NULL ((struct device_list){.at = NULL})

void device_list_deinit(struct device_list *l);

/* Makes room, so that the next `more` device_list_add() can't fail. -ENOMEM. */
int device_list_reserve(struct device_list *l, size_t more);

/* Takes what *soft owns; *soft is null afterwards. There must be room. Returns it as it is in the
 * list; whose it was is not known. */
struct device *device_list_add(struct device_list *l, unsigned region, struct soft_device *soft);

/* The order of the others stays. */
void device_list_remove(struct device_list *l, size_t i);

/* A copy of its own of everything in `from`. *ret must be empty. -ENOMEM. */
int device_list_copy(struct device_list *ret, const struct device_list *from);

#endif
