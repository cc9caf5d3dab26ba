// SPDX-License-Identifier: MIT
#include "helper/device_list.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void device_list_deinit(struct device_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		soft_device_deinit(&l->at[i].soft);
	free(l->at);
	*l = DEVICE_LIST_NULL;
}

int device_list_reserve(struct device_list *l, size_t more)
{
	size_t room = l->count + more;

	if (room <= l->room)
		return 0;
	struct device *at = reallocarray(l->at, room, sizeof(*at));
	if (!at)
		return -ENOMEM;
	l->at = at;
	l->room = room;
	return 0;
}

void device_list_add(struct device_list *l, unsigned region, struct soft_device *soft)
{
	assert(l->count < l->room);
	l->at[l->count++] = (struct device){.region = region, .soft = *soft};
	*soft = SOFT_DEVICE_NULL;
}
