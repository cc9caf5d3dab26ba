// SPDX-License-Identifier: MIT
/*
 * The succession token in the stamps: the first and the last block of every region bear it. These
 * blocks are mapped for the moment, or kept mapped by a process that can't map them later.
 */
#include <string.h>

#include "pool/internal.h"

static void **kept_block(struct pool *pool, uint32_t i, enum gm_stamp_position position)
{
	return &pool->kept[i][position];
}

int pool_keep_stamps(struct pool *pool, struct problem *why)
{
	int e = 0;

	for (uint32_t i = 0; i < pool->count; i++)
		for (enum gm_stamp_position n = GM_STAMP_FIRST; n <= GM_STAMP_LAST && e == 0; n++)
			e = pool_map_block(&pool->regions[i], n, true, kept_block(pool, i, n), why);
	if (e < 0)
		pool_drop_stamps(pool);
	return e;
}

void pool_drop_stamps(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->count; i++)
		for (enum gm_stamp_position n = GM_STAMP_FIRST; n <= GM_STAMP_LAST; n++) {
			void **block = kept_block(pool, i, n);

			region_unmap(&pool->regions[i], *block, GM_BLOCK_SIZE);
			*block = NULL;
		}
}

static int borrow_block(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	bool writable, void **ret, struct problem *why)
{
	*ret = pool->kept[i][position];
	return *ret ? 0 : pool_map_block(&pool->regions[i], position, writable, ret, why);
}

static void return_block(
	const struct pool *pool, uint32_t i, enum gm_stamp_position position, void *block)
{
	if (block != pool->kept[i][position])
		region_unmap(&pool->regions[i], block, GM_BLOCK_SIZE);
}

static int stamp_bears(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	const uint8_t token[16], bool *bears, struct problem *why)
{
	struct gm_stamp stamp;
	void *block = NULL;
	int e = borrow_block(pool, i, position, false, &block, why);

	if (e < 0)
		return e;
	memcpy(&stamp, (const uint8_t *)block + GM_STAMP_OFFSET, sizeof(stamp));
	if (!store_stamp_bears(&stamp, token))
		*bears = false;
	return_block(pool, i, position, block);
	return 0;
}

int pool_stamps_agree(
	const struct pool *pool, const uint8_t token[16], bool *agree, struct problem *why)
{
	bool bears = true;
	int e = 0;

	for (uint32_t i = 0; i < pool->count; i++)
		for (enum gm_stamp_position n = GM_STAMP_FIRST; n <= GM_STAMP_LAST && e == 0; n++)
			e = stamp_bears(pool, i, n, token, &bears, why);
	if (e == 0)
		*agree = bears;
	return e;
}

int pool_write_stamp(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	const struct store_super *super, const uint8_t token[16], struct problem *why)
{
	struct gm_stamp stamp;
	void *block = NULL;
	int e = borrow_block(pool, i, position, true, &block, why);

	if (e < 0)
		return e;
	store_make_stamp(&stamp, super->uuid, i, position, pool->regions[i].size / GM_BLOCK_SIZE,
		&super->plan, token);
	struct media media = pool_media(&pool->regions[i], block, GM_BLOCK_SIZE);
	media_copy(&media, GM_STAMP_OFFSET, &stamp, sizeof(stamp));
	media_fence(&media);
	return_block(pool, i, position, block);
	return 0;
}

int pool_write_stamps(const struct pool *pool, const uint8_t token[16], struct problem *why)
{
	int e = 0;

	for (uint32_t i = 0; i < pool->count; i++)
		for (enum gm_stamp_position n = GM_STAMP_FIRST; n <= GM_STAMP_LAST && e == 0; n++)
			e = pool_write_stamp(pool, i, n, &pool->super, token, why);
	return e;
}
