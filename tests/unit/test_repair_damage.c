// SPDX-License-Identifier: MIT
/*
 * Damage anywhere in the metadata area: each page, and lines and words chosen by chance (GM_SEED;
 * the same without it). GM_REPAIR_ALL=1 tries every page in every way, and more lines.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "repair_fixture.h"
#include "rounds.h"
#include "util/le.h"

#define PAGE 4096U

static const char full_checkpoint[] =
	"mkdir d; create d/f; size d/f 2; clean d/f; create a; size a 3; clean a; create b; size b "
	"1; "
	"link a l; symlink s d/f; mknod p p; create h; size h 1; hold h; attribute a x; mkdir c; "
	"mark c; contents; room 1; create c/x; write c/x 0 3; checkpoint; create n; size n 1; "
	"clean "
	"n; checkpoint";

/* The journal of the checkpoint before is written over: nothing but this one has what is in it. */
static const char lone_checkpoint[] =
	"mkdir d; create d/f; size d/f 2; clean d/f; checkpoint; create a; size a 3; clean a; "
	"create b; size b 1; link a l; symlink s d/f; mknod p p; create h; size h 1; hold h; "
	"attribute a x; mkdir c; mark c; contents; room 1; create c/x; write c/x 0 3; create c/y; "
	"write c/y 0 2; mkdir d/e; create d/g; checkpoint; create z";

static const char full_journal[] = "mkdir d; create d/f; size d/f 2; clean d/f; checkpoint; create "
				   "a; size a 3; clean a; rename "
				   "d/f g; create b; size b 1; size a 1; create e; size e 2; "
				   "unlink g; link a l; chown a; create "
				   "z";

static bool try_all(void)
{
	return getenv("GM_REPAIR_ALL") != NULL;
}

static void damage(struct scene *s, uint64_t from, size_t length, unsigned how)
{
	uint8_t *at = s->damaged + from;

	memset(at, how == 0 ? 0 : 0xff, length);
	for (size_t n = 0; how == 2 && n < length; n++)
		at[n] = (uint8_t)scene_chance(s, 256);
}

static bool is_used(const struct scene *s, uint64_t page)
{
	for (unsigned n = 0; n < PAGE; n++)
		if (s->area[page * PAGE + n])
			return true;
	return false;
}

/* Is the object at `at` outside of what is damaged? */
static bool is_outside(uint64_t at, size_t size, uint64_t from, uint64_t length)
{
	return at + size <= from || at >= from + length;
}

/* A symlink is its record and its target. */
static bool is_hit_elsewhere(
	const struct scene *s, const struct gm_inode *i, uint64_t from, uint64_t length)
{
	uint64_t count, targets = scene_find_section(s, GM_SECTION_TARGETS, &count);

	return S_ISLNK(get_le32(i->mode)) && from + length > targets;
}

/* Owner and mode; or nobody but root opens it, and the report says what it was. */
static bool has_owner(const struct scene *s, const struct gm_inode *is, const struct gm_inode *was)
{
	const struct gm_inode *root = scene_find_inode(&s->after.view, GM_ROOT_INO);
	char text[96];

	if (memcmp(&is->mode, &was->mode, 12) == 0)
		return true;
	(void)snprintf(text, sizeof(text),
		"inode %" PRIu64 ": that uid %" PRIu32 " and gid %" PRIu32
		" may open it with mode %04o",
		get_le64(was->ino), get_le32(was->uid), get_le32(was->gid),
		get_le32(was->mode) & 07777);
	return get_le32(is->mode) == (S_IFREG | 0600) && is->uid.raw == root->uid.raw &&
	       scene_says(s, true, text);
}

/* Each inode whose record was not hit is there with owner, mode and size; and so is each block of
 * an extent that was not. */
static bool keeps_what_stood_whole(const struct scene *s, uint64_t from, uint64_t length)
{
	uint64_t count, at = scene_find_section(s, GM_SECTION_INODES, &count);

	for (uint64_t n = 0; n < count; n++, at += sizeof(struct gm_inode)) {
		const struct gm_inode *was = (const void *)(s->area + at),
				      *is = scene_find_inode(&s->after.view, get_le64(was->ino));

		if (is_outside(at, sizeof(*was), from, length) &&
			!is_hit_elsewhere(s, was, from, length) &&
			(!is || !has_owner(s, is, was) ||
				get_le64(is->size) != get_le64(was->size)))
			return false;
	}
	at = scene_find_section(s, GM_SECTION_EXTENTS, &count);
	for (uint64_t n = 0; n < count; n++, at += sizeof(struct gm_extent)) {
		const struct gm_extent *e = (const void *)(s->area + at);
		const struct view_block *b =
			&s->after.view.blocks[get_le16(e->region)][get_le64(e->block)];

		for (uint32_t k = 0; k < get_le32(e->count); k++)
			if (is_outside(at, sizeof(*e), from, length) &&
				(b[k].ino != get_le64(e->ino) ||
					b[k].file_block != get_le64(e->file_block) + k))
				return false;
	}
	return true;
}

static void try_damage(struct scene *s, uint64_t from, uint64_t length, unsigned how)
{
	uint64_t slot = scene_find_slot(s), tail;
	struct gm_checkpoint header;
	char what[96];

	(void)snprintf(what, sizeof(what), "%" PRIu64 " bytes at 0x%" PRIx64 ", way %u", length,
		from, how);
	scene_restore(s);
	damage(s, from, length, how);
	scene_repair(s, NULL);
	cr_expect(scene_is_sound(s, what));
	memcpy(&header, s->area + slot, sizeof(header));
	memcpy(&tail, s->area + GM_TAIL_WORD_OFFSET, sizeof(tail));
	cr_expect_eq(s->error, 0, "%s: %s", what, s->why.text);
	if (from >= slot + sizeof(header) && from < slot + get_le64(header.length))
		cr_expect(keeps_what_stood_whole(s, from, length), "%s", what);
	else if (from < GM_BLOCK_SIZE)
		cr_expect(scene_is_as_before(s, what));
}

/* Each page that is in use in every way (with ASan in one: rounds.h), of the others some. */
static void try_pages(enum world_shape shape, const char *script)
{
	const unsigned ways = try_all() ? 1 : rounds_one_of(3);
	struct scene s;

	scene_init(&s, shape, script);
	for (uint64_t page = 0; page < s.size / PAGE; page++) {
		bool all = try_all() || is_used(&s, page);

		for (unsigned how = (unsigned)page % ways; how < 3; how += ways)
			if (all || scene_chance(&s, 100) == 0)
				try_damage(&s, page * PAGE, PAGE, how);
	}
	scene_deinit(&s);
}

Test(repair_damage, every_page_of_a_pool_in_its_checkpoint)
{
	try_pages(WORLD_FILE, full_checkpoint);
}

Test(repair_damage, every_page_of_a_pool_whose_checkpoint_stands_alone)
{
	try_pages(WORLD_FILE, lone_checkpoint);
}

Test(repair_damage, every_page_of_a_pool_in_its_journal)
{
	try_pages(WORLD_FILE, full_journal);
}

Test(repair_damage, every_page_of_a_pool_of_two_regions)
{
	try_pages(WORLD_RESERVED, full_checkpoint);
}

/* Damage as small as a line or a word hits one object and leaves its neighbours. */
static void try_lines(const char *script)
{
	static const unsigned lengths[] = {8, 16, 64, 192, 512};
	uint64_t slot, length;
	struct gm_checkpoint h;
	struct scene s;

	scene_init(&s, WORLD_FILE, script);
	slot = scene_find_slot(&s);
	memcpy(&h, s.area + slot, sizeof(h));
	length = get_le64(h.length) - sizeof(h);
	for (unsigned n = 0; n < (try_all() ? 5000 : 200 / rounds_one_of(4)); n++) {
		unsigned size = lengths[scene_chance(&s, 5)];
		uint64_t at =
			slot + sizeof(h) + scene_chance(&s, (uint32_t)(length - size)) / 8 * 8;

		try_damage(&s, at, size, n % 3);
	}
	scene_deinit(&s);
}

Test(repair_damage, lines_and_words_of_a_checkpoint)
{
	try_lines(full_checkpoint);
}

Test(repair_damage, lines_and_words_of_a_checkpoint_that_stands_alone)
{
	try_lines(lone_checkpoint);
}
