// SPDX-License-Identifier: MIT
/* The metadata in memory: making the one kind of change that there is, an item. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/dir.h"
#include "store/extents.h"
#include "store/hash.h"
#include "store/meta.h"
#include "store/xattrs.h"

/* ---- memory for a change ---- */

struct spare { /* lies in the memory that will become an inode, an entry or a target */
	struct spare *next;
};

void meta_reserve_init(struct meta_reserve *r)
{
	*r = (struct meta_reserve){.last = &r->first};
}

void meta_reserve_deinit(struct meta_reserve *r)
{
	while (r->first) {
		struct spare *s = r->first;

		r->first = s->next;
		free(s);
	}
	r->last = &r->first;
}

static int add_spare(struct meta_reserve *r, size_t size)
{
	struct spare *s = malloc(size > sizeof(*s) ? size : sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->next = NULL;
	*r->last = s;
	r->last = &s->next;
	return 0;
}

static void *take_spare(struct meta_reserve *r)
{
	struct spare *s = r->first;

	assert(s);
	r->first = s->next;
	if (!r->first)
		r->last = &r->first;
	return s;
}

static int reserve_inode(struct meta *m, struct meta_reserve *r, const struct gm_inode *i)
{
	int k;

	if (meta_inode(m, get_le64(i->ino)))
		return 0;
	k = table_reserve(&m->inodes, ++r->inodes);
	return k < 0 ? k : add_spare(r, sizeof(struct inode));
}

static int reserve_dirent(struct meta *m, struct meta_reserve *r, const struct gm_dirent *d)
{
	struct inode *dir = meta_inode(m, get_le64(d->parent));
	int k;

	if (!dir || !inode_is_dir(dir))
		return -EUCLEAN;
	k = table_reserve(&m->dirents, ++r->dirents);
	if (k < 0)
		return k;
	k = dir_reserve(dir, r->dirents);
	return k < 0 ? k : add_spare(r, sizeof(struct dirent) + get_le16(d->name_len));
}

/* Its inode may be one that the same change makes. */
static int reserve_xattr(struct meta *m, struct meta_reserve *r, const struct gm_xattr *x)
{
	int k = table_reserve(&m->xattrs, ++r->xattrs);

	if (k == 0)
		k = quotas_reserve(m, 1); /* in case that it is one */
	return k < 0 ? k
		     : add_spare(r, sizeof(struct xattr) + get_le16(x->name_len) +
					    get_le32(x->value_len));
}

/* Removing needs room only where it splits an extent in two. */
static int reserve_extent(
	struct meta *m, struct meta_reserve *r, const struct gm_extent *from, bool removed)
{
	struct inode *file = meta_inode(m, get_le64(from->ino));
	struct file_extent e;
	uint64_t ino;

	int k = 0;

	if (!file || !inode_has_memory(file) || codec_decode_extent(&ino, &e, from))
		return -EUCLEAN;
	if (removed && !extents_would_split(file, &e))
		return 0;
	if (!removed && inode_is_contents(file))
		k = units_reserve(&m->units, e.file_block + e.count);
	return k < 0 ? k : extents_reserve(file, ++r->extents);
}

static int reserve_piece(
	struct meta *m, struct meta_reserve *r, const struct gm_piece *from, bool removed)
{
	struct inode *file = meta_inode(m, get_le64(from->ino));
	struct file_extent e;
	uint64_t ino;

	if (!file || !inode_has_content(file) || codec_decode_piece(&ino, &e, from))
		return -EUCLEAN;
	if (removed && !extents_would_split(file, &e))
		return 0;
	return extents_reserve(file, ++r->extents);
}

int meta_reserve_item(struct meta *m, struct meta_reserve *r, const struct gm_item *item)
{
	const void *payload = item + 1;

	switch (get_le16(item->type)) {
	case GM_ITEM_INODE:
		return reserve_inode(m, r, payload);
	case GM_ITEM_DIRENT:
		return reserve_dirent(m, r, payload);
	case GM_ITEM_XATTR:
		return reserve_xattr(m, r, payload);
	case GM_ITEM_TARGET:
		return add_spare(r, get_le32(((const struct gm_target *)payload)->length) + 1);
	case GM_ITEM_EXTENT:
	case GM_ITEM_EXTENT_REMOVED:
		return reserve_extent(
			m, r, payload, get_le16(item->type) == GM_ITEM_EXTENT_REMOVED);
	case GM_ITEM_PIECE:
	case GM_ITEM_PIECE_REMOVED:
		return reserve_piece(m, r, payload, get_le16(item->type) == GM_ITEM_PIECE_REMOVED);
	default:
		return 0;
	}
}

/* ---- applying ---- */

static void apply_inode(struct meta *m, struct meta_reserve *r, const struct gm_inode *from)
{
	struct inode_attr a;
	struct inode *i;
	const char *wrong = codec_decode_inode(&a, from);

	assert(!wrong);
	(void)wrong;
	i = meta_inode(m, a.ino);
	if (!i) {
		i = take_spare(r);
		memset(i, 0, sizeof(*i));
		table_insert(&m->inodes, hash_ino(a.ino), i);
		m->inode_count++;
		if (a.ino >= m->next_ino)
			m->next_ino = a.ino + 1;
	}
	i->attr = a;
	if (inode_is_contents(i))
		m->contents = a.ino;
}

static void apply_inode_removed(struct meta *m, uint64_t ino)
{
	struct inode *i = meta_inode(m, ino);

	if (XATTRS_GET(m, ino, XATTR_QUOTA))
		quotas_note_limit(m, ino);
	xattrs_drop(m, ino);
	table_remove(&m->inodes, hash_ino(ino), i);
	m->inode_count--;
	if (inode_is_symlink(i) && i->target) {
		m->target_count--;
		m->target_bytes -= codec_target_bytes(i->attr.size);
	}
	inode_free(i);
}

static void apply_dirent(struct meta *m, struct meta_reserve *r, const struct gm_item *item)
{
	struct dirent *d = take_spare(r);
	struct codec_dirent c;
	const char *wrong =
		codec_decode_dirent(&c, item + 1, get_le32(item->length) - sizeof(*item));

	assert(!wrong);
	(void)wrong;
	*d = (struct dirent){.parent = c.parent,
		.ino = c.ino,
		.cookie = c.cookie,
		.type = c.type,
		.name_len = c.name_len};
	memcpy(d->name, c.name, c.name_len);
	table_insert(&m->dirents, hash_name(m->name_seed, d->parent, d->name, d->name_len), d);
	dir_append(meta_inode(m, d->parent), d);
	quotas_place(m, meta_inode(m, d->ino), meta_inode(m, d->parent));
	m->dirent_count++;
	m->dirent_bytes += codec_dirent_bytes(d->name_len);
}

static void apply_dirent_removed(struct meta *m, const struct gm_dirent_key *key)
{
	struct dirent *d = dir_take(meta_inode(m, get_le64(key->parent)), get_le64(key->cookie));

	table_remove(&m->dirents, hash_name(m->name_seed, d->parent, d->name, d->name_len), d);
	m->dirent_count--;
	m->dirent_bytes -= codec_dirent_bytes(d->name_len);
	free(d);
}

static void apply_xattr(
	struct meta *m, struct meta_reserve *r, const struct gm_item *item, bool removed)
{
	struct codec_xattr c;
	const char *wrong =
		codec_decode_xattr(&c, item + 1, get_le32(item->length) - sizeof(*item), removed);
	struct xattr *x;

	assert(!wrong);
	(void)wrong;
	if (c.name_len == sizeof(XATTR_QUOTA) - 1 && memcmp(c.name, XATTR_QUOTA, c.name_len) == 0)
		quotas_note_limit(m, c.ino);
	if (removed) {
		xattrs_remove(m, c.ino, c.name, c.name_len);
		return;
	}
	x = take_spare(r);
	*x = (struct xattr){.ino = c.ino, .value_len = c.value_len, .name_len = c.name_len};
	memcpy(x->name, c.name, (size_t)c.name_len + c.value_len); /* they adjoin */
	xattrs_put(m, x);
}

static void apply_target(struct meta *m, struct meta_reserve *r, const struct gm_item *item)
{
	struct codec_target t;
	const char *wrong =
		codec_decode_target(&t, item + 1, get_le32(item->length) - sizeof(*item));
	char *text = take_spare(r);

	assert(!wrong);
	(void)wrong;
	memcpy(text, t.text, t.length);
	text[t.length] = '\0';
	meta_inode(m, t.ino)->target = text;
	m->target_count++;
	m->target_bytes += codec_target_bytes(t.length);
}

static void apply_extent(struct meta *m, const struct gm_extent *from, bool removed)
{
	struct file_extent e;
	struct inode *file;
	uint64_t ino;
	const char *wrong = codec_decode_extent(&ino, &e, from);
	struct alloc_extent a = {.block = e.block, .region = e.region, .count = e.count};

	assert(!wrong);
	(void)wrong;
	file = meta_inode(m, ino);
	if (removed) {
		m->extent_count += (uint64_t)(int64_t)extents_remove(file, &e);
		quotas_count(m, file, -(int64_t)e.count * GM_UNITS_PER_BLOCK);
		alloc_release(m->alloc, &a);
		if (inode_is_contents(file))
			units_remove_blocks(&m->units, e.file_block, e.count);
	} else {
		m->extent_count += (uint64_t)(int64_t)extents_insert(file, &e);
		quotas_count(m, file, (int64_t)e.count * GM_UNITS_PER_BLOCK);
		alloc_claim(m->alloc, &a);
		if (inode_is_contents(file))
			units_add_blocks(&m->units, e.file_block, e.count);
	}
}

static void apply_piece(struct meta *m, const struct gm_piece *from, bool removed)
{
	struct file_extent e;
	struct inode *file;
	uint64_t ino;
	const char *wrong = codec_decode_piece(&ino, &e, from);

	assert(!wrong);
	(void)wrong;
	file = meta_inode(m, ino);
	if (removed) {
		m->piece_count += (uint64_t)(int64_t)extents_remove(file, &e);
		quotas_count(m, file, -(int64_t)e.count);
		units_give(&m->units, e.block, e.count);
		m->pieces_freed++;
	} else {
		m->piece_count += (uint64_t)(int64_t)extents_insert(file, &e);
		quotas_count(m, file, e.count);
		units_take(&m->units, e.block, e.count);
	}
}

/* Of the content store's blocks: nothing more is to be put there. */
static void note_bad_units(struct meta *m, const struct alloc_extent *a)
{
	const struct inode *store = meta_contents(m);

	for (uint32_t n = 0; store && n < store->extent_count; n++) {
		const struct file_extent *e = &store->extents[n];
		uint64_t first = a->block > e->block ? a->block : e->block;
		uint64_t end = a->block + a->count < e->block + e->count ? a->block + a->count
									 : e->block + e->count;

		for (; e->region == a->region && first < end; first++)
			units_set_bad(&m->units, e->file_block + (first - e->block));
	}
}

static void apply_blocks(struct meta *m, const struct gm_blocks *b)
{
	struct alloc_extent a = {.block = get_le64(b->block),
		.region = get_le16(b->region),
		.count = get_le32(b->count)};

	switch (get_le16(b->state)) {
	case GM_BLOCKS_CLEAN:
		alloc_set_clean(m->alloc, &a);
		break;
	case GM_BLOCKS_DIRTY:
		alloc_set_dirty(m->alloc, &a);
		break;
	case GM_BLOCKS_POISONED:
		alloc_set_poisoned(m->alloc, &a);
		note_bad_units(m, &a);
		break;
	case GM_BLOCKS_QUARANTINED:
		alloc_quarantine(m->alloc, &a);
		break;
	case GM_BLOCKS_RELEASED:
		alloc_unquarantine(m->alloc, &a);
		break;
	}
}

/* Another kernel: no mapping and no device of before is left, so nothing is held or exported, the
 * quarantine is over, and what was frozen has arrived. */
static void forget_last_boot(struct meta *m)
{
	struct alloc_stats stats;
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		i->attr.flags &= ~GM_INODE_FLAGS_OF_BOOT;
	m->frozen = false;
	alloc_get_stats(m->alloc, &stats);
	for (uint32_t r = 0; stats.quarantined > 0 && r < alloc_region_count(m->alloc); r++) {
		const struct alloc_region *region = alloc_get_region(m->alloc, r);
		struct alloc_extent e = {.block = region->first_data, .region = r, .count = 1};

		for (uint64_t n = 0; n < region->data_blocks; n++, e.block++)
			if (alloc_is_quarantined(m->alloc, &e))
				alloc_unquarantine(m->alloc, &e);
	}
}

static void apply_boot(struct meta *m, const struct gm_boot *b)
{
	if (memcmp(m->boot_id, b->boot_id, sizeof(m->boot_id)) != 0)
		forget_last_boot(m);
	memcpy(m->boot_id, b->boot_id, sizeof(m->boot_id));
	memcpy(m->token, b->token, sizeof(m->token));
	m->mount_number = get_le64(b->mount_number);
}

void meta_apply(struct meta *m, struct meta_reserve *r, const struct gm_item *item)
{
	const void *payload = item + 1;

	switch (get_le16(item->type)) {
	case GM_ITEM_INODE:
		apply_inode(m, r, payload);
		break;
	case GM_ITEM_INODE_REMOVED:
		apply_inode_removed(m, get_le64(((const struct gm_ino *)payload)->ino));
		break;
	case GM_ITEM_DIRENT:
		apply_dirent(m, r, item);
		break;
	case GM_ITEM_DIRENT_REMOVED:
		apply_dirent_removed(m, payload);
		break;
	case GM_ITEM_XATTR:
	case GM_ITEM_XATTR_REMOVED:
		apply_xattr(m, r, item, get_le16(item->type) == GM_ITEM_XATTR_REMOVED);
		break;
	case GM_ITEM_TARGET:
		apply_target(m, r, item);
		break;
	case GM_ITEM_EXTENT:
	case GM_ITEM_EXTENT_REMOVED:
		apply_extent(m, payload, get_le16(item->type) == GM_ITEM_EXTENT_REMOVED);
		break;
	case GM_ITEM_PIECE:
	case GM_ITEM_PIECE_REMOVED:
		apply_piece(m, payload, get_le16(item->type) == GM_ITEM_PIECE_REMOVED);
		break;
	case GM_ITEM_BLOCKS:
		apply_blocks(m, payload);
		break;
	case GM_ITEM_BOOT:
		apply_boot(m, payload);
		break;
	}
}

/* ---- all three steps ---- */

int meta_take_item(struct meta *m, const struct gm_item *item, size_t room, struct problem *why)
{
	struct meta_reserve reserve;
	int r = meta_check(m, item, room, why);

	if (r < 0)
		return r;
	meta_reserve_init(&reserve);
	r = meta_reserve_item(m, &reserve, item);
	if (r == 0)
		meta_apply(m, &reserve, item);
	meta_reserve_deinit(&reserve);
	return r == -ENOMEM ? problem(why, ENOMEM, "out of memory") : r;
}
