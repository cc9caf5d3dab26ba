// SPDX-License-Identifier: MIT
/* One object of what is kept: the only way in which a salvage changes the metadata, with the checks
 * of recovery. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/codec.h"
#include "store/salvage_internal.h"

/*
 * A damaged checkpoint lacks inodes that the journal puts back: their numbers were used before, as
 * they should be.
 */
int salvage_take_item(
	struct salvage *s, const struct gm_item *item, size_t room, struct problem *why)
{
	uint64_t next = s->meta.next_ino;
	struct meta_reserve reserve;
	int r;

	if (s->loading || !s->base_whole)
		s->meta.next_ino = GM_ROOT_INO;
	r = meta_check(&s->meta, item, room, why);
	meta_reserve_init(&reserve);
	if (r == 0)
		r = meta_reserve_item(&s->meta, &reserve, item);
	if (r == 0)
		meta_apply(&s->meta, &reserve, item);
	meta_reserve_deinit(&reserve);
	if (s->meta.next_ino < next)
		s->meta.next_ino = next;
	return r == -ENOMEM ? problem(why, ENOMEM, "out of memory") : r;
}

int salvage_put(struct salvage *s, enum gm_item_type type, const void *payload, size_t length,
	struct problem *why)
{
	struct gm_item item = {.type = put_le16((uint16_t)type),
		.length = put_le32((uint32_t)(sizeof(item) + length))};

	memcpy(s->item, &item, sizeof(item));
	memcpy(s->item + sizeof(item), payload, length);
	return salvage_take_item(
		s, (const struct gm_item *)(const void *)s->item, sizeof(item) + length, why);
}

int salvage_apply(struct salvage *s, struct txn *t, struct problem *why)
{
	const struct gm_item *item = NULL;
	int r = t->failed ? problem(why, ENOMEM, "out of memory") : 0;

	while (r == 0 && (item = txn_next_item(t, item)))
		r = salvage_take_item(s, item, get_le32(item->length), why);
	txn_deinit(t);
	return r;
}

void salvage_name_blocks(struct salvage *s, const struct file_extent *e)
{
	if (!alloc_is_data(s->meta.alloc, e->region, e->block, e->count))
		return;
	for (uint64_t b = e->block; b < e->block + e->count; b++)
		if (s->named[e->region][b] < SALVAGE_NAMED_MAX)
			s->named[e->region][b]++;
}

int salvage_make_inode(struct salvage *s, uint64_t ino, uint32_t mode, uint64_t size,
	uint64_t flags, struct problem *why)
{
	const struct inode *root = meta_inode(&s->meta, GM_ROOT_INO);
	struct txn t = TXN_INIT(GM_RECORD_CREATE, 0);
	struct inode_attr a = {.ino = ino,
		.mode = mode,
		.uid = root ? root->attr.uid : 0,
		.gid = root ? root->attr.gid : 0,
		.links = flags & GM_INODE_CONTENTS ? 0 : 1,
		.size = size,
		.flags = flags,
		.atime = s->in->now,
		.mtime = s->in->now,
		.ctime = s->in->now,
		.btime = s->in->now};

	if (S_ISDIR(mode)) {
		a.links = 2;
		a.parent = GM_ROOT_INO;
		a.next_cookie = GM_FIRST_COOKIE;
	}
	txn_put_inode(&t, &a);
	return salvage_apply(s, &t, why);
}
