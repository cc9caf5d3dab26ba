/* SPDX-License-Identifier: MIT */
/*
 * What a pool's metadata say, in one canonical form: block by block, without generations, sequence
 * numbers or places. Made from the media by the reader (reader.h), which shares no code with the
 * store, and from the store's memory (view_of_meta()); equal states are equal byte by byte.
 */
#ifndef GM_TESTS_CRASH_VIEW_H
#define GM_TESTS_CRASH_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guestmemfs/format.h"

/* The pools of these tests are small. */
#define VIEW_REGIONS 2U
#define VIEW_BLOCKS  2112U /* of a region */
#define VIEW_INODES  64U
#define VIEW_ENTRIES 96U
#define VIEW_XATTRS  96U
#define VIEW_VALUE   256U /* bytes of an attribute's value */
#define VIEW_TARGETS 16U
#define VIEW_PIECES  128U
#define VIEW_TEXT    64U /* of a target; what is longer is told apart by its hash */

struct view_entry {
	uint64_t parent;
	uint64_t ino;
	uint64_t cookie;
	uint8_t type;
	uint8_t name_len;
	char name[GM_NAME_MAX]; /* the rest is zero */
};

struct view_xattr {
	uint64_t ino;
	uint32_t value_len;
	uint8_t name_len;
	char name[GM_NAME_MAX]; /* the rest is zero, of the value too */
	uint8_t value[VIEW_VALUE];
};

struct view_target {
	uint64_t ino;
	uint64_t hash; /* XXH3 of the whole text */
	uint32_t length;
	char text[VIEW_TEXT + 4]; /* its beginning; the rest is zero */
};

struct view_piece { /* of a file with content; as long as it goes on in file and store */
	uint64_t ino;
	uint64_t file_unit;
	uint64_t store_unit;
	uint64_t count;
};

struct view_block {
	uint64_t ino; /* owner; 0: none */
	uint64_t file_block;
	bool used;
	bool clean;
	bool poisoned;
	bool quarantined;
};

struct view {
	uint8_t uuid[16];
	uint8_t boot_id[16];
	uint8_t token[16];
	uint64_t next_ino;
	uint64_t mount_number;
	uint32_t frozen;
	uint32_t region_count;
	uint64_t region_blocks[VIEW_REGIONS];
	uint64_t first_data[VIEW_REGIONS];
	uint64_t data_blocks[VIEW_REGIONS];
	uint32_t inode_count;
	uint32_t entry_count;
	uint32_t xattr_count;
	uint32_t target_count;
	uint32_t piece_count;
	uint32_t zero;
	struct gm_inode inodes[VIEW_INODES];      /* by ascending number */
	struct view_entry entries[VIEW_ENTRIES];  /* by ascending (parent, cookie) */
	struct view_xattr xattrs[VIEW_XATTRS];    /* by ascending (inode, name) */
	struct view_target targets[VIEW_TARGETS]; /* by ascending ino */
	struct view_piece pieces[VIEW_PIECES];    /* by ascending (ino, file_unit) */
	struct view_block blocks[VIEW_REGIONS][VIEW_BLOCKS];
};

/* The targets stay in order. There is room for it (VIEW_TARGETS). */
void view_add_target(struct view *v, uint64_t ino, const void *text, size_t length);

/* The pieces stay in order, and merged. False: there is no room for it. */
bool view_add_piece(struct view *v, const struct view_piece *p);

uint64_t view_hash(const struct view *v);

/* Writes what differs first, as a sentence. */
void view_describe_difference(
	const struct view *is, const struct view *should, char *text, size_t size);

struct store;

/* What the store has in memory: the state that its callers were told of. */
void view_of_store(struct view *v, struct store *s);

#endif
