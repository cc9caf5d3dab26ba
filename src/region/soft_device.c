// SPDX-License-Identifier: MIT
/*
 * Devices of a soft region: what they are, and how one is removed or retired. Making: soft_make.c.
 */
#include "region/soft_device.h"
#include "region/soft_hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "guestmemfs/types.h"
#include "region/soft_range.h"
#include "util/cleanup.h"

void soft_device_deinit(struct soft_device *d)
{
	free(d->ranges);
	*d = SOFT_DEVICE_NULL;
}

void soft_device_list_free(struct soft_device *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		soft_device_deinit(&list[i]);
	free(list);
}

const char *soft_device_node(char buffer[SOFT_DEVICE_NODE], const struct soft_device *d)
{
	(void)snprintf(buffer, SOFT_DEVICE_NODE, "/dev/dax%u.%u", d->region_id, d->id);
	return buffer;
}

bool soft_device_covers(
	const struct soft_device *d, const struct soft_range *ranges, size_t range_count)
{
	return d->size == soft_ranges_blocks(ranges, range_count) * GM_BLOCK_SIZE &&
	       soft_ranges_equal(d->ranges, d->range_count, ranges, range_count);
}

int soft_device_list(
	uint64_t region_start, struct soft_device **ret, size_t *count, struct problem *why)
{
	_cleanup_(soft_hold_deinit) struct soft_hold h = SOFT_HOLD_NULL;
	_cleanup_(soft_devices_deinit) struct soft_devices all = SOFT_DEVICES_NULL;
	int r = soft_hold_init(&h, region_start, why);

	if (r == 0)
		r = soft_hold_clear_up(&h, &all, why);
	if (r < 0)
		return r;
	*ret = all.at;
	*count = all.count;
	all = SOFT_DEVICES_NULL;
	return 0;
}

int soft_device_has_lost(uint64_t region_start, struct problem *why)
{
	_cleanup_(soft_record_close) struct soft_record record = SOFT_RECORD_NULL;
	int r = soft_record_open(&record, region_start, why);

	return r < 0 ? r : soft_record_has_lost(&record);
}

static bool is_same(const struct soft_device *a, const struct soft_device *b)
{
	return a->id == b->id && a->instance == b->instance && a->identity == b->identity &&
	       a->rdev == b->rdev && a->align == b->align &&
	       soft_device_covers(a, b->ranges, b->range_count);
}

/* Is it still what the caller knows, and ours? */
static int check_known(
	const struct soft_hold *h, const struct soft_device *d, bool exported, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device now = SOFT_DEVICE_NULL;
	char node[SOFT_DEVICE_NODE];
	int r = soft_hold_read(h, d->id, &now, NULL);

	soft_device_node(node, d);
	if (r < 0 || !is_same(&now, d))
		return problem(why, EBUSY,
			"%s is not the device any more that it was: somebody else has changed it",
			node);
	if (!now.ours)
		return problem(why, EPERM, "%s was not made by guestmemfs and is left alone", node);
	if (now.exported != exported)
		return problem(why, EBUSY,
			exported ? "%s was not exported, and need not stay"
				 : "%s was exported in this boot: somebody may have a copy of its "
				   "node, and it must stay",
			node);
	return 0;
}

static int check_removed(
	const struct soft_hold *h, const struct soft_device *d, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];

	if (dax_exists((struct dax_id){.region = h->region.id, .id = d->id}) == 0)
		return 0;
	return problem(
		why, EIO, "%s is still there after it was deleted", soft_device_node(node, d));
}

int soft_device_remove(uint64_t region_start, const struct soft_device *d, struct problem *why)
{
	_cleanup_(soft_hold_deinit) struct soft_hold h = SOFT_HOLD_NULL;
	const struct soft_work w = {
		.instance = d->instance, .id = d->id, .ranges = d->ranges, .count = d->range_count};
	int r = soft_hold_init(&h, region_start, why);

	if (r == 0)
		r = check_known(&h, d, false, why);
	if (r == 0)
		r = soft_record_begin(&h.record, &w, why);
	if (r == 0)
		r = soft_hold_take_away(&h, &w, why);
	if (r == 0)
		r = check_removed(&h, d, why);
	return r < 0 ? r : soft_record_end(&h.record, why);
}

/* The kernel takes some writes with success and does something else. */
static int check_retired(
	const struct soft_hold *h, const struct soft_device *d, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device now = SOFT_DEVICE_NULL;
	char node[SOFT_DEVICE_NODE];
	int r = soft_hold_read(h, d->id, &now, why);

	if (r < 0 || (now.retired && now.range_count == 0))
		return r;
	return problem(why, EIO, "%s still has %s after it was retired", soft_device_node(node, d),
		now.bound ? "a driver" : "memory");
}

int soft_device_retire(uint64_t region_start, const struct soft_device *d, struct problem *why)
{
	_cleanup_(soft_hold_deinit) struct soft_hold h = SOFT_HOLD_NULL;
	const struct soft_work w = {
		.instance = d->instance, .id = d->id, .ranges = d->ranges, .count = d->range_count};
	int r = soft_hold_init(&h, region_start, why);

	if (r == 0)
		r = check_known(&h, d, true, why);
	if (r == 0)
		r = soft_record_begin(&h.record, &w, why);
	if (r == 0)
		r = soft_record_set_retired(&h.record, d->id, d->instance, why);
	if (r == 0)
		r = soft_hold_retire(&h, &w, why);
	if (r == 0)
		r = check_retired(&h, d, why);
	return r < 0 ? r : soft_record_end(&h.record, why);
}
