// SPDX-License-Identifier: MIT
/*
 * Images that are wrong and have good checksums: of a faulty writer, or of an enemy. A repair
 * refuses them with a sentence, or makes a pool of them that the reader takes; it never falls over.
 * By chance (GM_SEED; the same without it); GM_REPAIR_ROUNDS says how often.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repair_fixture.h"
#include "rounds.h"
#include "store/codec.h"

static const char script[] = "mkdir d; create d/f; size d/f 2; clean d/f; checkpoint; create a; "
			     "size a 3; clean a; create "
			     "b; size b 1; link a l; symlink s d/f; mknod p p; create h; size h 1; "
			     "hold h; attribute a x; "
			     "attribute d quota 8M; mkdir c; mark c; contents; room 1; create c/x; "
			     "write c/x 0 3; create "
			     "c/y; write c/y 0 2; mkdir d/e; checkpoint; create z; size z 1; "
			     "rename b d/b; unlink p; write "
			     "c/x 3 1; size a 1; create y; size y 1";

static unsigned rounds(void)
{
	return getenv("GM_REPAIR_ROUNDS") ? (unsigned)atoi(getenv("GM_REPAIR_ROUNDS"))
					  : 300 / rounds_one_of(4);
}

/* Numbers that are near to what is there do more harm than any. */
static uint64_t choose_number(struct scene *s, uint64_t is)
{
	switch (scene_chance(s, 6)) {
	case 0:
		return is ^ 1ULL << scene_chance(s, 64);
	case 1:
		return is + scene_chance(s, 5) - 2;
	case 2:
		return scene_chance(s, 20);
	case 3:
		return (uint64_t)-1 >> scene_chance(s, 4);
	case 4:
		return (uint64_t)scene_chance(s, 1U << 31) << 32 | scene_chance(s, 1U << 31);
	default:
		return 0;
	}
}

static void change_word(struct scene *s, uint64_t from, uint64_t length)
{
	uint64_t at = from + scene_chance(s, (uint32_t)(length / 8)) * 8, word;

	memcpy(&word, s->damaged + at, sizeof(word));
	word = choose_number(s, word);
	memcpy(s->damaged + at, &word, sizeof(word));
}

/* A record of a section over another. */
static void copy_record(struct scene *s)
{
	static const struct {
		enum gm_section_type type;
		size_t size;
	} kinds[] = {{GM_SECTION_INODES, sizeof(struct gm_inode)},
		{GM_SECTION_EXTENTS, sizeof(struct gm_extent)},
		{GM_SECTION_PIECES, sizeof(struct gm_piece)}};
	unsigned k = scene_chance(s, 3);
	uint64_t count, at = scene_find_section(s, kinds[k].type, &count);

	if (count > 0)
		memcpy(s->damaged + at + scene_chance(s, (uint32_t)count) * kinds[k].size,
			s->damaged + at + scene_chance(s, (uint32_t)count) * kinds[k].size,
			kinds[k].size);
}

static void seal_records(struct scene *s)
{
	uint8_t *at = s->damaged + s->super.plan.journal_offset;

	for (;;) {
		struct gm_record r;
		uint64_t length;

		memcpy(&r, at, sizeof(r));
		length = get_le32(r.length);
		if (get_le32(r.magic) != GM_RECORD_MAGIC || length < sizeof(r) || length > 65536)
			return;
		r.checksum = put_le64(0);
		memcpy(at, &r, sizeof(r));
		r.checksum = put_le64(codec_checksum(at, length));
		memcpy(at, &r, sizeof(r));
		at += length;
	}
}

static void try_rounds(void (*change)(struct scene *), void (*seal)(struct scene *))
{
	struct scene s;
	unsigned repaired = 0;
	char what[32];

	scene_init(&s, WORLD_FILE, script);
	for (unsigned n = 0; n < rounds(); n++) {
		scene_restore(&s);
		for (unsigned k = scene_chance(&s, 4); k-- > 0;)
			change(&s);
		change(&s);
		seal(&s);
		scene_repair(&s, NULL);
		(void)snprintf(what, sizeof(what), "round %u", n);
		/* What an image says that is whole is its truth; blocks may have moved in it. */
		s.forgets_blocks = true;
		cr_expect(scene_is_sound(&s, what));
		repaired += s.error == 0;
	}
	cr_expect_gt(repaired, rounds() / 2, "%u of %u repaired", repaired, rounds());
	scene_deinit(&s);
}

static void change_checkpoint(struct scene *s)
{
	uint64_t slot = scene_find_slot(s);
	struct gm_checkpoint h;

	memcpy(&h, s->area + slot, sizeof(h));
	if (scene_chance(s, 4) == 0)
		copy_record(s);
	else if (scene_chance(s, 8) == 0)
		change_word(s, slot + 24, 112);
	else
		change_word(s, slot + sizeof(h), get_le64(h.length) - sizeof(h));
}

Test(repair_hostile, checkpoints)
{
	try_rounds(change_checkpoint, scene_seal);
}

static void change_journal(struct scene *s)
{
	struct codec_word tail;

	cr_assert(codec_decode_tail_word(codec_read_word(s->area + GM_TAIL_WORD_OFFSET), &tail));
	change_word(s, s->super.plan.journal_offset, tail.value);
}

Test(repair_hostile, journals)
{
	try_rounds(change_journal, seal_records);
}

static void change_both(struct scene *s)
{
	change_checkpoint(s);
	change_journal(s);
}

static void seal_both(struct scene *s)
{
	scene_seal(s);
	seal_records(s);
}

Test(repair_hostile, both)
{
	try_rounds(change_both, seal_both);
}
