// SPDX-License-Identifier: MIT
/*
 * Making devices of a soft region. Each step is read back: the kernel takes some orders with
 * success and does something else.
 */
#include "region/soft_hold.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestmemfs/types.h"
#include "region/soft_driver.h"
#include "region/soft_range.h"
#include "util/cleanup.h"

/* What the numbers of a device are to be. */
struct wanted {
	struct soft_range *ranges; /* joined */
	size_t count;
	uint64_t align;
};

/* The kernel lets no two devices have the same block; who has it takes a look at all of them. */
static int name_owner(const struct soft_hold *h, unsigned id, const struct wanted *w, int error,
	struct problem *why)
{
	_cleanup_(soft_devices_deinit) struct soft_devices all = SOFT_DEVICES_NULL;
	char node[SOFT_DEVICE_NODE];
	uint64_t block = 0;
	int r = soft_hold_read_all(h, &all, why);

	for (size_t i = 0; i < all.count && r == 0; i++) {
		const struct soft_device *d = &all.at[i];

		if (d->id == id ||
			!soft_ranges_meet(w->ranges, w->count, d->ranges, d->range_count, &block))
			continue;
		r = problem(why, EBUSY,
			"block %" PRIu64 " of the region at %#" PRIx64 " belongs to %s%s", block,
			h->region.start, soft_device_node(node, d),
			d->ours     ? ""
			: !d->bound ? ", which has no driver: remove it with daxctl if nobody has "
				      "its memory any more"
				    : ", which was not made by guestmemfs, or was changed since: "
				      "remove it with daxctl if it is not needed");
	}
	return r < 0 ? r
		     : problem_errno(why, -error,
			       "giving memory to device %u of the region at %#" PRIx64, id,
			       h->region.start);
}

static int set_numbers(
	const struct soft_hold *h, unsigned id, const struct wanted *w, struct problem *why)
{
	const struct dax_id d = {.region = h->region.id, .id = id};
	char text[64], name[DAX_NAME];

	(void)snprintf(text, sizeof(text), "%" PRIu64, w->align);
	int r = dax_put(d, "align", text);
	if (r < 0)
		return problem_errno(
			why, -r, "setting the page size of device %s", dax_name(name, d));
	for (size_t i = 0; i < w->count; i++) {
		uint64_t start = h->region.start + w->ranges[i].block * GM_BLOCK_SIZE;
		uint64_t end = start + w->ranges[i].count * GM_BLOCK_SIZE - 1;

		(void)snprintf(text, sizeof(text), "%" PRIx64 "-%" PRIx64, start, end);
		r = dax_put(d, "mapping", text);
		if (r < 0)
			return name_owner(h, id, w, r, why);
	}
	return 0;
}

/* The kernel takes some writes with success and does something else. *ret: if it is in order. */
static int check_numbers(const struct soft_hold *h, unsigned id, const struct wanted *w, bool bound,
	struct soft_device *ret, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device d = SOFT_DEVICE_NULL;
	int r = soft_hold_read(h, id, &d, why);

	if (r < 0)
		return r;
	if (d.identity == 0 || d.bound != bound || d.kmem || d.align != w->align ||
		!soft_device_covers(&d, w->ranges, w->count))
		return problem(why, EIO,
			"device %u of the region at %#" PRIx64
			" is not what it was made as (%s; align %" PRIu64 ", %" PRIu64
			" bytes in %zu ranges)",
			id, h->region.start,
			d.kmem    ? "taken by kmem"
			: d.bound ? "bound"
				  : "not bound",
			d.align, d.size, d.range_count);
	*ret = d;
	d = SOFT_DEVICE_NULL;
	return 0;
}

static int make_numbers(
	const struct soft_hold *h, unsigned id, const struct wanted *w, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device made = SOFT_DEVICE_NULL;
	int r = soft_record_forget(&h->record, id, why);

	if (r == 0)
		r = set_numbers(h, id, w, why);
	return r < 0 ? r : check_numbers(h, id, w, false, &made, why);
}

/* From the end of this on it is ours, whole. */
static int bind_device(const struct soft_hold *h, unsigned id, const struct wanted *w,
	struct soft_device *ret, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device made = SOFT_DEVICE_NULL;
	char node[SOFT_DEVICE_NODE];
	int r = soft_driver_bind((struct dax_id){.region = h->region.id, .id = id}, why);

	if (r == 0)
		r = check_numbers(h, id, w, true, &made, why);
	if (r == 0)
		r = soft_record_set_ours(&h->record, id, made.identity, why);
	if (r < 0)
		return r;
	made.ours = true;
	/* The name was another device's before, perhaps: its node may have kept an owner by rules
	 * of udev. */
	r = soft_device_set_owner(&made, 0, 0, 0600);
	if (r < 0)
		return problem_errno(why, -r, "making %s root's", soft_device_node(node, &made));
	*ret = made;
	made = SOFT_DEVICE_NULL;
	return 0;
}

/* What can't be taken away now is taken away by the next holder of the lock. */
static void unmake_device(const struct soft_hold *h, const struct soft_work *work)
{
	if (soft_hold_take_away(h, work, NULL) == 0)
		(void)soft_record_end(&h->record, NULL);
}

static int make_device(const struct soft_hold *h, const struct wanted *w, struct soft_device *ret,
	struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device made = SOFT_DEVICE_NULL;
	struct soft_work work = {.ranges = w->ranges, .count = w->count};
	int r = soft_region_add(&h->region, &work.id, &work.instance, why);

	if (r < 0)
		return r;
	r = soft_record_begin(&h->record, &work, why);
	if (r == 0)
		r = make_numbers(h, work.id, w, why);
	if (r == 0)
		r = bind_device(h, work.id, w, &made, why);
	if (r < 0) {
		unmake_device(h, &work);
		return r;
	}
	r = soft_record_end(&h->record, why);
	if (r < 0)
		return r;
	*ret = made;
	made = SOFT_DEVICE_NULL;
	return 0;
}

int soft_device_create(uint64_t region_start, const struct soft_range *ranges, size_t range_count,
	uint64_t align, struct soft_device *ret, struct problem *why)
{
	_cleanup_(soft_hold_deinit) struct soft_hold h = SOFT_HOLD_NULL;
	_cleanup_free_ struct soft_range *joined = calloc(range_count + 1, sizeof(*joined));
	int r = soft_hold_init(&h, region_start, why);

	if (r < 0)
		return r;
	if (!joined)
		return problem_errno(why, ENOMEM, "making a device");
	memcpy(joined, ranges, range_count * sizeof(*joined));
	const struct wanted w = {
		.ranges = joined, .count = soft_ranges_join(joined, range_count), .align = align};
	r = soft_ranges_check(w.ranges, w.count, region_start, h.region.blocks, align, why);
	return r < 0 ? r : make_device(&h, &w, ret, why);
}
