// SPDX-License-Identifier: MIT
/* Objects and items, each with the checks that the tables of the document name. */
#include "reader_internal.h"

#include <inttypes.h>
#include <sys/stat.h>

enum { /* offsets in an inode */
	INODE_BYTES = 192,
	INODE_MODE = 8,
	INODE_SIZE = 24,
	INODE_PARENT = 32,
	INODE_NEXT_COOKIE = 40,
	INODE_NSEC = 80,
	INODE_FLAGS = 96,
	INODE_STALE = 104,
	INODE_RDEV = 112,
	INODE_RESERVED = 120,
	INODE_LINKS = 20,
	FLAG_HELD = 1,
	FLAGS_OF_BOOT = 7,
	FLAG_IO = 8,
	FLAG_CONTENTS = 16,
};

uint8_t *reader_find_inode(const struct view *v, uint64_t ino)
{
	for (uint32_t n = 0; n < v->inode_count; n++)
		if (reader_u64(&v->inodes[n]) == ino)
			return (uint8_t *)(uintptr_t)&v->inodes[n];
	return NULL;
}

uint32_t reader_mode(const uint8_t *inode)
{
	return (uint32_t)reader_u32(inode + INODE_MODE);
}

/* ---- inodes ---- */

static bool is_file(const uint8_t *inode)
{
	return S_ISREG(reader_mode(inode));
}

static bool is_symlink(const uint8_t *inode)
{
	return S_ISLNK(reader_mode(inode));
}

static bool is_device(uint64_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode);
}

static const char *check_directory(const uint8_t *at)
{
	return reader_u64(at + INODE_SIZE) != 0 || (reader_u64(at + INODE_FLAGS) & ~8ULL) != 0 ||
			       reader_u64(at + INODE_STALE) != 0 ||
			       reader_u64(at + INODE_PARENT) == 0 ||
			       reader_u64(at + INODE_NEXT_COOKIE) < 3 ||
			       reader_u64(at + INODE_NEXT_COOKIE) > 1ULL << 62
		       ? "a directory's fields"
		       : NULL;
}

/* Symlinks, and what is neither that nor file nor directory. */
static const char *check_other(const uint8_t *at, uint64_t mode)
{
	uint64_t size = reader_u64(at + INODE_SIZE);

	if (!S_ISLNK(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode) && !is_device(mode))
		return "type";
	if (S_ISLNK(mode) ? size < 1 || size > 4095 || (mode & 07777) != 0777 : size != 0)
		return "size, or permissions of a symlink";
	return reader_u64(at + INODE_STALE) || reader_u64(at + INODE_FLAGS) ? "a file's fields"
									    : NULL;
}

static const char *check_file(const uint8_t *at)
{
	uint64_t flags = reader_u64(at + INODE_FLAGS), stale = reader_u64(at + INODE_STALE);

	if (reader_u64(at + INODE_SIZE) >> 63 || stale > reader_u64(at + INODE_SIZE))
		return "a file's fields";
	if ((flags & FLAG_IO) && (flags != FLAG_IO || stale != 0))
		return "memory of a file with content";
	if ((flags & FLAG_CONTENTS) && ((flags & ~(uint64_t)(FLAG_HELD | FLAG_CONTENTS)) != 0 ||
					       stale != 0 || reader_u32(at + INODE_LINKS) != 0))
		return "the content store's fields";
	return NULL;
}

static const char *check_inode(const uint8_t *at)
{
	uint64_t flags = reader_u64(at + INODE_FLAGS), mode = reader_mode(at);

	if (reader_u64(at) == 0 || reader_u64(at) >> 63)
		return "number";
	if (!reader_is_zero(at + INODE_RESERVED, INODE_BYTES - INODE_RESERVED))
		return "reserved bytes";
	if (mode & ~(uint64_t)(S_IFMT | 07777))
		return "mode";
	if (is_device(mode) ? reader_u32(at + INODE_RDEV) > 0xfff ||
				      reader_u32(at + INODE_RDEV + 4) > 0xfffff
			    : reader_u64(at + INODE_RDEV) != 0)
		return "device number";
	if (flags > 31 || ((flags & FLAGS_OF_BOOT) != 0 && !(flags & FLAG_HELD)))
		return "flags";
	for (unsigned k = 0; k < 4; k++)
		if (reader_u32(at + INODE_NSEC + 4 * k) > 999999999)
			return "nanoseconds";
	if (S_ISDIR(mode))
		return check_directory(at);
	if (reader_u64(at + INODE_PARENT) != 0 || reader_u64(at + INODE_NEXT_COOKIE) != 0)
		return "a directory's fields in another";
	if (!S_ISREG(mode))
		return check_other(at, mode);
	return check_file(at);
}

bool reader_has_content(const struct view *v, uint64_t ino)
{
	const uint8_t *at = reader_find_inode(v, ino);

	return at && is_file(at) && (reader_u64(at + INODE_FLAGS) & FLAG_IO);
}

uint64_t reader_contents(const struct view *v)
{
	for (uint32_t n = 0; n < v->inode_count; n++)
		if (reader_u64((const uint8_t *)&v->inodes[n] + INODE_FLAGS) & FLAG_CONTENTS)
			return reader_u64(&v->inodes[n]);
	return 0;
}

/* What may not change: which inode is the content store, and whether a file that is not empty has
 * memory or content. */
static const char *check_marks(const struct view *v, const uint8_t *old, const uint8_t *at)
{
	uint64_t flags = reader_u64(at + INODE_FLAGS), ino = reader_u64(at);
	uint64_t changed = old ? flags ^ reader_u64(old + INODE_FLAGS) : 0;

	if (!old)
		return (flags & FLAG_CONTENTS) && reader_contents(v) ? "a second content store"
								     : NULL;
	if (changed & FLAG_CONTENTS)
		return "it becomes the content store, or ceases to be";
	if (!(changed & FLAG_IO) || S_ISDIR(reader_mode(at)))
		return NULL;
	return reader_u64(old + INODE_SIZE) != 0 || reader_u64(at + INODE_SIZE) != 0 ||
			       reader_has_pieces(v, ino) ||
			       reader_owns_place(v, ino, 0, 1ULL << 42) ||
			       (reader_u64(old + INODE_FLAGS) & FLAG_HELD)
		       ? "it changes between memory and content"
		       : NULL;
}

bool reader_inode(struct reader *r, const uint8_t *at)
{
	struct view *v = r->v;
	uint64_t ino = reader_u64(at);
	const char *wrong = check_inode(at);
	uint8_t *old = reader_find_inode(v, ino);

	if (!wrong)
		wrong = check_marks(v, old, at);
	if (wrong)
		return reader_refuse(r, "inode %" PRIu64 ": %s", ino, wrong);
	if (old && ((reader_mode(old) ^ reader_mode(at)) & S_IFMT))
		return reader_refuse(r, "inode %" PRIu64 " changes its type", ino);
	if (old && reader_u64(old + INODE_NEXT_COOKIE) > reader_u64(at + INODE_NEXT_COOKIE))
		return reader_refuse(r, "inode %" PRIu64 ": its next cookie goes back", ino);
	if (old && (reader_u64(old + INODE_RDEV) != reader_u64(at + INODE_RDEV) ||
			   (is_symlink(old) &&
				   reader_u64(old + INODE_SIZE) != reader_u64(at + INODE_SIZE))))
		return reader_refuse(r, "inode %" PRIu64 " changes its device or target", ino);
	if (!old) {
		if (ino < v->next_ino)
			return reader_refuse(r, "inode number %" PRIu64 " is used again", ino);
		if (v->inode_count == VIEW_INODES)
			return reader_refuse(r, "more inodes than this reader has room for");
		v->next_ino = ino + 1;
		old = (uint8_t *)&v->inodes[v->inode_count++];
	}
	memcpy(old, at, INODE_BYTES);
	return true;
}

static void forget_target(struct view *v, uint64_t ino)
{
	for (uint32_t n = 0; n < v->target_count; n++)
		if (v->targets[n].ino == ino) {
			memmove(&v->targets[n], &v->targets[n + 1],
				(v->target_count - n - 1) * sizeof(v->targets[0]));
			v->target_count--;
		}
}

static bool remove_inode(struct reader *r, uint64_t ino)
{
	struct view *v = r->v;
	uint8_t *at = reader_find_inode(v, ino);
	uint32_t n;

	if (!at || ino == 1 || ino == reader_contents(v) || reader_has_pieces(v, ino))
		return reader_refuse(r, "inode %" PRIu64 " can't be removed", ino);
	for (n = 0; n < v->entry_count; n++)
		if (v->entries[n].parent == ino)
			return reader_refuse(r, "directory %" PRIu64 " is removed, not empty", ino);
	for (uint32_t region = 0; region < v->region_count; region++)
		for (uint64_t b = 0; b < v->region_blocks[region]; b++)
			if (v->blocks[region][b].ino == ino)
				return reader_refuse(
					r, "inode %" PRIu64 " is removed and owns a block", ino);
	reader_drop_xattrs(r, ino);
	reader_forget_directory(r, ino);
	n = (uint32_t)((struct gm_inode *)(void *)at - v->inodes);
	memmove(&v->inodes[n], &v->inodes[n + 1], (v->inode_count - n - 1) * sizeof(v->inodes[0]));
	v->inode_count--;
	forget_target(v, ino);
	return true;
}

/* ---- targets ---- */

bool reader_target(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length)
{
	uint64_t ino = room < 16 ? 0 : reader_u64(at), bytes = room < 16 ? 0 : reader_u32(at + 8);
	uint64_t padded = (bytes + 7) / 8 * 8;
	const uint8_t *inode = reader_find_inode(r->v, ino);

	if (bytes < 1 || bytes > 4095 || room < 16 + padded || reader_u32(at + 12) != 0 ||
		memchr(at + 16, 0, bytes) || !reader_is_zero(at + 16 + bytes, padded - bytes))
		return reader_refuse(r, "target");
	if (!inode || !is_symlink(inode) || reader_u64(inode + INODE_SIZE) != bytes)
		return reader_refuse(r, "target of inode %" PRIu64, ino);
	for (uint32_t n = 0; n < r->v->target_count; n++)
		if (r->v->targets[n].ino == ino)
			return reader_refuse(r, "inode %" PRIu64 " has two targets", ino);
	if (r->v->target_count == VIEW_TARGETS)
		return reader_refuse(r, "more targets than this reader has room for");
	view_add_target(r->v, ino, at + 16, bytes);
	*length = 16 + padded;
	return true;
}

/* ---- blocks ---- */

static struct view_block *find_blocks(
	const struct view *v, uint64_t region, uint64_t block, uint64_t count)
{
	if (region >= v->region_count || count == 0 || block < v->first_data[region] ||
		block - v->first_data[region] > v->data_blocks[region] ||
		count > v->data_blocks[region] - (block - v->first_data[region]))
		return NULL;
	return (struct view_block *)(uintptr_t)&v->blocks[region][block];
}

static bool is_free(const struct view_block *b)
{
	return !b->used && !b->quarantined && !b->poisoned;
}

bool reader_owns_place(const struct view *v, uint64_t ino, uint64_t from, uint64_t count)
{
	for (uint32_t region = 0; region < v->region_count; region++)
		for (uint64_t n = 0; n < v->region_blocks[region]; n++) {
			const struct view_block *b = &v->blocks[region][n];

			if (b->ino == ino && b->file_block >= from && b->file_block - from < count)
				return true;
		}
	return false;
}

static struct view_block *extent_blocks(struct reader *r, const uint8_t *at)
{
	const uint8_t *file = reader_find_inode(r->v, reader_u64(at));
	uint64_t file_block = reader_u64(at + 8), count = reader_u32(at + 24);
	struct view_block *b = find_blocks(r->v, reader_u16(at + 28), reader_u64(at + 16), count);

	if (!file || !is_file(file) || reader_has_content(r->v, reader_u64(at)) || !b ||
		reader_u16(at + 30) != 0 || file_block >> 42 || file_block + count > 1ULL << 42) {
		(void)reader_refuse(r, "extent of inode %" PRIu64, reader_u64(at));
		return NULL;
	}
	if (file_block % r->granule != 0 || count % r->granule != 0 ||
		(reader_u64(at + 16) - r->v->first_data[reader_u16(at + 28)]) % r->granule != 0) {
		(void)reader_refuse(r, "extent of inode %" PRIu64 " in groups", reader_u64(at));
		return NULL;
	}
	return b;
}

static uint64_t count_data_blocks(const struct view *v)
{
	uint64_t sum = 0;

	for (uint32_t region = 0; region < v->region_count; region++)
		sum += v->data_blocks[region];
	return sum;
}

bool reader_extent(struct reader *r, const uint8_t *at, bool in_checkpoint)
{
	uint64_t ino = reader_u64(at), file_block = reader_u64(at + 8), count = reader_u32(at + 24);
	struct view_block *b = extent_blocks(r, at);

	if (!b)
		return false;
	if (ino == reader_contents(r->v) && file_block + count > count_data_blocks(r->v))
		return reader_refuse(r, "the content store reaches too far");
	if (reader_owns_place(r->v, ino, file_block, count))
		return reader_refuse(r, "inode %" PRIu64 " has blocks there already", ino);
	for (uint64_t n = 0; n < count; n++) {
		if (b[n].ino != 0 || (!in_checkpoint && !is_free(&b[n])))
			return reader_refuse(r,
				"inode %" PRIu64 " is given a block of inode %" PRIu64, ino,
				b[n].ino);
		b[n].ino = ino;
		b[n].file_block = file_block + n;
		b[n].used = true;
	}
	return true;
}

static bool remove_extent(struct reader *r, const uint8_t *at)
{
	uint64_t ino = reader_u64(at), file_block = reader_u64(at + 8), count = reader_u32(at + 24);
	struct view_block *b = extent_blocks(r, at);

	if (!b)
		return false;
	if (reader_u64(reader_find_inode(r->v, ino) + INODE_FLAGS) & FLAG_HELD)
		return reader_refuse(r, "inode %" PRIu64 " is held and loses blocks", ino);
	if (ino == reader_contents(r->v) && reader_has_units(r->v, file_block * 512, count * 512))
		return reader_refuse(r, "the content store loses blocks in use");
	for (uint64_t n = 0; n < count; n++) {
		if (b[n].ino != ino || b[n].file_block != file_block + n)
			return reader_refuse(r, "a block that inode %" PRIu64 " does not own", ino);
		b[n].ino = b[n].file_block = 0;
		b[n].used = b[n].clean = false;
	}
	return true;
}

static bool set_block(struct view_block *b, uint64_t state)
{
	switch (state) {
	case 1:
		b->clean = true;
		return true;
	case 2:
		b->clean = false;
		return true;
	case 3:
		b->poisoned = true;
		return true;
	case 4:
		if (!is_free(b))
			return false;
		b->quarantined = true;
		return true;
	case 5:
		if (!b->quarantined)
			return false;
		b->quarantined = b->clean = false;
		return true;
	default:
		return false;
	}
}

static bool set_blocks(struct reader *r, const uint8_t *at)
{
	uint64_t count = reader_u32(at + 8), state = reader_u16(at + 14);
	struct view_block *b = find_blocks(r->v, reader_u16(at + 12), reader_u64(at), count);

	for (uint64_t n = 0; b && n < count; n++)
		if (!set_block(&b[n], state))
			b = NULL;
	return b || reader_refuse(r, "state %u of blocks", (unsigned)state);
}

/* ---- boot ---- */

static void forget_boot(struct view *v)
{
	for (uint32_t n = 0; n < v->inode_count; n++)
		*((uint8_t *)&v->inodes[n] + INODE_FLAGS) &= (uint8_t)~FLAGS_OF_BOOT;
	for (uint32_t region = 0; region < v->region_count; region++)
		for (uint64_t n = 0; n < v->region_blocks[region]; n++) {
			struct view_block *b = &v->blocks[region][n];

			if (b->quarantined)
				b->quarantined = b->clean = false;
		}
	v->frozen = 0;
}

static bool boot(struct reader *r, const uint8_t *at)
{
	if (reader_u64(at + 32) <= r->v->mount_number || reader_u64(at + 32) > 1ULL << 31 ||
		reader_u64(at + 40) != 0)
		return reader_refuse(r, "mount number of a boot");
	if (memcmp(r->v->boot_id, at, 16) != 0)
		forget_boot(r->v);
	memcpy(r->v->boot_id, at, 16);
	memcpy(r->v->token, at + 16, 16);
	r->v->mount_number = reader_u64(at + 32);
	return true;
}

/* ---- items ---- */

bool reader_item(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length)
{
	static const uint64_t payload[17] = {
		0, INODE_BYTES, 8, 0, 16, 32, 32, 16, 48, 0, 0, 0, 0, 0, 0, 32, 32};
	uint64_t type, bytes;

	if (room < 8)
		return reader_refuse(r, "an item is cut off");
	type = reader_u16(at);
	*length = reader_u32(at + 4);
	if (type < 1 || type > 16 || (type > 11 && type < 15) || reader_u16(at + 2) != 0 ||
		*length < 8 || *length % 8 != 0 || *length > room ||
		(payload[type] && *length != 8 + payload[type]))
		return reader_refuse(r, "an item of type %u", (unsigned)type);
	at += 8;
	switch (type) {
	case 1:
		return reader_inode(r, at);
	case 2:
		return remove_inode(r, reader_u64(at));
	case 3:
		return reader_entry(r, at, *length - 8, &bytes) &&
		       (bytes == *length - 8 || reader_refuse(r, "length of an entry"));
	case 4:
		return reader_remove_entry(r, reader_u64(at), reader_u64(at + 8));
	case 5:
		return reader_extent(r, at, false);
	case 6:
		return remove_extent(r, at);
	case 7:
		return set_blocks(r, at);
	case 11:
		return reader_target(r, at, *length - 8, &bytes) &&
		       (bytes == *length - 8 || reader_refuse(r, "length of a target"));
	case 15:
		return reader_piece(r, at);
	case 16:
		return reader_remove_piece(r, at);
	case 8:
		return boot(r, at);
	case 9:
		return reader_xattr(r, at, *length - 8, &bytes) &&
		       (bytes == *length - 8 || reader_refuse(r, "length of an attribute"));
	default:
		return reader_remove_xattr(r, at, *length - 8);
	}
}
