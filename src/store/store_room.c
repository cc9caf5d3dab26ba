// SPDX-License-Identifier: MIT
/*
 * Does a change leave metadata that fit a checkpoint slot? It is measured before anything is done,
 * generously: by the most that it can add, and what it removes is set against that for names and
 * attributes alone.
 */
#include <errno.h>
#include <inttypes.h>

#include "store/codec.h"
#include "store/dir.h"
#include "store/extents.h"
#include "store/store_internal.h"
#include "store/xattrs.h"
#include "util/clock.h"
#include "util/log.h"

/* Users can make the pool full as often as they like; the log hears of it once a minute. */
#define FULL_LOG_INTERVAL_MS 60000U

/* Removing a part from the middle of an extent or a piece leaves two of it. */
static bool splits(const struct meta *m, const struct gm_item *item)
{
	const struct inode *file;
	struct file_extent e;
	const char *wrong = "it is neither";
	uint64_t ino = 0;

	if (get_le16(item->type) == GM_ITEM_EXTENT_REMOVED)
		wrong = codec_decode_extent(&ino, &e, (const struct gm_extent *)(item + 1));
	else if (get_le16(item->type) == GM_ITEM_PIECE_REMOVED)
		wrong = codec_decode_piece(&ino, &e, (const struct gm_piece *)(item + 1));
	file = wrong ? NULL : meta_inode(m, ino);
	return file && inode_is_file(file) && extents_would_split(file, &e);
}

/* The bytes of an attribute that this one replaces. */
static uint64_t replaced_bytes(const struct meta *m, const struct gm_item *item)
{
	struct codec_xattr x;
	const struct xattr *old = NULL;

	if (!codec_decode_xattr(&x, item + 1, get_le32(item->length) - sizeof(*item), false))
		old = xattrs_find(m, x.ino, x.name, x.name_len);
	return old ? codec_xattr_bytes(old->name_len, old->value_len) : 0;
}

static uint64_t removed_entry_bytes(const struct meta *m, const struct gm_item *item)
{
	const struct gm_dirent_key *key = (const struct gm_dirent_key *)(item + 1);
	const struct inode *dir = meta_inode(m, get_le64(key->parent));
	const struct dirent *d =
		dir && inode_is_dir(dir) ? dir_find(dir, get_le64(key->cookie)) : NULL;

	return d ? codec_dirent_bytes(d->name_len) : 0;
}

/* removed: names, so that one can become a shorter one whatever is full. */
static void add_item(const struct store *s, const struct gm_item *item, struct store_growth *g,
	uint64_t *removed)
{
	const unsigned type = get_le16(item->type);
	const uint64_t bytes = get_le32(item->length) - sizeof(*item);

	if (type == GM_ITEM_INODE &&
		!meta_inode(&s->meta, get_le64(((const struct gm_inode *)(item + 1))->ino)))
		g->inodes++;
	else if (type == GM_ITEM_PIECE || (type == GM_ITEM_PIECE_REMOVED && splits(&s->meta, item)))
		g->piece_bytes += bytes;
	else if (type == GM_ITEM_DIRENT || type == GM_ITEM_TARGET || type == GM_ITEM_EXTENT ||
		 splits(&s->meta, item))
		g->bytes += bytes;
	else if (type == GM_ITEM_DIRENT_REMOVED)
		*removed += removed_entry_bytes(&s->meta, item);
	else if (type == GM_ITEM_XATTR) {
		uint64_t less = replaced_bytes(&s->meta, item);

		g->xattr_bytes += bytes > less ? bytes - less : 0;
	}
}

void store_measure_growth(const struct store *s, const struct txn *t, struct store_growth *ret)
{
	const struct gm_item *item = NULL;
	uint64_t removed = 0;

	*ret = (struct store_growth){.bytes = 0};
	while ((item = txn_next_item(t, item)))
		add_item(s, item, ret, &removed);
	ret->bytes += ret->xattr_bytes + ret->piece_bytes + ret->inodes * sizeof(struct gm_inode);
	ret->bytes -= removed < ret->bytes ? removed : ret->bytes;
}

static void log_full(struct store *s, const char *full)
{
	uint64_t now = clock_milliseconds();

	if (s->full_logged_at && now - s->full_logged_at < FULL_LOG_INTERVAL_MS)
		return;
	s->full_logged_at = now;
	log_warning("no space: %s (%" PRIu64 " files of %" PRIu64 ")", full, s->meta.inode_count,
		s->super.plan.max_files);
}

/* Attributes and pieces may have a part of the metadata area each, so that they can't keep files
 * from being made. */
static const char *find_full(const struct store *s, const struct store_growth *g)
{
	uint64_t slot = s->super.plan.slot_size;
	uint64_t pieces = s->meta.piece_count * sizeof(struct gm_piece);

	if (g->inodes > 0 && s->meta.inode_count + g->inodes > s->super.plan.max_files)
		return "the number of files has reached the limit that was set at format "
		       "(--max-files)";
	if (g->xattr_bytes > 0 && s->meta.xattr_bytes + g->xattr_bytes > slot / STORE_XATTR_SHARE)
		return "extended attributes have taken their quarter of the metadata area; a "
		       "format with more --max-files makes room";
	if (g->piece_bytes > 0 && pieces + g->piece_bytes > slot / STORE_PIECE_SHARE)
		return "the pieces of files with content have taken their quarter of the metadata "
		       "area; fewer holes, or a format with more --max-files, make room";
	if (g->bytes > 0 && meta_image_bytes(&s->meta) + g->bytes > slot)
		return "the metadata area is full; fewer or shorter names, or a format with more "
		       "--max-files, make room";
	return NULL;
}

int store_check_room(struct store *s, const struct store_growth *g)
{
	const char *full = find_full(s, g);

	if (!full)
		return 0;
	log_full(s, full);
	return -ENOSPC;
}

int store_check_pieces(struct store *s, uint64_t count)
{
	uint64_t bytes = count * sizeof(struct gm_piece);

	return store_check_room(s, &(struct store_growth){.bytes = bytes, .piece_bytes = bytes});
}
