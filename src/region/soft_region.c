// SPDX-License-Identifier: MIT
#include "region/soft_region.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "guestmemfs/types.h"
#include "region/soft_range.h"
#include "util/cleanup.h"

const char *soft_region_name(char buffer[SOFT_REGION_NAME], uint64_t start)
{
	(void)snprintf(buffer, SOFT_REGION_NAME, "%#" PRIx64, start);
	return buffer;
}

void soft_region_deinit(struct soft_region *r)
{
	daxctl_unref(r->ctx);
	*r = SOFT_REGION_NULL;
}

/* ---- regions ---- */

static int region_new_context(struct daxctl_ctx **ret, struct problem *why)
{
	int r = daxctl_new(ret);

	if (r < 0)
		return problem_errno(why, -r, "starting libdaxctl");
	/* What it would say on stderr comes back as an error too, and then in a sentence. */
	daxctl_set_log_priority(*ret, LOG_EMERG);
	return 0;
}

/* A region that can be cut has a file to cut it with; the regions of namespaces have none. */
static bool region_is_soft(struct daxctl_region *region)
{
	char path[512];
	int n = snprintf(
		path, sizeof(path), "%s/dax_region/create", daxctl_region_get_path(region));

	return n > 0 && (size_t)n < sizeof(path) && access(path, F_OK) == 0;
}

/*
 * The kernel shows no region's start, but an empty device shows it as its own, and the first device
 * is either empty or as the kernel has made it, from the start on.
 */
static bool region_find_start(struct daxctl_region *region, uint64_t *ret)
{
	struct daxctl_dev *dev = NULL;
	bool found = false;

	daxctl_dev_foreach(region, dev)
	{
		bool empty = daxctl_dev_get_size(dev) == 0;

		if (!empty && daxctl_dev_get_id(dev) != 0)
			continue;
		if (daxctl_dev_get_resource(dev) == ULLONG_MAX)
			continue;
		*ret = daxctl_dev_get_resource(dev);
		found = true;
		if (empty)
			break;
	}
	return found;
}

/* Takes what is found; false if it is no soft region or does not say where it is. */
static bool region_describe(
	struct soft_region *ret, struct daxctl_ctx *ctx, struct daxctl_region *region)
{
	uint64_t size = daxctl_region_get_size(region);
	uint64_t start = 0;

	if (!region_is_soft(region) || !region_find_start(region, &start) ||
		start % GM_BLOCK_SIZE != 0 || size % GM_BLOCK_SIZE != 0 || size < 2 * GM_BLOCK_SIZE)
		return false;
	*ret = (struct soft_region){
		.ctx = ctx, .region = region, .start = start, .blocks = size / GM_BLOCK_SIZE};
	return true;
}

struct region_search {
	const uint64_t *start; /* NULL: any */
	struct soft_region found;
	unsigned matches;
	unsigned all;
	char list[256]; /* "0x100000000, 0x900000000" */
};

static int region_search(struct region_search *s, struct daxctl_ctx *ctx, struct problem *why)
{
	struct daxctl_region *region = NULL;
	struct soft_region one = SOFT_REGION_NULL;

	if (geteuid() != 0)
		return problem(why, EACCES, "only root can use soft-reserved memory");
	daxctl_region_foreach(ctx, region)
	{
		size_t length = strlen(s->list);

		if (!region_describe(&one, ctx, region))
			continue;
		(void)snprintf(s->list + length, sizeof(s->list) - length, "%s%#" PRIx64,
			s->all++ ? ", " : "", one.start);
		if (s->start && one.start != *s->start)
			continue;
		s->found = one;
		s->matches++;
	}
	return 0;
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
			"in "
			"--region soft:START (%s)",
			s->list);
	if (s->start && s->all)
		return problem(why, ENODEV,
			"there is no soft-reserved region at %#" PRIx64 ", but at %s", *s->start,
			s->list);
	return problem(why, ENODEV,
		"there is no soft-reserved memory on this host: it takes "
		"memmap=SIZE!START,SIZE%%START-12+0xefffffff dax_hmem.region_idle=1 on the "
		"kernel's "
		"command line and the module dax_hmem (docs/boot.md)");
}

static int region_find(struct soft_region *ret, const uint64_t *start, struct problem *why)
{
	struct region_search s = {.start = start, .found = SOFT_REGION_NULL};
	struct daxctl_ctx *ctx = NULL;
	int r = region_new_context(&ctx, why);

	if (r < 0)
		return r;
	r = region_search(&s, ctx, why);
	if (r == 0)
		r = region_search_result(&s, ret, why);
	if (r < 0)
		daxctl_unref(ctx);
	return r;
}

int soft_region_find(struct soft_region *ret, uint64_t start, struct problem *why)
{
	return region_find(ret, &start, why);
}

int soft_region_find_only(struct soft_region *ret, struct problem *why)
{
	return region_find(ret, NULL, why);
}

int soft_region_count(struct problem *why)
{
	struct region_search s = {.found = SOFT_REGION_NULL};
	struct daxctl_ctx *ctx = NULL;
	int r = region_new_context(&ctx, why);

	if (r < 0)
		return r;
	r = region_search(&s, ctx, why);
	daxctl_unref(ctx);
	return r < 0 ? r : (int)s.all;
}

/* ---- devices ---- */

struct daxctl_dev *soft_region_device(const struct soft_region *r, unsigned id)
{
	struct daxctl_dev *dev = NULL;

	daxctl_dev_foreach(r->region, dev) if ((unsigned)daxctl_dev_get_id(dev) == id) return dev;
	return NULL;
}

struct mapping {
	uint64_t page_offset;
	uint64_t start;
	uint64_t end; /* the byte behind it */
};

static int mapping_compare(const void *a, const void *b)
{
	const struct mapping *x = a;
	const struct mapping *y = b;

	return x->page_offset < y->page_offset ? -1 : x->page_offset > y->page_offset;
}

static int device_read_mappings(
	struct daxctl_dev *dev, struct mapping **ret, size_t *count, struct problem *why)
{
	_cleanup_free_ struct mapping *list = NULL;
	struct daxctl_mapping *m = NULL;
	size_t room = 0;
	size_t n = 0;

	daxctl_mapping_foreach(dev, m)
	{
		if (n == room) {
			room = room ? 2 * room : 8;
			struct mapping *grown = reallocarray(list, room, sizeof(*list));
			if (!grown)
				return problem_errno(why, ENOMEM, "reading a device's ranges");
			list = grown;
		}
		list[n++] = (struct mapping){
			.page_offset = daxctl_mapping_get_offset(m),
			.start = daxctl_mapping_get_start(m),
			.end = daxctl_mapping_get_end(m) + 1,
		};
	}
	if (n)
		qsort(list, n, sizeof(*list), mapping_compare);
	*ret = steal_pointer(list);
	*count = n;
	return 0;
}

static int device_read_ranges(struct soft_device *d, const struct soft_region *r,
	struct daxctl_dev *dev, struct problem *why)
{
	_cleanup_free_ struct mapping *list = NULL;
	uint64_t end = r->start + r->blocks * GM_BLOCK_SIZE;
	size_t n = 0;
	int e = device_read_mappings(dev, &list, &n, why);

	if (e < 0)
		return e;
	d->ranges = calloc(n ? n : 1, sizeof(*d->ranges));
	if (!d->ranges)
		return problem_errno(why, ENOMEM, "reading a device's ranges");
	for (size_t i = 0; i < n; i++) {
		if (list[i].start < r->start || list[i].end > end || list[i].end <= list[i].start)
			return problem(why, EIO,
				"device dax%d.%d has a range (%#" PRIx64 "-%#" PRIx64
				") that is not in its "
				"region",
				daxctl_region_get_id(r->region), daxctl_dev_get_id(dev),
				list[i].start, list[i].end - 1);
		uint64_t first = (list[i].start - r->start) / GM_BLOCK_SIZE;
		uint64_t last = (list[i].end - 1 - r->start) / GM_BLOCK_SIZE;
		d->ranges[i] =
			(struct soft_range){.block = first, .count = (uint32_t)(last - first + 1)};
	}
	d->range_count = soft_ranges_join(d->ranges, n);
	return 0;
}

static int device_describe(struct soft_device *ret, const struct soft_region *r,
	const struct soft_record *record, struct daxctl_dev *dev, struct problem *why)
{
	*ret = (struct soft_device){
		.region_id = (unsigned)daxctl_region_get_id(r->region),
		.id = (unsigned)daxctl_dev_get_id(dev),
		.align = daxctl_dev_get_align(dev),
		.size = daxctl_dev_get_size(dev),
		.rdev = makedev(
			(unsigned)daxctl_dev_get_major(dev), (unsigned)daxctl_dev_get_minor(dev)),
		.bound = daxctl_dev_is_enabled(dev),
		.kmem = daxctl_dev_get_memory(dev) != NULL,
	};
	/* The kernel never deletes it, whether or not it is the one that it calls so. */
	ret->seed = ret->id == 0;
	ret->ours = !ret->seed && record && soft_record_is_ours(record, ret->id);
	int e = device_read_ranges(ret, r, dev, why);
	for (size_t i = 0; i < ret->range_count; i++) {
		const struct soft_range *range = &ret->ranges[i];

		if (range->block == 0 || range->block + range->count == r->blocks)
			ret->metadata = true;
	}
	return e;
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
	struct soft_device *list = NULL;
	struct daxctl_dev *dev = NULL;
	size_t n = 0;
	int e = 0;

	daxctl_dev_foreach(r->region, dev) n++;
	list = calloc(n ? n : 1, sizeof(*list));
	if (!list)
		return problem_errno(why, ENOMEM, "listing the devices of a region");
	n = 0;
	for (dev = daxctl_dev_get_first(r->region); dev && e == 0; dev = daxctl_dev_get_next(dev))
		e = device_describe(&list[n++], r, record, dev, why);
	if (e < 0) {
		soft_device_list_free(list, n);
		return e;
	}
	qsort(list, n, sizeof(*list), device_compare);
	*ret = list;
	*count = n;
	return 0;
}
