/* SPDX-License-Identifier: MIT */
/* What the reader's files share: its state, and integers from bytes. */
#ifndef GM_TESTS_CRASH_READER_INTERNAL_H
#define GM_TESTS_CRASH_READER_INTERNAL_H

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "reader.h"

struct reader {
	const uint8_t *area;
	uint64_t size;
	struct reading *ret;
	struct view *v;       /* of ret */
	const uint8_t *super; /* the copy in force */
	uint64_t generation;
	uint64_t sequence;
	uint64_t granule; /* blocks: extents are made of so many; 512 with the feature "groups" */
	unsigned slot;
	uint32_t gone_count;
	struct { /* the greatest cookie that was removed from a directory */
		uint64_t directory;
		uint64_t cookie;
	} gone[VIEW_INODES];
};

static inline uint64_t reader_u16(const void *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return le16toh(v);
}

static inline uint64_t reader_u32(const void *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

static inline uint64_t reader_u64(const void *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return le64toh(v);
}

static inline bool reader_is_zero(const void *at, size_t length)
{
	const uint8_t *byte = at;

	for (size_t n = 0; n < length; n++)
		if (byte[n])
			return false;
	return true;
}

#define reader_refuse(r, ...)                                                                      \
	((void)snprintf((r)->ret->why, sizeof((r)->ret->why), __VA_ARGS__), false)

/* The raw object, struct gm_inode; NULL: it is not there. */
uint8_t *reader_find_inode(const struct view *v, uint64_t ino);
uint32_t reader_mode(const uint8_t *inode);

/* One item from the bytes at `at`, of which there are `room`; *length: how many it takes. */
bool reader_item(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length);

/* The objects of items and of a checkpoint's sections are the same. */
bool reader_inode(struct reader *r, const uint8_t *at);
bool reader_entry(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length);
bool reader_remove_entry(struct reader *r, uint64_t parent, uint64_t cookie);
void reader_forget_directory(struct reader *r, uint64_t ino); /* its number does not come again */
bool reader_target(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length);
bool reader_extent(struct reader *r, const uint8_t *at, bool in_checkpoint);

/* Those of files with content. */
bool reader_piece(struct reader *r, const uint8_t *at);
bool reader_remove_piece(struct reader *r, const uint8_t *at);
bool reader_has_units(const struct view *v, uint64_t first, uint64_t count);
bool reader_has_pieces(const struct view *v, uint64_t ino);
bool reader_has_content(const struct view *v, uint64_t ino);
uint64_t reader_contents(const struct view *v); /* the content store; 0: there is none */

/* True if the file has one of these blocks. */
bool reader_owns_place(const struct view *v, uint64_t ino, uint64_t from, uint64_t count);

bool reader_xattr(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length);
bool reader_remove_xattr(struct reader *r, const uint8_t *at, uint64_t room);
void reader_drop_xattrs(struct reader *r, uint64_t ino);

bool reader_journal(struct reader *r);

/* Do all objects fit each other? */
bool reader_check(struct reader *r);

#endif
