// SPDX-License-Identifier: MIT
/* What the superblock says is done or refused: formats of others, plans that don't fit, memory
 * whose boot is in doubt, and regions that have grown. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "store/codec.h"
#include "store_fixture.h"
#include "util/cleanup.h"

/* ---- refusals of the plan and the superblock, each with its errno and sentence ---- */

static void patch_super(struct fixture *f, void (*change)(struct gm_super *), bool both)
{
	static const uint64_t offset[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};

	for (int k = 0; k < (both ? 2 : 1); k++) {
		struct gm_super s;

		memcpy(&s, f->media.base + offset[k], sizeof(s));
		change(&s);
		s.checksum = codec_seal(&s, sizeof(s));
		memcpy(f->media.base + offset[k], &s, sizeof(s));
	}
}

static void newer_major(struct gm_super *s)
{
	s->major = put_le16(2);
}

static void unknown_incompat(struct gm_super *s)
{
	s->feature_incompat = put_le64(1ULL << 40);
}

static void unknown_ro_compat(struct gm_super *s)
{
	s->feature_ro_compat = put_le64(1);
}

static void unknown_compat(struct gm_super *s)
{
	s->feature_compat = put_le64(1ULL << 63);
}

static void larger_journal(struct gm_super *s)
{
	s->journal_size = put_le64(get_le64(s->journal_size) + (64ULL << 10));
}

static void many_regions(struct gm_super *s)
{
	s->region_count = put_le32(GM_REGIONS_MAX + 1);
}

static void data_over_metadata(struct gm_super *s)
{
	s->regions[0].first_data = put_le64(1);
}

static void reserved_set(struct gm_super *s)
{
	s->reserved2[7] = 1;
}

Test(store_super, superblocks_that_are_not_ours_to_use_are_refused_with_a_sentence)
{
	static const struct {
		void (*change)(struct gm_super *);
		bool both;
		int error;
		const char *text;
	} cases[] = {
		{newer_major, true, -EPROTONOSUPPORT, "newer guestmemfs (format version 2.0"},
		{newer_major, false, -EPROTONOSUPPORT, "newer guestmemfs"},
		{unknown_incompat, true, -EPROTONOSUPPORT,
			"unknown incompat features 0x10000000000"},
		{unknown_ro_compat, true, -EPROTONOSUPPORT, "unknown ro_compat features 0x1"},
		{unknown_compat, true, 0, ""},
		{larger_journal, true, -EUCLEAN, "not where they must be"},
		{many_regions, true, -EUCLEAN, "number of regions"},
		{data_over_metadata, true, -EUCLEAN, "data blocks are not where they must be"},
		{reserved_set, true, -EUCLEAN, "reserved bytes"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct problem why = PROBLEM_INIT;
		struct store_super super;
		struct fixture f;

		fixture_init(&f, 1024);
		patch_super(&f, cases[n].change, cases[n].both);
		cr_assert_eq(store_read_super(&super, f.media.base, f.region_bytes, &why),
			cases[n].error, "case %zu: %s", n, why.text);
		cr_assert(strstr(why.text, cases[n].text), "case %zu: %s", n, why.text);
		fixture_deinit(&f);
	}
}

Test(store_super, zero_foreign_damaged_and_shrunk_regions_are_told_apart)
{
	struct problem why = PROBLEM_INIT;
	struct store_super super;
	struct fixture f;

	fixture_init(&f, 1024);
	cr_assert_eq(store_read_super(&super, f.media.base, f.region_bytes - GM_BLOCK_SIZE, &why),
		-EUCLEAN);
	cr_assert(strstr(why.text, "254 MiB but was formatted with 256 MiB"), "%s", why.text);
	f.media.base[GM_SUPER_A_OFFSET + 50] ^= 1;
	f.media.base[GM_SUPER_B_OFFSET + 50] ^= 1;
	cr_assert_eq(store_read_super(&super, f.media.base, f.region_bytes, &why), -EUCLEAN);
	cr_assert(strstr(why.text, "both superblocks are damaged"), "%s", why.text);
	memset(f.media.base, 0x55, GM_BLOCK_SIZE);
	cr_assert_eq(store_read_super(&super, f.media.base, f.region_bytes, &why), -EMEDIUMTYPE);
	memset(f.media.base, 0, GM_BLOCK_SIZE);
	cr_assert_eq(store_read_super(&super, f.media.base, f.region_bytes, &why), -ENOENT);
	cr_assert(strstr(why.text, "guestmemfs format"), "%s", why.text);
	fixture_deinit(&f);
}

Test(store_super, plans_that_do_not_fit_say_how_much_is_needed)
{
	struct store_region region = {.kind = GM_REGION_FILE, .blocks = 4, .node = GM_NODE_NONE};
	struct problem why = PROBLEM_INIT;
	struct store_plan plan;

	cr_assert_eq(store_plan(&plan, &region, 1, 65536, &why), -EINVAL);
	cr_assert(strstr(why.text, "too small: 8 MiB"), "%s", why.text);
	cr_assert(strstr(why.text, "--max-files"), "%s", why.text);
	cr_assert_eq(store_plan(&plan, &region, 1, 3, &why), -EINVAL);
	cr_assert_eq(store_plan(&plan, &region, 0, 1024, &why), -EINVAL);
	region.blocks = 512;
	cr_assert_eq(store_plan(&plan, &region, 1, 65536, &why), 0, "%s", why.text);
	cr_assert_lt(plan.meta_blocks, 40, "less than 8 %% of 1 GiB");
}

/* ---- where a boot came from ---- */

static void on_reserved_ram(struct gm_super *s)
{
	s->regions[0].flags = put_le16(GM_REGION_RESERVED_RAM);
}

Test(store_super, reserved_ram_asks_another_boot_for_the_token)
{
	static const struct {
		bool by_kexec, has_token, right_token, stamps_agree;
		int error;
		const char *text;
	} cases[] = {
		{true, true, true, true, 0, ""},
		{false, true, true, true, -ESTALE, "came from firmware"},
		{true, false, false, true, -ESTALE, "without guestmemfs.succession="},
		{true, true, false, true, -ESTALE, "another succession token than the pool"},
		{true, true, true, false, -ESTALE, "a stamp bears another"},
	};
	struct problem why = PROBLEM_INIT;
	struct fixture f;

	fixture_init(&f, 1024);
	patch_super(&f, on_reserved_ram, true);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	struct store_origin o = {.boot_id = {77}};
	cr_assert_eq(store_begin_mount(f.store, o.boot_id, &why), 0);
	uint8_t token[16];
	memcpy(token, store_meta(f.store)->token, 16);
	cr_assert_not(codec_is_zero(token, 16), "a fresh token");
	cr_assert_eq(
		store_check_origin(f.store, &o, &why), 0, "the same boot is asked for nothing");
	cr_assert_eq(store_begin_mount(f.store, o.boot_id, &why), 0);
	cr_assert_eq(memcmp(token, store_meta(f.store)->token, 16), 0, "the same boot keeps it");
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		o = (struct store_origin){.boot_id = {78},
			.by_kexec = cases[n].by_kexec,
			.has_token = cases[n].has_token,
			.stamps_agree = cases[n].stamps_agree};
		memcpy(o.token, token, 16);
		o.token[0] ^= !cases[n].right_token;
		cr_assert_eq(store_check_origin(f.store, &o, &why), cases[n].error, "case %zu: %s",
			n, why.text);
		cr_assert(cases[n].error == 0 || strstr(why.text, cases[n].text), "case %zu: %s", n,
			why.text);
	}
	cr_assert_eq(store_begin_mount(f.store, o.boot_id, &why), 0);
	cr_assert_neq(
		memcmp(token, store_meta(f.store)->token, 16), 0, "another boot gets another one");
	fixture_deinit(&f);
}

/* ---- growing ---- */

Test(store_super, a_region_that_has_grown_is_used_and_one_that_shrank_is_refused)
{
	uint64_t larger = FIXTURE_MIB / 2 + 100, smaller = FIXTURE_MIB / 2 - 1, huge = 1ULL << 35;
	struct alloc_stats before, after;
	struct problem why = PROBLEM_INIT;
	struct fixture f;
	uint64_t ino;

	fixture_init(&f, 1024);
	fixture_make(&f, GM_ROOT_INO, "x", S_IFREG, &ino);
	cr_assert_eq(fixture_grow(&f, ino, 3), 0);
	store_checkpoint(f.store);
	cr_assert_eq(fixture_scrub(&f, ino), 0);
	alloc_get_stats(store_meta(f.store)->alloc, &before);
	cr_assert_eq(store_grow(f.store, &smaller, &why), -EINVAL);
	cr_assert(strstr(why.text, "shrunk"), "%s", why.text);
	cr_assert_eq(store_grow(f.store, &huge, &why), -EINVAL);
	cr_assert(strstr(why.text, "made for a smaller pool"), "%s", why.text);
	cr_assert_eq(store_grow(f.store, &larger, &why), 0, "%s", why.text);
	f.region_bytes = larger * GM_BLOCK_SIZE;
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	alloc_get_stats(store_meta(f.store)->alloc, &after);
	cr_assert_eq(after.data, before.data + 100);
	cr_assert_eq(after.used, 3);
	cr_assert_eq(after.free, before.free + 100);
	cr_assert_eq(fixture_grow(&f, ino, after.free), 0);
	uint64_t digest = fixture_digest(&f);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(fixture_digest(&f), digest);
	cr_assert_eq(store_checkpoint(f.store), 0);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(fixture_digest(&f), digest);
	fixture_deinit(&f);
}

/* A power cut half way through the first store. */
static void lose_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	(void)m, (void)offset, (void)from, (void)length;
}

static void lose_fence(struct media *m)
{
	(void)m;
}

static void lose_flush(struct media *m, uint64_t offset, uint64_t length)
{
	(void)m, (void)offset, (void)length;
}

static void tear_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	static const struct media_ops dead = {
		.copy = lose_copy, .flush = lose_flush, .fence = lose_fence};

	memcpy(m->base + offset, from, length / 2);
	m->ops = &dead;
}

Test(store_super, growing_that_is_torn_leaves_the_superblock_that_was_good)
{
	static const struct media_ops torn = {
		.copy = tear_copy, .flush = lose_flush, .fence = lose_fence};
	static const int64_t damaged[] = {-1, GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};
	const uint64_t larger = FIXTURE_MIB / 2 + 100;

	for (size_t n = 0; n < ARRAY_SIZE(damaged); n++) {
		struct problem why = PROBLEM_INIT;
		struct fixture f;

		fixture_init(&f, 1024);
		if (damaged[n] >= 0)
			f.media.base[damaged[n] + 100] ^= 1;
		cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
		f.media.ops = &torn;
		cr_assert_eq(store_grow(f.store, &larger, &why), 0);
		cr_assert_neq(f.media.ops, &torn);
		f.media.ops = &media_memory_ops;
		cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
		cr_assert_eq(store_get_super(f.store)->regions[0].blocks, FIXTURE_MIB / 2);
		fixture_deinit(&f);
	}
}
