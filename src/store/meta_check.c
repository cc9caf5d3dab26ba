// SPDX-License-Identifier: MIT
/*
 * Is an item true to what is there? Recovery refuses what fails here; for a live change a failure
 * is a fault of our own and stops it before it reaches the media. The promises that must never
 * break are stated here once, for both.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/codec.h"
#include "store/dir.h"
#include "store/extents.h"
#include "store/meta.h"
#include "store/xattrs.h"

static int check_inode(const struct meta *m, const struct gm_inode *from, struct problem *why)
{
	struct inode_attr a;
	const char *wrong = codec_decode_inode(&a, from);
	const struct inode *old;

	if (wrong)
		return problem(why, EUCLEAN, "inode %" PRIu64 ": %s", get_le64(from->ino), wrong);
	old = meta_inode(m, a.ino);
	if (!old && a.ino < m->next_ino)
		return problem(
			why, EUCLEAN, "inode %" PRIu64 ": its number was used before", a.ino);
	if (old && (old->attr.mode & S_IFMT) != (a.mode & S_IFMT))
		return problem(why, EUCLEAN, "inode %" PRIu64 ": it changes its type", a.ino);
	if (old &&
		(old->attr.rdev != a.rdev || (inode_is_symlink(old) && old->attr.size != a.size)))
		return problem(why, EUCLEAN,
			"inode %" PRIu64 ": its device number or its target's length changes",
			a.ino);
	if (old && ((old->attr.flags ^ a.flags) & GM_INODE_CONTENTS))
		return problem(why, EUCLEAN,
			"inode %" PRIu64 ": it becomes the content store, or ceases to be", a.ino);
	if (!old && (a.flags & GM_INODE_CONTENTS) && m->contents)
		return problem(why, EUCLEAN,
			"inode %" PRIu64 ": inode %" PRIu64 " is the content store already", a.ino,
			m->contents);
	if (old && inode_is_file(old) && ((old->attr.flags ^ a.flags) & GM_INODE_IO) &&
		(old->attr.size > 0 || a.size > 0 || old->extent_count > 0 || inode_is_held(old)))
		return problem(why, EUCLEAN,
			"inode %" PRIu64 ": it changes from memory to content, or back, and is not "
			"empty",
			a.ino);
	if (old && a.next_cookie < old->attr.next_cookie)
		return problem(why, EUCLEAN, "inode %" PRIu64 ": its next cookie goes back", a.ino);
	return 0;
}

static int check_inode_removed(const struct meta *m, uint64_t ino, struct problem *why)
{
	const struct inode *i = meta_inode(m, ino);

	if (!i)
		return problem(why, EUCLEAN, "inode %" PRIu64 " is removed but not there", ino);
	if (ino == GM_ROOT_INO)
		return problem(why, EUCLEAN, "the root directory is removed");
	if (inode_is_contents(i))
		return problem(
			why, EUCLEAN, "the content store (inode %" PRIu64 ") is removed", ino);
	if ((inode_is_dir(i) && i->entry_count > 0) || (inode_is_file(i) && i->extent_count > 0))
		return problem(why, EUCLEAN, "inode %" PRIu64 " is removed but not empty", ino);
	return 0;
}

static int check_dirent(
	const struct meta *m, const void *payload, size_t length, struct problem *why)
{
	const struct inode *dir, *child;
	struct codec_dirent d;
	const char *wrong = codec_decode_dirent(&d, payload, length);

	if (wrong)
		return problem(why, EUCLEAN, "entry: %s", wrong);
	if (length != codec_dirent_bytes(d.name_len))
		return problem(why, EUCLEAN, "entry: its length does not fit its name");
	dir = meta_inode(m, d.parent);
	child = meta_inode(m, d.ino);
	if (!dir || !inode_is_dir(dir))
		return problem(why, EUCLEAN, "entry \"%.*s\": inode %" PRIu64 " is no directory",
			d.name_len, d.name, d.parent);
	if (!child)
		return problem(why, EUCLEAN,
			"entry \"%.*s\" in inode %" PRIu64 ": inode %" PRIu64 " is not there",
			d.name_len, d.name, d.parent, d.ino);
	if (d.type != (child->attr.mode & S_IFMT) >> 12)
		return problem(why, EUCLEAN,
			"entry \"%.*s\" in inode %" PRIu64
			": its type is not that of inode %" PRIu64,
			d.name_len, d.name, d.parent, d.ino);
	if (d.cookie <= dir_last_cookie(dir))
		return problem(why, EUCLEAN,
			"entry \"%.*s\" in inode %" PRIu64 ": its cookie was used before",
			d.name_len, d.name, d.parent);
	if (meta_lookup(m, d.parent, d.name, d.name_len))
		return problem(why, EUCLEAN, "entry \"%.*s\" in inode %" PRIu64 " is there twice",
			d.name_len, d.name, d.parent);
	return 0;
}

static int check_dirent_removed(
	const struct meta *m, const struct gm_dirent_key *key, struct problem *why)
{
	uint64_t parent = get_le64(key->parent), cookie = get_le64(key->cookie);
	const struct inode *dir = meta_inode(m, parent);

	if (!dir || !inode_is_dir(dir) || !dir_find(dir, cookie))
		return problem(why, EUCLEAN,
			"entry %" PRIu64 " of inode %" PRIu64 " is removed but not there", cookie,
			parent);
	return 0;
}

static const char *check_xattr_fits(
	const struct meta *m, const struct codec_xattr *x, size_t length, bool removed)
{
	const struct inode *i = meta_inode(m, x->ino);

	if (length != codec_xattr_bytes(x->name_len, x->value_len))
		return "its length does not fit its name and value";
	if (!i)
		return "its inode is not there";
	if (removed)
		return xattrs_find(m, x->ino, x->name, x->name_len) ? NULL
								    : "it is removed but not there";
	if (!xattr_is_for(x->name, x->name_len, i->attr.mode))
		return "it is none for an inode of its type";
	return NULL;
}

static int check_xattr(
	const struct meta *m, const void *payload, size_t length, bool removed, struct problem *why)
{
	struct codec_xattr x;
	const char *wrong = codec_decode_xattr(&x, payload, length, removed);

	if (wrong)
		return problem(why, EUCLEAN, "attribute: %s", wrong);
	wrong = check_xattr_fits(m, &x, length, removed);
	if (!wrong)
		return 0;
	return problem(why, EUCLEAN, "attribute \"%.*s\" of inode %" PRIu64 ": %s", x.name_len,
		x.name, x.ino, wrong);
}

/* A symlink has one target, from its beginning to its end. */
static int check_target(
	const struct meta *m, const void *payload, size_t length, struct problem *why)
{
	struct codec_target t = {.ino = 0};
	const char *wrong = codec_decode_target(&t, payload, length);
	const struct inode *i;

	if (wrong)
		return problem(why, EUCLEAN, "target: %s", wrong);
	i = meta_inode(m, t.ino);
	if (length != codec_target_bytes(t.length))
		wrong = "its length does not fit its text";
	else if (!i || !inode_is_symlink(i))
		wrong = "its inode is not there or is no symlink";
	else if (i->target)
		wrong = "its symlink has one already";
	else if (i->attr.size != t.length)
		wrong = "its length is not its symlink's size";
	if (!wrong)
		return 0;
	return problem(why, EUCLEAN, "target of inode %" PRIu64 ": %s", t.ino, wrong);
}

/* Memory for its units is taken up to its end, so that must not be just anywhere; filling its holes
 * first, it never has more blocks than there are. */
static const char *check_contents_extent(
	const struct meta *m, const struct file_extent *e, bool removed)
{
	struct alloc_stats stats;

	alloc_get_stats(m->alloc, &stats);
	if (e->file_block + e->count > stats.data)
		return "it lies further from the content store's beginning than there are blocks";
	if (removed && !units_is_empty(&m->units, e->file_block, e->count))
		return "it is removed while files have content in it";
	return NULL;
}

/* No block ever has two owners, and nothing that somebody may map is ever freed. */
static int check_extent(
	const struct meta *m, const struct gm_extent *from, bool removed, struct problem *why)
{
	struct file_extent e = {.count = 0};
	uint64_t ino = get_le64(from->ino);
	const char *wrong = codec_decode_extent(&ino, &e, from);
	struct alloc_extent a = {.block = e.block, .region = e.region, .count = e.count};
	const struct inode *file = meta_inode(m, ino);

	if (!wrong && (!file || !inode_has_memory(file)))
		wrong = "its inode is not there or is no file with memory";
	if (!wrong && !alloc_is_data(m->alloc, a.region, a.block, a.count))
		wrong = "it lies outside the data blocks";
	if (!wrong &&
		(!alloc_is_aligned(m->alloc, &a) || e.file_block % alloc_granule(m->alloc) != 0))
		wrong = "it is not made of whole groups, as all extents of this pool are";
	if (!wrong && !removed && !alloc_is_free(m->alloc, &a))
		wrong = "a block of it is not free";
	if (!wrong && !removed && extents_overlap(file, e.file_block, e.count))
		wrong = "the file has blocks there already";
	if (!wrong && removed && !extents_contain(file, &e))
		wrong = "it is removed but not there";
	if (!wrong && removed && inode_is_held(file))
		wrong = "it is removed while somebody may map it";
	if (!wrong && inode_is_contents(file))
		wrong = check_contents_extent(m, &e, removed);
	if (!wrong)
		return 0;
	return problem(why, EUCLEAN,
		"extent of inode %" PRIu64 " at file block %" PRIu64 " (region %" PRIu32
		", block %" PRIu64 ", %" PRIu32 " blocks): %s",
		ino, e.file_block, e.region, e.block, e.count, wrong);
}

/* No unit ever belongs to two files, and all lie in what the content store has. */
static int check_piece(
	const struct meta *m, const struct gm_piece *from, bool removed, struct problem *why)
{
	struct file_extent e = {.count = 0};
	uint64_t ino = get_le64(from->ino);
	const char *wrong = codec_decode_piece(&ino, &e, from);
	const struct inode *file = meta_inode(m, ino);

	if (!wrong && (!file || !inode_has_content(file)))
		wrong = "its inode is not there or is no file with content";
	if (!wrong && !removed && !units_is_free(&m->units, e.block, e.count))
		wrong = "a unit of it is not free, or not the content store's";
	if (!wrong && !removed && extents_overlap(file, e.file_block, e.count))
		wrong = "the file has content there already";
	if (!wrong && removed && !extents_contain(file, &e))
		wrong = "it is removed but not there";
	if (!wrong)
		return 0;
	return problem(why, EUCLEAN,
		"piece of inode %" PRIu64 " at file unit %" PRIu64 " (store unit %" PRIu64
		", %" PRIu32 " units): %s",
		ino, e.file_block, e.block, e.count, wrong);
}

static int check_blocks(const struct meta *m, const struct gm_blocks *b, struct problem *why)
{
	struct alloc_extent a = {.block = get_le64(b->block),
		.region = get_le16(b->region),
		.count = get_le32(b->count)};
	unsigned state = get_le16(b->state);
	const char *wrong = NULL;

	if (a.count == 0 || !alloc_is_data(m->alloc, a.region, a.block, a.count))
		wrong = "they lie outside the data blocks";
	else if (state < GM_BLOCKS_CLEAN || state > GM_BLOCKS_RELEASED)
		wrong = "their new state is unknown";
	else if (state == GM_BLOCKS_QUARANTINED && !alloc_is_free(m->alloc, &a))
		wrong = "they are quarantined but not free";
	else if (state == GM_BLOCKS_RELEASED && !alloc_is_quarantined(m->alloc, &a))
		wrong = "they are released but not quarantined";
	if (!wrong)
		return 0;
	return problem(why, EUCLEAN,
		"blocks (region %" PRIu32 ", block %" PRIu64 ", %" PRIu32 " blocks): %s", a.region,
		a.block, a.count, wrong);
}

static int check_boot(const struct meta *m, const struct gm_boot *b, struct problem *why)
{
	if (get_le64(b->reserved) != 0)
		return problem(why, EUCLEAN, "boot: its reserved bytes are not zero");
	if (get_le64(b->mount_number) <= m->mount_number)
		return problem(why, EUCLEAN, "boot: its mount number goes back");
	if (get_le64(b->mount_number) > CODEC_MOUNTS_MAX)
		return problem(why, EUCLEAN, "boot: its mount number is out of range");
	return 0;
}

int meta_check(const struct meta *m, const struct gm_item *item, size_t room, struct problem *why)
{
	const char *wrong = NULL;
	const void *payload = codec_item_payload(item, room, &wrong);
	unsigned type;

	if (!payload)
		return problem(why, EUCLEAN, "item: %s", wrong);
	type = get_le16(item->type);
	switch (type) {
	case GM_ITEM_INODE:
		return check_inode(m, payload, why);
	case GM_ITEM_INODE_REMOVED:
		return check_inode_removed(m, get_le64(((const struct gm_ino *)payload)->ino), why);
	case GM_ITEM_DIRENT:
		return check_dirent(m, payload, get_le32(item->length) - sizeof(*item), why);
	case GM_ITEM_DIRENT_REMOVED:
		return check_dirent_removed(m, payload, why);
	case GM_ITEM_XATTR:
	case GM_ITEM_XATTR_REMOVED:
		return check_xattr(m, payload, get_le32(item->length) - sizeof(*item),
			type == GM_ITEM_XATTR_REMOVED, why);
	case GM_ITEM_TARGET:
		return check_target(m, payload, get_le32(item->length) - sizeof(*item), why);
	case GM_ITEM_EXTENT:
	case GM_ITEM_EXTENT_REMOVED:
		return check_extent(m, payload, type == GM_ITEM_EXTENT_REMOVED, why);
	case GM_ITEM_PIECE:
	case GM_ITEM_PIECE_REMOVED:
		return check_piece(m, payload, type == GM_ITEM_PIECE_REMOVED, why);
	case GM_ITEM_BLOCKS:
		return check_blocks(m, payload, why);
	default:
		return check_boot(m, payload, why);
	}
}

/* ---- the whole ---- */

#define SEEN_NAMED (1U << 31) /* in inode.seen: the one entry of a directory was met */

/* The entry's two ends agree; counts the links that its inode has: of files the entries, of
 * directories those that are directories in it. */
static int verify_dirent(const struct meta *m, const struct dirent *d, struct problem *why)
{
	struct inode *child = meta_inode(m, d->ino);
	const struct inode *dir = meta_inode(m, d->parent);

	if (!child)
		return problem(why, EUCLEAN,
			"entry \"%.*s\" in inode %" PRIu64 ": inode %" PRIu64 " is not there",
			d->name_len, d->name, d->parent, d->ino);
	if (d->cookie >= dir->attr.next_cookie)
		return problem(why, EUCLEAN,
			"entry \"%.*s\" in inode %" PRIu64 ": its cookie is still to come",
			d->name_len, d->name, d->parent);
	if (inode_is_dir(child)) {
		if (child->attr.parent != d->parent || d->ino == GM_ROOT_INO)
			return problem(why, EUCLEAN,
				"directory inode %" PRIu64 " has an entry in inode %" PRIu64
				", which is not its parent",
				d->ino, d->parent);
		if (child->seen & SEEN_NAMED)
			return problem(why, EUCLEAN,
				"directory inode %" PRIu64 " has two entries in inode %" PRIu64,
				d->ino, d->parent);
		child->seen |= SEEN_NAMED;
		meta_inode(m, d->parent)->seen++;
	} else {
		child->seen++;
	}
	return 0;
}

/* A directory has one link for its entry, one for ".", one for each subdirectory's ".."; the root
 * is its own parent. One without an entry was removed: it was empty. */
static int verify_inode(const struct inode *i, struct problem *why)
{
	bool dir = inode_is_dir(i), named = i->attr.ino == GM_ROOT_INO || i->seen & SEEN_NAMED;
	uint32_t links = (i->seen & ~SEEN_NAMED) + (dir && named ? 2 : 0);

	if (dir && !named && i->entry_count > 0)
		return problem(why, EUCLEAN,
			"directory inode %" PRIu64 " has %" PRIu32 " entries, but none names it",
			i->attr.ino, i->entry_count);
	if (i->attr.links != links)
		return problem(why, EUCLEAN,
			"inode %" PRIu64 ": it has %" PRIu32 " links, its entries make %" PRIu32,
			i->attr.ino, i->attr.links, links);
	if (inode_is_symlink(i) && !i->target)
		return problem(why, EUCLEAN, "inode %" PRIu64 ": it is a symlink without a target",
			i->attr.ino);
	return 0;
}

/*
 * Each directory's entry is in its parent (verify_dirent) and there is one; so it hangs from the
 * root unless its parents form a ring. The parents of one that was removed lead to the root too, or
 * to one that is gone. Walking up from each marks what was seen to end.
 */
static int verify_tree(const struct meta *m, struct problem *why)
{
	struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		i->seen = i->attr.ino == GM_ROOT_INO;
	for (size_t c = 0; (i = meta_each_inode(m, &c));) {
		struct inode *up = i;
		uint64_t steps = 0;

		if (!inode_is_dir(i))
			continue;
		while (up && inode_is_dir(up) && !up->seen && steps++ <= m->inode_count)
			up = meta_inode(m, up->attr.parent);
		if (up ? !up->seen : i->attr.links > 0)
			return problem(why, EUCLEAN,
				"directory inode %" PRIu64 " does not hang from the root",
				i->attr.ino);
		for (struct inode *k = i; k && !k->seen; k = meta_inode(m, k->attr.parent))
			k->seen = 1;
	}
	return 0;
}

int meta_verify(struct meta *m, struct problem *why)
{
	const struct inode *root = meta_inode(m, GM_ROOT_INO);
	struct dirent *d;
	struct inode *i;
	int r;

	if (!root || !inode_is_dir(root) || root->attr.parent != GM_ROOT_INO)
		return problem(why, EUCLEAN, "there is no root directory");
	if (m->next_ino > CODEC_NUMBERS_MAX)
		return problem(why, EUCLEAN, "the next inode number is %" PRIu64 ", which can't be",
			m->next_ino);
	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		i->seen = 0;
	for (size_t c = 0; (d = table_each(&m->dirents, &c));) {
		r = verify_dirent(m, d, why);
		if (r < 0)
			return r;
	}
	for (size_t c = 0; (i = meta_each_inode(m, &c));) {
		r = verify_inode(i, why);
		if (r < 0)
			return r;
	}
	return verify_tree(m, why);
}
