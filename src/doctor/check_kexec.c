// SPDX-License-Identifier: MIT
/* How this boot began, and who would start the next one by which call. */
#include <string.h>

#include "doctor/checks.h"
#include "util/cleanup.h"

/* Documentation/arch/x86/boot.rst: loader type 0xD is kexec, in the upper digit. */
#define BOOTLOADER_KEXEC 208

static bool has_region_in_use(const struct doctor_regions *regions)
{
	for (size_t n = 0; n < regions->count; n++)
		if (regions->list[n].reserved_ram && doctor_region_in_use(&regions->list[n]))
			return true;
	return false;
}

static void check_boot(struct doctor_report *report, const struct doctor_facts *facts, bool in_use)
{
	_cleanup_(cmdline_deinit) struct cmdline cmdline = CMDLINE_NULL;
	struct doctor_finding *f = NULL;

	if (facts->bootloader < 0) {
		(void)doctor_report_add(report, "boot", DOCTOR_OK,
			"how this boot began is not known: the kernel has no bootloader_type");
		return;
	}
	if (facts->bootloader != BOOTLOADER_KEXEC) {
		(void)doctor_report_add(report, "boot", DOCTOR_OK,
			"this boot came from the firmware and a boot loader (bootloader_type %ld)",
			facts->bootloader);
		return;
	}
	if (cmdline_parse(&cmdline, facts->cmdline) < 0) {
		report->failed = true;
		return;
	}
	if (cmdline.token_count > 0 || !in_use) {
		(void)doctor_report_add(report, "boot", DOCTOR_OK,
			"this boot came by kexec (bootloader_type %d), with %zu succession "
			"token%s",
			BOOTLOADER_KEXEC, cmdline.token_count, cmdline.token_count == 1 ? "" : "s");
		return;
	}
	f = doctor_report_add(report, "boot", DOCTOR_WARNING,
		"this boot came by kexec (bootloader_type %d) without a succession token: a pool "
		"of the boot before is refused",
		BOOTLOADER_KEXEC);
	doctor_finding_remedy(f,
		"use guestmemfs kexec; if the memory is known to be whole, guestmemfs-fuse "
		"--trust-memory takes the pool all the same");
}

static void check_tools(struct doctor_report *report, const struct doctor_facts *facts)
{
	struct doctor_finding *f = NULL;

	if (facts->image == FACT_UNKNOWN || facts->kexec_file == FACT_NO) {
		f = doctor_report_add(report, "kexec", DOCTOR_WARNING, "this kernel can't kexec%s",
			facts->image == FACT_UNKNOWN ? "" : " a file (CONFIG_KEXEC_FILE)");
		doctor_finding_remedy(f, "boot one that is built with CONFIG_KEXEC_FILE");
	} else if (facts->kexec_disabled) {
		f = doctor_report_add(report, "kexec", DOCTOR_WARNING,
			"loading a kernel is switched off until the next boot "
			"(kernel.kexec_load_disabled=1)");
		doctor_finding_remedy(f, "take the setting out of sysctl.conf and boot anew");
	} else if (!facts->kexec_version[0]) {
		f = doctor_report_add(report, "kexec", DOCTOR_WARNING,
			"there is no kexec here, with which guestmemfs kexec loads the next "
			"kernel");
		doctor_finding_remedy(f, "install kexec-tools");
	} else {
		(void)doctor_report_add(report, "kexec", DOCTOR_OK,
			"kexec-tools %s; guestmemfs kexec calls it with -s (kexec_file_load)",
			facts->kexec_version);
	}
}

/*
 * kexec_load, the call without -s, looks for room in the firmware's map, where a region is RAM like
 * any other, and loads the next kernel over guests. A warning: nothing happens until somebody does
 * it, and a reboot ends guests anyway; what is lost is what should have outlived it.
 */
static void check_reboot(struct doctor_report *report, const struct doctor_facts *facts)
{
	struct doctor_finding *f = NULL;

	if (!facts->kexec_version[0])
		return;
	if (facts->kexec_by_file == FACT_YES && !facts->load_at_reboot) {
		(void)doctor_report_add(report, "reboot", DOCTOR_OK,
			"kexec -l asks the kernel first (kexec_file_load)");
		return;
	}
	if (facts->load_at_reboot) {
		f = doctor_report_add(report, "reboot", DOCTOR_WARNING,
			"every reboot of this host loads a kernel with kexec -l (kexec-load, "
			"LOAD_KEXEC=true)%s, which may load it into guests' memory",
			facts->kexec_by_file == FACT_YES ? "" : " by the call kexec_load");
		doctor_finding_remedy(f, "set LOAD_KEXEC=false in /etc/default/kexec");
		return;
	}
	f = doctor_report_add(report, "reboot", DOCTOR_WARNING,
		"kexec -l%s uses the call kexec_load here, which may load the next kernel into "
		"guests' memory",
		facts->systemd ? ", and systemctl kexec where no kernel is loaded yet," : "");
	doctor_finding_remedy(f, "load with guestmemfs kexec (or kexec -s); what is loaded then, "
				 "systemctl kexec only starts");
}

static void check_image(struct doctor_report *report, const struct doctor_facts *facts, bool in_use)
{
	if (facts->image == FACT_NO)
		(void)doctor_report_add(report, "image", DOCTOR_OK,
			"no kernel is loaded for kexec%s",
			facts->crash_image == FACT_YES ? "; one is loaded for a crash" : "");
	if (facts->image != FACT_YES)
		return;
	struct doctor_finding *f = doctor_report_add(report, "image",
		in_use ? DOCTOR_DANGER : DOCTOR_WARNING,
		"a kernel is loaded for kexec, and nothing tells who loaded it, by which call and "
		"with which command line");
	doctor_finding_remedy(f, "unless it was guestmemfs kexec --load-only: kexec -u, then "
				 "guestmemfs kexec");
}

void check_kexec(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions)
{
	bool in_use = has_region_in_use(regions);

	check_boot(report, facts, in_use);
	check_tools(report, facts);
	check_reboot(report, facts);
	check_image(report, facts, in_use);
}
