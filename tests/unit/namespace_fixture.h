/* SPDX-License-Identifier: MIT */
/* A pool of 64 clean blocks with room for 1000 files, made anew for each test. */
#ifndef GM_TESTS_NAMESPACE_FIXTURE_H
#define GM_TESTS_NAMESPACE_FIXTURE_H

#include "pool_fixture.h"

#define ROOT GM_ROOT_INO
#define MIB  (1ULL << 20)

static struct pool pool;

static void setup(void)
{
	pool_init(&pool, 64, 1000, true);
}

static void teardown(void)
{
	pool_deinit(&pool);
}

#endif
