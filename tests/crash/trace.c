// SPDX-License-Identifier: MIT
#include "trace.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "guestmemfs/format.h"

void trace_clear(struct trace *t)
{
	t->count = t->operation_count = t->unit_count = 0;
}

void trace_deinit(struct trace *t)
{
	free(t->events);
	free(t->operations);
	free(t->units);
}

static void add_event(struct trace *t, enum trace_kind kind, uint64_t offset, uint64_t word)
{
	t->events = image_grow(t->events, t->count + 1, &t->capacity, sizeof(*t->events));
	t->events[t->count++] = (struct trace_event){.kind = kind, .offset = offset, .word = word};
}

struct trace_operation *trace_begin(struct trace *t, const char *name)
{
	struct trace_operation *o;

	t->operations = image_grow(t->operations, t->operation_count + 1, &t->operation_capacity,
		sizeof(*t->operations));
	add_event(t, TRACE_BEGIN, t->operation_count, 0);
	o = &t->operations[t->operation_count++];
	(void)snprintf(o->name, sizeof(o->name), "%s", name);
	o->may_refuse = o->unexplored = false;
	return o;
}

void trace_end(struct trace *t)
{
	add_event(t, TRACE_END, t->operation_count - 1, 0);
}

void trace_add_unit(struct trace *t, uint64_t ino, uint64_t file_unit, const uint64_t *unit)
{
	struct trace_unit *u;

	t->units = image_grow(t->units, t->unit_count + 1, &t->unit_capacity, sizeof(*t->units));
	u = &t->units[t->unit_count++];
	*u = (struct trace_unit){.ino = ino, .file_unit = file_unit};
	for (unsigned n = 0; n < TRACE_UNIT_WORDS; n++)
		u->words[n] = unit[trace_unit_word(n)];
}

/* ---- the recorder ---- */

enum trace_place recorder_place(const struct recorder *r, uint64_t offset)
{
	switch (offset & ~0xfffULL) {
	case GM_SUPER_A_OFFSET:
	case GM_SUPER_B_OFFSET:
		return PLACE_SUPER;
	case GM_SLOT_WORD_A_OFFSET:
	case GM_SLOT_WORD_B_OFFSET:
		return PLACE_SLOT_WORD;
	case GM_TAIL_WORD_OFFSET:
		return PLACE_TAIL;
	}
	if (offset >= r->media.size)
		return PLACE_BYTES;
	if (offset < GM_BLOCK_SIZE)
		return PLACE_OTHER;
	return offset < r->slot_offset[0] ? PLACE_JOURNAL : PLACE_SLOT;
}

void recorder_store(struct recorder *r, uint64_t offset, uint64_t word)
{
	image_store(r->image, offset, word);
	if (r->trace)
		add_event(r->trace, TRACE_STORE, offset, word);
	r->last = offset;
}

void recorder_copy(struct recorder *r, uint64_t offset, const void *from, uint64_t length)
{
	const uint8_t *bytes = from;

	assert(offset % 8 == 0 && length % 8 == 0 && offset + length <= r->image->size);
	for (uint64_t n = 0; n < length; n += 8) {
		uint64_t word;

		memcpy(&word, bytes + n, sizeof(word));
		recorder_store(r, offset + n, word);
	}
}

void recorder_flush(struct recorder *r, uint64_t offset, uint64_t length)
{
	if (r->trace)
		add_event(r->trace, TRACE_FLUSH, offset, length);
}

void recorder_put(struct recorder *r, uint64_t offset, uint64_t word)
{
	recorder_store(r, offset, word);
	recorder_flush(r, offset, sizeof(word));
}

void recorder_fence(struct recorder *r)
{
	if (r->trace)
		add_event(r->trace, TRACE_FENCE, 0, 0);
}

static struct recorder *recorder_of(struct media *m)
{
	return (struct recorder *)(void *)((char *)m - offsetof(struct recorder, media));
}

static void media_op_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	struct recorder *r = recorder_of(m);

	if (r->fault && r->fault->copy)
		r->fault->copy(r, offset, from, length);
	else
		recorder_copy(r, offset, from, length);
}

static void media_op_flush(struct media *m, uint64_t offset, uint64_t length)
{
	struct recorder *r = recorder_of(m);

	if (r->fault && r->fault->flush)
		r->fault->flush(r, offset, length);
	else
		recorder_flush(r, offset, length);
}

static void media_op_fence(struct media *m)
{
	struct recorder *r = recorder_of(m);

	if (r->fault && r->fault->fence)
		r->fault->fence(r);
	else
		recorder_fence(r);
}

static void media_op_publish(struct media *m, uint64_t offset, uint64_t value)
{
	struct recorder *r = recorder_of(m);

	if (r->fault && r->fault->publish)
		r->fault->publish(r, offset, htole64(value));
	else
		recorder_store(r, offset, htole64(value));
}

void recorder_init(struct recorder *r, struct image *image, struct trace *trace)
{
	static const struct media_ops ops = {.copy = media_op_copy,
		.flush = media_op_flush,
		.fence = media_op_fence,
		.publish = media_op_publish};

	*r = (struct recorder){
		.media = {.ops = &ops, .base = (uint8_t *)image->words, .size = image->size},
		.image = image,
		.trace = trace};
}

void recorder_deinit(struct recorder *r)
{
	free(r->held);
}
