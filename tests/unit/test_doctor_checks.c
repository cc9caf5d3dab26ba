// SPDX-License-Identifier: MIT
/* Each check of a host says ok to a good one, and finds its danger in a bad one; and what is handed
 * on by a kexec. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "doctor_fixture.h"
#include "util/cleanup.h"

static char bare_line[] = "quiet";

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
		report_expect(&r, "healthy", ids[n], DOCTOR_OK, "");
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
		report_expect(&r, name, cases[n].id, cases[n].level, cases[n].text);
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
	cr_expect_null(report_find(&r, "kmem"));
	cr_expect_null(report_find(&r, "struct-pages"));
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
		report_expect(
			&report, "kexec", "kmem", DOCTOR_DANGER, "kmem has taken memory of region");
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
