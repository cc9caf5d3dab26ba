/* SPDX-License-Identifier: MIT */
/*
 * The on-media format, version 1.0. docs/format.md explains every field; this header is the reference for sizes and
 * numbers. All integers are little-endian, all reserved bytes are zero and are checked to be zero.
 */
#ifndef GUESTMEMFS_FORMAT_H
#define GUESTMEMFS_FORMAT_H

#include <assert.h>

#include "guestmemfs/types.h"

#define GM_FORMAT_MAJOR 1U
#define GM_FORMAT_MINOR 0U

/* Places in the first block of the first region. The stamp's place holds in the first and last block of every region. */
#define GM_SUPER_A_OFFSET     0x000000U
#define GM_SLOT_WORD_A_OFFSET 0x001000U
#define GM_TAIL_WORD_OFFSET   0x002000U
#define GM_STAMP_OFFSET       0x003000U
#define GM_SUPER_B_OFFSET     0x100000U
#define GM_SLOT_WORD_B_OFFSET 0x101000U

#define GM_SUPER_MAGIC      "GMFSSUPR"
#define GM_STAMP_MAGIC      "GMFSSTMP"
#define GM_CHECKPOINT_MAGIC "GMFSCKPT"
#define GM_RECORD_MAGIC     0x4c4a4d47U /* "GMJL" */

/* Feature bits known to this version. An unknown incompat bit refuses the pool, an unknown ro_compat bit refuses
 * a writing mount, an unknown compat bit is kept and ignored. */
#define GM_FEATURE_COMPAT_KNOWN    0ULL
#define GM_FEATURE_RO_COMPAT_KNOWN 0ULL
#define GM_FEATURE_INCOMPAT_KNOWN  (GM_FEATURE_INCOMPAT_GROUPS)

/* Blocks are given out by whole groups only: data areas, file sizes, and the extents' places in file and memory are
 * multiples of 1 GiB. For regions that can't be mapped by less. */
#define GM_FEATURE_INCOMPAT_GROUPS (1ULL << 0)

enum gm_region_kind {
	GM_REGION_FILE = 1, /* an ordinary, tmpfs or hugetlbfs file */
	GM_REGION_PMEM = 2, /* a static devdax namespace (reserved number) */
	GM_REGION_SOFT = 3, /* soft-reserved memory, cut by dax_hmem (reserved number) */
};

struct gm_super_region {
	gm_le16 kind; /* enum gm_region_kind */
	gm_le16 flags;
	gm_le32 node;	       /* NUMA node, GM_NODE_NONE if unknown */
	gm_le64 physical_start; /* bytes; 0 for GM_REGION_FILE */
	gm_le64 blocks;	       /* the whole region, in blocks */
	gm_le64 first_data;    /* first block that may be allocated */
	gm_le64 data_blocks;   /* number of blocks that may be allocated */
	uint8_t reserved[56];
};
static_assert(sizeof(struct gm_super_region) == 96, "format");

#define GM_NODE_NONE 0xffffffffU

/* Region flags. RESERVED_RAM: ordinary RAM that only the kernel command line keeps from the kernel; intact metadata do not
 * prove intact guests, so a mount under another boot id asks for the succession token. */
#define GM_REGION_RESERVED_RAM (1U << 0)
#define GM_REGION_FLAGS_KNOWN  (GM_REGION_RESERVED_RAM)

struct gm_super {
	uint8_t magic[8];
	gm_le16 major;
	gm_le16 minor;
	gm_le32 size; /* of this structure */
	uint8_t uuid[16];
	gm_le64 sequence; /* of the two valid copies, the higher one counts */
	gm_le64 feature_compat;
	gm_le64 feature_ro_compat;
	gm_le64 feature_incompat;
	gm_le64 created; /* seconds since 1970 */
	gm_le64 max_files;
	gm_le32 block_shift;
	gm_le32 region_count;
	gm_le64 meta_blocks; /* of region 0; its data begins no earlier */
	gm_le64 journal_offset; /* bytes from the start of region 0 */
	gm_le64 journal_size;
	gm_le64 slot_offset[2];
	gm_le64 slot_size;
	uint8_t label[64]; /* NUL-padded */
	uint8_t reserved1[312];
	struct gm_super_region regions[GM_REGIONS_MAX];
	uint8_t reserved2[504];
	gm_le64 checksum; /* XXH3-64 of all bytes before it */
};
static_assert(sizeof(struct gm_super) == 4096, "format");

/*
 * Slot word, at GM_SLOT_WORD_A_OFFSET and GM_SLOT_WORD_B_OFFSET, 8 bytes:
 *   bit 0      slot in force
 *   bits 1-7   zero
 *   bits 8-47  generation (never 0)
 *   bits 48-63 the low 16 bits of XXH3-64 over bits 0-47 as 8 little-endian bytes
 * Tail word, at GM_TAIL_WORD_OFFSET, 8 bytes:
 *   bits 0-23  end of the journal's valid records, in units of GM_TAIL_UNIT from journal_offset
 *   bits 24-47 the low 24 bits of the generation that the records belong to
 *   bits 48-63 as in the slot word
 */
#define GM_SLOT_GENERATION_BITS 40U
#define GM_TAIL_UNIT		64U
#define GM_TAIL_POSITION_BITS	24U
#define GM_TAIL_GENERATION_BITS 24U

enum gm_stamp_position {
	GM_STAMP_FIRST = 0,
	GM_STAMP_LAST = 1,
};

#define GM_STAMP_SLOT_UNIT 65536ULL /* slot sizes are multiples of it */

/* At GM_STAMP_OFFSET of the first and the last block of every region. */
struct gm_stamp {
	uint8_t magic[8];
	uint8_t uuid[16]; /* of the pool */
	gm_le32 region;
	gm_le32 position; /* enum gm_stamp_position */
	gm_le64 blocks;	  /* of the region */
	uint8_t token[16]; /* succession token; zero on GM_REGION_FILE */
	/* As in the superblock, for when that is lost; not told if slot_units is 0. */
	gm_le32 slot_units; /* slot_size / 64 KiB */
	gm_le32 files_less_1; /* max_files - 1 */
	uint8_t reserved[56];
	gm_le64 checksum; /* XXH3-64 of all bytes before it */
};
static_assert(sizeof(struct gm_stamp) == 128, "format");

/* ---- metadata objects: the same bytes in checkpoint sections and in journal items ---- */

#define GM_INODE_HELD (1ULL << 0)     /* its memory was granted under the boot id in force */
#define GM_INODE_EXPORTED (1ULL << 1) /* it has a device node with its owner and mode; held as well */
/* it has memory that was another file's in this boot, which may be dirty although devices are over it; held as well */
#define GM_INODE_INHERITED (1ULL << 2)
/* Files: it has content, in pieces of the content store, and no memory of its own. Directories: what is made in them. */
#define GM_INODE_IO (1ULL << 3)
/* The content store: the one file without a name whose blocks hold what files with content have. */
#define GM_INODE_CONTENTS (1ULL << 4)
#define GM_INODE_FLAGS_OF_BOOT (GM_INODE_HELD | GM_INODE_EXPORTED | GM_INODE_INHERITED) /* none outlives the boot */
#define GM_INODE_FLAGS_KNOWN (GM_INODE_FLAGS_OF_BOOT | GM_INODE_IO | GM_INODE_CONTENTS)

struct gm_inode {
	gm_le64 ino; /* also the FUSE node id; 1 is the root; never used twice */
	gm_le32 mode; /* type and permissions, as st_mode */
	gm_le32 uid;
	gm_le32 gid;
	gm_le32 links;
	gm_le64 size;	/* bytes */
	gm_le64 parent; /* directories: the directory that holds it; else 0 */
	gm_le64 next_cookie; /* directories: the cookie of the next entry; else 0 */
	gm_le64 atime;
	gm_le64 mtime;
	gm_le64 ctime;
	gm_le64 btime;
	gm_le32 atime_nsec;
	gm_le32 mtime_nsec;
	gm_le32 ctime_nsec;
	gm_le32 btime_nsec;
	gm_le64 flags; /* GM_INODE_* */
	gm_le64 stale_from; /* file offset from which the rest of its block must be zeroed before a grant; 0: none */
	gm_le32 rdev_major; /* device nodes: at most GM_RDEV_MAJOR_MAX; else 0 */
	gm_le32 rdev_minor; /* device nodes: at most GM_RDEV_MINOR_MAX; else 0 */
	uint8_t reserved_policy[8]; /* NUMA policy, node */
	uint8_t reserved_quota[16]; /* limits of other things than bytes, which are an attribute */
	uint8_t reserved_subblock[16]; /* set aside for 4 KiB storage of files, which took pieces instead */
	uint8_t reserved[32];
};
static_assert(sizeof(struct gm_inode) == 192, "format");

/* What Linux has of device numbers, and what FUSE carries: 12 and 20 bits. */
#define GM_RDEV_MAJOR_MAX 0xfffU
#define GM_RDEV_MINOR_MAX 0xfffffU

#define GM_ROOT_INO	1ULL
#define GM_FIRST_COOKIE 3ULL /* 1 and 2 stand for "." and ".." */

struct gm_dirent {
	gm_le64 parent;
	gm_le64 ino;
	gm_le64 cookie; /* place in the directory's listing; never used twice in one directory */
	gm_le16 name_len; /* 1 to GM_NAME_MAX */
	uint8_t type;	  /* (st_mode >> 12) of the inode */
	uint8_t reserved[5];
	/* name_len bytes of name follow, then zeros up to a multiple of 8; no NUL, no '/' in it */
};
static_assert(sizeof(struct gm_dirent) == 32, "format");

/* An extended attribute. Names, and what a value may be: docs/format.md. */
struct gm_xattr {
	gm_le64 ino;
	gm_le32 value_len; /* 0 to GM_XATTR_VALUE_MAX */
	gm_le16 name_len;  /* 1 to GM_NAME_MAX */
	gm_le16 reserved;
	/* name_len bytes of name with its namespace ("user.x"), value_len bytes of value, then zeros up to a multiple of 8 */
};
static_assert(sizeof(struct gm_xattr) == 16, "format");

#define GM_XATTR_VALUE_MAX 65536U

struct gm_extent {
	gm_le64 ino;
	gm_le64 file_block; /* file offset / block size */
	gm_le64 block;	    /* in the region */
	gm_le32 count;
	gm_le16 region;
	gm_le16 reserved;
};
static_assert(sizeof(struct gm_extent) == 32, "format");

/* Files with content: a unit is a page; the content store's file has so many a block. */
#define GM_UNIT_SHIFT	   12U
#define GM_UNIT_SIZE	   (1U << GM_UNIT_SHIFT)
#define GM_UNITS_PER_BLOCK (1U << (GM_BLOCK_SHIFT - GM_UNIT_SHIFT))

/* A run of a file's content, in units. */
struct gm_piece {
	gm_le64 ino;	    /* a regular file with GM_INODE_IO */
	gm_le64 file_unit;  /* file offset / unit size */
	gm_le64 store_unit; /* offset in the content store's file / unit size */
	gm_le32 count;
	gm_le32 reserved;
};
static_assert(sizeof(struct gm_piece) == 32, "format");

/* The text of a symlink. An inode's size says how long it is. */
struct gm_target {
	gm_le64 ino;	/* a symlink */
	gm_le32 length; /* 1 to GM_TARGET_MAX; the inode's size */
	gm_le32 reserved;
	/* length bytes of text follow, then zeros up to a multiple of 8; no NUL in it */
};
static_assert(sizeof(struct gm_target) == 16, "format");

#define GM_TARGET_MAX 4095U /* PATH_MAX with its NUL */

/* ---- checkpoint ---- */

enum gm_section_type {
	GM_SECTION_INODES = 1,	    /* struct gm_inode, by ascending ino */
	GM_SECTION_DIRENTS = 2,	    /* struct gm_dirent with name, by ascending (parent, cookie) */
	GM_SECTION_EXTENTS = 3,	    /* struct gm_extent, by ascending (ino, file_block) */
	GM_SECTION_USED = 4,	    /* block map: blocks that some extent owns */
	GM_SECTION_CLEAN = 5,	    /* block map: blocks that hold no former owner's bytes */
	GM_SECTION_POISONED = 6,    /* block map: blocks with a memory error */
	GM_SECTION_QUARANTINED = 7, /* block map: unowned blocks that somebody might still reach */
	GM_SECTION_RESULTS = 8,	    /* struct gm_result: changes whose replies may not have been sent */
	/* from here on only if they have records */
	GM_SECTION_XATTRS = 9,	 /* struct gm_xattr with name and value, by ascending (ino, name) */
	GM_SECTION_TARGETS = 10, /* struct gm_target with text, by ascending ino */
	/* number for what is to come; refused by this version */
	GM_SECTION_EXPORTS = 11,
	/* and again only if it has records */
	GM_SECTION_PIECES = 12, /* struct gm_piece, by ascending (ino, file_unit) */
};

/*
 * A block map is, for each region in order, one bit for each block of the region (bit n % 8 of byte n / 8),
 * rounded up to 8 bytes. Bits outside the data blocks are zero.
 */

struct gm_section {
	gm_le32 type;	     /* enum gm_section_type; ascending, each at most once */
	gm_le32 record_size; /* 0 if records vary */
	gm_le64 offset;	     /* bytes from the start of the slot, multiple of 8 */
	gm_le64 length;
	gm_le64 count; /* of records; bytes for block maps */
	gm_le64 checksum; /* XXH3-64 of the section's bytes */
	gm_le64 reserved;
};
static_assert(sizeof(struct gm_section) == 48, "format");

#define GM_SECTIONS_MAX 32U

#define GM_CHECKPOINT_FROZEN (1ULL << 0) /* no change is taken until it is thawed or another boot id mounts it */
#define GM_CHECKPOINT_FLAGS_KNOWN (GM_CHECKPOINT_FROZEN)

struct gm_checkpoint {
	uint8_t magic[8];
	uint8_t uuid[16];
	gm_le64 generation;
	gm_le64 sequence; /* of the last record whose effect it contains; 0: none */
	gm_le64 length;	  /* bytes of the whole image, this header included */
	gm_le64 next_ino;
	gm_le64 mount_number;
	gm_le64 flags; /* GM_CHECKPOINT_* */
	uint8_t boot_id[16];
	uint8_t token[16]; /* succession token; zero where none is asked for */
	gm_le32 section_count;
	gm_le32 reserved1;
	gm_le64 region_blocks[GM_REGIONS_MAX]; /* sizes that the block maps are made for; a region may have grown since */
	uint8_t reserved2[144];
	struct gm_section sections[GM_SECTIONS_MAX];
	uint8_t reserved3[2040];
	gm_le64 checksum; /* XXH3-64 of all bytes before it */
};
static_assert(sizeof(struct gm_checkpoint) == 4096, "format");

struct gm_result {
	gm_le64 mount_number;
	gm_le64 unique; /* of the FUSE request */
	gm_le64 ino;	/* that the change made or changed */
	gm_le64 reserved;
};
static_assert(sizeof(struct gm_result) == 32, "format");

/* ---- journal ---- */

enum gm_record_type { /* what the change was; its effect is in the items alone */
	GM_RECORD_MOUNT = 1,
	GM_RECORD_CREATE = 2,
	GM_RECORD_MKDIR = 3,
	GM_RECORD_UNLINK = 4,
	GM_RECORD_RMDIR = 5,
	GM_RECORD_RENAME = 6,
	GM_RECORD_SETATTR = 7,
	GM_RECORD_GRANT = 8,   /* blocks made clean and the inode held, before the first fd leaves */
	GM_RECORD_RELEASE = 9, /* nobody reaches the inode's memory any more */
	GM_RECORD_SCRUB = 10,
	GM_RECORD_ORPHAN = 11, /* the last user of an unlinked file is gone */
	GM_RECORD_LINK = 12,
	GM_RECORD_SYMLINK = 13,
	GM_RECORD_MKNOD = 14,
	GM_RECORD_XATTR = 15,
	GM_RECORD_FALLOCATE = 16,
	GM_RECORD_WRITE = 17,	 /* to a file with content */
	GM_RECORD_CONTENTS = 18, /* the content store is made, gets blocks or gives some back */
	GM_RECORD_TYPE_LAST = GM_RECORD_CONTENTS,
};

struct gm_record {
	gm_le32 magic;	/* GM_RECORD_MAGIC */
	gm_le32 length; /* header and items; multiple of GM_TAIL_UNIT, padded with zeros */
	gm_le64 generation;
	gm_le64 sequence; /* counts up by one without a gap, over all generations */
	gm_le64 mount_number;
	gm_le64 unique; /* of the FUSE request; 0 if none caused it */
	gm_le16 type;	/* enum gm_record_type */
	gm_le16 reserved1;
	gm_le32 item_bytes; /* bytes of items; the rest up to length is padding */
	gm_le64 reserved2;
	gm_le64 checksum; /* XXH3-64 of the record with this field zero */
};
static_assert(sizeof(struct gm_record) == 64, "format");

enum gm_item_type {
	GM_ITEM_INODE = 1,	     /* struct gm_inode: made, or replaced whole */
	GM_ITEM_INODE_REMOVED = 2,   /* struct gm_ino; it owns no extents or pieces by then */
	GM_ITEM_DIRENT = 3,	     /* struct gm_dirent and name: made */
	GM_ITEM_DIRENT_REMOVED = 4,  /* struct gm_dirent_key */
	GM_ITEM_EXTENT = 5,	     /* struct gm_extent: free blocks are now the file's */
	GM_ITEM_EXTENT_REMOVED = 6,  /* struct gm_extent: the blocks are now free and dirty */
	GM_ITEM_BLOCKS = 7,	     /* struct gm_blocks: a state of blocks */
	GM_ITEM_BOOT = 8,	     /* struct gm_boot */
	GM_ITEM_XATTR = 9,	     /* struct gm_xattr with name and value: made, or replaced whole */
	GM_ITEM_XATTR_REMOVED = 10,  /* struct gm_xattr with name and no value */
	GM_ITEM_TARGET = 11,	     /* struct gm_target and text, once for each symlink */
	/* numbers for what is to come; refused by this version */
	GM_ITEM_EXPORT = 12,
	GM_ITEM_EXPORT_REMOVED = 13,
	GM_ITEM_FREEZE = 14,
	/* known again */
	GM_ITEM_PIECE = 15,	    /* struct gm_piece: free units of the content store are now the file's */
	GM_ITEM_PIECE_REMOVED = 16, /* struct gm_piece: they are free */
};

struct gm_item {
	gm_le16 type;
	gm_le16 reserved;
	gm_le32 length; /* this header and the payload; multiple of 8 */
};
static_assert(sizeof(struct gm_item) == 8, "format");

struct gm_ino {
	gm_le64 ino;
};
static_assert(sizeof(struct gm_ino) == 8, "format");

struct gm_dirent_key {
	gm_le64 parent;
	gm_le64 cookie;
};
static_assert(sizeof(struct gm_dirent_key) == 16, "format");

enum gm_block_state {
	GM_BLOCKS_CLEAN = 1,
	GM_BLOCKS_DIRTY = 2,
	GM_BLOCKS_POISONED = 3,
	GM_BLOCKS_QUARANTINED = 4, /* free blocks leave circulation */
	GM_BLOCKS_RELEASED = 5,	   /* quarantined blocks are free and dirty */
};

struct gm_blocks {
	gm_le64 block;
	gm_le32 count;
	gm_le16 region;
	gm_le16 state; /* enum gm_block_state */
};
static_assert(sizeof(struct gm_blocks) == 16, "format");

/* The first item of a GM_RECORD_MOUNT. Another boot id than before clears GM_INODE_HELD everywhere, releases
 * all quarantined blocks and forgets exports. */
struct gm_boot {
	uint8_t boot_id[16];
	uint8_t token[16];
	gm_le64 mount_number;
	gm_le64 reserved;
};
static_assert(sizeof(struct gm_boot) == 48, "format");

#endif
