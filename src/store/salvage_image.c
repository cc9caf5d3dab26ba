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

/* ---- entries ---- */

static int load_dirent(struct salvage *s, const struct codec_dirent *from)
{
	struct inode *dir = meta_inode(&s->meta, from->parent);
	struct codec_dirent d = *from;
	struct problem why = PROBLEM_INIT;
	uint8_t bytes[sizeof(struct gm_dirent) + GM_NAME_MAX + 8];
	int r;

	if (dir && inode_is_dir(dir) &&
		(d.cookie <= dir_last_cookie(dir) || d.cookie >= CODEC_NUMBERS_MAX / 4))
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

	for (; r == 0 && salvage_next_dirent(section, &at, &d); at = last) {
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

static const struct gm_extent *extent_record(const struct salvage *s, uint64_t n)
{
	return (const struct gm_extent *)(const void *)s->base.sections[GM_SECTION_EXTENTS].bytes +
	       n;
}

static bool read_extent(const struct salvage *s, uint64_t n, uint64_t *ino, struct file_extent *e)
{
	return !codec_decode_extent(ino, e, extent_record(s, n)) &&
	       alloc_is_data(s->meta.alloc, e->region, e->block, e->count);
}

/* Where the superblock was made from what an operator has said, files may have what would be
 * metadata, and be written over: then it was another number. */
static int check_places(const struct salvage *s, struct problem *why)
{
	const struct checkpoint_section *section = &s->base.sections[GM_SECTION_EXTENTS];
	struct file_extent e;
	uint64_t ino;

	for (uint64_t n = 0;
		s->super_anew && s->base.whole[GM_SECTION_EXTENTS] && n < section->count; n++)
		if (!read_extent(s, n, &ino, &e) &&
			!codec_decode_extent(&ino, &e, extent_record(s, n)))
			return problem(why, EUCLEAN,
				"inode %" PRIu64 " has block %" PRIu64 " of region %" PRIu32
				", where no file can have any if the pool was made for %" PRIu64
				" files and has these regions: nothing was changed; say "
				"--max-files as at the format",
				ino, e.block, e.region, s->super.plan.max_files);
	return 0;
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
			s->unsure = s->moved = true;
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

int salvage_load_image(struct salvage *s, struct problem *why)
{
	const uint64_t lost = s->report->lost;
	int r;

	s->loading = true;
	tell_sections(s);
	r = check_places(s, why);
	if (r == 0)
		r = salvage_load_inodes(s, why);
	if (r == 0)
		r = salvage_make_named(s, why);
	if (r == 0)
		r = load_dirents(s);
	if (r == 0)
		r = load_extents(s);
	if (r == 0)
		r = salvage_load_maps(s);
	if (r == 0)
		r = load_xattrs(s);
	if (r == 0)
		r = load_targets(s);
	if (r == 0)
		r = load_pieces(s);
	if (r == 0) {
		load_header(s);
		salvage_name_unowned(s);
	}
	s->loading = false;
	s->base_whole &= s->report->lost == lost;
	return r < 0 && !why->text[0] ? problem(why, -r, "out of memory") : r;
}
