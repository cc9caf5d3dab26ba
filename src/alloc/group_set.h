/* SPDX-License-Identifier: MIT */
/*
 * A set of groups, as a bitmap with summaries above it, so that the lowest member at or after a
 * group is found in a constant number of steps. Groups are numbered from 1; 0 is "none".
 */
#ifndef GM_ALLOC_GROUP_SET_H
#define GM_ALLOC_GROUP_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each level has one bit for each word of the level below, and the top level is one word: 16 Mi
 * groups, 16 PiB. */
#define GROUP_SET_LEVELS 4U
#define GROUP_SET_MAX    (1U << 6 * GROUP_SET_LEVELS)

struct group_set {
	uint64_t *level[GROUP_SET_LEVELS];
	size_t words[GROUP_SET_LEVELS];
	uint32_t count;
};

/*
 * Makes room for group numbers below n, at most GROUP_SET_MAX. -ENOMEM; the set is as before then.
 */
int group_set_reserve(struct group_set *s, uint32_t n);
void group_set_deinit(struct group_set *s);

bool group_set_has(const struct group_set *s, uint32_t group);
void group_set_put(struct group_set *s, uint32_t group, bool member);

/* The lowest member at or after from; 0 if there is none. */
uint32_t group_set_next(const struct group_set *s, uint32_t from);

/* The run of adjacent members that begins with the lowest member at or after from: its length; 0 if
 * there is none. */
uint32_t group_set_next_run(const struct group_set *s, uint32_t from, uint32_t *start);

#endif
