// SPDX-License-Identifier: MIT
/*
 * The succession token in the stamps: the first and the last block of every region bear it. These
 * blocks are mapped for the moment, or kept mapped by a process that can't map them later.
 */
#include <errno.h>
#include <string.h>

#include "pool/area.h"
#include "pool/internal.h"
#include "util/sigbus.h"

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

static int read_stamp(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	const void *block, struct gm_stamp *ret, struct problem *why)
{
	const struct region *r = &pool->regions[i];
	uint64_t offset = position == GM_STAMP_FIRST ? 0 : r->size - GM_BLOCK_SIZE;

	return pool_read(r, offset + GM_STAMP_OFFSET, (const uint8_t *)block + GM_STAMP_OFFSET, ret,
		sizeof(*ret), why);
}

static int stamp_bears(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	const uint8_t token[16], bool *bears, struct problem *why)
{
	struct gm_stamp stamp;
	void *block = NULL;
	int e = borrow_block(pool, i, position, false, &block, why);

	if (e < 0)
		return e;
	e = read_stamp(pool, i, position, block, &stamp, why);
	if (e == 0 && !store_stamp_bears(&stamp, token))
		*bears = false;
	return_block(pool, i, position, block);
	return e;
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

struct stamping {
	struct media media;
	struct gm_stamp stamp;
};

static void store_stamp(void *data)
{
	struct stamping *s = data;

	media_copy(&s->media, GM_STAMP_OFFSET, &s->stamp, sizeof(s->stamp));
	media_fence(&s->media);
}

/* A start in the same boot has nothing to write, and does not depend on it that it could. What was
 * to be written back from the caches may not have been. */
static bool is_stamped(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	const void *block, const struct gm_stamp *stamp)
{
	struct problem why = PROBLEM_INIT;
	struct gm_stamp there;

	return !pool->regions[i].write_back &&
	       read_stamp(pool, i, position, block, &there, &why) == 0 &&
	       memcmp(&there, stamp, sizeof(there)) == 0;
}

int pool_write_stamp(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	const struct store_super *super, const uint8_t token[16], struct problem *why)
{
	const struct region *r = &pool->regions[i];
	struct stamping s;
	struct sigbus what;
	void *block = NULL;
	int e = borrow_block(pool, i, position, true, &block, why);

	if (e < 0)
		return e;
	store_make_stamp(
		&s.stamp, super->uuid, i, position, r->size / GM_BLOCK_SIZE, &super->plan, token);
	s.media = pool_media(r, block, GM_BLOCK_SIZE);
	if (!is_stamped(pool, i, position, block, &s.stamp) &&
		sigbus_guard(store_stamp, &s, &what) < 0)
		e = problem(why, EIO,
			"region %s: the stamp in its %s block can't be written: the memory %s; do "
			"the same again once it can be",
			r->name, position == GM_STAMP_FIRST ? "first" : "last",
			pool_say_how(what.poisoned));
	return_block(pool, i, position, block);
	return e;
}

int pool_write_stamps(const struct pool *pool, const uint8_t token[16], struct problem *why)
{
	int e = 0;

	for (uint32_t i = 0; i < pool->count; i++)
		for (enum gm_stamp_position n = GM_STAMP_FIRST; n <= GM_STAMP_LAST && e == 0; n++)
			e = pool_write_stamp(pool, i, n, &pool->super, token, why);
	return e;
}
