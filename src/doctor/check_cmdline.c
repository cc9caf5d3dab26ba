// SPDX-License-Identifier: MIT
/*
 * A command line against the regions in use: does every one of them come up again in the same place
 * and form, and does nothing of the kernel get into it?
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "doctor/checks.h"
#include "region/region.h"
#include "util/cleanup.h"

struct line_check {
	struct doctor_report *report;
	const struct doctor_facts *facts;
	const char *name; /* "the next command line" */
	bool next;
	struct cmdline cmdline; /* owned */
	struct e820_map map;    /* what the kernel would make of it; owned */
	struct doctor_regions
		kept; /* the regions in use; without any, what this line reserves; owned */
	bool in_use;  /* they are regions in use */
	struct kaslr kaslr;
};

static void line_check_deinit(struct line_check *c)
{
	cmdline_deinit(&c->cmdline);
	e820_map_deinit(&c->map);
	doctor_regions_deinit(&c->kept);
}

static bool keeps(const struct line_check *c, enum gm_region_kind kind)
{
	for (size_t n = 0; n < c->kept.count; n++)
		if (c->kept.list[n].kind == kind)
			return true;
	return false;
}

/* ---- the text ---- */

static void check_text(struct line_check *c)
{
	struct doctor_finding *f = NULL;

	if (c->cmdline.length > CMDLINE_MAX) {
		f = doctor_report_add(c->report, "length", DOCTOR_DANGER,
			"%s has %zu characters, and the kernel cuts off what is beyond %u", c->name,
			c->cmdline.length, CMDLINE_MAX);
		doctor_finding_remedy(f, "make it shorter");
	}
	for (size_t n = 0; n < c->cmdline.memmap_count; n++) {
		if (c->cmdline.memmaps[n].form != CMDLINE_BAD)
			continue;
		f = doctor_report_add(c->report, "syntax", DOCTOR_DANGER,
			"in %s the kernel does not understand '%s' of memmap=, and what follows it "
			"up to the next blank hides from KASLR",
			c->name, c->cmdline.memmaps[n].text);
		doctor_finding_remedy(f,
			"write it as SIZE!START, SIZE%%START-12+0xefffffff, SIZE$START or "
			"SIZE#START; '$' may need a backslash in the boot loader's configuration");
	}
}

/* ---- reservations ---- */

static void remedy_parameters(struct doctor_finding *f, const struct doctor_region *r)
{
	char parameters[CHECK_PARAMETERS];

	doctor_finding_remedy(
		f, "give the kernel %s", check_parameters(parameters, r->kind, r->start, r->end));
}

/* The first byte of the region that would be of another type. */
static uint64_t find_other(
	const struct line_check *c, const struct doctor_region *r, uint32_t *type)
{
	uint64_t at = r->start;

	*type = r->type;
	while (at < r->end) {
		const struct e820_entry *e = e820_map_find(&c->map, at);

		*type = e ? e->type : (uint32_t)E820_NONE;
		if (!e || *type != r->type)
			break;
		at = e->end;
	}
	return at;
}

static void say_lost(
	struct line_check *c, const struct doctor_region *r, uint64_t at, uint32_t type)
{
	char range[CHECK_RANGE];
	struct doctor_finding *f = doctor_report_add(c->report, "reservation", DOCTOR_DANGER,
		"with %s the memory of region %s would be ordinary RAM from %#" PRIx64
		" on, and the kernel would use it",
		c->name, check_range(range, r->start, r->end), at);

	if (type != E820_RAM)
		(void)snprintf(f->text, sizeof(f->text),
			"with %s region %s would come up as '%s' instead of '%s' from %#" PRIx64
			" on, and its pool would not be found",
			c->name, range, e820_type_name(type), e820_type_name(r->type), at);
	remedy_parameters(f, r);
}

/* All of it is of its type; is it the same region still? */
static void check_borders(struct line_check *c, const struct doctor_region *r)
{
	const struct e820_entry *e = e820_map_find(&c->map, r->start);
	char range[CHECK_RANGE];
	char other[CHECK_RANGE];
	bool grown = e->start == r->start && e->end > r->end;
	struct doctor_finding *f = NULL;

	check_range(range, r->start, r->end);
	check_range(other, e->start, e->end);
	if (e->start == r->start && e->end == r->end) {
		(void)doctor_report_add(c->report, "reservation", DOCTOR_OK,
			"%s keeps region %s as '%s'", c->name, range, e820_type_name(r->type));
		return;
	}
	f = doctor_report_add(c->report, "reservation", grown ? DOCTOR_WARNING : DOCTOR_DANGER,
		grown ? "with %s region %s would become larger: %s"
		      : "with %s region %s would have other borders: %s, and its pool would be "
			"refused",
		c->name, range, other);
	if (grown)
		doctor_finding_remedy(f,
			"if that is meant: the pool takes the new part with guestmemfs format "
			"--grow, or at mount; a kernel that was loaded into that part takes pieces "
			"out of the region for this one boot: if no driver takes it then, kexec "
			"once more with the same command line");
	else
		remedy_parameters(f, r);
}

static void check_reservations(struct line_check *c)
{
	char parameters[CHECK_PARAMETERS];

	for (size_t n = 0; n < c->kept.count; n++) {
		uint32_t type = E820_NONE;
		uint64_t at = find_other(c, &c->kept.list[n], &type);

		if (at < c->kept.list[n].end)
			say_lost(c, &c->kept.list[n], at, type);
		else
			check_borders(c, &c->kept.list[n]);
	}
	if (c->kept.count > 0)
		return;
	struct doctor_finding *f = doctor_report_add(c->report, "reservation", DOCTOR_WARNING,
		"%s reserves no memory for guests, and no region is in use", c->name);
	doctor_finding_remedy(f, "for memory that outlives the kernel add something like %s",
		check_suggestion(parameters, c->facts));
}

static bool meet(const struct cmdline_memmap *a, const struct cmdline_memmap *b)
{
	return a->start < b->start + b->size && b->start < a->start + a->size;
}

/* True if some SIZE!START that meets the entry stands between from and to. */
static bool has_pram(
	const struct cmdline *l, const struct cmdline_memmap *m, size_t from, size_t to)
{
	for (size_t n = from; n < to; n++)
		if (l->memmaps[n].form == CMDLINE_PRAM && meet(&l->memmaps[n], m))
			return true;
	return false;
}

/* The kernel obeys in the order of the text: there is nothing yet that % could turn into
 * soft-reserved memory. */
static void check_order(struct line_check *c)
{
	const struct cmdline *l = &c->cmdline;

	for (size_t n = 0; n < l->memmap_count; n++) {
		const struct cmdline_memmap *m = &l->memmaps[n];

		if (m->form != CMDLINE_CONVERT || m->from != E820_PRAM || has_pram(l, m, 0, n))
			continue;
		bool later = has_pram(l, m, n + 1, l->memmap_count);
		struct doctor_finding *f = doctor_report_add(c->report, "order", DOCTOR_DANGER,
			later ? "in %s '%s' stands before the SIZE!START that it is to change, and "
				"so changes nothing"
			      : "in %s '%s' stands alone: there is no SIZE!START that it could "
				"change, and KASLR takes it for mem=",
			c->name, m->text);
		doctor_finding_remedy(f, "write memmap=SIZE!START,SIZE%%START-12+0xefffffff, in "
					 "this order");
	}
}

/* ---- KASLR ---- */

static void check_count(struct line_check *c)
{
	const struct kaslr *k = &c->kaslr;
	struct doctor_finding *f = NULL;

	if (k->memmaps <= KASLR_RANGES_MAX || k->off) {
		(void)doctor_report_add(c->report, "memmap-count", DOCTOR_OK,
			k->off ? "%s may have any number of memmap= entries (%u), as KASLR is off"
			       : "%s has no more memmap= entries with '!', '#' or '$' than the "
				 "four that KASLR heeds (%u)",
			c->name, k->memmaps);
		return;
	}
	if (k->gave_up)
		f = doctor_report_add(c->report, "memmap-count", DOCTOR_WARNING,
			"%s has %u memmap= entries with '!', '#' or '$', more than KASLR heeds; it "
			"switches itself off, but only because they stand in one memmap=",
			c->name, k->memmaps);
	else
		f = doctor_report_add(c->report, "memmap-count", DOCTOR_DANGER,
			"%s has %u memmap= entries with '!', '#' or '$', and KASLR heeds the first "
			"four alone: it may put the kernel into the others",
			c->name, k->memmaps);
	doctor_finding_remedy(f, "add nokaslr, or leave entries out");
}

/* Is a % all that the line says of this range? */
static bool has_convert(const struct line_check *c, const struct doctor_region *r)
{
	for (size_t n = 0; n < c->cmdline.memmap_count; n++) {
		const struct cmdline_memmap *m = &c->cmdline.memmaps[n];

		if (m->form == CMDLINE_CONVERT && m->start < r->end &&
			r->start < m->start + m->size)
			return true;
	}
	return false;
}

/* The decompressor chooses among what the firmware calls RAM. */
static bool is_firmware_ram(const struct line_check *c, const struct doctor_region *r)
{
	const struct e820_map *firmware = &c->facts->firmware;

	return firmware->count == 0 || e820_map_meets(firmware, r->start, r->end, E820_RAM);
}

static bool may_be_hit(struct line_check *c, const struct doctor_region *r)
{
	char range[CHECK_RANGE];

	if (!is_firmware_ram(c, r) || kaslr_avoids(&c->kaslr, r->start, r->end))
		return false;
	struct doctor_finding *f = doctor_report_add(c->report, "kaslr", DOCTOR_DANGER,
		"with %s KASLR may put the kernel into region %s%s", c->name,
		check_range(range, r->start, r->end),
		has_convert(c, r) ? ": SIZE%START alone is mem=SIZE to it" : "");
	doctor_finding_remedy(f, "write SIZE!START before SIZE%%START, or add nokaslr");
	return true;
}

static void check_kaslr(struct line_check *c)
{
	bool hit = false;

	if (!c->next && c->facts->kaslr_built_in == FACT_NO) {
		(void)doctor_report_add(
			c->report, "kaslr", DOCTOR_OK, "this kernel is built without KASLR");
		return;
	}
	for (size_t n = 0; n < c->kept.count; n++)
		hit |= may_be_hit(c, &c->kept.list[n]);
	if (!hit)
		(void)doctor_report_add(c->report, "kaslr", DOCTOR_OK,
			c->kaslr.off       ? "%s switches KASLR off"
			: c->kaslr.gave_up ? "KASLR switches itself off with %s"
					   : "with %s KASLR keeps out of the regions",
			c->name);
}

/* ---- modules ---- */

/* 6.12 was the first to give soft-reserved memory to kmem by default. */
static bool kernel_defaults_to_kmem(const struct doctor_facts *facts)
{
	return facts->major > 6 || (facts->major == 6 && facts->minor >= 12);
}

static void check_region_idle(struct line_check *c)
{
	if (c->cmdline.region_idle) {
		(void)doctor_report_add(c->report, "region-idle", DOCTOR_OK,
			"%s has dax_hmem.region_idle=1", c->name);
		return;
	}
	bool harmless = !c->next && !kernel_defaults_to_kmem(c->facts);
	struct doctor_finding *f = doctor_report_add(c->report, "region-idle",
		harmless ? DOCTOR_WARNING : DOCTOR_DANGER,
		harmless
			? "%s has no dax_hmem.region_idle=1: this kernel does without, but from "
			  "6.12 on the memory would go to kmem and be used as RAM"
			: "%s has no dax_hmem.region_idle=1: from kernel 6.12 on the soft-reserved "
			  "memory goes to kmem then, which makes it System RAM",
		c->name);
	doctor_finding_remedy(f, "add dax_hmem.region_idle=1");
}

static void check_kmem_blacklist(struct line_check *c)
{
	const struct cmdline_module *m = cmdline_find_blacklisted(&c->cmdline, "kmem");
	bool configured = c->facts->kmem_blacklisted;

	if (m || configured) {
		(void)doctor_report_add(c->report, "kmem-blacklist", DOCTOR_OK,
			"kmem is blacklisted in %s", m ? c->name : "modprobe's configuration");
		return;
	}
	struct doctor_finding *f = doctor_report_add(c->report, "kmem-blacklist", DOCTOR_WARNING,
		"kmem, which turns soft-reserved memory into System RAM, is not blacklisted in %s",
		c->name);
	doctor_finding_remedy(f, "add modprobe.blacklist=kmem");
}

static void check_blacklist(struct line_check *c)
{
	static const struct {
		enum gm_region_kind kind;
		const char *module;
	} needed[] = {
		{GM_REGION_SOFT, "dax_hmem"},
		{GM_REGION_SOFT, "device_dax"},
		{GM_REGION_PMEM, "nd_e820"},
		{GM_REGION_PMEM, "nd_pmem"},
		{GM_REGION_PMEM, "dax_pmem"},
		{GM_REGION_PMEM, "device_dax"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(needed); n++) {
		if (!keeps(c, needed[n].kind) ||
			!cmdline_find_blacklisted(&c->cmdline, needed[n].module))
			continue;
		struct doctor_finding *f = doctor_report_add(c->report, "module-blacklist",
			DOCTOR_DANGER, "%s blacklists %s, without which %s regions are not found",
			c->name, needed[n].module, region_kind_name(needed[n].kind));
		doctor_finding_remedy(f, "take it off the blacklist");
	}
}

/* ---- the rest ---- */

static void check_crashkernel(struct line_check *c)
{
	const struct cmdline *l = &c->cmdline;
	char range[CHECK_RANGE];

	for (size_t n = 0; n < c->kept.count && l->crash_size > 0; n++) {
		const struct doctor_region *r = &c->kept.list[n];

		if (l->crash_start >= r->end || r->start >= l->crash_start + l->crash_size)
			continue;
		struct doctor_finding *f = doctor_report_add(c->report, "crashkernel",
			DOCTOR_WARNING,
			"in %s crashkernel= asks for memory inside region %s: there would be none "
			"for a crash kernel",
			c->name, check_range(range, r->start, r->end));
		doctor_finding_remedy(f, "let the kernel choose the place: crashkernel=512M");
	}
}

static void check_tokens(struct line_check *c)
{
	if (!c->next || !c->in_use)
		return;
	if (c->cmdline.token_count > 0) {
		(void)doctor_report_add(c->report, "succession", DOCTOR_OK,
			"%s passes on %zu succession token%s", c->name, c->cmdline.token_count,
			c->cmdline.token_count == 1 ? "" : "s");
		return;
	}
	struct doctor_finding *f = doctor_report_add(c->report, "succession", DOCTOR_WARNING,
		"%s passes on no succession token: the next kernel's guestmemfs-fuse would refuse "
		"the pools unless --trust-memory is given",
		c->name);
	doctor_finding_remedy(f, "guestmemfs kexec adds it; for other tools add what "
				 "'guestmemfs token MOUNT' prints as guestmemfs.succession=TOKEN");
}

/* What is not there yet: a region in use is looked at by doctor_check_host(). */
static void check_plan(struct line_check *c)
{
	for (size_t n = 0; n < c->kept.count && !c->in_use; n++) {
		const struct doctor_region *r = &c->kept.list[n];

		check_alignment(c->report, r->kind, r->start, r->end);
		check_firmware(c->report, c->facts, r->start, r->end);
	}
}

/* ---- all of it ---- */

static int keep(struct doctor_regions *to, const struct doctor_region *r)
{
	struct doctor_region *more = reallocarray(to->list, to->count + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	to->list = more;
	more[to->count++] = *r;
	return 0;
}

static int keep_planned(struct line_check *c)
{
	int r = 0;

	for (size_t n = 0; n < c->map.count && r == 0; n++) {
		const struct e820_entry *e = &c->map.entries[n];
		const struct doctor_region planned = {
			.kind = e->type == E820_SOFT ? GM_REGION_SOFT : GM_REGION_PMEM,
			.start = e->start,
			.end = e->end,
			.type = e->type,
			.reserved_ram = true,
			.pool = FACT_NO,
		};

		if (e->type == E820_SOFT || e->type == E820_PRAM)
			r = keep(&c->kept, &planned);
	}
	return r;
}

/* Persistent memory proper is no matter of the command line. */
static int find_kept(struct line_check *c, const struct doctor_regions *regions)
{
	int r = 0;

	for (size_t n = 0; n < regions->count && r == 0; n++)
		if (regions->list[n].reserved_ram && doctor_region_in_use(&regions->list[n]))
			r = keep(&c->kept, &regions->list[n]);
	c->in_use = c->kept.count > 0;
	return r == 0 && !c->in_use ? keep_planned(c) : r;
}

/* Without the firmware's map everything may be RAM. */
static int resolve(struct line_check *c)
{
	_cleanup_(e820_map_deinit) struct e820_map all = E820_MAP_NULL;

	if (c->facts->firmware.count > 0)
		return e820_map_resolve(&c->map, &c->facts->firmware, &c->cmdline);
	e820_map_add(&all, 0, UINT64_C(1) << 52, E820_RAM);
	return all.failed ? -ENOMEM : e820_map_resolve(&c->map, &all, &c->cmdline);
}

static void check_all(struct line_check *c)
{
	kaslr_read(&c->kaslr, &c->cmdline);
	check_text(c);
	check_reservations(c);
	check_order(c);
	if (c->kept.count == 0)
		return;
	check_count(c);
	check_kaslr(c);
	if (keeps(c, GM_REGION_SOFT)) {
		check_region_idle(c);
		check_kmem_blacklist(c);
	}
	check_blacklist(c);
	check_crashkernel(c);
	check_tokens(c);
	check_plan(c);
}

int doctor_check_cmdline(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions, const char *cmdline, bool next)
{
	_cleanup_(line_check_deinit) struct line_check c = {
		.report = report,
		.facts = facts,
		.name = next ? "the next command line" : "this kernel's command line",
		.next = next,
		.cmdline = CMDLINE_NULL,
		.map = E820_MAP_NULL,
		.kept = DOCTOR_REGIONS_NULL,
	};
	int r = cmdline_parse(&c.cmdline, cmdline);

	if (r == 0)
		r = resolve(&c);
	if (r == 0)
		r = find_kept(&c, regions);
	if (r < 0)
		return r;
	check_all(&c);
	return report->failed ? -ENOMEM : 0;
}
