/* SPDX-License-Identifier: MIT */
/*
 * Chance for tests: all numbers follow from one seed, which GM_SEED gives; without it one is chosen
 * and printed. The test runner does that before it starts the tests, each in a process of its own,
 * which find it in their environment: with --tap=- Criterion drops what they print themselves.
 */
#ifndef GM_TESTS_UNIT_CHANCE_H
#define GM_TESTS_UNIT_CHANCE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static unsigned short chance_state[3];

__attribute__((constructor)) static void chance_choose_seed(void)
{
	char seed[32];

	if (getenv("GM_SEED"))
		return;
	(void)snprintf(seed, sizeof(seed), "%u", (unsigned)time(NULL));
	(void)setenv("GM_SEED", seed, 1);
	fprintf(stderr, "# GM_SEED=%s\n", seed);
}

/* To be called first in each test that takes chances. */
static inline void chance_start(void)
{
	unsigned long seed = strtoul(getenv("GM_SEED"), NULL, 0);

	chance_state[0] = (unsigned short)seed;
	chance_state[1] = (unsigned short)(seed >> 16);
	chance_state[2] = 0x330e;
}

/* A number from 0 to n - 1. */
static inline uint32_t chance_below(uint32_t n)
{
	return (uint32_t)nrand48(chance_state) % n;
}

#endif
