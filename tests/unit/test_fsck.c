// SPDX-License-Identifier: MIT
/*
 * The offline check finds what was broken on purpose, names it, and finds nothing in what is whole.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/checkpoint.h"
#include "store/codec.h"
#include "store/fsck.h"
#include "store/xattrs.h"
#include "store_fixture.h"
#include "util/cleanup.h"

static void set_attribute(struct fixture *f, uint64_t ino, const char *name, const char *value)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_XATTR, 0);

	txn_set_xattr(&t, ino, name, strlen(name), value, strlen(value));
	cr_assert_eq(store_commit(f->store, &t), 0);
}

/*
 * A tree with a directory, three files with blocks and an unlinked one, all
 * of it in the checkpoint. Three attributes: two of a (inode 3), one of b.
 */
static void make_tree(struct fixture *f)
{
	uint64_t dir, a, b, c, gone;

	fixture_init(f, 64);
	cr_assert_eq(fixture_make(f, GM_ROOT_INO, "dir", S_IFDIR | 0755, &dir), 0);
	cr_assert_eq(fixture_make(f, dir, "a", S_IFREG | 0600, &a), 0);
	cr_assert_eq(fixture_make(f, dir, "b", S_IFREG | 0600, &b), 0);
	cr_assert_eq(fixture_make(f, GM_ROOT_INO, "c", S_IFREG | 0600, &c), 0);
	cr_assert_eq(fixture_grow(f, a, 2), 0);
	cr_assert_eq(fixture_grow(f, b, 3), 0);
	cr_assert_eq(fixture_grow(f, c, 1), 0);
	cr_assert_eq(fixture_make(f, GM_ROOT_INO, "gone", S_IFREG | 0600, &gone), 0);
	cr_assert_eq(fixture_flags(f, gone, GM_INODE_HELD), 0);
	cr_assert_eq(fixture_unlink(f, GM_ROOT_INO, "gone", true), 0);
	set_attribute(f, a, "user.a", "1");
	set_attribute(f, a, "user.b", "2");
	set_attribute(f, b, "user.a", "3");
	cr_assert_eq(store_checkpoint(f->store), 0);
	f->store = store_close(f->store);
}

/* As make_tree(), and in it symlinks l (inode 7) and m (8), a device (9), and a second name of b.
 */
static void make_tree_of_links(struct fixture *f)
{
	static const char *const targets[] = {"dir/a", "nowhere/at/all"};
	struct problem why = PROBLEM_INIT;
	struct inode_attr root;

	make_tree(f);
	cr_assert_eq(fixture_open(f, &why), 0);
	for (unsigned n = 0; n < 3; n++) {
		_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SYMLINK, 0);
		struct inode_attr a = {.ino = 7 + n, .mode = S_IFLNK | 0777, .links = 1};

		root = meta_inode(store_meta(f->store), GM_ROOT_INO)->attr;
		if (n < 2)
			a.size = strlen(targets[n]);
		else
			a = (struct inode_attr){.ino = 9,
				.mode = S_IFBLK | 0600,
				.links = 1,
				.rdev = INODE_RDEV(8, 1)};
		txn_put_inode(&t, &a);
		if (n < 2)
			txn_set_target(&t, a.ino, targets[n], a.size);
		txn_add_dirent(&t, GM_ROOT_INO, a.ino, root.next_cookie++, (uint8_t)(a.mode >> 12),
			&"lmn"[n], 1);
		txn_put_inode(&t, &root);
		cr_assert_eq(store_commit(f->store, &t), 0);
	}
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_LINK, 0);
	struct inode_attr b = meta_inode(store_meta(f->store), 4)->attr;
	b.links++;
	root = meta_inode(store_meta(f->store), GM_ROOT_INO)->attr;
	txn_put_inode(&t, &b);
	txn_add_dirent(&t, GM_ROOT_INO, b.ino, root.next_cookie++, S_IFREG >> 12, "o", 1);
	txn_put_inode(&t, &root);
	cr_assert_eq(store_commit(f->store, &t), 0);
	cr_assert_eq(store_checkpoint(f->store), 0);
	f->store = store_close(f->store);
}

static void check(struct fsck_report *r, const struct fixture *f)
{
	const struct gm_stamp *stamps[2] = {(const void *)(f->media.base + GM_STAMP_OFFSET), NULL};
	struct fsck_input in = {.area = f->media.base,
		.area_bytes = f->media.size,
		.region_count = 1,
		.region_bytes = &f->region_bytes,
		.stamps = stamps};

	cr_assert_eq(fsck_run(r, &in), 0);
}

static bool found(const struct fsck_report *r, const char *code, const char *text)
{
	for (size_t n = 0; n < r->count; n++)
		if (strcmp(r->findings[n].code, code) == 0 && strstr(r->findings[n].text, text))
			return true;
	return false;
}

/*
 * ---- damage: the image in force is changed and its checksums are made good, as a
 * faulty writer would ----
 */

struct image {
	uint8_t *base;
	struct gm_checkpoint header;
};

static void *section(struct image *i, enum gm_section_type type, uint64_t *count)
{
	for (uint32_t n = 0; n < get_le32(i->header.section_count); n++)
		if (get_le32(i->header.sections[n].type) == (uint32_t)type) {
			if (count)
				*count = get_le64(i->header.sections[n].count);
			return i->base + get_le64(i->header.sections[n].offset);
		}
	abort(); /* a test that asks for a section that no image has */
}

static struct image open_image(struct fixture *f)
{
	struct codec_word word;
	struct image i;

	cr_assert(codec_decode_slot_word(
		codec_read_word(f->media.base + GM_SLOT_WORD_A_OFFSET), &word));
	i.base = f->media.base + f->super.plan.slot_offset[word.value];
	memcpy(&i.header, i.base, sizeof(i.header));
	return i;
}

static void seal_image(struct image *i)
{
	for (uint32_t n = 0; n < get_le32(i->header.section_count); n++) {
		struct gm_section *s = &i->header.sections[n];

		s->checksum = put_le64(
			codec_checksum(i->base + get_le64(s->offset), get_le64(s->length)));
	}
	i->header.checksum = codec_seal(&i->header, sizeof(i->header));
	memcpy(i->base, &i->header, sizeof(i->header));
}

static void own_a_block_twice(struct image *i)
{
	struct gm_extent *e = section(i, GM_SECTION_EXTENTS, NULL);

	e[1].block = e[0].block;
}

static void leak_a_block(struct image *i)
{
	uint8_t *used = section(i, GM_SECTION_USED, NULL);

	used[100 / 8] |= 1 << 100 % 8;
}

static void free_an_owned_block(struct image *i)
{
	struct gm_extent *e = section(i, GM_SECTION_EXTENTS, NULL);
	uint8_t *used = section(i, GM_SECTION_USED, NULL);
	uint64_t b = get_le64(e[0].block);

	used[b / 8] = (uint8_t)(used[b / 8] & ~(1U << b % 8));
}

static void quarantine_an_owned_block(struct image *i)
{
	struct gm_extent *e = section(i, GM_SECTION_EXTENTS, NULL);
	uint8_t *map = section(i, GM_SECTION_QUARANTINED, NULL);
	uint64_t b = get_le64(e[0].block);

	map[b / 8] |= (uint8_t)(1U << b % 8);
}

static void dangle_an_entry(struct image *i)
{
	struct gm_dirent *d = section(i, GM_SECTION_DIRENTS, NULL);

	d->ino = put_le64(777);
}

static void miscount_links(struct image *i)
{
	struct gm_inode *inode = section(i, GM_SECTION_INODES, NULL);

	inode[2].links = put_le32(5);
}

static void move_an_extent_outside(struct image *i)
{
	struct gm_extent *e = section(i, GM_SECTION_EXTENTS, NULL);

	e[0].block = put_le64(0);
}

static void lose_an_extents_file(struct image *i)
{
	struct gm_extent *e = section(i, GM_SECTION_EXTENTS, NULL);

	e[0].ino = put_le64(500);
}

static void bend_a_parent(struct image *i)
{
	struct gm_inode *inode = section(i, GM_SECTION_INODES, NULL);

	inode[1].parent = put_le64(get_le64(inode[1].ino));
}

static void give_an_entry_the_wrong_type(struct image *i)
{
	struct gm_dirent *d = section(i, GM_SECTION_DIRENTS, NULL);

	d->type = S_IFREG >> 12;
}

static void repeat_a_number(struct image *i)
{
	struct gm_inode *inode = section(i, GM_SECTION_INODES, NULL);

	inode[3].ino = inode[2].ino;
}

/* In place of one that nothing names: applied one after the other, all would be well. */
static void repeat_an_inode(struct image *i)
{
	struct gm_inode *inode = section(i, GM_SECTION_INODES, NULL);

	inode[5] = inode[1];
	inode[5].uid = put_le32(666);
}

static void exchange_entries_of_two_directories(struct image *i)
{
	uint8_t *d = section(i, GM_SECTION_DIRENTS, NULL), other[40];

	memcpy(other, d + 40, sizeof(other));
	memcpy(d + 40, d + 40 * 2, sizeof(other));
	memcpy(d + 40 * 2, other, sizeof(other));
}

static void name_an_entry_twice(struct image *i)
{
	uint8_t *d = section(i, GM_SECTION_DIRENTS, NULL);

	/* root: dir, c; then dir: a, b - all with names of one padded word */
	memcpy(d + 40 * 3 + 32, d + 40 * 2 + 32, 8);
}

static void spoil_a_cookie(struct image *i)
{
	uint64_t count;
	uint8_t *d = section(i, GM_SECTION_DIRENTS, &count);
	struct gm_dirent *last = (struct gm_dirent *)(void *)(d + 40 * (count - 1));

	last->cookie = put_le64(100);
}

static void take_the_root_away(struct image *i)
{
	struct gm_inode *inode = section(i, GM_SECTION_INODES, NULL);

	inode[0].mode = put_le32(S_IFREG);
	inode[0].parent = inode[0].next_cookie = put_le64(0);
}

static void stray_bit(struct image *i)
{
	uint8_t *map = section(i, GM_SECTION_CLEAN, NULL);

	map[0] |= 1;
}

static void low_next_number(struct image *i)
{
	i->header.next_ino = put_le64(3);
}

/* The next file, or the one after it, would have a number that no file may have. */
static void next_number_at_the_end(struct image *i)
{
	i->header.next_ino = put_le64(INT64_MAX);
}

static void next_cookie_at_the_end(struct image *i)
{
	struct gm_inode *inode = section(i, GM_SECTION_INODES, NULL);

	inode[0].next_cookie = put_le64(INT64_MAX);
}

/* 24 bytes each: header, name of six bytes, value of one, padding. */
static struct gm_xattr *attribute(struct image *i, unsigned n)
{
	uint8_t *x = section(i, GM_SECTION_XATTRS, NULL);

	return (struct gm_xattr *)(void *)(x + (sizeof(struct gm_xattr) + 8) * n);
}

static void dangle_an_attribute(struct image *i)
{
	attribute(i, 2)->ino = put_le64(777);
}

static void put_attributes_out_of_order(struct image *i)
{
	attribute(i, 0)->ino = put_le64(5);
}

static void name_an_attribute_twice(struct image *i)
{
	memcpy(attribute(i, 1) + 1, "user.a", 6);
}

static void give_an_attribute_a_name_of_nobody(struct image *i)
{
	memcpy(attribute(i, 1) + 1, "usar.a", 6);
}

static void make_an_attribute_longer_than_it_is(struct image *i)
{
	attribute(i, 2)->value_len = put_le32(3);
}

/* One of 48 bytes takes the place of the first two. */
static void replace_two(struct image *i, const char *quota)
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

static void put_a_quota_on_a_file(struct image *i)
{
	replace_two(i, "4194304");
}

static void make_a_quota_no_number(struct image *i)
{
	replace_two(i, "04M");
}

/* ---- the same to symlinks, devices and second names ---- */

static struct gm_inode *inode_numbered(struct image *i, uint64_t ino)
{
	struct gm_inode *inode = section(i, GM_SECTION_INODES, NULL);

	while (get_le64(inode->ino) != ino)
		inode++;
	return inode;
}

static void point_a_target_at_a_file(struct image *i)
{
	struct gm_target *t = section(i, GM_SECTION_TARGETS, NULL);

	t->ino = put_le64(3);
}

static void give_a_symlink_two_targets(struct image *i)
{
	uint8_t *t = section(i, GM_SECTION_TARGETS, NULL);

	((struct gm_target *)(void *)(t + codec_target_bytes(5)))->ino = put_le64(7);
}

static void cut_a_target(struct image *i)
{
	uint8_t *t = section(i, GM_SECTION_TARGETS, NULL);

	((struct gm_target *)(void *)t)->length = put_le32(4);
	t[sizeof(struct gm_target) + 4] = 0;
}

static void lengthen_a_target_past_the_end(struct image *i)
{
	uint8_t *t = section(i, GM_SECTION_TARGETS, NULL);

	((struct gm_target *)(void *)(t + codec_target_bytes(5)))->length = put_le32(200);
}

/* The section of targets is the last one. */
static void lose_all_targets(struct image *i)
{
	uint32_t n = get_le32(i->header.section_count) - 1;

	cr_assert_eq(get_le32(i->header.sections[n].type), GM_SECTION_TARGETS);
	memset(&i->header.sections[n], 0, sizeof(i->header.sections[n]));
	i->header.section_count = put_le32(n);
}

static void lose_a_target(struct image *i)
{
	struct gm_section *s = &i->header.sections[get_le32(i->header.section_count) - 1];

	s->count = put_le64(1);
	s->length = put_le64(codec_target_bytes(5));
}

static void leave_bytes_behind_the_targets(struct image *i)
{
	struct gm_section *s = &i->header.sections[get_le32(i->header.section_count) - 1];

	s->count = put_le64(1);
}

static void make_a_device_a_fifo(struct image *i)
{
	inode_numbered(i, 9)->mode = put_le32(S_IFIFO | 0600);
}

static void forbid_a_symlink(struct image *i)
{
	inode_numbered(i, 7)->mode = put_le32(S_IFLNK | 0700);
}

static void forget_a_second_name(struct image *i)
{
	inode_numbered(i, 4)->links = put_le32(1);
}

static void give_a_symlink_a_block(struct image *i)
{
	struct gm_extent *e = section(i, GM_SECTION_EXTENTS, NULL);
	uint64_t count;

	(void)section(i, GM_SECTION_EXTENTS, &count);
	e[count - 1].ino = put_le64(7);
}

struct damage {
	void (*make)(struct image *);
	const char *code;
	const char *text; /* in what is said of it */
};

static void expect_whole(const struct fixture *f)
{
	struct fsck_report r;

	check(&r, f);
	cr_assert_eq(r.errors, 0, "%s", r.count ? r.findings[0].text : "");
	fsck_report_deinit(&r);
}

/* Once it is made it is found by its name, and recovery refuses the image. */
static void expect_damage(struct fixture *f, const struct damage *d, size_t n)
{
	struct problem why = PROBLEM_INIT;
	struct image i = open_image(f);
	struct fsck_report r;

	d->make(&i);
	seal_image(&i);
	check(&r, f);
	cr_assert(found(&r, d->code, d->text), "case %zu (%s): %s", n, d->code,
		r.count ? r.findings[0].text : "nothing found");
	cr_assert_gt(r.errors, 0);
	fsck_report_deinit(&r);
	cr_assert_eq(fixture_open(f, &why), -EUCLEAN, "case %zu (%s) was not refused", n, d->code);
	cr_assert_gt(strlen(why.text), 20);
}

Test(fsck, damage_to_links_is_found_named_and_refused_by_recovery)
{
	static const struct damage cases[] = {
		{point_a_target_at_a_file, "target-dangling", "inode 3, which is no symlink"},
		{give_a_symlink_two_targets, "target-twice", "inode 7"},
		{cut_a_target, "target-length", "has 4 bytes, its size says 5"},
		{lengthen_a_target_past_the_end, "target-bad", "cut off"},
		{lose_all_targets, "target-missing", "inode 7"},
		{lose_a_target, "target-missing", "inode 8"},
		{leave_bytes_behind_the_targets, "target-bad", "behind the last"},
		{make_a_device_a_fifo, "inode-bad", "no device"},
		{forbid_a_symlink, "inode-bad", "0777"},
		{forget_a_second_name, "links-wrong", "has 1 links, its entries make 2"},
		{give_a_symlink_a_block, "extent-dangling", "inode 7"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct fixture f;

		make_tree_of_links(&f);
		expect_whole(&f);
		expect_damage(&f, &cases[n], n);
		fixture_deinit(&f);
	}
}

Test(fsck, damage_made_on_purpose_is_found_named_and_refused_by_recovery)
{
	static const struct damage cases[] = {
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

		make_tree(&f);
		expect_damage(&f, &cases[n], n);
		fixture_deinit(&f);
	}
}

Test(fsck, what_is_whole_has_no_errors_and_an_unlinked_inode_is_a_note)
{
	struct fsck_report r;
	struct fixture f;

	make_tree(&f);
	check(&r, &f);
	cr_assert_eq(r.errors, 0, "%s", r.count ? r.findings[0].text : "");
	cr_assert(found(&r, "inode-orphan", "unlinked"));
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

	make_tree(&f);
	cr_assert_eq(fixture_open(&f, &why), 0);
	for (unsigned n = 0; n < 30; n++)
		cr_assert_eq(fixture_step(&f, n), 0);
	f.store = store_close(f.store);
	check(&r, &f);
	cr_assert_eq(r.errors, 0, "%s", r.count ? r.findings[0].text : "");
	cr_assert_eq(r.records, 30);
	fsck_report_deinit(&r);
	f.media.base[f.super.plan.journal_offset + 200] ^= 1;
	check(&r, &f);
	cr_assert(found(&r, "recovery", "journal record 0"));
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
	struct image i = open_image(f);

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

		make_tree(&f);
		cases[n].damage(&f);
		check(&r, &f);
		cr_assert(found(&r, cases[n].code, cases[n].text), "case %zu (%s): %s", n,
			cases[n].code, r.count ? r.findings[0].text : "nothing found");
		cr_assert_eq(r.errors > 0, cases[n].error, "case %zu", n);
		fsck_report_deinit(&r);
		fixture_deinit(&f);
	}
}
