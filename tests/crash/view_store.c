// SPDX-License-Identifier: MIT
/* The view of what the store has in memory. */
#include "view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/store.h"
#include "store/xattrs.h"

static int compare_inodes(const void *a, const void *b)
{
	uint64_t x = get_le64(((const struct gm_inode *)a)->ino);
	uint64_t y = get_le64(((const struct gm_inode *)b)->ino);

	return (x > y) - (x < y);
}

static void add_blocks(struct view *v, uint64_t ino, const struct file_extent *e)
{
	for (uint32_t n = 0; n < e->count; n++) {
		struct view_block *b = &v->blocks[e->region][e->block + n];

		b->ino = ino;
		b->file_block = e->file_block + n;
	}
}

static void add_piece(struct view *v, uint64_t ino, const struct file_extent *e)
{
	const struct view_piece p = {
		.ino = ino, .file_unit = e->file_block, .store_unit = e->block, .count = e->count};
	bool room = view_add_piece(v, &p);

	assert(room);
	(void)room;
}

static void add_inodes(struct view *v, const struct meta *m)
{
	const struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(m, &c));) {
		assert(v->inode_count < VIEW_INODES);
		codec_encode_inode(&v->inodes[v->inode_count++], &i->attr);
		for (uint32_t k = 0; inode_is_file(i) && k < i->extent_count; k++)
			if (inode_has_content(i))
				add_piece(v, i->attr.ino, &i->extents[k]);
			else
				add_blocks(v, i->attr.ino, &i->extents[k]);
		if (!inode_is_symlink(i))
			continue;
		assert(v->target_count < VIEW_TARGETS);
		view_add_target(v, i->attr.ino, i->target, i->attr.size);
	}
	qsort(v->inodes, v->inode_count, sizeof(v->inodes[0]), compare_inodes);
}

static void add_entries(struct view *v, const struct inode *dir)
{
	const struct dirent *d;

	for (uint64_t after = 0; (d = meta_next_entry(dir, after)); after = d->cookie) {
		struct view_entry *e = &v->entries[v->entry_count++];

		assert(v->entry_count <= VIEW_ENTRIES);
		memset(e, 0, sizeof(*e));
		e->parent = d->parent;
		e->ino = d->ino;
		e->cookie = d->cookie;
		e->type = d->type;
		e->name_len = d->name_len;
		memcpy(e->name, d->name, d->name_len);
	}
}

static void add_xattrs(struct view *v, const struct meta *m, uint64_t ino)
{
	for (const struct xattr *x = xattrs_first(m, ino); x; x = x->next) {
		struct view_xattr *to = &v->xattrs[v->xattr_count++];

		assert(v->xattr_count <= VIEW_XATTRS && x->value_len <= VIEW_VALUE);
		memset(to, 0, sizeof(*to));
		to->ino = ino;
		to->value_len = x->value_len;
		to->name_len = x->name_len;
		memcpy(to->name, x->name, x->name_len);
		memcpy(to->value, xattr_value(x), x->value_len);
	}
}

static void add_states(struct view *v, const struct alloc *a, uint32_t region)
{
	uint8_t maps[4][VIEW_BLOCKS / 8];

	assert(alloc_map_bytes(a, region) <= sizeof(maps[0]));
	for (unsigned k = 0; k < 4; k++)
		alloc_copy_map(a, region, (enum alloc_map)(ALLOC_MAP_USED + k), 0,
			alloc_map_bytes(a, region), maps[k]);
	for (uint64_t n = 0; n < v->region_blocks[region]; n++) {
		struct view_block *b = &v->blocks[region][n];

		b->used = maps[0][n / 8] >> n % 8 & 1;
		b->clean = maps[1][n / 8] >> n % 8 & 1;
		b->poisoned = maps[2][n / 8] >> n % 8 & 1;
		b->quarantined = maps[3][n / 8] >> n % 8 & 1;
	}
}

void view_of_store(struct view *v, struct store *s)
{
	const struct store_super *super = store_get_super(s);
	const struct meta *m = store_meta(s);

	memset(v, 0, offsetof(struct view, inodes));
	memcpy(v->uuid, super->uuid, sizeof(v->uuid));
	memcpy(v->boot_id, m->boot_id, sizeof(v->boot_id));
	memcpy(v->token, m->token, sizeof(v->token));
	v->next_ino = m->next_ino;
	v->mount_number = m->mount_number;
	v->frozen = m->frozen;
	v->region_count = super->region_count;
	for (uint32_t r = 0; r < v->region_count; r++) {
		assert(super->regions[r].blocks <= VIEW_BLOCKS);
		v->region_blocks[r] = super->regions[r].blocks;
		v->first_data[r] = super->first_data[r];
		v->data_blocks[r] = super->data_blocks[r];
		memset(v->blocks[r], 0, v->region_blocks[r] * sizeof(v->blocks[r][0]));
	}
	add_inodes(v, m);
	for (uint32_t n = 0; n < v->inode_count; n++) {
		const struct inode *i = meta_inode(m, get_le64(v->inodes[n].ino));

		if (inode_is_dir(i))
			add_entries(v, i);
		add_xattrs(v, m, i->attr.ino);
	}
	for (uint32_t r = 0; r < v->region_count; r++)
		add_states(v, m->alloc, r);
}
