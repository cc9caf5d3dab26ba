// SPDX-License-Identifier: MIT
/* Each check of a command line says ok to a good one, and finds its danger in a bad one. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "doctor_fixture.h"
#include "util/cleanup.h"

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
		report_expect(&r, cases[n].cmdline, cases[n].id, cases[n].level, cases[n].text);
	}
}

static enum doctor_level worst_of(const struct host *h, const char *cmdline, bool next)
{
	_cleanup_(doctor_report_deinit) struct doctor_report r = DOCTOR_REPORT_NULL;

	cr_assert_eq(doctor_check_cmdline(&r, &h->facts, &h->regions, cmdline, next), 0);
	report_dump(&r);
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
	report_expect(&r, "long", "length", DOCTOR_DANGER, "cuts off what is beyond 2047");
	report_expect(&r, "long", "reservation", DOCTOR_DANGER, "ordinary RAM");
}

Test(doctor_cmdlines, the_remedy_restores_the_region)
{
	_cleanup_(doctor_report_deinit) struct doctor_report r = DOCTOR_REPORT_NULL;
	_cleanup_(host_deinit) struct host h;
	static const char prefix[] = "give the kernel ";

	host_init(&h);
	cr_assert_eq(doctor_check_cmdline(&r, &h.facts, &h.regions, "quiet", true), 0);
	const struct doctor_finding *f = report_find(&r, "reservation");
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
