// SPDX-License-Identifier: MIT
/* The regions as they are on this host: who has them, where they lie, what they cost. */
#include <inttypes.h>
#include <string.h>

#include "doctor/checks.h"
#include "region/region.h"

/* The kernel's page structures of a 2 MiB or 1 GiB page of device memory, those that are alike
 * shared. */
#define STRUCT_PAGES_BYTES UINT64_C(8192)

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

/* ---- kmem ---- */

static bool iomem_has_kmem(const struct doctor_facts *facts, const struct doctor_region *r)
{
	for (size_t n = 0; n < facts->iomem_count; n++)
		if (strcmp(facts->iomem[n].name, "System RAM (kmem)") == 0 &&
			facts->iomem[n].start < r->end && r->start < facts->iomem[n].end)
			return true;
	return false;
}

static bool device_has_kmem(const struct doctor_facts *facts, const struct doctor_region *r)
{
	for (size_t n = 0; n < facts->device_count; n++)
		if (strcmp(facts->devices[n].driver, "kmem") == 0 &&
			facts->devices[n].start >= r->start && facts->devices[n].start < r->end)
			return true;
	return false;
}

void check_kmem(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions)
{
	char range[CHECK_RANGE];
	bool taken = false;

	for (size_t n = 0; n < regions->count; n++) {
		const struct doctor_region *r = &regions->list[n];

		if (!iomem_has_kmem(facts, r) && !device_has_kmem(facts, r))
			continue;
		taken = true;
		struct doctor_finding *f = doctor_report_add(report, "kmem", DOCTOR_DANGER,
			"kmem has taken memory of region %s: the kernel uses it as System RAM, and "
			"what guests had there may be overwritten already",
			check_range(range, r->start, r->end));
		doctor_finding_remedy(
			f, "boot with dax_hmem.region_idle=1 modprobe.blacklist=kmem");
	}
	if (!taken && regions->count > 0)
		(void)doctor_report_add(report, "kmem", DOCTOR_OK,
			"no memory of a region has become System RAM%s",
			facts->modules[FACT_KMEM] == MODULE_LOADED ? ", though kmem is loaded"
								   : "");
}

/* ---- devices ---- */

static bool is_unaligned(const struct fact_device *d)
{
	for (size_t n = 0; n < d->ranges.count && d->align > 0; n++)
		if (d->ranges.entries[n].start % d->align != 0)
			return true;
	return false;
}

static bool overlap(const struct fact_device *a, const struct fact_device *b)
{
	for (size_t i = 0; i < a->ranges.count; i++)
		for (size_t n = 0; n < b->ranges.count; n++)
			if (a->ranges.entries[i].start < b->ranges.entries[n].end &&
				b->ranges.entries[n].start < a->ranges.entries[i].end)
				return true;
	return false;
}

/* The kernel checks neither; see docs/boot.md. */
static void check_devices(struct doctor_report *report, const struct doctor_facts *facts)
{
	struct doctor_finding *f = NULL;

	for (size_t n = 0; n < facts->device_count; n++) {
		const struct fact_device *d = &facts->devices[n];

		if (is_unaligned(d)) {
			f = doctor_report_add(report, "devices", DOCTOR_DANGER,
				"/dev/%s has pages of %" PRIu64
				"M but a range that does not begin at one: it reaches memory of "
				"other devices",
				d->name, d->align / CHECK_MIB);
			doctor_finding_remedy(f, "nobody may use it; end who does, and remove it "
						 "with daxctl destroy-device");
		}
		for (size_t i = 0; i < n; i++) {
			if (!overlap(d, &facts->devices[i]))
				continue;
			f = doctor_report_add(report, "devices", DOCTOR_DANGER,
				"/dev/%s and /dev/%s reach the same memory", facts->devices[i].name,
				d->name);
			doctor_finding_remedy(f, "find out who made them; nobody may use both");
		}
	}
}

/* Who may open a device reaches every guest on it. Those of soft regions hold one file each. */
static void check_nodes(struct doctor_report *report, const struct doctor_facts *facts)
{
	for (size_t n = 0; n < facts->device_count; n++) {
		const struct fact_device *d = &facts->devices[n];

		if (!d->has_node || d->pool != FACT_YES || (d->uid == 0 && (d->mode & 077) == 0))
			continue;
		struct doctor_finding *f = doctor_report_add(report, "nodes", DOCTOR_WARNING,
			"/dev/%s, which reaches the pool's own records%s, is open to others than "
			"root (owner %u, mode %04o)",
			d->name, d->soft ? "" : " and every guest", (unsigned)d->uid,
			(unsigned)d->mode);
		doctor_finding_remedy(f,
			"chown root /dev/%s; chmod 0600 /dev/%s; and look for the udev rule that "
			"opened it",
			d->name, d->name);
	}
}

/* ---- place ---- */

/*
 * What pages of 1 GiB cost. The first block, and more, is metadata; the last one is a stamp. A pmem
 * device begins on a GiB border behind the namespace's info block, and ends on one.
 */
static void check_large_pages(
	struct doctor_report *report, enum gm_region_kind kind, uint64_t start, uint64_t end)
{
	bool pmem = kind == GM_REGION_PMEM;
	uint64_t begin = pmem ? round_up(start + GM_BLOCK_SIZE, CHECK_GIB) : start;
	uint64_t first = round_up(begin + GM_BLOCK_SIZE, CHECK_GIB);
	uint64_t stop = pmem ? end / CHECK_GIB * CHECK_GIB : end;
	uint64_t last = (stop - GM_BLOCK_SIZE) / CHECK_GIB * CHECK_GIB;
	uint64_t whole = last > first ? last - first : 0;
	char range[CHECK_RANGE];
	char size[REGION_SIZE_TEXT];

	check_range(range, start, end);
	(void)doctor_report_add(report, "alignment", DOCTOR_OK,
		"region %s: 2M pages lose nothing; 1G pages can have %s of it (whole GiBs only; "
		"%sthe first block and the last are the pool's)",
		range, whole ? region_format_size(size, whole) : "none",
		pmem ? "what lies before the first GiB border behind the info block is lost, and "
		     : "");
}

void check_alignment(
	struct doctor_report *report, enum gm_region_kind kind, uint64_t start, uint64_t end)
{
	struct doctor_finding *f = NULL;
	char range[CHECK_RANGE];

	check_range(range, start, end);
	if ((start | end) % GM_BLOCK_SIZE != 0) {
		f = doctor_report_add(report, "alignment", DOCTOR_DANGER,
			"start and size of region %s are not multiples of 2M", range);
		doctor_finding_remedy(f, "choose others in memmap=");
		return;
	}
	if (kind == GM_REGION_PMEM && (start | end) % (16 * CHECK_MIB) != 0) {
		f = doctor_report_add(report, "alignment", DOCTOR_WARNING,
			"start and size of region %s are not multiples of 16M, which ndctl refuses",
			range);
		doctor_finding_remedy(f, "choose others in memmap=, unless its namespace is made "
					 "already");
	}
	check_large_pages(report, kind, start, end);
}

void check_firmware(struct doctor_report *report, const struct doctor_facts *facts, uint64_t start,
	uint64_t end)
{
	const struct e820_entry *e = e820_map_find(&facts->firmware, start);
	struct doctor_finding *f = NULL;
	char range[CHECK_RANGE];

	check_range(range, start, end);
	if (facts->firmware.count == 0) {
		f = doctor_report_add(report, "firmware", DOCTOR_WARNING,
			"whether region %s is RAM can't be checked: /sys/firmware/memmap can't be "
			"read",
			range);
		doctor_finding_remedy(f, "compare it with the first lines of the kernel's log "
					 "(BIOS-e820)");
		return;
	}
	if (e && end <= e->end &&
		(e->type == E820_RAM || e->type == E820_SOFT || e->type == E820_PRAM ||
			e->type == E820_PMEM)) {
		(void)doctor_report_add(report, "firmware", DOCTOR_OK,
			"region %s lies inside one entry of the firmware's map ('%s')", range,
			e820_type_name(e->type));
		return;
	}
	f = doctor_report_add(report, "firmware", DOCTOR_DANGER,
		"region %s does not lie inside one RAM entry of the firmware's map: it is split "
		"there, and part of it may not be memory at all",
		range);
	doctor_finding_remedy(f, "choose SIZE and START inside one 'System RAM' entry of "
				 "/sys/firmware/memmap");
}

/* ---- cost ---- */

static void check_struct_pages(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions)
{
	uint64_t bytes = 0;
	char all[REGION_SIZE_TEXT];
	char small[REGION_SIZE_TEXT];
	char large[REGION_SIZE_TEXT];

	for (size_t n = 0; n < regions->count; n++)
		bytes += regions->list[n].end - regions->list[n].start;
	if (bytes == 0)
		return;
	uint64_t cost = bytes / GM_BLOCK_SIZE * STRUCT_PAGES_BYTES;
	uint64_t least = round_up(bytes, CHECK_GIB) / CHECK_GIB * STRUCT_PAGES_BYTES;
	bool much = facts->ram > 0 && cost > facts->ram / 10;
	struct doctor_finding *f = doctor_report_add(report, "struct-pages",
		much ? DOCTOR_WARNING : DOCTOR_OK,
		"page structures for %s of regions take up to %s of ordinary RAM at 2M pages%s, %s "
		"at 1G",
		region_format_size(all, bytes), region_format_size(small, cost),
		much ? ", more than a tenth of what there is" : "",
		region_format_size(large, least));
	if (much)
		doctor_finding_remedy(f, "use 1G pages for large guests, or reserve less");
}

void check_memory(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions)
{
	check_kmem(report, facts, regions);
	check_devices(report, facts);
	check_nodes(report, facts);
	for (size_t n = 0; n < regions->count; n++) {
		const struct doctor_region *r = &regions->list[n];

		check_alignment(report, r->kind, r->start, r->end);
		if (r->reserved_ram)
			check_firmware(report, facts, r->start, r->end);
	}
	check_struct_pages(report, facts, regions);
}
