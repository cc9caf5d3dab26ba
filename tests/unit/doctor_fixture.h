/* SPDX-License-Identifier: MIT */
/* A healthy host for the doctor, which a test makes ill, and a look at what the doctor found. */
#ifndef GM_TESTS_DOCTOR_FIXTURE_H
#define GM_TESTS_DOCTOR_FIXTURE_H

#include "doctor/doctor.h"
#include "doctor/facts.h"
#include "doctor/regions.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

/* What a good command line has, each beginning with a space but the first. */
#define SOFT  "memmap=2G!4G,2G%4G-12+0xefffffff"
#define IDLE  " dax_hmem.region_idle=1"
#define TOKEN " guestmemfs.succession=00112233445566778899aabbccddeeff"
#define GOOD  "root=/dev/vda1 " SOFT IDLE " modprobe.blacklist=kmem" TOKEN

/* It points into itself: it is initialized where it stays. */
struct host {
	struct doctor_facts facts;
	struct doctor_regions regions;
	struct doctor_region region;
	struct fact_device devices[2];
	struct e820_entry range; /* of both devices */
	struct fact_iomem iomem[2];
};

/* A healthy host with 8 GiB, a pool on the soft region at 4 GiB, kernel 6.1; or the same with a
 * pmem region. */
void host_init(struct host *h);
void host_init_pmem(struct host *h);
void host_deinit(struct host *h);

/* All findings, for the log of a test that fails. */
void report_dump(const struct doctor_report *r);

/* The worst finding with this id; NULL if there is none. */
const struct doctor_finding *report_find(const struct doctor_report *r, const char *id);

/* It has this level and this text in it, and a remedy unless all is well; what: for the log. */
void report_expect(const struct doctor_report *r, const char *what, const char *id,
	enum doctor_level level, const char *text);

#endif
