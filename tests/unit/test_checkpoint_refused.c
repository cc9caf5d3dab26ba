// SPDX-License-Identifier: MIT
/*
 * Checkpoints whose header says something else than their sections do, under good checksums: what
 * was lost that way would be missed by nobody. Each is refused with its sentence.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "store/codec.h"
#include "store_fixture.h"
#include "util/cleanup.h"
#include "util/le.h"

static struct fixture f;

static uint64_t make(const char *name, uint32_t mode)
{
	uint64_t ino = 0;

	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, name, mode, &ino), 0, "%s", name);
	return ino;
}

static void set_attribute(uint64_t ino, const char *name)
{
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_XATTR, 0);

	txn_set_xattr(&t, ino, name, strlen(name), "value", 5);
	cr_assert_eq(store_commit(f.store, &t), 0);
}

static void set_up(void)
{
	fixture_init(&f, 64);
	for (const char *name = "abc"; *name; name++) {
		const char text[2] = {*name, '\0'};
		uint64_t ino = make(text, S_IFREG | 0644);

		cr_assert_eq(fixture_grow(&f, ino, 3), 0);
		set_attribute(ino, "user.one");
		set_attribute(ino, "user.two");
	}
	cr_assert_eq(store_checkpoint(f.store), 0);
}

static void tear_down(void)
{
	fixture_deinit(&f);
}

TestSuite(checkpoint_refused, .init = set_up, .fini = tear_down);

/* Of the two the newer one. */
static struct gm_checkpoint *header_of(const struct fixture *at)
{
	struct gm_checkpoint *h[2];

	for (unsigned slot = 0; slot < 2; slot++)
		h[slot] = (void *)(at->media.base + at->super.plan.slot_offset[slot]);
	return get_le64(h[0]->generation) > get_le64(h[1]->generation) ? h[0] : h[1];
}

static struct gm_section *section_of(struct gm_checkpoint *h, enum gm_section_type type)
{
	for (uint32_t n = 0; n < get_le32(h->section_count); n++)
		if (get_le32(h->sections[n].type) == (uint32_t)type)
			return &h->sections[n];
	cr_assert_fail("section %u is not there", type);
	return NULL;
}

static const struct {
	enum gm_section_type type;
	uint64_t left_out; /* records, or blocks of the region */
	const char *sentence;
} cases[] = {
	{GM_SECTION_INODES, 1, "its count does not fit its length"},
	{GM_SECTION_EXTENTS, 1, "its count does not fit its length"},
	{GM_SECTION_DIRENTS, 1, "section entries: it goes on after its last record"},
	{GM_SECTION_XATTRS, 1, "section attributes: it goes on after its last record"},
	{GM_SECTION_XATTRS, 6, "section attributes: it goes on after its last record"},
	{GM_SECTION_USED, 64, "its length is not that of the regions' block maps"},
	{GM_SECTION_CLEAN, 64, "its length is not that of the regions' block maps"},
	{GM_SECTION_POISONED, 64, "its length is not that of the regions' block maps"},
	{GM_SECTION_QUARANTINED, 64, "its length is not that of the regions' block maps"},
};

/* A block map of another size in one section alone: the others stay as the header has them. */
static void shorten_map(struct gm_checkpoint *h, struct gm_section *s, uint64_t blocks)
{
	const uint8_t *bytes = (const uint8_t *)h + get_le64(s->offset);
	uint64_t length = get_le64(s->length) - blocks / 8;

	s->length = s->count = put_le64(length);
	s->checksum = put_le64(codec_checksum(bytes, length));
}

static void leave_out(struct gm_checkpoint *h, enum gm_section_type type, uint64_t count)
{
	struct gm_section *s = section_of(h, type);

	if (type >= GM_SECTION_USED && type <= GM_SECTION_QUARANTINED)
		shorten_map(h, s, count);
	else
		s->count = put_le64(get_le64(s->count) - count);
	h->checksum = codec_seal(h, sizeof(*h));
}

Test(checkpoint_refused, what_is_not_counted_is_not_forgotten)
{
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct problem why = PROBLEM_INIT;
		struct fixture copy;

		fixture_copy(&copy, &f);
		leave_out(header_of(&copy), cases[n].type, cases[n].left_out);
		cr_expect_eq(fixture_open(&copy, &why), -EUCLEAN, "case %zu", n);
		cr_expect_not_null(
			strstr(why.text, cases[n].sentence), "case %zu: %s", n, why.text);
		fixture_deinit(&copy);
	}
}

Test(checkpoint_refused, maps_of_a_smaller_region_than_the_maps_are)
{
	struct problem why = PROBLEM_INIT;
	struct gm_checkpoint *h = header_of(&f);

	h->region_blocks[0] = put_le64(get_le64(h->region_blocks[0]) - 64);
	h->checksum = codec_seal(h, sizeof(*h));
	cr_expect_eq(fixture_reopen(&f, &why), -EUCLEAN);
	cr_expect_not_null(strstr(why.text, "not that of the regions' block maps"), "%s", why.text);
}
