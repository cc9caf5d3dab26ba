// SPDX-License-Identifier: MIT
/*
 * What lies on the media may be anything. The input is a list of edits of a pool, which has what
 * files of memory can have, or of another one:
 *
 *	place (1 byte)   offset (2 bytes, little-endian)   count (1 byte)   count bytes
 *
 * After them all checksums are made good again, so that every check behind them is reached. Then
 * recovery and the reader of tests/crash must agree on whether it is a pool, and on which; fsck
 * must find errors if it is none, and none if it is one (but it looks at the checkpoint for itself,
 * also where the journal makes good what was wrong in it); and what is one can be mounted and
 * changed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../crash/go_on.h"
#include "../crash/random_bytes.h"
#include "../crash/reader.h"
#include "../crash/world.h"
#include "../golden/golden.h"
#include "fuzz.h"
#include "fuzz_image.h"
#include "store/codec.h"
#include "store/fsck.h"
#include "util/cleanup.h"
#include "util/log.h"

#define JOURNAL_BYTES (1ULL << 20)

/* Names of golden images; those are made here anew. */
static const char *const pools[FUZZ_IMAGE_POOLS] = {"everything", "attributes", "links", "content"};

static struct {
	struct pool {
		struct image image;
		size_t whole;           /* the image before any edit; 0: it is not made yet */
		uint64_t checkpoint;    /* where the one in force lies */
		struct reading reading; /* of it then */
	} pools[FUZZ_IMAGE_POOLS];
	struct pool *pool;   /* whose edits are made */
	struct image *image; /* the same's */
	struct reading reading;
	struct view view;
	bool raw;
	bool refused;
	struct problem why;
} fuzz;

const char *fuzz_refusal(void)
{
	return fuzz.refused ? fuzz.why.text : NULL;
}

static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "fuzz_image: %s: %s\n", what, why);
	abort();
}

static const uint8_t *area(void)
{
	return (const uint8_t *)fuzz.image->words;
}

static const char *script_of(const char *name)
{
	for (size_t n = 0; n < golden_image_count; n++)
		if (strcmp(golden_images[n].name, name) == 0)
			return golden_images[n].script;
	die("no golden image has this name", name);
	return NULL;
}

static void make_pool(struct pool *p, const char *name)
{
	struct world w;
	struct trace t = {.count = 0};

	log_init("fuzz_image", LOG_LEVEL_ERROR);
	image_init(&p->image, WORLD_AREA);
	world_init(&w, WORLD_FILE, &p->image, &t);
	if (!world_run(&w, script_of(name), NULL))
		die("the pool can't be made", w.wrong);
	world_deinit(&w);
	trace_deinit(&t);
	p->whole = image_mark(&p->image);
	p->checkpoint = edit_checkpoint(&p->image);
	if (!reader_read(&p->reading, (const uint8_t *)p->image.words, p->image.size))
		die("the pool can't be read", p->reading.why);
}

static void take_pool(uint64_t n)
{
	struct pool *p = &fuzz.pools[n % ARRAY_SIZE(pools)];

	if (p->whole == 0)
		make_pool(p, pools[n % ARRAY_SIZE(pools)]);
	fuzz.pool = p;
	fuzz.image = &p->image;
	image_rollback(fuzz.image, p->whole);
}

const struct view *fuzz_image_view(unsigned pool)
{
	take_pool(pool);
	return &fuzz.pool->reading.view;
}

/* ---- edits ---- */

static uint64_t tail_end(void)
{
	struct codec_word tail;

	if (!codec_decode_tail_word(codec_read_word(area() + GM_TAIL_WORD_OFFSET), &tail))
		return 0;
	return tail.value < JOURNAL_BYTES ? tail.value : JOURNAL_BYTES;
}

static void set_tail(uint64_t end)
{
	struct codec_word w;

	if (codec_decode_slot_word(codec_read_word(area() + GM_SLOT_WORD_A_OFFSET), &w))
		edit_u64(
			fuzz.image, GM_TAIL_WORD_OFFSET, codec_encode_tail_word(w.generation, end));
}

/* The first word if offset is odd, else the second one. */
static void edit_words(uint64_t offset, const uint8_t *bytes, size_t count)
{
	uint8_t word[8] = {0};
	gm_le64 content;
	uint64_t sealed;

	memcpy(word, bytes, count < 6 ? count : 6);
	memcpy(&content, word, sizeof(content));
	sealed = get_le64(content) | codec_checksum(&content, sizeof(content)) << 48;
	edit_u64(fuzz.image, offset & 1 ? GM_SLOT_WORD_A_OFFSET : GM_SLOT_WORD_B_OFFSET, sealed);
}

/* NULL: there is none (any more). */
static const struct gm_record *last_record(void)
{
	uint64_t end = GM_BLOCK_SIZE + tail_end();
	const struct gm_record *last = NULL;

	for (uint64_t at = GM_BLOCK_SIZE; at < end;) {
		const struct gm_record *r = (const void *)(area() + at);
		uint64_t length = get_le32(r->length);

		if (length < sizeof(*r) || length > end - at)
			break;
		last = r;
		at += length / 8 * 8;
	}
	return last;
}

/* The record that the items make, behind the last one. */
static void add_record(const uint8_t *items, size_t count)
{
	uint64_t end = tail_end();
	const struct gm_record *last = last_record();
	uint8_t record[sizeof(struct gm_record) + 320] = {0};
	uint32_t length = (uint32_t)(sizeof(struct gm_record) + count + 63) / 64 * 64;
	if (!last || end + length > JOURNAL_BYTES)
		return;
	const struct gm_record r = {.magic = put_le32(GM_RECORD_MAGIC),
		.length = put_le32(length),
		.generation = last->generation,
		.sequence = put_le64(get_le64(last->sequence) + 1),
		.mount_number = last->mount_number,
		.type = put_le16(GM_RECORD_SETATTR),
		.item_bytes = put_le32((uint32_t)count)};
	memcpy(record, &r, sizeof(r));
	memcpy(record + sizeof(r), items, count);
	edit_bytes(fuzz.image, GM_BLOCK_SIZE + end, record, length);
	set_tail(end + length);
}

/* Within [start, start + room). */
static void edit_within(
	uint64_t start, uint64_t room, uint64_t offset, const uint8_t *bytes, size_t count)
{
	if (start == 0 && room == 0)
		return;
	offset = room ? offset % room : 0;
	if (count > room - offset)
		count = (size_t)(room - offset);
	if (start + offset + count <= fuzz.image->size)
		edit_bytes(fuzz.image, start + offset, bytes, count);
}

static void edit_section_bytes(unsigned type, uint64_t offset, const uint8_t *bytes, size_t count)
{
	uint64_t at = fuzz.pool->checkpoint;
	const struct gm_checkpoint *h = (const void *)(area() + at);

	for (unsigned n = 0; n < GM_SECTIONS_MAX; n++) {
		const struct gm_section *s = &h->sections[n];

		if (get_le32(s->type) != type || get_le64(s->offset) >= 1U << 16 ||
			get_le64(s->length) >= 1U << 16)
			continue;
		edit_within(at + get_le64(s->offset), get_le64(s->length), offset, bytes, count);
		return;
	}
}

static void edit(unsigned place, uint64_t offset, const uint8_t *bytes, size_t count)
{
	switch (place) {
	case PLACE_SUPERBLOCK:
		edit_within(GM_SUPER_A_OFFSET, sizeof(struct gm_super) - 8, offset, bytes, count);
		break;
	case PLACE_HEADER:
		edit_within(fuzz.pool->checkpoint, sizeof(struct gm_checkpoint) - 8, offset, bytes,
			count);
		break;
	case PLACE_RECORDS:
		edit_within(GM_BLOCK_SIZE, tail_end(), offset, bytes, count);
		break;
	case PLACE_WORDS:
		if (count > 0)
			edit_words(offset, bytes, count);
		break;
	case PLACE_TAIL_AT:
		set_tail(offset * GM_TAIL_UNIT);
		break;
	case PLACE_RECORD:
		add_record(bytes, count / 8 * 8);
		break;
	case PLACE_RAW:
		if (count == 0)
			break;
		fuzz.raw = true;
		edit_within(
			offset % (fuzz.image->size / 4096) * 4096, 4096, bytes[0], bytes, count);
		break;
	case PLACE_POOL:
		take_pool(offset);
		break;
	default:
		edit_section_bytes(place >= PLACE_MORE_FIRST
					   ? place - PLACE_MORE_FIRST + GM_SECTION_XATTRS
					   : place - PLACE_SECTION_FIRST + 1,
			offset, bytes, count);
	}
}

/* ---- checksums ---- */

static void seal_records(void)
{
	uint64_t end = GM_BLOCK_SIZE + tail_end();

	for (uint64_t at = GM_BLOCK_SIZE; at < end;) {
		const struct gm_record *r = (const void *)(area() + at);
		uint64_t length = get_le32(r->length);

		if (length < sizeof(*r) || length % 8 != 0 || length > end - at)
			break;
		edit_seal_record(fuzz.image, at);
		at += length;
	}
}

static void seal_sections(void)
{
	uint64_t at = fuzz.pool->checkpoint;
	struct gm_checkpoint h;

	memcpy(&h, area() + at, sizeof(h));
	for (unsigned n = 0; n < GM_SECTIONS_MAX; n++) {
		struct gm_section *s = &h.sections[n];
		uint64_t offset = get_le64(s->offset), length = get_le64(s->length);

		if (get_le32(s->type) != 0 && offset < 1U << 16 && length < 1U << 16)
			s->checksum = put_le64(codec_checksum(area() + at + offset, length));
	}
	h.checksum = codec_seal(&h, sizeof(h));
	edit_bytes(fuzz.image, at, &h, sizeof(h));
}

/* ---- judgement ---- */

/* What pool_load() looks at before anything is opened. */
static bool has_the_regions_size(const struct store_super *super)
{
	return super->region_count == 1 && super->regions[0].blocks <= VIEW_BLOCKS;
}

static void check_fsck(const struct store_super *super, bool accepted)
{
	uint64_t bytes[1] = {super->regions[0].blocks * GM_BLOCK_SIZE};
	const struct gm_stamp *stamps[2] = {NULL, NULL};
	struct fsck_input in = {.area = area(),
		.area_bytes = fuzz.image->size,
		.region_count = 1,
		.region_bytes = bytes,
		.stamps = stamps};
	struct fsck_report report;

	if (fsck_run(&report, &in) < 0)
		die("fsck", "out of memory");
	if (accepted ? report.errors > 0 && fuzz.reading.records == 0 : report.errors == 0)
		die(accepted ? "fsck finds fault with what recovery accepts"
			     : "fsck finds nothing, and recovery refuses",
			report.count ? report.findings[0].text : "");
	fsck_report_deinit(&report);
}

/* What is no superblock at all. */
static void check_fsck_refuses(void)
{
	uint64_t bytes[1] = {0};
	const struct gm_stamp *stamps[2] = {NULL, NULL};
	struct fsck_input in = {.area = area(),
		.area_bytes = fuzz.image->size,
		.region_count = 1,
		.region_bytes = bytes,
		.stamps = stamps};
	struct fsck_report report;

	if (fsck_run(&report, &in) < 0)
		die("fsck", "out of memory");
	if (report.errors == 0)
		die("fsck finds nothing, and there is no superblock", fuzz.why.text);
	fsck_report_deinit(&report);
}

static void check_going_on(struct store *s)
{
	static const uint8_t boot_id[16] = {42};
	struct problem why = PROBLEM_INIT;

	int r = go_on(s, boot_id, true, &why);

	if (r == -EUCLEAN && strstr(why.text, "which can't be"))
		return; /* a number so great that a mount does not begin */
	if (r < 0)
		die("what recovery accepts can't be changed", why.text);
	view_of_store(&fuzz.view, s);
	if (!reader_read(&fuzz.reading, area(), fuzz.image->size))
		die("a change leaves what can't be read", fuzz.reading.why);
	if (view_hash(&fuzz.view) != view_hash(&fuzz.reading.view))
		die("a change leaves another state", "");
}

static bool lacks_room(void)
{
	return strstr(fuzz.reading.why, "than this reader has room for") != NULL;
}

static void judge(void)
{
	struct store_super super;
	struct recorder r;
	struct store *s = NULL;
	bool readable;
	int opened;

	recorder_init(&r, fuzz.image, NULL);
	readable = reader_read(&fuzz.reading, area(), fuzz.image->size);
	opened = store_read_super(&super, r.media.base, 0, &fuzz.why);
	fuzz.refused = opened < 0;
	if (opened < 0)
		check_fsck_refuses();
	else if (!has_the_regions_size(&super))
		return;
	if (opened == 0) {
		opened = store_open(&s, &r.media, &super, &fuzz.why);
		fuzz.refused = opened < 0;
		if (super.plan.meta_blocks * GM_BLOCK_SIZE <= fuzz.image->size)
			check_fsck(&super, opened == 0);
	}
	if (readable && opened < 0)
		die("recovery refuses what the reader accepts", fuzz.why.text);
	if (opened == 0 && !readable && !lacks_room())
		die("recovery accepts what the reader refuses", fuzz.reading.why);
	if (opened == 0 && readable) {
		view_of_store(&fuzz.view, s);
		if (view_hash(&fuzz.view) != view_hash(&fuzz.reading.view))
			die("recovery and reader see different pools", "");
		check_going_on(s);
	}
	store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	take_pool(0);
	random_bytes_restart(4);
	fuzz.raw = false;
	while (size >= 4) {
		size_t count = data[3] < size - 4 ? data[3] : size - 4;

		edit(data[0] % PLACE_COUNT, data[1] | (uint64_t)data[2] << 8, data + 4, count);
		data += 4 + count;
		size -= 4 + count;
	}
	if (!fuzz.raw) {
		seal_records();
		seal_sections();
		edit_seal_super(fuzz.image);
	}
	judge();
	return 0;
}
