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
