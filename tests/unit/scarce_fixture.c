// SPDX-License-Identifier: MIT
#include "scarce_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "store/checkpoint.h"
#include "store/codec.h"
#include "store/fsck.h"
#include "util/cleanup.h"

uint64_t scarce_digest(struct store *store)
{
	_cleanup_(checkpoint_order_deinit) struct checkpoint_order order = {.places = NULL};
	struct checkpoint_info info = {.generation = 1, .slot = 0};
	struct store_super at_zero = *store_get_super(store);
	_cleanup_free_ uint8_t *image = calloc(1, at_zero.plan.slot_size);
	struct media media = {
		.ops = &media_memory_ops, .base = image, .size = at_zero.plan.slot_size};

	cr_assert_not_null(image);
	at_zero.plan.slot_offset[0] = 0;
	cr_assert_eq(checkpoint_order_reserve(&order, store_meta(store)->inode_count), 0);
	checkpoint_write(&media, &at_zero, store_meta(store), &info, &order);
	return codec_checksum(image, meta_image_bytes(store_meta(store)));
}

static void check_whole(const struct media *media, uint64_t region_bytes, const char *what)
{
	const struct gm_stamp *const none[2] = {NULL}; /* there is no region around it */
	const struct fsck_input in = {.area = media->base,
		.area_bytes = media->size,
		.region_count = 1,
		.region_bytes = &region_bytes,
		.stamps = none};
	struct fsck_report report;

	cr_assert_eq(fsck_run(&report, &in), 0);
	cr_assert_eq(
		report.errors, 0, "%s: %s", what, report.count > 0 ? report.findings[0].text : "");
	fsck_report_deinit(&report);
}

void scarce_check_media(
	const struct media *media, uint64_t region_bytes, uint64_t digest, const char *what)
{
	struct problem why = PROBLEM_INIT;
	struct media copy = *media;
	struct store_super super;
	struct store *store = NULL;

	check_whole(media, region_bytes, what);
	copy.base = malloc(copy.size);
	cr_assert_not_null(copy.base);
	memcpy(copy.base, media->base, copy.size);
	cr_assert_eq(store_read_super(&super, copy.base, region_bytes, &why), 0, "%s: %s", what,
		why.text);
	cr_assert_eq(store_open(&store, &copy, &super, &why), 0, "%s: %s", what, why.text);
	cr_assert_eq(scarce_digest(store), digest, "%s: recovery makes another state", what);
	store = store_close(store);
	free(copy.base);
}
