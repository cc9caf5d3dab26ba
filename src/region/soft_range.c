// SPDX-License-Identifier: MIT
#include "region/soft_range.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guestmemfs/types.h"
#include "region/region.h"
#include "util/cleanup.h"

size_t soft_ranges_join(struct soft_range *ranges, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct soft_range *last = kept ? &ranges[kept - 1] : NULL;

		if (last && last->block + last->count == ranges[i].block &&
			ranges[i].count <= UINT32_MAX - last->count)
			last->count += ranges[i].count;
		else
			ranges[kept++] = ranges[i];
	}
	return kept;
}

static int range_check(const struct soft_range *r, uint64_t region_start, uint64_t region_blocks,
	uint64_t align, struct problem *why)
{
	char text[REGION_SIZE_TEXT];

	if (r->count == 0 || r->block >= region_blocks || r->count > region_blocks - r->block)
		return problem(why, EINVAL,
			"%" PRIu32 " blocks from block %" PRIu64 " are not inside the region's "
			"%" PRIu64,
			r->count, r->block, region_blocks);
	const uint64_t physical = region_start + r->block * GM_BLOCK_SIZE;
	/* The kernel checks the length alone; with another start the mapping of the first page
	 * would reach what lies before it. */
	if (physical % align != 0 || r->count * GM_BLOCK_SIZE % align != 0)
		return problem(why, EINVAL,
			"%" PRIu32 " blocks from block %" PRIu64 " (physical %#" PRIx64
			") are not aligned to %s",
			r->count, r->block, physical, region_format_size(text, align));
	return 0;
}

static int range_compare(const void *a, const void *b)
{
	const struct soft_range *x = a;
	const struct soft_range *y = b;

	return x->block < y->block ? -1 : x->block > y->block;
}

static struct soft_range *ranges_sorted(const struct soft_range *ranges, size_t count)
{
	struct soft_range *sorted = malloc((count ? count : 1) * sizeof(*sorted));

	if (sorted && count) {
		memcpy(sorted, ranges, count * sizeof(*sorted));
		qsort(sorted, count, sizeof(*sorted), range_compare);
	}
	return sorted;
}

int soft_ranges_check(const struct soft_range *ranges, size_t count, uint64_t region_start,
	uint64_t region_blocks, uint64_t align, struct problem *why)
{
	_cleanup_free_ struct soft_range *sorted = NULL;

	if (count == 0)
		return problem(why, EINVAL, "a device has at least one range of blocks");
	if (align != GM_BLOCK_SIZE && align != GM_GROUP_SIZE)
		return problem(why, EINVAL,
			"%" PRIu64 " bytes are no page size of a device's mappings: 2M or 1G",
			align);
	for (size_t i = 0; i < count; i++) {
		int r = range_check(&ranges[i], region_start, region_blocks, align, why);
		if (r < 0)
			return r;
	}
	sorted = ranges_sorted(ranges, count);
	if (!sorted)
		return problem_errno(why, ENOMEM, "checking ranges of blocks");
	for (size_t i = 1; i < count; i++)
		if (sorted[i].block < sorted[i - 1].block + sorted[i - 1].count)
			return problem(why, EINVAL,
				"block %" PRIu64 " is in two of the ranges of one device",
				sorted[i].block);
	return 0;
}

bool soft_ranges_meet(const struct soft_range *a, size_t a_count, const struct soft_range *b,
	size_t b_count, uint64_t *block)
{
	for (size_t i = 0; i < a_count; i++)
		for (size_t j = 0; j < b_count; j++) {
			uint64_t from = a[i].block > b[j].block ? a[i].block : b[j].block;
			uint64_t a_end = a[i].block + a[i].count;
			uint64_t b_end = b[j].block + b[j].count;

			if (from < a_end && from < b_end) {
				*block = from;
				return true;
			}
		}
	return false;
}

bool soft_ranges_equal(
	const struct soft_range *a, size_t a_count, const struct soft_range *b, size_t b_count)
{
	uint64_t a_used = 0; /* blocks of a[i] and b[j] that have been compared */
	uint64_t b_used = 0;
	size_t i = 0;
	size_t j = 0;

	while (i < a_count && j < b_count) {
		uint64_t a_left = a[i].count - a_used;
		uint64_t b_left = b[j].count - b_used;
		uint64_t step = a_left < b_left ? a_left : b_left;

		if (a[i].block + a_used != b[j].block + b_used)
			return false;
		a_used = step == a_left ? 0 : a_used + step;
		b_used = step == b_left ? 0 : b_used + step;
		i += step == a_left;
		j += step == b_left;
	}
	return i == a_count && j == b_count;
}

uint64_t soft_ranges_blocks(const struct soft_range *ranges, size_t count)
{
	uint64_t blocks = 0;

	for (size_t i = 0; i < count; i++)
		blocks += ranges[i].count;
	return blocks;
}

size_t soft_ranges_metadata(struct soft_range ret[2], uint64_t blocks, uint64_t region_blocks)
{
	ret[0] = (struct soft_range){.block = 0, .count = (uint32_t)blocks};
	ret[1] = (struct soft_range){.block = region_blocks - 1, .count = 1};
	return soft_ranges_join(ret, 2);
}

uint64_t soft_ranges_first_blocks(
	const struct soft_range *ranges, size_t count, uint64_t region_blocks)
{
	struct soft_range wanted[2];
	uint64_t blocks = soft_ranges_blocks(ranges, count);

	if (blocks < 2 || blocks > region_blocks)
		return 0;
	size_t n = soft_ranges_metadata(wanted, blocks - 1, region_blocks);
	return soft_ranges_equal(ranges, count, wanted, n) ? blocks - 1 : 0;
}
