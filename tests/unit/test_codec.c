// SPDX-License-Identifier: MIT
/* Encoding and decoding are inverse; each field is refused when it is out of range. */
#include <criterion/criterion.h>
#include <string.h>

#include "store/codec.h"
#include "util/cleanup.h"

Test(codec, slot_and_tail_words_keep_their_contents)
{
	static const uint64_t generations[] = {
		1, 2, 77, (1ULL << 24) - 1, 1ULL << 24, (1ULL << 40) - 1};

	for (size_t n = 0; n < ARRAY_SIZE(generations); n++) {
		struct codec_word w;

		cr_assert(
			codec_decode_slot_word(codec_encode_slot_word(generations[n], n % 2), &w));
		cr_assert_eq(w.generation, generations[n]);
		cr_assert_eq(w.value, n % 2);
		cr_assert(codec_decode_tail_word(
			codec_encode_tail_word(generations[n], n * 640), &w));
		cr_assert_eq(w.generation, generations[n] & 0xffffff);
		cr_assert_eq(w.value, n * 640);
	}
}

Test(codec, every_single_bit_flip_of_a_word_is_noticed)
{
	for (uint64_t generation = 1; generation < 200; generation++) {
		uint64_t slot = codec_encode_slot_word(generation, 1),
			 tail = codec_encode_tail_word(generation, 6400);

		for (int b = 0; b < 64; b++) {
			struct codec_word w;

			cr_assert_not(codec_decode_slot_word(slot ^ 1ULL << b, &w),
				"generation %lu bit %d", (unsigned long)generation, b);
			cr_assert_not(codec_decode_tail_word(tail ^ 1ULL << b, &w));
		}
	}
	struct codec_word w;
	cr_assert_not(codec_decode_slot_word(0, &w), "zero is no slot word");
}

static struct inode_attr a_file(void)
{
	return (struct inode_attr){.ino = 9,
		.size = 12345,
		.stale_from = 12,
		.flags = GM_INODE_HELD,
		.atime = -5,
		.mtime = 1,
		.ctime = INT64_MAX,
		.btime = 3,
		.atime_nsec = 999999999,
		.mtime_nsec = 1,
		.ctime_nsec = 2,
		.btime_nsec = 3,
		.mode = S_IFREG | 07777,
		.uid = UINT32_MAX,
		.gid = 4,
		.links = 1};
}

Test(codec, an_inode_comes_back_as_it_was)
{
	struct inode_attr a = a_file(), b;
	struct gm_inode raw;

	memset(&b, 0, sizeof(b));
	codec_encode_inode(&raw, &a);
	cr_assert_null(codec_decode_inode(&b, &raw));
	cr_assert_eq(memcmp(&a, &b, sizeof(a)), 0);
	a = (struct inode_attr){
		.ino = 5, .mode = S_IFBLK | 0600, .rdev = INODE_RDEV(4095, 1048575)};
	codec_encode_inode(&raw, &a);
	cr_assert_eq(get_le32(raw.rdev_major), 4095);
	cr_assert_eq(get_le32(raw.rdev_minor), 1048575);
	cr_assert_null(codec_decode_inode(&b, &raw));
	cr_assert_eq(a.rdev, b.rdev);
}

Test(codec, symlinks_and_nodes_have_only_what_is_theirs)
{
	static const struct {
		uint32_t mode;
		uint64_t size;
		size_t offset; /* of what is made 1 in it */
		bool good;
	} cases[] = {
		{S_IFLNK | 0777, 1, 0, true},
		{S_IFLNK | 0777, GM_TARGET_MAX, 0, true},
		{S_IFLNK | 0777, 0, 0, false},
		{S_IFLNK | 0777, GM_TARGET_MAX + 1, 0, false},
		{S_IFLNK | 0755, 1, 0, false},
		{S_IFLNK | 01777, 1, 0, false},
		{S_IFLNK | 0777, 1, offsetof(struct gm_inode, flags), false},
		{S_IFLNK | 0777, 1, offsetof(struct gm_inode, stale_from), false},
		{S_IFLNK | 0777, 1, offsetof(struct gm_inode, parent), false},
		{S_IFLNK | 0777, 1, offsetof(struct gm_inode, rdev_major), false},
		{S_IFIFO | 0644, 0, 0, true},
		{S_IFIFO | 0644, 1, 0, false},
		{S_IFIFO | 0644, 0, offsetof(struct gm_inode, flags), false},
		{S_IFIFO | 0644, 0, offsetof(struct gm_inode, rdev_minor), false},
		{S_IFSOCK | 0644, 0, 0, true},
		{S_IFSOCK | 0644, 0, offsetof(struct gm_inode, next_cookie), false},
		{S_IFCHR | 0644, 0, offsetof(struct gm_inode, rdev_minor), true},
		{S_IFCHR | 0644, 0, offsetof(struct gm_inode, rdev_minor) + 3, false},
		{S_IFBLK | 0644, 0, offsetof(struct gm_inode, rdev_major), true},
		{S_IFBLK | 0644, 0, offsetof(struct gm_inode, rdev_major) + 2, false},
		{S_IFBLK | 0644, 1, 0, false},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct inode_attr a = {.ino = 7, .mode = cases[n].mode, .size = cases[n].size}, b;
		struct gm_inode raw;

		codec_encode_inode(&raw, &a);
		if (cases[n].offset)
			((uint8_t *)&raw)[cases[n].offset] = 1;
		cr_assert_eq(!codec_decode_inode(&b, &raw), cases[n].good, "case %zu", n);
	}
}

Test(codec, a_target_comes_back_and_bad_ones_are_refused)
{
	struct codec_target t = {.ino = 9, .text = "../vm0", .length = 6}, u;
	_Alignas(8) uint8_t raw[sizeof(struct gm_target) + GM_TARGET_MAX + 9];
	struct gm_target *head = (struct gm_target *)(void *)raw;
	static char text[GM_TARGET_MAX];

	codec_encode_target(raw, &t);
	cr_assert_null(codec_decode_target(&u, raw, codec_target_bytes(6)));
	cr_assert(u.ino == 9 && u.length == 6 && memcmp(u.text, "../vm0", 6) == 0);
	for (size_t n = 0; n < codec_target_bytes(6); n++)
		cr_assert_not_null(codec_decode_target(&u, raw, n), "cut to %zu bytes", n);
	raw[sizeof(*head) + 6] = 1;
	cr_assert_not_null(codec_decode_target(&u, raw, sizeof(raw)), "padding");
	raw[sizeof(*head) + 6] = 0;
	raw[sizeof(*head) + 2] = 0;
	cr_assert_not_null(codec_decode_target(&u, raw, sizeof(raw)), "NUL");
	codec_encode_target(raw, &t);
	head->reserved = put_le32(1);
	cr_assert_not_null(codec_decode_target(&u, raw, sizeof(raw)), "reserved");
	memset(text, 'x', sizeof(text));
	t = (struct codec_target){.ino = 9, .text = text, .length = GM_TARGET_MAX};
	codec_encode_target(raw, &t);
	cr_assert_null(codec_decode_target(&u, raw, sizeof(raw)));
	head->length = put_le32(0);
	cr_assert_not_null(codec_decode_target(&u, raw, sizeof(raw)), "empty");
	head->length = put_le32(GM_TARGET_MAX + 1);
	cr_assert_not_null(codec_decode_target(&u, raw, sizeof(raw)), "too long");
}

Test(codec, an_inode_with_any_field_out_of_range_is_refused)
{
	static const struct {
		size_t offset;
		uint64_t value;
		unsigned bytes;
	} cases[] = {
		{offsetof(struct gm_inode, ino), 0, 8},
		{offsetof(struct gm_inode, ino), 1ULL << 63, 8},
		{offsetof(struct gm_inode, mode), S_IFLNK | 0777, 4},
		{offsetof(struct gm_inode, mode), 1U << 20 | S_IFREG, 4},
		{offsetof(struct gm_inode, mode), S_IFDIR | 0777, 4},
		{offsetof(struct gm_inode, size), 1ULL << 63, 8},
		{offsetof(struct gm_inode, parent), 1, 8},
		{offsetof(struct gm_inode, next_cookie), 3, 8},
		{offsetof(struct gm_inode, atime_nsec), 1000000000, 4},
		{offsetof(struct gm_inode, mtime_nsec), 1000000000, 4},
		{offsetof(struct gm_inode, ctime_nsec), 1000000000, 4},
		{offsetof(struct gm_inode, btime_nsec), UINT32_MAX, 4},
		{offsetof(struct gm_inode, flags), 2, 8},
		{offsetof(struct gm_inode, stale_from), 12346, 8},
		{offsetof(struct gm_inode, mode), S_IFSOCK | 01000 | S_IFIFO, 4},
		{offsetof(struct gm_inode, rdev_major), 1, 1},
		{offsetof(struct gm_inode, rdev_minor), 1, 1},
		{offsetof(struct gm_inode, reserved_policy), 1, 1},
		{offsetof(struct gm_inode, reserved_quota) + 15, 1, 1},
		{offsetof(struct gm_inode, reserved_subblock), 1, 1},
		{offsetof(struct gm_inode, reserved) + 31, 1, 1},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct inode_attr a = a_file(), b;
		struct gm_inode raw;

		codec_encode_inode(&raw, &a);
		memcpy((uint8_t *)&raw + cases[n].offset, &cases[n].value, cases[n].bytes);
		cr_assert_not_null(codec_decode_inode(&b, &raw), "case %zu", n);
	}
}

Test(codec, an_entry_comes_back_and_bad_ones_are_refused)
{
	struct codec_dirent d = {.parent = 1,
				    .ino = 2,
				    .cookie = 3,
				    .name = "hello.img",
				    .name_len = 9,
				    .type = 8},
			    e;
	static const char *const bad[] = {"a/b", ".", "..", "x\0y"};
	static const uint8_t bad_len[] = {3, 1, 2, 3};
	_Alignas(8) uint8_t raw[300];

	codec_encode_dirent(raw, &d);
	cr_assert_null(codec_decode_dirent(&e, raw, codec_dirent_bytes(9)));
	cr_assert_eq(e.name_len, 9);
	cr_assert_eq(memcmp(e.name, d.name, 9), 0);
	for (size_t n = 0; n < codec_dirent_bytes(9); n++)
		cr_assert_not_null(codec_decode_dirent(&e, raw, n), "cut to %zu bytes", n);
	raw[sizeof(struct gm_dirent) + 9] = 1;
	cr_assert_not_null(codec_decode_dirent(&e, raw, sizeof(raw)), "padding");
	for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
		d.name = bad[n];
		d.name_len = bad_len[n];
		codec_encode_dirent(raw, &d);
		cr_assert_not_null(codec_decode_dirent(&e, raw, sizeof(raw)), "%zu", n);
	}
}

Test(codec, an_extent_comes_back_and_bad_ones_are_refused)
{
	struct file_extent e = {.file_block = 5, .block = 6, .count = 7, .region = 31}, f;
	struct gm_extent raw;
	uint64_t ino;

	codec_encode_extent(&raw, 3, &e);
	cr_assert_null(codec_decode_extent(&ino, &f, &raw));
	cr_assert_eq(ino, 3);
	cr_assert_eq(memcmp(&e, &f, sizeof(e)), 0);
	raw.count = put_le32(0);
	cr_assert_not_null(codec_decode_extent(&ino, &f, &raw));
	raw.count = put_le32(7);
	raw.region = put_le16(GM_REGIONS_MAX);
	cr_assert_not_null(codec_decode_extent(&ino, &f, &raw));
	raw.region = put_le16(0);
	raw.file_block = put_le64(CODEC_FILE_BLOCKS_MAX - 6);
	cr_assert_not_null(codec_decode_extent(&ino, &f, &raw));
	raw.file_block = put_le64(0);
	raw.reserved = put_le16(1);
	cr_assert_not_null(codec_decode_extent(&ino, &f, &raw));
}
