/* SPDX-License-Identifier: MIT */
/* The judge of whole pools, in place of judge.c. */
#ifndef GM_TESTS_CRASH_POOL_JUDGE_H
#define GM_TESTS_CRASH_POOL_JUDGE_H

#include "explore.h"
#include "pool_scenarios.h"

/* What the states are of that are judged from here on. */
void pool_judge_begin(
	struct explorer *e, struct pool_world *world, const struct pool_scenario *scenario);

#endif
