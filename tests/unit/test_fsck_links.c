// SPDX-License-Identifier: MIT
/* The offline check finds what was broken on purpose about symlinks, devices and second names. */
#include <criterion/criterion.h>
#include <string.h>

#include "fsck_fixture.h"
#include "store/codec.h"
#include "util/cleanup.h"
#include "util/le.h"

static void point_a_target_at_a_file(struct tree_image *i)
{
	struct gm_target *t = image_section(i, GM_SECTION_TARGETS, NULL);

	t->ino = put_le64(3);
}

static void give_a_symlink_two_targets(struct tree_image *i)
{
	uint8_t *t = image_section(i, GM_SECTION_TARGETS, NULL);

	((struct gm_target *)(void *)(t + codec_target_bytes(5)))->ino = put_le64(7);
}

static void cut_a_target(struct tree_image *i)
{
	uint8_t *t = image_section(i, GM_SECTION_TARGETS, NULL);

	((struct gm_target *)(void *)t)->length = put_le32(4);
	t[sizeof(struct gm_target) + 4] = 0;
}

static void lengthen_a_target_past_the_end(struct tree_image *i)
{
	uint8_t *t = image_section(i, GM_SECTION_TARGETS, NULL);

	((struct gm_target *)(void *)(t + codec_target_bytes(5)))->length = put_le32(200);
}

/* The section of targets is the last one. */
static void lose_all_targets(struct tree_image *i)
{
	uint32_t n = get_le32(i->header.section_count) - 1;

	cr_assert_eq(get_le32(i->header.sections[n].type), GM_SECTION_TARGETS);
	memset(&i->header.sections[n], 0, sizeof(i->header.sections[n]));
	i->header.section_count = put_le32(n);
}

static void lose_a_target(struct tree_image *i)
{
	struct gm_section *s = &i->header.sections[get_le32(i->header.section_count) - 1];

	s->count = put_le64(1);
	s->length = put_le64(codec_target_bytes(5));
}

static void leave_bytes_behind_the_targets(struct tree_image *i)
{
	struct gm_section *s = &i->header.sections[get_le32(i->header.section_count) - 1];

	s->count = put_le64(1);
}

static void make_a_device_a_fifo(struct tree_image *i)
{
	image_inode(i, 9)->mode = put_le32(S_IFIFO | 0600);
}

static void forbid_a_symlink(struct tree_image *i)
{
	image_inode(i, 7)->mode = put_le32(S_IFLNK | 0700);
}

static void forget_a_second_name(struct tree_image *i)
{
	image_inode(i, 4)->links = put_le32(1);
}

static void give_a_symlink_a_block(struct tree_image *i)
{
	struct gm_extent *e = image_section(i, GM_SECTION_EXTENTS, NULL);
	uint64_t count;

	(void)image_section(i, GM_SECTION_EXTENTS, &count);
	e[count - 1].ino = put_le64(7);
}

/* ---- directories: entries are those of the root ("dir", "c", ...), then of dir ---- */

static struct gm_dirent *entry(struct tree_image *i, unsigned n)
{
	uint8_t *d = image_section(i, GM_SECTION_DIRENTS, NULL);

	for (; n > 0; n--)
		d += codec_dirent_bytes(get_le16(((struct gm_dirent *)(void *)d)->name_len));
	return (struct gm_dirent *)(void *)d;
}

/* Inode 6 is a file that was removed while it was held. */
static void let_a_directory_have_no_name(struct tree_image *i, uint32_t links)
{
	struct gm_inode *gone = image_inode(i, 6);

	gone->mode = put_le32(S_IFDIR | 0755);
	gone->flags = put_le64(0);
	gone->parent = put_le64(GM_ROOT_INO);
	gone->next_cookie = put_le64(GM_FIRST_COOKIE);
	gone->links = put_le32(links);
}

static void count_a_link_to_no_name(struct tree_image *i)
{
	let_a_directory_have_no_name(i, 1);
}

static void hang_a_removed_directory_from_itself(struct tree_image *i)
{
	let_a_directory_have_no_name(i, 0);
	image_inode(i, 6)->parent = put_le64(6);
}

static void hang_a_removed_directory_from_a_file(struct tree_image *i)
{
	let_a_directory_have_no_name(i, 0);
	image_inode(i, 6)->parent = put_le64(3);
}

static void name_another_directory(struct tree_image *i)
{
	let_a_directory_have_no_name(i, 2);
	entry(i, 0)->ino = put_le64(6);
	image_inode(i, 2)->links = put_le32(0);
}

static void name_a_directory_twice(struct tree_image *i)
{
	entry(i, 1)->ino = put_le64(2);
	entry(i, 1)->type = S_IFDIR >> 12;
	image_inode(i, 2)->links = put_le32(3);
	image_inode(i, GM_ROOT_INO)->links = put_le32(4);
	image_inode(i, 5)->links = put_le32(0);
}

Test(fsck_links, damage_to_links_is_found_named_and_refused_by_recovery)
{
	static const struct tree_damage cases[] = {
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
		{count_a_link_to_no_name, "links-wrong", "inode 6 has 1 links, its entries make 0"},
		{hang_a_removed_directory_from_itself, "directory-detached",
			"inode 6 does not hang"},
		{hang_a_removed_directory_from_a_file, "directory-detached",
			"inode 6 does not hang"},
		{name_another_directory, "directory-unnamed", "inode 2 has 2 entries"},
		{name_a_directory_twice, "directory-twice", "inode 2 has 2 entries"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct fixture f;

		fsck_make_tree_of_links(&f);
		fsck_expect_whole(&f);
		fsck_expect_damage(&f, &cases[n], n);
		fixture_deinit(&f);
	}
}

/* What held it may have been removed after it. */
Test(fsck_links, a_removed_directory_may_hang_from_one_that_is_gone)
{
	struct problem why = PROBLEM_INIT;
	struct fixture f;
	struct tree_image i;

	fsck_make_tree_of_links(&f);
	i = image_open(&f);
	let_a_directory_have_no_name(&i, 0);
	image_inode(&i, 6)->parent = put_le64(10);
	image_seal(&i);
	fsck_expect_whole(&f);
	cr_expect_eq(fixture_open(&f, &why), 0, "%s", why.text);
	fixture_deinit(&f);
}
