// SPDX-License-Identifier: MIT
#include "region/soft_region.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guestmemfs/types.h"
#include "region/soft_range.h"
#include "util/cleanup.h"

const char *soft_region_name(char buffer[SOFT_REGION_NAME], uint64_t start)
{
	(void)snprintf(buffer, SOFT_REGION_NAME, "%#" PRIx64, start);
	return buffer;
}

/* ---- regions ---- */

struct dax_all {
	struct dax_id *ids; /* owned */
	size_t count;
};

#define DAX_ALL_NULL ((struct dax_all){.ids = NULL})

static void dax_all_deinit(struct dax_all *all)
{
	free(all->ids);
	*all = DAX_ALL_NULL;
}

typedef int dax_list_fn(struct dax_id **ret, size_t *count);

static int dax_all_init(struct dax_all *all, dax_list_fn *list, struct problem *why)
{
	int r = list(&all->ids, &all->count);

	return r < 0 ? problem_errno(why, -r, "listing the host's dax devices") : 0;
}

/* A region that can be cut has a file to cut it with; the regions of namespaces have none. */
static bool region_is_soft(const char *path)
{
	char create[DAX_PATH + 16];

	(void)snprintf(create, sizeof(create), "%s/create", path);
	return access(create, F_OK) == 0;
}

/* An empty device shows where its region begins; the memory that it is given meanwhile is
 * elsewhere. */
static bool device_find_start(struct dax_id d, uint64_t *ret)
{
	uint64_t size = 0, start = 0;

	if (dax_get(d, "size", &size) < 0 || size != 0)
		return false;
	if (dax_get(d, "resource", &start) < 0 || dax_get(d, "size", &size) < 0 || size != 0)
		return false;
	*ret = start;
	return true;
}

/*
 * The kernel shows no region's start, but an empty device shows it as its own. The first device,
 * which is always there, is either empty or, as the kernel has made it, from the start on.
 */
static bool region_find_start(const struct dax_all *all, unsigned id, uint64_t *ret)
{
	const struct dax_id first = {.region = id, .id = 0};

	if (device_find_start(first, ret))
		return true;
	for (size_t i = 0; i < all->count; i++)
		if (all->ids[i].region == id && device_find_start(all->ids[i], ret))
			return true;
	return dax_get(first, "resource", ret) == 0;
}

/* Takes what is found; false if it is no soft region or does not say where it is. */
static bool region_describe(struct soft_region *ret, const struct dax_all *all, unsigned id)
{
	struct soft_region r = {.id = id};
	uint64_t size = 0;

	if (dax_region_path(r.path, (struct dax_id){.region = id, .id = 0}) < 0 ||
		!region_is_soft(r.path) || dax_region_get(r.path, "size", &size) < 0 ||
		!region_find_start(all, id, &r.start) || r.start % GM_BLOCK_SIZE != 0 ||
		size % GM_BLOCK_SIZE != 0 || size < 2 * GM_BLOCK_SIZE)
		return false;
	r.blocks = size / GM_BLOCK_SIZE;
	*ret = r;
	return true;
}

struct region_search {
	const uint64_t *start; /* NULL: any */
	struct soft_region found;
	unsigned matches;
	unsigned all;
	char list[256]; /* "0x100000000, 0x900000000" */
};

static void region_consider(struct region_search *s, const struct soft_region *one)
{
	size_t length = strlen(s->list);

	(void)snprintf(s->list + length, sizeof(s->list) - length, "%s%#" PRIx64,
		s->all++ ? ", " : "", one->start);
	if (s->start && one->start != *s->start)
		return;
	s->found = *one;
	s->matches++;
}

static int region_search(struct region_search *s, dax_list_fn *list, struct problem *why)
{
	_cleanup_(dax_all_deinit) struct dax_all all = DAX_ALL_NULL;
	struct soft_region one = SOFT_REGION_NULL;

	if (geteuid() != 0)
		return problem(why, EACCES, "only root can use soft-reserved memory");
	int r = dax_all_init(&all, list, why);
	for (size_t i = 0; r == 0 && i < all.count; i++)
		if (all.ids[i].id == 0 && region_describe(&one, &all, all.ids[i].region))
			region_consider(s, &one);
	return r;
}

static int region_search_result(
	const struct region_search *s, struct soft_region *ret, struct problem *why)
{
	if (s->matches == 1) {
		*ret = s->found;
		return 0;
	}
	if (s->matches > 1)
		return problem(why, EINVAL,
			"there are several soft-reserved regions: name those to be used, each as "
			"in --region soft:START (%s)",
			s->list);
	if (s->start && s->all)
		return problem(why, ENODEV,
			"there is no soft-reserved region at %#" PRIx64 ", but at %s", *s->start,
			s->list);
	return problem(why, ENODEV,
		"there is no soft-reserved memory on this host: it takes "
		"memmap=SIZE!START,SIZE%%START-12+0xefffffff dax_hmem.region_idle=1 on the "
		"kernel's command line and the module dax_hmem (docs/boot.md)");
}

static int region_find(struct soft_region *ret, const uint64_t *start, struct problem *why)
{
	struct region_search s = {.start = start, .found = SOFT_REGION_NULL};
	int r = region_search(&s, dax_list, why);

	return r < 0 ? r : region_search_result(&s, ret, why);
}

/* At each work on a device: so it is looked for at once, and thoroughly only if it is not seen. */
int soft_region_find(struct soft_region *ret, uint64_t start, struct problem *why)
{
	struct region_search s = {.start = &start, .found = SOFT_REGION_NULL};
	int r = region_search(&s, dax_list_once, why);

	if (r < 0)
		return r;
	return s.matches == 1 ? region_search_result(&s, ret, why) : region_find(ret, &start, why);
}

int soft_region_find_only(struct soft_region *ret, struct problem *why)
{
	return region_find(ret, NULL, why);
}

int soft_region_count(struct problem *why)
{
	struct region_search s = {.found = SOFT_REGION_NULL};
	int r = region_search(&s, dax_list, why);

	return r < 0 ? r : (int)s.all;
}

/* ---- a new device ---- */

static bool has(const struct dax_all *all, struct dax_id d)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->ids[i].region == d.region && all->ids[i].id == d.id)
			return true;
	return false;
}

/* Is made all that has come or gone in the region? */
static bool is_all_that_changed(
	const struct dax_all *before, const struct dax_all *after, struct dax_id made)
{
	if (has(before, made) || !has(after, made))
		return false;
	for (size_t i = 0; i < before->count; i++)
		if (before->ids[i].region == made.region && !has(after, before->ids[i]))
			return false;
	for (size_t i = 0; i < after->count; i++) {
		const struct dax_id d = after->ids[i];

		if (d.region == made.region && d.id != made.id && !has(before, d))
			return false;
	}
	return true;
}

/*
 * The kernel names the last one that was made, which may be somebody else's by then. If we die in
 * here, or can't tell, an empty device stays: it is in nobody's way, and it might be theirs.
 */
int soft_region_add(
	const struct soft_region *r, unsigned *id, uint64_t *instance, struct problem *why)
{
	_cleanup_(dax_all_deinit) struct dax_all before = DAX_ALL_NULL, after = DAX_ALL_NULL;
	struct dax_id made = {.id = 0};
	uint64_t found = 0;
	int e = dax_all_init(&before, dax_list, why);

	if (e < 0)
		return e;
	e = dax_region_create(r->path, &made);
	if (e == 0)
		e = dax_get_instance(made, &found);
	if (e < 0)
		return problem_errno(
			why, -e, "making a device in the region at %#" PRIx64, r->start);
	e = dax_all_init(&after, dax_list, why);
	if (e < 0)
		return e;
	if (made.region != r->id || !is_all_that_changed(&before, &after, made))
		return problem(why, EBUSY,
			"devices have come or gone while one was made in the region at %#" PRIx64
			": somebody else is changing them",
			r->start);
	*id = made.id;
	*instance = found;
	return 0;
}

/* ---- devices ---- */

static int device_read_ranges(
	struct soft_device *d, const struct soft_region *r, struct problem *why)
{
	_cleanup_free_ struct dax_mapping *list = NULL;
	uint64_t end = r->start + r->blocks * GM_BLOCK_SIZE;
	size_t n = 0;
	int e = dax_get_mappings((struct dax_id){r->id, d->id}, &list, &n);

	if (e < 0)
		return problem_errno(why, -e, "reading the ranges of dax%u.%u", r->id, d->id);
	d->ranges = calloc(n ? n : 1, sizeof(*d->ranges));
	if (!d->ranges)
		return problem_errno(why, ENOMEM, "reading a device's ranges");
	for (size_t i = 0; i < n; i++) {
		if (list[i].start < r->start || list[i].end > end || list[i].end <= list[i].start)
			return problem(why, EIO,
				"device dax%u.%u has a range (%#" PRIx64 "-%#" PRIx64
				") that is not in its region",
				r->id, d->id, list[i].start, list[i].end - 1);
		uint64_t first = (list[i].start - r->start) / GM_BLOCK_SIZE;
		uint64_t last = (list[i].end - 1 - r->start) / GM_BLOCK_SIZE;
		d->ranges[i] =
			(struct soft_range){.block = first, .count = (uint32_t)(last - first + 1)};
	}
	d->range_count = soft_ranges_join(d->ranges, n);
	return 0;
}

static int device_read_numbers(
	struct soft_device *d, const struct soft_region *r, struct problem *why)
{
	struct dax_id name = {.region = r->id, .id = d->id};
	char driver[DAX_NAME] = "";
	int e = dax_get(name, "align", &d->align);

	if (e == 0)
		e = dax_get(name, "size", &d->size);
	if (e == 0)
		e = dax_get_rdev(name, &d->rdev);
	if (e == 0)
		e = dax_get_driver(name, driver);
	if (e < 0)
		return problem_errno(why, -e, "reading device dax%u.%u", r->id, d->id);
	d->bound = driver[0] != '\0';
	d->kmem = strcmp(driver, "kmem") == 0;
	return 0;
}

static void device_read_record(struct soft_device *d, const struct soft_record *record)
{
	/* The kernel never deletes it, whether or not it is the one that it calls so. */
	d->seed = d->id == 0;
	d->ours = !d->seed && record && soft_record_is_ours(record, d->id, d->identity);
	d->exported = d->ours && soft_record_is_exported(record, d->id, d->identity);
	d->window = d->ours && soft_record_is_window(record, d->id, d->identity);
	d->retiring = !d->seed && record && soft_record_is_retired(record, d->id, d->instance);
	d->retired = d->retiring && !d->bound && d->size == 0;
}

/* Numbers and ranges of one and the same device: while it changes it is nobody's that we know. */
static int device_read_identity(struct soft_device *d, uint64_t before)
{
	const struct dax_id name = {.region = d->region_id, .id = d->id};
	uint64_t after = 0;
	int e = dax_get_identity(name, &after);

	if (e == 0)
		e = dax_get_instance(name, &d->instance);
	d->identity = after == before ? after : 0;
	return e;
}

static bool device_is_another(const struct soft_device *d, uint64_t before)
{
	uint64_t now = 0;

	return dax_get_identity((struct dax_id){d->region_id, d->id}, &now) == 0 && now != before;
}

int soft_region_read(const struct soft_region *r, const struct soft_record *record, unsigned id,
	struct soft_device *ret, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device d = {.region_id = r->id, .id = id};
	uint64_t before = 0;
	int e = dax_get_identity((struct dax_id){r->id, id}, &before);

	if (e < 0)
		return problem_errno(why, -e, "reading device dax%u.%u", r->id, id);
	e = device_read_numbers(&d, r, why);
	if (e == 0)
		e = device_read_ranges(&d, r, why);
	if (e < 0)
		return device_is_another(&d, before) ? -EAGAIN : e;
	e = device_read_identity(&d, before);
	if (e < 0)
		return problem_errno(why, -e, "reading device dax%u.%u", r->id, id);
	device_read_record(&d, record);
	for (size_t i = 0; i < d.range_count; i++)
		if (d.ranges[i].block == 0 || d.ranges[i].block + d.ranges[i].count == r->blocks)
			d.metadata = true;
	*ret = d;
	d = SOFT_DEVICE_NULL;
	return 0;
}

/* ---- all devices ---- */

/* 1 if it is there, 0 if it is gone. */
static int read_patiently(const struct soft_region *r, const struct soft_record *record,
	struct dax_id d, unsigned *patience, struct soft_device *ret, struct problem *why)
{
	for (;;) {
		int e = soft_region_read(r, record, d.id, ret, why);

		/* Without an identity it may be one half of one device and one half of the next. */
		if (e == 0 && ret->identity != 0)
			return 1;
		int next = dax_wait_passing(d, e < 0 ? e : -EAGAIN, patience);
		if (next < 0)
			return e < 0 ? e : 1;
		soft_device_deinit(ret);
		if (next == 0)
			return 0;
	}
}

int soft_region_look(const struct soft_region *r, const struct soft_record *record, unsigned id,
	struct soft_device *ret, struct problem *why)
{
	unsigned patience = DAX_PATIENCE;

	*ret = SOFT_DEVICE_NULL;
	return read_patiently(
		r, record, (struct dax_id){.region = r->id, .id = id}, &patience, ret, why);
}

static int device_compare(const void *a, const void *b)
{
	const struct soft_device *x = a;
	const struct soft_device *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int soft_region_scan(const struct soft_region *r, const struct soft_record *record,
	struct soft_device **ret, size_t *count, struct problem *why)
{
	_cleanup_(dax_all_deinit) struct dax_all all = DAX_ALL_NULL;
	unsigned patience = DAX_PATIENCE;
	size_t n = 0;
	int e = dax_all_init(&all, dax_list, why);

	if (e < 0)
		return e;
	struct soft_device *list = calloc(all.count + 1, sizeof(*list));
	if (!list)
		return problem_errno(why, ENOMEM, "listing the devices of a region");
	for (size_t i = 0; e == 0 && i < all.count; i++) {
		if (all.ids[i].region != r->id)
			continue;
		e = read_patiently(r, record, all.ids[i], &patience, &list[n], why);
		if (e > 0) {
			e = 0;
			n++;
		}
	}
	if (e < 0) {
		soft_device_list_free(list, n);
		return e;
	}
	qsort(list, n, sizeof(*list), device_compare);
	*ret = list;
	*count = n;
	return 0;
}
