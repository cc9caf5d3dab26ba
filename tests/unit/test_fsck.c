// SPDX-License-Identifier: MIT
/*
 * The offline check finds what was broken on purpose, names it, and finds nothing in what is whole.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "fsck_fixture.h"
#include "store/xattrs.h"
#include "util/cleanup.h"
#include "util/le.h"

static void own_a_block_twice(struct tree_image *i)
{
	struct gm_extent *e = image_section(i, GM_SECTION_EXTENTS, NULL);

	e[1].block = e[0].block;
}

static void leak_a_block(struct tree_image *i)
{
	uint8_t *used = image_section(i, GM_SECTION_USED, NULL);

	used[100 / 8] |= 1 << 100 % 8;
}

static void free_an_owned_block(struct tree_image *i)
{
	struct gm_extent *e = image_section(i, GM_SECTION_EXTENTS, NULL);
	uint8_t *used = image_section(i, GM_SECTION_USED, NULL);
	uint64_t b = get_le64(e[0].block);

	used[b / 8] = (uint8_t)(used[b / 8] & ~(1U << b % 8));
}

static void quarantine_an_owned_block(struct tree_image *i)
{
	struct gm_extent *e = image_section(i, GM_SECTION_EXTENTS, NULL);
	uint8_t *map = image_section(i, GM_SECTION_QUARANTINED, NULL);
	uint64_t b = get_le64(e[0].block);

	map[b / 8] |= (uint8_t)(1U << b % 8);
}

static void dangle_an_entry(struct tree_image *i)
{
	struct gm_dirent *d = image_section(i, GM_SECTION_DIRENTS, NULL);

	d->ino = put_le64(777);
}

static void miscount_links(struct tree_image *i)
{
	struct gm_inode *inode = image_section(i, GM_SECTION_INODES, NULL);

	inode[2].links = put_le32(5);
}

static void move_an_extent_outside(struct tree_image *i)
{
	struct gm_extent *e = image_section(i, GM_SECTION_EXTENTS, NULL);

	e[0].block = put_le64(0);
}

static void lose_an_extents_file(struct tree_image *i)
{
	struct gm_extent *e = image_section(i, GM_SECTION_EXTENTS, NULL);

	e[0].ino = put_le64(500);
}

static void bend_a_parent(struct tree_image *i)
{
	struct gm_inode *inode = image_section(i, GM_SECTION_INODES, NULL);

	inode[1].parent = put_le64(get_le64(inode[1].ino));
}

static void give_an_entry_the_wrong_type(struct tree_image *i)
{
	struct gm_dirent *d = image_section(i, GM_SECTION_DIRENTS, NULL);

	d->type = S_IFREG >> 12;
}

static void repeat_a_number(struct tree_image *i)
{
	struct gm_inode *inode = image_section(i, GM_SECTION_INODES, NULL);

	inode[3].ino = inode[2].ino;
}

/* In place of one that nothing names: applied one after the other, all would be well. */
static void repeat_an_inode(struct tree_image *i)
{
	struct gm_inode *inode = image_section(i, GM_SECTION_INODES, NULL);

	inode[5] = inode[1];
	inode[5].uid = put_le32(666);
}

static void exchange_entries_of_two_directories(struct tree_image *i)
{
	uint8_t *d = image_section(i, GM_SECTION_DIRENTS, NULL), other[40];

	memcpy(other, d + 40, sizeof(other));
	memcpy(d + 40, d + 40 * 2, sizeof(other));
	memcpy(d + 40 * 2, other, sizeof(other));
}

static void name_an_entry_twice(struct tree_image *i)
{
	uint8_t *d = image_section(i, GM_SECTION_DIRENTS, NULL);

	/* root: dir, c; then dir: a, b - all with names of one padded word */
	memcpy(d + 40 * 3 + 32, d + 40 * 2 + 32, 8);
}

static void spoil_a_cookie(struct tree_image *i)
{
	uint64_t count;
	uint8_t *d = image_section(i, GM_SECTION_DIRENTS, &count);
	struct gm_dirent *last = (struct gm_dirent *)(void *)(d + 40 * (count - 1));

	last->cookie = put_le64(100);
}

static void take_the_root_away(struct tree_image *i)
{
	struct gm_inode *inode = image_section(i, GM_SECTION_INODES, NULL);

	inode[0].mode = put_le32(S_IFREG);
	inode[0].parent = inode[0].next_cookie = put_le64(0);
}

static void stray_bit(struct tree_image *i)
{
	uint8_t *map = image_section(i, GM_SECTION_CLEAN, NULL);

	map[0] |= 1;
}

static void low_next_number(struct tree_image *i)
{
	i->header.next_ino = put_le64(3);
}

/* The next file, or the one after it, would have a number that no file may have. */
static void next_number_at_the_end(struct tree_image *i)
{
	i->header.next_ino = put_le64(INT64_MAX);
}

static void next_cookie_at_the_end(struct tree_image *i)
{
	struct gm_inode *inode = image_section(i, GM_SECTION_INODES, NULL);

	inode[0].next_cookie = put_le64(INT64_MAX);
}

/* 24 bytes each: header, name of six bytes, value of one, padding. */
static struct gm_xattr *attribute(struct tree_image *i, unsigned n)
{
	uint8_t *x = image_section(i, GM_SECTION_XATTRS, NULL);

	return (struct gm_xattr *)(void *)(x + (sizeof(struct gm_xattr) + 8) * n);
}

static void dangle_an_attribute(struct tree_image *i)
{
	attribute(i, 2)->ino = put_le64(777);
}

static void give_an_attribute_to_nobody(struct tree_image *i)
{
	attribute(i, 0)->ino = put_le64(0);
}

static void put_attributes_out_of_order(struct tree_image *i)
{
	attribute(i, 0)->ino = put_le64(5);
}

static void name_an_attribute_twice(struct tree_image *i)
{
	memcpy(attribute(i, 1) + 1, "user.a", 6);
}

static void give_an_attribute_a_name_of_nobody(struct tree_image *i)
{
	memcpy(attribute(i, 1) + 1, "usar.a", 6);
}

static void make_an_attribute_longer_than_it_is(struct tree_image *i)
{
	attribute(i, 2)->value_len = put_le32(3);
}

/* One of 48 bytes takes the place of the first two. */
static void replace_two(struct tree_image *i, const char *quota)
{
	struct gm_xattr *x = attribute(i, 0);

	for (uint32_t n = 0; n < get_le32(i->header.section_count); n++)
		if (get_le32(i->header.sections[n].type) == GM_SECTION_XATTRS)
			i->header.sections[n].count = put_le64(2);
	memset(x, 0, 48);
	x->ino = put_le64(3);
	x->name_len = put_le16(sizeof(XATTR_QUOTA) - 1);
	x->value_len = put_le32((uint32_t)strlen(quota));
	memcpy(x + 1, XATTR_QUOTA, sizeof(XATTR_QUOTA) - 1);
	memcpy((char *)(x + 1) + sizeof(XATTR_QUOTA) - 1, quota, strlen(quota));
}

static void put_a_quota_on_a_file(struct tree_image *i)
{
	replace_two(i, "4194304");
}

static void make_a_quota_no_number(struct tree_image *i)
{
	replace_two(i, "04M");
}

Test(fsck, damage_made_on_purpose_is_found_named_and_refused_by_recovery)
{
	static const struct tree_damage cases[] = {
		{own_a_block_twice, "block-owned-twice", "belongs to inode 3 and to inode 4"},
		{leak_a_block, "block-leaked", "block 100 to 100"},
		{free_an_owned_block, "block-unmarked", "marked as free"},
		{quarantine_an_owned_block, "block-quarantined", "in quarantine"},
		{dangle_an_entry, "entry-dangling", "names inode 777"},
		{miscount_links, "links-wrong", "has 5 links, its entries make 1"},
		{move_an_extent_outside, "extent-range", "outside the data blocks"},
		{lose_an_extents_file, "extent-dangling", "inode 500"},
		{bend_a_parent, "directory-detached", "inode 2"},
		{give_an_entry_the_wrong_type, "entry-type", "inode 2"},
		{repeat_a_number, "inode-order", "inode 3"},
		{repeat_an_inode, "inode-order", "inode 2 (record 5)"},
		{exchange_entries_of_two_directories, "entry-order", "entry \"c\" of inode 1"},
		{name_an_entry_twice, "entry-twice", "inode 2"},
		{spoil_a_cookie, "entry-cookie", "still to come"},
		{take_the_root_away, "root-missing", "root"},
		{dangle_an_attribute, "attribute-dangling", "names inode 777"},
		{give_an_attribute_to_nobody, "attribute-dangling", "names inode 0"},
		{put_attributes_out_of_order, "attribute-order", "of inode 3"},
		{name_an_attribute_twice, "attribute-order", "\"user.a\" of inode 3"},
		{give_an_attribute_a_name_of_nobody, "attribute-bad", "no namespace"},
		{make_an_attribute_longer_than_it_is, "attribute-bad", "record 2"},
		{put_a_quota_on_a_file, "attribute-place", "inode 3 is none for an inode"},
		{make_a_quota_no_number, "attribute-bad", "no quota"},
		{stray_bit, "map-stray-bit", "block 0"},
		{next_number_at_the_end, "checkpoint", "next inode number is out of range"},
		{next_cookie_at_the_end, "inode-bad", "next cookie is out of range"},
		{low_next_number, "inode-number", "next number to be given is 3"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct fixture f;

		fsck_make_tree(&f);
		fsck_expect_damage(&f, &cases[n], n);
		fixture_deinit(&f);
	}
}

Test(fsck, what_is_whole_has_no_errors_and_an_unlinked_inode_is_a_note)
{
	struct fsck_report r;
	struct fixture f;

	fsck_make_tree(&f);
	fsck_check(&r, &f);
	cr_assert_eq(r.errors, 0, "%s", r.count ? r.findings[0].text : "");
	cr_assert(fsck_found(&r, "inode-orphan", "unlinked"));
	cr_assert_eq(r.count, 1, "said once");
	cr_assert_eq(r.inodes, 6);
	cr_assert_eq(r.entries, 4);
	fsck_report_deinit(&r);
	fixture_deinit(&f);
}

Test(fsck, changes_in_the_journal_are_looked_at_too)
{
	struct problem why = PROBLEM_INIT;
	struct fsck_report r;
	struct fixture f;

	fsck_make_tree(&f);
	cr_assert_eq(fixture_open(&f, &why), 0);
	for (unsigned n = 0; n < 30; n++)
		cr_assert_eq(fixture_step(&f, n), 0);
	f.store = store_close(f.store);
	fsck_check(&r, &f);
	cr_assert_eq(r.errors, 0, "%s", r.count ? r.findings[0].text : "");
	cr_assert_eq(r.records, 30);
	fsck_report_deinit(&r);
	f.media.base[f.super.plan.journal_offset + 200] ^= 1;
	fsck_check(&r, &f);
	cr_assert(fsck_found(&r, "recovery", "journal record 0"));
	fsck_report_deinit(&r);
	fixture_deinit(&f);
}

static void flip_first_super(struct fixture *f)
{
	f->media.base[GM_SUPER_A_OFFSET + 20] ^= 1;
}

static void flip_both_supers(struct fixture *f)
{
	f->media.base[GM_SUPER_A_OFFSET + 20] ^= 1;
	f->media.base[GM_SUPER_B_OFFSET + 20] ^= 1;
}

static void flip_stamp(struct fixture *f)
{
	f->media.base[GM_STAMP_OFFSET + 20] ^= 1;
}

/* In the token: a crash in the storing of a new one leaves that. */
static void tear_stamp(struct fixture *f)
{
	f->media.base[GM_STAMP_OFFSET + 44] ^= 1;
}

static void flip_slot_word(struct fixture *f)
{
	f->media.base[GM_SLOT_WORD_A_OFFSET] ^= 1;
}

static void flip_slot_words(struct fixture *f)
{
	f->media.base[GM_SLOT_WORD_A_OFFSET] ^= 1;
	f->media.base[GM_SLOT_WORD_B_OFFSET] ^= 1;
}

static void flip_tail(struct fixture *f)
{
	f->media.base[GM_TAIL_WORD_OFFSET] ^= 1;
}

static void flip_image(struct fixture *f)
{
	struct tree_image i = image_open(f);

	i.base[4096] ^= 1;
}

static void shrink_region(struct fixture *f)
{
	f->region_bytes -= GM_BLOCK_SIZE;
}

Test(fsck, damaged_structures_are_named)
{
	static const struct {
		void (*damage)(struct fixture *);
		bool error;
		const char *code;
		const char *text;
	} cases[] = {
		{flip_first_super, false, "superblock-copy", "first superblock"},
		{flip_both_supers, true, "superblock", "both superblocks are damaged"},
		{flip_stamp, true, "stamp", "first block of region 0 is missing or damaged"},
		{tear_stamp, false, "stamp-torn", "first block of region 0 was half stored"},
		{flip_slot_word, false, "slot-word", "0x1000"},
		{flip_slot_words, true, "slot-words", "0x101000"},
		{flip_tail, true, "recovery", "tail word"},
		{flip_image, true, "checkpoint", "section 0 (inodes): its checksum is wrong"},
		{shrink_region, true, "superblock", "254 MiB"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct fsck_report r;
		struct fixture f;

		fsck_make_tree(&f);
		cases[n].damage(&f);
		fsck_check(&r, &f);
		cr_assert(fsck_found(&r, cases[n].code, cases[n].text), "case %zu (%s): %s", n,
			cases[n].code, r.count ? r.findings[0].text : "nothing found");
		cr_assert_eq(r.errors > 0, cases[n].error, "case %zu", n);
		fsck_report_deinit(&r);
		fixture_deinit(&f);
	}
}
