// SPDX-License-Identifier: MIT
#include "store/codec.h"

#include <string.h>
#include <xxhash.h>

#include "store/xattrs.h"

/* ---- words: 48 bits of content under 16 bits of check ---- */

#define WORD_CONTENT ((1ULL << 48) - 1)

static uint64_t seal_word(uint64_t content)
{
	gm_le64 bytes = put_le64(content);

	return content | (XXH3_64bits(&bytes, sizeof(bytes)) << 48);
}

static bool open_word(uint64_t word, uint64_t *content)
{
	*content = word & WORD_CONTENT;
	return seal_word(*content) == word;
}

uint64_t codec_encode_slot_word(uint64_t generation, unsigned slot)
{
	assert(generation > 0 && generation < 1ULL << GM_SLOT_GENERATION_BITS && slot < 2);
	return seal_word(generation << 8 | slot);
}

bool codec_decode_slot_word(uint64_t word, struct codec_word *ret)
{
	uint64_t content;

	if (!open_word(word, &content) || (content & 0xfe) || content >> 8 == 0)
		return false;
	*ret = (struct codec_word){.generation = content >> 8, .value = content & 1};
	return true;
}

uint64_t codec_encode_tail_word(uint64_t generation, uint64_t position)
{
	uint64_t units = position / GM_TAIL_UNIT;
	uint64_t low = generation & ((1ULL << GM_TAIL_GENERATION_BITS) - 1);

	assert(position % GM_TAIL_UNIT == 0 && units < 1ULL << GM_TAIL_POSITION_BITS);
	return seal_word(low << GM_TAIL_POSITION_BITS | units);
}

bool codec_decode_tail_word(uint64_t word, struct codec_word *ret)
{
	uint64_t content;

	if (!open_word(word, &content))
		return false;
	ret->value = (content & ((1ULL << GM_TAIL_POSITION_BITS) - 1)) * GM_TAIL_UNIT;
	ret->generation = content >> GM_TAIL_POSITION_BITS;
	return true;
}

uint64_t codec_read_word(const uint8_t *at)
{
	return le64toh(__atomic_load_n((const uint64_t *)(const void *)at, __ATOMIC_ACQUIRE));
}

/* ---- bytes ---- */

bool codec_is_zero(const void *bytes, size_t length)
{
	const uint8_t *b = bytes;

	/* Compares the range with itself, one byte on: all equal, and the first one is zero. */
	return length == 0 || (b[0] == 0 && memcmp(b, b + 1, length - 1) == 0);
}

uint64_t codec_checksum(const void *bytes, size_t length)
{
	return XXH3_64bits(bytes, length);
}

gm_le64 codec_seal(const void *structure, size_t size)
{
	return put_le64(XXH3_64bits(structure, size - sizeof(gm_le64)));
}

bool codec_seal_holds(const void *structure, size_t size)
{
	gm_le64 sum = codec_seal(structure, size);

	return memcmp(&sum, (const uint8_t *)structure + size - sizeof(sum), sizeof(sum)) == 0;
}

/* ---- entries ---- */

void codec_encode_dirent(void *to, const struct codec_dirent *from)
{
	struct gm_dirent d = {
		.parent = put_le64(from->parent),
		.ino = put_le64(from->ino),
		.cookie = put_le64(from->cookie),
		.name_len = put_le16(from->name_len),
		.type = from->type,
	};
	uint8_t *at = to;

	memset(at, 0, codec_dirent_bytes(from->name_len));
	memcpy(at, &d, sizeof(d));
	memcpy(at + sizeof(d), from->name, from->name_len);
}

static const char *check_name(const char *name, size_t length)
{
	if (memchr(name, '\0', length) || memchr(name, '/', length))
		return "its name contains NUL or '/'";
	if ((length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.'))
		return "its name is \".\" or \"..\"";
	return NULL;
}

const char *codec_decode_dirent(struct codec_dirent *to, const void *from, size_t length)
{
	struct gm_dirent d;
	const char *name = (const char *)from + sizeof(d);
	const char *wrong;

	if (length < sizeof(d))
		return "it is cut off";
	memcpy(&d, from, sizeof(d));
	size_t n = get_le16(d.name_len);
	if (n == 0 || n > GM_NAME_MAX)
		return "its name's length is out of range";
	if (length < codec_dirent_bytes(n))
		return "its name is cut off";
	if (!codec_is_zero(name + n, codec_dirent_bytes(n) - sizeof(d) - n) ||
		!codec_is_zero(d.reserved, sizeof(d.reserved)))
		return "its reserved bytes are not zero";
	if (get_le64(d.cookie) < GM_FIRST_COOKIE || get_le64(d.cookie) >= INT64_MAX)
		return "its cookie is out of range";
	wrong = check_name(name, n);
	if (wrong)
		return wrong;
	*to = (struct codec_dirent){
		.parent = get_le64(d.parent),
		.ino = get_le64(d.ino),
		.cookie = get_le64(d.cookie),
		.name = name,
		.name_len = (uint8_t)n,
		.type = d.type,
	};
	return NULL;
}

/* ---- attributes ---- */

void codec_encode_xattr(void *to, const struct codec_xattr *from)
{
	struct gm_xattr x = {
		.ino = put_le64(from->ino),
		.value_len = put_le32(from->value_len),
		.name_len = put_le16(from->name_len),
	};
	size_t text = (size_t)from->name_len + from->value_len;
	uint8_t *at = to;

	memcpy(at, &x, sizeof(x));
	at += sizeof(x);
	memcpy(at, from->name, from->name_len);
	if (from->value_len)
		memcpy(at + from->name_len, from->value, from->value_len);
	memset(at + text, 0, codec_xattr_bytes(from->name_len, from->value_len) - sizeof(x) - text);
}

const char *codec_decode_xattr(
	struct codec_xattr *to, const void *from, size_t length, bool removed)
{
	const char *name = (const char *)from + sizeof(struct gm_xattr), *wrong;
	struct gm_xattr x;

	if (length < sizeof(x))
		return "it is cut off";
	memcpy(&x, from, sizeof(x));
	size_t n = get_le16(x.name_len), v = get_le32(x.value_len);
	if (n == 0 || n > GM_NAME_MAX)
		return "its name's length is out of range";
	if (v > (removed ? 0 : GM_XATTR_VALUE_MAX))
		return "its value's length is out of range";
	if (length < codec_xattr_bytes(n, v))
		return "its name or value is cut off";
	if (get_le16(x.reserved) != 0 ||
		!codec_is_zero(name + n + v, codec_xattr_bytes(n, v) - sizeof(x) - n - v))
		return "its reserved bytes are not zero";
	wrong = xattr_check_name(name, n);
	if (!wrong && !removed)
		wrong = xattr_check_value(name, n, name + n, v);
	if (wrong)
		return wrong;
	*to = (struct codec_xattr){.ino = get_le64(x.ino),
		.name = name,
		.value = name + n,
		.value_len = (uint32_t)v,
		.name_len = (uint8_t)n};
	return NULL;
}

bool codec_xattr_follows(const struct codec_xattr *last, const struct codec_xattr *x)
{
	size_t shorter = last->name_len < x->name_len ? last->name_len : x->name_len;
	int k;

	if (last->ino != x->ino)
		return last->ino < x->ino;
	k = shorter > 0 ? memcmp(last->name, x->name, shorter) : 0; /* before the first: no name */
	return k < 0 || (k == 0 && last->name_len < x->name_len);
}

/* ---- targets of symlinks ---- */

void codec_encode_target(void *to, const struct codec_target *from)
{
	struct gm_target t = {.ino = put_le64(from->ino), .length = put_le32(from->length)};
	uint8_t *at = to;

	memset(at, 0, codec_target_bytes(from->length));
	memcpy(at, &t, sizeof(t));
	memcpy(at + sizeof(t), from->text, from->length);
}

const char *codec_decode_target(struct codec_target *to, const void *from, size_t length)
{
	const char *text = (const char *)from + sizeof(struct gm_target);
	struct gm_target t;

	if (length < sizeof(t))
		return "it is cut off";
	memcpy(&t, from, sizeof(t));
	uint32_t n = get_le32(t.length);
	if (n == 0 || n > GM_TARGET_MAX)
		return "its length is out of range";
	if (length < codec_target_bytes(n))
		return "its text is cut off";
	if (get_le32(t.reserved) != 0 ||
		!codec_is_zero(text + n, codec_target_bytes(n) - sizeof(t) - n))
		return "its reserved bytes are not zero";
	if (memchr(text, '\0', n))
		return "its text contains NUL";
	*to = (struct codec_target){.ino = get_le64(t.ino), .text = text, .length = n};
	return NULL;
}

/* ---- extents ---- */

void codec_encode_extent(struct gm_extent *to, uint64_t ino, const struct file_extent *from)
{
	*to = (struct gm_extent){
		.ino = put_le64(ino),
		.file_block = put_le64(from->file_block),
		.block = put_le64(from->block),
		.count = put_le32(from->count),
		.region = put_le16((uint16_t)from->region),
	};
}

const char *codec_decode_extent(uint64_t *ino, struct file_extent *to, const struct gm_extent *from)
{
	struct file_extent e = {
		.file_block = get_le64(from->file_block),
		.block = get_le64(from->block),
		.count = get_le32(from->count),
		.region = get_le16(from->region),
	};

	if (get_le16(from->reserved) != 0)
		return "its reserved bytes are not zero";
	if (e.count == 0)
		return "it is empty";
	if (e.file_block >= CODEC_FILE_BLOCKS_MAX || e.count > CODEC_FILE_BLOCKS_MAX - e.file_block)
		return "its place in the file is out of range";
	if (e.region >= GM_REGIONS_MAX)
		return "its region's number is out of range";
	*ino = get_le64(from->ino);
	*to = e;
	return NULL;
}

/* ---- pieces ---- */

void codec_encode_piece(struct gm_piece *to, uint64_t ino, const struct file_extent *from)
{
	*to = (struct gm_piece){
		.ino = put_le64(ino),
		.file_unit = put_le64(from->file_block),
		.store_unit = put_le64(from->block),
		.count = put_le32(from->count),
	};
}

const char *codec_decode_piece(uint64_t *ino, struct file_extent *to, const struct gm_piece *from)
{
	struct file_extent e = {
		.file_block = get_le64(from->file_unit),
		.block = get_le64(from->store_unit),
		.count = get_le32(from->count),
	};

	if (get_le32(from->reserved) != 0)
		return "its reserved bytes are not zero";
	if (e.count == 0)
		return "it is empty";
	if (e.file_block >= CODEC_FILE_UNITS_MAX || e.count > CODEC_FILE_UNITS_MAX - e.file_block)
		return "its place in the file is out of range";
	if (e.block >= CODEC_FILE_UNITS_MAX || e.count > CODEC_FILE_UNITS_MAX - e.block)
		return "its place in the content store is out of range";
	*ino = get_le64(from->ino);
	*to = e;
	return NULL;
}

/* ---- items ---- */

/* Those whose length is told by their own fields. */
static bool is_varying(unsigned type)
{
	return type == GM_ITEM_DIRENT || type == GM_ITEM_TARGET || type == GM_ITEM_XATTR ||
	       type == GM_ITEM_XATTR_REMOVED;
}

static size_t payload_size(unsigned type)
{
	switch (type) {
	case GM_ITEM_INODE:
		return sizeof(struct gm_inode);
	case GM_ITEM_INODE_REMOVED:
		return sizeof(struct gm_ino);
	case GM_ITEM_DIRENT_REMOVED:
		return sizeof(struct gm_dirent_key);
	case GM_ITEM_EXTENT:
	case GM_ITEM_EXTENT_REMOVED:
		return sizeof(struct gm_extent);
	case GM_ITEM_PIECE:
	case GM_ITEM_PIECE_REMOVED:
		return sizeof(struct gm_piece);
	case GM_ITEM_BLOCKS:
		return sizeof(struct gm_blocks);
	case GM_ITEM_BOOT:
		return sizeof(struct gm_boot);
	default:
		return 0;
	}
}

const void *codec_item_payload(const struct gm_item *item, size_t room, const char **wrong)
{
	size_t length, expected;
	unsigned type;

	if (room < sizeof(*item)) {
		*wrong = "it is cut off";
		return NULL;
	}
	length = get_le32(item->length);
	type = get_le16(item->type);
	expected = payload_size(type);
	if (length < sizeof(*item) || length > room || length % 8 != 0)
		*wrong = "its length is out of range";
	else if (get_le16(item->reserved) != 0)
		*wrong = "its reserved bytes are not zero";
	else if (!is_varying(type) && expected == 0)
		*wrong = "its type is unknown to this version";
	else if (!is_varying(type) && length != sizeof(*item) + expected)
		*wrong = "its length does not fit its type";
	else
		return item + 1;
	return NULL;
}
