// SPDX-License-Identifier: MIT
/* What a repair knows of the last mount when its record is lost: whose memory it is then, and what
 * proof the next mount asks for. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "repair_fixture.h"

/* Of both ends of both regions. */
static void stamp(struct scene *s, unsigned n, const uint8_t token[16])
{
	store_make_stamp(&s->stamps[n], s->super.uuid, n / 2,
		n % 2 ? GM_STAMP_LAST : GM_STAMP_FIRST, s->regions[n / 2].blocks, &s->super.plan,
		token);
}

/* The journal begins with the record of the only mount; what it promised is in the stamps. A
 * checkpoint would keep it. */
static void make_mounted(struct scene *s)
{
	scene_init(s, WORLD_RESERVED, "create a; size a 1; clean a");
	memset(s->before.view.token, 0x77, sizeof(s->before.view.token));
	for (unsigned n = 0; n < 4; n++)
		stamp(s, n, s->before.view.token);
}

static void empty_journal(struct scene *s)
{
	memset(s->damaged + s->super.plan.journal_offset + 8, 0, s->super.plan.journal_size - 8);
}

static struct store *open_repaired(struct scene *s, struct media *media)
{
	struct problem why = PROBLEM_INIT;
	struct store *store = NULL;
	struct store_super super;

	*media = (struct media){.ops = &media_memory_ops, .base = s->damaged, .size = s->size};
	cr_assert_eq(store_read_super(&super, s->damaged, 0, &why), 0, "%s", why.text);
	cr_assert_eq(store_open(&store, media, &super, &why), 0, "%s", why.text);
	return store;
}

Test(repair_token, the_token_of_a_mount_whose_record_is_lost_is_the_stamps)
{
	struct scene s;

	make_mounted(&s);
	scene_repair_torn(&s);
	cr_expect_eq(memcmp(s.after.view.token, s.before.view.token, 16), 0);
	cr_expect(scene_says(&s, true, "the record of the last mount"));
	scene_deinit(&s);
}

static unsigned count_held(const struct meta *m)
{
	const struct inode *i;
	unsigned count = 0;

	for (size_t c = 0; (i = meta_each_inode(m, &c));)
		count += inode_is_held(i);
	return count;
}

/* In the boot of that mount nothing shows that it is: guests may run. --trust-memory says that none
 * does, and the mount is one of another boot. */
static void expect_refused_in_its_boot(struct scene *s)
{
	struct store_origin o = {.boot_id = {1}, .stamps_agree = true};
	struct problem why = PROBLEM_INIT;
	struct media media;
	struct store *store = open_repaired(s, &media);
	const struct meta *m = store_meta(store);

	cr_expect_eq(store_check_origin(store, &o, &why), -ESTALE);
	cr_expect_not_null(strstr(why.text, "--trust-memory"), "%s", why.text);
	o.by_kexec = o.has_token = true;
	memcpy(o.token, s->before.view.token, sizeof(o.token));
	cr_expect_eq(store_check_origin(store, &o, &why), 0, "after the next kexec: %s", why.text);

	cr_expect_gt(count_held(m), 0);
	cr_assert_eq(store_begin_mount(store, o.boot_id, &why), 0, "%s", why.text);
	cr_expect_neq(memcmp(m->token, s->before.view.token, sizeof(m->token)), 0);
	cr_expect_eq(count_held(m), 0);
	o.by_kexec = o.has_token = false;
	cr_expect_eq(store_check_origin(store, &o, &why), 0, "it is of this boot now");
	(void)store_close(store);
}

Test(repair_token, in_the_boot_of_a_mount_whose_record_is_lost_memory_must_be_trusted)
{
	struct scene s;

	make_mounted(&s);
	scene_repair_torn(&s);
	expect_refused_in_its_boot(&s);
	scene_deinit(&s);
}

/* Nothing in the journal tells that there was a mount; but the stamps do. */
Test(repair_token, nor_is_it_taken_for_a_pool_that_was_never_mounted)
{
	struct problem why = PROBLEM_INIT;
	struct store_origin o = {.boot_id = {1}, .stamps_agree = true};
	struct media media;
	struct scene s;

	make_mounted(&s);
	empty_journal(&s);
	scene_repair(&s, NULL);
	cr_assert_eq(s.error, 0, "%s", s.why.text);
	cr_assert(scene_is_sound(&s, "empty"));
	struct store *store = open_repaired(&s, &media);
	cr_expect_eq(store_check_origin(store, &o, &why), -ESTALE);
	(void)store_close(store);
	scene_deinit(&s);
}

/* Stamps that are damaged, or that tell of several mounts. */
static void lose_token(struct scene *s, bool several)
{
	uint8_t other[16];

	memset(other, 0x55, sizeof(other));
	for (unsigned n = 0; n < 4; n++)
		if (!several)
			memset(&s->stamps[n], 0xa5, sizeof(s->stamps[n]));
		else if (n % 2)
			stamp(s, n, other);
}

/*
 * Nothing tells what the last mount has promised, and in which boot it was: that may be this one,
 * so that a token of the mount before it, which this boot bears, is no proof. A repair writes
 * damaged stamps anew with the token that it leaves: they agree then.
 */
Test(repair_token, without_record_and_stamps_memory_must_be_trusted)
{
	struct problem why = PROBLEM_INIT;
	struct store_origin o = {
		.boot_id = {1}, .stamps_agree = true, .by_kexec = true, .has_token = true};

	for (unsigned i = 0; i < 4; i++) {
		const bool several = i & 1, first = i & 2;
		struct media media;
		struct scene s;

		make_mounted(&s);
		lose_token(&s, several);
		if (first) /* the mount was the first one, and nothing is left of it */
			empty_journal(&s);
		else
			scene_tear_journal(&s);
		scene_repair(&s, NULL);
		cr_assert_eq(s.error, 0, "%s", s.why.text);
		cr_assert(scene_is_sound(&s, several ? "several" : "damaged"));
		cr_expect(scene_says(&s, true, "--trust-memory"));
		struct store *store = open_repaired(&s, &media);
		memcpy(o.token, s.before.view.token, sizeof(o.token));
		cr_expect_eq(store_check_origin(store, &o, &why), -ESTALE, "%u", i);
		memset(o.token, 0, sizeof(o.token));
		cr_expect_eq(store_check_origin(store, &o, &why), -ESTALE, "%u", i);
		(void)store_close(store);
		scene_deinit(&s);
	}
}

/* This boot has the token of the mount before on its command line, and guests of a mount of its own
 * whose record is lost. Where that is there, the token is as good as ever. */
Test(repair_token, a_token_from_before_a_lost_record_is_no_proof)
{
	struct problem why = PROBLEM_INIT;
	struct store_origin o = {
		.boot_id = {2}, .stamps_agree = true, .by_kexec = true, .has_token = true};

	for (unsigned lost = 0; lost < 2; lost++) {
		struct gm_checkpoint before;
		struct media media;
		struct scene s;

		scene_init(&s, WORLD_RESERVED,
			lost ? "create a; size a 1; clean a; checkpoint; checkpoint; reboot; "
			       "create b"
			     : "create a; size a 1; clean a; reboot; checkpoint; checkpoint; "
			       "create b");
		memcpy(&before, s.area + scene_find_slot(&s), sizeof(before));
		lose_token(&s, false);
		s.boot_id[0] = 2;
		scene_repair_torn(&s);
		struct store *store = open_repaired(&s, &media);
		memcpy(o.token, before.token, sizeof(o.token));
		cr_expect_eq(
			store_check_origin(store, &o, &why), lost ? -ESTALE : 0, "%s", why.text);
		cr_expect_eq(scene_says(&s, true, "--trust-memory"), lost);
		(void)store_close(store);
		scene_deinit(&s);
	}
}

/* A first mount of this boot that died before the stamps had its token. It is this boot's all the
 * same: the one in the stamps is what this boot bears, and would be a proof without that record. */
Test(repair_token, the_token_of_a_mount_of_this_boot_is_not_taken_from_the_stamps)
{
	struct problem why = PROBLEM_INIT;
	struct store_origin o = {.boot_id = {2}};
	uint8_t before[16];
	struct media media;
	struct scene s;

	scene_init(&s, WORLD_RESERVED,
		"create a; size a 1; clean a; reboot; checkpoint; checkpoint; create b");
	memset(before, 0x33, sizeof(before));
	for (unsigned n = 0; n < 4; n++)
		stamp(&s, n, before);
	s.boot_id[0] = 2;
	scene_repair_torn(&s);
	struct store *store = open_repaired(&s, &media);
	cr_expect_eq(memcmp(store_meta(store)->token, s.before.view.token, 16), 0);
	cr_expect(!scene_says(&s, true, "the record of the last mount"));
	cr_expect_eq(store_check_origin(store, &o, &why), 0, "%s", why.text);
	(void)store_close(store);
	scene_deinit(&s);
}
