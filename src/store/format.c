// SPDX-License-Identifier: MIT
/* Making an empty filesystem, and the stamps that tell a pool's regions. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/checkpoint.h"
#include "store/codec.h"
#include "store/super.h"
#include "util/cleanup.h"

/* ---- stamps ---- */

void store_make_stamp(struct gm_stamp *ret, const uint8_t uuid[16], uint32_t region,
	enum gm_stamp_position position, uint64_t blocks, const struct store_plan *plan,
	const uint8_t token[16])
{
	uint64_t units = plan->slot_size / GM_STAMP_SLOT_UNIT;

	*ret = (struct gm_stamp){.region = put_le32(region),
		.position = put_le32(position),
		.blocks = put_le64(blocks)};
	if (units <= UINT32_MAX) {
		ret->slot_units = put_le32((uint32_t)units);
		ret->files_less_1 = put_le32((uint32_t)(plan->max_files - 1));
	}
	memcpy(ret->magic, GM_STAMP_MAGIC, sizeof(ret->magic));
	memcpy(ret->uuid, uuid, sizeof(ret->uuid));
	memcpy(ret->token, token, sizeof(ret->token));
	ret->checksum = codec_seal(ret, sizeof(*ret));
}

/* It may tell nothing, as those of before did. */
static bool tells_plan(const struct gm_stamp *stamp, const struct store_plan *plan)
{
	uint64_t units = get_le32(stamp->slot_units), files = get_le32(stamp->files_less_1);

	return units == 0 ? files == 0
			  : units * GM_STAMP_SLOT_UNIT == plan->slot_size &&
				    files == plan->max_files - 1;
}

int store_check_stamp(const struct gm_stamp *stamp, const uint8_t uuid[16], uint32_t region,
	enum gm_stamp_position position, uint64_t blocks, const struct store_plan *plan,
	struct problem *why)
{
	const char *wrong = NULL;

	if (memcmp(stamp->magic, GM_STAMP_MAGIC, sizeof(stamp->magic)) != 0)
		wrong = "is missing or damaged";
	else if (memcmp(stamp->uuid, uuid, sizeof(stamp->uuid)) != 0)
		wrong = "belongs to another pool";
	else if (get_le32(stamp->region) != region ||
		 get_le32(stamp->position) != (uint32_t)position ||
		 get_le64(stamp->blocks) != blocks)
		wrong = "belongs to another place or size of region";
	else if (!codec_is_zero(stamp->reserved, sizeof(stamp->reserved)))
		wrong = "has reserved bytes that are not zero";
	else if (plan && !tells_plan(stamp, plan))
		wrong = "tells of another metadata area than the superblock";
	if (!wrong)
		return 0;
	if (!codec_seal_holds(stamp, sizeof(*stamp)))
		wrong = "is missing or damaged";
	return problem(why, EUCLEAN, "the stamp in the %s block of region %" PRIu32 " %s",
		position == GM_STAMP_FIRST ? "first" : "last", region, wrong);
}

bool store_stamp_is_whole(const struct gm_stamp *stamp)
{
	return memcmp(stamp->magic, GM_STAMP_MAGIC, sizeof(stamp->magic)) == 0 &&
	       codec_seal_holds(stamp, sizeof(*stamp));
}

bool store_stamp_bears(const struct gm_stamp *stamp, const uint8_t token[16])
{
	return codec_seal_holds(stamp, sizeof(*stamp)) &&
	       memcmp(stamp->token, token, sizeof(stamp->token)) == 0;
}

bool store_is_blank(const void *area, uint64_t length)
{
	return codec_is_zero(area, length);
}

/* ---- format ---- */

static int add_root(struct meta *m, const struct store_format *f)
{
	struct inode_attr root = {.ino = GM_ROOT_INO,
		.parent = GM_ROOT_INO,
		.next_cookie = GM_FIRST_COOKIE,
		.mode = S_IFDIR | 0755,
		.uid = f->root_uid,
		.gid = f->root_gid,
		.links = 2,
		.atime = f->now,
		.mtime = f->now,
		.ctime = f->now,
		.btime = f->now};
	_cleanup_(txn_deinit) struct txn t = TXN_INIT(GM_RECORD_MKDIR, 0);
	const struct gm_item *item;
	struct meta_reserve reserve;
	int r;

	txn_put_inode(&t, &root);
	if (t.failed)
		return -ENOMEM;
	item = (const struct gm_item *)(const void *)(t.items + sizeof(struct gm_record));
	meta_reserve_init(&reserve);
	r = meta_reserve_item(m, &reserve, item);
	if (r == 0)
		meta_apply(m, &reserve, item);
	meta_reserve_deinit(&reserve);
	return r;
}

/* The blocks are clean whose memory is known to be zero. */
static void set_clean(struct alloc *a, const struct store_format *f)
{
	for (uint32_t n = 0; n < f->region_count; n++) {
		const struct alloc_region *region = alloc_get_region(a, n);
		struct alloc_extent e = {.block = region->first_data, .region = n};

		for (uint64_t left = f->regions[n].zeroed ? region->data_blocks : 0; left > 0;
			left -= e.count) {
			e.count = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
			alloc_set_clean(a, &e);
			e.block += e.count;
		}
	}
}

static int make_meta(struct meta *m, const struct store_super *super, const struct store_format *f)
{
	struct alloc *a;
	int r = super_make_alloc(&a, super);

	if (r < 0)
		return r;
	r = meta_init(m, a);
	if (r < 0)
		return r;
	set_clean(a, f);
	return add_root(m, f);
}

static void describe(struct store_super *s, const struct store_format *f)
{
	*s = (struct store_super){.sequence = 1,
		.created = (uint64_t)f->now,
		.region_count = f->region_count,
		.plan = *f->plan};
	memcpy(s->uuid, f->uuid, sizeof(s->uuid));
	if (f->label)
		memcpy(s->label, f->label, strnlen(f->label, 63));
	for (uint32_t r = 0; r < f->region_count; r++) {
		s->regions[r] = f->regions[r];
		super_data_blocks(
			f->plan, &f->regions[r], r, &s->first_data[r], &s->data_blocks[r]);
	}
}

/*
 * What was there before is unreadable from the first store on: its superblocks go first. The new
 * ones come when everything else is in place.
 */
static void write_all(struct media *m, const struct store_super *s, const struct meta *meta,
	struct checkpoint_order *order)
{
	struct checkpoint_info info = {.generation = 1, .slot = 0};
	static const uint8_t no_token[16]; /* the first mount makes one */
	struct gm_super super = {.magic = ""};
	struct gm_stamp stamp;

	media_copy(m, GM_SUPER_A_OFFSET, &super, sizeof(super));
	media_copy(m, GM_SUPER_B_OFFSET, &super, sizeof(super));
	media_fence(m);
	store_make_stamp(
		&stamp, s->uuid, 0, GM_STAMP_FIRST, s->regions[0].blocks, &s->plan, no_token);
	media_copy(m, GM_STAMP_OFFSET, &stamp, sizeof(stamp));
	checkpoint_write(m, s, meta, &info, order);
	media_publish(m, GM_SLOT_WORD_A_OFFSET, codec_encode_slot_word(1, 0));
	media_publish(m, GM_SLOT_WORD_B_OFFSET, codec_encode_slot_word(1, 0));
	media_publish(m, GM_TAIL_WORD_OFFSET, codec_encode_tail_word(1, 0));
	media_fence(m);
	super_encode(&super, s);
	media_copy(m, GM_SUPER_B_OFFSET, &super, sizeof(super));
	media_fence(m);
	media_copy(m, GM_SUPER_A_OFFSET, &super, sizeof(super));
	media_fence(m);
}

int store_format(struct media *m, const struct store_format *f, struct problem *why)
{
	_cleanup_(checkpoint_order_deinit) struct checkpoint_order order = {.places = NULL};
	struct store_super super;
	struct meta meta = {.alloc = NULL};
	int r;

	if (f->label && strlen(f->label) > 63)
		return problem(why, EINVAL, "the label is longer than 63 bytes");
	if (m->size < f->plan->meta_blocks * GM_BLOCK_SIZE)
		return problem(why, EINVAL, "the metadata area does not fit the region");
	describe(&super, f);
	r = make_meta(&meta, &super, f);
	if (r == 0)
		r = checkpoint_order_reserve(&order, 1);
	if (r == 0)
		write_all(m, &super, &meta, &order);
	else
		(void)problem_errno(why, -r, "the empty filesystem could not be made");
	meta_deinit(&meta);
	return r;
}
