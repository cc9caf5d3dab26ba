// SPDX-License-Identifier: MIT
/* Writing a checkpoint: streams the image through a small buffer, so that it needs no memory of its
 * size. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "store/checkpoint.h"
#include "store/codec.h"
#include "store/dir.h"
#include "store/xattrs.h"

struct checkpoint_place {
	uint64_t ino;
	const struct inode *inode;
};

int checkpoint_order_reserve(struct checkpoint_order *o, uint64_t inodes)
{
	struct checkpoint_place *bigger;

	if (inodes <= o->capacity)
		return 0;
	inodes += inodes / 2; /* asked for again and again while a pool fills */
	bigger = reallocarray(o->places, inodes, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	o->places = bigger;
	o->capacity = inodes;
	return 0;
}

void checkpoint_order_deinit(struct checkpoint_order *o)
{
	free(o->places);
	*o = (struct checkpoint_order){.places = NULL};
}

static int compare_places(const void *a, const void *b)
{
	uint64_t x = ((const struct checkpoint_place *)a)->ino,
		 y = ((const struct checkpoint_place *)b)->ino;

	return (x > y) - (x < y);
}

static void order_inodes(struct checkpoint_order *o, const struct meta *m)
{
	const struct inode *i;
	uint64_t n = 0;

	assert(o->capacity >= m->inode_count);
	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		o->places[n++] = (struct checkpoint_place){.ino = i->attr.ino, .inode = i};
	qsort(o->places, n, sizeof(*o->places), compare_places);
}

/* ---- one section after the other ---- */

struct writer {
	struct media *media;
	uint64_t slot_offset;
	uint64_t at; /* from the start of the slot, without what is in the buffer */
	struct gm_checkpoint header;
	struct gm_section *section; /* the open one */
	XXH3_state_t sum;
	size_t buffered;
	uint8_t buffer[CODEC_XATTR_BYTES_MAX]; /* the largest record */
};
static_assert(CODEC_XATTR_BYTES_MAX % 8 == 0, "sections begin at multiples of 8");

static void flush(struct writer *w)
{
	media_copy(w->media, w->slot_offset + w->at, w->buffer, w->buffered);
	(void)XXH3_64bits_update(&w->sum, w->buffer, w->buffered);
	w->at += w->buffered;
	w->buffered = 0;
}

static void *room_for(struct writer *w, size_t size)
{
	void *to;

	assert(size <= sizeof(w->buffer));
	if (size > sizeof(w->buffer) - w->buffered)
		flush(w);
	to = w->buffer + w->buffered;
	w->buffered += size;
	return to;
}

static void begin_section(struct writer *w, enum gm_section_type type, size_t record_size)
{
	uint32_t n = get_le32(w->header.section_count);

	w->section = &w->header.sections[n];
	*w->section = (struct gm_section){.type = put_le32(type),
		.record_size = put_le32((uint32_t)record_size),
		.offset = put_le64(w->at)};
	w->header.section_count = put_le32(n + 1);
	(void)XXH3_64bits_reset(&w->sum);
}

static void end_section(struct writer *w, uint64_t count)
{
	flush(w);
	w->section->length = put_le64(w->at - get_le64(w->section->offset));
	w->section->count = put_le64(count);
	w->section->checksum = put_le64(XXH3_64bits_digest(&w->sum));
}

static void write_inodes(struct writer *w, const struct meta *m, const struct checkpoint_order *o)
{
	begin_section(w, GM_SECTION_INODES, sizeof(struct gm_inode));
	for (uint64_t n = 0; n < m->inode_count; n++)
		codec_encode_inode(room_for(w, sizeof(struct gm_inode)), &o->places[n].inode->attr);
	end_section(w, m->inode_count);
}

static void write_dirents(struct writer *w, const struct meta *m, const struct checkpoint_order *o)
{
	begin_section(w, GM_SECTION_DIRENTS, 0);
	for (uint64_t n = 0; n < m->inode_count; n++) {
		const struct inode *dir = o->places[n].inode;

		for (const struct dirent *d = inode_is_dir(dir) ? dir_next(dir, 0) : NULL; d;
			d = dir_next(dir, d->cookie)) {
			struct codec_dirent c = {.parent = d->parent,
				.ino = d->ino,
				.cookie = d->cookie,
				.name = d->name,
				.name_len = d->name_len,
				.type = d->type};

			codec_encode_dirent(room_for(w, codec_dirent_bytes(d->name_len)), &c);
		}
	}
	end_section(w, m->dirent_count);
}

static void write_extents(struct writer *w, const struct meta *m, const struct checkpoint_order *o)
{
	begin_section(w, GM_SECTION_EXTENTS, sizeof(struct gm_extent));
	for (uint64_t n = 0; n < m->inode_count; n++) {
		const struct inode *file = o->places[n].inode;

		for (uint32_t k = 0; inode_has_memory(file) && k < file->extent_count; k++)
			codec_encode_extent(room_for(w, sizeof(struct gm_extent)), file->attr.ino,
				&file->extents[k]);
	}
	end_section(w, m->extent_count);
}

/* Not there if no file has content. */
static void write_pieces(struct writer *w, const struct meta *m, const struct checkpoint_order *o)
{
	if (m->piece_count == 0)
		return;
	begin_section(w, GM_SECTION_PIECES, sizeof(struct gm_piece));
	for (uint64_t n = 0; n < m->inode_count; n++) {
		const struct inode *file = o->places[n].inode;

		for (uint32_t k = 0; inode_has_content(file) && k < file->extent_count; k++)
			codec_encode_piece(room_for(w, sizeof(struct gm_piece)), file->attr.ino,
				&file->extents[k]);
	}
	end_section(w, m->piece_count);
}

/* Block maps go through the buffer in one piece where they fit, in several where they don't. */
static void write_map(
	struct writer *w, const struct meta *m, enum gm_section_type type, enum alloc_map map)
{
	uint64_t bytes = 0;

	begin_section(w, type, 0);
	for (uint32_t r = 0; r < alloc_region_count(m->alloc); r++) {
		uint64_t length = alloc_map_bytes(m->alloc, r);

		for (uint64_t at = 0; at < length;) {
			uint64_t n =
				length - at < sizeof(w->buffer) ? length - at : sizeof(w->buffer);

			alloc_copy_map(m->alloc, r, map, at, n, room_for(w, n));
			at += n;
		}
		bytes += length;
	}
	end_section(w, bytes);
}

static void write_results(struct writer *w, const struct gm_result *result)
{
	bool any = get_le64(result->unique) != 0;

	begin_section(w, GM_SECTION_RESULTS, sizeof(*result));
	if (any)
		memcpy(room_for(w, sizeof(*result)), result, sizeof(*result));
	end_section(w, any);
}

/* Not there if there are none, as in most pools. */
static void write_xattrs(struct writer *w, const struct meta *m, const struct checkpoint_order *o)
{
	if (m->xattr_count == 0)
		return;
	begin_section(w, GM_SECTION_XATTRS, 0);
	for (uint64_t n = 0; n < m->inode_count; n++)
		for (const struct xattr *x = xattrs_first(m, o->places[n].ino); x; x = x->next)
			codec_encode_xattr(
				room_for(w, codec_xattr_bytes(x->name_len, x->value_len)),
				&(struct codec_xattr){.ino = x->ino,
					.name = x->name,
					.value = xattr_value(x),
					.value_len = x->value_len,
					.name_len = x->name_len});
	end_section(w, m->xattr_count);
}

/* Not there if there are none: most pools have no symlink. */
static void write_targets(struct writer *w, const struct meta *m, const struct checkpoint_order *o)
{
	if (m->target_count == 0)
		return;
	begin_section(w, GM_SECTION_TARGETS, 0);
	for (uint64_t n = 0; n < m->inode_count; n++) {
		const struct inode *i = o->places[n].inode;
		struct codec_target t = {.ino = i->attr.ino, .length = (uint32_t)i->attr.size};

		if (!inode_is_symlink(i))
			continue;
		t.text = i->target;
		codec_encode_target(room_for(w, codec_target_bytes(t.length)), &t);
	}
	end_section(w, m->target_count);
}

static void write_header(struct writer *w, const struct store_super *super, const struct meta *m,
	const struct checkpoint_info *info)
{
	struct gm_checkpoint *h = &w->header;

	memcpy(h->magic, GM_CHECKPOINT_MAGIC, sizeof(h->magic));
	memcpy(h->uuid, super->uuid, sizeof(h->uuid));
	memcpy(h->boot_id, m->boot_id, sizeof(h->boot_id));
	memcpy(h->token, m->token, sizeof(h->token));
	h->generation = put_le64(info->generation);
	h->sequence = put_le64(info->sequence);
	h->length = put_le64(w->at);
	h->next_ino = put_le64(m->next_ino);
	h->mount_number = put_le64(m->mount_number);
	h->flags = put_le64(m->frozen ? GM_CHECKPOINT_FROZEN : 0);
	for (uint32_t r = 0; r < super->region_count; r++)
		h->region_blocks[r] = put_le64(super->regions[r].blocks);
	h->checksum = codec_seal(h, sizeof(*h));
	media_copy(w->media, w->slot_offset, h, sizeof(*h));
}

void checkpoint_write(struct media *media, const struct store_super *super, const struct meta *m,
	const struct checkpoint_info *info, struct checkpoint_order *o)
{
	struct writer w = {.media = media,
		.slot_offset = super->plan.slot_offset[info->slot],
		.at = sizeof(struct gm_checkpoint)};

	assert(meta_image_bytes(m) <= super->plan.slot_size);
	order_inodes(o, m);
	write_inodes(&w, m, o);
	write_dirents(&w, m, o);
	write_extents(&w, m, o);
	write_map(&w, m, GM_SECTION_USED, ALLOC_MAP_USED);
	write_map(&w, m, GM_SECTION_CLEAN, ALLOC_MAP_CLEAN);
	write_map(&w, m, GM_SECTION_POISONED, ALLOC_MAP_POISONED);
	write_map(&w, m, GM_SECTION_QUARANTINED, ALLOC_MAP_QUARANTINED);
	write_results(&w, &info->result);
	write_xattrs(&w, m, o);
	write_targets(&w, m, o);
	write_pieces(&w, m, o);
	write_header(&w, super, m, info);
	media_fence(media);
}
