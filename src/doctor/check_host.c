// SPDX-License-Identifier: MIT
/* The running host: rights and modules here, the other parts in their files. */
#include <errno.h>

#include "doctor/checks.h"
#include "region/region.h"
#include "util/cleanup.h"

static void check_rights(struct doctor_report *report, const struct doctor_facts *facts)
{
	struct doctor_finding *f = NULL;

	if (facts->root && facts->sees_addresses) {
		(void)doctor_report_add(report, "permissions", DOCTOR_OK, "everything can be seen");
	} else {
		f = doctor_report_add(report, "permissions", DOCTOR_WARNING,
			facts->root
				? "without CAP_SYS_ADMIN physical addresses are not shown: what "
				  "has become of the regions can't be checked in full"
				: "only root sees physical addresses and devices: what has become "
				  "of the regions can't be checked in full, and reserved memory "
				  "can't be used");
		doctor_finding_remedy(
			f, "run it as root%s", facts->root ? ", with all its capabilities" : "");
	}
	if (facts->fuse_node)
		return;
	f = doctor_report_add(report, "permissions", DOCTOR_WARNING,
		"there is no /dev/fuse: nothing can be mounted");
	doctor_finding_remedy(f, "modprobe fuse; in a container, let it have the device");
}

static void check_module(struct doctor_report *report, const struct doctor_facts *facts,
	enum fact_module module, const char *purpose)
{
	static const char *const states[] = {
		[MODULE_UNKNOWN] = "is not loaded, and whether it could be is not known",
		[MODULE_MISSING] = "is not part of this kernel",
		[MODULE_AVAILABLE] = "is not loaded",
		[MODULE_LOADED] = "is loaded",
	};
	enum module_state state = facts->modules[module];
	const char *name = fact_module_names[module];
	struct doctor_finding *f = doctor_report_add(report, "modules",
		state == MODULE_LOADED ? DOCTOR_OK : DOCTOR_WARNING, "%s, for %s, %s", name,
		purpose, states[state]);

	if (state == MODULE_MISSING)
		doctor_finding_remedy(f, "boot a kernel that has it, or install the package with "
					 "its further modules");
	else if (state != MODULE_LOADED)
		doctor_finding_remedy(f, "modprobe %s, and name it in /etc/modules-load.d", name);
}

static void check_modules(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions)
{
	bool soft = false;
	bool pmem = false;
	bool e820 = false;

	for (size_t n = 0; n < regions->count; n++) {
		soft |= regions->list[n].kind == GM_REGION_SOFT;
		pmem |= regions->list[n].kind == GM_REGION_PMEM;
		e820 |= regions->list[n].type == E820_PRAM;
	}
	check_module(report, facts, FACT_FUSE, "mounting");
	if (soft)
		check_module(report, facts, FACT_DAX_HMEM, "soft regions");
	if (e820)
		check_module(report, facts, FACT_ND_E820, "memmap=SIZE!START");
	if (pmem) {
		check_module(report, facts, FACT_ND_PMEM, "pmem regions");
		check_module(report, facts, FACT_DAX_PMEM, "pmem regions");
	}
	if (soft || pmem)
		check_module(report, facts, FACT_DEVICE_DAX, "devices that guests map");
}

static void check_regions(struct doctor_report *report, const struct doctor_regions *regions)
{
	static const char *const states[] = {
		[FACT_UNKNOWN] = "may hold a pool: there is no device to look through",
		[FACT_NO] = "holds no pool",
		[FACT_YES] = "holds a pool",
	};
	char range[CHECK_RANGE];

	for (size_t n = 0; n < regions->count; n++) {
		const struct doctor_region *r = &regions->list[n];

		(void)doctor_report_add(report, "region", DOCTOR_OK, "%s region %s %s",
			region_kind_name(r->kind), check_range(range, r->start, r->end),
			states[r->pool]);
	}
}

/* Of a device that was exported somebody may have made a node of his own. */
static void check_gate(struct doctor_report *report, const struct doctor_facts *facts)
{
	if (!facts->gate_no[0])
		return;
	struct doctor_finding *f = doctor_report_add(report, "exports", DOCTOR_WARNING,
		"memory of files that were exported comes back only at the next boot: %s",
		facts->gate_no);
	doctor_finding_remedy(f, "docs/counts.md says what it takes");
}

/* A guest's memory is another's only when nobody reaches it any more, and only the kernel knows
 * that. */
static void check_reuse(struct doctor_report *report, const struct doctor_facts *facts)
{
	struct doctor_finding *f = NULL;

	if (facts->counts ==
		FACT_UNKNOWN) /* of no use here, or nobody's business who is not root */
		return;
	if (facts->counts == FACT_YES) {
		(void)doctor_report_add(report, "reuse", DOCTOR_OK,
			"the kernel's reference counts can be read: freed memory of soft regions "
			"is used again");
		check_gate(report, facts);
		return;
	}
	f = doctor_report_add(report, "reuse", DOCTOR_WARNING,
		"freed memory of soft regions that a guest has had comes back only at the next "
		"boot: %s",
		facts->counts_no);
	doctor_finding_remedy(f, "docs/counts.md says what it takes");
}

/* So many are no burden, and a sign of how files are used here. */
#define RETIRED_MANY 10000U

/* Each has a number that the kernel gives to nobody else in this boot, and some ordinary memory. */
static void check_retired(struct doctor_report *report, const struct doctor_facts *facts)
{
	size_t retired = 0;

	for (size_t n = 0; n < facts->device_count; n++)
		retired += facts->devices[n].retired;
	if (retired == 0)
		return;
	struct doctor_finding *f = doctor_report_add(report, "retired",
		retired < RETIRED_MANY ? DOCTOR_OK : DOCTOR_WARNING,
		"%zu device%s of files that were exported: empty, and kept until the next boot",
		retired, retired == 1 ? "" : "s");
	if (retired >= RETIRED_MANY)
		doctor_finding_remedy(f, "files that come and go should be attached, not exported "
					 "(docs/reuse.md)");
}

int doctor_check_host(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions)
{
	check_rights(report, facts);
	check_regions(report, regions);
	check_modules(report, facts, regions);
	check_memory(report, facts, regions);
	check_kexec(report, facts, regions);
	check_reuse(report, facts);
	check_retired(report, facts);
	return report->failed ? -ENOMEM : 0;
}

int doctor_check_handover(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions, const char *cmdline)
{
	check_kmem(report, facts, regions);
	return doctor_check_cmdline(report, facts, regions, cmdline, true);
}

int doctor_check_next(struct doctor_report *report, const char *cmdline, struct problem *why)
{
	_cleanup_(doctor_regions_deinit) struct doctor_regions regions = DOCTOR_REGIONS_NULL;
	_cleanup_(facts_deinit) struct doctor_facts facts = DOCTOR_FACTS_NULL;
	int r = facts_gather(&facts, "", why);

	if (r < 0)
		return r;
	r = doctor_regions_find(&regions, &facts);
	if (r == 0)
		r = doctor_check_handover(report, &facts, &regions, cmdline);
	return r < 0 ? problem_errno(why, -r, "checking the next command line") : 0;
}
