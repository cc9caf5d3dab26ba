// SPDX-License-Identifier: MIT
/*
 * What a faulty writer leaves behind with good checksums, and a torn journal: the rules of
 * docs/repair.md, one by one.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repair_fixture.h"
#include "store/codec.h"

static const char tree[] =
	"mkdir d; create d/f; size d/f 2; clean d/f; create a; size a 3; clean a; "
	"mkdir d/e; create d/g; size d/g 1; symlink s d/f; checkpoint; "
	"create z; checkpoint; create y";

/* ---- objects of the checkpoint, in what is damaged ---- */

static struct gm_inode *inode_at(struct scene *s, uint64_t ino)
{
	uint64_t count, at = scene_find_section(s, GM_SECTION_INODES, &count);

	for (uint64_t n = 0; n < count; n++) {
		struct gm_inode *i = (void *)(s->damaged + at + n * sizeof(*i));

		if (get_le64(i->ino) == ino)
			return i;
	}
	cr_assert(false, "no inode %lu", ino);
	return NULL;
}

static uint64_t ino_of(struct scene *s, const char *name)
{
	return get_le64(scene_find_dirent(s, name)->ino);
}

static struct gm_extent *extent_of(struct scene *s, const char *name)
{
	uint64_t count, at = scene_find_section(s, GM_SECTION_EXTENTS, &count);

	for (uint64_t n = 0; n < count; n++) {
		struct gm_extent *e = (void *)(s->damaged + at + n * sizeof(*e));

		if (get_le64(e->ino) == ino_of(s, name))
			return e;
	}
	cr_assert(false, "no extent of %s", name);
	return NULL;
}

/* ---- what is there afterwards ---- */

static const struct view_entry *find_entry(const struct scene *s, const char *name)
{
	return scene_find_entry(&s->after.view, name);
}

static uint64_t owner_of(const struct scene *s, uint64_t block)
{
	return s->after.view.blocks[0][block].ino;
}

static bool is_in_found(const struct scene *s, const char *name)
{
	const struct view_entry *e = find_entry(s, name), *dir = find_entry(s, "lost+found");

	return e && dir && e->parent == dir->ino;
}

static void repair_sealed(struct scene *s)
{
	scene_seal(s);
	scene_repair(s, NULL);
	cr_assert_eq(s->error, 0, "%s", s->why.text);
	cr_assert(s->needed);
	cr_assert(scene_is_sound(s, "sealed"));
}

/* NOLINTBEGIN(bugprone-macro-parentheses): it declares s */
#define WITH_TREE(s)                                                                               \
	struct scene s;                                                                            \
	scene_init(&s, WORLD_FILE, tree)
/* NOLINTEND(bugprone-macro-parentheses) */

Test(repair_rules, a_block_of_two_files_is_neithers_and_kept)
{
	uint64_t f, a, block, other;

	WITH_TREE(s);
	f = ino_of(&s, "f");
	a = ino_of(&s, "a");
	block = get_le64(extent_of(&s, "a")->block) + 2; /* the last one of three */
	other = get_le64(extent_of(&s, "f")->block);
	extent_of(&s, "f")->block = put_le64(block);
	extent_of(&s, "f")->count = put_le32(1);
	repair_sealed(&s);
	cr_expect_eq(owner_of(&s, block - 1), a);
	cr_expect_eq(owner_of(&s, block - 2), a);
	cr_assert(is_in_found(&s, "blocks"));
	cr_expect_eq(owner_of(&s, block), find_entry(&s, "blocks")->ino);
	/* What it had in truth is marked as used and has no owner any more: kept as well. */
	cr_expect_eq(owner_of(&s, other), find_entry(&s, "blocks")->ino);
	cr_expect(s.after.view.blocks[0][block].clean, "it would be zeroed");
	cr_expect(scene_says(&s, true, "belongs to another file as well; neither keeps it"));
	cr_expect_neq(owner_of(&s, other), f);
	scene_deinit(&s);
}

Test(repair_rules, a_block_that_is_marked_and_has_no_owner_is_kept)
{
	uint64_t block;

	WITH_TREE(s);
	block = get_le64(extent_of(&s, "a")->block);
	extent_of(&s, "a")->block = put_le64(block + 1);
	extent_of(&s, "a")->file_block = put_le64(1);
	extent_of(&s, "a")->count = put_le32(2);
	repair_sealed(&s);
	cr_expect_eq(owner_of(&s, block), find_entry(&s, "blocks")->ino);
	cr_expect_eq(owner_of(&s, block + 1), find_entry(&s, "a")->ino);
	scene_deinit(&s);
}

Test(repair_rules, a_file_whose_inode_is_lost_keeps_name_and_blocks)
{
	uint64_t a, block;

	WITH_TREE(s);
	a = ino_of(&s, "a");
	block = get_le64(extent_of(&s, "a")->block);
	memset(inode_at(&s, a), 0, sizeof(struct gm_inode));
	repair_sealed(&s);
	cr_assert_not_null(find_entry(&s, "a"));
	cr_expect_eq(find_entry(&s, "a")->ino, a);
	for (unsigned n = 0; n < 3; n++)
		cr_expect_eq(owner_of(&s, block + n), a);
	cr_expect(scene_says(&s, true, "its owner, mode, times and exact size"));
	cr_expect(scene_says(&s, true, "[now /a]"));
	scene_deinit(&s);
}

Test(repair_rules, what_has_lost_its_name_is_in_lost_and_found)
{
	uint64_t g;
	char name[32];

	WITH_TREE(s);
	g = ino_of(&s, "g");
	(void)snprintf(name, sizeof(name), "#%lu", g);
	scene_find_dirent(&s, "g")->ino = put_le64(999);
	repair_sealed(&s);
	cr_expect_null(find_entry(&s, "g"));
	cr_expect(is_in_found(&s, name));
	cr_expect(scene_says(&s, true, "inode 999 is not there"));
	scene_deinit(&s);
}

Test(repair_rules, a_directory_whose_inode_is_lost_keeps_what_is_in_it)
{
	uint64_t d, f;

	WITH_TREE(s);
	d = ino_of(&s, "d");
	f = ino_of(&s, "f");
	memset(inode_at(&s, d), 0, sizeof(struct gm_inode));
	repair_sealed(&s);
	cr_assert_not_null(find_entry(&s, "f"));
	cr_expect_eq(find_entry(&s, "f")->parent, d);
	cr_expect_eq(find_entry(&s, "f")->ino, f);
	cr_expect_eq(find_entry(&s, "d")->parent, GM_ROOT_INO);
	scene_deinit(&s);
}

Test(repair_rules, a_ring_of_directories_is_cut)
{
	uint64_t d, e;

	WITH_TREE(s);
	d = ino_of(&s, "d");
	e = ino_of(&s, "e");
	/* d lies in e, and e in d. */
	scene_find_dirent(&s, "d")->parent = put_le64(e);
	inode_at(&s, d)->parent = put_le64(e);
	repair_sealed(&s);
	cr_assert_not_null(find_entry(&s, "f"));
	cr_expect(scene_says(&s, true, "hangs from itself"));
	cr_expect_not_null(find_entry(&s, "lost+found"));
	scene_deinit(&s);
}

/* What held d, and the entry by which it did, are lost: d hangs from what is gone. */
Test(repair_rules, a_directory_that_has_lost_its_name_keeps_what_is_in_it)
{
	uint64_t d, e, f;
	char name[32];
	struct scene s;

	scene_init(&s, WORLD_FILE,
		"mkdir f; create f/g; mkdir e; rename f e/f; mkdir d; rename e d/e; mkdir p; "
		"rename d p/d; checkpoint; create b");
	d = ino_of(&s, "d");
	e = ino_of(&s, "e");
	f = ino_of(&s, "f");
	(void)snprintf(name, sizeof(name), "#%lu", d);
	memset(inode_at(&s, ino_of(&s, "p")), 0, sizeof(struct gm_inode));
	scene_find_dirent(&s, "d")->ino = put_le64(999);
	repair_sealed(&s);
	cr_expect(is_in_found(&s, name));
	cr_expect_eq(find_entry(&s, name)->ino, d);
	cr_assert(find_entry(&s, "e") && find_entry(&s, "f") && find_entry(&s, "g"));
	cr_expect_eq(find_entry(&s, "e")->parent, d);
	cr_expect_eq(find_entry(&s, "f")->parent, e);
	cr_expect_eq(find_entry(&s, "g")->parent, f);
	cr_expect_not(scene_says(&s, true, "hangs from itself"));
	scene_deinit(&s);
}

static const struct gm_inode *seen_inode(const struct scene *s, uint64_t ino)
{
	for (uint32_t n = 0; n < s->after.view.inode_count; n++)
		if (get_le64(s->after.view.inodes[n].ino) == ino)
			return &s->after.view.inodes[n];
	return NULL;
}

static bool comes_to_the_root(const struct scene *s, uint64_t ino)
{
	for (uint32_t n = 0; ino != GM_ROOT_INO && n <= s->after.view.inode_count; n++) {
		const struct gm_inode *i = seen_inode(s, ino);

		ino = i ? get_le64(i->parent) : 0;
	}
	return ino == GM_ROOT_INO;
}

/* Inodes 2, 3 and 4: e, what was in it, and d, which it lay in; then file a. */
static const char removed[] =
	"mkdir e; open e; mkdir e/f; open e/f; rmdir e/f; mkdir d; open d; rename e d/e; "
	"rmdir d/e; rmdir d; create a; checkpoint; create b";

Test(repair_rules, removed_directories_in_a_ring_or_in_a_file_hang_from_the_root)
{
	for (uint64_t parent = 2; parent <= 5; parent++) {
		struct scene s;

		scene_init(&s, WORLD_FILE, removed);
		cr_assert(ino_of(&s, "a") == 5 && get_le64(inode_at(&s, 3)->parent) == 2 &&
			  get_le64(inode_at(&s, 2)->parent) == 4);
		inode_at(&s, 4)->parent = put_le64(parent);
		repair_sealed(&s);
		for (uint64_t ino = 2; ino <= 4; ino++) {
			cr_assert_eq(get_le32(seen_inode(&s, ino)->links), 0);
			cr_expect(comes_to_the_root(&s, ino), "inode %lu", ino);
		}
		cr_expect(find_entry(&s, "a") && find_entry(&s, "b"));
		cr_expect_null(find_entry(&s, "lost+found"));
		scene_deinit(&s);
	}
}

Test(repair_rules, an_entry_that_is_there_twice_is_there_once)
{
	uint64_t root;

	WITH_TREE(s);
	root = get_le64(scene_find_dirent(&s, "a")->parent);
	memcpy(scene_find_dirent(&s, "z") + 1, "a", 1);
	cr_assert_eq(root, GM_ROOT_INO);
	repair_sealed(&s);
	cr_expect(scene_says(&s, true, "is there twice"));
	cr_expect_not_null(find_entry(&s, "lost+found"));
	scene_deinit(&s);
}

Test(repair_rules, link_counts_follow_the_entries)
{
	WITH_TREE(s);
	inode_at(&s, ino_of(&s, "a"))->links = put_le32(7);
	inode_at(&s, ino_of(&s, "f"))->links = put_le32(0);
	inode_at(&s, ino_of(&s, "d"))->links = put_le32(0);
	repair_sealed(&s);
	cr_expect(find_entry(&s, "a") && find_entry(&s, "f") && find_entry(&s, "d"));
	cr_expect_null(find_entry(&s, "lost+found"));
	scene_deinit(&s);
}

Test(repair_rules, nobody_has_what_a_second_extent_says_of_the_same_place)
{
	uint64_t block;

	WITH_TREE(s);
	block = get_le64(extent_of(&s, "f")->block);
	extent_of(&s, "f")->ino = put_le64(ino_of(&s, "a"));
	repair_sealed(&s);
	cr_expect(owner_of(&s, block) == find_entry(&s, "a")->ino ||
		  owner_of(&s, block) == find_entry(&s, "blocks")->ino);
	scene_deinit(&s);
}

/* ---- the journal ---- */

static const char journal[] =
	"create a; size a 2; clean a; checkpoint; checkpoint; create b; size b 1; size a 0; create "
	"c; size c 2; rename b e; create f";

/* Where record n (from 0) of the journal begins. */
static uint64_t record_at(const struct scene *s, unsigned n)
{
	uint64_t at = s->super.plan.journal_offset;

	while (n-- > 0) {
		struct gm_record r;

		memcpy(&r, s->area + at, sizeof(r));
		at += get_le32(r.length);
	}
	return at;
}

/* Torn in record n: all before it holds, nothing behind it does. */
Test(repair_rules, the_whole_prefix_of_the_journal_is_kept)
{
	static const char *const names[] = {"b", NULL, NULL, "c", NULL, "e", "f"};
	struct scene s;

	scene_init(&s, WORLD_FILE, journal);
	for (unsigned n = 0; n < 7; n++) {
		scene_restore(&s);
		memset(s.damaged + record_at(&s, n) + 8, 0xa5, 48);
		scene_repair(&s, NULL);
		cr_expect_eq(s.error, 0, "%s", s.why.text);
		cr_expect(scene_is_sound(&s, "torn"));
		cr_expect(scene_says(&s, true, "the journal is damaged at 0x"));
		cr_expect_not_null(find_entry(&s, "a"));
		for (unsigned k = 0; k < 7; k++)
			if (k < 5 && names[k])
				cr_expect_eq(find_entry(&s, names[k]) != NULL,
					k < n && !(k == 0 && n > 5), "record %u, torn in %u", k, n);
			else if (names[k])
				cr_expect_eq(find_entry(&s, names[k]) != NULL, k < n);
	}
	scene_deinit(&s);
}

/* A change behind the tear frees a's blocks, and another gives one of them to c: a does not keep
 * what is another's by now, and nobody gets it. */
Test(repair_rules, what_a_lost_change_has_given_away_is_kept_apart)
{
	struct scene s;
	uint64_t a, c, kept = 0;

	scene_init(&s, WORLD_FILE,
		"create x; size x 8; create a; size a 2; clean a; checkpoint; checkpoint; create "
		"b; "
		"size a 0; create c; size c 2");
	memset(s.damaged + record_at(&s, 0) + 8, 0xa5, 48);
	scene_repair(&s, NULL);
	cr_assert_eq(s.error, 0, "%s", s.why.text);
	cr_assert(scene_is_sound(&s, "given away"));
	a = find_entry(&s, "a")->ino;
	c = a + 2;
	cr_assert(is_in_found(&s, "blocks"));
	for (uint64_t n = 0; n < s.regions[0].blocks; n++) {
		if (s.before.view.blocks[0][n].ino != c)
			continue;
		cr_expect_neq(owner_of(&s, n), a, "block %lu", n);
		kept += owner_of(&s, n) == find_entry(&s, "blocks")->ino;
	}
	cr_expect_eq(kept, 2);
	cr_expect(scene_says(&s, true, "which a lost change has given to another file"));
	scene_deinit(&s);
}

Test(repair_rules, a_turned_bit_of_a_record_or_a_header_costs_nothing)
{
	struct scene s;

	scene_init(&s, WORLD_FILE, journal);
	for (unsigned n = 0; n < 60; n++) {
		uint64_t record = record_at(&s, n % 6), end = record_at(&s, n % 6 + 1);
		uint64_t at = n % 10 == 9 ? scene_find_slot(&s) + scene_chance(&s, 4096)
					  : record + scene_chance(&s, (uint32_t)(end - record));

		scene_restore(&s);
		s.damaged[at] ^= (uint8_t)(1U << scene_chance(&s, 8));
		scene_repair(&s, NULL);
		cr_expect(scene_is_as_before(&s, "a bit"));
		cr_expect(scene_is_sound(&s, "a bit"));
		cr_expect(!s.report.lost);
	}
	scene_deinit(&s);
}

/* The entry of a record has a place that was given before; its checksum is good. */
static void contradict(struct scene *s, uint64_t record)
{
	struct gm_record *r = (void *)(s->damaged + record);

	for (uint64_t at = sizeof(*r); at < sizeof(*r) + get_le32(r->item_bytes);) {
		struct gm_item *item = (void *)(s->damaged + record + at);

		if (get_le16(item->type) == GM_ITEM_DIRENT)
			((struct gm_dirent *)(item + 1))->cookie = put_le64(GM_FIRST_COOKIE);
		at += get_le32(item->length);
	}
	r->checksum = put_le64(0);
	r->checksum = put_le64(codec_checksum(r, get_le32(r->length)));
}

/* What contradicts ends the first try, and the records before it load a second time: of the bit
 * that was turned back then the copy shows nothing any more. */
Test(repair_rules, what_a_first_try_has_mended_is_told_after_the_second)
{
	uint64_t kept, lost;
	struct scene s;

	scene_init(&s, WORLD_FILE, journal);
	s.damaged[record_at(&s, 1) + 70] ^= 4;
	contradict(&s, record_at(&s, 6));
	scene_repair(&s, NULL);
	kept = s.report.kept;
	lost = s.report.lost;
	cr_expect_eq(s.error, 0, "%s", s.why.text);
	cr_expect(scene_is_sound(&s, "a contradiction"));
	cr_expect(scene_says(&s, false, "is whole once bit 2 of byte 0x"));
	cr_expect(scene_says(&s, true, "cookie"));
	cr_expect_not_null(find_entry(&s, "e"));
	cr_expect_null(find_entry(&s, "f"));
	for (size_t n = 0; n < s.report.count; n++) {
		kept -= !s.report.notes[n].lost;
		lost -= s.report.notes[n].lost;
	}
	cr_expect(kept == 0 && lost == 0, "each is counted once");
	scene_deinit(&s);
}

Test(repair_rules, a_clean_pool_is_left_as_it_is)
{
	struct scene s;

	scene_init(&s, WORLD_RESERVED, journal);
	scene_repair(&s, NULL);
	cr_expect_eq(s.error, 0);
	cr_expect(!s.needed && s.report.count == 0);
	cr_expect_eq(memcmp(s.area, s.damaged, s.size), 0);
	scene_deinit(&s);
}

/* The flag is in the newer checkpoint alone, of which a section is damaged. */
Test(repair_rules, a_frozen_pool_stays_frozen)
{
	struct scene s;
	uint64_t count, at;

	scene_init(&s, WORLD_FILE, "create a; size a 3; clean a; checkpoint; create b; freeze");
	at = scene_find_section(&s, GM_SECTION_INODES, &count);
	memset(s.damaged + at, 0xa5, count * sizeof(struct gm_inode));
	scene_repair(&s, NULL);
	cr_assert_eq(s.error, 0, "%s", s.why.text);
	cr_assert_eq(s.report.lost, 0);
	cr_expect(scene_is_as_before(&s, "frozen"));
	scene_deinit(&s);
}

/* The reader, too, has room for those that there are at a time. */
Test(repair_rules, any_number_of_directories_may_have_come_and_gone)
{
	char script[8192] = "";
	struct scene s;

	for (unsigned n = 0; n < 2 * VIEW_INODES; n++)
		strcat(script, "mkdir d; create d/f; unlink d/f; rmdir d; ");
	strcat(script, "create a");
	scene_init(&s, WORLD_FILE, script);
	scene_repair(&s, NULL);
	cr_expect(!s.needed && scene_is_as_before(&s, "gone"));
	scene_deinit(&s);
}
