/* SPDX-License-Identifier: MIT */
/*
 * The clock by which limits are kept: milliseconds since some point in the past, never going back.
 */
#ifndef GM_UTIL_CLOCK_H
#define GM_UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_milliseconds(void)
{
	struct timespec now;

	(void)clock_gettime(
		CLOCK_MONOTONIC, &now); /* can't fail: the clock exists, the pointer is good */
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
