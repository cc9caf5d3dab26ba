// SPDX-License-Identifier: MIT
/*
 * What a repair must not show to somebody else: content and memory that a lost change has given
 * away, what was behind a closed directory, and a guest's memory as the content store.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "repair_fixture.h"
#include "util/le.h"

static const struct view_entry *find_entry(const struct view *v, const char *name)
{
	for (uint32_t n = 0; n < v->entry_count; n++)
		if (v->entries[n].name_len == strlen(name) &&
			memcmp(v->entries[n].name, name, strlen(name)) == 0)
			return &v->entries[n];
	return NULL;
}

static uint64_t ino_of(const struct view *v, const char *name)
{
	const struct view_entry *e = find_entry(v, name);

	cr_assert_not_null(e, "no %s", name);
	return e->ino;
}

/* Units in both files' pieces. */
static uint64_t count_shared(const struct view *v, uint64_t ino, const struct view *w, uint64_t of)
{
	uint64_t count = 0;

	for (uint32_t n = 0; n < v->piece_count; n++)
		for (uint32_t k = 0; k < w->piece_count; k++) {
			const struct view_piece *a = &v->pieces[n], *b = &w->pieces[k];

			if (a->ino != ino || b->ino != of)
				continue;
			for (uint64_t u = a->store_unit; u < a->store_unit + a->count; u++)
				count += u >= b->store_unit && u < b->store_unit + b->count;
		}
	return count;
}

static void repair_torn(struct scene *s)
{
	memset(s->damaged + s->super.plan.journal_offset + 8, 0xa5, 48);
	scene_repair(s, NULL);
	cr_assert_eq(s->error, 0, "%s", s->why.text);
	cr_assert(scene_is_sound(s, "torn"));
}

Test(repair_tenants, content_that_a_lost_change_has_overwritten_is_not_shown)
{
	struct scene s;
	uint64_t x, y;

	scene_init(&s, WORLD_FILE,
		"mkdir c; mark c; contents; room 1; create c/x; write c/x 0 3; checkpoint; "
		"checkpoint; create b; size c/x 0; create c/y; write c/y 0 2");
	x = ino_of(&s.before.view, "x");
	y = ino_of(&s.before.view, "y");
	repair_torn(&s);
	cr_expect_eq(ino_of(&s.after.view, "x"), x);
	cr_expect_eq(count_shared(&s.after.view, x, &s.before.view, y), 0);
	cr_expect_eq(
		count_shared(&s.after.view, ino_of(&s.after.view, "content"), &s.before.view, y),
		2);
	cr_expect(scene_says(&s, true, "whose place a lost change has given to another file"));
	scene_deinit(&s);
}

Test(repair_tenants, memory_of_a_guest_does_not_stay_the_content_stores)
{
	struct scene s;
	uint64_t g, blocks;

	scene_init(&s, WORLD_FILE,
		"mkdir c; mark c; contents; room 1; create c/x; write c/x 0 3; checkpoint; "
		"checkpoint; create b; cut c/x 0; trim; create g; size g 11");
	g = ino_of(&s.before.view, "g");
	repair_torn(&s);
	blocks = ino_of(&s.after.view, "blocks");
	for (uint64_t n = 0; n < s.regions[0].blocks; n++)
		if (s.before.view.blocks[0][n].ino == g)
			cr_expect_eq(s.after.view.blocks[0][n].ino, blocks, "block %lu", n);
	cr_expect_eq(s.after.view.piece_count, 0);
	cr_expect(scene_says(&s, true, "whose place a lost change has given to another file"));
	cr_expect(scene_says(&s, true, "which a lost change has given to another file"));
	scene_deinit(&s);
}

Test(repair_tenants, a_directory_of_a_users_is_not_lost_and_found)
{
	struct scene s;
	char name[32];
	uint64_t f, count, at;

	scene_init(&s, WORLD_FILE,
		"mkdir lost+found; mkdir d; create d/f; size d/f 1; clean d/f; checkpoint; create "
		"z; checkpoint; create y");
	f = ino_of(&s.before.view, "f");
	(void)snprintf(name, sizeof(name), "#%lu", f);
	at = scene_find_section(&s, GM_SECTION_DIRENTS, &count);
	for (uint64_t n = 0; n < count; n++) {
		struct gm_dirent *d = (void *)(s.damaged + at);

		if (get_le64(d->ino) == f)
			d->ino = put_le64(999);
		at += sizeof(*d) + (get_le16(d->name_len) + 7U) / 8 * 8;
	}
	scene_seal(&s);
	scene_repair(&s, NULL);
	cr_assert_eq(s.error, 0, "%s", s.why.text);
	cr_assert(scene_is_sound(&s, "name"));
	cr_expect_eq(
		find_entry(&s.after.view, name)->parent, ino_of(&s.after.view, "lost+found.1"));
	scene_deinit(&s);
}

/* Of two files without inode and name one is a guest's, which was unlinked while in use. */
Test(repair_tenants, a_guests_memory_does_not_become_the_content_store)
{
	static const char *const scripts[] = {
		"create h; size h 1; clean h; hold h; unlink h; mkdir c; mark c; contents; room 1; "
		"create c/x; write c/x 0 3; checkpoint; create z; checkpoint; create y",
		"mkdir c; mark c; contents; room 1; create c/x; write c/x 0 3; create h; size h 1; "
		"clean h; hold h; unlink h; checkpoint; create z; checkpoint; create y"};

	for (unsigned k = 0; k < 2; k++) {
		struct scene s;
		uint64_t count, at;

		scene_init(&s, WORLD_FILE, scripts[k]);
		at = scene_find_section(&s, GM_SECTION_INODES, &count);
		for (uint64_t n = 0; n < count; n++) {
			struct gm_inode *i = (void *)(s.damaged + at + n * sizeof(*i));

			if (get_le32(i->links) == 0)
				memset(i, 0, sizeof(*i));
		}
		scene_seal(&s);
		scene_repair(&s, NULL);
		cr_assert_eq(s.error, 0, "%s", s.why.text);
		cr_expect(scene_is_sound(&s, "orphan"));
		for (uint32_t n = 0; n < s.after.view.inode_count; n++)
			cr_expect_eq(get_le64(s.after.view.inodes[n].flags) & GM_INODE_CONTENTS, 0);
		cr_expect_eq(s.after.view.piece_count, 0);
		scene_deinit(&s);
	}
}

static const struct gm_inode *inode_of(const struct view *v, uint64_t ino)
{
	for (uint32_t n = 0; n < v->inode_count; n++)
		if (get_le64(v->inodes[n].ino) == ino)
			return &v->inodes[n];
	cr_assert(false, "no inode %lu", ino);
	return NULL;
}

static uint32_t mode_of(const struct scene *s, const char *name)
{
	return get_le32(inode_of(&s->after.view, ino_of(&s->after.view, name))->mode) & 07777;
}

/* a's memory may have gone to another tenant by the change that can't be read. */
Test(repair_tenants, a_file_that_may_show_anothers_bytes_is_closed)
{
	struct scene s;

	scene_init(&s, WORLD_FILE,
		"create a; size a 2; clean a; create e; checkpoint; checkpoint; unlink a; create "
		"b; size b 3");
	repair_torn(&s);
	cr_expect_eq(mode_of(&s, "a"), 0600);
	cr_expect_eq(mode_of(&s, "e"),
		get_le32(inode_of(&s.before.view, ino_of(&s.before.view, "e"))->mode) & 07777,
		"it has nothing to show");
	cr_expect(scene_says(&s, true, "it may show what others wrote"));
	scene_deinit(&s);
}

/* A section of a bitmap each: a bit that can't be turned back, as two are. */
static void spoil_map(struct scene *s, enum gm_section_type type)
{
	uint64_t count, at = scene_find_section(s, type, &count);

	s->damaged[at] ^= 0xa5;
	scene_repair(s, NULL);
	cr_assert_eq(s->error, 0, "%s", s->why.text);
	cr_assert(s->needed);
	cr_assert(scene_is_sound(s, "map"));
}

Test(repair_tenants, a_dirty_block_stays_dirty_or_its_file_is_closed)
{
	static const char script[] =
		"create a; size a 11; clean a; size a 1; create b; size b 2; checkpoint; "
		"create z; checkpoint; create y";
	struct scene s;
	uint64_t b, dirty = 0;

	scene_init(&s, WORLD_FILE, script);
	spoil_map(&s, GM_SECTION_CLEAN);
	cr_expect_eq(mode_of(&s, "a"), 0600);
	cr_expect_eq(mode_of(&s, "b"), 0600);
	scene_deinit(&s);

	scene_init(&s, WORLD_FILE, script);
	spoil_map(&s, GM_SECTION_QUARANTINED);
	b = ino_of(&s.after.view, "b");
	cr_expect_eq(mode_of(&s, "b"), get_le32(inode_of(&s.before.view, b)->mode) & 07777);
	for (uint64_t n = 0; n < s.regions[0].blocks; n++)
		dirty += s.after.view.blocks[0][n].ino == b && !s.after.view.blocks[0][n].clean;
	cr_expect_eq(dirty, 2);
	scene_deinit(&s);
}

/* ---- the record of the last mount ---- */

/* The journal begins with the record of the only mount; what it promised is in the stamps. A
 * checkpoint would keep it. */
static void make_mounted(struct scene *s)
{
	scene_init(s, WORLD_RESERVED, "create a; size a 1; clean a");
	memset(s->before.view.token, 0x77, sizeof(s->before.view.token));
	for (unsigned n = 0; n < 4; n++)
		store_make_stamp(&s->stamps[n], s->super.uuid, n / 2,
			n % 2 ? GM_STAMP_LAST : GM_STAMP_FIRST, s->regions[n / 2].blocks,
			&s->super.plan, s->before.view.token);
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

Test(repair_tenants, the_token_of_a_mount_whose_record_is_lost_is_the_stamps)
{
	struct scene s;

	make_mounted(&s);
	repair_torn(&s);
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

Test(repair_tenants, in_the_boot_of_a_mount_whose_record_is_lost_memory_must_be_trusted)
{
	struct scene s;

	make_mounted(&s);
	repair_torn(&s);
	expect_refused_in_its_boot(&s);
	scene_deinit(&s);
}

/* Nothing in the journal tells that there was a mount; but the stamps do. */
Test(repair_tenants, nor_is_it_taken_for_a_pool_that_was_never_mounted)
{
	struct problem why = PROBLEM_INIT;
	struct store_origin o = {.boot_id = {1}, .stamps_agree = true};
	struct media media;
	struct scene s;

	make_mounted(&s);
	memset(s.damaged + s.super.plan.journal_offset + 8, 0, s.super.plan.journal_size - 8);
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
			store_make_stamp(&s->stamps[n], s->super.uuid, n / 2, GM_STAMP_LAST,
				s->regions[n / 2].blocks, &s->super.plan, other);
}

/*
 * Nothing tells what the last mount has promised, and in which boot it was: that may be this one,
 * so that a token of the mount before it, which this boot bears, is no proof. A repair writes
 * damaged stamps anew with the token that it leaves: they agree then.
 */
Test(repair_tenants, without_record_and_stamps_memory_must_be_trusted)
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
			memset(s.damaged + s.super.plan.journal_offset + 8, 0,
				s.super.plan.journal_size - 8);
		else
			memset(s.damaged + s.super.plan.journal_offset + 8, 0xa5, 48);
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
Test(repair_tenants, a_token_from_before_a_lost_record_is_no_proof)
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
		repair_torn(&s);
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
Test(repair_tenants, the_token_of_a_mount_of_this_boot_is_not_taken_from_the_stamps)
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
		store_make_stamp(&s.stamps[n], s.super.uuid, n / 2,
			n % 2 ? GM_STAMP_LAST : GM_STAMP_FIRST, s.regions[n / 2].blocks,
			&s.super.plan, before);
	s.boot_id[0] = 2;
	repair_torn(&s);
	struct store *store = open_repaired(&s, &media);
	cr_expect_eq(memcmp(store_meta(store)->token, s.before.view.token, 16), 0);
	cr_expect(!scene_says(&s, true, "the record of the last mount"));
	cr_expect_eq(store_check_origin(store, &o, &why), 0, "%s", why.text);
	(void)store_close(store);
	scene_deinit(&s);
}
