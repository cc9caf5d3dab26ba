// SPDX-License-Identifier: MIT
#include "pool/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pool/area.h"
#include "pool/internal.h"
#include "util/le.h"

/* Where nothing says how long the metadata area is, a sign of a pool is looked for so far. */
#define LOOK_BLOCKS 512U

struct pool_repair {
	struct pool *pool;
	struct media area;     /* mapped; read-only until it is written */
	struct pool_copy copy; /* of it, as far as it can be read */
	struct store_super super;
	struct salvage_input in;
	struct store_region regions[GM_REGIONS_MAX];
	struct gm_stamp stamps[2 * GM_REGIONS_MAX];
	const struct gm_stamp *stamp_pointers[2 * GM_REGIONS_MAX];
	bool stamp_bad[2 * GM_REGIONS_MAX];
	struct salvage *salvage;
};

struct writing {
	struct pool_repair *repair;
	struct problem *why;
	int r;
};

/* ---- what the regions are ---- */

static int read_boot_id(uint8_t ret[16], struct problem *why)
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[64] = "";
	unsigned at = 0;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return problem_errno(why, errno, "reading %s", path);
	for (const char *c = text; *c && at < 16; c += 2) {
		unsigned byte;

		c += *c == '-';
		if (sscanf(c, "%2x", &byte) != 1)
			break;
		ret[at++] = (uint8_t)byte;
	}
	return at == 16
		       ? 0
		       : problem(why, EINVAL, "the kernel's boot id can't be understood: %s", text);
}

/* What can't be read is damaged like any other. */
static int read_stamp(
	struct pool_repair *p, uint32_t i, enum gm_stamp_position position, struct problem *why)
{
	struct gm_stamp *stamp = &p->stamps[2UL * i + (position == GM_STAMP_LAST)];
	int r;

	*stamp = (struct gm_stamp){.magic = ""};
	r = pool_read_stamp(&p->pool->regions[i], position, stamp, why);
	return r == -EIO ? 0 : r;
}

static int describe(struct pool_repair *p, uint64_t max_files, struct problem *why)
{
	const struct pool *pool = p->pool;

	for (uint32_t i = 0; i < pool->count; i++) {
		const struct region *r = &pool->regions[i];

		p->regions[i] = (struct store_region){.kind = r->kind,
			.blocks = r->size / GM_BLOCK_SIZE,
			.physical_start = r->physical_start,
			.node = r->node,
			.reserved_ram = r->reserved_ram,
			.large_pages = r->align >= GM_GROUP_SIZE};
		for (enum gm_stamp_position k = GM_STAMP_FIRST; k <= GM_STAMP_LAST; k++) {
			int e = read_stamp(p, i, k, why);

			if (e < 0)
				return e;
			p->stamp_pointers[2UL * i + k] = &p->stamps[2UL * i + k];
		}
	}
	p->in = (struct salvage_input){.region_count = pool->count,
		.regions = p->regions,
		.stamps = p->stamp_pointers,
		.max_files = max_files,
		.now = time(NULL)};
	return read_boot_id(p->in.boot_id, why);
}

/* ---- where its metadata are ---- */

/* Soft regions show what is in the metadata device, and that is made for as much as a default
 * format would need. */
static uint64_t blocks_to_look_at(const struct pool_repair *p)
{
	const struct region *r = &p->pool->regions[0];
	uint64_t all = r->size / GM_BLOCK_SIZE - 1, blocks = LOOK_BLOCKS;
	struct store_super super;

	if (pool_read_super(r, &super, NULL) == 0)
		blocks = super.plan.meta_blocks;
	else if (salvage_look_blocks(&p->in) > 0)
		blocks = salvage_look_blocks(&p->in);
	else if (r->kind == GM_REGION_SOFT)
		blocks = r->reach / GM_BLOCK_SIZE;
	if (blocks == 0)
		blocks = 1;
	return blocks < all ? blocks : all;
}

static void unmap(struct pool_repair *p)
{
	if (p->area.base)
		region_unmap(&p->pool->regions[0], p->area.base, p->area.size);
	p->area = (struct media){.base = NULL};
}

static int map(struct pool_repair *p, uint64_t blocks, bool writable, struct problem *why)
{
	int r;

	unmap(p);
	r = pool_reach(p->pool, blocks, why);
	if (r == 0)
		r = pool_map_area(p->pool, blocks * GM_BLOCK_SIZE, writable, &p->area, why);
	return r;
}

/* step: as of pool_copy_area(). */
static int copy(struct pool_repair *p, uint64_t blocks, uint64_t step, struct problem *why)
{
	int r = map(p, blocks, false, why);

	pool_copy_deinit(&p->copy);
	if (r == 0)
		r = pool_copy_area(&p->copy, &p->area, step, SALVAGE_LOOK_BYTES, why);
	p->in.area = p->copy.bytes;
	p->in.area_bytes = p->copy.size;
	return r;
}

static void tell_bad(const struct pool_repair *p, struct salvage_report *report)
{
	for (unsigned n = 0; n < p->copy.bad_count; n++) {
		const struct pool_bad *bad = &p->copy.bad[n];

		salvage_note(report, true, 0,
			"%" PRIu64 " bytes at offset 0x%" PRIx64
			" of region %s can't be read: the memory %s; they count as zero",
			bad->length, bad->offset, p->pool->regions[0].name,
			pool_say_how(bad->poisoned));
	}
}

/* ---- are these the regions? ---- */

/*
 * A region that is larger than the pool knows is repaired as the pool has it: growing is for a pool
 * that can be read, and may have been cut short by what damaged this one. Nothing of the regions is
 * mapped.
 */
static int cut_grown(
	struct pool_repair *p, uint32_t i, struct salvage_report *report, struct problem *why)
{
	struct region *r = &p->pool->regions[i];
	uint64_t blocks = p->super.regions[i].blocks;
	char now[REGION_SIZE_TEXT], then[REGION_SIZE_TEXT];
	int e;

	if (r->size / GM_BLOCK_SIZE <= blocks)
		return 0;
	salvage_note(report, false, 0,
		"region %s is %s, and the pool has %s of it: that is what is repaired; --grow "
		"takes the rest into use afterwards",
		r->name, region_format_size(now, r->size),
		region_format_size(then, blocks * GM_BLOCK_SIZE));
	e = region_cut(r, blocks * GM_BLOCK_SIZE, why);
	return e < 0 ? e : read_stamp(p, i, GM_STAMP_LAST, why);
}

/* What a growth leaves that was cut short behind the superblocks. */
static bool is_of_smaller(const struct pool_repair *p, uint32_t i, enum gm_stamp_position position)
{
	const struct gm_stamp *stamp = &p->stamps[2UL * i];
	uint64_t blocks = get_le64(stamp->blocks);

	return position == GM_STAMP_FIRST && blocks < p->super.regions[i].blocks &&
	       store_check_stamp(
		       stamp, p->super.uuid, i, GM_STAMP_FIRST, blocks, &p->super.plan, NULL) == 0;
}

/* What is damaged is made anew; what is whole and another's is not ours to write over. */
static int check_stamps(
	struct pool_repair *p, uint32_t i, struct salvage_report *report, struct problem *why)
{
	const struct region *r = &p->pool->regions[i];
	unsigned bad = 0;

	for (enum gm_stamp_position k = GM_STAMP_FIRST; k <= GM_STAMP_LAST; k++) {
		const struct gm_stamp *stamp = &p->stamps[2UL * i + k];
		int e = store_check_stamp(stamp, p->super.uuid, i, k, p->super.regions[i].blocks,
			&p->super.plan, why);

		if (e == 0 && store_stamp_is_whole(stamp))
			continue;
		if (store_stamp_is_whole(stamp) && !is_of_smaller(p, i, k))
			return problem_prefix(why, e, "region %s", r->name);
		p->stamp_bad[2UL * i + k] = true;
		/* One with half a token, or of a smaller size, is the region's all the same. */
		bad += e < 0 && !store_stamp_is_whole(stamp);
	}
	if (bad == 2 && i > 0)
		return problem(why, EUCLEAN,
			"both stamps of region %s are damaged: nothing shows that it is region %u "
			"of the pool, and nothing was changed",
			r->name, i);
	for (enum gm_stamp_position k = GM_STAMP_FIRST; k <= GM_STAMP_LAST; k++)
		if (p->stamp_bad[2UL * i + k])
			salvage_note(report, false, 0,
				"the stamp in the %s block of region %s is %s and is made anew",
				k ? "last" : "first", r->name,
				store_stamp_is_whole(&p->stamps[2UL * i + k])
					? "from before a growth that was cut short"
					: "damaged");
	return 0;
}

static int check_regions(struct pool_repair *p, struct salvage_report *report, struct problem *why)
{
	int r = pool_check_count(p->pool, &p->super, why);

	for (uint32_t i = 0; i < p->pool->count && r == 0; i++) {
		r = pool_check_identity(p->pool, &p->super, i, why);
		if (r == 0)
			r = cut_grown(p, i, report, why);
		if (r == 0)
			r = pool_check_size(p->pool, &p->super, i, why);
		if (r == 0)
			r = check_stamps(p, i, report, why);
	}
	return r;
}

/* ---- the whole ---- */

static int look(struct pool_repair *p, struct salvage_report *report, struct problem *why)
{
	bool anew = false;
	int r = copy(p, blocks_to_look_at(p), SALVAGE_LOOK_STEP, why);

	if (r == 0)
		r = salvage_find_super(&p->super, &anew, &p->in, report, why);
	unmap(p);
	if (r == 0)
		r = check_regions(p, report, why);
	if (r == 0)
		r = copy(p, p->super.plan.meta_blocks, 0, why);
	if (r == 0)
		tell_bad(p, report);
	if (r == 0)
		r = salvage_new(&p->salvage, &p->in, &p->super, anew, report, why);
	return r;
}

int pool_repair_new(struct pool_repair **ret, struct pool *pool, uint64_t max_files,
	struct salvage_report *report, struct problem *why)
{
	struct pool_repair *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return problem_errno(why, ENOMEM, "looking at the pool");
	p->pool = pool;
	r = describe(p, max_files, why);
	if (r == 0)
		r = look(p, report, why);
	if (r < 0) {
		pool_repair_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

struct pool_repair *pool_repair_free(struct pool_repair *p)
{
	if (!p)
		return NULL;
	salvage_free(p->salvage);
	pool_copy_deinit(&p->copy);
	unmap(p);
	free(p);
	return NULL;
}

uint64_t pool_repair_bad_bytes(const struct pool_repair *p)
{
	return p->copy.bad_bytes;
}

bool pool_repair_is_needed(const struct pool_repair *p)
{
	for (uint32_t n = 0; n < 2 * p->pool->count; n++)
		if (p->stamp_bad[n])
			return true;
	return salvage_is_needed(p->salvage);
}

/* ---- the copy ---- */

const char *pool_repair_name(const struct pool_repair *p, char buffer[BACKUP_NAME])
{
	return backup_name(buffer, p->super.uuid, p->in.now);
}

int pool_repair_backup(const struct pool_repair *p, const char *path, struct problem *why)
{
	return backup_write(p->pool, p->super.uuid, p->super.plan.meta_blocks * GM_BLOCK_SIZE, path,
		p->in.now, why);
}

/* ---- writing ---- */

static void do_write(void *data)
{
	struct writing *w = data;
	struct pool_repair *p = w->repair;

	for (uint32_t n = 0; n < 2 * p->pool->count && w->r == 0; n++)
		if (p->stamp_bad[n])
			w->r = pool_write_stamp(p->pool, n / 2, n % 2, &p->super,
				salvage_token(p->salvage), w->why);
	if (w->r == 0 && salvage_is_needed(p->salvage))
		salvage_write(p->salvage, &p->area);
}

/* Whatever a crash leaves is refused as before, or is whole. */
int pool_repair_write(struct pool_repair *p, struct problem *why)
{
	struct writing w = {.repair = p, .why = why};
	int r = map(p, p->super.plan.meta_blocks, true, why);

	if (r == 0)
		r = pool_guard_writing(&p->pool->regions[0], &p->area, do_write, &w, why);
	return r < 0 ? r : w.r;
}
