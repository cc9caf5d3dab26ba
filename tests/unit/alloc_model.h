/* SPDX-License-Identifier: MIT */
/*
 * The allocator's state in its plainest form: three bytes a block. Facts about groups are found by
 * looking at all their blocks, and a plan is judged by the rules, not by how it was made.
 */
#ifndef GM_TESTS_UNIT_ALLOC_MODEL_H
#define GM_TESTS_UNIT_ALLOC_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/alloc.h"

#define GROUP   512U
#define REGIONS 4U
#define BLOCKS  2600U /* of a region at most */
#define GROUPS  (BLOCKS / GROUP + 2)

enum state { OUTSIDE, FREE, USED, QUARANTINED };

struct block {
	uint8_t state; /* enum state */
	bool clean, poisoned;
};

struct model {
	uint32_t regions;
	struct alloc_region region[REGIONS];
	struct block block[REGIONS][BLOCKS];
};

/* What the model finds out about a group by looking at its blocks. */
struct facts {
	unsigned free, run, clean_run;
	bool whole, whole_clean;
};

/* Free and sound. */
bool model_is_free(const struct block *b);

struct facts model_look_at(const struct model *m, uint32_t region, uint32_t group);

/* Plans nblocks, twice, and asserts that the plan is what the rules ask for and leaves no trace. */
void model_judge_plan(
	const struct model *m, struct alloc *a, uint64_t nblocks, enum alloc_unit unit);

#endif
