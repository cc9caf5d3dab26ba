/* SPDX-License-Identifier: MIT */
/* Scripts by chance (world.h), the same for the same seed. */
#ifndef GM_TESTS_CRASH_RANDOM_H
#define GM_TESTS_CRASH_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#define RANDOM_SCRIPT_MAX 1024U

void random_script(char script[RANDOM_SCRIPT_MAX], uint64_t seed);

#endif
