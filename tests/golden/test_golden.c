// SPDX-License-Identifier: MIT
/*
 * test_golden DIRECTORY: reads the golden images, by recovery and by the reader of tests/crash, and
 * goes on from them; then changes one of them in every way that this version must refuse, or keep.
 * Prints TAP.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../crash/reader.h"
#include "../crash/view_print.h"
#include "../crash/world.h"
#include "golden.h"
#include "reserved.h"
#include "store/codec.h"
#include "store/fsck.h"
#include "store/salvage.h"
#include "util/cleanup.h"
#include "util/log.h"

struct test {
	const char *directory;
	struct image image;
	struct reading reading;
	struct view view;
	unsigned count;
	unsigned failed;
	char wrong[1024]; /* with this one; empty: nothing so far */
};

__attribute__((format(printf, 2, 3))) static bool wrong(struct test *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(t->wrong, sizeof(t->wrong), format, ap);
	va_end(ap);
	return false;
}

static void result(struct test *t, const char *name)
{
	printf("%sok %u - %s\n", t->wrong[0] ? "not " : "", ++t->count, name);
	if (t->wrong[0])
		printf("# %s\n", t->wrong);
	t->failed += t->wrong[0] != '\0';
	t->wrong[0] = '\0';
}

/* ---- the images ---- */

static bool load_image(struct test *t, const char *name)
{
	char command[4096];
	size_t words;
	uint64_t word;
	FILE *f;

	image_rollback(&t->image, 0);
	(void)snprintf(
		command, sizeof(command), "exec gzip -dc <'%s/%s.img.gz'", t->directory, name);
	f = popen(command, "r");
	if (!f)
		return wrong(t, "%s: %s", command, strerror(errno));
	for (words = 0; words < t->image.size / 8 && fread(&word, sizeof(word), 1, f) == 1; words++)
		image_store(&t->image, words * 8, word);
	while (fread(&word, sizeof(word), 1, f) == 1)
		; /* the last block */
	return (pclose(f) == 0 && words == t->image.size / 8) || wrong(t, "%s failed", command);
}

/* The listing that recovery must give, malloc'ed. */
static char *load_listing(const struct test *t, const char *name)
{
	char path[4096], *text = NULL;
	size_t size = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s.listing", t->directory, name);
	f = fopen(path, "r");
	if (!f || getdelim(&text, &size, '\0', f) < 0) {
		perror(path);
		exit(1);
	}
	(void)fclose(f);
	return text;
}

static bool compare_listing(struct test *t, const char *name, const struct view *v, const char *who)
{
	_cleanup_free_ char *should = load_listing(t, name), *is = NULL;
	size_t size, n = 0;
	FILE *f = open_memstream(&is, &size);

	view_print(f, v);
	(void)fclose(f);
	if (strcmp(is, should) == 0)
		return true;
	while (is[n] && is[n] == should[n])
		n++;
	return wrong(t, "%s reads something else from byte %zu of the listing on: %.100s", who, n,
		is + n);
}

static int open_world(struct test *t, struct world *w)
{
	world_init(w, WORLD_FILE, &t->image, NULL);
	return world_open(w);
}

static uint64_t fsck_errors(const struct test *t, const struct store_super *super)
{
	uint64_t bytes[VIEW_REGIONS] = {0}, errors;
	const struct gm_stamp *stamps[2 * VIEW_REGIONS] = {NULL};
	struct fsck_input in = {.area = (const uint8_t *)t->image.words,
		.area_bytes = t->image.size,
		.region_count = super ? super->region_count : 1,
		.region_bytes = bytes,
		.stamps = stamps};
	struct fsck_report report;

	for (uint32_t n = 0; super && n < super->region_count; n++)
		bytes[n] = super->regions[n].blocks * GM_BLOCK_SIZE;
	if (fsck_run(&report, &in) < 0)
		return UINT64_MAX;
	errors = report.errors;
	fsck_report_deinit(&report);
	return errors;
}

/* Mounted by another kernel, changed, and read once more. */
static bool go_on(struct test *t, struct world *w)
{
	static const uint8_t boot_id[16] = {99};
	struct problem why = PROBLEM_INIT;
	struct stat st;

	if (store_begin_mount(w->store, boot_id, &why) < 0)
		return wrong(t, "%s", why.text);
	ns_init(&w->ns, w->store);
	if (ns_create(&w->ns, &w->rq, GM_ROOT_INO, "new", 3, 0600, &st) < 0 ||
		store_checkpoint(w->store) < 0)
		return wrong(t, "it can't be changed");
	view_of_store(&t->view, w->store);
	if (!reader_read(&t->reading, w->recorder.media.base, t->image.size))
		return wrong(t, "after a change: %s", t->reading.why);
	return view_hash(&t->view) == view_hash(&t->reading.view) ||
	       wrong(t, "the change is not there");
}

static bool read_image(struct test *t, struct world *w, const char *name)
{
	if (!reader_read(&t->reading, w->recorder.media.base, t->image.size))
		return wrong(t, "the reader refuses it: %s", t->reading.why);
	view_of_store(&t->view, w->store);
	if (fsck_errors(t, &w->super) != 0)
		return wrong(t, "fsck finds errors");
	return compare_listing(t, name, &t->view, "recovery") &&
	       compare_listing(t, name, &t->reading.view, "the reader") && go_on(t, w);
}

static void test_image(struct test *t, const struct golden *g)
{
	char name[96];
	struct world w;
	int r;

	(void)snprintf(name, sizeof(name), "the image \"%s\" is read as it was written", g->name);
	if (load_image(t, g->name)) {
		r = open_world(t, &w);
		if (r < 0)
			(void)wrong(t, "recovery refuses it: %s", strerror(-r));
		else
			(void)read_image(t, &w, g->name);
		world_deinit(&w);
	}
	result(t, name);
}

/* An image with every kind of item, or what follows would show less than it says. */
static void test_everything_is_there(struct test *t)
{
	uint64_t record;

	(void)load_image(t, "everything");
	for (unsigned type = GM_ITEM_INODE; type <= GM_ITEM_BOOT; type++)
		if (edit_find_item(&t->image, type, &record) == 0)
			(void)wrong(t, "item type %u is not in the journal", type);
	for (unsigned type = GM_SECTION_INODES; type <= GM_SECTION_RESULTS; type++)
		if (edit_section(&t->image, type) == 0)
			(void)wrong(t, "section type %u is empty", type);
	result(t, "the image \"everything\" has every section and every kind of item");
}

/* ---- what all of them have together ---- */

/* Numbers that are set aside: no version has written them. */
static bool is_never_written(bool section, unsigned type)
{
	return section ? type == GM_SECTION_EXPORTS
		       : type == GM_ITEM_EXPORT || type == GM_ITEM_EXPORT_REMOVED ||
				 type == GM_ITEM_FREEZE;
}

struct kinds {
	bool sections[GOLDEN_SECTION_LAST + 1];
	bool items[GOLDEN_ITEM_LAST + 1];
	bool records[GM_RECORD_TYPE_LAST + 1];
};

static void add_kinds(struct kinds *k, const struct image *i)
{
	uint64_t record;

	for (unsigned type = 1; type <= GOLDEN_SECTION_LAST; type++)
		k->sections[type] |= edit_section(i, type) != 0;
	for (unsigned type = 1; type <= GOLDEN_ITEM_LAST; type++)
		k->items[type] |= edit_find_item(i, type, &record) != 0;
	for (unsigned type = 1; type <= GM_RECORD_TYPE_LAST; type++)
		k->records[type] |= edit_has_record(i, type);
}

/* So that a kind that is new gets its image. */
static void test_every_kind_has_an_image(struct test *t)
{
	struct kinds k = {.sections = {false}};

	for (size_t n = 0; n < golden_image_count; n++)
		if (load_image(t, golden_images[n].name))
			add_kinds(&k, &t->image);
	for (unsigned type = 1; type <= GOLDEN_SECTION_LAST; type++)
		if (!k.sections[type] && !is_never_written(true, type))
			(void)wrong(t, "no image has section type %u", type);
	for (unsigned type = 1; type <= GOLDEN_ITEM_LAST; type++)
		if (!k.items[type] && !is_never_written(false, type))
			(void)wrong(t, "no image has item type %u", type);
	for (unsigned type = 1; type <= GM_RECORD_TYPE_LAST; type++)
		if (!k.records[type])
			(void)wrong(t, "no image has a record of type %u", type);
	result(t, "every kind of section, item and record is in some image");
}

/* The first stamp, which lies in the area, is enough to find the rest by. */
static void test_superblocks_are_found_by_stamps(struct test *t)
{
	const uint8_t *area = (const uint8_t *)t->image.words;
	struct salvage_report report = {.count = 0};
	struct problem why = PROBLEM_INIT;
	struct store_super before, after;
	struct gm_stamp stamp;
	const struct gm_stamp *const stamps[2] = {&stamp, NULL};
	struct salvage_input in = {.area = area, .region_count = 1, .stamps = stamps};
	bool anew = false;

	(void)load_image(t, "stamped");
	in.area_bytes = t->image.size;
	memcpy(&stamp, area + GM_STAMP_OFFSET, sizeof(stamp));
	if (store_read_super(&before, area, 0, &why) < 0)
		(void)wrong(t, "%s", why.text);
	in.regions = before.regions;
	edit_u64(&t->image, GM_SUPER_A_OFFSET, 0);
	edit_u64(&t->image, GM_SUPER_B_OFFSET, 0);
	for (uint64_t at = 8; at < sizeof(struct gm_super); at += 8) {
		edit_u64(&t->image, GM_SUPER_A_OFFSET + at, 0);
		edit_u64(&t->image, GM_SUPER_B_OFFSET + at, 0);
	}
	if (salvage_find_super(&after, &anew, &in, &report, &why) < 0)
		(void)wrong(t, "%s", why.text);
	else if (!anew || before.plan.slot_size != after.plan.slot_size ||
		 before.plan.max_files != after.plan.max_files ||
		 before.plan.slot_offset[0] != after.plan.slot_offset[0])
		(void)wrong(t, "the stamp of the image leads elsewhere");
	salvage_report_deinit(&report);
	result(t, "the image \"stamped\" has stamps that tell where the metadata are");
}

/* The same of the image that has links, symlinks and nodes. */
static void test_links_are_there(struct test *t)
{
	uint64_t record;

	(void)load_image(t, "links");
	if (edit_find_item(&t->image, GM_ITEM_TARGET, &record) == 0)
		(void)wrong(t, "no target is in the journal");
	if (edit_section(&t->image, GM_SECTION_TARGETS) == 0)
		(void)wrong(t, "no target is in the checkpoint");
	result(t, "the image \"links\" has targets in checkpoint and journal");
}

/* The same of the image that has files with content. */
static void test_content_is_there(struct test *t)
{
	uint64_t record;

	(void)load_image(t, "content");
	if (edit_find_item(&t->image, GM_ITEM_PIECE, &record) == 0)
		(void)wrong(t, "no piece is in the journal");
	if (edit_section(&t->image, GM_SECTION_PIECES) == 0)
		(void)wrong(t, "no piece is in the checkpoint");
	result(t, "the image \"content\" has pieces in checkpoint and journal");
}

/* ---- what is refused ---- */

static bool is_refused(struct test *t, const struct reserved *what, uint64_t number)
{
	struct problem why = PROBLEM_INIT;
	struct store_super super;
	struct world w;
	int r;

	world_init(&w, WORLD_FILE, &t->image, NULL);
	r = store_read_super(&super, w.recorder.media.base, 0, &why);
	if (r == 0)
		r = store_open(&w.store, &w.recorder.media, &super, &why);
	world_deinit(&w);
	if (r != -what->error || !strstr(why.text, what->phrase))
		return wrong(t, "number %" PRIu64 ": %s, %s", number, strerror(-r), why.text);
	if (reader_read(&t->reading, (const uint8_t *)t->image.words, t->image.size))
		return wrong(t, "number %" PRIu64 ": the reader takes it", number);
	return fsck_errors(t, NULL) > 0 ||
	       wrong(t, "number %" PRIu64 ": fsck finds nothing", number);
}

static void test_reserved(struct test *t, const struct reserved *what)
{
	size_t mark = image_mark(&t->image);
	char name[128];
	uint64_t tried = 0;
	bool good = true;

	for (uint64_t n = what->first; n <= what->last && good; n++) {
		if (n == what->valid[0] || n == what->valid[1])
			continue;
		what->edit(&t->image, n);
		good = is_refused(t, what, n);
		image_rollback(&t->image, mark);
		tried++;
	}
	(void)snprintf(name, sizeof(name),
		"reserved %s %" PRIu64 " to %" PRIu64 " (%" PRIu64 ") refused", what->name,
		what->first, what->last, tried);
	result(t, name);
}

static void test_stamps(struct test *t)
{
	static const uint8_t uuid[16] = {1}, token[16] = {2};
	static const struct store_plan plan = {.slot_size = 3 * GM_STAMP_SLOT_UNIT, .max_files = 4},
				       other = {
					       .slot_size = 3 * GM_STAMP_SLOT_UNIT, .max_files = 5};

	for (size_t n = 0; n < sizeof(((struct gm_stamp *)NULL)->reserved); n++) {
		struct problem why = PROBLEM_INIT;
		struct gm_stamp stamp;

		store_make_stamp(&stamp, uuid, 0, GM_STAMP_FIRST, 9, &plan, token);
		if (store_check_stamp(&stamp, uuid, 0, GM_STAMP_FIRST, 9, &plan, &why) < 0)
			(void)wrong(t, "%s", why.text);
		if (store_check_stamp(&stamp, uuid, 0, GM_STAMP_FIRST, 9, &other, &why) != -EUCLEAN)
			(void)wrong(t, "another plan is taken");
		stamp.reserved[n] = 1;
		stamp.checksum = codec_seal(&stamp, sizeof(stamp));
		if (store_check_stamp(&stamp, uuid, 0, GM_STAMP_FIRST, 9, &plan, &why) != -EUCLEAN)
			(void)wrong(t, "byte %zu is taken", n);
	}
	result(t, "reserved bytes of a stamp refused");
}

/* ---- what is not ---- */

static bool superblocks_have(const struct test *t, size_t offset, uint64_t value)
{
	const uint8_t *area = (const uint8_t *)t->image.words;
	gm_le64 a, b;

	memcpy(&a, area + GM_SUPER_A_OFFSET + offset, sizeof(a));
	memcpy(&b, area + GM_SUPER_B_OFFSET + offset, sizeof(b));
	return get_le64(a) == value && get_le64(b) == value;
}

/* Ignored, and kept where a superblock is written anew: when one is healed, and when the pool
 * grows. */
static bool keeps_compat(struct test *t, unsigned bit)
{
	const size_t at = offsetof(struct gm_super, feature_compat);
	struct problem why = PROBLEM_INIT;
	uint64_t blocks;
	struct world w;
	bool good;

	edit_u64(&t->image, at, 1ULL << bit);
	edit_seal_super(&t->image);
	edit_u64(&t->image, GM_SUPER_A_OFFSET, 0);
	good = open_world(t, &w) == 0 && go_on(t, &w) && superblocks_have(t, at, 1ULL << bit);
	if (good) {
		blocks = w.super.regions[0].blocks + 1;
		good = store_grow(w.store, &blocks, &why) == 0 &&
		       superblocks_have(t, at, 1ULL << bit);
	}
	world_deinit(&w);
	return good;
}

static void test_compat(struct test *t)
{
	size_t mark = image_mark(&t->image);

	for (unsigned bit = 0; bit < 64; bit++) {
		if (!keeps_compat(t, bit))
			(void)wrong(t, "compat feature %u is not kept", bit);
		image_rollback(&t->image, mark);
	}
	result(t, "compat features 0 to 63 are ignored and kept");
}

static void test_minor(struct test *t)
{
	size_t mark = image_mark(&t->image);

	for (unsigned minor = 0; minor < 1U << 16; minor += 257) {
		struct world w;

		edit_u16(&t->image, offsetof(struct gm_super, minor), (uint16_t)minor);
		edit_seal_super(&t->image);
		if (open_world(t, &w) < 0)
			(void)wrong(t, "minor version %u is refused", minor);
		world_deinit(&w);
		image_rollback(&t->image, mark);
	}
	result(t, "every minor version is read");
}

int main(int argc, char *argv[])
{
	static struct test t;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: test_golden DIRECTORY\n");
		return 2;
	}
	log_init("test_golden", LOG_LEVEL_ERROR);
	t.directory = argv[1];
	image_init(&t.image, WORLD_AREA);
	for (size_t n = 0; n < golden_image_count; n++)
		test_image(&t, &golden_images[n]);
	test_every_kind_has_an_image(&t);
	test_superblocks_are_found_by_stamps(&t);
	test_everything_is_there(&t);
	for (size_t n = 0; n < reserved_count; n++)
		test_reserved(&t, &reserved_numbers[n]);
	test_stamps(&t);
	test_compat(&t);
	test_minor(&t);
	test_links_are_there(&t);
	for (size_t n = 0; n < reserved_of_links_count; n++)
		test_reserved(&t, &reserved_of_links[n]);
	test_content_is_there(&t);
	for (size_t n = 0; n < reserved_of_content_count; n++)
		test_reserved(&t, &reserved_of_content[n]);
	printf("1..%u\n", t.count);
	image_deinit(&t.image);
	return t.failed > 0;
}
