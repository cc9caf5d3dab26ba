// SPDX-License-Identifier: MIT
/* Pieces that were broken on purpose: the offline check names them, and recovery refuses them. */
#include "content_fixture.h"
#include "store/checkpoint.h"
#include "store/codec.h"
#include "store/fsck.h"
#include <errno.h>

static struct content c;

struct image {
	struct gm_checkpoint *header;
	struct gm_section *section;
	struct gm_piece *pieces; /* of inode 2 at unit 0, of inode 3 at unit 0 */
	struct gm_inode *inodes;
};

static struct gm_section *find_section(struct image *i, unsigned type)
{
	for (uint32_t n = 0; n < get_le32(i->header->section_count); n++)
		if (get_le32(i->header->sections[n].type) == type)
			return &i->header->sections[n];
	cr_assert_fail("section %u is not there", type);
	return NULL;
}

static void *bytes_of(struct image *i, unsigned type)
{
	return (uint8_t *)i->header + get_le64(find_section(i, type)->offset);
}

static void seal(struct image *i, unsigned type)
{
	struct gm_section *s = find_section(i, type);

	s->checksum = put_le64(codec_checksum(bytes_of(i, type), get_le64(s->length)));
}

static void point_at_a_directory(struct image *i)
{
	i->pieces[0].ino = put_le64(1);
}

static void point_at_nothing(struct image *i)
{
	i->pieces[1].ino = put_le64(77);
}

static void take_a_unit_twice(struct image *i)
{
	i->pieces[1].store_unit = i->pieces[0].store_unit;
}

static void leave_the_store(struct image *i)
{
	i->pieces[1].store_unit = put_le64(5 * GM_UNITS_PER_BLOCK);
}

static void set_a_reserved_byte(struct image *i)
{
	i->pieces[0].reserved = put_le32(1);
}

static void make_one_empty(struct image *i)
{
	i->pieces[1].count = put_le32(0);
}

static void turn_them_round(struct image *i)
{
	struct gm_piece first = i->pieces[0];

	i->pieces[0] = i->pieces[1];
	i->pieces[1] = first;
}

static void unmark_a_file(struct image *i)
{
	for (unsigned n = 0; n < 4; n++)
		if (get_le64(i->inodes[n].ino) == 2)
			i->inodes[n].flags = put_le64(0);
}

static void make_a_second_store(struct image *i)
{
	for (unsigned n = 0; n < 4; n++)
		if (get_le64(i->inodes[n].ino) == 2) {
			i->inodes[n].flags = put_le64(GM_INODE_CONTENTS);
			i->inodes[n].links = put_le32(0);
		}
}

static const struct {
	const char *name;
	void (*damage)(struct image *i);
	const char *code;
} cases[] = {
	{"of a directory", point_at_a_directory, "piece-dangling"},
	{"of nothing", point_at_nothing, "piece-dangling"},
	{"a unit twice", take_a_unit_twice, "unit-owned-twice"},
	{"outside the store", leave_the_store, "piece-outside"},
	{"reserved", set_a_reserved_byte, "piece-bad"},
	{"empty", make_one_empty, "piece-bad"},
	{"out of order", turn_them_round, "piece-overlap"},
	{"of a file with memory", unmark_a_file, "piece-dangling"},
	{"a second store", make_a_second_store, "contents-twice"},
};

static struct image open_image(void)
{
	struct media *m = &c.pool.media;
	struct codec_word word;
	struct image i;

	cr_assert(codec_decode_slot_word(codec_read_word(m->base + GM_SLOT_WORD_A_OFFSET), &word));
	i.header = (void *)(m->base + c.pool.super.plan.slot_offset[word.value]);
	i.section = find_section(&i, GM_SECTION_PIECES);
	cr_assert_eq(get_le64(i.section->count), 2);
	i.pieces = bytes_of(&i, GM_SECTION_PIECES);
	i.inodes = bytes_of(&i, GM_SECTION_INODES);
	return i;
}

static void check(struct fsck_report *ret)
{
	const struct gm_stamp *stamps[2] = {NULL, NULL};
	uint64_t bytes = c.pool.region.blocks * GM_BLOCK_SIZE;
	struct fsck_input in = {.area = c.pool.media.base,
		.area_bytes = c.pool.media.size,
		.region_count = 1,
		.region_bytes = &bytes,
		.stamps = stamps};

	cr_assert_eq(fsck_run(ret, &in), 0);
}

static void make(void)
{
	uint64_t f, g;

	content_init(&c, 8);
	f = content_create(&c, "f");
	g = content_create(&c, "g");
	cr_assert_eq(content_write(&c, f, 0, "f", 1), 0);
	cr_assert_eq(content_write(&c, g, 0, "g", 1), 0);
	cr_assert_eq(store_checkpoint(c.pool.store), 0);
	c.memory = content_memory_free(c.memory);
	c.pool.store = store_close(c.pool.store);
}

Test(fsck_pieces, nothing_is_found_in_what_is_whole)
{
	struct fsck_report report;

	make();
	check(&report);
	cr_expect_eq(report.count, 0, "%s", report.count ? report.findings[0].text : "");
	fsck_report_deinit(&report);
	pool_deinit(&c.pool);
}

static bool found(const struct fsck_report *r, const char *code)
{
	for (size_t n = 0; n < r->count; n++)
		if (strcmp(r->findings[n].code, code) == 0)
			return true;
	return false;
}

Test(fsck_pieces, each_fault_is_named_and_refused)
{
	for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct problem why = PROBLEM_INIT;
		struct fsck_report report;
		struct store *s;
		struct image i;

		make();
		i = open_image();
		cases[n].damage(&i);
		seal(&i, GM_SECTION_PIECES);
		seal(&i, GM_SECTION_INODES);
		i.header->checksum = codec_seal(i.header, sizeof(*i.header));
		check(&report);
		cr_expect(found(&report, cases[n].code), "%s: %s is not found", cases[n].name,
			cases[n].code);
		cr_expect_eq(store_open(&s, &c.pool.media, &c.pool.super, &why), -EUCLEAN, "%s",
			cases[n].name);
		fsck_report_deinit(&report);
		pool_deinit(&c.pool);
	}
}
