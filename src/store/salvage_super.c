// SPDX-License-Identifier: MIT
/*
 * Finding the superblock again: a bit turned back, the two copies put together, or a new one from
 * the checkpoints' headers, the stamps and the regions themselves.
 *
 * Where checkpoints are looked for, guests' memory may lie as well, and a guest may have written
 * anything. What lies lowest counts: the metadata area is before all of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/codec.h"
#include "store/salvage_internal.h"
#include "store/super.h"

#define SLOT_ALIGN  SALVAGE_LOOK_STEP /* of journal and slots */
#define WORDS_MIXED 16U               /* words in which the copies differ: 2^16 tries */
#define HEADERS_MAX 4U

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

/* ---- from the checkpoints ---- */

struct finder {
	const struct salvage_input *in;
	struct salvage_report *report;
	struct problem *why;
	struct gm_checkpoint headers[HEADERS_MAX];
	uint64_t offset[HEADERS_MAX];
	unsigned count;
	uint8_t uuid[16];
	bool has_uuid;
};

/* Also with a bit of the magic number turned. */
static bool may_be_header(const uint8_t *at)
{
	uint64_t is, should;

	memcpy(&is, at, sizeof(is));
	memcpy(&should, GM_CHECKPOINT_MAGIC, sizeof(should));
	return __builtin_popcountll(is ^ should) <= 1;
}

/* The stamps say whose region it is; without any, the lowest header does. */
static int find_uuid(struct finder *f)
{
	for (uint32_t n = 0; n < 2 * f->in->region_count; n++) {
		const struct gm_stamp *stamp = f->in->stamps[n];

		if (!stamp || memcmp(stamp->magic, GM_STAMP_MAGIC, sizeof(stamp->magic)) != 0 ||
			!codec_seal_holds(stamp, sizeof(*stamp)))
			continue;
		if (f->has_uuid && memcmp(f->uuid, stamp->uuid, sizeof(f->uuid)) != 0)
			return problem(f->why, EUCLEAN,
				"both superblocks are lost, and the regions' stamps are of "
				"different pools; nothing was changed");
		memcpy(f->uuid, stamp->uuid, sizeof(f->uuid));
		f->has_uuid = true;
	}
	return 0;
}

static void find_headers(struct finder *f)
{
	uint64_t limit = f->in->area_bytes;

	for (uint64_t at = 2 * GM_BLOCK_SIZE - (1U << 20);
		at + sizeof(struct gm_checkpoint) <= limit && f->count < HEADERS_MAX;
		at += SLOT_ALIGN) {
		struct gm_checkpoint *h = &f->headers[f->count];
		int64_t bit;

		if (!may_be_header(f->in->area + at))
			continue;
		memcpy(h, f->in->area + at, sizeof(*h));
		if (!salvage_mend_sealed((uint8_t *)h, sizeof(*h), &bit) ||
			(f->has_uuid && memcmp(h->uuid, f->uuid, sizeof(f->uuid)) != 0))
			continue;
		memcpy(f->uuid, h->uuid, sizeof(f->uuid));
		f->has_uuid = true;
		f->offset[f->count++] = at;
	}
}

static bool plan_fits(const struct store_plan *p, const struct finder *f, unsigned header, int slot)
{
	return p->slot_offset[slot] == f->offset[header] &&
	       get_le64(f->headers[header].length) <= p->slot_size;
}

/* Two headers are two slots: the distance is the size. */
static bool plan_from_pair(struct store_plan *p, const struct finder *f)
{
	for (unsigned b = 1; b < f->count; b++) {
		super_plan_slots(p, f->offset[b] - f->offset[0]);
		if (plan_fits(p, f, 0, 0) && plan_fits(p, f, b, 1))
			return true;
	}
	return false;
}

/* Which slot a single header lies in, if a slot word says so; else -1. */
static int slot_of(const struct finder *f)
{
	static const unsigned offset[2] = {GM_SLOT_WORD_A_OFFSET, GM_SLOT_WORD_B_OFFSET};
	uint64_t generation = get_le64(f->headers[0].generation);
	struct codec_word word;

	for (int k = 0; k < 2; k++) {
		if (!codec_decode_slot_word(codec_read_word(f->in->area + offset[k]), &word))
			continue;
		if (word.generation == generation)
			return (int)word.value;
		if (word.generation == generation + 1 || word.generation + 1 == generation)
			return 1 - (int)word.value;
	}
	return -1;
}

/*
 * Journal and first slot grow together, so that the second slot's place has one size only; the
 * first one's may have several.
 */
static bool plan_from_one(struct store_plan *p, const struct finder *f)
{
	struct store_plan found = *p;
	int slot = slot_of(f);
	unsigned fits = 0;

	for (uint64_t size = SLOT_ALIGN; size < 5 * f->offset[0] && fits < 2; size += SLOT_ALIGN) {
		super_plan_slots(p, size);
		if ((slot != 1 && plan_fits(p, f, 0, 0)) || (slot != 0 && plan_fits(p, f, 0, 1))) {
			found = *p;
			fits++;
		}
	}
	*p = found;
	return fits == 1;
}

static int plan_as_told(struct store_plan *p, const struct finder *f)
{
	struct store_plan told;
	int r = store_plan(&told, f->in->regions, f->in->region_count, f->in->max_files, f->why);

	if (r < 0)
		return r;
	if (!plan_fits(&told, f, 0, 0) && !plan_fits(&told, f, 0, 1))
		return problem(f->why, EINVAL,
			"a format for %" PRIu64
			" files would not have put a checkpoint at 0x%" PRIx64
			", where there is one; say --max-files as at the format",
			f->in->max_files, f->offset[0]);
	*p = told;
	return 0;
}

static int find_plan(struct store_plan *p, const struct finder *f)
{
	if (plan_from_pair(p, f) || (f->in->max_files == 0 && plan_from_one(p, f)))
		return 0;
	if (f->in->max_files)
		return plan_as_told(p, f);
	return problem(f->why, EINVAL,
		"both superblocks are lost and only one checkpoint is left, at 0x%" PRIx64
		", from which the size of the metadata area can't be told: say --max-files as at "
		"the format (65536 if it was not given then)",
		f->offset[0]);
}

static int check_regions(const struct finder *f)
{
	uint32_t count = 0;

	for (uint32_t r = 0; r < GM_REGIONS_MAX; r++) {
		uint64_t blocks = get_le64(f->headers[0].region_blocks[r]);

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

static void describe_super(struct store_super *s, const struct finder *f)
{
	const struct salvage_input *in = f->in;

	s->sequence = 1;
	s->created = in->now > 0 ? (uint64_t)in->now : 0;
	s->region_count = in->region_count;
	memcpy(s->uuid, f->uuid, sizeof(s->uuid));
	s->plan.whole_groups = any_large_pages(in);
	s->plan.max_files =
		in->max_files ? in->max_files
			      : super_max_files(in->regions, in->region_count, s->plan.slot_size);
	for (uint32_t r = 0; r < in->region_count; r++) {
		s->regions[r] = in->regions[r];
		super_data_blocks(
			&s->plan, &in->regions[r], r, &s->first_data[r], &s->data_blocks[r]);
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
		f->offset[0], s->plan.max_files);
	salvage_note(f->report, true, 0,
		"the label and the time of the format were in the superblocks alone");
	return 0;
}

static int make_super(struct store_super *ret, const struct salvage_input *in, int error,
	struct salvage_report *report, struct problem *why)
{
	static struct finder none;
	struct finder f = none;
	struct store_super s = {.sequence = 1};
	struct problem refused = *why;
	int r;

	f.in = in;
	f.report = report;
	f.why = why;
	r = find_uuid(&f);
	if (r < 0)
		return r;
	find_headers(&f);
	if (f.count == 0)
		return problem(
			why, -error, "%.700s; nor is there any checkpoint of a pool", refused.text);
	r = check_regions(&f);
	if (r == 0)
		r = find_plan(&s.plan, &f);
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
