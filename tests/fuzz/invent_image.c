// SPDX-License-Identifier: MIT
/*
 * Inputs for the target `image` that hardly ever come of bytes by chance: changes as a namespace
 * would make them, of what there is in the pool, each with something that may be untrue: a link too
 * many, a cookie of before, a block of another file. Recovery and the reader must agree on those.
 *
 * Numbers are drawn from the few that mean something here.
 */
#include <string.h>
#include <sys/stat.h>

#include "dice.h"
#include "fuzz.h"
#include "fuzz_image.h"
#include "util/cleanup.h"
#include "util/le.h"

#define ITEMS_MAX 248U /* bytes of items in one record: an edit has one byte for its length */
#define BLOCKS    24U  /* the first data blocks, and some that there are not */

struct draft {
	struct dice *dice;
	uint8_t *bytes;
	size_t room;
	size_t size;
	uint8_t items[ITEMS_MAX]; /* of the record that is being made */
	size_t items_size;
	const struct view *v;
	struct gm_inode inodes[VIEW_INODES]; /* as the changes so far leave them */
};

static uint64_t below(struct draft *d, uint64_t n)
{
	return dice_below(d->dice, n);
}

static bool rarely(struct draft *d)
{
	return below(d, 4) == 0;
}

/* ---- edits, records, items ---- */

static void add_edit(
	struct draft *d, unsigned place, uint64_t offset, const void *bytes, size_t count)
{
	const uint8_t head[4] = {
		(uint8_t)place, (uint8_t)offset, (uint8_t)(offset >> 8), (uint8_t)count};

	if (d->size + sizeof(head) + count > d->room)
		return;
	memcpy(d->bytes + d->size, head, sizeof(head));
	if (count > 0)
		memcpy(d->bytes + d->size + sizeof(head), bytes, count);
	d->size += sizeof(head) + count;
}

static void end_record(struct draft *d)
{
	if (d->items_size > 0)
		add_edit(d, PLACE_RECORD, 0, d->items, d->items_size);
	d->items_size = 0;
}

static void add_item(struct draft *d, enum gm_item_type type, const void *payload, size_t length)
{
	size_t padded = (length + 7) / 8 * 8;
	const struct gm_item head = {.type = put_le16((uint16_t)type),
		.length = put_le32((uint32_t)(sizeof(head) + padded))};

	if (d->items_size + sizeof(head) + padded > ITEMS_MAX || rarely(d))
		end_record(d);
	memcpy(d->items + d->items_size, &head, sizeof(head));
	memset(d->items + d->items_size + sizeof(head), 0, padded);
	memcpy(d->items + d->items_size + sizeof(head), payload, length);
	d->items_size += sizeof(head) + padded;
}

static void put_inode(struct draft *d, const struct gm_inode *i)
{
	add_item(d, GM_ITEM_INODE, i, sizeof(*i));
}

/* ---- inodes ---- */

static struct gm_inode *find_inode(struct draft *d, uint64_t ino)
{
	for (uint32_t n = 0; n < d->v->inode_count; n++)
		if (get_le64(d->inodes[n].ino) == ino)
			return &d->inodes[n];
	return NULL;
}

static struct gm_inode *draw_inode(struct draft *d)
{
	return &d->inodes[below(d, d->v->inode_count)];
}

/* Mostly one that there is. */
static uint64_t draw_ino(struct draft *d)
{
	switch (below(d, 12)) {
	case 0:
		return below(d, 40);
	case 1:
		return d->v->next_ino + below(d, 3);
	default:
		return get_le64(draw_inode(d)->ino);
	}
}

static uint32_t draw_type(struct draft *d)
{
	static const uint32_t types[] = {
		S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};

	return types[below(d, ARRAY_SIZE(types))];
}

static uint64_t draw_size(struct draft *d)
{
	static const uint64_t sizes[] = {0, 1, 5, GM_UNIT_SIZE - 1, GM_UNIT_SIZE, GM_UNIT_SIZE + 1,
		GM_BLOCK_SIZE, GM_BLOCK_SIZE + 1, 2 * GM_BLOCK_SIZE, 3 * GM_BLOCK_SIZE, INT64_MAX};

	return sizes[below(d, ARRAY_SIZE(sizes))];
}

/* Something about it changes that may not be so. */
static void bend_inode(struct draft *d, struct gm_inode *i)
{
	uint32_t mode = get_le32(i->mode), links = get_le32(i->links);

	switch (below(d, 9)) {
	case 0:
		i->links = put_le32(links + (uint32_t)below(d, 3) - 1);
		break;
	case 1:
		i->links = put_le32((uint32_t)below(d, 4));
		break;
	case 2:
		i->flags = put_le64(get_le64(i->flags) ^ 1ULL << below(d, 5));
		break;
	case 3:
		i->size = put_le64(draw_size(d));
		break;
	case 4:
		i->parent = put_le64(draw_ino(d));
		break;
	case 5:
		i->next_cookie = put_le64(below(d, 12));
		break;
	case 6:
		i->stale_from = put_le64(below(d, get_le64(i->size) + 1));
		break;
	case 7:
		i->mode = put_le32(draw_type(d) | (mode & 07777));
		break;
	default:
		i->mode = put_le32((mode & S_IFMT) | (uint32_t)below(d, 07777 + 1));
	}
}

static void change_inode(struct draft *d)
{
	struct gm_inode i = *draw_inode(d);

	bend_inode(d, &i);
	if (rarely(d))
		bend_inode(d, &i);
	put_inode(d, &i);
}

static void make_inode(struct draft *d, uint64_t ino)
{
	uint32_t type = draw_type(d);
	struct gm_inode i = {.ino = put_le64(ino),
		.mode = put_le32(type | (S_ISLNK(type) ? 0777 : 0755)),
		.links = put_le32((uint32_t)below(d, 2))};

	if (S_ISDIR(type)) {
		i.links = put_le32(2 * get_le32(i.links));
		i.parent = put_le64(rarely(d) ? draw_ino(d) : GM_ROOT_INO);
		i.next_cookie = put_le64(GM_FIRST_COOKIE + below(d, 3));
	}
	if (S_ISLNK(type))
		i.size = put_le64(3); /* of the target, which give_target() may bring */
	if (S_ISREG(type) && below(d, 2))
		i.flags = put_le64(GM_INODE_IO);
	if (rarely(d))
		bend_inode(d, &i);
	put_inode(d, &i);
}

static void make_an_inode(struct draft *d)
{
	make_inode(d, rarely(d) ? draw_ino(d) : d->v->next_ino);
}

static void remove_inode(struct draft *d)
{
	const struct gm_ino gone = {put_le64(draw_ino(d))};

	add_item(d, GM_ITEM_INODE_REMOVED, &gone, sizeof(gone));
}

/* ---- entries ---- */

static void name_inode(struct draft *d, uint64_t parent, uint64_t ino)
{
	struct gm_inode *dir = find_inode(d, parent), *child = find_inode(d, ino);
	uint64_t cookie =
		dir && !rarely(d) ? get_le64(dir->next_cookie) : GM_FIRST_COOKIE + below(d, 8);
	uint8_t type =
		(uint8_t)((child && !rarely(d) ? get_le32(child->mode) : draw_type(d)) >> 12);
	struct {
		struct gm_dirent head;
		char name[8];
	} entry = {.head = {.parent = put_le64(parent),
			   .ino = put_le64(ino),
			   .cookie = put_le64(cookie),
			   .name_len = put_le16(1),
			   .type = type},
		.name = {"abcdefgz"[below(d, 8)]}};

	if (dir && !rarely(d)) {
		dir->next_cookie = put_le64(cookie + 1);
		dir->links = put_le32(get_le32(dir->links) + S_ISDIR((uint32_t)type << 12));
		put_inode(d, dir);
	}
	add_item(d, GM_ITEM_DIRENT, &entry, sizeof(entry));
}

static void name_one(struct draft *d)
{
	uint64_t parent = draw_ino(d);

	name_inode(d, parent, draw_ino(d));
}

static void make_file(struct draft *d)
{
	make_inode(d, d->v->next_ino);
	name_inode(d, GM_ROOT_INO, d->v->next_ino);
}

/* With the links that there are fewer of, or without. */
static void remove_name(struct draft *d)
{
	const struct view_entry *e;
	struct gm_inode *dir, *child;

	if (d->v->entry_count == 0)
		return;
	e = &d->v->entries[below(d, d->v->entry_count)];
	dir = find_inode(d, e->parent);
	child = find_inode(d, e->ino);
	add_item(d, GM_ITEM_DIRENT_REMOVED,
		&(struct gm_dirent_key){put_le64(e->parent), put_le64(e->cookie)},
		sizeof(struct gm_dirent_key));
	if (!dir || !child || below(d, 2))
		return;
	if (S_ISDIR(get_le32(child->mode))) {
		dir->links = put_le32(get_le32(dir->links) - 1);
		put_inode(d, dir);
	}
	child->links = put_le32(S_ISDIR(get_le32(child->mode)) ? 0 : get_le32(child->links) - 1);
	put_inode(d, child);
}

/* ---- blocks and units ---- */

static void give_blocks(struct draft *d)
{
	const struct gm_extent e = {.ino = put_le64(draw_ino(d)),
		.file_block = put_le64(below(d, 4)),
		.block = put_le64(below(d, BLOCKS)),
		.count = put_le32((uint32_t)below(d, 3))};

	add_item(d, GM_ITEM_EXTENT, &e, sizeof(e));
}

static void take_blocks(struct draft *d)
{
	uint64_t first = d->v->first_data[0], n = first + below(d, BLOCKS);
	const struct view_block *b = &d->v->blocks[0][n];
	const struct gm_extent e = {.ino = put_le64(rarely(d) ? draw_ino(d) : b->ino),
		.file_block = put_le64(rarely(d) ? below(d, 3) : b->file_block),
		.block = put_le64(n),
		.count = put_le32((uint32_t)(1 + below(d, 2)))};

	add_item(d, GM_ITEM_EXTENT_REMOVED, &e, sizeof(e));
}

static void mark_blocks(struct draft *d)
{
	const struct gm_blocks b = {.block = put_le64(below(d, BLOCKS)),
		.count = put_le32((uint32_t)below(d, 4)),
		.state = put_le16((uint16_t)below(d, GM_BLOCKS_RELEASED + 2))};

	add_item(d, GM_ITEM_BLOCKS, &b, sizeof(b));
}

static void change_pieces(struct draft *d)
{
	const struct gm_piece p = {.ino = put_le64(draw_ino(d)),
		.file_unit = put_le64(below(d, 6)),
		.store_unit = put_le64(below(d, 12)),
		.count = put_le32((uint32_t)below(d, 4))};

	add_item(d, below(d, 2) ? GM_ITEM_PIECE : GM_ITEM_PIECE_REMOVED, &p, sizeof(p));
}

/* ---- what else an inode has ---- */

static void change_attribute(struct draft *d)
{
	bool gone = below(d, 2) != 0;
	struct {
		struct gm_xattr head;
		char name[6];
		char value[2];
	} x = {.head = {.ino = put_le64(draw_ino(d)),
		       .name_len = put_le16(6),
		       .value_len = put_le32(gone && !rarely(d) ? 0 : 2)},
		.name = {'u', 's', 'e', 'r', '.', "ab"[below(d, 2)]},
		.value = {gone ? 0 : 'v'}};

	add_item(d, gone ? GM_ITEM_XATTR_REMOVED : GM_ITEM_XATTR, &x, sizeof(x));
}

static void give_target(struct draft *d)
{
	const struct {
		struct gm_target head;
		char text[8];
	} t = {.head = {.ino = put_le64(draw_ino(d)), .length = put_le32(3)}, .text = "abc"};

	add_item(d, GM_ITEM_TARGET, &t, sizeof(t));
}

/* ---- the checkpoint ---- */

/* A small number somewhere in a table of its. */
static void bend_checkpoint(struct draft *d)
{
	static const unsigned sections[] = {GM_SECTION_INODES, GM_SECTION_INODES,
		GM_SECTION_DIRENTS, GM_SECTION_EXTENTS, GM_SECTION_USED, GM_SECTION_QUARANTINED,
		GM_SECTION_XATTRS, GM_SECTION_TARGETS, GM_SECTION_PIECES};
	unsigned section = sections[below(d, ARRAY_SIZE(sections))];
	unsigned place = section >= GM_SECTION_XATTRS
				 ? PLACE_MORE_FIRST + section - GM_SECTION_XATTRS
				 : PLACE_SECTION_FIRST + section - 1;
	const uint8_t number[2] = {(uint8_t)below(d, 8)};

	add_edit(d, place, 4 * below(d, 400), number, 1 + rarely(d));
}

size_t fuzz_invent(struct dice *dice, uint8_t *bytes, size_t room)
{
	static void (*const changes[])(struct draft *) = {change_inode, change_inode, change_inode,
		make_an_inode, make_an_inode, make_file, remove_inode, name_one, name_one,
		remove_name, remove_name, give_blocks, give_blocks, take_blocks, take_blocks,
		mark_blocks, change_pieces, change_pieces, change_attribute, give_target};
	unsigned pool = (unsigned)dice_below(dice, FUZZ_IMAGE_POOLS);
	struct draft d = {.dice = dice, .bytes = bytes, .room = room, .v = fuzz_image_view(pool)};

	memcpy(d.inodes, d.v->inodes, d.v->inode_count * sizeof(d.inodes[0]));
	add_edit(&d, PLACE_POOL, pool, NULL, 0);
	for (uint64_t n = rarely(&d) ? 1 + below(&d, 3) : 0; n > 0; n--)
		bend_checkpoint(&d);
	for (uint64_t n = 1 + below(&d, 5); n > 0; n--)
		changes[below(&d, ARRAY_SIZE(changes))](&d);
	end_record(&d);
	return d.size;
}
