// SPDX-License-Identifier: MIT
#include "helper/device_list.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

struct device *device_list_add(struct device_list *l, unsigned region, struct soft_device *soft)
{
	struct device *added = &l->at[l->count];

	assert(l->count < l->room);
	l->count++;
	*added = (struct device){.region = region, .soft = *soft};
	*soft = SOFT_DEVICE_NULL;
	return added;
}

void device_list_remove(struct device_list *l, size_t i)
{
	assert(i < l->count);
	soft_device_deinit(&l->at[i].soft);
	l->count--;
	memmove(&l->at[i], &l->at[i + 1], (l->count - i) * sizeof(*l->at));
}

int device_list_copy(struct device_list *ret, const struct device_list *from)
{
	if (device_list_reserve(ret, from->count) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < from->count; i++) {
		struct soft_device soft = from->at[i].soft;
		soft.ranges = calloc(soft.range_count + 1, sizeof(*soft.ranges));
		if (!soft.ranges) {
			device_list_deinit(ret);
			return -ENOMEM;
		}
		if (soft.range_count > 0)
			memcpy(soft.ranges, from->at[i].soft.ranges,
				soft.range_count * sizeof(*soft.ranges));
		device_list_add(ret, from->at[i].region, &soft)->user = from->at[i].user;
	}
	return 0;
}
