// SPDX-License-Identifier: MIT
/*
 * Making and removing devices of a soft region. What a crash can leave: a device without all of its
 * memory, or without a driver. It was never given to anybody, or was shown to be nobody's, and the
 * next one to hold the lock removes it; or retires it, if that was what it was about.
 */
#include "region/soft_device.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guestmemfs/types.h"
#include "region/region.h"
#include "region/soft_driver.h"
#include "region/soft_range.h"
#include "region/soft_region.h"
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

/* ---- a region under its lock ---- */

struct hold {
	struct soft_record record;
	struct soft_region region;
};

#define HOLD_NULL ((struct hold){.record = SOFT_RECORD_NULL, .region = SOFT_REGION_NULL})

static void hold_deinit(struct hold *h)
{
	soft_record_close(&h->record);
}

struct device_array {
	struct soft_device *at; /* owned */
	size_t count;
};

#define DEVICE_ARRAY_NULL ((struct device_array){.at = NULL})

static void device_array_deinit(struct device_array *a)
{
	soft_device_list_free(a->at, a->count);
	*a = DEVICE_ARRAY_NULL;
}

static int hold_read_all(const struct hold *h, struct device_array *ret, struct problem *why)
{
	return soft_region_scan(&h->region, &h->record, &ret->at, &ret->count, why);
}

static int hold_read(
	const struct hold *h, unsigned id, struct soft_device *ret, struct problem *why)
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

/* Of what is noted to be in work. Each step leaves something that the next holder of the lock goes
 * on with. */
static int take_away(const struct hold *h, const struct soft_work *w, struct problem *why)
{
	const struct dax_id d = {.region = h->region.id, .id = w->id};
	_cleanup_(soft_device_deinit) struct soft_device now = SOFT_DEVICE_NULL;
	char name[DAX_NAME];
	int r = hold_read(h, w->id, &now, why);

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

/*
 * Of what is noted to be in work, and to be retired. Each step leaves something that the next
 * holder of the lock goes on with: once it is unbound nobody can reach it any more; as long as it
 * is not, what was shown is not true for ever.
 */
static int retire(const struct hold *h, const struct soft_work *w, struct problem *why)
{
	const struct dax_id d = {.region = h->region.id, .id = w->id};
	_cleanup_(soft_device_deinit) struct soft_device now = SOFT_DEVICE_NULL;
	char name[DAX_NAME];
	int r = hold_read(h, w->id, &now, why);

	if (r == 0 && (!is_work(&now, w) || !now.retiring))
		return problem(why, EBUSY,
			"device %s is not what was made: somebody else has changed it",
			dax_name(name, d));
	if (r == 0)
		r = empty_device(d, &now, why);
	return r < 0 ? r : soft_record_end_retired(&h->record, w->id, w->instance, why);
}

/* Whoever made it died before he could note that it is ours. It is to be shown idle like any
 * other: its node may have let somebody in. */
static bool is_whole(const struct hold *h, const struct soft_device *d, const struct soft_work *w)
{
	return d->bound && !d->kmem && !d->retiring && d->identity != 0 &&
	       d->range_count == w->count && !soft_record_has_note(&h->record, d->id);
}

static int clear_one(const struct hold *h, const struct soft_device *d, const struct soft_work *w,
	struct problem *why)
{
	if (is_whole(h, d, w))
		return soft_record_set_ours(&h->record, d->id, d->identity, why);
	if (d->bound || (!d->retiring && soft_record_was_exported(&h->record, d->id)))
		return soft_record_set_retired(&h->record, d->id, 0, why);
	return d->retiring ? retire(h, w, why) : take_away(h, w, why);
}

/* Goes on with what a crash has left half done. One that is bound is whole. */
static int clear_work(
	const struct hold *h, const struct device_array *all, bool *removed, struct problem *why)
{
	_cleanup_(soft_work_deinit) struct soft_work w = SOFT_WORK_NULL;
	int r = soft_record_load(&h->record, &w, why);

	for (size_t i = 0; i < all->count && r == 0; i++)
		if (is_work(&all->at[i], &w)) {
			*removed = true;
			r = clear_one(h, &all->at[i], &w, why);
		}
	return r < 0 ? r : soft_record_end(&h->record, why);
}

/* Reads all devices, takes away what a crash has left, and forgets what is not there any more. */
static int clear_up(const struct hold *h, struct device_array *ret, struct problem *why)
{
	_cleanup_(device_array_deinit) struct device_array all = DEVICE_ARRAY_NULL;
	bool removed = false;
	int r = hold_read_all(h, &all, why);

	if (r == 0 && soft_record_was_busy(&h->record))
		r = clear_work(h, &all, &removed, why);
	if (r == 0 && removed) {
		device_array_deinit(&all);
		r = hold_read_all(h, &all, why);
	}
	if (r == 0)
		r = soft_record_forget_gone(&h->record, all.at, all.count, why);
	if (r < 0)
		return r;
	*ret = all;
	all = DEVICE_ARRAY_NULL;
	return 0;
}

/* Takes the lock. What a crash has left is there only if the last holder was in the middle of
 * something; all else costs the same, however many devices there are. */
static int hold_init(struct hold *h, uint64_t start, struct problem *why)
{
	_cleanup_(device_array_deinit) struct device_array all = DEVICE_ARRAY_NULL;
	int r = soft_record_open(&h->record, start, why);

	if (r == 0)
		r = soft_region_find(&h->region, start, why);
	if (r == 0 && soft_record_was_busy(&h->record))
		r = clear_up(h, &all, why);
	return r;
}

int soft_device_list(
	uint64_t region_start, struct soft_device **ret, size_t *count, struct problem *why)
{
	_cleanup_(hold_deinit) struct hold h = HOLD_NULL;
	_cleanup_(device_array_deinit) struct device_array all = DEVICE_ARRAY_NULL;
	int r = hold_init(&h, region_start, why);

	if (r == 0)
		r = clear_up(&h, &all, why);
	if (r < 0)
		return r;
	*ret = all.at;
	*count = all.count;
	all = DEVICE_ARRAY_NULL;
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
	const struct hold *h, const struct soft_device *d, bool exported, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device now = SOFT_DEVICE_NULL;
	char node[SOFT_DEVICE_NODE];
	int r = hold_read(h, d->id, &now, NULL);

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

static int check_removed(const struct hold *h, const struct soft_device *d, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];

	if (!dax_exists((struct dax_id){.region = h->region.id, .id = d->id}))
		return 0;
	return problem(
		why, EIO, "%s is still there after it was deleted", soft_device_node(node, d));
}

int soft_device_remove(uint64_t region_start, const struct soft_device *d, struct problem *why)
{
	_cleanup_(hold_deinit) struct hold h = HOLD_NULL;
	const struct soft_work w = {
		.instance = d->instance, .id = d->id, .ranges = d->ranges, .count = d->range_count};
	int r = hold_init(&h, region_start, why);

	if (r == 0)
		r = check_known(&h, d, false, why);
	if (r == 0)
		r = soft_record_begin(&h.record, &w, why);
	if (r == 0)
		r = take_away(&h, &w, why);
	if (r == 0)
		r = check_removed(&h, d, why);
	return r < 0 ? r : soft_record_end(&h.record, why);
}

/* The kernel takes some writes with success and does something else. */
static int check_retired(const struct hold *h, const struct soft_device *d, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device now = SOFT_DEVICE_NULL;
	char node[SOFT_DEVICE_NODE];
	int r = hold_read(h, d->id, &now, why);

	if (r < 0 || (now.retired && now.range_count == 0))
		return r;
	return problem(why, EIO, "%s still has %s after it was retired", soft_device_node(node, d),
		now.bound ? "a driver" : "memory");
}

int soft_device_retire(uint64_t region_start, const struct soft_device *d, struct problem *why)
{
	_cleanup_(hold_deinit) struct hold h = HOLD_NULL;
	const struct soft_work w = {
		.instance = d->instance, .id = d->id, .ranges = d->ranges, .count = d->range_count};
	int r = hold_init(&h, region_start, why);

	if (r == 0)
		r = check_known(&h, d, true, why);
	if (r == 0)
		r = soft_record_begin(&h.record, &w, why);
	if (r == 0)
		r = soft_record_set_retired(&h.record, d->id, d->instance, why);
	if (r == 0)
		r = retire(&h, &w, why);
	if (r == 0)
		r = check_retired(&h, d, why);
	return r < 0 ? r : soft_record_end(&h.record, why);
}

/* ---- making ---- */

/* What the numbers of a device are to be. */
struct wanted {
	struct soft_range *ranges; /* joined */
	size_t count;
	uint64_t align;
};

/* The kernel lets no two devices have the same block; who has it takes a look at all of them. */
static int name_owner(
	const struct hold *h, unsigned id, const struct wanted *w, int error, struct problem *why)
{
	_cleanup_(device_array_deinit) struct device_array all = DEVICE_ARRAY_NULL;
	char node[SOFT_DEVICE_NODE];
	uint64_t block = 0;
	int r = hold_read_all(h, &all, why);

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
	const struct hold *h, unsigned id, const struct wanted *w, struct problem *why)
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
static int check_numbers(const struct hold *h, unsigned id, const struct wanted *w, bool bound,
	struct soft_device *ret, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device d = SOFT_DEVICE_NULL;
	int r = hold_read(h, id, &d, why);

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
	const struct hold *h, unsigned id, const struct wanted *w, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device made = SOFT_DEVICE_NULL;
	int r = soft_record_forget(&h->record, id, why);

	if (r == 0)
		r = set_numbers(h, id, w, why);
	return r < 0 ? r : check_numbers(h, id, w, false, &made, why);
}

/* From the end of this on it is ours, whole. */
static int bind_device(const struct hold *h, unsigned id, const struct wanted *w,
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
static void unmake_device(const struct hold *h, const struct soft_work *work)
{
	if (take_away(h, work, NULL) == 0)
		(void)soft_record_end(&h->record, NULL);
}

static int make_device(
	const struct hold *h, const struct wanted *w, struct soft_device *ret, struct problem *why)
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
	_cleanup_(hold_deinit) struct hold h = HOLD_NULL;
	_cleanup_free_ struct soft_range *joined = calloc(range_count + 1, sizeof(*joined));
	int r = hold_init(&h, region_start, why);

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
