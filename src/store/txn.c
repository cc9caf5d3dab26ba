// SPDX-License-Identifier: MIT
/*
 * The buffer has room for the record's header in front, so that a commit stores header and items in
 * one piece; t->items is the start of the buffer, t->size counts the items' bytes alone.
 */
#include "store/txn.h"

#include <stdlib.h>
#include <string.h>

#include "store/codec.h"

void txn_deinit(struct txn *t)
{
	free(t->items);
	t->items = NULL;
	t->size = t->capacity = 0;
}

/* Room for so many more bytes of items; NULL once memory has run out. Room for the padding is
 * always kept. */
static void *add_bytes(struct txn *t, size_t length)
{
	size_t need = sizeof(struct gm_record) + t->size + length + GM_TAIL_UNIT;
	void *at;

	if (t->failed)
		return NULL;
	if (need > t->capacity) {
		size_t capacity = t->capacity ? t->capacity * 2 : 1024;
		uint8_t *bigger;

		if (capacity < need)
			capacity = need;
		bigger = need > UINT32_MAX / 2 ? NULL : realloc(t->items, capacity);
		if (!bigger) {
			t->failed = true;
			return NULL;
		}
		t->items = bigger;
		t->capacity = capacity;
	}
	at = t->items + sizeof(struct gm_record) + t->size;
	t->size += length;
	return at;
}

static void *add_item(struct txn *t, enum gm_item_type type, size_t payload)
{
	size_t length = sizeof(struct gm_item) + payload;
	struct gm_item *item = add_bytes(t, length);

	if (!item)
		return NULL;
	*item = (struct gm_item){
		.type = put_le16((uint16_t)type), .length = put_le32((uint32_t)length)};
	return item + 1;
}

const struct gm_item *txn_next_item(const struct txn *t, const struct gm_item *last)
{
	const uint8_t *end = t->items + sizeof(struct gm_record) + t->size;
	const uint8_t *at = last ? (const uint8_t *)last + get_le32(last->length)
				 : t->items + sizeof(struct gm_record);

	return t->size > 0 && at < end ? (const struct gm_item *)(const void *)at : NULL;
}

void txn_append(struct txn *t, const struct txn *from)
{
	void *to = from->size > 0 ? add_bytes(t, from->size) : NULL;

	if (to)
		memcpy(to, from->items + sizeof(struct gm_record), from->size);
	t->failed |= from->failed;
}

void txn_put_inode(struct txn *t, const struct inode_attr *a)
{
	struct gm_inode *i = add_item(t, GM_ITEM_INODE, sizeof(*i));

	if (i)
		codec_encode_inode(i, a);
}

void txn_remove_inode(struct txn *t, uint64_t ino)
{
	struct gm_ino *i = add_item(t, GM_ITEM_INODE_REMOVED, sizeof(*i));

	if (i)
		i->ino = put_le64(ino);
}

void txn_add_dirent(struct txn *t, uint64_t parent, uint64_t ino, uint64_t cookie, uint8_t type,
	const char *name, size_t length)
{
	struct codec_dirent d = {.parent = parent,
		.ino = ino,
		.cookie = cookie,
		.name = name,
		.name_len = (uint8_t)length,
		.type = type};
	void *to;

	assert(length > 0 && length <= GM_NAME_MAX);
	to = add_item(t, GM_ITEM_DIRENT, codec_dirent_bytes(length));
	if (to)
		codec_encode_dirent(to, &d);
}

void txn_remove_dirent(struct txn *t, uint64_t parent, uint64_t cookie)
{
	struct gm_dirent_key *k = add_item(t, GM_ITEM_DIRENT_REMOVED, sizeof(*k));

	if (k)
		*k = (struct gm_dirent_key){.parent = put_le64(parent), .cookie = put_le64(cookie)};
}

static void put_xattr(struct txn *t, enum gm_item_type type, const struct codec_xattr *x)
{
	void *to = add_item(t, type, codec_xattr_bytes(x->name_len, x->value_len));

	if (to)
		codec_encode_xattr(to, x);
}

void txn_set_xattr(struct txn *t, uint64_t ino, const char *name, size_t name_len,
	const void *value, size_t value_len)
{
	assert(name_len > 0 && name_len <= GM_NAME_MAX && value_len <= GM_XATTR_VALUE_MAX);
	put_xattr(t, GM_ITEM_XATTR,
		&(struct codec_xattr){.ino = ino,
			.name = name,
			.value = value,
			.value_len = (uint32_t)value_len,
			.name_len = (uint8_t)name_len});
}

void txn_remove_xattr(struct txn *t, uint64_t ino, const char *name, size_t name_len)
{
	assert(name_len > 0 && name_len <= GM_NAME_MAX);
	put_xattr(t, GM_ITEM_XATTR_REMOVED,
		&(struct codec_xattr){.ino = ino, .name = name, .name_len = (uint8_t)name_len});
}

void txn_set_target(struct txn *t, uint64_t ino, const char *text, size_t length)
{
	struct codec_target target = {.ino = ino, .text = text, .length = (uint32_t)length};
	void *to;

	assert(length > 0 && length <= GM_TARGET_MAX);
	to = add_item(t, GM_ITEM_TARGET, codec_target_bytes(length));
	if (to)
		codec_encode_target(to, &target);
}

void txn_add_extent(struct txn *t, uint64_t ino, const struct file_extent *e)
{
	struct gm_extent *x = add_item(t, GM_ITEM_EXTENT, sizeof(*x));

	if (x)
		codec_encode_extent(x, ino, e);
}

void txn_remove_extent(struct txn *t, uint64_t ino, const struct file_extent *e)
{
	struct gm_extent *x = add_item(t, GM_ITEM_EXTENT_REMOVED, sizeof(*x));

	if (x)
		codec_encode_extent(x, ino, e);
}

static void put_piece(
	struct txn *t, enum gm_item_type type, uint64_t ino, const struct file_extent *e)
{
	struct gm_piece *p = add_item(t, type, sizeof(*p));

	if (p)
		codec_encode_piece(p, ino, e);
}

void txn_add_piece(struct txn *t, uint64_t ino, const struct file_extent *e)
{
	put_piece(t, GM_ITEM_PIECE, ino, e);
}

void txn_remove_piece(struct txn *t, uint64_t ino, const struct file_extent *e)
{
	put_piece(t, GM_ITEM_PIECE_REMOVED, ino, e);
}

void txn_remove_extents(struct txn *t, const struct inode *i)
{
	/* The last one first: each closes the gap that it leaves, and so has none to move. */
	for (uint32_t n = inode_is_file(i) ? i->extent_count : 0; n-- > 0;)
		if (inode_has_content(i))
			txn_remove_piece(t, i->attr.ino, &i->extents[n]);
		else
			txn_remove_extent(t, i->attr.ino, &i->extents[n]);
}

void txn_set_blocks(struct txn *t, const struct alloc_extent *e, enum gm_block_state state)
{
	struct gm_blocks *b = add_item(t, GM_ITEM_BLOCKS, sizeof(*b));

	if (b)
		*b = (struct gm_blocks){.block = put_le64(e->block),
			.count = put_le32(e->count),
			.region = put_le16((uint16_t)e->region),
			.state = put_le16((uint16_t)state)};
}

void txn_boot(
	struct txn *t, const uint8_t boot_id[16], const uint8_t token[16], uint64_t mount_number)
{
	struct gm_boot *b = add_item(t, GM_ITEM_BOOT, sizeof(*b));

	if (!b)
		return;
	*b = (struct gm_boot){.mount_number = put_le64(mount_number)};
	memcpy(b->boot_id, boot_id, sizeof(b->boot_id));
	memcpy(b->token, token, sizeof(b->token));
}
