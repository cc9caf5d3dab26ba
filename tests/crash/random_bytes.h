/* SPDX-License-Identifier: MIT */
/*
 * The store draws random bytes: the seed of its names' hash, succession tokens. Here getrandom(2)
 * is replaced at link time, so that every run of a script stores the same.
 */
#ifndef GM_TESTS_CRASH_RANDOM_BYTES_H
#define GM_TESTS_CRASH_RANDOM_BYTES_H

#include <stdint.h>

/* The bytes from here on follow from the number. */
void random_bytes_restart(uint64_t number);

#endif
