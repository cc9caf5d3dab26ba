// SPDX-License-Identifier: MIT
/*
 * Images that an enemy wrote: fields are changed at random in checkpoint, journal and superblocks,
 * and all checksums are made good again, so that only the checks of the fields themselves stand in
 * the way. Opening either refuses or gives a state that can be mounted, changed and opened again;
 * fsck says something of it in any case. Nothing crashes or hangs.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "chance.h"
#include "pool_fixture.h"
#include "store/codec.h"
#include "store/fsck.h"
#include "util/log.h"

#define ROUNDS 1500U

static struct pool pool;
static uint8_t *good;

static void set_attribute(uint64_t ino, const char *name, const char *value, size_t length)
{
	const struct ns_xattr x = {.name = name, .value = value, .value_len = length};

	cr_assert_eq(ns_setxattr(&pool.ns, &(struct ns_request){.unique = 1}, ino, &x), 0);
}

static void set_attributes(uint64_t ino, bool dir)
{
	static const char list[] = "\2\0\0\0\1\0\7\0\377\377\377\377\4\0\7\0\377\377\377\377"
				   "\20\0\5\0\377\377\377\377\40\0\5\0\377\377\377\377";

	set_attribute(ino, "user.x", "something", 9);
	set_attribute(ino, "system.posix_acl_access", list, sizeof(list) - 1);
	if (!dir)
		return;
	set_attribute(ino, "system.posix_acl_default", list, sizeof(list) - 1);
	set_attribute(ino, "user.guestmemfs.quota", "20M", 3);
}

/* Names, symlinks and nodes beside the files; so that there are some in the checkpoint and some in
 * the journal. */
static void make_others(const char *prefix)
{
	char name[8] = "";
	struct stat st;
	struct ns_name where = {.parent = GM_ROOT_INO, .name = name, .length = 2};

	(void)snprintf(name, sizeof(name), "%s1", prefix);
	cr_assert_eq(ns_symlink(&pool.ns, &pool.rq, &where, "../some/where else", &st), 0);
	name[1] = '2';
	cr_assert_eq(
		ns_mknod(&pool.ns, &pool.rq, &where, S_IFCHR | 0600, makedev(4095, 7), &st), 0);
	name[1] = '3';
	cr_assert_eq(ns_link(&pool.ns, &pool.rq, st.st_ino, &where, &st), 0);
	name[1] = '4';
	cr_assert_eq(ns_mknod(&pool.ns, &pool.rq, &where, S_IFIFO | 0644, 0, &st), 0);
}

static void setup(void)
{
	char name[2] = "a";

	pool_init(&pool, 60, 40, false);
	make_others("x");
	for (; name[0] < 'm'; name[0]++) {
		uint64_t ino = name[0] % 3 ? pool_create(&pool, GM_ROOT_INO, name)
					   : pool_mkdir(&pool, GM_ROOT_INO, name);

		if (name[0] % 3 == 0)
			pool_create(&pool, ino, "inside");
		else
			cr_assert_eq(pool_resize(&pool, ino, 3 * GM_BLOCK_SIZE - 5), 0);
		set_attributes(ino, name[0] % 3 == 0);
		if (name[0] == 'f')
			cr_assert_eq(store_checkpoint(pool.store), 0);
		if (name[0] == 'h')
			cr_assert_eq(ns_hold(&pool.ns, ino), 0);
	}
	make_others("y");
	pool.store = store_close(pool.store);
	good = malloc(pool.media.size);
	cr_assert_not_null(good);
	memcpy(good, pool.media.base, pool.media.size);
}

static void teardown(void)
{
	free(good);
	pool_deinit(&pool);
}

TestSuite(hostile_image, .init = setup, .fini = teardown, .timeout = 280);

/* ---- damage ---- */

static uint64_t odd_number(void)
{
	static const uint64_t odd[] = {0, 1, 2, 3, 63, 64, 255, 4096, 0x7fffffff, 0x80000000,
		0xffffffff, 0x100000000, INT64_MAX, 1ULL << 63, UINT64_MAX, UINT64_MAX - 7,
		1ULL << 42, (1ULL << 42) - 1, 1ULL << 40};

	return odd[chance_below(sizeof(odd) / sizeof(odd[0]))];
}

/* Some bytes of [from, from + size) become something else, most often at the place of a field. */
static void spoil(uint8_t *from, uint64_t size)
{
	for (unsigned n = 1 + chance_below(3); n > 0; n--) {
		uint64_t at = chance_below((uint32_t)size), value = odd_number();
		size_t width = (size_t)1 << chance_below(4);

		at -= at % width;
		if (chance_below(3) == 0)
			value = from[at] + (uint64_t)chance_below(5) - 2;
		if (at + width <= size)
			memcpy(from + at, &value, width);
	}
}

static void reseal_checkpoint(uint8_t *slot, uint64_t room)
{
	struct gm_checkpoint *h = (struct gm_checkpoint *)(void *)slot;

	for (unsigned n = 0; n < GM_SECTIONS_MAX; n++) {
		struct gm_section *s = &h->sections[n];
		uint64_t offset = get_le64(s->offset), length = get_le64(s->length);

		if (get_le32(s->type) != 0 && offset <= room && length <= room - offset)
			s->checksum = put_le64(codec_checksum(slot + offset, length));
	}
	h->checksum = codec_seal(h, sizeof(*h));
}

static void spoil_checkpoint(uint8_t *area)
{
	for (unsigned n = 0; n < 2; n++) {
		uint8_t *slot = area + pool.super.plan.slot_offset[n];
		struct gm_checkpoint *h = (struct gm_checkpoint *)(void *)slot;
		uint64_t length = get_le64(h->length);

		if (memcmp(h->magic, GM_CHECKPOINT_MAGIC, sizeof(h->magic)) != 0)
			continue;
		if (chance_below(4) == 0)
			spoil(slot + 24, 512 + 8 * sizeof(struct gm_section));
		else
			spoil(slot + sizeof(*h), length - sizeof(*h));
		reseal_checkpoint(slot, pool.super.plan.slot_size);
	}
}

static void spoil_journal(uint8_t *area)
{
	uint8_t *at = area + pool.super.plan.journal_offset;
	unsigned which = chance_below(20);

	for (struct gm_record *r;
		(r = (struct gm_record *)(void *)at), get_le32(r->magic) == GM_RECORD_MAGIC;
		at += get_le32(r->length)) {
		uint32_t length = get_le32(r->length);

		if (which-- != 0)
			continue;
		if (chance_below(4) == 0)
			spoil(at + 8, sizeof(*r) - 8);
		else
			spoil(at + sizeof(*r), length - sizeof(*r));
		r->length = put_le32(length);
		r->checksum = put_le64(0);
		r->checksum = put_le64(codec_checksum(r, length));
		return;
	}
}

static void spoil_supers(uint8_t *area)
{
	struct gm_super *a = (struct gm_super *)(void *)(area + GM_SUPER_A_OFFSET);

	spoil(area + GM_SUPER_A_OFFSET + 8, chance_below(2) ? 200 : 800);
	a->checksum = codec_seal(a, sizeof(*a));
	memcpy(area + GM_SUPER_B_OFFSET, a, sizeof(*a));
}

/* ---- what becomes of it ---- */

static void look_at_it(void)
{
	struct gm_stamp stamps[2];
	const struct gm_stamp *places[2] = {&stamps[0], &stamps[1]};
	uint64_t bytes = pool.region.blocks * GM_BLOCK_SIZE;
	const struct fsck_input in = {.area = pool.media.base,
		.area_bytes = pool.media.size,
		.region_count = 1,
		.region_bytes = &bytes,
		.stamps = places};
	struct fsck_report report;

	memset(stamps, 0, sizeof(stamps));
	cr_assert_eq(fsck_run(&report, &in), 0);
	cr_assert_gt(report.count, 0); /* the stamps at least */
	fsck_report_deinit(&report);
}

/* What was taken can be used. */
static void use_it(void)
{
	struct problem why = PROBLEM_INIT;
	struct stat st;

	if (store_begin_mount(pool.store, pool.boot_id, &why) < 0)
		return;
	ns_init(&pool.ns, pool.store);
	(void)ns_create(&pool.ns, &pool.rq, GM_ROOT_INO, "new", 3, 0600, &st);
	for (uint64_t ino = 1; ino < 40; ino++) {
		(void)pool_resize(&pool, ino, 7 * GM_BLOCK_SIZE / 2);
		(void)pool_resize(&pool, ino, 5);
	}
	(void)ns_unlink(&pool.ns, &pool.rq, GM_ROOT_INO, "a", 1);
	(void)ns_unlink(&pool.ns, &pool.rq, GM_ROOT_INO, "x1", 2);
	(void)ns_unlink(&pool.ns, &pool.rq, GM_ROOT_INO, "y3", 2);
	(void)store_checkpoint(pool.store);
	pool.store = store_close(pool.store);
	cr_assert_eq(store_open(&pool.store, &pool.media, &pool.super, &why), 0, "%s", why.text);
}

static bool try_it(void)
{
	struct problem why = PROBLEM_INIT;
	bool taken = false;

	if (store_read_super(
		    &pool.super, pool.media.base, pool.region.blocks * GM_BLOCK_SIZE, &why) == 0 &&
		pool.super.region_count == 1 &&
		store_open(&pool.store, &pool.media, &pool.super, &why) == 0) {
		taken = true;
		use_it();
	} else {
		cr_assert_gt(strlen(why.text), 0);
	}
	pool.store = store_close(pool.store);
	return taken;
}

Test(hostile_image, neither_crashes_nor_hangs_whoever_opens_it)
{
	static void (*const damages[])(uint8_t * area) = {
		spoil_checkpoint, spoil_journal, spoil_journal, spoil_supers};
	const struct store_super super = pool.super;
	unsigned taken = 0;

	chance_start();
	for (unsigned n = 0; n < ROUNDS; n++) {
		memcpy(pool.media.base, good, pool.media.size);
		pool.super = super;
		damages[chance_below(4)](pool.media.base);
		look_at_it();
		taken += try_it();
	}
	cr_assert(taken > 0 && taken < ROUNDS, "%u taken: the damage says nothing", taken);
}

/* A number of mounts that the next one would make overflow: said, not run into. */
Test(hostile_image, a_number_of_mounts_that_cannot_be_is_refused)
{
	static const uint64_t numbers[] = {1ULL << 31, UINT64_MAX};
	struct problem why = PROBLEM_INIT;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		int r;

		pool_open(&pool);
		cr_assert_eq(store_checkpoint(pool.store), 0);
		pool.store = store_close(pool.store);
		for (unsigned n = 0; n < 2; n++) {
			struct gm_checkpoint *h =
				(struct gm_checkpoint *)(void *)(pool.media.base +
								 pool.super.plan.slot_offset[n]);

			h->mount_number = put_le64(numbers[i]);
			h->checksum = codec_seal(h, sizeof(*h));
		}
		r = store_open(&pool.store, &pool.media, &pool.super, &why);
		if (r == 0)
			r = store_begin_mount(pool.store, pool.boot_id, &why);
		cr_assert_eq(r, -EUCLEAN, "%d", r);
		cr_assert_not_null(strstr(why.text, "mount"), "%s", why.text);
		pool.store = store_close(pool.store);
		memcpy(pool.media.base, good, pool.media.size);
	}
}
