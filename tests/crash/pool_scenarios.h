/* SPDX-License-Identifier: MIT */
/* What is tried with a pool of two regions: how each begins, what is done, and what a crash in it
 * may leave; and the writers that are broken on purpose. */
#ifndef GM_TESTS_CRASH_POOL_SCENARIOS_H
#define GM_TESTS_CRASH_POOL_SCENARIOS_H

#include "pool_world.h"

typedef int pool_step(struct pool_world *w, struct problem *why);

struct pool_scenario {
	const char *name;
	pool_step *prepare;
	pool_step *run; /* the operation; done again after a crash it must succeed */
	/* Before it is acknowledged the pool may be refused; only until it is done again. */
	bool may_refuse;
	bool again_is_same; /* done again it gives the same state, not another one of its kind */
};

extern const struct pool_scenario pool_scenarios[];
extern const size_t pool_scenario_count;

struct pool_fault {
	const char *scenario;
	struct writer_fault writer;
};

extern const struct pool_fault pool_faults[];
extern const size_t pool_fault_count;

#endif
