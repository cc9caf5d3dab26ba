// SPDX-License-Identifier: MIT
/* Regions that have grown: the superblock says so, and nothing else changes. */
#include <errno.h>
#include <inttypes.h>

#include "store/store_internal.h"
#include "store/super.h"

/* By how much the block maps grow. */
static int plan_growth(
	struct store *s, struct store_super *to, const uint64_t *blocks, struct problem *why)
{
	uint64_t more = 0;

	for (uint32_t r = 0; r < to->region_count; r++) {
		uint64_t old = to->regions[r].blocks;

		if (blocks[r] < old)
			return problem(why, EINVAL,
				"region %" PRIu32 " has shrunk from %" PRIu64 " to %" PRIu64 " MiB",
				r, old * 2, blocks[r] * 2);
		more += ((blocks[r] + 63) / 64 - (old + 63) / 64) * 8 * 4;
		to->regions[r].blocks = blocks[r];
		super_data_blocks(
			&to->plan, &to->regions[r], r, &to->first_data[r], &to->data_blocks[r]);
	}
	if (meta_image_bytes(&s->meta) + more > to->plan.slot_size)
		return problem(why, EINVAL,
			"the metadata area was made for a smaller pool: it lacks %" PRIu64
			" KiB for the block maps of the new size; only a new format can make it "
			"larger",
			(meta_image_bytes(&s->meta) + more - to->plan.slot_size + 1023) / 1024);
	return 0;
}

/*
 * The superblock alone says how large the regions are; what the checkpoint's maps do not cover is
 * free and dirty. The copy that is not in force goes first, so that a crash leaves the old size or
 * the new one, also where one copy was damaged before.
 */
int store_grow(struct store *s, const uint64_t *blocks, struct problem *why)
{
	static const uint64_t offset[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};
	const unsigned first = s->super.copy_bad[0] ? 0 : 1;
	struct store_super to = s->super;
	struct gm_super super;
	int r = s->meta.frozen ? problem(why, EBUSY, "the pool is frozen")
			       : plan_growth(s, &to, blocks, why);

	if (r < 0)
		return r;
	to.sequence++;
	super_encode(&super, &to);
	for (int k = 0; k < 2; k++) {
		media_copy(s->media, offset[k ? 1 - first : first], &super, sizeof(super));
		media_fence(s->media);
	}
	return 0;
}
