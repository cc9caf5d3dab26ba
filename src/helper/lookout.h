/* SPDX-License-Identifier: MIT */
/*
 * Who holds what, on soft regions. Nothing there is ever shown free by a look at processes
 * (takeback.h does that), so there is no watching until it is: one look at /proc whenever somebody
 * asks, or when the last process that is known to hold an inode has ended, finds those who have or
 * map its devices without a grant of their own (a child, who was passed a descriptor, who opened an
 * exported node).
 */
#ifndef GM_HELPER_LOOKOUT_H
#define GM_HELPER_LOOKOUT_H

#include <stdbool.h>
#include <stdint.h>

#define LOOKOUT_LISTS_MAX 16U

struct server;
struct work_job;

struct lookout {
	bool wanted; /* a look that begins after this was set */
	bool running;
	uint64_t due; /* ms; not before */
	/* HOLDERS to be answered after the next look that begins; and after the one under way */
	uint64_t next_lists[LOOKOUT_LISTS_MAX];
	unsigned next_count;
	uint64_t lists[LOOKOUT_LISTS_MAX];
	unsigned count;
};

void lookout_want(struct server *s);

/* HOLDERS: answered after a fresh look; at once if too many wait for one already. */
void lookout_list(struct server *s, uint64_t id);
void lookout_link_lost(struct server *s);

/* Begins a look if one is due. Returns when to be called next, ms. */
uint64_t lookout_check_time(struct server *s, uint64_t now);
void lookout_take_scan(struct server *s, const struct work_job *job);

#endif
