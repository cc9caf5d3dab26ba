// SPDX-License-Identifier: MIT
/*
 * What a feature bit that this version does not know does, by its class and in which superblocks it
 * stands: to a mount, and to fsck. tests/golden has every bit of every class; test_repair_super.c
 * what a repair makes of them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/fsck.h"
#include "store_fixture.h"
#include "util/cleanup.h"

enum copies { FIRST = 1, SECOND = 2, BOTH = 3 };

static void set_feature(struct fixture *f, size_t field, unsigned bit, enum copies copies)
{
	static const uint64_t offset[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};
	const gm_le64 features = put_le64(1ULL << bit);

	for (unsigned k = 0; k < 2; k++) {
		struct gm_super s;

		if (!(copies & 1U << k))
			continue;
		memcpy(&s, f->media.base + offset[k], sizeof(s));
		memcpy((uint8_t *)&s + field, &features, sizeof(features));
		s.checksum = codec_seal(&s, sizeof(s));
		memcpy(f->media.base + offset[k], &s, sizeof(s));
	}
}

static uint64_t fsck_errors(const struct fixture *f, const char *text)
{
	const struct gm_stamp *stamps[2] = {(const void *)(f->media.base + GM_STAMP_OFFSET), NULL};
	const struct fsck_input in = {.area = f->media.base,
		.area_bytes = f->media.size,
		.region_count = 1,
		.region_bytes = &f->region_bytes,
		.stamps = stamps};
	struct fsck_report r;
	uint64_t errors;

	cr_assert_eq(fsck_run(&r, &in), 0);
	errors = r.errors;
	if (errors > 0)
		cr_expect(strstr(r.findings[0].text, text), "%s", r.findings[0].text);
	fsck_report_deinit(&r);
	return errors;
}

static const struct {
	size_t field;
	unsigned bit;
	enum copies copies;
	int error; /* of a mount; fsck finds an error then, and none otherwise */
	const char *text;
} cases[] = {
	{offsetof(struct gm_super, feature_compat), 0, BOTH, 0, ""},
	{offsetof(struct gm_super, feature_compat), 63, BOTH, 0, ""},
	/* A newer program was writing the second one when it was stopped. */
	{offsetof(struct gm_super, feature_compat), 7, FIRST, 0, ""},
	{offsetof(struct gm_super, feature_ro_compat), 0, BOTH, -EPROTONOSUPPORT,
		"unknown ro_compat features 0x1)"},
	{offsetof(struct gm_super, feature_ro_compat), 63, FIRST, -EPROTONOSUPPORT,
		"unknown ro_compat features 0x8000000000000000)"},
	{offsetof(struct gm_super, feature_ro_compat), 3, SECOND, -EPROTONOSUPPORT,
		"unknown ro_compat features 0x8)"},
	{offsetof(struct gm_super, feature_incompat), 1, BOTH, -EPROTONOSUPPORT,
		"unknown incompat features 0x2)"},
	{offsetof(struct gm_super, feature_incompat), 1, FIRST, -EPROTONOSUPPORT,
		"unknown incompat features 0x2)"},
	{offsetof(struct gm_super, feature_incompat), 63, SECOND, -EPROTONOSUPPORT,
		"unknown incompat features 0x8000000000000000)"},
};

Test(features, each_class_does_what_it_promises_to_a_mount_and_to_fsck)
{
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct problem why = PROBLEM_INIT;
		_cleanup_free_ uint8_t *before = NULL;
		struct fixture f;
		uint64_t errors;

		fixture_init(&f, 64);
		f.store = store_close(f.store);
		set_feature(&f, cases[n].field, cases[n].bit, cases[n].copies);
		before = malloc(f.media.size);
		cr_assert_not_null(before);
		memcpy(before, f.media.base, f.media.size);
		errors = fsck_errors(&f, cases[n].text);
		cr_expect_eq(errors > 0, cases[n].error != 0, "case %zu: %lu errors", n,
			(unsigned long)errors);
		cr_expect_eq(fixture_open(&f, &why), cases[n].error, "case %zu: %s", n, why.text);
		cr_expect(strstr(why.text, cases[n].text), "case %zu: %s", n, why.text);
		cr_expect_eq(memcmp(before, f.media.base, f.media.size), 0,
			"case %zu: something was written", n);
		fixture_deinit(&f);
	}
}
