// SPDX-License-Identifier: MIT
/* The succession token in the stamps: the first and the last block of every region bear it. */
#include <string.h>

#include "pool/internal.h"

static int stamp_bears(const struct region *r, enum gm_stamp_position position,
	const uint8_t token[16], bool *bears, struct problem *why)
{
	struct gm_stamp stamp;
	int e = pool_read_stamp(r, position, &stamp, why);

	if (e == 0 && memcmp(stamp.token, token, sizeof(stamp.token)) != 0)
		*bears = false;
	return e;
}

int pool_stamps_agree(
	const struct pool *pool, const uint8_t token[16], bool *agree, struct problem *why)
{
	bool bears = true;
	int e = 0;

	for (uint32_t i = 0; i < pool->count && e == 0; i++) {
		e = stamp_bears(&pool->regions[i], GM_STAMP_FIRST, token, &bears, why);
		if (e == 0)
			e = stamp_bears(&pool->regions[i], GM_STAMP_LAST, token, &bears, why);
	}
	if (e == 0)
		*agree = bears;
	return e;
}

int pool_write_stamp(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	const uint8_t uuid[16], const uint8_t token[16], struct problem *why)
{
	const struct region *r = &pool->regions[i];
	struct gm_stamp stamp;
	void *block = NULL;
	int e = pool_map_block(r, position, true, &block, why);

	if (e < 0)
		return e;
	store_make_stamp(&stamp, uuid, i, position, r->size / GM_BLOCK_SIZE, token);
	struct media media = {.ops = &media_memory_ops, .base = block, .size = GM_BLOCK_SIZE};
	media_copy(&media, GM_STAMP_OFFSET, &stamp, sizeof(stamp));
	media_fence(&media);
	region_unmap(r, block, GM_BLOCK_SIZE);
	return 0;
}

int pool_write_stamps(const struct pool *pool, const uint8_t token[16], struct problem *why)
{
	int e = 0;

	for (uint32_t i = 0; i < pool->count && e == 0; i++) {
		e = pool_write_stamp(pool, i, GM_STAMP_FIRST, pool->super.uuid, token, why);
		if (e == 0)
			e = pool_write_stamp(pool, i, GM_STAMP_LAST, pool->super.uuid, token, why);
	}
	return e;
}
