// SPDX-License-Identifier: MIT
/*
 * Superblocks: each bit of both, bits in different places, both gone. Bits are chosen by chance
 * (GM_SEED; the same without it); GM_REPAIR_ALL=1 tries every one.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repair_fixture.h"
#include "store/codec.h"
#include "store/super.h"

#define SUPER_BITS (sizeof(struct gm_super) * 8)

static const char small[] = "create a; size a 3; clean a; mkdir d; checkpoint; create d/b";
static const char twice[] =
	"create a; size a 3; clean a; checkpoint; mkdir d; checkpoint; create d/b";

static void turn(struct scene *s, unsigned copy, uint64_t bit)
{
	s->damaged[(copy ? GM_SUPER_B_OFFSET : GM_SUPER_A_OFFSET) + bit / 8] ^=
		(uint8_t)(1U << (bit % 8));
}

static void expect_as_before(struct scene *s, const char *what)
{
	scene_repair(s, NULL);
	cr_expect(s->needed, "%s: nothing was done: %s", what, s->why.text);
	cr_expect(scene_is_as_before(s, what));
	cr_expect(scene_is_sound(s, what));
	cr_expect_eq(memcmp(s->damaged + GM_SUPER_A_OFFSET, s->area + GM_SUPER_A_OFFSET,
			     sizeof(struct gm_super)),
		0, "%s: another superblock than before", what);
}

static void turn_in_both(struct scene *s, uint64_t bit)
{
	turn(s, 0, bit);
	turn(s, 1, bit);
}

Test(repair_super, the_same_bit_of_both_is_turned_back)
{
	struct scene s;
	char what[64];

	scene_init(&s, WORLD_FILE, small);
	for (uint64_t bit = 0; bit < SUPER_BITS; bit += 1 + scene_chance(&s, SUPER_BITS / 20)) {
		(void)snprintf(what, sizeof(what), "bit %" PRIu64 " of both", bit);
		scene_restore(&s);
		turn_in_both(&s, bit);
		expect_as_before(&s, what);
	}
	scene_deinit(&s);
}

/* The search alone, which is what differs from bit to bit; so that all can be tried. */
Test(repair_super, every_bit_of_both_is_found)
{
	const unsigned step = getenv("GM_REPAIR_ALL") ? 1 : SUPER_BITS / 100;
	struct store_super super;
	struct gm_super bytes;
	struct scene s;

	scene_init(&s, WORLD_FILE, small);
	for (uint64_t bit = 0; bit < SUPER_BITS; bit += step) {
		turn_in_both(&s, bit);
		cr_assert_eq(
			scene_find_super(&s, &super), 0, "bit %" PRIu64 ": %s", bit, s.why.text);
		super_encode(&bytes, &super);
		cr_assert_eq(memcmp(&bytes, s.area + GM_SUPER_A_OFFSET, sizeof(bytes)), 0,
			"bit %" PRIu64, bit);
		turn_in_both(&s, bit);
	}
	scene_deinit(&s);
}

/* Which a mount does by itself, without a repair. */
Test(repair_super, every_bit_of_one_is_had_from_the_other)
{
	struct problem why = PROBLEM_INIT;
	struct store_super super;
	struct gm_super bytes;
	struct scene s;

	scene_init(&s, WORLD_FILE, small);
	for (unsigned copy = 0; copy < 2; copy++)
		for (uint64_t bit = 0; bit < SUPER_BITS; bit++) {
			turn(&s, copy, bit);
			cr_assert_eq(store_read_super(&super, s.damaged, 0, &why), 0,
				"bit %" PRIu64 " of copy %u: %s", bit, copy, why.text);
			super_encode(&bytes, &super);
			cr_assert_eq(memcmp(&bytes, s.area + GM_SUPER_A_OFFSET, sizeof(bytes)), 0,
				"bit %" PRIu64 " of copy %u", bit, copy);
			turn(&s, copy, bit);
		}
	scene_deinit(&s);
}

Test(repair_super, damage_at_different_places_is_put_together)
{
	struct scene s;
	char what[64];

	scene_init(&s, WORLD_RESERVED, small);
	for (unsigned n = 0; n < 20; n++) {
		unsigned a = scene_chance(&s, 32), b = 32 + scene_chance(&s, 32);

		(void)snprintf(what, sizeof(what), "lines %u and %u", a, b);
		scene_restore(&s);
		for (unsigned k = 0; k < 64; k++) {
			s.damaged[GM_SUPER_A_OFFSET + a * 64 + k] = (uint8_t)scene_chance(&s, 256);
			s.damaged[GM_SUPER_B_OFFSET + b * 64 + k] = (uint8_t)scene_chance(&s, 256);
		}
		expect_as_before(&s, what);
	}
	scene_deinit(&s);
}

static void lose_both(struct scene *s, int byte)
{
	scene_restore(s);
	memset(s->damaged + GM_SUPER_A_OFFSET, byte, sizeof(struct gm_super));
	memset(s->damaged + GM_SUPER_B_OFFSET, byte, sizeof(struct gm_super));
}

static void expect_made_anew(enum world_shape shape, const char *script, uint64_t max_files)
{
	struct scene s;

	scene_init(&s, shape, script);
	s.max_files = max_files;
	for (int n = 0; n < 2; n++) {
		lose_both(&s, n ? 0xff : 0);
		scene_repair(&s, NULL);
		cr_expect(scene_is_as_before(&s, script));
		cr_expect(scene_is_sound(&s, script));
		cr_expect(scene_says(&s, false, "made anew from the checkpoint"));
		cr_expect(scene_says(&s, true, "the label"));
	}
	scene_deinit(&s);
}

Test(repair_super, both_are_made_anew_from_two_checkpoints)
{
	expect_made_anew(WORLD_FILE, twice, 0);
	expect_made_anew(WORLD_RESERVED, twice, 0);
	expect_made_anew(WORLD_GROUPS, "create a; size a 2; clean a; checkpoint; checkpoint", 0);
}

Test(repair_super, both_are_made_anew_from_one_checkpoint)
{
	expect_made_anew(WORLD_FILE, "create a; size a 3; clean a", 0);
	expect_made_anew(WORLD_RESERVED, "create a; size a 3; clean a", 0);
}

/* As those of a pool that no present mount has written. */
static void forget_plan(struct scene *s)
{
	for (unsigned n = 0; n < 2 * s->super.region_count; n++) {
		s->stamps[n].slot_units = s->stamps[n].files_less_1 = put_le32(0);
		s->stamps[n].checksum = codec_seal(&s->stamps[n], sizeof(s->stamps[n]));
	}
}

Test(repair_super, both_are_made_anew_from_the_number_of_files)
{
	struct scene s;

	for (unsigned told = 0; told < 2; told++) {
		scene_init(&s, WORLD_RESERVED, small);
		s.max_files = WORLD_FILES;
		forget_plan(&s);
		for (unsigned n = 0; told && n < 4; n++)
			s.stamp_pointers[n] = NULL;
		lose_both(&s, 0);
		scene_repair(&s, NULL);
		cr_expect(scene_is_as_before(&s, "told"));
		cr_expect(scene_is_sound(&s, "told"));
		scene_deinit(&s);
	}
}

static void expect_refused(struct scene *s, int error, const char *text)
{
	uint8_t *was = malloc(s->size);

	cr_assert(was);
	memcpy(was, s->damaged, s->size);
	scene_repair(s, NULL);
	cr_expect_eq(s->error, -error, "%d: %s", s->error, s->why.text);
	cr_expect_not_null(strstr(s->why.text, text), "%s", s->why.text);
	cr_expect_eq(memcmp(was, s->damaged, s->size), 0, "something was written");
	free(was);
}

/* Told so, the first block of the first file would be metadata. */
static uint64_t files_for_one_block_more(const struct scene *s)
{
	struct store_plan plan = {.meta_blocks = 0};
	uint64_t files = WORLD_FILES;

	while (plan.meta_blocks <= s->super.plan.meta_blocks)
		cr_assert_eq(
			store_plan(&plan, s->regions, s->super.region_count, files += 100, NULL),
			0);
	cr_assert_eq(plan.meta_blocks, s->super.plan.meta_blocks + 1);
	return files;
}

Test(repair_super, what_cannot_be_told_is_asked_for)
{
	struct scene s;

	scene_init(&s, WORLD_FILE, twice);
	lose_both(&s, 0);
	forget_plan(&s);
	expect_refused(&s, EINVAL, "say --max-files as at the format");
	s.max_files = files_for_one_block_more(&s);
	expect_refused(&s, EUCLEAN, "where no file can have any");
	s.max_files = 100000;
	expect_refused(&s, EINVAL, "region is too small");
	scene_deinit(&s);
}

Test(repair_super, what_is_another_pools_is_refused)
{
	static const uint8_t other[16] = {9, 9};
	struct scene s;

	scene_init(&s, WORLD_RESERVED, twice);
	lose_both(&s, 0);
	store_make_stamp(
		&s.stamps[2], other, 1, GM_STAMP_FIRST, s.regions[1].blocks, &s.super.plan, other);
	expect_refused(&s, EUCLEAN, "different pools");
	s.stamps[2] = s.stamps[1];
	s.stamps[2].slot_units = put_le32(get_le32(s.stamps[2].slot_units) * 2);
	s.stamps[2].checksum = codec_seal(&s.stamps[2], sizeof(s.stamps[2]));
	expect_refused(&s, EUCLEAN, "different pools");

	for (unsigned n = 0; n < 4; n++)
		store_make_stamp(&s.stamps[n], other, n / 2, n % 2 ? GM_STAMP_LAST : GM_STAMP_FIRST,
			s.regions[n / 2].blocks, &s.super.plan, other);
	expect_refused(&s, ENOENT, "nor is there any checkpoint");
	scene_deinit(&s);
}

Test(repair_super, regions_must_be_as_many_and_as_large)
{
	struct scene s;

	scene_init(&s, WORLD_RESERVED, twice);
	lose_both(&s, 0);
	s.super.region_count = 1;
	expect_refused(&s, EINVAL, "the pool has 2 region(s) and 1 are named");
	s.super.region_count = 2;
	s.regions[1].blocks--;
	expect_refused(&s, EUCLEAN, "give it its size back");
	scene_deinit(&s);
}

Test(repair_super, nothing_at_all_is_refused)
{
	struct scene s;

	scene_init(&s, WORLD_FILE, small);
	memset(s.damaged, 0, s.size);
	for (unsigned n = 0; n < 2; n++)
		s.stamp_pointers[n] = NULL;
	expect_refused(&s, ENOENT, "there is no filesystem on the region");
	scene_deinit(&s);
}

Test(repair_super, a_newer_format_is_left_alone)
{
	struct scene s;
	struct gm_super super;

	scene_init(&s, WORLD_FILE, twice);
	memcpy(&super, s.area, sizeof(super));
	super.feature_incompat = put_le64(1ULL << 40);
	super.checksum = codec_seal(&super, sizeof(super));
	memcpy(s.damaged + GM_SUPER_B_OFFSET, &super, sizeof(super));
	memset(s.damaged + GM_SUPER_A_OFFSET, 0, sizeof(super));
	expect_refused(&s, EPROTONOSUPPORT, "newer guestmemfs");
	/* With a bit turned it is still of a newer format. */
	s.damaged[GM_SUPER_B_OFFSET + 100] ^= 4;
	expect_refused(&s, EPROTONOSUPPORT, "incompat features");
	scene_deinit(&s);
}

/* In both superblocks, as a newer program has written them. */
static void set_feature(struct scene *s, size_t field, uint64_t bits)
{
	const gm_le64 features = put_le64(bits);
	struct gm_super super;

	memcpy(&super, s->area, sizeof(super));
	memcpy((uint8_t *)&super + field, &features, sizeof(features));
	super.checksum = codec_seal(&super, sizeof(super));
	memcpy(s->area + GM_SUPER_A_OFFSET, &super, sizeof(super));
	memcpy(s->area + GM_SUPER_B_OFFSET, &super, sizeof(super));
	scene_restore(s);
}

Test(repair_super, what_need_not_be_known_is_kept_and_what_must_be_is_left_alone)
{
	struct scene s;

	scene_init(&s, WORLD_FILE, twice);
	set_feature(&s, offsetof(struct gm_super, feature_compat), 1ULL << 17);
	turn(&s, 0, 800);
	turn(&s, 1, 800);
	expect_as_before(&s, "an unknown compat feature");
	set_feature(&s, offsetof(struct gm_super, feature_ro_compat), 1ULL << 17);
	turn(&s, 0, 800);
	expect_refused(&s, EPROTONOSUPPORT, "ro_compat features");
	scene_deinit(&s);
}
