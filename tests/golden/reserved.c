// SPDX-License-Identifier: MIT
#include "reserved.h"

#include <errno.h>
#include <sys/stat.h>

#include "store/codec.h"
#include "util/cleanup.h"

#define NONE                                                                                       \
	{                                                                                          \
		UINT64_MAX, UINT64_MAX                                                             \
	}

/* ---- one byte that is not zero, with its checksum made good ---- */

static void set_super_byte(struct image *i, uint64_t at)
{
	edit_bytes(i, at, "\1", 1);
	edit_seal_super(i);
}

static void set_checkpoint_byte(struct image *i, uint64_t at)
{
	edit_bytes(i, edit_checkpoint(i) + at, "\1", 1);
	edit_seal_checkpoint(i);
}

/* In the first of a section's objects. */
static void set_section_byte(struct image *i, unsigned section, uint64_t at)
{
	edit_bytes(i, edit_section(i, section) + at, "\1", 1);
	edit_seal_checkpoint(i);
}

static void set_record_byte(struct image *i, uint64_t at)
{
	uint64_t record;

	(void)edit_find_item(i, GM_ITEM_INODE, &record);
	edit_bytes(i, record + at, "\1", 1);
	edit_seal_record(i, record);
}

/* In the first item of this type, from its header on. */
static void set_item_byte(struct image *i, unsigned type, uint64_t at)
{
	uint64_t record, item = edit_find_item(i, type, &record);

	edit_bytes(i, item + at, "\1", 1);
	edit_seal_record(i, record);
}

/* ---- superblock ---- */

static void edit_incompat(struct image *i, uint64_t bit)
{
	edit_u64(i, offsetof(struct gm_super, feature_incompat), 1ULL << bit);
	edit_seal_super(i);
}

static void edit_ro_compat(struct image *i, uint64_t bit)
{
	edit_u64(i, offsetof(struct gm_super, feature_ro_compat), 1ULL << bit);
	edit_seal_super(i);
}

static void edit_major(struct image *i, uint64_t major)
{
	edit_u16(i, offsetof(struct gm_super, major), (uint16_t)major);
	edit_seal_super(i);
}

static void edit_super_reserved1(struct image *i, uint64_t byte)
{
	set_super_byte(i, offsetof(struct gm_super, reserved1) + byte);
}

static void edit_super_reserved2(struct image *i, uint64_t byte)
{
	set_super_byte(i, offsetof(struct gm_super, reserved2) + byte);
}

static void edit_region_kind(struct image *i, uint64_t kind)
{
	edit_u16(i, offsetof(struct gm_super, regions), (uint16_t)kind);
	edit_seal_super(i);
}

static void edit_region_flag(struct image *i, uint64_t bit)
{
	edit_u16(i, offsetof(struct gm_super, regions[0].flags), (uint16_t)(1U << bit));
	edit_seal_super(i);
}

static void edit_region_reserved(struct image *i, uint64_t byte)
{
	set_super_byte(i, offsetof(struct gm_super, regions[0].reserved) + byte);
}

static void edit_region_unused(struct image *i, uint64_t region)
{
	set_super_byte(
		i, offsetof(struct gm_super, regions) + region * sizeof(struct gm_super_region));
}

/* ---- words ---- */

static void edit_slot_word_bit(struct image *i, uint64_t bit)
{
	gm_le64 content = put_le64(3ULL << 8 | 1ULL << bit);
	uint64_t word = get_le64(content) | codec_checksum(&content, sizeof(content)) << 48;

	edit_u64(i, GM_SLOT_WORD_A_OFFSET, word);
	edit_u64(i, GM_SLOT_WORD_B_OFFSET, word);
}

/* ---- checkpoint ---- */

static void edit_checkpoint_flag(struct image *i, uint64_t bit)
{
	edit_u64(i, edit_checkpoint(i) + offsetof(struct gm_checkpoint, flags), 1ULL << bit);
	edit_seal_checkpoint(i);
}

static void edit_checkpoint_reserved1(struct image *i, uint64_t byte)
{
	set_checkpoint_byte(i, offsetof(struct gm_checkpoint, reserved1) + byte);
}

static void edit_checkpoint_reserved2(struct image *i, uint64_t byte)
{
	set_checkpoint_byte(i, offsetof(struct gm_checkpoint, reserved2) + byte);
}

static void edit_checkpoint_reserved3(struct image *i, uint64_t byte)
{
	set_checkpoint_byte(i, offsetof(struct gm_checkpoint, reserved3) + byte);
}

static uint64_t section_entry(const struct image *i, uint64_t index)
{
	return edit_checkpoint(i) + offsetof(struct gm_checkpoint, sections) +
	       index * sizeof(struct gm_section);
}

/* A section more, which is empty. */
static void edit_section_type(struct image *i, uint64_t type)
{
	uint64_t at = section_entry(i, GM_SECTION_RESULTS), before = at - sizeof(struct gm_section);
	const struct gm_section *last = (const void *)((const uint8_t *)i->words + before);
	struct gm_section more = {.type = put_le32((uint32_t)type),
		.offset = put_le64(get_le64(last->offset) + get_le64(last->length)),
		.checksum = put_le64(codec_checksum(NULL, 0))};

	edit_bytes(i, at, &more, sizeof(more));
	edit_u32(i, edit_checkpoint(i) + offsetof(struct gm_checkpoint, section_count),
		GM_SECTION_RESULTS + 1);
	edit_seal_checkpoint(i);
}

static void edit_section_reserved(struct image *i, uint64_t index)
{
	edit_u64(i, section_entry(i, index) + offsetof(struct gm_section, reserved), 1);
	edit_seal_checkpoint(i);
}

static void edit_section_unused(struct image *i, uint64_t index)
{
	edit_u64(i, section_entry(i, index) + offsetof(struct gm_section, count), 1);
	edit_seal_checkpoint(i);
}

static void edit_result_reserved(struct image *i, uint64_t byte)
{
	set_section_byte(i, GM_SECTION_RESULTS, offsetof(struct gm_result, reserved) + byte);
}

/* ---- objects ---- */

/* The first inode of this type in the checkpoint. */
static uint64_t inode_of_type(const struct image *i, uint32_t type)
{
	uint64_t at = edit_section(i, GM_SECTION_INODES);
	const struct gm_inode *inode = (const void *)((const uint8_t *)i->words + at);

	for (; (get_le32(inode->mode) & S_IFMT) != type; inode++)
		at += sizeof(*inode);
	return at;
}

static uint64_t file_inode(const struct image *i)
{
	return inode_of_type(i, S_IFREG);
}

/* The types that st_mode has room for, and no meaning. */
static const uint8_t no_types[] = {0, 3, 5, 7, 9, 11, 13, 14, 15};

static void edit_inode_type(struct image *i, uint64_t index)
{
	edit_u32(i, file_inode(i) + offsetof(struct gm_inode, mode),
		(uint32_t)no_types[index] << 12 | 0644);
	edit_seal_checkpoint(i);
}

static void edit_inode_mode(struct image *i, uint64_t bit)
{
	edit_u32(i, file_inode(i) + offsetof(struct gm_inode, mode), S_IFREG | 1U << bit);
	edit_seal_checkpoint(i);
}

static void edit_inode_flag(struct image *i, uint64_t bit)
{
	edit_u64(i, file_inode(i) + offsetof(struct gm_inode, flags), 1ULL << bit);
	edit_seal_checkpoint(i);
}

static void edit_inode_reserved(struct image *i, uint64_t byte)
{
	edit_bytes(i, file_inode(i) + offsetof(struct gm_inode, reserved_policy) + byte, "\1", 1);
	edit_seal_checkpoint(i);
}

static void edit_entry_type(struct image *i, uint64_t type)
{
	uint8_t byte = (uint8_t)type;

	edit_bytes(i, edit_section(i, GM_SECTION_DIRENTS) + offsetof(struct gm_dirent, type), &byte,
		1);
	edit_seal_checkpoint(i);
}

static void edit_entry_reserved(struct image *i, uint64_t byte)
{
	set_section_byte(i, GM_SECTION_DIRENTS, offsetof(struct gm_dirent, reserved) + byte);
}

static void edit_extent_reserved(struct image *i, uint64_t byte)
{
	set_section_byte(i, GM_SECTION_EXTENTS, offsetof(struct gm_extent, reserved) + byte);
}

static void edit_rdev(struct image *i, uint64_t bit)
{
	edit_u64(i, inode_of_type(i, S_IFCHR) + offsetof(struct gm_inode, rdev_major), 1ULL << bit);
	edit_seal_checkpoint(i);
}

static void edit_target_reserved(struct image *i, uint64_t byte)
{
	set_section_byte(i, GM_SECTION_TARGETS, offsetof(struct gm_target, reserved) + byte);
}

static void edit_target_length(struct image *i, uint64_t length)
{
	edit_u32(i, edit_section(i, GM_SECTION_TARGETS) + offsetof(struct gm_target, length),
		(uint32_t)length);
	edit_seal_checkpoint(i);
}

static void edit_piece_reserved(struct image *i, uint64_t byte)
{
	edit_bytes(i,
		edit_section(i, GM_SECTION_PIECES) + offsetof(struct gm_piece, reserved) + byte,
		"\1", 1);
	edit_seal_checkpoint(i);
}

static void edit_piece_item_reserved(struct image *i, uint64_t byte)
{
	uint64_t record, item = edit_find_item(i, GM_ITEM_PIECE, &record);

	edit_bytes(i, item + sizeof(struct gm_item) + offsetof(struct gm_piece, reserved) + byte,
		"\1", 1);
	edit_seal_record(i, record);
}

static void edit_target_item_reserved(struct image *i, uint64_t byte)
{
	set_item_byte(i, GM_ITEM_TARGET,
		sizeof(struct gm_item) + offsetof(struct gm_target, reserved) + byte);
}

/* ---- journal ---- */

static void edit_record_type(struct image *i, uint64_t type)
{
	uint64_t record;

	(void)edit_find_item(i, GM_ITEM_INODE, &record);
	edit_u16(i, record + offsetof(struct gm_record, type), (uint16_t)type);
	edit_seal_record(i, record);
}

static void edit_record_reserved1(struct image *i, uint64_t byte)
{
	set_record_byte(i, offsetof(struct gm_record, reserved1) + byte);
}

static void edit_record_reserved2(struct image *i, uint64_t byte)
{
	set_record_byte(i, offsetof(struct gm_record, reserved2) + byte);
}

static void edit_item_type(struct image *i, uint64_t type)
{
	uint64_t record, item = edit_find_item(i, GM_ITEM_BLOCKS, &record);

	edit_u16(i, item, (uint16_t)type);
	edit_seal_record(i, record);
}

static void edit_item_reserved(struct image *i, uint64_t byte)
{
	set_item_byte(i, GM_ITEM_BLOCKS, offsetof(struct gm_item, reserved) + byte);
}

static void edit_block_state(struct image *i, uint64_t state)
{
	uint64_t record, item = edit_find_item(i, GM_ITEM_BLOCKS, &record);

	edit_u16(i, item + sizeof(struct gm_item) + offsetof(struct gm_blocks, state),
		(uint16_t)state);
	edit_seal_record(i, record);
}

static void edit_boot_reserved(struct image *i, uint64_t byte)
{
	set_item_byte(i, GM_ITEM_BOOT,
		sizeof(struct gm_item) + offsetof(struct gm_boot, reserved) + byte);
}

#define NEWER     EPROTONOSUPPORT, "newer guestmemfs"
#define BAD_SUPER EUCLEAN, "both superblocks are damaged"

const struct reserved reserved_numbers[] = {
	{"incompat feature", edit_incompat, 0, 63, NEWER, {0, UINT64_MAX}},
	{"ro_compat feature", edit_ro_compat, 0, 63, NEWER, NONE},
	{"major version", edit_major, 0, 300, NEWER, {1, UINT64_MAX}},
	{"byte behind the label", edit_super_reserved1, 0, 311, BAD_SUPER, NONE},
	{"byte behind the regions", edit_super_reserved2, 0, 503, BAD_SUPER, NONE},
	{"kind of region", edit_region_kind, 4, 300, BAD_SUPER, NONE},
	{"kind of region", edit_region_kind, 0, 0, BAD_SUPER, NONE},
	{"flag of a region", edit_region_flag, 1, 15, BAD_SUPER, NONE},
	{"byte of a region", edit_region_reserved, 0, 55, BAD_SUPER, NONE},
	{"unused region", edit_region_unused, 1, 31, BAD_SUPER, NONE},
	{"bit of a slot word", edit_slot_word_bit, 1, 7, EUCLEAN, "both slot words", NONE},
	{"flag of a checkpoint", edit_checkpoint_flag, 1, 63, EUCLEAN, "flags that are unknown",
		NONE},
	{"byte behind the sections' number", edit_checkpoint_reserved1, 0, 3, EUCLEAN, "reserved",
		NONE},
	{"byte behind the regions' sizes", edit_checkpoint_reserved2, 0, 143, EUCLEAN, "reserved",
		NONE},
	{"byte behind the sections", edit_checkpoint_reserved3, 0, 2039, EUCLEAN, "reserved", NONE},
	{"section", edit_section_type, 11, 11, EUCLEAN, "type is unknown", NONE},
	{"section", edit_section_type, GOLDEN_SECTION_LAST + 1, 300, EUCLEAN, "type is unknown",
		NONE},
	{"field of a section", edit_section_reserved, 0, 7, EUCLEAN, "reserved", NONE},
	{"unused section", edit_section_unused, 8, 31, EUCLEAN, "section table", NONE},
	{"byte of a result", edit_result_reserved, 0, 7, EUCLEAN, "reserved", NONE},
	{"type of inode", edit_inode_type, 0, sizeof(no_types) - 1, EUCLEAN, "none that there is",
		NONE},
	{"bit of a mode", edit_inode_mode, 16, 31, EUCLEAN, "unknown bits", NONE},
	{"flag of an inode", edit_inode_flag, 5, 63, EUCLEAN, "unknown bits", NONE},
	{"byte of an inode", edit_inode_reserved, 0, 71, EUCLEAN, "reserved", NONE},
	{"type of entry", edit_entry_type, 0, 255, EUCLEAN, "type is not that",
		{S_IFDIR >> 12, UINT64_MAX}},
	{"byte of an entry", edit_entry_reserved, 0, 4, EUCLEAN, "reserved", NONE},
	{"byte of an extent", edit_extent_reserved, 0, 1, EUCLEAN, "reserved", NONE},
	{"type of record", edit_record_type, GM_RECORD_TYPE_LAST + 1, 300, EUCLEAN,
		"type is unknown", NONE},
	{"type of record", edit_record_type, 0, 0, EUCLEAN, "type is unknown", NONE},
	{"byte of a record's type", edit_record_reserved1, 0, 1, EUCLEAN, "reserved", NONE},
	{"byte of a record", edit_record_reserved2, 0, 7, EUCLEAN, "reserved", NONE},
	{"type of item", edit_item_type, 12, 14, EUCLEAN, "type is unknown", NONE},
	{"type of item", edit_item_type, GOLDEN_ITEM_LAST + 1, 300, EUCLEAN, "type is unknown",
		NONE},
	{"type of item", edit_item_type, 0, 0, EUCLEAN, "type is unknown", NONE},
	{"byte of an item", edit_item_reserved, 0, 1, EUCLEAN, "reserved", NONE},
	{"state of blocks", edit_block_state, 6, 300, EUCLEAN, "state is unknown", NONE},
	{"state of blocks", edit_block_state, 0, 0, EUCLEAN, "state is unknown", NONE},
	{"byte of a boot", edit_boot_reserved, 0, 7, EUCLEAN, "reserved", NONE},
};

const size_t reserved_count = ARRAY_SIZE(reserved_numbers);

const struct reserved reserved_of_links[] = {
	{"bit of a device's major number", edit_rdev, 12, 31, EUCLEAN, "device number", NONE},
	{"bit of a device's minor number", edit_rdev, 52, 63, EUCLEAN, "device number", NONE},
	{"byte of a target", edit_target_reserved, 0, 3, EUCLEAN, "reserved", NONE},
	{"length of a target", edit_target_length, 4096, 4200, EUCLEAN, "out of range", NONE},
	{"length of a target", edit_target_length, 0, 0, EUCLEAN, "out of range", NONE},
	{"byte of a target's item", edit_target_item_reserved, 0, 3, EUCLEAN, "reserved", NONE},
};

const size_t reserved_of_links_count = ARRAY_SIZE(reserved_of_links);

const struct reserved reserved_of_content[] = {
	{"byte of a piece", edit_piece_reserved, 0, 3, EUCLEAN, "reserved", NONE},
	{"byte of a piece's item", edit_piece_item_reserved, 0, 3, EUCLEAN, "reserved", NONE},
};

const size_t reserved_of_content_count = ARRAY_SIZE(reserved_of_content);
