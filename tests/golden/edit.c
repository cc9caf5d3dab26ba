// SPDX-License-Identifier: MIT
#include "golden.h"

#include <string.h>

#include "store/codec.h"

static const uint8_t *bytes_of(const struct image *i)
{
	return (const uint8_t *)i->words;
}

void edit_bytes(struct image *i, uint64_t offset, const void *from, size_t length)
{
	for (size_t n = 0; n < length; n++) {
		uint64_t word = i->words[(offset + n) / 8];

		((uint8_t *)&word)[(offset + n) % 8] = ((const uint8_t *)from)[n];
		image_store(i, (offset + n) / 8 * 8, word);
	}
}

void edit_u16(struct image *i, uint64_t offset, uint16_t value)
{
	gm_le16 v = put_le16(value);

	edit_bytes(i, offset, &v, sizeof(v));
}

void edit_u32(struct image *i, uint64_t offset, uint32_t value)
{
	gm_le32 v = put_le32(value);

	edit_bytes(i, offset, &v, sizeof(v));
}

void edit_u64(struct image *i, uint64_t offset, uint64_t value)
{
	gm_le64 v = put_le64(value);

	edit_bytes(i, offset, &v, sizeof(v));
}

void edit_seal_super(struct image *i)
{
	struct gm_super s;

	memcpy(&s, bytes_of(i), sizeof(s));
	s.checksum = codec_seal(&s, sizeof(s));
	edit_bytes(i, GM_SUPER_A_OFFSET, &s, sizeof(s));
	edit_bytes(i, GM_SUPER_B_OFFSET, &s, sizeof(s));
}

/* ---- the checkpoint ---- */

uint64_t edit_checkpoint(const struct image *i)
{
	const struct gm_super *s = (const void *)(bytes_of(i) + GM_SUPER_B_OFFSET);
	struct codec_word a = {.generation = 0}, b = {.generation = 0};

	(void)codec_decode_slot_word(codec_read_word(bytes_of(i) + GM_SLOT_WORD_A_OFFSET), &a);
	(void)codec_decode_slot_word(codec_read_word(bytes_of(i) + GM_SLOT_WORD_B_OFFSET), &b);
	return get_le64(s->slot_offset[b.generation > a.generation ? b.value : a.value]);
}

uint64_t edit_section(const struct image *i, unsigned type)
{
	uint64_t at = edit_checkpoint(i);
	const struct gm_checkpoint *h = (const void *)(bytes_of(i) + at);

	for (uint32_t n = 0; n < get_le32(h->section_count); n++)
		if (get_le32(h->sections[n].type) == type && get_le64(h->sections[n].length))
			return at + get_le64(h->sections[n].offset);
	return 0;
}

void edit_seal_checkpoint(struct image *i)
{
	uint64_t at = edit_checkpoint(i);
	struct gm_checkpoint h;

	memcpy(&h, bytes_of(i) + at, sizeof(h));
	for (unsigned n = 0; n < get_le32(h.section_count) && n < GM_SECTIONS_MAX; n++) {
		struct gm_section *s = &h.sections[n];

		s->checksum = put_le64(codec_checksum(
			bytes_of(i) + at + get_le64(s->offset), get_le64(s->length)));
	}
	h.checksum = codec_seal(&h, sizeof(h));
	edit_bytes(i, at, &h, sizeof(h));
}

/* ---- the journal ---- */

uint64_t edit_find_item(const struct image *i, unsigned type, uint64_t *record)
{
	struct codec_word tail;
	uint64_t at = GM_BLOCK_SIZE, end;

	(void)codec_decode_tail_word(codec_read_word(bytes_of(i) + GM_TAIL_WORD_OFFSET), &tail);
	for (end = at + tail.value; at < end;) {
		const struct gm_record *r = (const void *)(bytes_of(i) + at);
		uint64_t item = at + sizeof(*r), last = item + get_le32(r->item_bytes);

		while (item < last) {
			const struct gm_item *k = (const void *)(bytes_of(i) + item);

			*record = at;
			if (get_le16(k->type) == type)
				return item;
			item += get_le32(k->length);
		}
		at += get_le32(r->length);
	}
	return 0;
}

bool edit_has_record(const struct image *i, unsigned type)
{
	struct codec_word tail;
	uint64_t at = GM_BLOCK_SIZE, end;

	(void)codec_decode_tail_word(codec_read_word(bytes_of(i) + GM_TAIL_WORD_OFFSET), &tail);
	for (end = at + tail.value; at < end;) {
		const struct gm_record *r = (const void *)(bytes_of(i) + at);

		if (get_le16(r->type) == type)
			return true;
		at += get_le32(r->length);
	}
	return false;
}

void edit_seal_record(struct image *i, uint64_t record)
{
	uint64_t checksum = record + offsetof(struct gm_record, checksum);
	const struct gm_record *r = (const void *)(bytes_of(i) + record);

	edit_u64(i, checksum, 0);
	edit_u64(i, checksum, codec_checksum(r, get_le32(r->length)));
}
