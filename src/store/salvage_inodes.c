// SPDX-License-Identifier: MIT
/* Inodes: those that the checkpoint has, and new ones for those whose records are lost and that
 * something names: blocks, pieces, entries. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/codec.h"
#include "store/salvage_internal.h"

/* ---- inodes ---- */

/* Only numbers that were ever given out are believed. */
static bool was_given(const struct salvage *s, uint64_t ino)
{
	return ino >= GM_ROOT_INO && ino < get_le64(s->base.header.next_ino);
}

static int load_inode(struct salvage *s, uint64_t n, const struct gm_inode *from)
{
	struct problem why = PROBLEM_INIT;
	struct inode_attr a = {.ino = 0};
	const char *wrong = codec_decode_inode(&a, from);
	struct gm_inode bytes;
	int r;

	if (!wrong && !was_given(s, a.ino))
		wrong = "its number was never given out";
	if (!wrong && meta_inode(&s->meta, a.ino))
		wrong = "its number is there twice";
	if (wrong) {
		salvage_lost(s, 0, "inode record %" PRIu64 " (inode %" PRIu64 " as it says): %s", n,
			get_le64(from->ino), wrong);
		return 0;
	}
	/* Where its entries end is seen when all are there. */
	if (S_ISDIR(a.mode) && a.next_cookie >= CODEC_NUMBERS_MAX / 4)
		a.next_cookie = GM_FIRST_COOKIE;
	codec_encode_inode(&bytes, &a);
	r = salvage_put(s, GM_ITEM_INODE, &bytes, sizeof(bytes), &why);
	if (r == -EUCLEAN) {
		salvage_lost(s, 0, "inode record %" PRIu64 ": %.300s", n, why.text);
		r = 0;
	}
	return r;
}

static int make_root(struct salvage *s, struct problem *why)
{
	const struct inode *root = meta_inode(&s->meta, GM_ROOT_INO);
	int r;

	if (root && inode_is_dir(root))
		return 0;
	if (root)
		return problem(why, EUCLEAN,
			"inode 1 is no directory: nothing can be kept, and nothing was changed");
	r = salvage_make_inode(s, GM_ROOT_INO, S_IFDIR | 0755, 0, 0, why);
	if (r == 0)
		salvage_lost(s, 0,
			"the root directory's owner, mode and times; it is uid 0's, mode 0755 now");
	return r;
}

int salvage_load_inodes(struct salvage *s, struct problem *why)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_INODES];
	int r = 0;

	for (uint64_t n = 0; n < section->count && r == 0; n++)
		r = load_inode(s, n, (const struct gm_inode *)(const void *)section->bytes + n);
	return r == 0 ? make_root(s, why) : r;
}

/* ---- inodes that others name, and that are not there ---- */

/* The record that begins at *at or, in a damaged section, behind it. A name has no NUL in it, so
 * that nothing that a user chose can pass for a record. */
bool salvage_next_dirent(
	const struct checkpoint_section *section, uint64_t *at, struct codec_dirent *d)
{
	for (; *at < section->length; *at += 8)
		if (!codec_decode_dirent(d, section->bytes + *at, section->length - *at) &&
			d->parent != 0 && d->ino != 0)
			return true;
	return false;
}

static bool has_entry(const struct salvage *s, uint64_t ino)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_DIRENTS];
	struct codec_dirent d;

	for (uint64_t at = 0; salvage_next_dirent(section, &at, &d);
		at += codec_dirent_bytes(d.name_len))
		if (d.ino == ino)
			return true;
	return false;
}

static int make_file(
	struct salvage *s, uint64_t ino, uint64_t size, uint64_t flags, struct problem *why)
{
	int r = salvage_make_inode(s, ino, S_IFREG | 0600, size, flags, why);

	if (r == 0)
		salvage_lost(s, ino,
			"inode %" PRIu64 ": its owner, mode, times and exact size; what it has is "
			"kept, it is the root's owner's now, mode 0600, %" PRIu64 " bytes",
			ino, size);
	return r;
}

/* The only one that owns blocks and has no name, where pieces tell that there is a content store;
 * 0: none, or there are several: one of them may be a guest's that was unlinked while in use. */
static uint64_t find_lost_contents(const struct salvage *s)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_EXTENTS];
	uint64_t ino, found = 0;
	struct file_extent e;

	if (s->meta.contents || s->base.sections[GM_SECTION_PIECES].count == 0)
		return 0;
	for (uint64_t n = 0; n < section->count; n++) {
		if (codec_decode_extent(
			    &ino, &e, (const struct gm_extent *)(const void *)section->bytes + n) ||
			ino == found || !was_given(s, ino) || meta_inode(&s->meta, ino) ||
			has_entry(s, ino))
			continue;
		if (found)
			return 0;
		found = ino;
	}
	return found;
}

/* The end of the run of records of this inode from n on; in file units of the section. */
static uint64_t extents_end(
	const struct checkpoint_section *section, uint64_t n, uint64_t ino, bool pieces)
{
	uint64_t end = 0, of;
	struct file_extent e;

	for (; n < section->count; n++) {
		const uint8_t *at = section->bytes + n * sizeof(struct gm_extent);
		const char *wrong = pieces ? codec_decode_piece(&of, &e,
						     (const struct gm_piece *)(const void *)at)
					   : codec_decode_extent(&of, &e,
						     (const struct gm_extent *)(const void *)at);

		if (!wrong && of != ino)
			break;
		if (!wrong && e.file_block + e.count > end)
			end = e.file_block + e.count;
	}
	return end;
}

static int make_owners(struct salvage *s, bool pieces, struct problem *why)
{
	const struct checkpoint_section *section =
		&s->base.sections[pieces ? GM_SECTION_PIECES : GM_SECTION_EXTENTS];
	uint64_t unit = pieces ? GM_UNIT_SIZE : GM_BLOCK_SIZE,
		 contents = pieces ? 0 : find_lost_contents(s);
	int r = 0;

	for (uint64_t n = 0; n < section->count && r == 0; n++) {
		const gm_le64 *first =
			(const gm_le64 *)(const void *)(section->bytes +
							n * sizeof(struct gm_extent));
		uint64_t ino = get_le64(*first), end;

		if (!was_given(s, ino) || ino == GM_ROOT_INO || meta_inode(&s->meta, ino))
			continue;
		end = extents_end(section, n, ino, pieces);
		if (end == 0) /* none of them can be read */
			continue;
		if (ino == contents) {
			r = salvage_make_inode(s, ino, S_IFREG | 0600, 0, GM_INODE_CONTENTS, why);
			salvage_kept(
				s, 0, "inode %" PRIu64 " is made the content store again", ino);
		} else {
			r = make_file(s, ino, end * unit < INT64_MAX ? end * unit : 0,
				pieces ? GM_INODE_IO : 0, why);
		}
	}
	return r;
}

static int make_directories(struct salvage *s, struct problem *why)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_DIRENTS];
	struct codec_dirent d;
	int r = 0;

	for (uint64_t at = 0; r == 0 && salvage_next_dirent(section, &at, &d);
		at += codec_dirent_bytes(d.name_len)) {
		if (!was_given(s, d.parent) || meta_inode(&s->meta, d.parent) ||
			!meta_inode(&s->meta, d.ino))
			continue;
		r = salvage_make_inode(s, d.parent, S_IFDIR | 0700, 0, 0, why);
		if (r == 0)
			salvage_lost(s, d.parent,
				"directory inode %" PRIu64
				": its owner, mode and times; it is the root's owner's now, mode "
				"0700",
				d.parent);
	}
	return r;
}

int salvage_make_named(struct salvage *s, struct problem *why)
{
	int r = make_owners(s, false, why);

	if (r == 0)
		r = make_owners(s, true, why);
	return r == 0 ? make_directories(s, why) : r;
}
