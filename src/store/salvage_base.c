// SPDX-License-Identifier: MIT
/*
 * Which checkpoint to build on: the one in force; the one before it where the journal that follows
 * that is still there to its end, so that nothing is lost; else what is left of the newer one.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/codec.h"
#include "store/salvage_internal.h"

struct slots {
	struct checkpoint_damaged image[2];
	bool there[2]; /* its header is whole */
	bool whole[2]; /* and every section */
	uint64_t generation[2];
	struct codec_word word; /* the slot word in force */
	bool has_word;
	struct codec_word tail; /* its generation is the low bits of one */
	bool has_tail;
};

static uint64_t low(uint64_t generation)
{
	return generation & ((1ULL << GM_TAIL_GENERATION_BITS) - 1);
}

/* ---- looking ---- */

static void mend_sections(struct salvage *s, struct checkpoint_damaged *image, unsigned slot)
{
	for (unsigned t = 1; t < CHECKPOINT_SECTIONS; t++) {
		struct checkpoint_section *section = &image->sections[t];
		int64_t bit;

		if (image->whole[t] || !section->bytes)
			continue;
		uint8_t *bytes = s->area + (section->bytes - s->area);
		if (!salvage_mend_bytes(bytes, section->length, image->checksum[t], &bit))
			continue;
		image->whole[t] = true;
		salvage_kept(s, 0,
			"the checkpoint in slot %u: section %s is whole once bit %" PRId64
			" of byte 0x%" PRIx64 " of the region is turned back",
			slot, checkpoint_section_name(t), bit % 8,
			(uint64_t)(bytes - s->area) + (uint64_t)bit / 8);
	}
}

static void look_at_slot(struct salvage *s, struct slots *l, unsigned slot)
{
	uint64_t offset = s->super.plan.slot_offset[slot];
	struct checkpoint_damaged *image = &l->image[slot];
	struct problem why = PROBLEM_INIT;
	int64_t bit;

	if (!codec_is_zero(s->area + offset, sizeof(struct gm_checkpoint)) &&
		salvage_mend_sealed(s->area + offset, sizeof(struct gm_checkpoint), &bit) &&
		bit >= 0)
		salvage_kept(s, 0,
			"the checkpoint in slot %u: its header is whole once bit %" PRId64
			" of byte 0x%" PRIx64 " of the region is turned back",
			slot, bit % 8, offset + (uint64_t)bit / 8);
	if (checkpoint_open_damaged(image, s->area + offset, &s->super, &why) < 0)
		return;
	l->generation[slot] = get_le64(image->header.generation);
	if (l->generation[slot] == 0 || l->generation[slot] >= CODEC_GENERATIONS_MAX / 2)
		return;
	mend_sections(s, image, slot);
	l->there[slot] = l->whole[slot] = true;
	for (unsigned t = 1; t < CHECKPOINT_SECTIONS; t++)
		l->whole[slot] &= image->whole[t];
	if (l->generation[slot] > s->newest)
		s->newest = l->generation[slot];
	if (get_le64(image->header.sequence) > s->sequence)
		s->sequence = get_le64(image->header.sequence);
}

static void look_at_words(struct salvage *s, struct slots *l)
{
	static const unsigned offset[2] = {GM_SLOT_WORD_A_OFFSET, GM_SLOT_WORD_B_OFFSET};
	struct codec_word word;

	for (int k = 0; k < 2; k++) {
		if (!codec_decode_slot_word(codec_read_word(s->area + offset[k]), &word) ||
			word.generation >= CODEC_GENERATIONS_MAX / 2 ||
			(l->has_word && word.generation <= l->word.generation))
			continue;
		l->word = word;
		l->has_word = true;
	}
	if (l->has_word && l->word.generation > s->newest)
		s->newest = l->word.generation;
	l->has_tail =
		codec_decode_tail_word(codec_read_word(s->area + GM_TAIL_WORD_OFFSET), &l->tail) &&
		l->tail.value <= s->super.plan.journal_size;
}

/* ---- the journal that follows a checkpoint ---- */

/* The sequence of the last of the records that follow one another from the journal's start on. */
static uint64_t follow_records(
	const struct salvage *s, uint64_t generation, uint64_t sequence, uint64_t *end)
{
	const struct store_plan *plan = &s->super.plan;
	struct journal_position p = {.generation = generation, .sequence = sequence};
	struct gm_record record;

	while (!journal_check_record(s->area + plan->journal_offset + p.tail,
		plan->journal_size - p.tail, &p, &record)) {
		p.sequence++;
		p.tail += get_le32(record.length);
	}
	*end = p.tail;
	return p.sequence;
}

static void use_base(struct salvage *s, const struct slots *l, unsigned slot)
{
	s->base = l->image[slot];
	s->base_whole = l->whole[slot];
	s->slot = slot;
	s->journal = (struct journal_position){
		.generation = l->generation[slot], .sequence = get_le64(s->base.header.sequence)};
}

/* The part of the journal that the tail word says is there. */
static void use_tail(struct salvage *s, const struct slots *l)
{
	uint64_t generation = s->journal.generation;

	s->journal_exact = true;
	if (l->has_tail && l->tail.generation == low(generation)) {
		s->journal_end = l->tail.value;
	} else if (l->has_tail && l->tail.generation == low(generation - 1)) {
		s->journal_end = 0;
	} else if (l->has_tail && l->tail.generation == low(generation + 1)) {
		s->later = generation + 1;
		s->journal_end = l->tail.value;
	} else {
		salvage_kept(s, 0,
			"the journal's tail word (at 0x%x of the region) is damaged; what follows "
			"one another in the journal is taken",
			GM_TAIL_WORD_OFFSET);
		s->journal_exact = false;
		s->journal_end = s->super.plan.journal_size;
	}
}

/*
 * Do the older checkpoint and the records behind it make the same as the newer one, which is
 * damaged? Then nothing is lost. The newer one's header says how far they must come; without it,
 * the tail word, if it is still theirs.
 */
static bool use_older_with_journal(struct salvage *s, const struct slots *l, unsigned older)
{
	uint64_t generation = l->generation[older], end,
		 last = get_le64(l->image[older].header.sequence);
	unsigned newer = 1 - older;
	bool knows = l->there[newer] && l->generation[newer] == generation + 1;
	uint64_t should = knows ? get_le64(l->image[newer].header.sequence) : 0;

	if (!l->there[older] || !l->whole[older])
		return false;
	if (knows && should == last) {
		use_base(s, l, older);
		s->base.header.flags = l->image[newer].header.flags; /* frozen by it, or thawed */
		s->journal.generation = generation + 1;
		use_tail(s, l);
		return true;
	}
	last = follow_records(s, generation, last, &end);
	if (knows ? last != should
		  : !l->has_tail || l->tail.generation != low(generation) || end < l->tail.value)
		return false;
	use_base(s, l, older);
	if (knows)
		s->base.header.flags = l->image[newer].header.flags;
	s->journal_exact = true;
	s->journal_end = knows ? end : l->tail.value;
	return true;
}

/* ---- choosing ---- */

static bool choose_in_force(struct salvage *s, const struct slots *l, unsigned slot)
{
	if (l->there[slot] && l->whole[slot]) {
		use_base(s, l, slot);
		use_tail(s, l);
		return true;
	}
	if (use_older_with_journal(s, l, 1 - slot)) {
		salvage_kept(s, 0,
			"the newer checkpoint (slot %u) is damaged; the one before it and the "
			"journal give the same",
			slot);
		return true;
	}
	if (!l->there[slot])
		return false;
	use_base(s, l, slot);
	use_tail(s, l);
	salvage_lost(s, 0,
		"the checkpoint in slot %u (generation %" PRIu64
		") is damaged, and nothing else has what is in it: objects that can be read are "
		"taken from it one by one",
		slot, l->generation[slot]);
	return true;
}

/* Without a word: the newer one that is there, unless the journal is the older one's. */
static unsigned newer_slot(const struct slots *l)
{
	return l->there[1] && (!l->there[0] || l->generation[1] > l->generation[0]);
}

static void use_older(struct salvage *s, const struct slots *l, unsigned older)
{
	uint64_t generation = l->generation[older];

	use_base(s, l, older);
	use_tail(s, l);
	if (s->later && s->journal_end == 0) { /* what was journalled before it is not yet gone */
		(void)follow_records(s, generation, s->journal.sequence, &s->journal_end);
		s->later = 0;
	}
	s->unsure = s->moved = true;
	salvage_lost(s, 0,
		"the checkpoint of generation %" PRIu64
		" is lost with its header; what there was when the one before (slot %u, generation "
		"%" PRIu64 ") was written is taken, with what of the journal still follows it; "
		"every change since is lost",
		s->newest > generation ? s->newest : generation + 1, older, generation);
}

int salvage_choose_base(struct salvage *s, struct problem *why)
{
	struct slots l = {.has_word = false};
	unsigned slot;

	look_at_words(s, &l);
	look_at_slot(s, &l, 0);
	look_at_slot(s, &l, 1);
	if (!l.there[0] && !l.there[1])
		return problem(why, EUCLEAN,
			"neither slot (at 0x%" PRIx64 " and 0x%" PRIx64
			") has a checkpoint whose header can be read: nothing can be kept, and "
			"nothing was changed",
			s->super.plan.slot_offset[0], s->super.plan.slot_offset[1]);
	if (!l.has_word)
		salvage_kept(s, 0,
			"both slot words (at 0x%x and 0x%x of the region) are damaged; the newer "
			"checkpoint is taken",
			GM_SLOT_WORD_A_OFFSET, GM_SLOT_WORD_B_OFFSET);
	slot = l.has_word ? (unsigned)l.word.value : newer_slot(&l);
	if (l.has_word && l.there[slot] && l.generation[slot] != l.word.generation)
		l.there[slot] = false; /* not the one that the word means */
	if (l.has_word || l.there[1 - slot] || !l.has_tail ||
		l.tail.generation != low(l.generation[slot] + 1)) {
		if (choose_in_force(s, &l, slot))
			return 0;
	} else {
		slot = 1 - slot; /* the tail word tells of a newer one */
	}
	if (!l.there[1 - slot])
		return problem(why, EUCLEAN,
			"the slot words name slot %u, and neither slot has a checkpoint that they "
			"could mean: nothing was changed",
			slot);
	use_older(s, &l, 1 - slot);
	return 0;
}
