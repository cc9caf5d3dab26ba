/* SPDX-License-Identifier: MIT */
/*
 * Offline check of a pool: reads, never writes. It reports everything that it finds, where recovery
 * stops at the first.
 */
#ifndef GM_STORE_FSCK_H
#define GM_STORE_FSCK_H

#include <stddef.h>
#include <stdint.h>

#include "util/problem.h"

enum fsck_severity {
	FSCK_NOTE,  /* recovery will deal with it: an unlinked inode, a superblock to be healed */
	FSCK_ERROR, /* the pool would be refused, or must not be used */
};

struct fsck_finding {
	enum fsck_severity severity;
	const char *code; /* static, stable: "block-owned-twice", "entry-dangling", ... */
	char text[512];   /* one sentence with the place */
};

struct fsck_report {
	struct fsck_finding *findings;
	size_t count;
	size_t capacity;
	uint64_t errors;
	uint64_t inodes; /* what was looked at */
	uint64_t entries;
	uint64_t extents;
	uint64_t records;
};

/*
 * area: the whole metadata area (region 0 from its start), or the first block if the superblocks
 * are unreadable; region_bytes: the present size of each region in the order of the pool, 0 for one
 * that is not there; stamps: for each region the blocks' GM_STAMP_OFFSET contents, first and last,
 * or NULL where they can't be read.
 */
struct fsck_input {
	const uint8_t *area;
	uint64_t area_bytes;
	uint32_t region_count;
	const uint64_t *region_bytes;
	const struct gm_stamp *const *stamps; /* 2 * region_count */
};

/* 0 when the check could be made, whatever it found; -ENOMEM. */
int fsck_run(struct fsck_report *ret, const struct fsck_input *in);
void fsck_report_deinit(struct fsck_report *r);

#endif
