// SPDX-License-Identifier: MIT
/* What is committed is there after opening again; what does not fit is refused and changes nothing.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store_fixture.h"
#include "util/cleanup.h"

Test(store, an_empty_pool_has_a_root_and_dirty_blocks)
{
	struct problem why = PROBLEM_INIT;
	struct alloc_stats stats;
	struct fixture f;

	fixture_init(&f, 1024);
	struct inode *root = meta_inode(store_meta(f.store), GM_ROOT_INO);
	cr_assert(root && inode_is_dir(root));
	cr_assert_eq(root->attr.mode, S_IFDIR | 0755U);
	alloc_get_stats(store_meta(f.store)->alloc, &stats);
	cr_assert_eq(stats.data, FIXTURE_MIB / 2 - f.super.plan.meta_blocks - 1);
	cr_assert_eq(stats.free_dirty, stats.data);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_str_eq(f.super.label, "fixture");
	fixture_deinit(&f);
}

Test(store, opening_again_gives_the_same_state_after_every_change)
{
	struct problem why = PROBLEM_INIT;
	struct fixture f;

	fixture_init(&f, 1024);
	for (unsigned n = 0; n < 200; n++) {
		cr_assert_eq(fixture_step(&f, n), 0, "step %u", n);
		uint64_t digest = fixture_digest(&f);
		cr_assert_eq(fixture_reopen(&f, &why), 0, "step %u: %s", n, why.text);
		cr_assert_eq(fixture_digest(&f), digest, "step %u", n);
	}
	fixture_deinit(&f);
}

Test(store, a_checkpoint_changes_nothing_but_the_generation)
{
	struct problem why = PROBLEM_INIT;
	struct store_stats before, after;
	struct fixture f;

	fixture_init(&f, 1024);
	for (unsigned n = 0; n < 50; n++)
		fixture_step(&f, n);
	uint64_t digest = fixture_digest(&f);
	store_get_stats(f.store, &before);
	cr_assert_eq(store_checkpoint(f.store), 0);
	store_get_stats(f.store, &after);
	cr_assert_eq(after.generation, before.generation + 1);
	cr_assert_eq(after.journal_used, 0);
	cr_assert_eq(after.sequence, before.sequence);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(fixture_digest(&f), digest);
	store_get_stats(f.store, &after);
	cr_assert_eq(after.replayed, 0);
	fixture_deinit(&f);
}

Test(store, a_half_full_journal_makes_a_checkpoint)
{
	struct problem why = PROBLEM_INIT;
	struct store_stats stats;
	struct fixture f;
	uint64_t ino;

	fixture_init(&f, 1024);
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "x", S_IFREG, &ino), 0);
	for (unsigned n = 0; n < 10000; n++) {
		cr_assert_eq(fixture_flags(&f, ino, n % 2), 0);
		store_get_stats(f.store, &stats);
		cr_assert_leq(stats.journal_used, stats.journal_size / 2);
	}
	cr_assert_gt(stats.generation, 3);
	uint64_t digest = fixture_digest(&f);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(fixture_digest(&f), digest);
	fixture_deinit(&f);
}

/* 1 MiB of journal; the checkpoint of a change larger than half of it is the commit. */
Test(store, a_change_too_large_for_the_journal_is_committed_by_a_checkpoint)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);
	struct problem why = PROBLEM_INIT;
	struct store_stats before, after;
	struct fixture f;

	fixture_init(&f, 1024);
	store_get_stats(f.store, &before);
	for (unsigned n = 0; n < 60000; n++) {
		struct alloc_extent e = {.block = f.super.first_data[0] + n % 64, .count = 1};

		txn_set_blocks(&t, &e, GM_BLOCKS_CLEAN);
	}
	cr_assert_gt(t.size, before.journal_size);
	cr_assert_eq(store_commit(f.store, &t), 0);
	store_get_stats(f.store, &after);
	cr_assert_eq(after.generation, before.generation + 1);
	cr_assert_eq(after.sequence, before.sequence + 1);
	uint64_t digest = fixture_digest(&f);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(fixture_digest(&f), digest);
	fixture_deinit(&f);
}

Test(store, more_files_than_the_limit_are_refused_and_nothing_changes)
{
	struct fixture f;
	char name[32];
	uint64_t ino;

	fixture_init(&f, 16);
	for (unsigned n = 0; n < 15; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		cr_assert_eq(fixture_make(&f, GM_ROOT_INO, name, S_IFREG, &ino), 0, "%u", n);
	}
	uint64_t digest = fixture_digest(&f);
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "one more", S_IFREG, &ino), -ENOSPC);
	cr_assert_eq(fixture_digest(&f), digest);
	cr_assert_eq(fixture_unlink(&f, GM_ROOT_INO, "3", false), 0);
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "one more", S_IFREG, &ino), 0);
	fixture_deinit(&f);
}

Test(store, names_that_fill_the_metadata_area_get_enospc_and_removing_still_works)
{
	struct problem why = PROBLEM_INIT;
	struct fixture f;
	char name[256];
	uint64_t ino;
	int r = 0;
	unsigned n;

	fixture_init(&f, 1024);
	for (n = 0; n < 1023 && r == 0; n++) {
		memset(name, 'n', 255);
		name[255] = '\0';
		(void)snprintf(name, 8, "%07u", n);
		name[7] = 'n';
		r = fixture_make(&f, GM_ROOT_INO, name, S_IFREG, &ino);
	}
	cr_assert_eq(r, -ENOSPC, "255-byte names must exceed the room for ordinary ones");
	cr_assert_eq(store_checkpoint(f.store), 0);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	struct dirent *d = meta_next_entry(meta_inode(store_meta(f.store), GM_ROOT_INO), 0);
	memcpy(name, d->name, d->name_len);
	name[d->name_len] = '\0';
	cr_assert_eq(fixture_unlink(&f, GM_ROOT_INO, name, false), 0);
	fixture_deinit(&f);
}

/* Files with names of such lengths that nothing is left of the room for a checkpoint. */
static void fill_to_the_byte(struct fixture *f)
{
	const uint64_t least = sizeof(struct gm_inode) + sizeof(struct gm_dirent) + 8,
		       most = least + 240;
	struct store_stats stats;
	char name[256];
	uint64_t ino;

	for (unsigned n = 0;; n++) {
		store_get_stats(f->store, &stats);
		uint64_t left = stats.slot_size - stats.image_bytes;
		uint64_t weight = left >= 2 * most ? most : left > most ? left / 16 * 8 : left;

		if (left < sizeof(struct gm_extent))
			return;
		(void)snprintf(name, sizeof(name), "%08u%0240u", n, 0U);
		name[8 + weight - least] = '\0';
		cr_assert_eq(fixture_make(f, GM_ROOT_INO, name, S_IFREG, &ino), 0, "%u", n);
	}
}

Test(store, a_hole_that_splits_an_extent_needs_room_too)
{
	static const struct {
		uint64_t from;
		int result;
	} holes[] = {{1, -ENOSPC}, {2, 0}, {0, 0}};
	struct problem why = PROBLEM_INIT;
	struct fixture f;
	uint64_t ino;

	fixture_init(&f, 1024);
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "x", S_IFREG, &ino), 0);
	cr_assert_eq(fixture_grow(&f, ino, 3), 0);
	fill_to_the_byte(&f);
	for (size_t n = 0; n < ARRAY_SIZE(holes); n++) {
		_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);
		struct file_extent e = meta_inode(store_meta(f.store), ino)->extents[0];

		e = (struct file_extent){.file_block = holes[n].from,
			.block = e.block - e.file_block + holes[n].from,
			.count = 1,
			.region = e.region};
		txn_remove_extent(&t, ino, &e);
		cr_expect_eq(store_commit(f.store, &t), holes[n].result, "hole at %zu", n);
	}
	cr_assert_eq(meta_inode(store_meta(f.store), ino)->extent_count, 1);
	cr_assert_eq(store_checkpoint(f.store), 0);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	fixture_deinit(&f);
}

/* ---- boots and mounts ---- */

Test(store, held_marks_last_for_one_boot)
{
	static const uint8_t other[16] = {9};
	struct problem why = PROBLEM_INIT;
	struct fixture f;
	uint64_t ino;

	fixture_init(&f, 1024);
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "x", S_IFREG, &ino), 0);
	cr_assert_eq(fixture_grow(&f, ino, 2), 0);
	cr_assert_eq(fixture_flags(&f, ino, GM_INODE_HELD), 0);
	cr_assert_eq(fixture_reopen(&f, &why), 0);
	cr_assert_eq(store_begin_mount(f.store, fixture_boot, &why), 0);
	cr_assert(inode_is_held(meta_inode(store_meta(f.store), ino)), "the same boot keeps it");
	cr_assert_eq(fixture_reopen(&f, &why), 0);
	cr_assert_eq(store_begin_mount(f.store, other, &why), 0);
	cr_assert_not(
		inode_is_held(meta_inode(store_meta(f.store), ino)), "another boot forgets it");
	cr_assert_eq(store_meta(f.store)->mount_number, 3);
	fixture_deinit(&f);
}

Test(store, unlinked_files_go_at_mount_unless_held_in_this_boot)
{
	static const uint8_t other[16] = {9};
	struct problem why = PROBLEM_INIT;
	struct alloc_stats stats;
	struct fixture f;
	uint64_t held, loose;

	fixture_init(&f, 1024);
	fixture_make(&f, GM_ROOT_INO, "held", S_IFREG, &held);
	fixture_make(&f, GM_ROOT_INO, "loose", S_IFREG, &loose);
	fixture_grow(&f, held, 2);
	fixture_grow(&f, loose, 3);
	fixture_flags(&f, held, GM_INODE_HELD);
	fixture_unlink(&f, GM_ROOT_INO, "held", true);
	fixture_unlink(&f, GM_ROOT_INO, "loose", true);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(f.store, fixture_boot, &why), 0);
	cr_assert(meta_inode(store_meta(f.store), held));
	cr_assert_not(meta_inode(store_meta(f.store), loose));
	alloc_get_stats(store_meta(f.store)->alloc, &stats);
	cr_assert_eq(stats.used, 2);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(f.store, other, &why), 0);
	cr_assert_not(meta_inode(store_meta(f.store), held));
	alloc_get_stats(store_meta(f.store)->alloc, &stats);
	cr_assert_eq(stats.used, 0);
	fixture_deinit(&f);
}

Test(store, after_a_panic_the_crashed_boot_goes_on)
{
	static const uint8_t other[16] = {9};
	struct alloc_extent lost = {.count = 2};
	struct problem why = PROBLEM_INIT;
	struct alloc_stats stats;
	struct fixture f;
	uint64_t mapped, orphan;

	fixture_init(&f, 1024);
	fixture_make(&f, GM_ROOT_INO, "mapped", S_IFREG, &mapped);
	fixture_make(&f, GM_ROOT_INO, "orphan", S_IFREG, &orphan);
	fixture_grow(&f, orphan, 3);
	fixture_flags(&f, mapped, GM_INODE_HELD);
	fixture_flags(&f, orphan, GM_INODE_HELD);
	fixture_unlink(&f, GM_ROOT_INO, "orphan", true);
	lost.block = f.super.first_data[0] + 20;
	{
		_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_RELEASE, 0);

		txn_set_blocks(&t, &lost, GM_BLOCKS_QUARANTINED);
		cr_assert_eq(store_commit(f.store, &t), 0);
	}
	for (int mounts = 0; mounts < 2; mounts++) { /* as often as one likes */
		cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
		cr_assert_eq(store_continue_mount(f.store, other, &why), 0);
		cr_assert(store_keeps_held(f.store));
		cr_assert(inode_is_held(meta_inode(store_meta(f.store), mapped)));
		cr_assert(meta_inode(store_meta(f.store), orphan));
		alloc_get_stats(store_meta(f.store)->alloc, &stats);
		cr_assert(stats.used == 3 && stats.quarantined == 2);
	}
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(f.store, other, &why), 0, "a boot that is none of these");
	cr_assert_not(store_keeps_held(f.store));
	cr_assert_not(meta_inode(store_meta(f.store), orphan));
	alloc_get_stats(store_meta(f.store)->alloc, &stats);
	cr_assert(stats.used == 0 && stats.quarantined == 0);
	fixture_deinit(&f);
}

Test(store, inode_numbers_are_never_used_twice)
{
	struct problem why = PROBLEM_INIT;
	struct fixture f;
	uint64_t first, second;

	fixture_init(&f, 1024);
	fixture_make(&f, GM_ROOT_INO, "a", S_IFREG, &first);
	fixture_unlink(&f, GM_ROOT_INO, "a", false);
	store_checkpoint(f.store);
	cr_assert_eq(fixture_reopen(&f, &why), 0);
	fixture_make(&f, GM_ROOT_INO, "a", S_IFREG, &second);
	cr_assert_gt(second, first);
	fixture_deinit(&f);
}

Test(store, one_damaged_superblock_is_healed_at_mount)
{
	static const uint64_t offset[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};

	for (int k = 0; k < 2; k++) {
		struct problem why = PROBLEM_INIT;
		struct fixture f;

		fixture_init(&f, 1024);
		f.media.base[offset[k] + 100] ^= 1;
		cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
		cr_assert(f.super.copy_bad[k]);
		cr_assert_eq(store_begin_mount(f.store, fixture_boot, &why), 0);
		cr_assert_eq(memcmp(f.media.base + offset[0], f.media.base + offset[1],
				     sizeof(struct gm_super)),
			0);
		fixture_deinit(&f);
	}
}

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

Test(store, superblocks_that_are_not_ours_to_use_are_refused_with_a_sentence)
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

Test(store, zero_foreign_damaged_and_shrunk_regions_are_told_apart)
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

Test(store, plans_that_do_not_fit_say_how_much_is_needed)
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

/* ---- freezing ---- */

Test(store, a_frozen_pool_takes_no_change_until_it_is_thawed_or_another_boot_mounts_it)
{
	static const uint8_t other[16] = {9};
	struct problem why = PROBLEM_INIT;
	struct fixture f;
	uint64_t ino;

	fixture_init(&f, 1024);
	fixture_make(&f, GM_ROOT_INO, "x", S_IFREG, &ino);
	cr_assert_eq(store_freeze(f.store), 0);
	uint64_t digest = fixture_digest(&f);
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "y", S_IFREG, &ino), -EBUSY);
	cr_assert_eq(store_checkpoint(f.store), -EBUSY);
	cr_assert_eq(fixture_digest(&f), digest);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(f.store, fixture_boot, &why), 0, "%s", why.text);
	cr_assert(store_is_frozen(f.store), "the same boot keeps it frozen");
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "y", S_IFREG, &ino), -EBUSY);
	cr_assert_eq(store_thaw(f.store), 0);
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "y", S_IFREG, &ino), 0);
	cr_assert_eq(store_freeze(f.store), 0);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(f.store, other, &why), 0, "%s", why.text);
	cr_assert_not(store_is_frozen(f.store), "another boot thaws");
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "z", S_IFREG, &ino), 0);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_not(store_is_frozen(f.store));
	fixture_deinit(&f);
}

/* ---- where a boot came from ---- */

static void on_reserved_ram(struct gm_super *s)
{
	s->regions[0].flags = put_le16(GM_REGION_RESERVED_RAM);
}

Test(store, reserved_ram_asks_another_boot_for_the_token)
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

Test(store, a_region_that_has_grown_is_used_and_one_that_shrank_is_refused)
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

Test(store, growing_that_is_torn_leaves_the_superblock_that_was_good)
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
