/* SPDX-License-Identifier: MIT */
/*
 * A pool of two regions whose memory is an image: what src/pool stores to any block of either one
 * is recorded and can be taken back. The regions are files in memory, mapped side by side;
 * region_map() and pool_media() are replaced at link time, which is how a store is known by its
 * place.
 */
#ifndef GM_TESTS_CRASH_POOL_WORLD_H
#define GM_TESTS_CRASH_POOL_WORLD_H

#include "faults.h"
#include "pool/pool.h"

#define POOL_REGIONS    2U
#define POOL_BLOCKS_MAX 8U  /* of a region */
#define POOL_FILES      40U /* --max-files */
#define POOL_MAPS       16U

struct pool_world {
	struct image image; /* of both regions at their largest, one behind the other */
	struct recorder recorder;
	int fd[POOL_REGIONS];
	uint64_t blocks[POOL_REGIONS]; /* as large as they are now */
	bool reserved;                 /* reserved RAM, with succession tokens */
	uint8_t boot_id[16];
	struct pool_map {
		uint8_t *address;
		uint64_t length;
		uint64_t offset; /* in the image */
	} maps[POOL_MAPS];
	uint64_t strays; /* stores to what is not ours */
};

/* There is one at a time. */
void pool_world_init(struct pool_world *w, bool reserved);
void pool_world_deinit(struct pool_world *w);

/* The files are so large from now on; smaller is not possible. */
void pool_world_resize(struct pool_world *w, const uint64_t blocks[POOL_REGIONS]);

/* Where a block of a region lies in the image. */
uint64_t pool_world_offset(uint32_t region, uint64_t block);

/* The regions as a pool, not loaded; pool_close() ends it. */
void pool_world_open(struct pool_world *w, struct pool *ret);

/* ---- what is done to it; 0 or an error with a sentence ---- */

int pool_world_format(struct pool_world *w, struct problem *why);
int pool_world_mount(struct pool_world *w, struct problem *why);  /* under w->boot_id */
int pool_world_change(struct pool_world *w, struct problem *why); /* a file, and a checkpoint */
int pool_world_grow(struct pool_world *w, struct problem *why);

/* Loads and opens what is there and reads it. An error: it is refused. */
int pool_world_read(struct pool_world *w, struct view *ret, struct problem *why);

/* Would a format go ahead without being forced? */
bool pool_world_is_blank(struct pool_world *w);

/* How many errors the offline check finds. */
uint64_t pool_world_check(struct pool_world *w);

#endif
