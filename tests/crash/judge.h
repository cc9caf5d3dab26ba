/* SPDX-License-Identifier: MIT */
/* Memory that the judge keeps between states. */
#ifndef GM_TESTS_CRASH_JUDGE_H
#define GM_TESTS_CRASH_JUDGE_H

#include <stdbool.h>

struct explore_work *judge_work_new(void);
void judge_work_free(struct explore_work *w);

/* The bytes of files with content, in a state whose metadata are well. */
struct explorer;
struct explore_expected;
struct view;
bool judge_bytes(struct explorer *e, const struct explore_expected *x, const struct view *v);

#endif
