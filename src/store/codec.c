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

/* ---- inodes ---- */

void codec_encode_inode(struct gm_inode *to, const struct inode_attr *a)
{
	*to = (struct gm_inode){
		.ino = put_le64(a->ino),
		.mode = put_le32(a->mode),
		.uid = put_le32(a->uid),
		.gid = put_le32(a->gid),
		.links = put_le32(a->links),
		.size = put_le64(a->size),
		.parent = put_le64(a->parent),
		.next_cookie = put_le64(a->next_cookie),
		.atime = put_le64((uint64_t)a->atime),
		.mtime = put_le64((uint64_t)a->mtime),
		.ctime = put_le64((uint64_t)a->ctime),
		.btime = put_le64((uint64_t)a->btime),
		.atime_nsec = put_le32(a->atime_nsec),
		.mtime_nsec = put_le32(a->mtime_nsec),
		.ctime_nsec = put_le32(a->ctime_nsec),
		.btime_nsec = put_le32(a->btime_nsec),
		.flags = put_le64(a->flags),
		.stale_from = put_le64(a->stale_from),
		.rdev_major = put_le32(INODE_RDEV_MAJOR(a->rdev)),
		.rdev_minor = put_le32(INODE_RDEV_MINOR(a->rdev)),
	};
}

static void load_inode(struct inode_attr *to, const struct gm_inode *from)
{
	*to = (struct inode_attr){
		.ino = get_le64(from->ino),
		.mode = get_le32(from->mode),
		.uid = get_le32(from->uid),
		.gid = get_le32(from->gid),
		.links = get_le32(from->links),
		.size = get_le64(from->size),
		.parent = get_le64(from->parent),
		.next_cookie = get_le64(from->next_cookie),
		.atime = (int64_t)get_le64(from->atime),
		.mtime = (int64_t)get_le64(from->mtime),
		.ctime = (int64_t)get_le64(from->ctime),
		.btime = (int64_t)get_le64(from->btime),
		.atime_nsec = get_le32(from->atime_nsec),
		.mtime_nsec = get_le32(from->mtime_nsec),
		.ctime_nsec = get_le32(from->ctime_nsec),
		.btime_nsec = get_le32(from->btime_nsec),
		.flags = get_le64(from->flags),
		.stale_from = get_le64(from->stale_from),
		.rdev = INODE_RDEV(get_le32(from->rdev_major), get_le32(from->rdev_minor)),
	};
}

static const char *check_directory(const struct inode_attr *a)
{
	if (a->parent == 0)
		return "a directory's parent is 0";
	if (a->next_cookie < GM_FIRST_COOKIE || a->next_cookie > CODEC_NUMBERS_MAX)
		return "a directory's next cookie is out of range";
	if (a->size != 0 || a->stale_from != 0 || (a->flags & ~GM_INODE_IO))
		return "a directory has a size, stale bytes or flags of a file";
	return NULL;
}

static const char *check_file(const struct inode_attr *a)
{
	if (a->size > CODEC_FILE_BLOCKS_MAX * GM_BLOCK_SIZE - 1 || a->stale_from > a->size)
		return "its size or stale offset is out of range";
	if ((a->flags & GM_INODE_IO) && (a->flags != GM_INODE_IO || a->stale_from != 0))
		return "it has content, and flags or stale bytes of memory";
	if ((a->flags & GM_INODE_CONTENTS) &&
		((a->flags & (GM_INODE_EXPORTED | GM_INODE_INHERITED)) || a->links != 0 ||
			a->stale_from != 0))
		return "it is the content store, and has a name, stale bytes or flags of a file";
	return NULL;
}

/* Neither has memory of its own. */
static const char *check_symlink_or_node(const struct inode_attr *a)
{
	if (a->stale_from != 0 || a->flags != 0)
		return "it has stale bytes or flags, and is no file";
	if (!S_ISLNK(a->mode))
		return a->size != 0 ? "a node has a size" : NULL;
	if (a->size == 0 || a->size > GM_TARGET_MAX)
		return "a symlink's size is out of range";
	return (a->mode & 07777) != 0777 ? "a symlink's permissions are not 0777" : NULL;
}

/* What the fields of each type must be. */
static const char *check_inode_kind(const struct inode_attr *a)
{
	if (S_ISDIR(a->mode))
		return check_directory(a);
	if (a->parent != 0 || a->next_cookie != 0)
		return "it has a directory's fields and is none";
	switch (a->mode & S_IFMT) {
	case S_IFREG:
		return check_file(a);
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return check_symlink_or_node(a);
	default:
		return "its type is none that there is";
	}
}

static const char *check_rdev(const struct gm_inode *from, uint32_t mode)
{
	uint32_t major = get_le32(from->rdev_major), minor = get_le32(from->rdev_minor);

	if (!S_ISCHR(mode) && !S_ISBLK(mode))
		return major || minor ? "it has a device number and is no device" : NULL;
	return major > GM_RDEV_MAJOR_MAX || minor > GM_RDEV_MINOR_MAX
		       ? "its device number is out of range"
		       : NULL;
}

const char *codec_decode_inode(struct inode_attr *to, const struct gm_inode *from)
{
	struct inode_attr a;

	load_inode(&a, from);
	if (!codec_is_zero(from->reserved_policy,
		    sizeof(*from) - offsetof(struct gm_inode, reserved_policy)))
		return "its reserved bytes are not zero";
	if (a.ino == 0 || a.ino > INT64_MAX)
		return "its number is out of range";
	if (a.mode & ~(uint32_t)(S_IFMT | 07777))
		return "its mode has unknown bits";
	if (a.flags & ~GM_INODE_FLAGS_KNOWN)
		return "its flags have unknown bits";
	if ((a.flags & GM_INODE_EXPORTED) && !(a.flags & GM_INODE_HELD))
		return "it is exported but not held";
	if ((a.flags & GM_INODE_INHERITED) && !(a.flags & GM_INODE_HELD))
		return "it has inherited memory but is not held";
	if (a.atime_nsec > 999999999 || a.mtime_nsec > 999999999 || a.ctime_nsec > 999999999 ||
		a.btime_nsec > 999999999)
		return "a time's nanoseconds are out of range";
	const char *wrong = check_rdev(from, a.mode);
	if (!wrong)
		wrong = check_inode_kind(&a);
	if (!wrong)
		*to = a;
	return wrong;
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
	k = memcmp(last->name, x->name, shorter);
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
