/* SPDX-License-Identifier: MIT */
/* What the files of checks share: words for ranges and parameters, and the parts of each list. */
#ifndef GM_DOCTOR_CHECKS_H
#define GM_DOCTOR_CHECKS_H

#include "doctor/doctor.h"
#include "doctor/facts.h"
#include "doctor/regions.h"

#define CHECK_MIB (UINT64_C(1) << 20)
#define CHECK_GIB (UINT64_C(1) << 30)

/* "0x100000000 (2G)". Returns buffer. */
#define CHECK_RANGE 80
const char *check_range(char buffer[CHECK_RANGE], uint64_t start, uint64_t end);

/* "memmap=2G!4G,2G%4G-12+0xefffffff dax_hmem.region_idle=1": what makes such a region. Returns
 * buffer. */
#define CHECK_PARAMETERS 200
const char *check_parameters(
	char buffer[CHECK_PARAMETERS], enum gm_region_kind kind, uint64_t start, uint64_t end);

/* Parameters for a host that has none yet: half of its largest piece of RAM. Returns buffer. */
const char *check_suggestion(char buffer[CHECK_PARAMETERS], const struct doctor_facts *facts);

/* The start and size of one region, present or planned. */
void check_alignment(
	struct doctor_report *report, enum gm_region_kind kind, uint64_t start, uint64_t end);
void check_firmware(struct doctor_report *report, const struct doctor_facts *facts, uint64_t start,
	uint64_t end);

/* The parts of doctor_check_host(). */
void check_memory(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions);
void check_kmem(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions); /* of check_memory() */
void check_kexec(struct doctor_report *report, const struct doctor_facts *facts,
	const struct doctor_regions *regions);

#endif
