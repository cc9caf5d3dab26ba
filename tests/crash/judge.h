/* SPDX-License-Identifier: MIT */
/* Memory that the judge keeps between states. */
#ifndef GM_TESTS_CRASH_JUDGE_H
#define GM_TESTS_CRASH_JUDGE_H

struct explore_work *judge_work_new(void);
void judge_work_free(struct explore_work *w);

#endif
