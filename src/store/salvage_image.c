// SPDX-License-Identifier: MIT
/*
 * Loading what is left of a checkpoint, object by object, each through the checks that recovery
 * makes. What fails is left out and told; what it owned is named, so that it is never given out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/dir.h"
#include "store/salvage_internal.h"
#include "store/xattrs.h"

/* ---- one object ---- */

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
	if (S_ISDIR(a.mode) && a.next_cookie > CODEC_NUMBERS_MAX / 2)
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

static int load_inodes(struct salvage *s, struct problem *why)
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
static bool next_dirent(
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

	for (uint64_t at = 0; next_dirent(section, &at, &d); at += codec_dirent_bytes(d.name_len))
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

/* The only one that owns blocks and has no name, where pieces tell that there is a content store.
 */
static bool is_lost_contents(const struct salvage *s, uint64_t ino)
{
	return s->meta.contents == 0 && s->base.sections[GM_SECTION_PIECES].count > 0 &&
	       !has_entry(s, ino);
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

		if (!wrong && of == ino && e.file_block + e.count > end)
			end = e.file_block + e.count;
	}
	return end;
}

static int make_owners(struct salvage *s, bool pieces, struct problem *why)
{
	const struct checkpoint_section *section =
		&s->base.sections[pieces ? GM_SECTION_PIECES : GM_SECTION_EXTENTS];
	uint64_t unit = pieces ? GM_UNIT_SIZE : GM_BLOCK_SIZE;
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
		if (!pieces && is_lost_contents(s, ino)) {
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

	for (uint64_t at = 0; r == 0 && next_dirent(section, &at, &d);
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

/* ---- entries ---- */

static int load_dirent(struct salvage *s, const struct codec_dirent *from)
{
	struct inode *dir = meta_inode(&s->meta, from->parent);
	struct codec_dirent d = *from;
	struct problem why = PROBLEM_INIT;
	uint8_t bytes[sizeof(struct gm_dirent) + GM_NAME_MAX + 8];
	int r;

	if (dir && inode_is_dir(dir) &&
		(d.cookie <= dir_last_cookie(dir) || d.cookie > CODEC_NUMBERS_MAX / 2))
		d.cookie = dir_last_cookie(dir) < GM_FIRST_COOKIE ? GM_FIRST_COOKIE
								  : dir_last_cookie(dir) + 1;
	codec_encode_dirent(bytes, &d);
	r = salvage_put(s, GM_ITEM_DIRENT, bytes, codec_dirent_bytes(d.name_len), &why);
	if (r == -EUCLEAN) {
		salvage_lost(s, d.parent, "%.400s", why.text);
		r = 0;
	}
	return r;
}

static int load_dirents(struct salvage *s)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_DIRENTS];
	uint64_t at = 0, last = 0, count = 0;
	struct codec_dirent d;
	int r = 0;

	for (; r == 0 && next_dirent(section, &at, &d); at = last) {
		if (at != last)
			salvage_lost(s, 0,
				"%" PRIu64 " bytes of the section of entries (behind entry %" PRIu64
				") can't be read",
				at - last, count);
		r = load_dirent(s, &d);
		last = at + codec_dirent_bytes(d.name_len);
		count++;
	}
	if (r == 0 && last < section->length)
		salvage_lost(s, 0,
			"%" PRIu64 " bytes at the end of the section of entries can't be read",
			section->length - last);
	return r;
}

/* ---- extents and pieces ---- */

/* A part of an extent, from `from` on, in which no block has two owners. */
static uint32_t single_run(const struct salvage *s, const struct file_extent *e, uint32_t from)
{
	uint64_t granule = alloc_granule(s->meta.alloc);
	uint32_t n = from;

	while (n < e->count) {
		for (uint64_t k = n; k < n + granule && k < e->count; k++)
			if (s->named[e->region][e->block + k] > 1)
				return n - from;
		n += (uint32_t)granule;
	}
	return e->count - from;
}

static int put_extent(struct salvage *s, uint64_t ino, const struct file_extent *e)
{
	struct problem why = PROBLEM_INIT;
	struct gm_extent bytes;
	int r;

	codec_encode_extent(&bytes, ino, e);
	r = salvage_put(s, GM_ITEM_EXTENT, &bytes, sizeof(bytes), &why);
	if (r == -EUCLEAN) {
		salvage_lost(s, ino, "%.400s", why.text);
		r = 0;
	}
	return r;
}

static int load_extent(struct salvage *s, uint64_t ino, const struct file_extent *e)
{
	uint32_t granule = (uint32_t)alloc_granule(s->meta.alloc), run;
	int r = 0;

	for (uint32_t at = 0; at < e->count && r == 0; at += run) {
		struct file_extent part = {.file_block = e->file_block + at,
			.block = e->block + at,
			.region = e->region};

		run = single_run(s, e, at);
		part.count = run;
		if (run > 0) {
			r = put_extent(s, ino, &part);
			continue;
		}
		run = granule < e->count - at ? granule : e->count - at;
		salvage_lost(s, ino,
			"inode %" PRIu64 " at offset %" PRIu64 ": block %" PRIu64
			" of region %" PRIu32 " belongs to another file as well; neither keeps it",
			ino, (uint64_t)(part.file_block * GM_BLOCK_SIZE), part.block, part.region);
	}
	return r;
}

static bool read_extent(const struct salvage *s, uint64_t n, uint64_t *ino, struct file_extent *e)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_EXTENTS];
	const struct gm_extent *from = (const struct gm_extent *)(const void *)section->bytes + n;

	return !codec_decode_extent(ino, e, from) &&
	       alloc_is_data(s->meta.alloc, e->region, e->block, e->count);
}

static int load_extents(struct salvage *s)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_EXTENTS];
	struct file_extent e;
	uint64_t ino;
	int r = 0;

	for (uint64_t n = 0; n < section->count; n++)
		if (read_extent(s, n, &ino, &e))
			salvage_name_blocks(s, &e);
	for (uint64_t n = 0; n < section->count && r == 0; n++) {
		if (read_extent(s, n, &ino, &e))
			r = load_extent(s, ino, &e);
		else
			salvage_lost(s, 0, "extent record %" PRIu64 " can't be read", n);
	}
	return r;
}

static int load_pieces(struct salvage *s)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_PIECES];
	int r = 0;

	s->pieces_lost = !s->base.whole[GM_SECTION_PIECES];
	for (uint64_t n = 0; n < section->count && r == 0; n++) {
		struct problem why = PROBLEM_INIT;

		r = salvage_put(s, GM_ITEM_PIECE, section->bytes + n * sizeof(struct gm_piece),
			sizeof(struct gm_piece), &why);
		if (r != -EUCLEAN)
			continue;
		salvage_lost(s,
			get_le64(*(const gm_le64 *)(const void *)(section->bytes +
								  n * sizeof(struct gm_piece))),
			"%.400s", why.text);
		s->pieces_lost = true;
		r = 0;
	}
	return r;
}

/* ---- attributes and targets ---- */

/* A value may hold anything, a record among it: what comes behind damage can't be told apart. */
static int load_xattrs(struct salvage *s)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_XATTRS];
	uint64_t at = 0;

	for (uint64_t n = 0; n < section->count; n++) {
		struct problem why = PROBLEM_INIT;
		struct codec_xattr x;
		const char *wrong =
			codec_decode_xattr(&x, section->bytes + at, section->length - at, false);
		size_t bytes = wrong ? 0 : codec_xattr_bytes(x.name_len, x.value_len);
		int r;

		if (wrong) {
			salvage_lost(s, 0,
				"attribute record %" PRIu64 ": %s; it and those behind it are lost",
				n, wrong);
			return 0;
		}
		if (xattrs_find(&s->meta, x.ino, x.name, x.name_len))
			r = problem(&why, EUCLEAN,
				"attribute \"%.*s\" of inode %" PRIu64 " is there twice",
				x.name_len, x.name, x.ino);
		else
			r = salvage_put(s, GM_ITEM_XATTR, section->bytes + at, bytes, &why);
		if (r == -EUCLEAN)
			salvage_lost(s, x.ino, "%.400s", why.text);
		else if (r < 0)
			return r;
		at += bytes;
	}
	return 0;
}

static int load_targets(struct salvage *s)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_TARGETS];
	struct codec_target t;

	for (uint64_t at = 0; at < section->length;) {
		struct problem why = PROBLEM_INIT;
		int r;

		if (codec_decode_target(&t, section->bytes + at, section->length - at)) {
			at += 8; /* a text has no NUL in it, so it does not pass for a record */
			continue;
		}
		r = salvage_put(
			s, GM_ITEM_TARGET, section->bytes + at, codec_target_bytes(t.length), &why);
		if (r == -EUCLEAN)
			salvage_lost(s, t.ino, "%.400s", why.text);
		else if (r < 0)
			return r;
		at += codec_target_bytes(t.length);
	}
	return 0;
}

/* ---- block maps ---- */

static bool bit(const uint8_t *map, uint64_t n)
{
	return map[n / 8] >> (n % 8) & 1;
}

static uint64_t map_bytes(const struct salvage *s, uint32_t region)
{
	return (get_le64(s->base.header.region_blocks[region]) + 63) / 64 * 8;
}

/* A map that has the right length, be it whole or not. */
static const uint8_t *find_map(const struct salvage *s, enum gm_section_type type)
{
	const struct checkpoint_section *section = &s->base.sections[type];
	uint64_t total = 0;

	for (uint32_t r = 0; r < s->super.region_count; r++)
		total += map_bytes(s, r);
	return section->bytes && section->length == total ? section->bytes : NULL;
}

/* Each data block whose bit is set; a state that it can't be in is not taken. */
static int load_map(struct salvage *s, const uint8_t *map, enum gm_block_state state)
{
	for (uint32_t r = 0; r < s->super.region_count; map += map_bytes(s, r++))
		for (uint64_t n = 0; n < map_bytes(s, r) * 8; n++) {
			struct gm_blocks b = {.block = put_le64(n),
				.count = put_le32(1),
				.region = put_le16((uint16_t)r),
				.state = put_le16((uint16_t)state)};
			int e;

			if (!bit(map, n))
				continue;
			e = salvage_put(s, GM_ITEM_BLOCKS, &b, sizeof(b), NULL);
			if (e < 0 && e != -EUCLEAN)
				return e;
		}
	return 0;
}

/* What is marked as used and has no owner was somebody's. */
static void name_used(struct salvage *s, const uint8_t *map)
{
	for (uint32_t r = 0; r < s->super.region_count; map += map_bytes(s, r++))
		for (uint64_t n = 0; n < map_bytes(s, r) * 8; n++)
			if (bit(map, n) && alloc_is_data(s->meta.alloc, r, n, 1) &&
				s->named[r][n] == 0)
				s->named[r][n] = 1;
}

static int load_maps(struct salvage *s)
{
	const uint8_t *used = find_map(s, GM_SECTION_USED), *clean = find_map(s, GM_SECTION_CLEAN),
		      *poisoned = find_map(s, GM_SECTION_POISONED),
		      *quarantined = find_map(s, GM_SECTION_QUARANTINED);
	int r = 0;

	/* Extents that are whole say it all; the map's damage then means nothing. */
	if (used && (s->base.whole[GM_SECTION_USED] || !s->base.whole[GM_SECTION_EXTENTS]))
		name_used(s, used);
	if (quarantined && s->base.whole[GM_SECTION_QUARANTINED])
		r = load_map(s, quarantined, GM_BLOCKS_QUARANTINED);
	else
		s->unsure = true;
	if (r == 0 && clean && s->base.whole[GM_SECTION_CLEAN])
		r = load_map(s, clean, GM_BLOCKS_CLEAN);
	else
		s->clean_lost = true;
	if (r == 0 && poisoned && s->base.whole[GM_SECTION_POISONED])
		r = load_map(s, poisoned, GM_BLOCKS_POISONED);
	else if (r == 0)
		salvage_lost(s, 0, "which blocks have memory errors");
	return r;
}

/* ---- the whole ---- */

static void tell_sections(struct salvage *s)
{
	for (unsigned t = 1; t < CHECKPOINT_SECTIONS; t++) {
		if (s->base.whole[t])
			continue;
		salvage_lost(s, 0,
			"the checkpoint in slot %u: section %s is damaged; nothing shows that what "
			"can still be read of it is as it was",
			s->slot, checkpoint_section_name(t));
		if (t == GM_SECTION_INODES || t == GM_SECTION_EXTENTS)
			s->unsure = true;
	}
}

static void load_header(struct salvage *s)
{
	const struct gm_checkpoint *h = &s->base.header;
	const struct checkpoint_section *results = &s->base.sections[GM_SECTION_RESULTS];

	s->meta.mount_number = get_le64(h->mount_number);
	memcpy(s->meta.boot_id, h->boot_id, sizeof(s->meta.boot_id));
	memcpy(s->meta.token, h->token, sizeof(s->meta.token));
	s->meta.frozen = get_le64(h->flags) & GM_CHECKPOINT_FROZEN;
	if (s->meta.next_ino < get_le64(h->next_ino))
		s->meta.next_ino = get_le64(h->next_ino);
	if (s->base.whole[GM_SECTION_RESULTS] && results->count > 0)
		memcpy(&s->result, results->bytes + (results->count - 1) * sizeof(s->result),
			sizeof(s->result));
	s->result.reserved = put_le64(0);
}

/* The journal may free what somebody has; what nobody has although something names it is kept. */
static void name_unowned(struct salvage *s)
{
	for (uint32_t r = 0; r < s->super.region_count; r++) {
		struct alloc_extent e = {.region = r, .count = 1, .block = s->super.first_data[r]};

		for (uint64_t n = 0; n < s->super.data_blocks[r]; n++, e.block++)
			if (s->named[r][e.block])
				s->named[r][e.block] = !alloc_is_used(s->meta.alloc, &e);
	}
}

int salvage_load_image(struct salvage *s, struct problem *why)
{
	const uint64_t lost = s->report->lost;
	int r;

	s->loading = true;
	tell_sections(s);
	r = load_inodes(s, why);
	if (r == 0)
		r = make_owners(s, false, why);
	if (r == 0)
		r = make_owners(s, true, why);
	if (r == 0)
		r = make_directories(s, why);
	if (r == 0)
		r = load_dirents(s);
	if (r == 0)
		r = load_extents(s);
	if (r == 0)
		r = load_maps(s);
	if (r == 0)
		r = load_xattrs(s);
	if (r == 0)
		r = load_targets(s);
	if (r == 0)
		r = load_pieces(s);
	if (r == 0) {
		load_header(s);
		name_unowned(s);
	}
	s->loading = false;
	s->base_whole &= s->report->lost == lost;
	return r < 0 && !why->text[0] ? problem(why, -r, "out of memory") : r;
}
