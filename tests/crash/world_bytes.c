// SPDX-License-Identifier: MIT
/*
 * The memory of files with content. In an image that has room for it, it lies behind the metadata
 * area, a block of the content store behind the other, and is recorded like these; in another one,
 * which is about metadata alone, it is the heap's.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "world_steps.h"

/* Of the recorded memory: media operations of a window get no context. One world is run at a time.
 */
static struct recorder *recorded;

static uint64_t place_of(const struct media *m, uint64_t offset)
{
	return (uint64_t)(m->base - (const uint8_t *)recorded->image->words) + offset;
}

static bool is_recorded(uint64_t at)
{
	uint64_t word = at % GM_UNIT_SIZE / 8 % 64;

	return word == trace_unit_word(0) || word == trace_unit_word(1);
}

/* A word of which some bytes are stored; the others are what they are. */
static void store_part(uint64_t at, const uint8_t *from, uint64_t first, uint64_t end)
{
	uint64_t word = recorded->image->words[at / 8];

	memcpy((uint8_t *)&word + first, from, end - first);
	if (recorded->fault && recorded->fault->copy)
		recorded->fault->copy(recorded, at, &word, sizeof(word));
	else
		recorder_store(recorded, at, word);
}

static void bytes_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	uint64_t start = place_of(m, offset), end = start + length;

	for (uint64_t at = start & ~7ULL; at < end; at += 8) {
		uint64_t first = at < start ? start - at : 0, last = end - at < 8 ? end - at : 8;

		if (is_recorded(at))
			store_part(at, (const uint8_t *)from + (at + first - start), first, last);
	}
}

static void bytes_flush(struct media *m, uint64_t offset, uint64_t length)
{
	if (recorded->fault && recorded->fault->flush)
		recorded->fault->flush(recorded, place_of(m, offset), length);
	else
		recorder_flush(recorded, place_of(m, offset), length);
}

static void bytes_fence(struct media *m)
{
	(void)m;
	if (recorded->fault && recorded->fault->fence)
		recorded->fault->fence(recorded);
	else
		recorder_fence(recorded);
}

static const struct media_ops bytes_ops = {
	.copy = bytes_copy, .flush = bytes_flush, .fence = bytes_fence};

static int map_recorded(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	struct image *image = recorded->image;
	uint64_t at = WORLD_AREA + file_block * GM_BLOCK_SIZE;

	(void)data, (void)gap;
	if (at + GM_BLOCK_SIZE > image->size)
		return -ENOMEM;
	*ret = (struct content_window){
		.file_block = file_block, .count = 1, .address = (uint8_t *)image->words + at};
	return 0;
}

static void unmap_recorded(void *data, const struct content_window *w)
{
	(void)data, (void)w;
}

static int map_block(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	(void)data, (void)gap;
	*ret = (struct content_window){
		.file_block = file_block, .count = 1, .address = malloc(GM_BLOCK_SIZE)};
	return ret->address ? 0 : -ENOMEM;
}

static void unmap_block(void *data, const struct content_window *w)
{
	(void)data;
	free(w->address);
}

int world_make_memory(struct world *w)
{
	static const struct content_source in_image = {
		.map = map_recorded, .unmap = unmap_recorded, .ops = &bytes_ops};
	static const struct content_source heap = {
		.map = map_block, .unmap = unmap_block, .ops = &media_memory_ops};
	const bool room = w->recorder.image->size > WORLD_AREA;
	int r = content_memory_new(&w->memory, store_meta(w->store), room ? &in_image : &heap);

	recorded = &w->recorder;
	w->ns.memory = w->memory;
	return r;
}

/* ---- what stands in files ---- */

/* Each unit of each piece, in the order of the view. */
void world_note_bytes(struct world *w, struct trace_state *s)
{
	struct trace *t = w->recorder.trace;

	s->bytes = (struct trace_bytes){.first = t ? t->unit_count : 0};
	for (uint32_t n = 0; t && n < s->view.piece_count; n++) {
		const struct view_piece *p = &s->view.pieces[n];

		for (uint64_t k = 0; k < p->count; k++) {
			uint64_t at = WORLD_AREA + (p->store_unit + k) * GM_UNIT_SIZE;

			if (at + GM_UNIT_SIZE > w->recorder.image->size)
				return;
			trace_add_unit(
				t, p->ino, p->file_unit + k, w->recorder.image->words + at / 8);
			s->bytes.count++;
		}
	}
}
