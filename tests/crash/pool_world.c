// SPDX-License-Identifier: MIT
#include "pool_world.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "go_on.h"
#include "pool/internal.h"
#include "region/ledger.h"
#include "util/cleanup.h"

static struct pool_world *world; /* of the functions that are replaced: they get no context */

static void must(bool good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

uint64_t pool_world_offset(uint32_t region, uint64_t block)
{
	return (region * POOL_BLOCKS_MAX + block) * GM_BLOCK_SIZE;
}

/* ---- what stands for the regions' functions ---- */

void *__real_region_map(
	const struct region *r, uint64_t offset, uint64_t length, bool writable, int *err);
void *__wrap_region_map(
	const struct region *r, uint64_t offset, uint64_t length, bool writable, int *err);
void __real_region_unmap(const struct region *r, void *address, uint64_t length);
void __wrap_region_unmap(const struct region *r, void *address, uint64_t length);
struct media __wrap_pool_media(const struct region *r, void *base, uint64_t size);
int __wrap_ledger_forget(const struct region *region, struct problem *why);
time_t __wrap_time(time_t *ret);

void *__wrap_region_map(
	const struct region *r, uint64_t offset, uint64_t length, bool writable, int *err)
{
	void *p = __real_region_map(r, offset, length, writable, err);
	struct pool_map *m = world->maps;

	while (p && m->address)
		m++;
	assert(m < world->maps + POOL_MAPS);
	if (p)
		*m = (struct pool_map){.address = p,
			.length = length,
			.offset = pool_world_offset(r->name[0] == '1', 0) + offset};
	return p;
}

void __wrap_region_unmap(const struct region *r, void *address, uint64_t length)
{
	for (unsigned n = 0; n < POOL_MAPS; n++)
		if (world->maps[n].address == address)
			world->maps[n].address = NULL;
	__real_region_unmap(r, address, length);
}

/* The ledger is of this machine's run directory, which is none of ours. */
int __wrap_ledger_forget(const struct region *region, struct problem *why)
{
	(void)region, (void)why;
	return 0;
}

time_t __wrap_time(time_t *ret)
{
	if (ret)
		*ret = 1000;
	return 1000;
}

/* ---- recording ---- */

static uint64_t place_of(const struct media *m, uint64_t offset)
{
	for (unsigned n = 0; n < POOL_MAPS; n++)
		if (world->maps[n].address && m->base >= world->maps[n].address &&
			m->base < world->maps[n].address + world->maps[n].length)
			return world->maps[n].offset +
			       (uint64_t)(m->base - world->maps[n].address) + offset;
	must(false, "a store to what is not mapped");
	return 0;
}

/* Metadata area, first and last blocks; beyond that, the place of a stamp alone, which a block has
 * that was the last one before the region grew. */
static bool is_ours(uint64_t at, uint64_t length)
{
	uint64_t region = at / pool_world_offset(1, 0), end = at + length;
	uint64_t block = at / GM_BLOCK_SIZE % POOL_BLOCKS_MAX;

	if (block == 0 || block == world->blocks[region] - 1 ||
		(region == 0 && end <= world->recorder.slot_offset[1] + world->recorder.slot_size))
		return true;
	return at % GM_BLOCK_SIZE >= GM_STAMP_OFFSET &&
	       at % GM_BLOCK_SIZE + length <= GM_STAMP_OFFSET + sizeof(struct gm_stamp);
}

/* Stores of what stands there already make no difference: they are of the same value as the last
 * one before. */
static void record_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	struct recorder *r = &world->recorder;
	uint64_t at = place_of(m, offset);

	world->strays += !is_ours(at, length);
	if (r->fault && r->fault->copy) {
		r->fault->copy(r, at, from, length);
		return;
	}
	for (uint64_t n = 0; n < length; n += 8) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)from + n, sizeof(word));
		if (r->image->words[(at + n) / 8] != word)
			recorder_store(r, at + n, word);
	}
}

static void record_flush(struct media *m, uint64_t offset, uint64_t length)
{
	struct recorder *r = &world->recorder;

	if (r->fault && r->fault->flush)
		r->fault->flush(r, place_of(m, offset), length);
	else
		recorder_flush(r, place_of(m, offset), length);
}

static void record_fence(struct media *m)
{
	(void)m;
	recorder_fence(&world->recorder);
}

static void record_publish(struct media *m, uint64_t offset, uint64_t value)
{
	recorder_store(&world->recorder, place_of(m, offset), htole64(value));
}

struct media __wrap_pool_media(const struct region *r, void *base, uint64_t size)
{
	static const struct media_ops ops = {.copy = record_copy,
		.flush = record_flush,
		.fence = record_fence,
		.publish = record_publish};

	(void)r;
	return (struct media){.ops = &ops, .base = base, .size = size};
}

/* ---- the regions ---- */

void pool_world_init(struct pool_world *w, bool reserved)
{
	const uint64_t all = pool_world_offset(POOL_REGIONS, 0);
	uint8_t *at = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(at != MAP_FAILED, "mmap");
	*w = (struct pool_world){.reserved = reserved, .boot_id = {1}};
	w->image = (struct image){.words = (uint64_t *)(void *)at, .size = all};
	for (uint32_t n = 0; n < POOL_REGIONS; n++) {
		w->fd[n] = memfd_create("region", MFD_CLOEXEC);
		must(w->fd[n] >= 0 && mmap(at + pool_world_offset(n, 0), pool_world_offset(1, 0),
					      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
					      w->fd[n], 0) != MAP_FAILED,
			"a region in memory");
	}
	recorder_init(&w->recorder, &w->image, NULL);
	world = w;
}

void pool_world_deinit(struct pool_world *w)
{
	recorder_deinit(&w->recorder);
	free(w->image.undo);
	(void)munmap(w->image.words, w->image.size);
	for (uint32_t n = 0; n < POOL_REGIONS; n++)
		(void)close(w->fd[n]);
	world = NULL;
}

void pool_world_resize(struct pool_world *w, const uint64_t blocks[POOL_REGIONS])
{
	for (uint32_t n = 0; n < POOL_REGIONS; n++) {
		must(ftruncate(w->fd[n], (off_t)(blocks[n] * GM_BLOCK_SIZE)) == 0, "ftruncate");
		w->blocks[n] = blocks[n];
	}
}

void pool_world_open(struct pool_world *w, struct pool *ret)
{
	*ret = POOL_NULL;
	for (uint32_t n = 0; n < POOL_REGIONS; n++) {
		int fd = dup(w->fd[n]);

		must(fd >= 0 && pool_adopt(ret, GM_REGION_FILE, fd, n ? "1" : "0", NULL) == 0,
			"a region");
		ret->regions[n].reserved_ram = w->reserved;
	}
}

/* ---- what is done to it ---- */

/* What the recorder must know to tell places apart. */
static void note_plan(struct pool_world *w, const struct store_plan *plan)
{
	memcpy(w->recorder.slot_offset, plan->slot_offset, sizeof(w->recorder.slot_offset));
	w->recorder.slot_size = plan->slot_size;
}

int pool_world_format(struct pool_world *w, struct problem *why)
{
	const struct pool_format f = {
		.max_files = POOL_FILES, .force = true, .force_option = "--force"};
	const struct store_region regions[POOL_REGIONS] = {
		{.kind = GM_REGION_FILE, .blocks = w->blocks[0]},
		{.kind = GM_REGION_FILE, .blocks = w->blocks[1]}};
	_cleanup_(pool_close) struct pool pool = POOL_NULL;
	struct store_plan plan;
	int r = store_plan(&plan, regions, POOL_REGIONS, POOL_FILES, why);

	if (r < 0)
		return r;
	note_plan(w, &plan);
	pool_world_open(w, &pool);
	return pool_format(&pool, &f, why);
}

/* The pool is the caller's to close also where it fails. */
static int load_store(
	struct pool_world *w, struct pool *pool, struct store **ret, struct problem *why)
{
	int r;

	pool_world_open(w, pool);
	r = pool_load(pool, true, why);
	return r < 0 ? r : store_open(ret, &pool->media, &pool->super, why);
}

typedef int store_fn(struct pool_world *w, struct pool *pool, struct store *s, struct problem *why);

static int with_store(struct pool_world *w, store_fn *run, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool;
	struct store *s = NULL;
	int r = load_store(w, &pool, &s, why);

	if (r == 0)
		r = run(w, &pool, s, why);
	store_close(s);
	return r;
}

static int mount_store(
	struct pool_world *w, struct pool *pool, struct store *s, struct problem *why)
{
	int r = store_begin_mount(s, w->boot_id, why);

	return r < 0 ? r : pool_write_stamps(pool, store_meta(s)->token, why);
}

static int change_store(
	struct pool_world *w, struct pool *pool, struct store *s, struct problem *why)
{
	(void)pool;
	return go_on(s, w->boot_id, true, why);
}

int pool_world_mount(struct pool_world *w, struct problem *why)
{
	return with_store(w, mount_store, why);
}

int pool_world_change(struct pool_world *w, struct problem *why)
{
	return with_store(w, change_store, why);
}

int pool_world_grow(struct pool_world *w, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool;

	pool_world_open(w, &pool);
	return pool_grow(&pool, why);
}

int pool_world_read(struct pool_world *w, struct view *ret, struct problem *why)
{
	_cleanup_(pool_close) struct pool pool;
	struct store *s = NULL;
	int r = load_store(w, &pool, &s, why);

	if (r == 0)
		view_of_store(ret, s);
	store_close(s);
	return r;
}

bool pool_world_is_blank(struct pool_world *w)
{
	_cleanup_(pool_close) struct pool pool;
	int r;

	pool_world_open(w, &pool);
	r = pool_is_blank(&pool, POOL_FILES, NULL);
	must(r >= 0, "looking for what is there");
	return r > 0;
}

uint64_t pool_world_check(struct pool_world *w)
{
	_cleanup_(pool_close) struct pool pool;
	struct fsck_report report;
	uint64_t errors;

	pool_world_open(w, &pool);
	must(pool_check(&pool, &report, NULL) == 0, "fsck");
	errors = report.errors;
	fsck_report_deinit(&report);
	return errors;
}
