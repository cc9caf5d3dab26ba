// SPDX-License-Identifier: MIT
/* Each check says ok to a good host and a good command line, and finds its danger in a bad one. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/doctor.h"
#include "doctor/facts.h"
#include "doctor/regions.h"
#include "util/cleanup.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

#define SOFT  "memmap=2G!4G,2G%4G-12+0xefffffff"
#define IDLE  " dax_hmem.region_idle=1"
#define TOKEN " guestmemfs.succession=00112233445566778899aabbccddeeff"
#define GOOD  "root=/dev/vda1 " SOFT IDLE " modprobe.blacklist=kmem" TOKEN

struct host {
	struct doctor_facts facts;
	struct doctor_regions regions;
	struct doctor_region region;
	struct fact_device devices[2];
	struct e820_entry range; /* of both devices */
	struct fact_iomem iomem[2];
};

static char good_line[] = GOOD;
static char bare_line[] = "quiet";

/* A healthy host with 8 GiB, a pool on the soft region at 4 GiB, kernel 6.1. */
static void host_init(struct host *h)
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

static void host_init_pmem(struct host *h)
{
	host_init(h);
	h->region.kind = GM_REGION_PMEM;
	h->region.type = E820_PRAM;
}

static void host_deinit(struct host *h)
{
	e820_map_deinit(&h->facts.firmware);
}

static void dump(const struct doctor_report *r)
{
	for (size_t n = 0; n < r->count; n++)
		cr_log_info("%s %s: %s; %s", doctor_level_name(r->findings[n].level),
			r->findings[n].id, r->findings[n].text, r->findings[n].remedy);
}

/* The worst finding with this id; NULL if there is none. */
static const struct doctor_finding *find(const struct doctor_report *r, const char *id)
{
	const struct doctor_finding *worst = NULL;

	for (size_t n = 0; n < r->count; n++)
		if (strcmp(r->findings[n].id, id) == 0 &&
			(!worst || r->findings[n].level > worst->level))
			worst = &r->findings[n];
	return worst;
}

static void expect(const struct doctor_report *r, const char *what, const char *id,
	enum doctor_level level, const char *text)
{
	const struct doctor_finding *f = find(r, id);

	if (!f || f->level != level || !strstr(f->text, text))
		dump(r);
	cr_assert_not_null(f, "%s: no finding '%s'", what, id);
	cr_expect_eq(f->level, level, "%s: %s is %s", what, id, doctor_level_name(f->level));
	cr_expect_not_null(strstr(f->text, text), "%s: %s", what, f->text);
	cr_expect_eq(f->remedy[0] == '\0', level == DOCTOR_OK, "%s: %s needs a remedy, ok none",
		what, id);
}

struct line_case {
	const char *cmdline;
	const char *id;
	enum doctor_level level;
	const char *text;
};

static void check_lines(
	const struct host *h, bool next, const struct line_case *cases, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		_cleanup_(doctor_report_deinit) struct doctor_report r = DOCTOR_REPORT_NULL;

		cr_assert_eq(
			doctor_check_cmdline(&r, &h->facts, &h->regions, cases[n].cmdline, next),
			0);
		expect(&r, cases[n].cmdline, cases[n].id, cases[n].level, cases[n].text);
	}
}

static enum doctor_level worst_of(const struct host *h, const char *cmdline, bool next)
{
	_cleanup_(doctor_report_deinit) struct doctor_report r = DOCTOR_REPORT_NULL;

	cr_assert_eq(doctor_check_cmdline(&r, &h->facts, &h->regions, cmdline, next), 0);
	dump(&r);
	return doctor_report_worst(&r);
}

Test(doctor_cmdlines, good_ones_pass_without_a_warning)
{
	static const char *const good[] = {
		GOOD,
		GOOD "\n",
		"memmap=2G!4G memmap=2G%4G-12+0xefffffff" IDLE " module_blacklist=kmem" TOKEN,
		"memmap=0x80000000!0x100000000,2048M%4096M-0xc+4026531839" IDLE
		" modprobe.blacklist=kmem" TOKEN,
		"memmap=2G%4G-1+0xefffffff nokaslr" IDLE " modprobe.blacklist=kmem" TOKEN,
		"crashkernel=512M " GOOD,
	};
	_cleanup_(host_deinit) struct host h;

	host_init(&h);
	for (size_t n = 0; n < ARRAY_SIZE(good); n++)
		cr_expect_eq(worst_of(&h, good[n], true), DOCTOR_OK, "%s", good[n]);
	host_deinit(&h);
	host_init_pmem(&h);
	cr_expect_eq(worst_of(&h, "memmap=2G!4G" TOKEN, true), DOCTOR_OK);
}

Test(doctor_cmdlines, each_way_to_lose_a_soft_region_is_a_danger)
{
	static const struct line_case cases[] = {
		{GOOD, "reservation", DOCTOR_OK, "keeps region 0x100000000 (2G)"},
		/* Way 2: no reservation, or another one. */
		{"quiet", "reservation", DOCTOR_DANGER, "ordinary RAM from 0x100000000 on"},
		{"", "reservation", DOCTOR_DANGER, "ordinary RAM"},
		{"memmap=1G!4G,1G%4G-12+0xefffffff" IDLE, "reservation", DOCTOR_DANGER,
			"ordinary RAM from 0x140000000 on"},
		{"memmap=2G!5G,2G%5G-12+0xefffffff" IDLE, "reservation", DOCTOR_DANGER,
			"ordinary RAM from 0x100000000 on"},
		/* The firmware's border at 4G splits it, and what is left has become larger. */
		{"memmap=4G!3G,4G%3G-12+0xefffffff" IDLE, "reservation", DOCTOR_WARNING,
			"would become larger: 0x100000000 (3G)"},
		{"memmap=3G!4G,3G%4G-12+0xefffffff" IDLE, "reservation", DOCTOR_WARNING,
			"would become larger: 0x100000000 (3G)"},
		{"memmap=1G!4G,1G!5G,2G%4G-12+0xefffffff" IDLE, "reservation", DOCTOR_DANGER,
			"other borders: 0x100000000 (1G)"},
		{"memmap=2G!4G" IDLE, "reservation", DOCTOR_DANGER,
			"'Persistent Memory (legacy)' instead of 'Soft Reserved'"},
		{"memmap=2G$4G" IDLE, "reservation", DOCTOR_DANGER, "'Reserved' instead of"},
		{"memmap=2G!4G memmap=exactmap", "reservation", DOCTOR_DANGER,
			"'no memory' instead of"},
		{SOFT " memmap=2G%4G-0xefffffff", "reservation", DOCTOR_DANGER, "ordinary RAM"},
		{"-- " GOOD, "reservation", DOCTOR_DANGER, "ordinary RAM"},
		{"memmap=2GB!4G", "syntax", DOCTOR_DANGER, "does not understand '2GB!4G'"},
		/* The order. */
		{"memmap=2G%4G-12+0xefffffff,2G!4G" IDLE, "order", DOCTOR_DANGER,
			"stands before the SIZE!START"},
		{"memmap=2G%4G-12+0xefffffff,2G!4G" IDLE, "reservation", DOCTOR_DANGER,
			"'Persistent Memory (legacy)'"},
		{"memmap=2G%4G-12+0xefffffff" IDLE, "order", DOCTOR_DANGER, "stands alone"},
		{"memmap=2G%4G-12+0xefffffff" IDLE, "reservation", DOCTOR_DANGER, "ordinary RAM"},
		/* Way 4: KASLR. */
		{GOOD, "kaslr", DOCTOR_OK, "keeps out"},
		{"memmap=2G%4G-1+0xefffffff" IDLE, "kaslr", DOCTOR_DANGER, "alone is mem=SIZE"},
		{"memmap=2G%4G-1+0xefffffff" IDLE " nokaslr", "kaslr", DOCTOR_OK,
			"switches KASLR off"},
		{GOOD, "memmap-count", DOCTOR_OK, "(1)"},
		{"memmap=1M$1G memmap=1M$1100M memmap=1M$1200M memmap=1M$1300M " GOOD,
			"memmap-count", DOCTOR_DANGER, "has 5 memmap="},
		{"memmap=1M$1G memmap=1M$1100M memmap=1M$1200M memmap=1M$1300M " GOOD, "kaslr",
			DOCTOR_DANGER, "may put the kernel into region 0x100000000"},
		{SOFT IDLE " memmap=1M$1G memmap=1M$1100M memmap=1M$1200M memmap=1M$1300M",
			"memmap-count", DOCTOR_DANGER, "has 5 memmap="},
		{"memmap=1M$1G,1M$1100M,1M$1200M,1M$1300M,2G!4G,2G%4G-12+0xefffffff" IDLE,
			"memmap-count", DOCTOR_WARNING, "switches itself off"},
		{"memmap=1M$1G,1M$1100M,1M$1200M,1M$1300M,2G!4G,2G%4G-12+0xefffffff" IDLE, "kaslr",
			DOCTOR_OK, "switches itself off"},
		{"nokaslr memmap=1M$1G,1M$2G,1M$1200M,1M$1300M " GOOD, "memmap-count", DOCTOR_OK,
			"any number"},
		{"memmap=exactmap,2G!4G", "kaslr", DOCTOR_DANGER, "may put the kernel"},
		/* Way 3: kmem. */
		{GOOD, "region-idle", DOCTOR_OK, "has dax_hmem.region_idle=1"},
		{SOFT, "region-idle", DOCTOR_DANGER, "goes to kmem"},
		{SOFT " dax_hmem.region_idle=0", "region-idle", DOCTOR_DANGER, "goes to kmem"},
		{GOOD, "kmem-blacklist", DOCTOR_OK, "blacklisted"},
		{SOFT IDLE, "kmem-blacklist", DOCTOR_WARNING, "is not blacklisted"},
		/* What else would not bring the pool back. */
		{GOOD " modprobe.blacklist=dax_hmem", "module-blacklist", DOCTOR_DANGER,
			"blacklists dax_hmem"},
		{GOOD " module_blacklist=device-dax", "module-blacklist", DOCTOR_DANGER,
			"blacklists device_dax"},
		{GOOD " crashkernel=512M@5G", "crashkernel", DOCTOR_WARNING, "inside region"},
		{GOOD, "succession", DOCTOR_OK, "1 succession token"},
		{SOFT IDLE, "succession", DOCTOR_WARNING, "no succession token"},
	};
	_cleanup_(host_deinit) struct host h;

	host_init(&h);
	check_lines(&h, true, cases, ARRAY_SIZE(cases));
}

Test(doctor_cmdlines, each_way_to_lose_a_pmem_region_is_a_danger)
{
	static const struct line_case cases[] = {
		{"memmap=2G!4G", "reservation", DOCTOR_OK, "Persistent Memory (legacy)"},
		{"memmap=2G!4G", "kaslr", DOCTOR_OK, "keeps out"},
		{"", "reservation", DOCTOR_DANGER, "ordinary RAM"},
		{"memmap=2G!2G", "reservation", DOCTOR_DANGER, "ordinary RAM"},
		{SOFT IDLE, "reservation", DOCTOR_DANGER,
			"'Soft Reserved' instead of 'Persistent Memory (legacy)'"},
		{"memmap=2G!4G modprobe.blacklist=nd_e820", "module-blacklist", DOCTOR_DANGER,
			"blacklists nd_e820"},
		{"memmap=2G!4G module_blacklist=dax_pmem", "module-blacklist", DOCTOR_DANGER,
			"blacklists dax_pmem"},
	};
	_cleanup_(host_deinit) struct host h;

	host_init_pmem(&h);
	check_lines(&h, true, cases, ARRAY_SIZE(cases));
}

Test(doctor_cmdlines, a_region_that_begins_elsewhere_is_another_one)
{
	static const struct line_case cases[] = {
		{SOFT IDLE, "reservation", DOCTOR_DANGER, "other borders: 0x100000000 (2G)"},
		{"memmap=1G!5G,1G%5G-12+0xefffffff" IDLE, "reservation", DOCTOR_OK, "keeps"},
	};
	_cleanup_(host_deinit) struct host h;

	host_init(&h);
	h.region.start = 5 * GIB;
	check_lines(&h, true, cases, ARRAY_SIZE(cases));
}

Test(doctor_cmdlines, a_line_that_is_cut_off_is_a_danger)
{
	_cleanup_(doctor_report_deinit) struct doctor_report r = DOCTOR_REPORT_NULL;
	_cleanup_(host_deinit) struct host h;
	char text[2300];

	host_init(&h);
	memset(text, 'a', 2040);
	(void)snprintf(text + 2040, sizeof(text) - 2040, " %s", GOOD);
	cr_assert_eq(doctor_check_cmdline(&r, &h.facts, &h.regions, text, true), 0);
	expect(&r, "long", "length", DOCTOR_DANGER, "cuts off what is beyond 2047");
	expect(&r, "long", "reservation", DOCTOR_DANGER, "ordinary RAM");
}

Test(doctor_cmdlines, the_remedy_restores_the_region)
{
	_cleanup_(doctor_report_deinit) struct doctor_report r = DOCTOR_REPORT_NULL;
	_cleanup_(host_deinit) struct host h;
	static const char prefix[] = "give the kernel ";

	host_init(&h);
	cr_assert_eq(doctor_check_cmdline(&r, &h.facts, &h.regions, "quiet", true), 0);
	const struct doctor_finding *f = find(&r, "reservation");
	cr_assert_eq(strncmp(f->remedy, prefix, strlen(prefix)), 0, "%s", f->remedy);
	cr_expect_neq(
		worst_of(&h, f->remedy + strlen(prefix), true), DOCTOR_DANGER, "%s", f->remedy);
}

Test(doctor_cmdlines, without_a_firmware_map_everything_may_be_ram)
{
	_cleanup_(host_deinit) struct host h;

	host_init(&h);
	e820_map_deinit(&h.facts.firmware);
	cr_expect_eq(worst_of(&h, GOOD, true), DOCTOR_OK);
	cr_expect_eq(worst_of(&h, "quiet", true), DOCTOR_DANGER);
}

/* EFI specific-purpose memory: the firmware itself keeps it. */
Test(doctor_cmdlines, memory_that_the_firmware_sets_apart_needs_no_memmap)
{
	_cleanup_(host_deinit) struct host h;

	host_init(&h);
	e820_map_deinit(&h.facts.firmware);
	e820_map_add(&h.facts.firmware, 0x100000, 4 * GIB, E820_RAM);
	e820_map_add(&h.facts.firmware, 4 * GIB, 6 * GIB, E820_SOFT);
	cr_expect_eq(worst_of(&h, "modprobe.blacklist=kmem" IDLE TOKEN, true), DOCTOR_OK);
	cr_expect_eq(worst_of(&h, "modprobe.blacklist=kmem" TOKEN, true), DOCTOR_DANGER);
}

Test(doctor_cmdlines, only_a_region_that_holds_no_pool_may_go)
{
	_cleanup_(host_deinit) struct host h;

	host_init(&h);
	h.region.pool = FACT_UNKNOWN;
	cr_expect_eq(worst_of(&h, "quiet", true), DOCTOR_DANGER);
	h.region.pool = FACT_NO;
	cr_expect_eq(worst_of(&h, "quiet", true), DOCTOR_WARNING);
}

Test(doctor_cmdlines, of_several_regions_each_one_counts)
{
	_cleanup_(host_deinit) struct host h;
	struct doctor_region both[2];

	host_init(&h);
	both[0] = h.region;
	both[1] = h.region;
	both[1].start = 7 * GIB;
	both[1].end = 8 * GIB;
	h.regions = (struct doctor_regions){.list = both, .count = 2};
	cr_expect_eq(worst_of(&h, GOOD, true), DOCTOR_DANGER);
	cr_expect_eq(worst_of(&h, GOOD " memmap=1G!7G,1G%7G-12+0xefffffff", true), DOCTOR_OK);
}

Test(doctor_cmdlines, the_running_one_is_judged_by_its_kernel)
{
	static const struct line_case on_6_1[] = {
		{SOFT, "region-idle", DOCTOR_WARNING, "this kernel does without"},
		{SOFT IDLE, "region-idle", DOCTOR_OK, "has dax_hmem"},
		{"memmap=2G%4G-1+0xefffffff", "kaslr", DOCTOR_DANGER, "may put the kernel"},
	};
	static const struct line_case on_6_12[] = {
		{SOFT, "region-idle", DOCTOR_DANGER, "goes to kmem"},
		{"memmap=2G%4G-1+0xefffffff", "kaslr", DOCTOR_OK, "built without KASLR"},
	};
	_cleanup_(host_deinit) struct host h;

	host_init(&h);
	check_lines(&h, false, on_6_1, ARRAY_SIZE(on_6_1));
	h.facts.minor = 12;
	h.facts.kaslr_built_in = FACT_NO;
	check_lines(&h, false, on_6_12, ARRAY_SIZE(on_6_12));
}

Test(doctor_cmdlines, a_plan_is_checked_where_nothing_is_in_use)
{
	static const struct line_case cases[] = {
		{"quiet", "reservation", DOCTOR_WARNING, "reserves no memory"},
		{SOFT IDLE, "reservation", DOCTOR_OK, "keeps region 0x100000000"},
		{SOFT IDLE, "firmware", DOCTOR_OK, "inside one entry"},
		{SOFT, "region-idle", DOCTOR_DANGER, "goes to kmem"},
		{"memmap=2G!8G,2G%8G-12+0xefffffff" IDLE, "firmware", DOCTOR_DANGER,
			"does not lie inside one RAM entry"},
		{"memmap=1M!4097M", "alignment", DOCTOR_DANGER, "not multiples of 2M"},
		{"memmap=1022M!4098M", "alignment", DOCTOR_WARNING, "not multiples of 16M"},
		/* The info block costs the first GiB, metadata and stamp cost one each. */
		{"memmap=4G!4G", "alignment", DOCTOR_OK, "1G pages can have 1G of it"},
		{"memmap=3G!4G", "alignment", DOCTOR_OK, "1G pages can have none of it"},
		{"memmap=2G%4G-1+0xefffffff" IDLE, "kaslr", DOCTOR_DANGER, "alone is mem=SIZE"},
	};
	_cleanup_(host_deinit) struct host h;

	host_init(&h);
	h.regions.count = 0;
	check_lines(&h, true, cases, ARRAY_SIZE(cases));
}

/* ---- the host ---- */

static void check_host(const struct host *h, struct doctor_report *r)
{
	cr_assert_eq(doctor_check_host(r, &h->facts, &h->regions), 0);
}

Test(doctor_host, a_healthy_one_passes_without_a_warning)
{
	_cleanup_(doctor_report_deinit) struct doctor_report r = DOCTOR_REPORT_NULL;
	_cleanup_(host_deinit) struct host h;
	static const char *const ids[] = {"permissions", "region", "modules", "kmem", "alignment",
		"firmware", "struct-pages", "boot", "kexec", "reboot", "image", "reuse"};

	host_init(&h);
	check_host(&h, &r);
	for (size_t n = 0; n < ARRAY_SIZE(ids); n++)
		expect(&r, "healthy", ids[n], DOCTOR_OK, "");
	cr_expect_eq(doctor_report_worst(&r), DOCTOR_OK);
}

/* What is done to a healthy host, and what is found then. */
static void become_plain_user(struct host *h)
{
	h->facts.root = h->facts.sees_addresses = false;
}

static void lose_capability(struct host *h)
{
	h->facts.sees_addresses = false;
}

static void lose_fuse(struct host *h)
{
	h->facts.fuse_node = false;
}

static void unload_hmem(struct host *h)
{
	h->facts.modules[FACT_DAX_HMEM] = MODULE_AVAILABLE;
}

static void lack_hmem(struct host *h)
{
	h->facts.modules[FACT_DAX_HMEM] = MODULE_MISSING;
}

static void give_to_kmem_in_iomem(struct host *h)
{
	h->iomem[1] = (struct fact_iomem){
		.start = 4 * GIB, .end = 6 * GIB, .depth = 2, .name = "System RAM (kmem)"};
	h->facts.iomem_count = 2;
}

static void give_to_kmem_in_sysfs(struct host *h)
{
	(void)strcpy(h->devices[0].driver, "kmem");
}

static void load_kmem(struct host *h)
{
	h->facts.modules[FACT_KMEM] = MODULE_LOADED;
}

static void unalign_device(struct host *h)
{
	h->devices[0].align = GIB;
	h->range.start = 4 * GIB + 2 * MIB;
}

static void overlap_devices(struct host *h)
{
	h->devices[1] = h->devices[0];
	h->facts.device_count = 2;
}

static void open_node(struct host *h)
{
	h->devices[0].mode = 0660;
}

static void give_node_away(struct host *h)
{
	h->devices[0].uid = 1000;
}

static void leave_firmware_ram(struct host *h)
{
	e820_map_deinit(&h->facts.firmware);
	e820_map_add(&h->facts.firmware, 0x100000, 5 * GIB, E820_RAM);
}

static void lose_firmware_map(struct host *h)
{
	e820_map_deinit(&h->facts.firmware);
}

static void move_by_a_page(struct host *h)
{
	h->region.start += 4096;
}

static void place_well_for_1g(struct host *h)
{
	h->region.start = 4 * GIB - 64 * MIB;
	h->region.end = 6 * GIB + 64 * MIB;
}

static void have_little_ram(struct host *h)
{
	h->facts.ram = 64 * MIB;
}

static void come_by_kexec(struct host *h)
{
	h->facts.bootloader = 208;
}

static void come_without_token(struct host *h)
{
	h->facts.bootloader = 208;
	h->facts.cmdline = bare_line;
}

static void lack_kexec(struct host *h)
{
	h->facts.image = FACT_UNKNOWN;
}

static void lack_kexec_file(struct host *h)
{
	h->facts.kexec_file = FACT_NO;
}

static void disable_kexec(struct host *h)
{
	h->facts.kexec_disabled = true;
}

static void lack_kexec_tools(struct host *h)
{
	h->facts.kexec_version[0] = '\0';
}

static void default_to_kexec_load(struct host *h)
{
	h->facts.kexec_by_file = FACT_NO;
}

static void run_systemd(struct host *h)
{
	h->facts.kexec_by_file = FACT_NO;
	h->facts.systemd = true;
}

static void load_at_reboot(struct host *h)
{
	h->facts.kexec_by_file = FACT_NO;
	h->facts.load_at_reboot = true;
}

static void load_image(struct host *h)
{
	h->facts.image = FACT_YES;
}

static void load_image_without_pool(struct host *h)
{
	h->facts.image = FACT_YES;
	h->region.pool = FACT_NO;
}

static void load_crash_image(struct host *h)
{
	h->facts.crash_image = FACT_YES;
}

static void lack_counts(struct host *h)
{
	h->facts.counts = FACT_NO;
	(void)strcpy(h->facts.counts_no, "there is no BTF");
}

static void lack_gate(struct host *h)
{
	h->facts.counts = FACT_YES;
	(void)strcpy(h->facts.gate_no, "there is no cgroup2");
}

static void retire(struct host *h)
{
	h->facts.devices[0].retired = true;
}

Test(doctor_host, each_check_finds_what_it_is_for)
{
	static const struct {
		void (*change)(struct host *h);
		const char *id;
		enum doctor_level level;
		const char *text;
	} cases[] = {
		{become_plain_user, "permissions", DOCTOR_WARNING, "only root sees"},
		{lose_capability, "permissions", DOCTOR_WARNING, "without CAP_SYS_ADMIN"},
		{lose_fuse, "permissions", DOCTOR_WARNING, "there is no /dev/fuse"},
		{unload_hmem, "modules", DOCTOR_WARNING,
			"dax_hmem, for soft regions, is not loaded"},
		{lack_hmem, "modules", DOCTOR_WARNING, "is not part of this kernel"},
		/* Way 3. */
		{give_to_kmem_in_iomem, "kmem", DOCTOR_DANGER, "kmem has taken"},
		{give_to_kmem_in_sysfs, "kmem", DOCTOR_DANGER, "kmem has taken"},
		{load_kmem, "kmem", DOCTOR_OK, "though kmem is loaded"},
		/* Way 7. */
		{unalign_device, "devices", DOCTOR_DANGER, "/dev/dax0.0 has pages of 1024M"},
		{overlap_devices, "devices", DOCTOR_DANGER, "reach the same memory"},
		{open_node, "nodes", DOCTOR_WARNING, "mode 0660"},
		{give_node_away, "nodes", DOCTOR_WARNING, "owner 1000"},
		{leave_firmware_ram, "firmware", DOCTOR_DANGER,
			"does not lie inside one RAM entry"},
		{lose_firmware_map, "firmware", DOCTOR_WARNING, "can't be read"},
		{move_by_a_page, "alignment", DOCTOR_DANGER, "not multiples of 2M"},
		{place_well_for_1g, "alignment", DOCTOR_OK, "1G pages can have 2G of it"},
		{have_little_ram, "struct-pages", DOCTOR_WARNING, "8M of ordinary RAM at 2M pages"},
		{come_by_kexec, "boot", DOCTOR_OK, "with 1 succession token"},
		{come_without_token, "boot", DOCTOR_WARNING, "without a succession token"},
		{lack_kexec, "kexec", DOCTOR_WARNING, "can't kexec"},
		{lack_kexec_file, "kexec", DOCTOR_WARNING, "CONFIG_KEXEC_FILE"},
		{disable_kexec, "kexec", DOCTOR_WARNING, "kexec_load_disabled"},
		{lack_kexec_tools, "kexec", DOCTOR_WARNING, "there is no kexec here"},
		/* Way 1. */
		{default_to_kexec_load, "reboot", DOCTOR_WARNING, "uses the call kexec_load"},
		{run_systemd, "reboot", DOCTOR_WARNING, "systemctl kexec"},
		{load_at_reboot, "reboot", DOCTOR_WARNING, "LOAD_KEXEC=true"},
		{load_image, "image", DOCTOR_DANGER, "nothing tells who loaded it"},
		{load_image_without_pool, "image", DOCTOR_WARNING, "nothing tells"},
		{load_crash_image, "image", DOCTOR_OK, "one is loaded for a crash"},
		/* Way 5. */
		{lack_counts, "reuse", DOCTOR_WARNING, "only at the next boot: there is no BTF"},
		{lack_gate, "exports", DOCTOR_WARNING, "at the next boot: there is no cgroup2"},
		{retire, "retired", DOCTOR_OK, "1 device of files"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(doctor_report_deinit) struct doctor_report r = DOCTOR_REPORT_NULL;
		_cleanup_(host_deinit) struct host h;
		char name[32];

		host_init(&h);
		cases[n].change(&h);
		check_host(&h, &r);
		(void)snprintf(name, sizeof(name), "case %zu", n);
		expect(&r, name, cases[n].id, cases[n].level, cases[n].text);
	}
}

Test(doctor_host, one_without_regions_has_nothing_to_lose)
{
	_cleanup_(doctor_report_deinit) struct doctor_report r = DOCTOR_REPORT_NULL;
	_cleanup_(host_deinit) struct host h;

	host_init(&h);
	h.regions.count = 0;
	h.facts.device_count = 0;
	h.facts.image = FACT_YES;
	check_host(&h, &r);
	cr_expect_eq(doctor_report_worst(&r), DOCTOR_WARNING);
	cr_expect_null(find(&r, "kmem"));
	cr_expect_null(find(&r, "struct-pages"));
}

/* ---- a kexec ---- */

Test(doctor_checks, memory_that_kmem_has_is_not_handed_on_by_a_good_command_line)
{
	static void (*const changes[])(struct host *) = {
		give_to_kmem_in_iomem, give_to_kmem_in_sysfs};
	struct host h;

	for (size_t n = 0; n < ARRAY_SIZE(changes); n++) {
		_cleanup_(doctor_report_deinit) struct doctor_report report = DOCTOR_REPORT_NULL;

		host_init(&h);
		changes[n](&h);
		cr_assert_eq(doctor_check_handover(&report, &h.facts, &h.regions, GOOD), 0);
		expect(&report, "kexec", "kmem", DOCTOR_DANGER, "kmem has taken memory of region");
		host_deinit(&h);
	}
}

Test(doctor_checks, a_good_command_line_hands_memory_on_and_a_bad_one_does_not)
{
	_cleanup_(doctor_report_deinit) struct doctor_report good = DOCTOR_REPORT_NULL;
	_cleanup_(doctor_report_deinit) struct doctor_report bad = DOCTOR_REPORT_NULL;
	struct host h;

	host_init(&h);
	cr_assert_eq(doctor_check_handover(&good, &h.facts, &h.regions, GOOD), 0);
	cr_expect_eq(doctor_report_worst(&good), DOCTOR_OK);
	cr_assert_eq(doctor_check_handover(&bad, &h.facts, &h.regions, "quiet"), 0);
	cr_expect_eq(doctor_report_worst(&bad), DOCTOR_DANGER);
	host_deinit(&h);
}
