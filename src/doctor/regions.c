// SPDX-License-Identifier: MIT
#include "doctor/regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

void doctor_regions_deinit(struct doctor_regions *r)
{
	free(r->list);
	*r = DOCTOR_REGIONS_NULL;
}

static bool is_known(const struct doctor_regions *r, uint64_t start, uint64_t end)
{
	for (size_t n = 0; n < r->count; n++)
		if (r->list[n].start < end && start < r->list[n].end)
			return true;
	return false;
}

/* Adds what no source before this one has named. */
static int add(struct doctor_regions *r, uint64_t start, uint64_t end, uint32_t type)
{
	struct doctor_region *more = NULL;

	if (start >= end || is_known(r, start, end))
		return 0;
	more = reallocarray(r->list, r->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->list = more;
	more[r->count++] = (struct doctor_region){
		.kind = type == E820_SOFT ? GM_REGION_SOFT : GM_REGION_PMEM,
		.start = start,
		.end = end,
		.type = type,
		.reserved_ram = type == E820_SOFT || type == E820_PRAM,
	};
	return 0;
}

static bool is_region(uint32_t type)
{
	return type == E820_SOFT || type == E820_PRAM || type == E820_PMEM;
}

/* What this boot's command line made of the firmware's map: anybody may read these two. */
static int add_reserved(struct doctor_regions *r, const struct doctor_facts *facts)
{
	_cleanup_(e820_map_deinit) struct e820_map map = E820_MAP_NULL;
	_cleanup_(cmdline_deinit) struct cmdline cmdline = CMDLINE_NULL;
	int e = cmdline_parse(&cmdline, facts->cmdline);

	if (e == 0)
		e = e820_map_resolve(&map, &facts->firmware, &cmdline);
	for (size_t n = 0; n < map.count && e == 0; n++)
		if (is_region(map.entries[n].type))
			e = add(r, map.entries[n].start, map.entries[n].end, map.entries[n].type);
	return e;
}

static int add_iomem(struct doctor_regions *r, const struct doctor_facts *facts)
{
	int e = 0;

	for (size_t n = 0; n < facts->iomem_count && e == 0; n++) {
		const struct fact_iomem *i = &facts->iomem[n];

		if (is_region(e820_type_of(i->name)))
			e = add(r, i->start, i->end, e820_type_of(i->name));
	}
	return e;
}

/* The region begins where its lowest device does: the metadata, or the kernel's own first device.
 */
static int add_device(struct doctor_regions *r, const struct doctor_facts *facts, size_t at)
{
	const struct fact_device *d = &facts->devices[at];
	uint64_t start = d->start;

	if (start == UINT64_MAX)
		return 0;
	if (!d->soft)
		return add(r, start, start + d->size, E820_PMEM);
	for (size_t n = 0; n < facts->device_count; n++)
		if (strcmp(facts->devices[n].region, d->region) == 0 &&
			facts->devices[n].start < start)
			start = facts->devices[n].start;
	return add(r, start, start + d->region_size, E820_SOFT);
}

/* A pool's first block is at the start of the first device of its region; nothing else tells. */
static enum fact find_pool(const struct doctor_facts *facts, const struct doctor_region *r)
{
	enum fact pool = FACT_UNKNOWN;

	for (size_t n = 0; n < facts->device_count; n++) {
		const struct fact_device *d = &facts->devices[n];

		if (d->start < r->start || d->start >= r->end || d->pool == FACT_UNKNOWN)
			continue;
		if (r->kind == GM_REGION_SOFT && d->start != r->start)
			continue;
		if (pool != FACT_YES)
			pool = d->pool;
	}
	return pool;
}

int doctor_regions_find(struct doctor_regions *ret, const struct doctor_facts *facts)
{
	struct doctor_regions r = DOCTOR_REGIONS_NULL;
	int e = add_iomem(&r, facts); /* the truth, for those who may see it */

	if (e == 0)
		e = add_reserved(&r, facts);
	for (size_t n = 0; n < facts->device_count && e == 0; n++)
		e = add_device(&r, facts, n);
	for (size_t n = 0; n < r.count; n++)
		r.list[n].pool = find_pool(facts, &r.list[n]);
	if (e < 0)
		doctor_regions_deinit(&r);
	else
		*ret = r;
	return e;
}
