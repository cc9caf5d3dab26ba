// SPDX-License-Identifier: MIT
/*
 * Making a pool. Everything that can fail comes before the first store; a crash between the first
 * store and the last leaves something that pool_load() refuses.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "pool/area.h"
#include "pool/internal.h"
#include "region/ledger.h"

static void format_describe_regions(const struct pool *pool, struct store_region *ret)
{
	for (uint32_t i = 0; i < pool->count; i++)
		ret[i] = (struct store_region){
			.kind = pool->regions[i].kind,
			.blocks = pool->regions[i].size / GM_BLOCK_SIZE,
			.physical_start = pool->regions[i].physical_start,
			.node = pool->regions[i].node,
			.reserved_ram = pool->regions[i].reserved_ram,
			.zeroed = pool->created[i],
			.large_pages = pool->regions[i].align >= GM_GROUP_SIZE,
		};
}

static int format_plan(const struct pool *pool, uint64_t max_files, struct store_region *regions,
	struct store_plan *ret, struct problem *why)
{
	format_describe_regions(pool, regions);
	return store_plan(
		ret, regions, pool->count, max_files ? max_files : STORE_MAX_FILES_DEFAULT, why);
}

/* ---- what is there? ---- */

static int what_is_pool(
	const struct region *r, const struct store_super *super, struct problem *what)
{
	char uuid[POOL_UUID_TEXT];
	char made[32] = "at an unknown time";
	time_t created = (time_t)super->created;
	struct tm tm;

	if (gmtime_r(&created, &tm))
		(void)strftime(made, sizeof(made), "on %Y-%m-%d", &tm);
	(void)problem(what, 0, "region %s holds a guestmemfs pool (uuid %s, %s%s%smade %s)",
		r->name, pool_format_uuid(uuid, super->uuid), super->label[0] ? "label " : "",
		super->label, super->label[0] ? ", " : "", made);
	return 0;
}

static int what_is_stamped(
	const struct region *r, const struct gm_stamp *stamp, struct problem *what)
{
	char uuid[POOL_UUID_TEXT];

	if (memcmp(stamp->magic, GM_STAMP_MAGIC, sizeof(stamp->magic)) == 0)
		(void)problem(what, 0, "region %s belongs to a guestmemfs pool (uuid %s)", r->name,
			pool_format_uuid(uuid, stamp->uuid));
	else
		(void)problem(what, 0,
			"region %s holds data that is not guestmemfs's, or a format that was cut "
			"short",
			r->name);
	return 0;
}

/* Says what a region holds that is not blank; the superblock knows best, the stamp second. */
static int what_is_there(const struct region *r, struct problem *what)
{
	struct store_super super;
	struct problem reason = PROBLEM_INIT;
	struct gm_stamp stamp;
	int e = pool_read_super(r, &super, &reason);

	switch (e) {
	case 0:
		return what_is_pool(r, &super, what);
	case -EUCLEAN:
		(void)problem(what, 0,
			"a guestmemfs pool is there that can't be used as it is (%s)", reason.text);
		return 0;
	case -EPROTONOSUPPORT:
		(void)problem(
			what, 0, "a guestmemfs pool of a newer version is there (%s)", reason.text);
		return 0;
	case -EMEDIUMTYPE:
	case -ENOENT:
		e = pool_read_stamp(r, GM_STAMP_FIRST, &stamp, what);
		return e < 0 ? e : what_is_stamped(r, &stamp, what);
	default:
		*what = reason;
		return e;
	}
}

struct blank_work {
	const struct media *media;
	bool blank;
};

static void do_is_blank(void *data)
{
	struct blank_work *work = data;

	work->blank = store_is_blank(work->media->base, work->media->size);
}

/* 1, 0, or -EIO with a sentence. offset: where it lies in the region. */
static int media_is_blank(
	const struct region *r, uint64_t offset, const struct media *media, struct problem *what)
{
	struct blank_work work = {.media = media};
	int e = pool_guard(r, offset, media->base, do_is_blank, &work, what);

	return e < 0 ? e : work.blank;
}

static int block_is_blank(
	const struct region *r, enum gm_stamp_position position, struct problem *what)
{
	void *block = NULL;
	int e = pool_map_block(r, position, false, &block, what);

	if (e < 0)
		return e;
	const struct media media = pool_media(r, block, GM_BLOCK_SIZE);

	e = media_is_blank(
		r, position == GM_STAMP_FIRST ? 0 : r->size - GM_BLOCK_SIZE, &media, what);
	region_unmap(r, block, GM_BLOCK_SIZE);
	return e;
}

static int area_is_blank(const struct pool *pool, uint64_t length, struct problem *what)
{
	struct media media;
	int e = pool_map_area(pool, length, false, &media, what);

	if (e < 0)
		return e;
	e = media_is_blank(&pool->regions[0], 0, &media, what);
	region_unmap(&pool->regions[0], media.base, media.size);
	return e;
}

static int region_is_blank(const struct pool *pool, uint32_t i, uint64_t area, struct problem *what)
{
	const struct region *r = &pool->regions[i];
	struct gm_stamp stamp;
	int e = i == 0 ? area_is_blank(pool, area, what) : block_is_blank(r, GM_STAMP_FIRST, what);

	if (e == 0)
		return what_is_there(r, what);
	if (e > 0)
		e = block_is_blank(r, GM_STAMP_LAST, what);
	if (e != 0)
		return e;
	e = pool_read_stamp(r, GM_STAMP_LAST, &stamp, what);
	return e < 0 ? e : what_is_stamped(r, &stamp, what);
}

static int pool_is_blank_for(struct pool *pool, const struct store_plan *plan, struct problem *what)
{
	int e = pool_reach(pool, plan->meta_blocks, what);

	if (e < 0)
		return e;
	for (uint32_t i = 0; i < pool->count; i++) {
		if (pool->created[i])
			continue;
		e = region_is_blank(pool, i, plan->meta_blocks * GM_BLOCK_SIZE, what);
		if (e <= 0)
			return e;
	}
	return 1;
}

int pool_is_blank(struct pool *pool, uint64_t max_files, struct problem *what)
{
	struct store_region regions[GM_REGIONS_MAX];
	struct store_plan plan;
	int r = format_plan(pool, max_files, regions, &plan, what);

	return r < 0 ? r : pool_is_blank_for(pool, &plan, what);
}

/* ---- making it ---- */

static int format_check_label(const char *label, struct problem *why)
{
	const size_t room = sizeof(((struct gm_super *)NULL)->label) - 1;

	if (!label)
		return 0;
	if (strlen(label) > room)
		return problem(why, EINVAL, "the label has %zu bytes; at most %zu go",
			strlen(label), room);
	for (const char *at = label; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return problem(why, EINVAL, "the label has a control character in it");
	return 0;
}

static int format_check_blank(struct pool *pool, const struct store_plan *plan,
	const struct pool_format *options, struct problem *why)
{
	struct problem what = PROBLEM_INIT;

	if (options->force)
		return 0;
	int r = pool_is_blank_for(pool, plan, &what);
	if (r > 0)
		return 0;
	if (r < 0) {
		if (why)
			*why = what;
		return r;
	}
	return problem(why, EEXIST,
		"%.700s; %s formats it all the same, and all that it holds is lost", what.text,
		options->force_option);
}

static int format_make_uuid(uint8_t uuid[16], struct problem *why)
{
	if (getrandom(uuid, 16, 0) != 16)
		return problem_errno(why, errno, "getting random bytes for the uuid");
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* RFC 9562: version 4, random */
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80); /* and its variant */
	return 0;
}

/* The block is wholly ours, and what stood in it (the superblock of an older pool) must not be
 * found again. */
static int format_stamp_block(const struct pool *pool, uint32_t i, enum gm_stamp_position position,
	const struct store_format *format, struct problem *why)
{
	static const uint8_t no_token[16]; /* the first mount makes one */
	const struct region *r = &pool->regions[i];
	_cleanup_free_ uint8_t *content = calloc(1, GM_BLOCK_SIZE);
	struct gm_stamp stamp;
	void *block = NULL;

	if (!content)
		return problem_errno(why, ENOMEM, "stamping region %s", r->name);
	int e = pool_map_block(r, position, true, &block, why);
	if (e < 0)
		return e;
	store_make_stamp(
		&stamp, format->uuid, i, position, r->size / GM_BLOCK_SIZE, format->plan, no_token);
	memcpy(content + GM_STAMP_OFFSET, &stamp, sizeof(stamp));
	struct media media = pool_media(r, block, GM_BLOCK_SIZE);
	media_copy(&media, 0, content, GM_BLOCK_SIZE);
	media_fence(&media);
	region_unmap(r, block, GM_BLOCK_SIZE);
	return 0;
}

static int format_stamp(
	const struct pool *pool, const struct store_format *format, struct problem *why)
{
	int r = 0;

	for (uint32_t i = 0; i < pool->count && r == 0; i++) {
		if (i > 0) /* the first block of region 0 is store_format()'s */
			r = format_stamp_block(pool, i, GM_STAMP_FIRST, format, why);
		if (r == 0)
			r = format_stamp_block(pool, i, GM_STAMP_LAST, format, why);
	}
	return r;
}

static int format_write(struct pool *pool, const struct store_format *format, struct problem *why)
{
	struct media media;
	int r = pool_map_area(pool, format->plan->meta_blocks * GM_BLOCK_SIZE, true, &media, why);

	if (r < 0)
		return r;
	r = store_format(&media, format, why);
	region_unmap(&pool->regions[0], media.base, media.size);
	return r < 0 ? r : format_stamp(pool, format, why);
}

int pool_format(struct pool *pool, const struct pool_format *options, struct problem *why)
{
	struct store_region regions[GM_REGIONS_MAX];
	struct store_plan plan;
	int r = format_check_label(options->label, why);

	if (r == 0) {
		r = format_plan(pool, options->max_files, regions, &plan, why);
		if (r < 0) /* the store knows regions by number only */
			problem_prefix(why, r, "formatting %s%s", pool->regions[0].name,
				pool->count > 1 ? " and the regions after it" : "");
	}
	if (r == 0)
		r = format_check_blank(pool, &plan, options, why);
	for (uint32_t i = 0; i < pool->count && r == 0; i++)
		r = region_allocate(&pool->regions[i], why);
	for (uint32_t i = 0; i < pool->count && r == 0; i++)
		r = ledger_forget(&pool->regions[i], why);
	if (r == 0)
		r = pool_reach(pool, plan.meta_blocks, why);
	if (r < 0)
		return r;

	struct store_format format = {
		.plan = &plan,
		.regions = regions,
		.region_count = pool->count,
		.label = options->label,
		.root_uid = options->root_uid,
		.root_gid = options->root_gid,
		.now = (int64_t)time(NULL),
	};
	r = format_make_uuid(format.uuid, why);
	if (r == 0)
		r = format_write(pool, &format, why);
	return r < 0 ? r : pool_load(pool, true, why);
}
