// SPDX-License-Identifier: MIT
/*
 * Finding the superblock again: a bit turned back, the two copies put together, or a new one from
 * the stamps, a checkpoint's header and the regions themselves.
 *
 * A guest may have written a metadata area of its own making into its memory. So where the
 * metadata end is told by the stamps, where no guest can write, or by the operator, never by what
 * looks like a checkpoint.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/codec.h"
#include "store/salvage_internal.h"
#include "store/super.h"

#define SLOT_ALIGN  SALVAGE_LOOK_STEP              /* of journal and slots */
#define LOWEST_SLOT (GM_BLOCK_SIZE + (1ULL << 20)) /* behind the smallest journal */
#define WORDS_MIXED 16U /* words in which the copies differ: 2^16 tries */

static_assert(sizeof(struct gm_checkpoint) <= SALVAGE_LOOK_BYTES, "is read whole");

static const unsigned copy_offset[2] = {GM_SUPER_A_OFFSET, GM_SUPER_B_OFFSET};

/* ---- from what is left of the two copies ---- */

static int mend_copy(struct store_super *ret, const uint8_t *area, unsigned copy,
	struct salvage_report *report, struct problem *why)
{
	uint8_t bytes[sizeof(struct gm_super)];
	int64_t bit;
	int r;

	memcpy(bytes, area + copy_offset[copy], sizeof(bytes));
	if (!salvage_mend_sealed(bytes, sizeof(bytes), &bit) ||
		memcmp(bytes, GM_SUPER_MAGIC, sizeof(GM_SUPER_MAGIC) - 1) != 0)
		return -EUCLEAN;
	r = super_read_copy(ret, bytes, why);
	if (r == 0)
		salvage_note(report, false, 0,
			"the %s superblock is whole once bit %" PRId64 " of byte 0x%" PRIx64
			" is turned back",
			copy ? "second" : "first", bit % 8, copy_offset[copy] + (uint64_t)bit / 8);
	return r;
}

/* The words in which they differ; more than WORDS_MIXED: too many. */
static unsigned find_differences(const uint8_t *a, const uint8_t *b, unsigned differs[WORDS_MIXED])
{
	unsigned count = 0;

	for (unsigned n = 0; n < sizeof(struct gm_super) / 8; n++) {
		if (memcmp(a + 8UL * n, b + 8UL * n, 8) == 0)
			continue;
		if (count == WORDS_MIXED)
			return count + 1;
		differs[count++] = n;
	}
	return count;
}

/* Damage at two places, one in each copy: some choice between them, word by word, is whole. */
static int mix_copies(struct store_super *ret, const uint8_t *area, struct salvage_report *report,
	struct problem *why)
{
	const uint8_t *a = area + GM_SUPER_A_OFFSET, *b = area + GM_SUPER_B_OFFSET;
	unsigned differs[WORDS_MIXED], count = find_differences(a, b, differs);
	uint8_t bytes[sizeof(struct gm_super)];
	int r;

	for (uint32_t mask = 0; count <= WORDS_MIXED && mask < 1U << count; mask++) {
		memcpy(bytes, a, sizeof(bytes));
		for (unsigned n = 0; n < count; n++)
			if (mask >> n & 1)
				memcpy(bytes + 8UL * differs[n], b + 8UL * differs[n], 8);
		if (!codec_seal_holds(bytes, sizeof(bytes)))
			continue;
		r = super_read_copy(ret, bytes, why);
		if (r == 0)
			salvage_note(report, false, 0,
				"the superblock is put together from its two copies, which are "
				"damaged at different places");
		return r;
	}
	return -EUCLEAN;
}

static int mend_super(struct store_super *ret, const uint8_t *area, struct salvage_report *report,
	struct problem *why)
{
	int r = mend_copy(ret, area, 0, report, why);

	if (r == -EUCLEAN)
		r = mend_copy(ret, area, 1, report, why);
	if (r == -EUCLEAN)
		r = mix_copies(ret, area, report, why);
	return r;
}

/* ---- anew ---- */

struct finder {
	const struct salvage_input *in;
	struct salvage_report *report;
	struct problem *why;
	uint8_t uuid[16];
	bool has_uuid;
	uint64_t slot_size; /* as the stamps tell; 0: they don't */
	uint64_t max_files;
	struct store_plan plan;
	struct gm_checkpoint header;
	uint64_t offset;
};

static bool is_whole_stamp(const struct gm_stamp *stamp)
{
	return stamp && store_stamp_is_whole(stamp);
}

static uint64_t told_slot(const struct gm_stamp *stamp)
{
	return get_le32(stamp->slot_units) * GM_STAMP_SLOT_UNIT;
}

static uint64_t told_files(const struct gm_stamp *stamp)
{
	return get_le32(stamp->files_less_1) + 1ULL;
}

/* What the stamps say, which no guest can have written. False if they contradict each other. */
static bool read_stamps(struct finder *f)
{
	for (uint32_t n = 0; n < 2 * f->in->region_count; n++) {
		const struct gm_stamp *stamp = f->in->stamps[n];

		if (!is_whole_stamp(stamp))
			continue;
		if (f->has_uuid && memcmp(f->uuid, stamp->uuid, sizeof(f->uuid)) != 0)
			return false;
		memcpy(f->uuid, stamp->uuid, sizeof(f->uuid));
		f->has_uuid = true;
		if (get_le32(stamp->slot_units) == 0)
			continue;
		if (f->slot_size != 0 &&
			(f->slot_size != told_slot(stamp) || f->max_files != told_files(stamp)))
			return false;
		f->slot_size = told_slot(stamp);
		f->max_files = told_files(stamp);
	}
	return true;
}

/* False: it would not fit, or is no size at all. */
static bool plan_from_stamps(struct store_plan *p, const struct finder *f)
{
	uint64_t blocks = f->in->regions[0].blocks;

	if (f->slot_size == 0 || f->slot_size / GM_BLOCK_SIZE >= blocks)
		return false;
	*p = (struct store_plan){.max_files = f->max_files};
	super_plan_slots(p, f->slot_size);
	return p->meta_blocks < blocks;
}

uint64_t salvage_look_blocks(const struct salvage_input *in)
{
	struct finder f = {.in = in};
	struct store_plan plan;

	if ((read_stamps(&f) && plan_from_stamps(&plan, &f)) ||
		(in->max_files &&
			store_plan(&plan, in->regions, in->region_count, in->max_files, NULL) == 0))
		return plan.meta_blocks;
	return 0;
}

/* Also with a bit turned, and of this pool if that is known. */
static bool take_header(struct finder *f, uint64_t at)
{
	int64_t bit;

	if (f->in->area_bytes < sizeof(f->header) || at > f->in->area_bytes - sizeof(f->header))
		return false;
	memcpy(&f->header, f->in->area + at, sizeof(f->header));
	if (codec_is_zero(&f->header, sizeof(f->header)) ||
		!salvage_mend_sealed((uint8_t *)&f->header, sizeof(f->header), &bit) ||
		memcmp(f->header.magic, GM_CHECKPOINT_MAGIC, sizeof(f->header.magic)) != 0)
		return false;
	f->offset = at;
	return !f->has_uuid || memcmp(f->header.uuid, f->uuid, sizeof(f->uuid)) == 0;
}

/* Also with a bit of the magic number turned. */
static bool may_be_header(const uint8_t *at)
{
	uint64_t is, should;

	memcpy(&is, at, sizeof(is));
	memcpy(&should, GM_CHECKPOINT_MAGIC, sizeof(should));
	return __builtin_popcountll(is ^ should) <= 1;
}

/* The lowest that looks like one. It may be a guest's, where there is none of the pool's. */
static bool find_any_header(struct finder *f)
{
	for (uint64_t at = LOWEST_SLOT; at + sizeof(f->header) <= f->in->area_bytes;
		at += SLOT_ALIGN)
		if (may_be_header(f->in->area + at) && take_header(f, at))
			return true;
	return false;
}

static bool is_in_place(const struct finder *f)
{
	return (f->offset == f->plan.slot_offset[0] || f->offset == f->plan.slot_offset[1]) &&
	       get_le64(f->header.length) <= f->plan.slot_size;
}

/* In one of its two places, which lie before all of the guests' memory. */
static bool find_header(struct finder *f)
{
	for (int k = 0; k < 2; k++)
		if (take_header(f, f->plan.slot_offset[k]) && is_in_place(f))
			return true;
	return false;
}

static int find_plan(struct finder *f, int error, const struct problem *refused)
{
	const struct salvage_input *in = f->in;
	bool from_stamps = plan_from_stamps(&f->plan, f);
	int r;

	if (!from_stamps && in->max_files == 0) {
		if (!find_any_header(f))
			return problem(f->why, -error,
				"%.700s; nor is there any checkpoint of a pool", refused->text);
		return problem(f->why, EINVAL,
			"both superblocks are lost, and no stamp says how long the metadata are: "
			"say --max-files as at the format (65536 if it was not given then)");
	}
	if (!from_stamps) {
		r = store_plan(&f->plan, in->regions, in->region_count, in->max_files, f->why);
		if (r < 0)
			return r;
	}
	/* A wrong number may put the places of checkpoints where a guest has put some: but the
	 * pool's own would lie lower. */
	if (from_stamps ? find_header(f) : find_any_header(f) && is_in_place(f))
		return 0;
	if (from_stamps)
		return problem(f->why, -error,
			"%.700s; nor is there any checkpoint of a pool at 0x%" PRIx64
			" or 0x%" PRIx64,
			refused->text, f->plan.slot_offset[0], f->plan.slot_offset[1]);
	return problem(f->why, EINVAL,
		"a format for %" PRIu64 " files would have put checkpoints at 0x%" PRIx64
		" and 0x%" PRIx64 ", where there is none; say --max-files as at the format",
		in->max_files, f->plan.slot_offset[0], f->plan.slot_offset[1]);
}

static int check_regions(const struct finder *f)
{
	uint32_t count = 0;

	for (uint32_t r = 0; r < GM_REGIONS_MAX; r++) {
		uint64_t blocks = get_le64(f->header.region_blocks[r]);

		count += blocks > 0;
		if (blocks > 0 && r < f->in->region_count && blocks > f->in->regions[r].blocks)
			return problem(f->why, EUCLEAN,
				"region %" PRIu32 " has %" PRIu64
				" MiB, and the checkpoint was made for %" PRIu64
				" MiB; give it its size back, nothing was changed",
				r, f->in->regions[r].blocks * 2, blocks * 2);
	}
	if (count != f->in->region_count)
		return problem(f->why, EINVAL,
			"the pool has %" PRIu32 " region(s) and %" PRIu32
			" are named: name every one, in the order of the format",
			count, f->in->region_count);
	return 0;
}

static bool any_large_pages(const struct salvage_input *in)
{
	for (uint32_t r = 0; r < in->region_count; r++)
		if (in->regions[r].large_pages)
			return true;
	return false;
}

/* A region may have grown since the pool took it into use: its first stamp is of the size that it
 * has in the pool, or had before a growth that was cut short. */
static uint64_t find_blocks(const struct finder *f, uint32_t region)
{
	const struct gm_stamp *stamp = f->in->stamps[(size_t)2 * region];
	uint64_t is = f->in->regions[region].blocks,
		 least = get_le64(f->header.region_blocks[region]),
		 said = is_whole_stamp(stamp) ? get_le64(stamp->blocks) : is;

	return said >= least && said <= is ? said : is;
}

static void describe_super(struct store_super *s, const struct finder *f)
{
	const struct salvage_input *in = f->in;

	*s = (struct store_super){.sequence = 1,
		.created = in->now > 0 ? (uint64_t)in->now : 0,
		.region_count = in->region_count,
		.plan = f->plan};
	memcpy(s->uuid, f->header.uuid, sizeof(s->uuid));
	s->plan.whole_groups = any_large_pages(in);
	for (uint32_t r = 0; r < in->region_count; r++) {
		s->regions[r] = in->regions[r];
		s->regions[r].blocks = find_blocks(f, r);
		super_data_blocks(
			&s->plan, &s->regions[r], r, &s->first_data[r], &s->data_blocks[r]);
	}
}

/* What decodes is what a later mount will find. */
static int decode_made(struct store_super *s, const struct finder *f)
{
	struct problem reason = PROBLEM_INIT;
	struct gm_super bytes;

	super_encode(&bytes, s);
	if (super_read_copy(s, &bytes, &reason) < 0)
		return problem(f->why, EUCLEAN,
			"both superblocks are lost, and what is left of the pool does not fit "
			"these regions (%.300s); nothing was changed",
			reason.text);
	salvage_note(f->report, false, 0,
		"both superblocks are lost; they are made anew from the checkpoint at 0x%" PRIx64
		" and the regions as they are named, for up to %" PRIu64 " files",
		f->offset, s->plan.max_files);
	salvage_note(f->report, true, 0,
		"the label and the time of the format were in the superblocks alone");
	return 0;
}

static int make_super(struct store_super *ret, const struct salvage_input *in, int error,
	struct salvage_report *report, struct problem *why)
{
	struct finder f = {.in = in, .report = report, .why = why};
	struct problem refused = *why;
	struct store_super s;
	int r;

	if (!read_stamps(&f))
		return problem(why, EUCLEAN,
			"both superblocks are lost, and the regions' stamps are of different "
			"pools; nothing was changed");
	r = find_plan(&f, error, &refused);
	if (r == 0)
		r = check_regions(&f);
	if (r < 0)
		return r;
	describe_super(&s, &f);
	r = decode_made(&s, &f);
	if (r == 0)
		*ret = s;
	return r;
}

int salvage_find_super(struct store_super *ret, bool *anew, const struct salvage_input *in,
	struct salvage_report *report, struct problem *why)
{
	int error = store_read_super(ret, in->area, 0, why), r;
	struct problem mending = PROBLEM_INIT;

	*anew = error < 0;
	if (error == 0 || error == -EPROTONOSUPPORT)
		return error;
	r = mend_super(ret, in->area, report, &mending);
	if (r == -EUCLEAN)
		return make_super(ret, in, error, report, why);
	if (r < 0)
		*why = mending;
	return r;
}
