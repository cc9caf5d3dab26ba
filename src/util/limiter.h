/* SPDX-License-Identifier: MIT */
/*
 * Keeps what others can cause at will from filling the log: so many lines a period, then one that
 * says how many were left out.
 */
#ifndef GM_UTIL_LIMITER_H
#define GM_UTIL_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITER_PERIOD 10000U /* ms */

struct limiter {
	uint64_t started; /* ms */
	unsigned lines;
	unsigned left_out;
};

/* The number of lines that were left out, once, when the period is over; else 0. */
static inline unsigned limiter_own_up(struct limiter *l, uint64_t now)
{
	unsigned left_out = 0;

	if (now - l->started >= LIMITER_PERIOD) {
		left_out = l->left_out;
		*l = (struct limiter){.started = now};
	}
	return left_out;
}

/*
 * May one more line, of so many a period, be written at this time? *left_out is the number of lines
 * to own up to first, mostly 0.
 */
static inline bool limiter_allow(
	struct limiter *l, unsigned lines, uint64_t now, unsigned *left_out)
{
	*left_out = limiter_own_up(l, now);
	if (l->lines >= lines) {
		l->left_out++;
		return false;
	}
	l->lines++;
	return true;
}

#endif
