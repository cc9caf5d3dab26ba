/* SPDX-License-Identifier: MIT */
/* Chances that a seed repeats. */
#ifndef GM_TESTS_FUZZ_DICE_H
#define GM_TESTS_FUZZ_DICE_H

#include <stdint.h>

#include "../crash/image.h"

struct dice {
	uint64_t seed;
	uint64_t thrown;
};

/* A number below n, which is not 0. */
static inline uint64_t dice_below(struct dice *d, uint64_t n)
{
	return image_mix(d->seed, ++d->thrown) % n;
}

#endif
