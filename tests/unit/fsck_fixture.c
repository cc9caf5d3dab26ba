// SPDX-License-Identifier: MIT
#include "fsck_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "util/cleanup.h"

static void set_attribute(struct fixture *f, uint64_t ino, const char *name, const char *value)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_XATTR, 0);

	txn_set_xattr(&t, ino, name, strlen(name), value, strlen(value));
	cr_assert_eq(store_commit(f->store, &t), 0);
}

void fsck_make_tree(struct fixture *f)
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

void fsck_make_tree_of_links(struct fixture *f)
{
	static const char *const targets[] = {"dir/a", "nowhere/at/all"};
	struct problem why = PROBLEM_INIT;
	struct inode_attr root;

	fsck_make_tree(f);
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

void fsck_check(struct fsck_report *r, const struct fixture *f)
{
	const struct gm_stamp *stamps[2] = {(const void *)(f->media.base + GM_STAMP_OFFSET), NULL};
	struct fsck_input in = {.area = f->media.base,
		.area_bytes = f->media.size,
		.region_count = 1,
		.region_bytes = &f->region_bytes,
		.stamps = stamps};

	cr_assert_eq(fsck_run(r, &in), 0);
}

bool fsck_found(const struct fsck_report *r, const char *code, const char *text)
{
	for (size_t n = 0; n < r->count; n++)
		if (strcmp(r->findings[n].code, code) == 0 && strstr(r->findings[n].text, text))
			return true;
	return false;
}

void *image_section(struct tree_image *i, enum gm_section_type type, uint64_t *count)
{
	for (uint32_t n = 0; n < get_le32(i->header.section_count); n++)
		if (get_le32(i->header.sections[n].type) == (uint32_t)type) {
			if (count)
				*count = get_le64(i->header.sections[n].count);
			return i->base + get_le64(i->header.sections[n].offset);
		}
	abort(); /* a test that asks for a section that no image has */
}

struct gm_inode *image_inode(struct tree_image *i, uint64_t ino)
{
	struct gm_inode *inode = image_section(i, GM_SECTION_INODES, NULL);

	while (get_le64(inode->ino) != ino)
		inode++;
	return inode;
}

struct tree_image image_open(struct fixture *f)
{
	struct codec_word word;
	struct tree_image i;

	cr_assert(codec_decode_slot_word(
		codec_read_word(f->media.base + GM_SLOT_WORD_A_OFFSET), &word));
	i.base = f->media.base + f->super.plan.slot_offset[word.value];
	memcpy(&i.header, i.base, sizeof(i.header));
	return i;
}

void image_seal(struct tree_image *i)
{
	for (uint32_t n = 0; n < get_le32(i->header.section_count); n++) {
		struct gm_section *s = &i->header.sections[n];

		s->checksum = put_le64(
			codec_checksum(i->base + get_le64(s->offset), get_le64(s->length)));
	}
	i->header.checksum = codec_seal(&i->header, sizeof(i->header));
	memcpy(i->base, &i->header, sizeof(i->header));
}

void fsck_expect_whole(const struct fixture *f)
{
	struct fsck_report r;

	fsck_check(&r, f);
	cr_assert_eq(r.errors, 0, "%s", r.count ? r.findings[0].text : "");
	fsck_report_deinit(&r);
}

void fsck_expect_damage(struct fixture *f, const struct tree_damage *d, size_t n)
{
	struct problem why = PROBLEM_INIT;
	struct tree_image i = image_open(f);
	struct fsck_report r;

	d->make(&i);
	image_seal(&i);
	fsck_check(&r, f);
	cr_assert(fsck_found(&r, d->code, d->text), "case %zu (%s): %s", n, d->code,
		r.count ? r.findings[0].text : "nothing found");
	cr_assert_gt(r.errors, 0);
	fsck_report_deinit(&r);
	cr_assert_eq(fixture_open(f, &why), -EUCLEAN, "case %zu (%s) was not refused", n, d->code);
	cr_assert_gt(strlen(why.text), 20);
}
