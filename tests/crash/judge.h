/* SPDX-License-Identifier: MIT */
/* What the judges of a state share; explore.c makes and frees it. */
#ifndef GM_TESTS_CRASH_JUDGE_H
#define GM_TESTS_CRASH_JUDGE_H

#include <stdbool.h>

#include "explore.h"
#include "reader.h"
#include "trace.h"
#include "view.h"

/* Memory that is kept between states, being large. */
struct explore_work {
	struct reading reading;
	struct view view;
	struct trace traces[EXPLORE_DEPTH]; /* of what is explored after a crash, by depth */
	struct pool_world *world;           /* of whole pools alone (pool_judge_begin()) */
	const struct pool_scenario *scenario;
};

/* The bytes of files with content, in a state whose metadata are well. */
bool judge_bytes(struct explorer *e, const struct explore_expected *x, const struct view *v);

#endif
