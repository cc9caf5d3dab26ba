/* SPDX-License-Identifier: MIT */
/*
 * The ledger of a region: of each block, the inode that it was last granted to in this boot, and
 * whether somebody may still reach it. It is a file in the run directory (util/run_directory.h),
 * which goes with the boot as every mapping does: what a helper has noted there, the one after it
 * need not take the worker's word for. It is mapped, and allocated in full when it is made, so that
 * noting takes no system call and can't fail.
 *
 * Only the helper of the region's instance writes it; whoever formats the region forgets it.
 */
#ifndef GM_REGION_LEDGER_H
#define GM_REGION_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "region/region.h"
#include "util/problem.h"

/* Both zero: not granted in this boot, or zeroed since. */
struct ledger_entry {
	uint64_t ino; /* whose bytes the block may hold */
	uint64_t at;  /* its place in the file, in blocks, and LEDGER_* */
};

#define LEDGER_HELD  (1ULL << 63) /* it was not shown since that nobody reaches it */
#define LEDGER_SPARE (1ULL << 62) /* held, and may be handed over to another file */
#define LEDGER_CLEAN (1ULL << 61) /* it was zeroed since, all the same */
#define LEDGER_PLACE (LEDGER_CLEAN - 1)

struct ledger {
	struct ledger_entry *entries; /* one for each block of the region, from its start */
	void *map;                    /* owned, as is its size */
	size_t size;
};

#define LEDGER_NULL ((struct ledger){.map = NULL})

/*
 * Opens the region's ledger in the directory, or makes it. One of another boot, or of another file
 * under the same number, begins anew. -ENOSPC with a sentence: there is no room for it.
 */
int ledger_open(struct ledger *ret, const char *directory, const struct region *region,
	struct problem *why);
void ledger_close(struct ledger *l);

/* The region is formatted: nothing that was noted of it counts any more. In the caller's own run
 * directory. */
int ledger_forget(const struct region *region, struct problem *why);

/* The region is let go of in good order: a ledger in which nothing is noted is removed. */
void ledger_tidy(const struct region *region, const char *directory);

#endif
