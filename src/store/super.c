// SPDX-License-Identifier: MIT
/* The superblock: how much room a pool's metadata takes, encoding, decoding, and choosing between
 * the two copies. */
#include "store/super.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/codec.h"

/* ---- how much room ---- */

#define PLACE_ALIGN       (64ULL << 10) /* of journal and slots */
#define JOURNAL_MIN       (1ULL << 20)
#define JOURNAL_MAX       (256ULL << 20)
#define MAX_FILES_MIN     16ULL
#define MAX_FILES_MAX     (1ULL << 32)
#define REGION_BLOCKS_MAX (1ULL << 40)

/* Inode; entry; names, attributes, links beyond that. */
#define BYTES_PER_FILE (sizeof(struct gm_inode) + 64 + 64)

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/*
 * Room for every file with an entry of an ordinary name, for the worst fragmentation (every block
 * an extent of its own) and for the four block maps. Long names and many links draw on the same
 * room; a change past it gets ENOSPC.
 */
static uint64_t slot_size(const struct store_region *regions, uint32_t count, uint64_t max_files)
{
	uint64_t n = sizeof(struct gm_checkpoint) + max_files * BYTES_PER_FILE + 4096;

	for (uint32_t r = 0; r < count; r++)
		n += regions[r].blocks * sizeof(struct gm_extent) +
		     4 * round_up((regions[r].blocks + 7) / 8, 8);
	return round_up(n, PLACE_ALIGN);
}

/* A quarter of a slot, so that writing checkpoints costs a constant factor of writing the journal.
 */
static uint64_t journal_size(uint64_t slot)
{
	uint64_t n = round_up(slot / 4, PLACE_ALIGN);

	return n < JOURNAL_MIN ? JOURNAL_MIN : n > JOURNAL_MAX ? JOURNAL_MAX : n;
}

void super_plan_slots(struct store_plan *p, uint64_t slot)
{
	p->slot_size = slot;
	p->journal_offset = GM_BLOCK_SIZE;
	p->journal_size = journal_size(slot);
	p->slot_offset[0] = p->journal_offset + p->journal_size;
	p->slot_offset[1] = p->slot_offset[0] + slot;
	p->meta_blocks = round_up(p->slot_offset[1] + slot, GM_BLOCK_SIZE) / GM_BLOCK_SIZE;
}

/*
 * One region that is mapped by whole GiBs makes it so for all: a file may lie on several, and its
 * size is one.
 */
static int plan_groups(struct store_plan *p, const struct store_region *regions, uint32_t count,
	struct problem *why)
{
	uint64_t all = 0;

	for (uint32_t r = 0; r < count; r++)
		p->whole_groups |= regions[r].large_pages;
	for (uint32_t r = 0; r < count && p->whole_groups; r++) {
		uint64_t first, data;

		super_data_blocks(p, &regions[r], r, &first, &data);
		all += data;
	}
	if (!p->whole_groups || all > 0)
		return 0;
	return problem(why, EINVAL,
		"with pages of 1G memory is given out by whole GiBs, and there is none between the "
		"metadata and the last block, which is the pool's too: make the region larger, or "
		"take pages of 2M");
}

int store_plan(struct store_plan *ret, const struct store_region *regions, uint32_t count,
	uint64_t max_files, struct problem *why)
{
	struct store_plan p = {.max_files = max_files};
	uint64_t need;

	if (count == 0 || count > GM_REGIONS_MAX)
		return problem(why, EINVAL, "a pool has 1 to %u regions, not %" PRIu32,
			GM_REGIONS_MAX, count);
	if (max_files < MAX_FILES_MIN || max_files > MAX_FILES_MAX)
		return problem(why, EINVAL, "max-files is %" PRIu64 "; it must be %llu to %llu",
			max_files, MAX_FILES_MIN, MAX_FILES_MAX);
	for (uint32_t r = 0; r < count; r++)
		if (regions[r].blocks > REGION_BLOCKS_MAX)
			return problem(why, EINVAL,
				"region %" PRIu32 " is larger than this format can hold", r);
	super_plan_slots(&p, slot_size(regions, count, max_files));
	/* One for the last stamp, one of data; where more regions follow the first may be metadata
	 * alone. */
	need = p.meta_blocks + (count > 1 ? 1 : 2);
	if (regions[0].blocks < need)
		return problem(why, EINVAL,
			"the region is too small: %" PRIu64 " MiB, but metadata for %" PRIu64
			" files and one block of memory need %" PRIu64
			" MiB; make it larger, or format it for fewer files (guestmemfs format "
			"--max-files)",
			regions[0].blocks * 2, max_files, need * 2);
	for (uint32_t r = 1; r < count; r++)
		if (regions[r].blocks < 3)
			return problem(
				why, EINVAL, "region %" PRIu32 " is too small: it needs 6 MiB", r);
	if (plan_groups(&p, regions, count, why) < 0)
		return -EINVAL;
	*ret = p;
	return 0;
}

/* Where in its group a region's first block lies. */
static uint64_t region_phase(const struct store_region *region)
{
	return region->physical_start / GM_BLOCK_SIZE % GM_BLOCKS_PER_GROUP;
}

void super_data_blocks(const struct store_plan *p, const struct store_region *region,
	uint32_t index, uint64_t *first, uint64_t *count)
{
	uint64_t begin = index == 0 ? p->meta_blocks : 1;
	uint64_t end = region->blocks - 1;

	if (p->whole_groups) {
		uint64_t phase = region_phase(region);

		begin = round_up(begin + phase, GM_BLOCKS_PER_GROUP) - phase;
		end -= (end + phase) % GM_BLOCKS_PER_GROUP;
	}
	*first = begin < end ? begin : region->blocks - 1;
	*count = begin < end ? end - begin : 0;
}

int super_make_alloc(struct alloc **ret, const struct store_super *super)
{
	struct alloc *a = alloc_new();

	for (uint32_t r = 0; a && r < super->region_count; r++) {
		struct alloc_region region = {.blocks = super->regions[r].blocks,
			.first_data = super->first_data[r],
			.data_blocks = super->data_blocks[r],
			.phase = region_phase(&super->regions[r]),
			.whole_groups = super->plan.whole_groups};

		if (alloc_add_region(a, &region) < 0)
			a = alloc_free(a);
	}
	if (!a)
		return -ENOMEM;
	*ret = a;
	return 0;
}

/* ---- encoding ---- */

void super_encode(struct gm_super *to, const struct store_super *s)
{
	*to = (struct gm_super){
		.major = put_le16(GM_FORMAT_MAJOR),
		.minor = put_le16(GM_FORMAT_MINOR),
		.size = put_le32(sizeof(*to)),
		.sequence = put_le64(s->sequence),
		.feature_compat = put_le64(s->feature_compat),
		.feature_incompat = put_le64(s->plan.whole_groups ? GM_FEATURE_INCOMPAT_GROUPS : 0),
		.created = put_le64(s->created),
		.max_files = put_le64(s->plan.max_files),
		.block_shift = put_le32(GM_BLOCK_SHIFT),
		.region_count = put_le32(s->region_count),
		.meta_blocks = put_le64(s->plan.meta_blocks),
		.journal_offset = put_le64(s->plan.journal_offset),
		.journal_size = put_le64(s->plan.journal_size),
		.slot_offset = {put_le64(s->plan.slot_offset[0]), put_le64(s->plan.slot_offset[1])},
		.slot_size = put_le64(s->plan.slot_size),
	};
	memcpy(to->magic, GM_SUPER_MAGIC, sizeof(to->magic));
	memcpy(to->uuid, s->uuid, sizeof(to->uuid));
	memcpy(to->label, s->label, strnlen(s->label, sizeof(to->label)));
	for (uint32_t r = 0; r < s->region_count; r++)
		to->regions[r] = (struct gm_super_region){
			.kind = put_le16((uint16_t)s->regions[r].kind),
			.flags = put_le16(s->regions[r].reserved_ram ? GM_REGION_RESERVED_RAM : 0),
			.node = put_le32(s->regions[r].node),
			.physical_start = put_le64(s->regions[r].physical_start),
			.blocks = put_le64(s->regions[r].blocks),
			.first_data = put_le64(s->first_data[r]),
			.data_blocks = put_le64(s->data_blocks[r]),
		};
	to->checksum = codec_seal(to, sizeof(*to));
}

/* ---- decoding ---- */

static const char *decode_region(
	struct store_super *s, uint32_t r, const struct gm_super_region *from)
{
	struct store_region *to = &s->regions[r];
	uint64_t first, count;

	*to = (struct store_region){.kind = (enum gm_region_kind)get_le16(from->kind),
		.blocks = get_le64(from->blocks),
		.physical_start = get_le64(from->physical_start),
		.node = get_le32(from->node),
		.reserved_ram = get_le16(from->flags) & GM_REGION_RESERVED_RAM};
	s->first_data[r] = get_le64(from->first_data);
	s->data_blocks[r] = get_le64(from->data_blocks);
	if (to->kind != GM_REGION_FILE && to->kind != GM_REGION_PMEM && to->kind != GM_REGION_SOFT)
		return "a region's kind is unknown";
	if ((get_le16(from->flags) & ~GM_REGION_FLAGS_KNOWN) ||
		!codec_is_zero(from->reserved, sizeof(from->reserved)))
		return "a region has unknown flags, or its reserved bytes are not zero";
	if (to->blocks < 3 || to->blocks > REGION_BLOCKS_MAX ||
		to->physical_start % GM_BLOCK_SIZE != 0)
		return "a region's size or start is out of range";
	if (r == 0 && to->blocks < s->plan.meta_blocks + (s->region_count > 1 ? 1 : 2))
		return "the metadata area does not fit the first region";
	super_data_blocks(&s->plan, to, r, &first, &count);
	if (s->first_data[r] != first || s->data_blocks[r] != count)
		return "a region's data blocks are not where they must be";
	return NULL;
}

/* Journal and slots lie after the first block, inside the metadata area, one after the other. */
static const char *check_places(const struct store_plan *p)
{
	uint64_t limit = REGION_BLOCKS_MAX * GM_BLOCK_SIZE / 2;

	if (p->meta_blocks > REGION_BLOCKS_MAX / 2 || p->journal_size > limit ||
		p->slot_size > limit)
		return "a size is out of range";
	if (p->journal_size < JOURNAL_MIN || p->journal_size % PLACE_ALIGN != 0 ||
		p->journal_size / GM_TAIL_UNIT >= 1ULL << GM_TAIL_POSITION_BITS)
		return "the journal's size is out of range";
	if (p->slot_size < PLACE_ALIGN || p->slot_size % PLACE_ALIGN != 0)
		return "the slots' size is out of range";
	if (p->journal_offset != GM_BLOCK_SIZE ||
		p->slot_offset[0] != p->journal_offset + p->journal_size ||
		p->slot_offset[1] != p->slot_offset[0] + p->slot_size ||
		p->slot_offset[1] + p->slot_size > p->meta_blocks * GM_BLOCK_SIZE)
		return "journal and slots are not where they must be";
	if (p->max_files < MAX_FILES_MIN || p->max_files > MAX_FILES_MAX)
		return "the number of files is out of range";
	return NULL;
}

static const char *decode_super(struct store_super *s, const struct gm_super *from)
{
	const char *wrong;

	*s = (struct store_super){
		.sequence = get_le64(from->sequence),
		.created = get_le64(from->created),
		.region_count = get_le32(from->region_count),
		.feature_compat = get_le64(from->feature_compat),
		.plan =
			{
				.max_files = get_le64(from->max_files),
				.meta_blocks = get_le64(from->meta_blocks),
				.whole_groups = get_le64(from->feature_incompat) &
						GM_FEATURE_INCOMPAT_GROUPS,
				.journal_offset = get_le64(from->journal_offset),
				.journal_size = get_le64(from->journal_size),
				.slot_offset = {get_le64(from->slot_offset[0]),
					get_le64(from->slot_offset[1])},
				.slot_size = get_le64(from->slot_size),
			},
	};
	memcpy(s->uuid, from->uuid, sizeof(s->uuid));
	memcpy(s->label, from->label, sizeof(from->label));
	if (get_le32(from->size) != sizeof(*from) || get_le32(from->block_shift) != GM_BLOCK_SHIFT)
		return "its size or block size is unknown";
	if (s->region_count == 0 || s->region_count > GM_REGIONS_MAX)
		return "the number of regions is out of range";
	if (!codec_is_zero(from->reserved1, sizeof(from->reserved1)) ||
		!codec_is_zero(from->reserved2, sizeof(from->reserved2)) ||
		!codec_is_zero(&from->regions[s->region_count],
			(GM_REGIONS_MAX - s->region_count) * sizeof(from->regions[0])))
		return "its reserved bytes are not zero";
	wrong = check_places(&s->plan);
	for (uint32_t r = 0; !wrong && r < s->region_count; r++)
		wrong = decode_region(s, r, &from->regions[r]);
	return wrong;
}

enum copy_state {
	COPY_GOOD,
	COPY_ZERO,    /* nothing there */
	COPY_FOREIGN, /* no magic number of ours */
	COPY_DAMAGED,
	COPY_NEWER, /* whole, but not for this version */
};

struct copy {
	enum copy_state state;
	struct store_super super;
	char text[200]; /* why it is not good */
};

static enum copy_state say(struct copy *c, enum copy_state state, const char *text)
{
	struct problem p;

	(void)problem(&p, EUCLEAN, "%s", text);
	memcpy(c->text, p.text, sizeof(c->text) - 1);
	c->text[sizeof(c->text) - 1] = '\0';
	return state;
}

static enum copy_state check_version(struct copy *c, const struct gm_super *s)
{
	struct problem p = PROBLEM_INIT;
	uint64_t incompat = get_le64(s->feature_incompat) & ~GM_FEATURE_INCOMPAT_KNOWN;
	uint64_t ro = get_le64(s->feature_ro_compat) & ~GM_FEATURE_RO_COMPAT_KNOWN;

	if (get_le16(s->major) != GM_FORMAT_MAJOR)
		(void)problem(&p, EPROTONOSUPPORT, "format version %u.%u, this program knows %u",
			get_le16(s->major), get_le16(s->minor), GM_FORMAT_MAJOR);
	else if (incompat)
		(void)problem(
			&p, EPROTONOSUPPORT, "unknown incompat features 0x%" PRIx64, incompat);
	else if (ro)
		(void)problem(&p, EPROTONOSUPPORT, "unknown ro_compat features 0x%" PRIx64, ro);
	else
		return COPY_GOOD;
	return say(c, COPY_NEWER, p.text);
}

static enum copy_state read_copy(struct copy *c, const uint8_t *at)
{
	struct gm_super s;
	enum copy_state state;
	const char *wrong;

	memcpy(&s, at, sizeof(s));
	if (codec_is_zero(&s, sizeof(s)))
		return say(c, COPY_ZERO, "all zero");
	if (memcmp(s.magic, GM_SUPER_MAGIC, sizeof(s.magic)) != 0)
		return say(c, COPY_FOREIGN, "no guestmemfs magic number");
	if (!codec_seal_holds(&s, sizeof(s)))
		return say(c, COPY_DAMAGED, "its checksum is wrong");
	state = check_version(c, &s);
	if (state != COPY_GOOD)
		return state;
	wrong = decode_super(&c->super, &s);
	return wrong ? say(c, COPY_DAMAGED, wrong) : COPY_GOOD;
}

/* Neither copy is good: what is it, then? */
static int refuse(const struct copy c[2], struct problem *why)
{
	for (int k = 0; k < 2; k++)
		if (c[k].state == COPY_NEWER)
			return problem(why, EPROTONOSUPPORT,
				"the pool was made by a newer guestmemfs (%s); use that one",
				c[k].text);
	if (c[0].state == COPY_ZERO && c[1].state == COPY_ZERO)
		return problem(why, ENOENT,
			"there is no filesystem on the region; make one with guestmemfs format");
	if (c[0].state != COPY_DAMAGED && c[1].state != COPY_DAMAGED)
		return problem(why, EMEDIUMTYPE,
			"the region holds something else than a guestmemfs filesystem");
	return problem(why, EUCLEAN,
		"both superblocks are damaged (first, at 0x%x: %s; second, at 0x%x: %s); nothing "
		"was changed, see guestmemfs fsck",
		GM_SUPER_A_OFFSET, c[0].text, GM_SUPER_B_OFFSET, c[1].text);
}

int store_read_copies(struct store_super *ret, const void *const copies[2], uint64_t region_bytes,
	struct problem *why)
{
	struct copy c[2] = {0};
	uint64_t bytes;
	int best;

	c[0].state = read_copy(&c[0], copies[0]);
	c[1].state = read_copy(&c[1], copies[1]);
	if (c[0].state == COPY_NEWER || c[1].state == COPY_NEWER ||
		(c[0].state != COPY_GOOD && c[1].state != COPY_GOOD))
		return refuse(c, why);
	best = c[0].state != COPY_GOOD ||
	       (c[1].state == COPY_GOOD && c[1].super.sequence > c[0].super.sequence);
	bytes = c[best].super.regions[0].blocks * GM_BLOCK_SIZE;
	if (region_bytes != 0 && bytes != region_bytes)
		return problem(why, EUCLEAN,
			"the region has %" PRIu64 " MiB but was formatted with %" PRIu64
			" MiB; give it its size back, nothing was changed",
			region_bytes >> 20, bytes >> 20);
	*ret = c[best].super;
	for (int k = 0; k < 2; k++)
		ret->copy_bad[k] = c[k].state != COPY_GOOD || c[k].super.sequence != ret->sequence;
	return 0;
}

int store_read_super(
	struct store_super *ret, const void *block, uint64_t region_bytes, struct problem *why)
{
	const uint8_t *base = block;
	const void *const copies[2] = {base + GM_SUPER_A_OFFSET, base + GM_SUPER_B_OFFSET};

	return store_read_copies(ret, copies, region_bytes, why);
}

int super_read_copy(struct store_super *ret, const void *at, struct problem *why)
{
	struct copy c = {0};

	c.state = read_copy(&c, at);
	if (c.state != COPY_GOOD)
		return problem(
			why, c.state == COPY_NEWER ? EPROTONOSUPPORT : EUCLEAN, "%s", c.text);
	*ret = c.super;
	return 0;
}

const char *super_copy_problem(const uint8_t *block, unsigned copy, char *text, size_t size)
{
	struct copy c = {0};

	if (read_copy(&c, block + (copy ? GM_SUPER_B_OFFSET : GM_SUPER_A_OFFSET)) == COPY_GOOD)
		return NULL;
	(void)strncpy(text, c.text, size - 1);
	text[size - 1] = '\0';
	return text;
}
