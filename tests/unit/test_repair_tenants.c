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

static uint64_t ino_of(const struct view *v, const char *name)
{
	const struct view_entry *e = scene_find_entry(v, name);

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

Test(repair_tenants, content_that_a_lost_change_has_overwritten_is_not_shown)
{
	struct scene s;
	uint64_t x, y;

	scene_init(&s, WORLD_FILE,
		"mkdir c; mark c; contents; room 1; create c/x; write c/x 0 3; checkpoint; "
		"checkpoint; create b; size c/x 0; create c/y; write c/y 0 2");
	x = ino_of(&s.before.view, "x");
	y = ino_of(&s.before.view, "y");
	scene_repair_torn(&s);
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
	scene_repair_torn(&s);
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
	uint64_t f;

	scene_init(&s, WORLD_FILE,
		"mkdir lost+found; mkdir d; create d/f; size d/f 1; clean d/f; checkpoint; create "
		"z; checkpoint; create y");
	f = ino_of(&s.before.view, "f");
	(void)snprintf(name, sizeof(name), "#%lu", f);
	scene_find_dirent(&s, "f")->ino = put_le64(999);
	scene_seal(&s);
	scene_repair(&s, NULL);
	cr_assert_eq(s.error, 0, "%s", s.why.text);
	cr_assert(scene_is_sound(&s, "name"));
	cr_expect_eq(scene_find_entry(&s.after.view, name)->parent,
		ino_of(&s.after.view, "lost+found.1"));
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

static uint32_t mode_of(const struct view *v, const char *name)
{
	const struct gm_inode *i = scene_find_inode(v, ino_of(v, name));

	cr_assert_not_null(i, "no inode of %s", name);
	return get_le32(i->mode) & 07777;
}

/* a's memory may have gone to another tenant by the change that can't be read. */
Test(repair_tenants, a_file_that_may_show_anothers_bytes_is_closed)
{
	struct scene s;

	scene_init(&s, WORLD_FILE,
		"create a; size a 2; clean a; create e; checkpoint; checkpoint; unlink a; create "
		"b; size b 3");
	scene_repair_torn(&s);
	cr_expect_eq(mode_of(&s.after.view, "a"), 0600);
	cr_expect_eq(mode_of(&s.after.view, "e"), mode_of(&s.before.view, "e"),
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
	cr_expect_eq(mode_of(&s.after.view, "a"), 0600);
	cr_expect_eq(mode_of(&s.after.view, "b"), 0600);
	scene_deinit(&s);

	scene_init(&s, WORLD_FILE, script);
	spoil_map(&s, GM_SECTION_QUARANTINED);
	b = ino_of(&s.after.view, "b");
	cr_expect_eq(mode_of(&s.after.view, "b"), mode_of(&s.before.view, "b"));
	for (uint64_t n = 0; n < s.regions[0].blocks; n++)
		dirty += s.after.view.blocks[0][n].ino == b && !s.after.view.blocks[0][n].clean;
	cr_expect_eq(dirty, 2);
	scene_deinit(&s);
}
