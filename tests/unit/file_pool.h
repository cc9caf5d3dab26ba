/* SPDX-License-Identifier: MIT */
/*
 * Pools over real files, in a directory of one test: each test is a process of its own.
 */
#ifndef GM_TESTS_FILE_POOL_H
#define GM_TESTS_FILE_POOL_H

#include "pool/pool.h"

#define MIB         (1024ULL * 1024)
#define SIZE        (64 * MIB) /* of a region */
#define FILES       1000
#define REGIONS_MAX 3U

/* For a TestSuite. */
void file_pool_make_dir(void);
void file_pool_remove_dir(void);

/* Good until it was called 16 times more. */
const char *file_pool_path(const char *name);

/* names: "a", "a b", ...; options as in a specification, for each of them. */
int file_pool_open(struct pool *ret, const char *names, const char *options, unsigned flags,
	struct problem *why);

extern const struct pool_format file_pool_plain;

/* A pool of fresh regions; returns its uuid in a buffer of the caller's. */
void file_pool_make(const char *names, uint8_t uuid[16]);

/* pool_load(), to be closed at once; the second one with this errno and this in its sentence. */
int file_pool_load(const char *names, struct problem *why);
void file_pool_expect_refused(const char *names, int err, const char *sentence);

/* One byte of a region; returns what was there. */
uint8_t file_pool_poke(const char *name, uint64_t offset, uint8_t value);

#endif
