/* SPDX-License-Identifier: MIT */
/*
 * Between the bytes on the media and natural values. Decoding checks every field by itself, as if
 * an enemy had written it; whether an object fits the others is meta_check()'s question. A decoder
 * returns NULL when all is well, else a static text that names the field.
 */
#ifndef GM_STORE_CODEC_H
#define GM_STORE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/meta.h"
#include "util/le.h"

/* File offsets end here: the largest multiple of a block that off_t holds. */
#define CODEC_FILE_BLOCKS_MAX (1ULL << (63 - GM_BLOCK_SHIFT))

#define CODEC_FILE_UNITS_MAX (CODEC_FILE_BLOCKS_MAX * GM_UNITS_PER_BLOCK)

/*
 * What counts up for ever. Recovery refuses what stands beyond these, far more than there will ever
 * be; so no change ever comes to the end of a field's range, whoever wrote the image.
 */
#define CODEC_MOUNTS_MAX      (1ULL << 31) /* the upper half of a number, beside a lower half */
#define CODEC_NUMBERS_MAX     (1ULL << 62) /* next_ino, next_cookie */
#define CODEC_GENERATIONS_MAX (1ULL << (GM_SLOT_GENERATION_BITS - 1))

struct codec_word { /* a slot word or a tail word */
	uint64_t generation;
	uint64_t value; /* slot number, or position in bytes */
};

uint64_t codec_encode_slot_word(uint64_t generation, unsigned slot);
bool codec_decode_slot_word(uint64_t word, struct codec_word *ret);

uint64_t codec_encode_tail_word(uint64_t generation, uint64_t position);
bool codec_decode_tail_word(
	uint64_t word, struct codec_word *ret); /* generation: its low GM_TAIL_GENERATION_BITS */

/* The 8-byte word at a place of the media, untorn. */
uint64_t codec_read_word(const uint8_t *at);

bool codec_is_zero(const void *bytes, size_t length);

uint64_t codec_checksum(const void *bytes, size_t length); /* XXH3-64 */

/* Of a structure whose last 8 bytes are its checksum. */
gm_le64 codec_seal(const void *structure, size_t size);
bool codec_seal_holds(const void *structure, size_t size);

void codec_encode_inode(struct gm_inode *to, const struct inode_attr *a);
const char *codec_decode_inode(struct inode_attr *to, const struct gm_inode *from);

/* Bytes of an entry with a name of this length, padding included. */
static inline size_t codec_dirent_bytes(size_t name_len)
{
	return sizeof(struct gm_dirent) + ((name_len + 7) & ~(size_t)7);
}

/* A decoded entry: the name points into the bytes it was decoded from. */
struct codec_dirent {
	uint64_t parent;
	uint64_t ino;
	uint64_t cookie;
	const char *name;
	uint8_t name_len;
	uint8_t type;
};

void codec_encode_dirent(
	void *to, const struct codec_dirent *from); /* codec_dirent_bytes() bytes */
const char *codec_decode_dirent(
	struct codec_dirent *to, const void *from, size_t length); /* length: all there is */

/* Bytes of an attribute with name and value of these lengths, padding included. */
static inline size_t codec_xattr_bytes(size_t name_len, size_t value_len)
{
	return sizeof(struct gm_xattr) + ((name_len + value_len + 7) & ~(size_t)7);
}

#define CODEC_XATTR_BYTES_MAX                                                                      \
	(sizeof(struct gm_xattr) + GM_NAME_MAX + 1 + GM_XATTR_VALUE_MAX) /* a multiple of 8 */

/* A decoded attribute: name and value point into the bytes it was decoded from. */
struct codec_xattr {
	uint64_t ino;
	const char *name;
	const void *value;
	uint32_t value_len;
	uint8_t name_len;
};

void codec_encode_xattr(void *to, const struct codec_xattr *from); /* codec_xattr_bytes() bytes */

/* Of a removed one the value is not looked at, but that there is none. length: all there is. */
const char *codec_decode_xattr(
	struct codec_xattr *to, const void *from, size_t length, bool removed);

/* The order in a checkpoint: by ascending inode, and within one by ascending name, so that each is
 * there once. */
bool codec_xattr_follows(const struct codec_xattr *last, const struct codec_xattr *x);

/* Bytes of a symlink's target of this length, padding included. */
static inline size_t codec_target_bytes(size_t length)
{
	return sizeof(struct gm_target) + ((length + 7) & ~(size_t)7);
}

/* A decoded target: the text points into the bytes it was decoded from and has no NUL. */
struct codec_target {
	uint64_t ino;
	const char *text;
	uint32_t length;
};

void codec_encode_target(
	void *to, const struct codec_target *from); /* codec_target_bytes() bytes */
const char *codec_decode_target(
	struct codec_target *to, const void *from, size_t length); /* length: all there is */

void codec_encode_extent(struct gm_extent *to, uint64_t ino, const struct file_extent *from);
const char *codec_decode_extent(
	uint64_t *ino, struct file_extent *to, const struct gm_extent *from);

/* As an extent whose blocks are units, in region 0. */
void codec_encode_piece(struct gm_piece *to, uint64_t ino, const struct file_extent *from);
const char *codec_decode_piece(uint64_t *ino, struct file_extent *to, const struct gm_piece *from);

/*
 * An item's payload if header and length are valid for its type, else NULL. room is the number of
 * bytes from item on.
 */
const void *codec_item_payload(const struct gm_item *item, size_t room, const char **wrong);

#endif
