// SPDX-License-Identifier: MIT
/* Superblocks, words and the checkpoint in force. */
#include "reader_internal.h"

#define XXH_STATIC_LINKING_ONLY /* the size of a state */
#include <xxhash.h>

#define MIB (1ULL << 20)
#define KIB (1ULL << 10)

static bool seal_holds(const uint8_t *at, size_t size)
{
	return XXH3_64bits(at, size - 8) == reader_u64(at + size - 8);
}

/* ---- superblocks ---- */

#define GROUPS 1U /* incompat bit 0 */

enum { /* offsets in the superblock, from the table of the document */
	SUPER_MAJOR = 8,
	SUPER_SIZE = 12,
	SUPER_UUID = 16,
	SUPER_SEQUENCE = 32,
	SUPER_RO_COMPAT = 48,
	SUPER_INCOMPAT = 56,
	SUPER_MAX_FILES = 72,
	SUPER_BLOCK_SHIFT = 80,
	SUPER_REGION_COUNT = 84,
	SUPER_META_BLOCKS = 88,
	SUPER_JOURNAL_OFFSET = 96,
	SUPER_JOURNAL_SIZE = 104,
	SUPER_SLOT_0 = 112,
	SUPER_SLOT_1 = 120,
	SUPER_SLOT_SIZE = 128,
	SUPER_REGIONS = 512,
	REGION_BYTES = 96,
};

static const char *check_places(const uint8_t *s)
{
	uint64_t journal = reader_u64(s + SUPER_JOURNAL_SIZE),
		 slot = reader_u64(s + SUPER_SLOT_SIZE);

	if (reader_u64(s + SUPER_JOURNAL_OFFSET) != 2 * MIB || journal < MIB ||
		journal % (64 * KIB) != 0)
		return "journal";
	if (slot == 0 || slot % (64 * KIB) != 0 ||
		reader_u64(s + SUPER_SLOT_0) != 2 * MIB + journal ||
		reader_u64(s + SUPER_SLOT_1) != 2 * MIB + journal + slot)
		return "slots";
	if (2 * MIB + journal + 2 * slot > reader_u64(s + SUPER_META_BLOCKS) * 2 * MIB)
		return "metadata blocks";
	if (reader_u64(s + SUPER_MAX_FILES) < 16 || reader_u64(s + SUPER_MAX_FILES) > 1ULL << 32)
		return "number of files";
	return NULL;
}

static const char *check_region(const uint8_t *s, uint64_t n)
{
	const uint8_t *at = s + SUPER_REGIONS + n * REGION_BYTES;
	uint64_t blocks = reader_u64(at + 16),
		 first = n == 0 ? reader_u64(s + SUPER_META_BLOCKS) : 1;
	uint64_t end = blocks - 1, start = reader_u64(at + 8);

	if (reader_u16(at) < 1 || reader_u16(at) > 3 || reader_u16(at + 2) > 1)
		return "kind or flags of a region";
	if (start % (2 * MIB) != 0 || blocks < 3 || blocks > 1ULL << 40 || first >= blocks)
		return "place or size of a region";
	if (reader_u64(s + SUPER_INCOMPAT) & GROUPS) {
		while ((start / (2 * MIB) + first) % 512 != 0 && first < end)
			first++;
		while ((start / (2 * MIB) + end) % 512 != 0 && end > first)
			end--;
		if (first == end)
			first = end = blocks - 1;
	}
	if (reader_u64(at + 24) != first || reader_u64(at + 32) != end - first)
		return "data blocks of a region";
	if (!reader_is_zero(at + 40, 56))
		return "reserved bytes of a region";
	return NULL;
}

/* NULL: valid. *newer: whole, but not for this version. */
static const char *check_super(const uint8_t *s, bool *newer)
{
	uint64_t regions = reader_u32(s + SUPER_REGION_COUNT);
	const char *wrong;

	*newer = false;
	if (memcmp(s, "GMFSSUPR", 8) != 0 || !seal_holds(s, 4096))
		return "magic or checksum";
	*newer = reader_u16(s + SUPER_MAJOR) != 1 || reader_u64(s + SUPER_INCOMPAT) > GROUPS ||
		 reader_u64(s + SUPER_RO_COMPAT) != 0;
	if (*newer)
		return "version or features";
	if (reader_u32(s + SUPER_SIZE) != 4096 || reader_u32(s + SUPER_BLOCK_SHIFT) != 21 ||
		regions < 1 || regions > 32)
		return "sizes";
	if (!reader_is_zero(s + 200, 312) || !reader_is_zero(s + 3584, 504) ||
		!reader_is_zero(
			s + SUPER_REGIONS + regions * REGION_BYTES, (32 - regions) * REGION_BYTES))
		return "reserved bytes";
	wrong = check_places(s);
	for (uint64_t n = 0; !wrong && n < regions; n++)
		wrong = check_region(s, n);
	return wrong;
}

static bool read_supers(struct reader *r)
{
	const uint8_t *copy[2] = {r->area, r->area + 0x100000};
	bool newer[2];
	const char *wrong[2] = {check_super(copy[0], &newer[0]), check_super(copy[1], &newer[1])};

	if (newer[0] || newer[1])
		return reader_refuse(r, "a superblock is of a newer format");
	if (wrong[0] && wrong[1])
		return reader_refuse(r, "both superblocks: %s, %s", wrong[0], wrong[1]);
	r->super = wrong[0] ? copy[1] : copy[0];
	if (!wrong[0] && !wrong[1] &&
		reader_u64(copy[1] + SUPER_SEQUENCE) > reader_u64(copy[0] + SUPER_SEQUENCE))
		r->super = copy[1];
	if (reader_u64(r->super + SUPER_META_BLOCKS) * 2 * MIB > r->size)
		return reader_refuse(r, "the metadata area is larger than what is there");
	return true;
}

static bool view_regions(struct reader *r)
{
	struct view *v = r->v;

	memcpy(v->uuid, r->super + SUPER_UUID, 16);
	r->granule = reader_u64(r->super + SUPER_INCOMPAT) & GROUPS ? 512 : 1;
	v->region_count = (uint32_t)reader_u32(r->super + SUPER_REGION_COUNT);
	if (v->region_count > VIEW_REGIONS)
		return reader_refuse(r, "more regions than this reader has room for");
	for (uint32_t n = 0; n < v->region_count; n++) {
		const uint8_t *at = r->super + SUPER_REGIONS + n * REGION_BYTES;

		v->region_blocks[n] = reader_u64(at + 16);
		v->first_data[n] = reader_u64(at + 24);
		v->data_blocks[n] = reader_u64(at + 32);
		if (v->region_blocks[n] > VIEW_BLOCKS)
			return reader_refuse(r, "a larger region than this reader has room for");
		memset(v->blocks[n], 0, v->region_blocks[n] * sizeof(v->blocks[n][0]));
	}
	return true;
}

/* ---- words ---- */

/* The lower 48 bits; false if the check above them does not hold. */
static bool read_word(const uint8_t *at, uint64_t *content)
{
	uint64_t word = reader_u64(at);
	uint8_t bytes[8];

	*content = word & ((1ULL << 48) - 1);
	for (unsigned n = 0; n < 8; n++)
		bytes[n] = (uint8_t)(*content >> 8 * n);
	return (XXH3_64bits(bytes, 8) & 0xffff) == word >> 48;
}

static bool read_slot_words(struct reader *r)
{
	uint64_t word[2] = {0, 0};

	for (unsigned k = 0; k < 2; k++)
		if (!read_word(r->area + (k ? 0x101000 : 0x1000), &word[k]) || (word[k] & 0xfe) ||
			word[k] >> 8 == 0)
			word[k] = 0;
	if (word[0] == 0 && word[1] == 0)
		return reader_refuse(r, "both slot words");
	if (word[1] >> 8 > word[0] >> 8)
		word[0] = word[1];
	r->generation = word[0] >> 8;
	r->slot = word[0] & 1;
	if (r->generation > 1ULL << 39)
		return reader_refuse(r, "generation");
	return true;
}

/* ---- the checkpoint ---- */

struct section {
	const uint8_t *bytes;
	uint64_t length;
	uint64_t count;
};

/* 1 to 8 are always there, 9 if there are attributes, 10 if there are symlinks, 12 if there is
 * content; 11 is none. */
#define SECTIONS 13U

static const uint64_t record_sizes[SECTIONS] = {0, 192, 0, 32, 0, 0, 0, 0, 32, 0, 0, 0, 32};

static bool read_section(struct reader *r, const uint8_t *image, const uint8_t *entry,
	uint64_t image_length, uint64_t *end, struct section sections[SECTIONS])
{
	uint64_t type = reader_u32(entry), offset = reader_u64(entry + 8);
	struct section s = {.length = reader_u64(entry + 16), .count = reader_u64(entry + 24)};

	if (type < 1 || type >= SECTIONS || type == 11 || sections[type].bytes)
		return reader_refuse(r, "a section's type");
	for (uint64_t later = type + 1; later < SECTIONS; later++)
		if (sections[later].bytes)
			return reader_refuse(r, "the sections' order");
	if (offset % 8 != 0 || offset < *end || offset > image_length ||
		s.length > image_length - offset)
		return reader_refuse(r, "place of section %u", (unsigned)type);
	s.bytes = image + offset;
	if (reader_u32(entry + 4) != record_sizes[type] || reader_u64(entry + 40) != 0)
		return reader_refuse(r, "record size of section %u", (unsigned)type);
	if (record_sizes[type] && s.count * record_sizes[type] != s.length)
		return reader_refuse(r, "count of section %u", (unsigned)type);
	if (XXH3_64bits(s.bytes, s.length) != reader_u64(entry + 32))
		return reader_refuse(r, "checksum of section %u", (unsigned)type);
	*end = offset + s.length;
	sections[type] = s;
	return true;
}

static bool read_header(struct reader *r, const uint8_t *image, struct section sections[SECTIONS])
{
	uint64_t count = reader_u32(image + 104), end = 4096, length = reader_u64(image + 40);

	if (memcmp(image, "GMFSCKPT", 8) != 0 || !seal_holds(image, 4096))
		return reader_refuse(r, "magic or checksum of the checkpoint");
	if (memcmp(image + 8, r->v->uuid, 16) != 0 || reader_u64(image + 24) != r->generation)
		return reader_refuse(r, "pool or generation of the checkpoint");
	if (length > reader_u64(r->super + SUPER_SLOT_SIZE) || count > 32 ||
		reader_u64(image + 64) > 1)
		return reader_refuse(r, "length, sections or flags of the checkpoint");
	if (reader_u32(image + 108) != 0 || !reader_is_zero(image + 368, 144) ||
		!reader_is_zero(image + 2048, 2040) ||
		!reader_is_zero(image + 512 + count * 48, (32 - count) * 48))
		return reader_refuse(r, "reserved bytes of the checkpoint");
	for (uint64_t n = 0; n < count; n++)
		if (!read_section(r, image, image + 512 + n * 48, length, &end, sections))
			return false;
	for (unsigned type = 1; type < 9; type++)
		if (!sections[type].bytes)
			return reader_refuse(r, "section %u is missing", type);
	return true;
}

static bool read_inodes(struct reader *r, const struct section *s)
{
	for (uint64_t n = 0; n < s->count; n++) {
		const uint8_t *at = s->bytes + n * 192;

		if (n > 0 && reader_u64(at) <= reader_u64(at - 192))
			return reader_refuse(r, "the inodes do not ascend");
		if (!reader_inode(r, at))
			return false;
	}
	return true;
}

static bool read_entries(struct reader *r, const struct section *s)
{
	uint64_t at = 0, length;

	for (uint64_t n = 0; n < s->count; n++, at += length) {
		const struct view_entry *last;

		if (!reader_entry(r, s->bytes + at, s->length - at, &length))
			return false;
		last = &r->v->entries[r->v->entry_count - 1];
		if (last->parent != reader_u64(s->bytes + at) ||
			last->cookie != reader_u64(s->bytes + at + 16))
			return reader_refuse(r, "the entries do not ascend");
	}
	return at == s->length || reader_refuse(r, "bytes behind the last entry");
}

static bool read_extents(struct reader *r, const struct section *s)
{
	uint64_t ino = 0, end = 0;

	for (uint64_t n = 0; n < s->count; n++) {
		const uint8_t *at = s->bytes + n * 32;

		if (!reader_extent(r, at, true))
			return false;
		if (reader_u64(at) < ino || (reader_u64(at) == ino && reader_u64(at + 8) < end))
			return reader_refuse(r, "the extents do not ascend");
		ino = reader_u64(at);
		end = reader_u64(at + 8) + reader_u32(at + 24);
	}
	return true;
}

static bool read_xattrs(struct reader *r, const struct section *s)
{
	uint64_t at = 0, length;

	for (uint64_t n = 0; n < s->count; n++, at += length) {
		const struct view_xattr *last;
		uint32_t before = r->v->xattr_count;

		if (!reader_xattr(r, s->bytes + at, s->length - at, &length))
			return false;
		last = &r->v->xattrs[before];
		if (r->v->xattr_count == before || last->ino != reader_u64(s->bytes + at) ||
			memcmp(last->name, s->bytes + at + 16, last->name_len) != 0)
			return reader_refuse(r, "the attributes do not ascend");
	}
	return at == s->length || reader_refuse(r, "bytes behind the last attribute");
}

static bool read_targets(struct reader *r, const struct section *s)
{
	uint64_t at = 0, length, last = 0;

	for (uint64_t n = 0; n < s->count; n++, at += length) {
		if (!reader_target(r, s->bytes + at, s->length - at, &length))
			return false;
		if (reader_u64(s->bytes + at) <= last)
			return reader_refuse(r, "the targets do not ascend");
		last = reader_u64(s->bytes + at);
	}
	return at == s->length || reader_refuse(r, "bytes behind the last target");
}

static bool read_pieces(struct reader *r, const struct section *s)
{
	uint64_t ino = 0, end = 0;

	for (uint64_t n = 0; n < s->count; n++) {
		const uint8_t *at = s->bytes + n * 32;

		if (!reader_piece(r, at))
			return false;
		if (reader_u64(at) < ino || (reader_u64(at) == ino && reader_u64(at + 8) < end))
			return reader_refuse(r, "the pieces do not ascend");
		ino = reader_u64(at);
		end = reader_u64(at + 8) + reader_u32(at + 24);
	}
	return true;
}

static uint64_t map_bytes(const uint8_t *image, uint32_t region)
{
	return (reader_u64(image + 112 + 8 * region) + 63) / 64 * 8;
}

/* Type 4 to 7: used, clean, poisoned, quarantined. */
static bool read_map(struct reader *r, const uint8_t *image, const struct section *s, unsigned type)
{
	uint64_t at = 0;

	for (uint32_t region = 0; region < r->v->region_count; region++) {
		uint64_t bytes = map_bytes(image, region);

		for (uint64_t n = 0; n < bytes * 8 && at + bytes <= s->length; n++) {
			struct view_block *b = &r->v->blocks[region][n];

			if (!(s->bytes[at + n / 8] >> n % 8 & 1))
				continue;
			if (n < r->v->first_data[region] ||
				n >= r->v->first_data[region] + r->v->data_blocks[region])
				return reader_refuse(r, "a bit outside the data blocks");
			b->used |= type == 4;
			b->clean |= type == 5;
			b->poisoned |= type == 6;
			b->quarantined |= type == 7;
		}
		at += bytes;
	}
	if (at != s->length || s->count != s->length)
		return reader_refuse(r, "length of block map %u", type);
	return true;
}

static bool check_maps(struct reader *r)
{
	for (uint32_t region = 0; region < r->v->region_count; region++)
		for (uint64_t n = 0; n < r->v->region_blocks[region]; n++) {
			const struct view_block *b = &r->v->blocks[region][n];

			if (b->used != (b->ino != 0) || (b->used && b->quarantined))
				return reader_refuse(r, "block maps: block %u", (unsigned)n);
		}
	return true;
}

static bool read_region_sizes(struct reader *r, const uint8_t *image)
{
	for (uint32_t n = 0; n < 32; n++) {
		uint64_t blocks = reader_u64(image + 112 + 8 * n);

		if (n < r->v->region_count ? blocks < 1 || blocks > r->v->region_blocks[n]
					   : blocks != 0)
			return reader_refuse(r, "the checkpoint's size of region %u", n);
	}
	return true;
}

static bool read_checkpoint(struct reader *r)
{
	const uint8_t *image =
		r->area + reader_u64(r->super + (r->slot ? SUPER_SLOT_1 : SUPER_SLOT_0));
	struct section sections[SECTIONS] = {0};

	if (!read_header(r, image, sections) || !read_region_sizes(r, image) ||
		!read_inodes(r, &sections[1]) || !read_entries(r, &sections[2]) ||
		!read_extents(r, &sections[3]))
		return false;
	/* The extents have marked their blocks as used: the map must say so of exactly these. */
	for (uint32_t region = 0; region < r->v->region_count; region++)
		for (uint64_t n = 0; n < r->v->region_blocks[region]; n++)
			r->v->blocks[region][n].used = false;
	for (unsigned type = 4; type < 8; type++)
		if (!read_map(r, image, &sections[type], type))
			return false;
	if (!check_maps(r) || !read_xattrs(r, &sections[9]) || !read_targets(r, &sections[10]) ||
		!read_pieces(r, &sections[12]))
		return false;
	if (reader_u64(image + 48) < r->v->next_ino || reader_u64(image + 48) > 1ULL << 62 ||
		reader_u64(image + 56) > 1ULL << 31)
		return reader_refuse(r, "next inode number or mount number");
	r->v->next_ino = reader_u64(image + 48);
	r->v->mount_number = reader_u64(image + 56);
	r->v->frozen = reader_u64(image + 64) & 1;
	memcpy(r->v->boot_id, image + 72, 16);
	memcpy(r->v->token, image + 88, 16);
	r->sequence = reader_u64(image + 32);
	for (uint64_t n = 0; n < sections[8].count; n++)
		if (reader_u64(sections[8].bytes + n * 32 + 24) != 0)
			return reader_refuse(r, "reserved bytes of result %u", (unsigned)n);
	if (sections[8].count > 0)
		r->ret->unique = reader_u64(sections[8].bytes + (sections[8].count - 1) * 32 + 8);
	return true;
}

/* ---- the journal ---- */

static bool read_record(struct reader *r, const uint8_t *at, uint64_t room, uint64_t *length)
{
	static const uint8_t zero[8];
	XXH3_state_t sum;
	uint64_t items = reader_u32(at + 44), step;

	*length = reader_u32(at + 4);
	if (reader_u32(at) != 0x4c4a4d47 || *length < 64 || *length % 64 != 0 || *length > room)
		return reader_refuse(r, "magic or length");
	(void)XXH3_64bits_reset(&sum);
	(void)XXH3_64bits_update(&sum, at, 56);
	(void)XXH3_64bits_update(&sum, zero, 8);
	(void)XXH3_64bits_update(&sum, at + 64, *length - 64);
	if (XXH3_64bits_digest(&sum) != reader_u64(at + 56))
		return reader_refuse(r, "checksum");
	if (reader_u64(at + 8) != r->generation || reader_u64(at + 16) != r->sequence + 1)
		return reader_refuse(r, "generation or sequence");
	if (reader_u16(at + 40) < 1 || reader_u16(at + 40) > 18 || reader_u16(at + 42) != 0 ||
		reader_u64(at + 48) != 0)
		return reader_refuse(r, "type or reserved bytes");
	if (items > *length - 64 || *length - 64 - items >= 64 ||
		!reader_is_zero(at + 64 + items, *length - 64 - items))
		return reader_refuse(r, "bytes of items");
	for (uint64_t n = 0; n < items; n += step)
		if (!reader_item(r, at + 64 + n, items - n, &step))
			return false;
	if (reader_u64(at + 24) != r->v->mount_number)
		return reader_refuse(r, "mount number");
	if (reader_u64(at + 32) != 0)
		r->ret->unique = reader_u64(at + 32);
	r->sequence++;
	return true;
}

bool reader_journal(struct reader *r)
{
	const uint8_t *journal = r->area + 2 * MIB;
	uint64_t word, end, length;

	if (!read_word(r->area + 0x2000, &word))
		return reader_refuse(r, "tail word");
	if (word >> 24 == ((r->generation - 1) & 0xffffff))
		return true;
	end = (word & 0xffffff) * 64;
	if (word >> 24 != (r->generation & 0xffffff) ||
		end > reader_u64(r->super + SUPER_JOURNAL_SIZE))
		return reader_refuse(r, "generation or place of the tail word");
	for (uint64_t at = 0; at < end; at += length, r->ret->records++)
		if (!read_record(r, journal + at, end - at, &length)) {
			char reason[128];

			(void)snprintf(reason, sizeof(reason), "%.127s", r->ret->why);
			return reader_refuse(
				r, "journal record %u: %s", (unsigned)r->ret->records, reason);
		}
	return true;
}

bool reader_read(struct reading *ret, const uint8_t *area, uint64_t size)
{
	struct reader r = {.area = area, .size = size, .ret = ret, .v = &ret->view};

	memset(&ret->view, 0, offsetof(struct view, inodes));
	ret->view.next_ino = 1;
	ret->unique = ret->records = 0;
	ret->why[0] = '\0';
	return read_supers(&r) && view_regions(&r) && read_slot_words(&r) && read_checkpoint(&r) &&
	       reader_journal(&r) && reader_check(&r);
}
