// SPDX-License-Identifier: MIT
/* make DIRECTORY: writes the images and their listings. `generate` compresses them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../crash/reader.h"
#include "../crash/view_print.h"
#include "../crash/world.h"
#include "golden.h"

static int fail(const char *name, const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", name, what);
	return 1;
}

/* What was on the media when the first slot word of the last checkpoint had just got there. */
static void cut_short(struct image *i, const struct trace *t)
{
	size_t end = t->count;

	while (end > 0 && (t->events[end - 1].kind != TRACE_STORE ||
				  t->events[end - 1].offset != GM_SLOT_WORD_A_OFFSET))
		end--;
	image_rollback(i, 0);
	for (size_t n = 0; n < end; n++)
		if (t->events[n].kind == TRACE_STORE)
			image_store(i, t->events[n].offset, t->events[n].word);
}

static FILE *open_file(const char *directory, const char *name, const char *suffix)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s%s", directory, name, suffix);
	return fopen(path, "w");
}

static int put_at(FILE *f, uint64_t offset, const void *bytes, size_t length)
{
	return fseeko(f, (off_t)offset, SEEK_SET) < 0 || fwrite(bytes, length, 1, f) != 1;
}

/* Metadata area (or first block) and last block; what lies between belongs to the guests. The
 * stamps lie outside of what the store writes, but for the first one of region 0. */
static int write_region(const struct image *i, const struct view *v, uint32_t region, FILE *f)
{
	static const uint8_t zero;
	uint64_t head = region == 0 ? i->size : GM_BLOCK_SIZE;
	struct store_super super;
	struct gm_stamp stamp;
	int bad = put_at(f, head + GM_BLOCK_SIZE - 1, &zero, 1) ||
		  store_read_super(&super, i->words, 0, NULL) < 0;

	for (uint64_t n = 0; region == 0 && n < i->size / 8; n++)
		if (i->words[n])
			bad |= put_at(f, n * 8, &i->words[n], 8);
	for (enum gm_stamp_position p = GM_STAMP_FIRST; p <= GM_STAMP_LAST && !bad; p++) {
		store_make_stamp(&stamp, v->uuid, region, p, v->region_blocks[region], &super.plan,
			v->token);
		bad |= put_at(f, (p == GM_STAMP_LAST ? head : 0) + GM_STAMP_OFFSET, &stamp,
			sizeof(stamp));
	}
	return fclose(f) != 0 || bad;
}

static int write_files(const struct golden *g, const struct image *i, const char *directory)
{
	static struct reading reading;
	FILE *f;

	if (!reader_read(&reading, (const uint8_t *)i->words, i->size))
		return fail(g->name, reading.why);
	for (uint32_t r = 0; r < reading.view.region_count; r++) {
		f = open_file(directory, g->name, r ? ".1.img" : ".img");
		if (!f || write_region(i, &reading.view, r, f))
			return fail(g->name, "can't be written");
	}
	f = open_file(directory, g->name, ".listing");
	if (!f)
		return fail(g->name, "the listing can't be written");
	view_print(f, &reading.view);
	return fclose(f) != 0;
}

static int make(const struct golden *g, struct image *i, const char *directory)
{
	struct trace trace = {.count = 0};
	struct world w;
	int r;

	world_init(&w, g->shape, i, &trace);
	for (uint32_t n = 0; g->two_files && n < w.region_count; n++)
		w.regions[n] = (struct store_region){.kind = GM_REGION_FILE,
			.blocks = w.regions[n].blocks,
			.node = GM_NODE_NONE,
			.zeroed = true};
	if (!world_run(&w, g->script, NULL)) {
		r = fail(g->name, w.wrong);
	} else {
		if (g->cut_short)
			cut_short(i, &trace);
		r = write_files(g, i, directory);
	}
	world_deinit(&w);
	trace_deinit(&trace);
	image_rollback(i, 0);
	return r;
}

int main(int argc, char *argv[])
{
	struct image image;
	int r = 0;

	if (argc != 2)
		return fail("make", "give a directory") + 1;
	image_init(&image, WORLD_AREA);
	for (size_t n = 0; n < golden_image_count && r == 0; n++)
		r = make(&golden_images[n], &image, argv[1]);
	image_deinit(&image);
	return r;
}
