/* SPDX-License-Identifier: MIT */
/* Lists of block ranges, as the devices of a soft region have them. Pure. */
#ifndef GM_REGION_SOFT_RANGE_H
#define GM_REGION_SOFT_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region/soft_device.h"
#include "util/problem.h"

/* Joins ranges that follow each other and leaves their order; in place. Returns how many are left.
 */
size_t soft_ranges_join(struct soft_range *ranges, size_t count);

/* Is every range inside the region, not empty, aligned in physical memory and there only once?
 * -EINVAL with a sentence; -ENOMEM. */
int soft_ranges_check(const struct soft_range *ranges, size_t count, uint64_t region_start,
	uint64_t region_blocks, uint64_t align, struct problem *why);

/* True if the two share a block, which *block then is. */
bool soft_ranges_meet(const struct soft_range *a, size_t a_count, const struct soft_range *b,
	size_t b_count, uint64_t *block);

/* The same blocks in the same order, however they are cut. */
bool soft_ranges_equal(
	const struct soft_range *a, size_t a_count, const struct soft_range *b, size_t b_count);

uint64_t soft_ranges_blocks(const struct soft_range *ranges, size_t count);

/*
 * The ranges of a metadata device: the first `blocks` of the region and its last one. Returns how
 * many of the two are used.
 */
size_t soft_ranges_metadata(struct soft_range ret[2], uint64_t blocks, uint64_t region_blocks);

/* The inverse: the number of first blocks, or 0 if these are not a metadata device's. */
uint64_t soft_ranges_first_blocks(
	const struct soft_range *ranges, size_t count, uint64_t region_blocks);

#endif
