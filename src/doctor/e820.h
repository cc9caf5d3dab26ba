/* SPDX-License-Identifier: MIT */
/*
 * The map of physical memory that an x86 kernel makes for itself out of the firmware's map and its
 * command line, by the rules of arch/x86/kernel/e820.c; and what KASLR understands of the same
 * command line (arch/x86/boot/compressed/kaslr.c), which is less. Pure.
 */
#ifndef GM_DOCTOR_E820_H
#define GM_DOCTOR_E820_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "doctor/cmdline.h"

enum e820_type {
	E820_NONE = 0,
	E820_RAM = 1,
	E820_RESERVED = 2,
	E820_ACPI = 3,
	E820_NVS = 4,
	E820_UNUSABLE = 5,
	E820_PMEM = 7,
	E820_PRAM = 12,
};
#define E820_SOFT 0xefffffffU

struct e820_entry {
	uint64_t start, end; /* bytes; end is the first one behind */
	uint32_t type;
};

struct e820_map {
	struct e820_entry *entries; /* owned; they may overlap until e820_map_resolve() */
	size_t count;
	bool failed; /* there was no memory for some entry */
};

#define E820_MAP_NULL ((struct e820_map){.entries = NULL})

void e820_map_deinit(struct e820_map *m);
void e820_map_add(struct e820_map *m, uint64_t start, uint64_t end, uint32_t type);

/* What the kernel makes of base and its command line: sorted, without overlaps. 0 or -ENOMEM. */
int e820_map_resolve(
	struct e820_map *ret, const struct e820_map *base, const struct cmdline *cmdline);

/* The entry of a resolved map at this address; NULL if there is none. */
const struct e820_entry *e820_map_find(const struct e820_map *m, uint64_t address);

/* True if some of the range is of the type. */
bool e820_map_meets(const struct e820_map *m, uint64_t start, uint64_t end, uint32_t type);

/* The kernel's names, of /proc/iomem and /sys/firmware/memmap. */
const char *e820_type_name(uint32_t type);
uint32_t e820_type_of(const char *name); /* E820_NONE: not known */

#define KASLR_RANGES_MAX 4U

struct kaslr {
	bool off;     /* nokaslr */
	bool gave_up; /* more entries in one memmap= than it can remember: it switches itself off */
	unsigned memmaps; /* entries that it would have to remember: N!S, N$S, N#S */
	unsigned count;   /* those that it does */
	struct e820_entry avoided[KASLR_RANGES_MAX];
};

/* What KASLR reads. */
void kaslr_read(struct kaslr *ret, const struct cmdline *cmdline);

/* True if the kernel can't be put anywhere into the range by chance. */
bool kaslr_avoids(const struct kaslr *k, uint64_t start, uint64_t end);

#endif
