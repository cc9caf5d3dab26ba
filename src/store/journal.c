// SPDX-License-Identifier: MIT
#include "store/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "store/codec.h"

#define GENERATION_LOW(g) ((g) & ((1ULL << GM_TAIL_GENERATION_BITS) - 1))

uint64_t journal_record_bytes(uint64_t item_bytes)
{
	return (sizeof(struct gm_record) + item_bytes + GM_TAIL_UNIT - 1) / GM_TAIL_UNIT *
	       GM_TAIL_UNIT;
}

/* ---- writing ---- */

void journal_seal(struct txn *t, const struct journal_position *p, uint64_t mount_number)
{
	struct gm_record *r = (struct gm_record *)(void *)t->items;
	uint64_t length = journal_record_bytes(t->size);

	assert(t->items && length <= t->capacity);
	memset(t->items + sizeof(*r) + t->size, 0, length - sizeof(*r) - t->size);
	*r = (struct gm_record){
		.magic = put_le32(GM_RECORD_MAGIC),
		.length = put_le32((uint32_t)length),
		.generation = put_le64(p->generation),
		.sequence = put_le64(p->sequence + 1),
		.mount_number = put_le64(mount_number),
		.unique = put_le64(t->unique),
		.type = put_le16((uint16_t)t->type),
		.item_bytes = put_le32((uint32_t)t->size),
	};
	r->checksum = put_le64(codec_checksum(r, length));
}

/* Two functions, so that a debugger can stop the real program between them. */
__attribute__((noinline)) static void journal_store(
	struct media *m, uint64_t offset, const void *record, uint64_t length)
{
	media_copy(m, offset, record, length);
	media_fence(m);
}

__attribute__((noinline)) static void journal_publish(
	struct media *m, uint64_t generation, uint64_t tail)
{
	media_publish(m, GM_TAIL_WORD_OFFSET, codec_encode_tail_word(generation, tail));
	media_fence(m);
}

void journal_append(struct media *m, const struct store_plan *plan, struct journal_position *p,
	const struct txn *t)
{
	uint64_t length = journal_record_bytes(t->size);

	assert(length <= plan->journal_size - p->tail);
	journal_store(m, plan->journal_offset + p->tail, t->items, length);
	journal_publish(m, p->generation, p->tail + length);
	p->tail += length;
	p->sequence++;
}

void journal_reset(struct media *m, struct journal_position *p)
{
	p->tail = 0;
	journal_publish(m, p->generation, 0);
}

/* ---- reading ---- */

/* The checksum is computed with its own field zero. */
static bool checksum_holds(const uint8_t *bytes, const struct gm_record *r, uint64_t length)
{
	struct gm_record header = *r;
	XXH3_state_t state;

	header.checksum = put_le64(0);
	(void)XXH3_64bits_reset(&state);
	(void)XXH3_64bits_update(&state, &header, sizeof(header));
	(void)XXH3_64bits_update(&state, bytes + sizeof(header), length - sizeof(header));
	return XXH3_64bits_digest(&state) == get_le64(r->checksum);
}

const char *journal_check_record(
	const uint8_t *bytes, uint64_t room, const struct journal_position *p, struct gm_record *r)
{
	uint64_t length, items;

	if (room < sizeof(*r))
		return "it is cut off";
	memcpy(r, bytes, sizeof(*r));
	length = get_le32(r->length);
	items = get_le32(r->item_bytes);
	if (get_le32(r->magic) != GM_RECORD_MAGIC)
		return "its magic number is wrong";
	if (length % GM_TAIL_UNIT != 0 || length < sizeof(*r) || length > room)
		return "its length is out of range";
	if (!checksum_holds(bytes, r, length))
		return "its checksum is wrong";
	if (get_le64(r->generation) != p->generation)
		return "it is of another generation";
	if (get_le64(r->sequence) != p->sequence + 1)
		return "its sequence number is not the next one";
	if (get_le16(r->type) == 0 || get_le16(r->type) > GM_RECORD_TYPE_LAST)
		return "its type is unknown to this version";
	if (items > length - sizeof(*r) || journal_record_bytes(items) != length)
		return "its items do not fit its length";
	if (get_le16(r->reserved1) != 0 || get_le64(r->reserved2) != 0 ||
		!codec_is_zero(bytes + sizeof(*r) + items, length - sizeof(*r) - items))
		return "its reserved bytes are not zero";
	return NULL;
}

static int replay_items(
	struct meta *meta, const uint8_t *items, uint64_t bytes, struct problem *why)
{
	for (uint64_t at = 0, n = 0; at < bytes; n++) {
		const struct gm_item *item = (const struct gm_item *)(const void *)(items + at);
		int r = meta_take_item(meta, item, bytes - at, why);

		if (r < 0)
			return problem_prefix(why, r, "item %" PRIu64, n);
		at += get_le32(item->length);
	}
	return 0;
}

static int replay_record(struct meta *meta, const uint8_t *bytes, uint64_t room,
	struct journal_position *p, struct gm_result *last, struct problem *why)
{
	struct gm_record record;
	const char *wrong = journal_check_record(bytes, room, p, &record);
	int r;

	if (wrong)
		return problem(why, EUCLEAN, "%s", wrong);
	r = replay_items(meta, bytes + sizeof(record), get_le32(record.item_bytes), why);
	if (r < 0)
		return r;
	if (get_le64(record.mount_number) != meta->mount_number)
		return problem(why, EUCLEAN, "it is of another mount");
	if (get_le64(record.unique) != 0)
		*last = (struct gm_result){
			.mount_number = record.mount_number, .unique = record.unique};
	p->sequence++;
	p->tail += get_le32(record.length);
	return 0;
}

/*
 * The tail of an older generation means that the last checkpoint made the journal start anew and
 * nothing was written since. Only the one before can have been left behind.
 */
static int read_tail(const struct media *m, const struct store_plan *plan, uint64_t generation,
	uint64_t *tail, struct problem *why)
{
	struct codec_word word;

	if (!codec_decode_tail_word(codec_read_word(m->base + GM_TAIL_WORD_OFFSET), &word))
		return problem(why, EUCLEAN,
			"the journal's tail word (at 0x%x of the region) is damaged",
			GM_TAIL_WORD_OFFSET);
	if (word.generation == GENERATION_LOW(generation - 1)) {
		*tail = 0;
		return 0;
	}
	if (word.generation != GENERATION_LOW(generation))
		return problem(why, EUCLEAN,
			"the journal's tail word (at 0x%x of the region) is of generation %" PRIu64
			", the checkpoint in force of %" PRIu64,
			GM_TAIL_WORD_OFFSET, word.generation, generation);
	if (word.value > plan->journal_size)
		return problem(why, EUCLEAN,
			"the journal's tail word (at 0x%x of the region) lies past the journal's "
			"end",
			GM_TAIL_WORD_OFFSET);
	*tail = word.value;
	return 0;
}

int journal_replay(struct meta *meta, const struct media *m, const struct store_plan *plan,
	struct journal_position *p, uint64_t *count, struct gm_result *last, struct problem *why)
{
	uint64_t end = 0, n = 0;
	int r = read_tail(m, plan, p->generation, &end, why);

	if (r < 0)
		return r;
	for (p->tail = 0; p->tail < end; n++) {
		uint64_t at = plan->journal_offset + p->tail;

		r = replay_record(meta, m->base + at, end - p->tail, p, last, why);
		if (r < 0)
			return problem_prefix(why, r,
				"journal record %" PRIu64 " (at 0x%" PRIx64
				" of the region, sequence %" PRIu64 ")",
				n, at, p->sequence + 1);
	}
	*count = n;
	return 0;
}
