// SPDX-License-Identifier: MIT
/*
 * Recovery gives the state after the last published record, or refuses and names the place. The
 * journal is cut at every record boundary; every byte of every structure is flipped
 * (with ASan some of them: rounds.h).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rounds.h"
#include "store/codec.h"
#include "store_fixture.h"
#include "util/cleanup.h"

#define STEPS 64U

struct history {
	struct fixture f;
	uint64_t digest[STEPS + 1]; /* the state after n steps */
	uint64_t tail[STEPS + 1];
	uint64_t generation;
};

static void record_history(struct history *h)
{
	struct store_stats stats;

	fixture_init(&h->f, 64);
	cr_assert_eq(store_checkpoint(h->f.store), 0);
	for (unsigned n = 0; n <= STEPS; n++) {
		if (n > 0)
			cr_assert_eq(fixture_step(&h->f, n - 1), 0);
		store_get_stats(h->f.store, &stats);
		h->digest[n] = fixture_digest(&h->f);
		h->tail[n] = stats.journal_used;
	}
	h->generation = stats.generation;
	h->f.store = store_close(h->f.store);
}

static void set_tail(struct fixture *f, uint64_t generation, uint64_t tail)
{
	uint64_t word = htole64(codec_encode_tail_word(generation, tail));

	memcpy(f->media.base + GM_TAIL_WORD_OFFSET, &word, sizeof(word));
}

Test(recovery, a_journal_cut_at_any_record_gives_the_state_of_that_moment)
{
	struct history h;

	record_history(&h);
	for (unsigned n = 0; n <= STEPS; n++) {
		struct problem why = PROBLEM_INIT;

		set_tail(&h.f, h.generation, h.tail[n]);
		cr_assert_eq(fixture_open(&h.f, &why), 0, "%u: %s", n, why.text);
		cr_assert_eq(fixture_digest(&h.f), h.digest[n], "%u", n);
		h.f.store = store_close(h.f.store);
	}
	fixture_deinit(&h.f);
}

/*
 * A crash before the tail is published: the record is there, whole or in
 * part, and is not looked at.
 */
Test(recovery, what_lies_behind_the_tail_does_not_matter)
{
	struct history h;
	struct problem why = PROBLEM_INIT;

	record_history(&h);
	memset(h.f.media.base + h.f.super.plan.journal_offset + h.tail[STEPS], 0xa5, 4096);
	cr_assert_eq(fixture_open(&h.f, &why), 0, "%s", why.text);
	cr_assert_eq(fixture_digest(&h.f), h.digest[STEPS]);
	fixture_deinit(&h.f);
}

Test(recovery, a_flipped_bit_below_the_tail_is_refused_with_its_place)
{
	struct history h;

	record_history(&h);
	for (uint64_t at = 0; at < h.tail[STEPS]; at += rounds_one_of(7)) {
		struct problem why = PROBLEM_INIT;
		uint8_t *byte = h.f.media.base + h.f.super.plan.journal_offset + at;

		*byte ^= (uint8_t)(1U << at % 8);
		cr_assert_eq(fixture_open(&h.f, &why), -EUCLEAN, "byte %lu of the journal",
			(unsigned long)at);
		cr_assert(strstr(why.text, "journal record ") && strstr(why.text, "at 0x"), "%s",
			why.text);
		*byte ^= (uint8_t)(1U << at % 8);
	}
	fixture_deinit(&h.f);
}

struct place {
	const char *name;
	uint64_t offset;
	uint64_t length;
	bool survives; /* there is a second copy: the state is the same; else it is refused */
};

static uint64_t image_length(const struct fixture *f, uint64_t slot)
{
	const struct gm_checkpoint *h = (const void *)(f->media.base + slot);

	return get_le64(h->length);
}

Test(recovery, a_flip_in_any_structure_gives_the_same_state_or_a_refusal)
{
	struct history h;
	uint64_t named;

	record_history(&h);
	struct codec_word word;
	cr_assert(codec_decode_slot_word(
		codec_read_word(h.f.media.base + GM_SLOT_WORD_A_OFFSET), &word));
	named = h.f.super.plan.slot_offset[word.value];
	const struct place places[] = {
		{"first superblock", GM_SUPER_A_OFFSET, sizeof(struct gm_super), true},
		{"second superblock", GM_SUPER_B_OFFSET, sizeof(struct gm_super), true},
		{"first slot word", GM_SLOT_WORD_A_OFFSET, 8, true},
		{"second slot word", GM_SLOT_WORD_B_OFFSET, 8, true},
		{"tail word", GM_TAIL_WORD_OFFSET, 8, false},
		{"checkpoint", named, image_length(&h.f, named), false},
		{"slot not in force", h.f.super.plan.slot_offset[1 - word.value], 8192, true},
	};
	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		for (uint64_t at = 0; at < places[p].length; at += rounds_one_of(7)) {
			struct problem why = PROBLEM_INIT;
			uint8_t *byte = h.f.media.base + places[p].offset + at;
			int r;

			*byte ^= (uint8_t)(1U << at % 8);
			r = fixture_open(&h.f, &why);
			cr_assert_eq(r, places[p].survives ? 0 : -EUCLEAN, "%s, byte %lu: %s",
				places[p].name, (unsigned long)at, why.text);
			if (r == 0)
				cr_assert_eq(fixture_digest(&h.f), h.digest[STEPS], "%s, byte %lu",
					places[p].name, (unsigned long)at);
			else
				cr_assert(strstr(why.text, "at 0x"), "%s", why.text);
			h.f.store = store_close(h.f.store);
			*byte ^= (uint8_t)(1U << at % 8);
		}
	}
	fixture_deinit(&h.f);
}

/* Between the two slot words, and between them and the new tail. */
Test(recovery, a_crash_while_a_checkpoint_is_published_keeps_the_state)
{
	struct problem why = PROBLEM_INIT;
	struct fixture f, old;
	uint64_t digest;

	fixture_init(&f, 64);
	for (unsigned n = 0; n < 20; n++)
		fixture_step(&f, n);
	digest = fixture_digest(&f);
	fixture_copy(&old, &f);
	cr_assert_eq(store_checkpoint(f.store), 0);

	/* the image alone; with word A; with both words; each with the old tail */
	static const uint64_t words[] = {0, GM_SLOT_WORD_A_OFFSET, GM_SLOT_WORD_B_OFFSET};
	for (unsigned n = 0; n < 3; n++) {
		if (n == 0)
			memcpy(old.media.base + f.super.plan.slot_offset[0],
				f.media.base + f.super.plan.slot_offset[0],
				2 * f.super.plan.slot_size);
		else
			memcpy(old.media.base + words[n], f.media.base + words[n], 8);
		cr_assert_eq(fixture_open(&old, &why), 0, "%u: %s", n, why.text);
		cr_assert_eq(fixture_digest(&old), digest, "%u", n);
		/* and it goes on from there */
		struct fixture on;
		fixture_copy(&on, &old);
		cr_assert_eq(fixture_open(&on, &why), 0, "%s", why.text);
		cr_assert_eq(store_begin_mount(on.store, fixture_boot, &why), 0, "%s", why.text);
		for (unsigned k = 24; k < 60; k++)
			cr_assert_eq(fixture_step(&on, k), 0);
		uint64_t later = fixture_digest(&on);
		cr_assert_eq(fixture_reopen(&on, &why), 0, "%u: %s", n, why.text);
		cr_assert_eq(fixture_digest(&on), later);
		fixture_deinit(&on);
		old.store = store_close(old.store);
	}
	fixture_deinit(&old);
	fixture_deinit(&f);
}

Test(recovery, a_tail_of_a_strange_generation_is_refused)
{
	struct problem why = PROBLEM_INIT;
	struct history h;

	record_history(&h);
	set_tail(&h.f, h.generation + 1, h.tail[STEPS]);
	cr_assert_eq(fixture_open(&h.f, &why), -EUCLEAN);
	cr_assert(strstr(why.text, "tail word"), "%s", why.text);
	set_tail(&h.f, h.generation, h.f.super.plan.journal_size + GM_TAIL_UNIT);
	cr_assert_eq(fixture_open(&h.f, &why), -EUCLEAN);
	cr_assert(strstr(why.text, "past the journal's end"), "%s", why.text);
	fixture_deinit(&h.f);
}

/* ---- what a later change would run into ---- */

static void set_generation(struct fixture *f, uint64_t generation)
{
	uint8_t *base = f->media.base;
	uint64_t word = codec_encode_slot_word(generation, 0);
	struct gm_checkpoint *h =
		(struct gm_checkpoint *)(void *)(base + f->super.plan.slot_offset[0]);

	h->generation = put_le64(generation);
	h->checksum = codec_seal(h, sizeof(*h));
	media_publish(&f->media, GM_SLOT_WORD_A_OFFSET, word);
	media_publish(&f->media, GM_SLOT_WORD_B_OFFSET, word);
	media_publish(&f->media, GM_TAIL_WORD_OFFSET, codec_encode_tail_word(generation, 0));
}

Test(recovery, a_generation_near_the_end_of_its_range_is_refused)
{
	const uint64_t greatest = 1ULL << (GM_SLOT_GENERATION_BITS - 1);
	struct problem why = PROBLEM_INIT;
	struct fixture f;

	fixture_init(&f, 64);
	f.store = store_close(f.store);
	set_generation(&f, greatest);
	cr_assert_eq(fixture_open(&f, &why), 0, "%s", why.text);
	cr_assert_eq(store_checkpoint(f.store), 0, "there is room for ages to come");
	f.store = store_close(f.store);
	set_generation(&f, greatest + 1);
	cr_assert_eq(fixture_open(&f, &why), -EUCLEAN);
	cr_assert(strstr(why.text, "generation 549755813889"), "%s", why.text);
	fixture_deinit(&f);
}

/* What could be opened, but after some changes no more. */
Test(recovery, a_mount_does_not_begin_near_the_end_of_a_range)
{
	struct problem why = PROBLEM_INIT;
	struct inode_attr root;
	struct fixture f;

	fixture_init(&f, 64);
	f.store = store_close(f.store);
	set_generation(&f, 1ULL << (GM_SLOT_GENERATION_BITS - 1));
	cr_assert_eq(fixture_open(&f, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(f.store, fixture_boot, &why), -EUCLEAN);
	cr_assert(strstr(why.text, "generation"), "%s", why.text);
	fixture_deinit(&f);

	fixture_init(&f, 64);
	root = meta_inode(store_meta(f.store), GM_ROOT_INO)->attr;
	root.next_cookie = 1ULL << 62;
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);
	txn_put_inode(&t, &root);
	cr_assert_eq(store_commit(f.store, &t), 0);
	cr_assert_eq(fixture_reopen(&f, &why), 0, "%s", why.text);
	cr_assert_eq(store_begin_mount(f.store, fixture_boot, &why), -EUCLEAN);
	cr_assert(strstr(why.text, "next cookie"), "%s", why.text);
	fixture_deinit(&f);
}

Test(recovery, a_journal_that_uses_the_inode_numbers_up_is_refused)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_CREATE, 0);
	struct inode_attr a = {.ino = INT64_MAX, .mode = S_IFREG};
	struct problem why = PROBLEM_INIT;
	struct fixture f;

	fixture_init(&f, 64);
	txn_put_inode(&t, &a);
	cr_assert_eq(store_commit(f.store, &t), 0);
	cr_assert_eq(fixture_reopen(&f, &why), -EUCLEAN);
	cr_assert(strstr(why.text, "next inode number"), "%s", why.text);
	fixture_deinit(&f);
}

/* The slots are made as small as the first checkpoint; the journal goes on as before. */
Test(recovery, a_journal_that_outgrows_the_checkpoint_slots_is_refused)
{
	struct problem why = PROBLEM_INIT;
	struct gm_super *super;
	struct fixture f;
	char name[256];
	uint64_t ino;

	fixture_init(&f, 1024);
	for (unsigned n = 0; n < 170; n++) {
		(void)snprintf(name, sizeof(name), "%0255u", n);
		cr_assert_eq(fixture_make(&f, GM_ROOT_INO, name, S_IFREG, &ino), 0);
	}
	super = (struct gm_super *)(void *)(f.media.base + GM_SUPER_A_OFFSET);
	super->slot_size = put_le64(65536);
	super->slot_offset[1] = put_le64(get_le64(super->slot_offset[0]) + 65536);
	super->checksum = codec_seal(super, sizeof(*super));
	memcpy(f.media.base + GM_SUPER_B_OFFSET, super, sizeof(*super));
	cr_assert_eq(fixture_reopen(&f, &why), -EUCLEAN);
	cr_assert(strstr(why.text, "65536 of a checkpoint slot"), "%s", why.text);
	fixture_deinit(&f);
}

Test(recovery, opening_makes_no_store)
{
	struct problem why = PROBLEM_INIT;
	struct history h;
	struct fixture copy;

	record_history(&h);
	fixture_copy(&copy, &h.f);
	cr_assert_eq(fixture_open(&h.f, &why), 0);
	cr_assert_eq(memcmp(copy.media.base, h.f.media.base, copy.media.size), 0);
	fixture_deinit(&copy);
	fixture_deinit(&h.f);
}
