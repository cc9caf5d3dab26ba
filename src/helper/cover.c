// SPDX-License-Identifier: MIT
#include "helper/cover.h"

#include <errno.h>
#include <stdlib.h>

static int compare_ranges(const void *a, const void *b)
{
	const struct cover_range *x = a, *y = b;

	if (x->region != y->region)
		return x->region < y->region ? -1 : 1;
	return x->block < y->block ? -1 : x->block > y->block;
}

static void add_device(struct cover *c, const struct device *d, size_t index)
{
	uint64_t at = 0;

	for (size_t i = 0; i < d->soft.range_count; i++) {
		const struct soft_range *r = &d->soft.ranges[i];
		c->ranges[c->count++] = (struct cover_range){.region = d->region,
			.block = r->block,
			.count = r->count,
			.device = index,
			.device_block = at};
		at += r->count;
	}
}

int cover_init(struct cover *c, const struct device_list *devices)
{
	size_t sum = 0;

	for (size_t i = 0; i < devices->count; i++)
		sum += devices->at[i].soft.range_count;
	*c = (struct cover){.ranges = calloc(sum ? sum : 1, sizeof(*c->ranges))};
	if (!c->ranges)
		return -ENOMEM;
	for (size_t i = 0; i < devices->count; i++)
		add_device(c, &devices->at[i], i);
	qsort(c->ranges, c->count, sizeof(*c->ranges), compare_ranges);
	return 0;
}

void cover_deinit(struct cover *c)
{
	free(c->ranges);
	*c = (struct cover){.ranges = NULL};
}

/* The first range that ends behind the block; c->count if there is none. */
static size_t find_range(const struct cover *c, unsigned region, uint64_t block)
{
	size_t low = 0, high = c->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct cover_range *r = &c->ranges[middle];
		if (r->region < region || (r->region == region && r->block + r->count <= block))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct cover_piece cover_next(const struct cover *c, const struct record_extent *e, uint64_t done)
{
	struct cover_piece piece = {.file_block = e->file_block + done,
		.region = e->region,
		.block = e->block + done,
		.count = e->count - done};
	size_t i = find_range(c, e->region, piece.block);

	if (i == c->count || c->ranges[i].region != e->region)
		return piece;
	const struct cover_range *r = &c->ranges[i];
	uint64_t end = r->block;
	if (r->block <= piece.block) {
		piece.range = r;
		piece.device_block = r->device_block + (piece.block - r->block);
		end = r->block + r->count;
	}
	if (end - piece.block < piece.count)
		piece.count = end - piece.block;
	return piece;
}
