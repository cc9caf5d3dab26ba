/* SPDX-License-Identifier: MIT */
/* What the files of src/pool share. */
#ifndef GM_POOL_INTERNAL_H
#define GM_POOL_INTERNAL_H

#include "pool/pool.h"
#include "util/cleanup.h"

/* Maps the first or last block of a region, which no file ever owns; region_unmap(r, *ret,
 * GM_BLOCK_SIZE) ends it. */
int pool_map_block(const struct region *r, enum gm_stamp_position position, bool writable,
	void **ret, struct problem *why);

int pool_read_stamp(const struct region *r, enum gm_stamp_position position, struct gm_stamp *ret,
	struct problem *why);

/* store_read_super() on a region; its sentence begins with the region. */
int pool_read_super(const struct region *r, struct store_super *ret, struct problem *why);

/* Maps the first length bytes of the first region; region_unmap() on ret->base and ret->size ends
 * it. */
int pool_map_area(const struct pool *pool, uint64_t length, bool writable, struct media *ret,
	struct problem *why);

/* What region_map() gave of the region, to be stored to. */
struct media pool_media(const struct region *r, void *base, uint64_t size);

/*
 * Lets the regions reach what is ours of each: the first area_blocks of the first one, the first
 * block of the others, the last block of all. Nothing of them may be mapped.
 */
int pool_reach(struct pool *pool, uint64_t area_blocks, struct problem *why);

int pool_write_stamp(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	const struct store_super *super, const uint8_t token[16], struct problem *why);

void pool_drop_stamps(struct pool *pool);

/* Is region i, whatever its size, the one that the superblock has at that place? */
int pool_check_identity(
	const struct pool *pool, const struct store_super *super, uint32_t i, struct problem *why);

/* Is it as large as the superblock says? */
int pool_check_size(
	const struct pool *pool, const struct store_super *super, uint32_t i, struct problem *why);

/* Are there as many regions as the superblock has? */
int pool_check_count(const struct pool *pool, const struct store_super *super, struct problem *why);

#endif
