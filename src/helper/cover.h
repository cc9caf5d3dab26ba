/* SPDX-License-Identifier: MIT */
/*
 * Which block lies in which of some devices, and where in it: an index over the ranges of a device
 * list, for planning what is still to be made and for telling a client where its extents are. Pure.
 */
#ifndef GM_HELPER_COVER_H
#define GM_HELPER_COVER_H

#include <stddef.h>
#include <stdint.h>

#include "helper/device_list.h"
#include "helper/record.h"

struct cover_range {
	unsigned region;
	uint64_t block;
	uint64_t count;
	size_t device;         /* index into the list */
	uint64_t device_block; /* of its first block */
};

struct cover {
	struct cover_range *ranges; /* by region and block; owned */
	size_t count;
};

/* A run of blocks that one device has, or none, one after the other in the file and in it. */
struct cover_piece {
	uint64_t file_block;
	unsigned region;
	uint64_t block;
	uint64_t count;
	const struct cover_range *range; /* NULL: no device has them */
	uint64_t device_block;
};

/* The list must not have two devices over one block, which the kernel sees to. -ENOMEM. */
int cover_init(struct cover *c, const struct device_list *devices);
void cover_deinit(struct cover *c);

/*
 * The first piece of the extent that begins `done` blocks after its start (done < e->count).
 * Its count says how much of the extent it takes.
 */
struct cover_piece cover_next(const struct cover *c, const struct record_extent *e, uint64_t done);

#endif
