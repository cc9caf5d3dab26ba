// SPDX-License-Identifier: MIT
#include "repair_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/fsck.h"
#include "util/log.h"

void scene_init(struct scene *s, enum world_shape shape, const char *script)
{
	struct trace trace = {.count = 0};
	struct image image;
	struct world w;

	log_init("test_repair", LOG_LEVEL_ERROR);
	*s = (struct scene){.size = WORLD_AREA, .boot_id = {1}};
	image_init(&image, WORLD_AREA);
	world_init(&w, shape, &image, &trace);
	cr_assert(world_run(&w, script, NULL), "%s", w.wrong);
	s->super = w.super;
	memcpy(s->regions, w.super.regions, sizeof(s->regions));
	for (uint32_t r = 0; r < w.region_count; r++)
		s->regions[r].large_pages = w.regions[r].large_pages;
	s->area = malloc(s->size);
	s->damaged = calloc(1, s->size + GM_BLOCK_SIZE); /* for one that takes it for longer */
	cr_assert(s->area && s->damaged);
	memcpy(s->area, image.words, s->size);
	world_deinit(&w);
	trace_deinit(&trace);
	image_deinit(&image);
	cr_assert(reader_read(&s->before, s->area, s->size), "%s", s->before.why);
	for (uint32_t n = 0; n < 2 * s->super.region_count; n++) {
		store_make_stamp(&s->stamps[n], s->super.uuid, n / 2,
			n % 2 ? GM_STAMP_LAST : GM_STAMP_FIRST, s->regions[n / 2].blocks,
			&s->super.plan, s->before.view.token);
		s->stamp_pointers[n] = &s->stamps[n];
	}
	s->chance[0] = getenv("GM_SEED") ? (unsigned short)strtoul(getenv("GM_SEED"), NULL, 0) : 1;
	scene_restore(s);
}

uint32_t scene_chance(struct scene *s, uint32_t n)
{
	return (uint32_t)nrand48(s->chance) % n;
}

void scene_deinit(struct scene *s)
{
	salvage_report_deinit(&s->report);
	free(s->area);
	free(s->damaged);
}

void scene_restore(struct scene *s)
{
	memcpy(s->damaged, s->area, s->size);
}

static struct salvage_input describe(const struct scene *s)
{
	struct salvage_input in = {.area = s->damaged,
		.area_bytes = s->size,
		.region_count = s->super.region_count,
		.regions = s->regions,
		.stamps = s->stamp_pointers,
		.max_files = s->max_files,
		.now = 2000};

	memcpy(in.boot_id, s->boot_id, sizeof(in.boot_id));
	return in;
}

int scene_find_super(struct scene *s, struct store_super *ret)
{
	struct salvage_input in = describe(s);
	bool anew;

	salvage_report_deinit(&s->report);
	return salvage_find_super(ret, &anew, &in, &s->report, &s->why);
}

static int repair(struct scene *s, struct media *media)
{
	struct media direct = {.ops = &media_memory_ops, .base = s->damaged, .size = s->size};
	struct salvage_input in = describe(s);
	struct salvage *salvage = NULL;
	struct store_super super;
	bool anew;
	int r = salvage_find_super(&super, &anew, &in, &s->report, &s->why);

	if (r < 0)
		return r;
	in.area_bytes = super.plan.meta_blocks * GM_BLOCK_SIZE;
	r = salvage_new(&salvage, &in, &super, anew, &s->report, &s->why);
	if (r < 0)
		return r;
	s->needed = salvage_is_needed(salvage);
	if (s->needed)
		salvage_write(salvage, media ? media : &direct);
	salvage_free(salvage);
	return 0;
}

void scene_repair(struct scene *s, struct media *media)
{
	salvage_report_deinit(&s->report);
	s->why = PROBLEM_INIT;
	s->needed = false;
	s->error = repair(s, media);
}

__attribute__((format(printf, 2, 3))) static bool wrong(const char *what, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	cr_log_error("%s: %s", what, text);
	return false;
}

static uint64_t fsck_errors(const struct scene *s)
{
	const struct gm_stamp *stamps[2 * VIEW_REGIONS] = {NULL};
	uint64_t bytes[VIEW_REGIONS], errors;
	struct fsck_report report;
	struct fsck_input in = {.area = s->damaged,
		.area_bytes = s->size,
		.region_count = s->super.region_count,
		.region_bytes = bytes,
		.stamps = stamps};

	for (uint32_t r = 0; r < s->super.region_count; r++)
		bytes[r] = s->super.regions[r].blocks * GM_BLOCK_SIZE;
	cr_assert_eq(fsck_run(&report, &in), 0);
	errors = report.errors;
	if (errors)
		cr_log_error("%s", report.findings[0].text);
	fsck_report_deinit(&report);
	return errors;
}

/* Recovery takes it, and so does a mount. */
static int mount(struct scene *s, struct problem *why)
{
	uint8_t *copy = malloc(s->size);
	struct media media = {.ops = &media_memory_ops, .base = copy, .size = s->size};
	struct store_super super;
	struct store *store = NULL;
	int r;

	cr_assert(copy);
	memcpy(copy, s->damaged, s->size);
	r = store_read_super(&super, copy, 0, why);
	if (r == 0)
		r = store_open(&store, &media, &super, why);
	if (r == 0)
		r = store_begin_mount(store, s->boot_id, why);
	store_close(store);
	free(copy);
	return r;
}

/* What a file had is used or out of use, and whoever had it alone has it, or nobody's file has. */
static bool keeps_blocks(const struct scene *s, const char *what)
{
	for (uint32_t r = 0; r < s->super.region_count; r++)
		for (uint64_t n = 0; n < s->regions[r].blocks; n++) {
			const struct view_block *was = &s->before.view.blocks[r][n],
						*is = &s->after.view.blocks[r][n];

			if (was->ino && !is->used && !is->quarantined && !is->poisoned)
				return wrong(what,
					"block %" PRIu64 " of region %" PRIu32 " was inode %" PRIu64
					"'s and is free",
					n, r, was->ino);
			if (was->ino && was->clean && is->used && !is->clean)
				return wrong(what,
					"block %" PRIu64 " of region %" PRIu32
					" will be zeroed, and has the bytes of inode %" PRIu64,
					n, r, was->ino);
		}
	return true;
}

static bool does_nothing_more(struct scene *s, const char *what)
{
	uint8_t *was = malloc(s->size);
	bool same;

	cr_assert(was);
	memcpy(was, s->damaged, s->size);
	scene_repair(s, NULL);
	same = s->error == 0 && !s->needed && memcmp(was, s->damaged, s->size) == 0;
	free(was);
	return same || wrong(what, "a second repair has something to do: %s", s->why.text);
}

bool scene_is_sound(struct scene *s, const char *what)
{
	struct salvage_report report = s->report;
	struct problem why = PROBLEM_INIT;
	int error = s->error;
	bool good;

	if (error < 0)
		return strlen(s->why.text) > 20 || wrong(what, "%d and no sentence", error);
	if (!reader_read(&s->after, s->damaged, s->size))
		return wrong(what, "the reader refuses it: %s", s->after.why);
	if (fsck_errors(s) > 0)
		return wrong(what, "fsck finds errors");
	if (mount(s, &why) < 0)
		return wrong(what, "no mount: %s", why.text);
	s->report = (struct salvage_report){.count = 0};
	good = (s->forgets_blocks || keeps_blocks(s, what)) && does_nothing_more(s, what);
	salvage_report_deinit(&s->report);
	s->report = report;
	return good;
}

bool scene_is_as_before(struct scene *s, const char *what)
{
	char text[512];

	if (s->error < 0)
		return wrong(what, "refused: %s", s->why.text);
	if (!reader_read(&s->after, s->damaged, s->size))
		return wrong(what, "the reader refuses it: %s", s->after.why);
	if (view_hash(&s->after.view) == view_hash(&s->before.view))
		return true;
	view_describe_difference(&s->after.view, &s->before.view, text, sizeof(text));
	return wrong(what, "%s", text);
}

bool scene_says(const struct scene *s, bool lost, const char *text)
{
	for (size_t n = 0; n < s->report.count; n++)
		if (s->report.notes[n].lost == lost && strstr(s->report.notes[n].text, text))
			return true;
	return false;
}

const struct view_entry *scene_find_entry(const struct view *v, const char *name)
{
	for (uint32_t n = 0; n < v->entry_count; n++)
		if (v->entries[n].name_len == strlen(name) &&
			memcmp(v->entries[n].name, name, strlen(name)) == 0)
			return &v->entries[n];
	return NULL;
}

const struct gm_inode *scene_find_inode(const struct view *v, uint64_t ino)
{
	for (uint32_t n = 0; n < v->inode_count; n++)
		if (get_le64(v->inodes[n].ino) == ino)
			return &v->inodes[n];
	return NULL;
}

/* ---- a torn journal ---- */

void scene_tear_journal(struct scene *s)
{
	memset(s->damaged + s->super.plan.journal_offset + 8, 0xa5, 48);
}

void scene_repair_torn(struct scene *s)
{
	scene_tear_journal(s);
	scene_repair(s, NULL);
	cr_assert_eq(s->error, 0, "%s", s->why.text);
	cr_assert(scene_is_sound(s, "torn"));
}

/* ---- places ---- */

uint64_t scene_find_slot(const struct scene *s)
{
	struct codec_word word;

	cr_assert(codec_decode_slot_word(codec_read_word(s->area + GM_SLOT_WORD_A_OFFSET), &word));
	return s->super.plan.slot_offset[word.value];
}

uint64_t scene_find_section(const struct scene *s, enum gm_section_type type, uint64_t *count)
{
	uint64_t slot = scene_find_slot(s);
	struct gm_checkpoint h;

	memcpy(&h, s->area + slot, sizeof(h));
	for (uint32_t n = 0; n < get_le32(h.section_count); n++)
		if (get_le32(h.sections[n].type) == (uint32_t)type) {
			*count = get_le64(h.sections[n].count);
			return slot + get_le64(h.sections[n].offset);
		}
	*count = 0;
	return 0;
}

struct gm_dirent *scene_find_dirent(struct scene *s, const char *name)
{
	uint64_t count, at = scene_find_section(s, GM_SECTION_DIRENTS, &count);

	for (uint64_t n = 0; n < count; n++) {
		struct gm_dirent *d = (void *)(s->damaged + at);

		if (get_le16(d->name_len) == strlen(name) && memcmp(d + 1, name, strlen(name)) == 0)
			return d;
		at += codec_dirent_bytes(get_le16(d->name_len));
	}
	cr_assert(false, "no entry %s", name);
	return NULL;
}

void scene_seal(struct scene *s)
{
	uint8_t *slot = s->damaged + scene_find_slot(s);
	struct gm_checkpoint h;

	memcpy(&h, slot, sizeof(h));
	for (uint32_t n = 0; n < get_le32(h.section_count) && n < GM_SECTIONS_MAX; n++)
		h.sections[n].checksum = put_le64(codec_checksum(
			slot + get_le64(h.sections[n].offset), get_le64(h.sections[n].length)));
	h.checksum = codec_seal(&h, sizeof(h));
	memcpy(slot, &h, sizeof(h));
}
