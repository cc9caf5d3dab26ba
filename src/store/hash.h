/* SPDX-License-Identifier: MIT */
/*
 * The hashes under which inodes and entries stand in their tables. In memory only: free to change.
 *
 * Users choose names, so names are hashed with a seed that each process draws anew: nobody can fill
 * a directory with names that collide, behind which every lookup of the pool would wait.
 */
#ifndef GM_STORE_HASH_H
#define GM_STORE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

/* Numbers count up from 1: a multiplication by an odd constant (Fibonacci hashing) and the high
 * bits spread them. */
static inline uint64_t hash_ino(uint64_t ino)
{
	uint64_t h = ino * 0x9e3779b97f4a7c15ULL;

	return h ^ h >> 32;
}

static inline uint64_t hash_name(uint64_t seed, uint64_t parent, const char *name, size_t length)
{
	return XXH3_64bits_withSeed(name, length, seed + parent);
}

#endif
