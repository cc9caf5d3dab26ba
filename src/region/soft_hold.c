// SPDX-License-Identifier: MIT
#include "region/soft_hold.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "region/soft_driver.h"
#include "region/soft_range.h"
#include "util/cleanup.h"

#define LOOKS_MAX 16U

void soft_hold_deinit(struct soft_hold *h)
{
	soft_record_close(&h->record);
}

void soft_devices_deinit(struct soft_devices *a)
{
	soft_device_list_free(a->at, a->count);
	*a = SOFT_DEVICES_NULL;
}

int soft_hold_read_all(const struct soft_hold *h, struct soft_devices *ret, struct problem *why)
{
	return soft_region_scan(&h->region, &h->record, &ret->at, &ret->count, why);
}

int soft_hold_read(
	const struct soft_hold *h, unsigned id, struct soft_device *ret, struct problem *why)
{
	return soft_region_read(&h->region, &h->record, id, ret, why);
}

/* ---- taking away ---- */

/* The kernel takes orders by name. */
static int check_instance(const struct dax_id d, uint64_t instance, struct problem *why)
{
	uint64_t now = 0;
	char name[DAX_NAME];

	if (dax_get_instance(d, &now) == 0 && now == instance)
		return 0;
	return problem(why, EBUSY,
		"device %s is gone, or another one has its name: somebody else is changing the "
		"devices of its region",
		dax_name(name, d));
}

static int empty_device(const struct dax_id d, const struct soft_device *now, struct problem *why)
{
	char name[DAX_NAME];
	int r = now->bound ? dax_unbind(d) : 0;

	if (r < 0)
		return problem_errno(why, -r, "unbinding device %s", dax_name(name, d));
	r = check_instance(d, now->instance, why);
	if (r < 0 || now->size == 0)
		return r;
	r = dax_put(d, "size", "0");
	return r < 0 ? problem_errno(why, -r, "emptying device %s", dax_name(name, d)) : 0;
}

/* Has it no memory but what we gave it? */
static bool is_part_of(const struct soft_device *d, const struct soft_work *w)
{
	return d->range_count <= w->count &&
	       soft_ranges_equal(d->ranges, d->range_count, w->ranges, d->range_count);
}

static bool is_work(const struct soft_device *d, const struct soft_work *w)
{
	return d->id == w->id && d->instance == w->instance && !d->seed && is_part_of(d, w);
}

int soft_hold_take_away(const struct soft_hold *h, const struct soft_work *w, struct problem *why)
{
	const struct dax_id d = {.region = h->region.id, .id = w->id};
	_cleanup_(soft_device_deinit) struct soft_device now = SOFT_DEVICE_NULL;
	char name[DAX_NAME];
	int r = soft_hold_read(h, w->id, &now, why);

	assert(w->id != 0);
	if (r == 0 &&
		(!is_work(&now, w) || soft_record_was_exported(&h->record, w->id) || now.retiring))
		return problem(why, EBUSY,
			"device %s is not what was made: somebody else has changed it",
			dax_name(name, d));
	if (r == 0)
		r = empty_device(d, &now, why);
	if (r == 0)
		r = soft_record_set_ours(&h->record, w->id, 0, why);
	if (r == 0)
		r = check_instance(d, w->instance, why);
	if (r < 0)
		return r;
	r = dax_region_delete(h->region.path, d);
	if (r < 0)
		return problem_errno(why, -r, "deleting device %u of the region at %#" PRIx64,
			w->id, h->region.start);
	return 0;
}

int soft_hold_retire(const struct soft_hold *h, const struct soft_work *w, struct problem *why)
{
	const struct dax_id d = {.region = h->region.id, .id = w->id};
	_cleanup_(soft_device_deinit) struct soft_device now = SOFT_DEVICE_NULL;
	char name[DAX_NAME];
	int r = soft_hold_read(h, w->id, &now, why);

	if (r == 0 && (!is_work(&now, w) || !now.retiring))
		return problem(why, EBUSY,
			"device %s is not what was made: somebody else has changed it",
			dax_name(name, d));
	if (r == 0)
		r = empty_device(d, &now, why);
	return r < 0 ? r : soft_record_end_retired(&h->record, w->id, w->instance, why);
}

/* ---- what a crash has left ---- */

/* Whoever made it died before he could note that it is ours. It is to be shown idle like any
 * other: its node may have let somebody in. */
static bool is_whole(
	const struct soft_hold *h, const struct soft_device *d, const struct soft_work *w)
{
	return d->bound && !d->kmem && !d->retiring && d->identity != 0 &&
	       d->range_count == w->count && !soft_record_has_note(&h->record, d->id);
}

static int clear_one(const struct soft_hold *h, const struct soft_device *d,
	const struct soft_work *w, struct problem *why)
{
	if (is_whole(h, d, w))
		return soft_record_set_ours(&h->record, d->id, d->identity, why);
	if (d->bound || (!d->retiring && soft_record_was_exported(&h->record, d->id)))
		return soft_record_set_retired(&h->record, d->id, 0, why);
	return d->retiring ? soft_hold_retire(h, w, why) : soft_hold_take_away(h, w, why);
}

/* Goes on with what a crash has left half done. One that is bound is whole. */
static int clear_work(const struct soft_hold *h, struct problem *why)
{
	_cleanup_(soft_work_deinit) struct soft_work w = SOFT_WORK_NULL;
	_cleanup_(soft_device_deinit) struct soft_device now = SOFT_DEVICE_NULL;
	int r = soft_record_load(&h->record, &w, why);

	if (r == 0)
		r = soft_region_look(&h->region, &h->record, w.id, &now, why);
	if (r > 0)
		r = is_work(&now, &w) ? clear_one(h, &now, &w, why) : 0;
	return r < 0 ? r : soft_record_end(&h->record, why);
}

/* Until none of ours is missing (dir_names.h). */
static int read_whole(const struct soft_hold *h, struct soft_devices *all, struct problem *why)
{
	for (unsigned looks = 0; looks < LOOKS_MAX; looks++) {
		soft_devices_deinit(all);
		int r = soft_hold_read_all(h, all, why);

		if (r == 0)
			r = soft_record_forget_gone(
				&h->record, h->region.id, all->at, all->count, why);
		if (r <= 0)
			return r;
	}
	return problem(why, EAGAIN,
		"others are changing the devices of the region at %#" PRIx64
		", and not all of ours can be seen: try again when they have done",
		h->region.start);
}

int soft_hold_clear_up(const struct soft_hold *h, struct soft_devices *ret, struct problem *why)
{
	_cleanup_(soft_devices_deinit) struct soft_devices all = SOFT_DEVICES_NULL;
	int r = soft_record_was_busy(&h->record) ? clear_work(h, why) : 0;

	if (r == 0)
		r = read_whole(h, &all, why);
	if (r < 0)
		return r;
	*ret = all;
	all = SOFT_DEVICES_NULL;
	return 0;
}

int soft_hold_init(struct soft_hold *h, uint64_t start, struct problem *why)
{
	_cleanup_(soft_devices_deinit) struct soft_devices all = SOFT_DEVICES_NULL;
	int r = soft_record_open(&h->record, start, why);

	if (r == 0)
		r = soft_region_find(&h->region, start, why);
	if (r == 0 && soft_record_was_busy(&h->record))
		r = soft_hold_clear_up(h, &all, why);
	return r;
}
