// SPDX-License-Identifier: MIT
#include "doctor_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

static char good_line[] = GOOD;

void host_init(struct host *h)
{
	*h = (struct host){
		.facts = {.cmdline = good_line,
			.major = 6,
			.minor = 1,
			.kaslr_built_in = FACT_YES,
			.kexec_file = FACT_YES,
			.ram = 6 * GIB,
			.kmem_blacklisted = false,
			.root = true,
			.sees_addresses = true,
			.fuse_node = true,
			.bootloader = 114,
			.image = FACT_NO,
			.crash_image = FACT_NO,
			.kexec_version = "2.0.25",
			.kexec_by_file = FACT_YES,
			.counts = FACT_YES},
		.region = {.kind = GM_REGION_SOFT,
			.start = 4 * GIB,
			.end = 6 * GIB,
			.type = E820_SOFT,
			.reserved_ram = true,
			.pool = FACT_YES},
		.devices = {{.name = "dax0.0",
			.region = "hmem.0",
			.driver = "device_dax",
			.soft = true,
			.start = 4 * GIB,
			.size = 2 * GIB,
			.align = 2 * MIB,
			.region_size = 2 * GIB,
			.ranges = {.entries = &h->range, .count = 1},
			.has_node = true,
			.mode = 0600,
			.pool = FACT_YES}},
		.range = {.start = 4 * GIB, .end = 6 * GIB},
		.iomem = {{.start = 4 * GIB, .end = 6 * GIB, .name = "Soft Reserved"}},
	};
	e820_map_add(&h->facts.firmware, 0x100000, 3 * GIB, E820_RAM);
	e820_map_add(&h->facts.firmware, 3 * GIB, 4 * GIB, E820_RESERVED);
	e820_map_add(&h->facts.firmware, 4 * GIB, 9 * GIB, E820_RAM);
	for (unsigned n = 0; n < FACT_MODULES; n++)
		h->facts.modules[n] = MODULE_LOADED;
	h->facts.modules[FACT_KMEM] = MODULE_AVAILABLE;
	h->facts.devices = h->devices;
	h->facts.device_count = 1;
	h->facts.iomem = h->iomem;
	h->facts.iomem_count = 1;
	h->regions = (struct doctor_regions){.list = &h->region, .count = 1};
}

void host_init_pmem(struct host *h)
{
	host_init(h);
	h->region.kind = GM_REGION_PMEM;
	h->region.type = E820_PRAM;
}

void host_deinit(struct host *h)
{
	e820_map_deinit(&h->facts.firmware);
}

void report_dump(const struct doctor_report *r)
{
	for (size_t n = 0; n < r->count; n++)
		cr_log_info("%s %s: %s; %s", doctor_level_name(r->findings[n].level),
			r->findings[n].id, r->findings[n].text, r->findings[n].remedy);
}

const struct doctor_finding *report_find(const struct doctor_report *r, const char *id)
{
	const struct doctor_finding *worst = NULL;

	for (size_t n = 0; n < r->count; n++)
		if (strcmp(r->findings[n].id, id) == 0 &&
			(!worst || r->findings[n].level > worst->level))
			worst = &r->findings[n];
	return worst;
}

void report_expect(const struct doctor_report *r, const char *what, const char *id,
	enum doctor_level level, const char *text)
{
	const struct doctor_finding *f = report_find(r, id);

	if (!f || f->level != level || !strstr(f->text, text))
		report_dump(r);
	cr_assert_not_null(f, "%s: no finding '%s'", what, id);
	cr_expect_eq(f->level, level, "%s: %s is %s", what, id, doctor_level_name(f->level));
	cr_expect_not_null(strstr(f->text, text), "%s: %s", what, f->text);
	cr_expect_eq(f->remedy[0] == '\0', level == DOCTOR_OK, "%s: %s needs a remedy, ok none",
		what, id);
}
