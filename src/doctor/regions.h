/* SPDX-License-Identifier: MIT */
/*
 * The reserved memory of this host, and which of it a pool lives in. Asked of the memory itself and
 * not of the processes that serve it: guests run on while those are dead, and their memory is in
 * use all the same. Pure.
 */
#ifndef GM_DOCTOR_REGIONS_H
#define GM_DOCTOR_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doctor/facts.h"
#include "guestmemfs/format.h"

struct doctor_region {
	enum gm_region_kind kind; /* soft or pmem */
	uint64_t start, end; /* physical bytes: what memmap= has to say, not what of it is usable */
	uint32_t type;       /* enum e820_type, E820_SOFT */
	bool reserved_ram;   /* kept from the kernel by its command line or the firmware's map */
	enum fact pool;      /* a pool lives in it; unknown: no device to look through */
};

struct doctor_regions {
	struct doctor_region *list; /* owned */
	size_t count;
};

#define DOCTOR_REGIONS_NULL ((struct doctor_regions){.list = NULL})

/* 0 or -ENOMEM. */
int doctor_regions_find(struct doctor_regions *ret, const struct doctor_facts *facts);
void doctor_regions_deinit(struct doctor_regions *r);

/* In doubt it is. */
static inline bool doctor_region_in_use(const struct doctor_region *r)
{
	return r->pool != FACT_NO;
}

#endif
