// SPDX-License-Identifier: MIT
/*
 * Opening, locking and loading a pool. A struct pool owns its regions and the mapping of the
 * metadata area; a failure of pool_load() leaves the regions open and nothing mapped.
 */
#include "pool/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "pool/area.h"
#include "pool/internal.h"

/* ---- the regions ---- */

/* One region under two names would pass every check of its own, and its second lock would wait for
 * the first. */
static int pool_check_distinct(
	const struct pool *pool, const struct region *added, struct problem *why)
{
	struct stat a;
	struct stat b;

	if (fstat(added->fd, &a) < 0)
		return problem_errno(why, errno, "looking at region %s", added->name);
	for (uint32_t i = 0; i < pool->count; i++)
		if (fstat(pool->regions[i].fd, &b) == 0 && a.st_dev == b.st_dev &&
			a.st_ino == b.st_ino)
			return problem(why, EINVAL,
				"regions %s and %s are the same memory: a pool has each one once",
				pool->regions[i].name, added->name);
	return 0;
}

static int pool_check_room(const struct pool *pool, struct problem *why)
{
	if (pool->count < GM_REGIONS_MAX)
		return 0;
	return problem(why, EINVAL, "a pool has at most %u regions", GM_REGIONS_MAX);
}

static int pool_add(struct pool *pool, struct region *region, bool created, struct problem *why)
{
	int r = pool_check_distinct(pool, region, why);

	if (r < 0) {
		if (created)
			region_discard(region);
		region_close(region);
		return r;
	}
	pool->regions[pool->count] = *region;
	pool->created[pool->count++] = created;
	return 0;
}

/* The metadata area of a pool of these regions as format makes it by default. Bytes; 0: who knows.
 */
static uint64_t pool_guess_area(const struct region_spec *specs, uint32_t count)
{
	struct store_region regions[GM_REGIONS_MAX] = {{.blocks = 0}};
	struct store_plan plan;

	for (uint32_t i = 0; i < count && i < GM_REGIONS_MAX; i++) {
		regions[i].blocks = region_peek_size(&specs[i]) / GM_BLOCK_SIZE;
		if (regions[i].blocks == 0)
			return 0;
	}
	if (store_plan(&plan, regions, count, STORE_MAX_FILES_DEFAULT, NULL) < 0)
		return 0;
	return plan.meta_blocks * GM_BLOCK_SIZE;
}

int pool_open(struct pool *ret, const struct region_spec *specs, uint32_t count, unsigned flags,
	struct problem *why)
{
	struct pool pool = POOL_NULL;
	uint64_t area = pool_guess_area(specs, count);
	int r = count == 0 ? problem(why, EINVAL, "a pool has at least one region") : 0;

	for (uint32_t i = 0; i < count && r == 0; i++) {
		struct region_spec spec = specs[i];
		struct region region = REGION_NULL;
		bool created = false;

		spec.reach = i == 0 ? area : 0;
		r = pool_check_room(&pool, why);
		if (r == 0)
			r = region_open(&region, &spec, flags, &created, why);
		if (r == 0)
			r = pool_add(&pool, &region, created, why);
	}
	if (r < 0) {
		pool_discard_created(&pool);
		pool_close(&pool);
		return r;
	}
	*ret = pool;
	return 0;
}

int pool_adopt(
	struct pool *pool, enum gm_region_kind kind, int fd, const char *name, struct problem *why)
{
	struct region region = REGION_NULL;
	int r = pool_check_room(pool, why);

	if (r < 0) {
		(void)close_fd(fd);
		return r;
	}
	r = region_adopt(&region, kind, fd, name, why);
	return r < 0 ? r : pool_add(pool, &region, false, why);
}

static int64_t pool_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int pool_lock(struct pool *pool, bool shared, unsigned timeout_ms, struct problem *why)
{
	int64_t deadline = pool_now_ms() + timeout_ms;

	for (uint32_t i = 0; i < pool->count; i++) {
		int64_t left = deadline - pool_now_ms();
		int r = region_lock(&pool->regions[i], shared, left > 0 ? (unsigned)left : 0, why);
		if (r < 0)
			return r;
	}
	return 0;
}

void pool_discard_created(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->count; i++)
		if (pool->created[i])
			region_discard(&pool->regions[i]);
}

static void pool_unmap(struct pool *pool)
{
	pool_drop_stamps(pool);
	if (pool->media.base)
		region_unmap(&pool->regions[0], pool->media.base, pool->media.size);
	pool->media = (struct media){.base = NULL};
	pool->loaded = false;
}

void pool_close(struct pool *pool)
{
	pool_unmap(pool);
	for (uint32_t i = 0; i < pool->count; i++)
		region_close(&pool->regions[i]);
	*pool = POOL_NULL;
}

/* ---- the metadata ---- */

static uint64_t pool_block_offset(const struct region *r, enum gm_stamp_position position)
{
	return position == GM_STAMP_FIRST ? 0 : r->size - GM_BLOCK_SIZE;
}

int pool_map_block(const struct region *r, enum gm_stamp_position position, bool writable,
	void **ret, struct problem *why)
{
	int err = 0;
	void *block = region_map(r, pool_block_offset(r, position), GM_BLOCK_SIZE, writable, &err);

	if (!block)
		return problem_errno(why, err, "mapping the %s block of region %s",
			position == GM_STAMP_FIRST ? "first" : "last", r->name);
	*ret = block;
	return 0;
}

int pool_read_stamp(const struct region *r, enum gm_stamp_position position, struct gm_stamp *ret,
	struct problem *why)
{
	void *block = NULL;
	int e = pool_map_block(r, position, false, &block, why);

	if (e < 0)
		return e;
	e = pool_read(r, pool_block_offset(r, position) + GM_STAMP_OFFSET,
		(const uint8_t *)block + GM_STAMP_OFFSET, ret, sizeof(*ret), why);
	region_unmap(r, block, GM_BLOCK_SIZE);
	return e;
}

/* A copy that can't be read is a damaged one: the other one may be whole. */
static int read_copies(
	const struct region *r, const uint8_t *block, struct store_super *ret, struct problem *why)
{
	static const uint64_t offsets[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};
	struct gm_super copies[2] = {{.magic = ""}, {.magic = ""}};
	struct problem reason = PROBLEM_INIT;
	int e, unread = 0;

	for (size_t k = 0; k < ARRAY_SIZE(offsets); k++) {
		e = pool_read(r, offsets[k], block + offsets[k], &copies[k], sizeof(copies[k]),
			unread ? NULL : why);
		if (e < 0)
			copies[k] = (struct gm_super){.magic = ""};
		unread = unread ? unread : e;
	}
	/* Its size is pool_check_size()'s to judge. */
	e = store_read_copies(ret, (const void *const[2]){&copies[0], &copies[1]}, 0, &reason);
	if (e == 0 || (unread < 0 && e != -EPROTONOSUPPORT))
		return e == 0 ? 0 : unread;
	return problem(why, -e, "region %s: %.900s", r->name, reason.text);
}

int pool_read_super(const struct region *r, struct store_super *ret, struct problem *why)
{
	void *block = NULL;
	int e = pool_map_block(r, GM_STAMP_FIRST, false, &block, why);

	if (e < 0)
		return e;
	e = read_copies(r, block, ret, why);
	region_unmap(r, block, GM_BLOCK_SIZE);
	/* What lies there belongs to no pool because the pool lies elsewhere, perhaps. */
	if (why && (e == -ENOENT || e == -EMEDIUMTYPE) && r->reserved_ram) {
		const struct problem reason = *why;

		e = problem(why, -e,
			"%.800s; if a pool was there before, the reserved memory has moved (it "
			"begins at %#" PRIx64 " now), or a kernel that did not reserve it has run "
			"in between and used it",
			reason.text, r->physical_start);
	}
	return e;
}

int pool_check_identity(
	const struct pool *pool, const struct store_super *super, uint32_t i, struct problem *why)
{
	const struct region *r = &pool->regions[i];
	const struct store_region *was = &super->regions[i];

	if (r->kind != was->kind)
		return problem(why, EINVAL, "region %s is given as %s, but was formatted as %s",
			r->name, region_kind_name(r->kind), region_kind_name(was->kind));
	if (r->physical_start != was->physical_start)
		return problem(why, EUCLEAN,
			"region %s begins at %#" PRIx64 ", but began at %#" PRIx64
			" when the pool was formatted: reserve the same memory as then",
			r->name, r->physical_start, was->physical_start);
	if (r->align >= GM_GROUP_SIZE && !super->plan.whole_groups)
		return problem(why, EINVAL,
			"region %s has pages of 1G, but the pool in it was made for 2M: its "
			"files can't be mapped so; make the namespace as it was",
			r->name);
	return 0;
}

int pool_check_size(
	const struct pool *pool, const struct store_super *super, uint32_t i, struct problem *why)
{
	const struct region *r = &pool->regions[i];
	const struct store_region *was = &super->regions[i];
	bool grown = r->size / GM_BLOCK_SIZE > was->blocks;
	char now[REGION_SIZE_TEXT];
	char then[REGION_SIZE_TEXT];
	char how[64] = "reserve the same memory as then";

	/* Divided, not multiplied: the number of blocks comes from the media. */
	if (r->size / GM_BLOCK_SIZE == was->blocks)
		return 0;
	region_format_size(now, r->size);
	region_format_size(then, was->blocks * GM_BLOCK_SIZE);
	if (r->kind == GM_REGION_FILE)
		(void)snprintf(how, sizeof(how), "give it its size back (truncate -s %s)", then);
	return problem(why, EUCLEAN,
		"region %s is %s, but was %s when the pool was formatted: %s%s", r->name, now, then,
		how, grown ? ", or take what it has grown by into use with --grow" : "");
}

static int pool_check_stamp(const struct pool *pool, const struct store_super *super, uint32_t i,
	enum gm_stamp_position position, struct problem *why)
{
	const struct region *r = &pool->regions[i];
	struct gm_stamp stamp;
	int e = pool_read_stamp(r, position, &stamp, why);

	if (e < 0)
		return e;
	e = store_check_stamp(
		&stamp, super->uuid, i, position, super->regions[i].blocks, &super->plan, why);
	return e < 0 ? problem_prefix(why, e, "region %s", r->name) : 0;
}

int pool_check_count(const struct pool *pool, const struct store_super *super, struct problem *why)
{
	char uuid[POOL_UUID_TEXT];

	if (pool->count != super->region_count)
		return problem(why, EINVAL,
			"pool %s has %u region(s) and %u are named: name every one, in the order "
			"of the format",
			pool_format_uuid(uuid, super->uuid), super->region_count, pool->count);
	return 0;
}

static int pool_check_regions(
	const struct pool *pool, const struct store_super *super, struct problem *why)
{
	int r = pool_check_count(pool, super, why);

	for (uint32_t i = 0; i < pool->count && r == 0; i++) {
		r = pool_check_identity(pool, super, i, why);
		if (r == 0)
			r = pool_check_size(pool, super, i, why);
	}
	return r;
}

static int pool_check_stamps(
	const struct pool *pool, const struct store_super *super, struct problem *why)
{
	int r = 0;

	for (uint32_t i = 0; i < pool->count && r == 0; i++) {
		r = pool_check_stamp(pool, super, i, GM_STAMP_FIRST, why);
		if (r == 0)
			r = pool_check_stamp(pool, super, i, GM_STAMP_LAST, why);
	}
	return r;
}

int pool_map_area(const struct pool *pool, uint64_t length, bool writable, struct media *ret,
	struct problem *why)
{
	const struct region *r = &pool->regions[0];
	char text[REGION_SIZE_TEXT];
	int err = 0;
	void *base = region_map(r, 0, length, writable, &err);

	if (!base)
		return problem_errno(why, err, "mapping the %s of metadata in region %s",
			region_format_size(text, length), r->name);
	*ret = pool_media(r, base, length);
	return 0;
}

/* The first block is mapped twice, and the kernel may name either place. */
static uintptr_t place_in_area(const struct pool *pool, uintptr_t address)
{
	uintptr_t kept = (uintptr_t)pool->kept[0][0];

	return kept && address - kept < GM_BLOCK_SIZE
		       ? (uintptr_t)pool->media.base + (address - kept)
		       : address;
}

/* A large page may begin before the area, or end behind it. */
bool pool_find_fault(
	const struct pool *pool, const struct sigbus *what, uint64_t *offset, uint64_t *length)
{
	uintptr_t base = (uintptr_t)pool->media.base, first, end;
	size_t page = what->length > 4096 ? what->length : 4096;

	first = place_in_area(pool, what->address) & ~(uintptr_t)(page - 1);
	end = first + page;
	if (!base || first >= base + pool->media.size || end <= base)
		return false;
	if (first < base)
		first = base;
	if (end > base + pool->media.size)
		end = base + pool->media.size;
	*offset = first - base;
	*length = end - first;
	return true;
}

int pool_say_fault(const struct pool *pool, const struct sigbus *what, struct problem *why)
{
	for (uint32_t i = 0; i < pool->count; i++)
		for (unsigned k = 0; k < 2; k++) {
			uint64_t at = what->address - (uintptr_t)pool->kept[i][k];

			if (pool->kept[i][k] && at < GM_BLOCK_SIZE)
				return pool_say_bad(&pool->regions[i],
					pool_block_offset(&pool->regions[i],
						k ? GM_STAMP_LAST : GM_STAMP_FIRST) +
						at,
					what, why);
		}
	if (pool->media.base && what->address - (uintptr_t)pool->media.base < pool->media.size)
		return pool_say_bad(
			&pool->regions[0], what->address - (uintptr_t)pool->media.base, what, why);
	return problem(why, EIO, "memory that is not the pool's can't be read");
}

int pool_reach(struct pool *pool, uint64_t area_blocks, struct problem *why)
{
	int r = 0;

	for (uint32_t i = 0; i < pool->count && r == 0; i++)
		r = region_reach(
			&pool->regions[i], (i == 0 ? area_blocks : 1) * GM_BLOCK_SIZE, why);
	return r;
}

int pool_prepare(struct pool *pool, struct problem *why)
{
	struct store_super super;

	/* What can't be read is the loader's to say. */
	if (pool_read_super(&pool->regions[0], &super, NULL) < 0 ||
		super.plan.meta_blocks >= pool->regions[0].size / GM_BLOCK_SIZE)
		return 0;
	return pool_reach(pool, super.plan.meta_blocks, why);
}

static int pool_map(
	struct pool *pool, const struct store_super *super, bool writable, struct problem *why)
{
	pool_unmap(pool);
	int r = pool_reach(pool, super->plan.meta_blocks, why);
	if (r == 0)
		r = pool_map_area(
			pool, super->plan.meta_blocks * GM_BLOCK_SIZE, writable, &pool->media, why);
	if (r < 0)
		return r;
	pool->super = *super;
	pool->loaded = true;
	return 0;
}

int pool_load(struct pool *pool, bool writable, struct problem *why)
{
	struct store_super super;
	int r = pool_read_super(&pool->regions[0], &super, why);

	if (r == 0)
		r = pool_check_regions(pool, &super, why);
	if (r == 0)
		r = pool_check_stamps(pool, &super, why);
	return r < 0 ? r : pool_map(pool, &super, writable, why);
}

int pool_load_again(struct pool *pool, struct problem *why)
{
	struct store_super super;
	int r = pool_read_super(&pool->regions[0], &super, why);

	if (r == 0)
		r = pool_check_regions(pool, &super, why);
	return r < 0 ? r : pool_map(pool, &super, true, why);
}

const char *pool_format_uuid(char buffer[POOL_UUID_TEXT], const uint8_t uuid[16])
{
	char *at = buffer;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		at += sprintf(at, "%02x", uuid[i]);
	}
	return buffer;
}
