// SPDX-License-Identifier: MIT
#include "faults.h"

#include <endian.h>
#include <string.h>

#include "store/codec.h"
#include "util/cleanup.h"

/* ---- putting stores off ---- */

void fault_hold(struct recorder *r, uint64_t offset, const void *from, uint64_t length)
{
	for (uint64_t n = 0; n < length; n += 8) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)from + n, sizeof(word));
		r->held =
			image_grow(r->held, r->held_count + 1, &r->held_capacity, sizeof(*r->held));
		r->held[r->held_count++] = (struct held){.offset = offset + n, .word = word};
	}
}

void fault_let_go(struct recorder *r)
{
	for (size_t n = 0; n < r->held_count; n++)
		recorder_put(r, r->held[n].offset, r->held[n].word);
	r->held_count = 0;
	recorder_fence(r);
}

/* ---- a fence left out ---- */

static void no_fence_after_record(struct recorder *r)
{
	if (recorder_place(r, r->last) != PLACE_JOURNAL)
		recorder_fence(r);
}

static void no_fence_after_tail(struct recorder *r)
{
	if (recorder_place(r, r->last) != PLACE_TAIL)
		recorder_fence(r);
}

static void no_fence_after_image(struct recorder *r)
{
	if (recorder_place(r, r->last) != PLACE_SLOT)
		recorder_fence(r);
}

/* Between the second copy, which goes first, and the first one. */
static void no_fence_between_supers(struct recorder *r)
{
	if (r->last < GM_SUPER_B_OFFSET || recorder_place(r, r->last) != PLACE_SUPER)
		recorder_fence(r);
}

/* ---- a write-back left out ---- */

static void flush_but(
	struct recorder *r, uint64_t offset, uint64_t length, enum trace_place left_out)
{
	if (recorder_place(r, offset) != left_out)
		recorder_flush(r, offset, length);
}

static void no_flush_of_record(struct recorder *r, uint64_t offset, uint64_t length)
{
	flush_but(r, offset, length, PLACE_JOURNAL);
}

static void no_flush_of_tail(struct recorder *r, uint64_t offset, uint64_t length)
{
	flush_but(r, offset, length, PLACE_TAIL);
}

static void no_flush_of_image(struct recorder *r, uint64_t offset, uint64_t length)
{
	flush_but(r, offset, length, PLACE_SLOT);
}

static void no_flush_of_slot_words(struct recorder *r, uint64_t offset, uint64_t length)
{
	flush_but(r, offset, length, PLACE_SLOT_WORD);
}

static void no_flush_of_supers(struct recorder *r, uint64_t offset, uint64_t length)
{
	flush_but(r, offset, length, PLACE_SUPER);
}

static void no_flush_of_bytes(struct recorder *r, uint64_t offset, uint64_t length)
{
	flush_but(r, offset, length, PLACE_BYTES);
}

/* ---- published early ---- */

static void hold_records(struct recorder *r, uint64_t offset, const void *from, uint64_t length)
{
	if (recorder_place(r, offset) == PLACE_JOURNAL)
		fault_hold(r, offset, from, length);
	else
		recorder_copy(r, offset, from, length);
}

/* The header, with the checksum of all, goes first. */
static void hold_payload(struct recorder *r, uint64_t offset, const void *from, uint64_t length)
{
	if (recorder_place(r, offset) != PLACE_JOURNAL) {
		recorder_copy(r, offset, from, length);
		return;
	}
	recorder_copy(r, offset, from, sizeof(struct gm_record));
	fault_hold(r, offset + sizeof(struct gm_record),
		(const uint8_t *)from + sizeof(struct gm_record),
		length - sizeof(struct gm_record));
}

static void publish_then_let_go(struct recorder *r, uint64_t offset, uint64_t word)
{
	recorder_put(r, offset, word);
	if (r->held_count == 0)
		return;
	recorder_fence(r);
	fault_let_go(r);
}

static void hold_bytes(struct recorder *r, uint64_t offset, const void *from, uint64_t length)
{
	if (recorder_place(r, offset) == PLACE_BYTES)
		fault_hold(r, offset, from, length);
	else
		recorder_copy(r, offset, from, length);
}

static void hold_images(struct recorder *r, uint64_t offset, const void *from, uint64_t length)
{
	if (recorder_place(r, offset) == PLACE_SLOT)
		fault_hold(r, offset, from, length);
	else
		recorder_copy(r, offset, from, length);
}

static void hold_sections(struct recorder *r, uint64_t offset, const void *from, uint64_t length)
{
	bool header = offset == r->slot_offset[0] || offset == r->slot_offset[1];

	if (recorder_place(r, offset) == PLACE_SLOT && !header)
		fault_hold(r, offset, from, length);
	else
		recorder_copy(r, offset, from, length);
}

static void hold_slot_words(struct recorder *r, uint64_t offset, uint64_t word)
{
	if (recorder_place(r, offset) == PLACE_SLOT_WORD) {
		fault_hold(r, offset, &word, sizeof(word));
		return;
	}
	recorder_put(r, offset, word);
	recorder_fence(r);
	fault_let_go(r);
}

/* ---- the wrong slot ---- */

static uint64_t other_slot(const struct recorder *r, uint64_t offset)
{
	return offset < r->slot_offset[1] ? offset + r->slot_size : offset - r->slot_size;
}

static void copy_to_other_slot(
	struct recorder *r, uint64_t offset, const void *from, uint64_t length)
{
	bool slot = recorder_place(r, offset) == PLACE_SLOT;
	uint64_t to = slot ? other_slot(r, offset) : offset;

	recorder_copy(r, to, from, length);
	recorder_flush(r, to, length);
}

static void publish_other_slot(struct recorder *r, uint64_t offset, uint64_t word)
{
	struct codec_word w;

	if (recorder_place(r, offset) == PLACE_SLOT_WORD &&
		codec_decode_slot_word(le64toh(word), &w))
		word = htole64(codec_encode_slot_word(w.generation, 1 - (unsigned)w.value));
	recorder_store(r, offset, word);
}

#define CREATE     "create a | create f"
#define CHECKPOINT "create a; size a 2 | checkpoint"
#define REUSE                                                                                      \
	"mkdir d; mark d; contents; room 1; create d/f; write d/f 0 1; unlink d/f; create d/g | "  \
	"write d/g 0 1"
#define GROW "create a | grow 2"

/* What the checks say (judge.c, and recovery's own sentences). */
#define NO_RECORD "recovery refuses the pool: journal record"
#define NO_IMAGE  "recovery refuses the pool: the checkpoint in slot"
#define NO_SLOT   "recovery refuses the pool: the journal's tail word"
#define NO_SUPER  "recovery refuses the pool: both superblocks are damaged"
#define NEITHER   "recovery gives neither the state before"
#define STRANGE   "which stood there neither before"
#define LOST      "which was acknowledged"

const struct writer_fault writer_faults[] = {
	{"no fence between a record and its tail", CREATE, NO_RECORD,
		.fence = no_fence_after_record},
	{"a reply before the tail is safe", CREATE, LOST, .fence = no_fence_after_tail},
	{"a tail published before its record", CREATE, NO_RECORD, .copy = hold_records,
		.publish = publish_then_let_go},
	{"a checksum before its payload", CREATE, NO_RECORD, .copy = hold_payload,
		.publish = publish_then_let_go},
	{"no fence between an image and its slot word", CHECKPOINT, NO_IMAGE,
		.fence = no_fence_after_image},
	{"a slot published before its image", CHECKPOINT, NO_IMAGE, .copy = hold_images,
		.publish = publish_then_let_go},
	{"a checkpoint's header before its sections", CHECKPOINT, NO_IMAGE, .copy = hold_sections,
		.publish = publish_then_let_go},
	{"a new journal before its slot", CHECKPOINT, NO_SLOT, .publish = hold_slot_words},
	{"a checkpoint over the slot in force", CHECKPOINT, NO_IMAGE, .copy = copy_to_other_slot,
		.publish = publish_other_slot},
	{"both superblocks at once", GROW, NO_SUPER, .fence = no_fence_between_supers},
	{"a record that is not written back", CREATE, NO_RECORD, .flush = no_flush_of_record},
	{"a tail that is not written back", CREATE, LOST, .flush = no_flush_of_tail},
	{"an image that is not written back", CHECKPOINT, NO_IMAGE, .flush = no_flush_of_image},
	{"slot words that are not written back", CHECKPOINT, NO_SLOT,
		.flush = no_flush_of_slot_words},
	{"superblocks that are not written back", GROW, NO_SUPER, .flush = no_flush_of_supers},
	{"a piece recorded before its bytes", REUSE, STRANGE, .copy = hold_bytes,
		.publish = publish_then_let_go},
	{"bytes that are not written back", REUSE, STRANGE, .flush = no_flush_of_bytes},
	{"one change in two records", "create a | chmod-in-two-records a", NEITHER, .copy = NULL},
	{"a record that spans two changes", "create a; create b | chown-two-in-one-record a b",
		LOST, .copy = NULL},
	{"a reply before its record", "create a | chmod-later a", LOST, .copy = NULL},
	{"a mount in two records", "create a; open a; unlink a | mount-in-two-records", NEITHER,
		.copy = NULL},
	{"a piece in another record than its size",
		"mkdir d; mark d; contents; room 1; create d/f | write-in-two-records d/f", NEITHER,
		.copy = NULL},
	{"blocks handed over in two records",
		"create f; size f 3; clean f; hold f; create g | hand-over-in-two-records f g",
		NEITHER, .copy = NULL},
};

const size_t writer_fault_count = ARRAY_SIZE(writer_faults);
