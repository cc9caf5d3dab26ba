// SPDX-License-Identifier: MIT
/* The header and the section table of a checkpoint: what its bytes are, before anybody asks what
 * they mean. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/checkpoint.h"
#include "store/codec.h"

static const struct {
	const char *name; /* NULL: the number is set aside */
	size_t record_size;
	bool varies; /* records of more than one size */
} section_kinds[CHECKPOINT_SECTIONS] = {
	[GM_SECTION_INODES] = {.name = "inodes", .record_size = sizeof(struct gm_inode)},
	[GM_SECTION_DIRENTS] = {.name = "entries", .varies = true},
	[GM_SECTION_EXTENTS] = {.name = "extents", .record_size = sizeof(struct gm_extent)},
	[GM_SECTION_USED] = {.name = "used blocks"},
	[GM_SECTION_CLEAN] = {.name = "clean blocks"},
	[GM_SECTION_POISONED] = {.name = "poisoned blocks"},
	[GM_SECTION_QUARANTINED] = {.name = "quarantined blocks"},
	[GM_SECTION_RESULTS] = {.name = "results", .record_size = sizeof(struct gm_result)},
	[GM_SECTION_XATTRS] = {.name = "attributes", .varies = true},
	[GM_SECTION_TARGETS] = {.name = "symlink targets", .varies = true},
	[GM_SECTION_PIECES] = {.name = "pieces", .record_size = sizeof(struct gm_piece)},
};

static bool is_known(uint32_t type)
{
	return type < CHECKPOINT_SECTIONS && section_kinds[type].name;
}

const char *checkpoint_section_name(unsigned type)
{
	return is_known(type) ? section_kinds[type].name : "unknown";
}

/* ---- header and section table ---- */

static const char *check_header(
	const struct gm_checkpoint *h, const struct store_super *super, uint64_t generation)
{
	uint64_t length = get_le64(h->length);

	if (memcmp(h->magic, GM_CHECKPOINT_MAGIC, sizeof(h->magic)) != 0)
		return "its magic number is wrong";
	if (!codec_seal_holds(h, sizeof(*h)))
		return "its header's checksum is wrong";
	if (memcmp(h->uuid, super->uuid, sizeof(h->uuid)) != 0)
		return "it belongs to another pool";
	if (get_le64(h->generation) != generation)
		return "it is of another generation than the slot word says";
	if (length < sizeof(*h) || length > super->plan.slot_size)
		return "its length is out of range";
	if (get_le64(h->flags) & ~GM_CHECKPOINT_FLAGS_KNOWN)
		return "it has flags that are unknown to this version";
	if (get_le32(h->reserved1) != 0 || !codec_is_zero(h->reserved2, sizeof(h->reserved2)) ||
		!codec_is_zero(h->reserved3, sizeof(h->reserved3)))
		return "its reserved bytes are not zero";
	if (get_le64(h->next_ino) <= GM_ROOT_INO || get_le64(h->next_ino) > CODEC_NUMBERS_MAX)
		return "its next inode number is out of range";
	if (get_le64(h->mount_number) > CODEC_MOUNTS_MAX)
		return "its mount number is out of range";
	if (get_le32(h->section_count) > GM_SECTIONS_MAX)
		return "its number of sections is out of range";
	for (uint32_t r = 0; r < GM_REGIONS_MAX; r++) {
		uint64_t blocks = get_le64(h->region_blocks[r]);

		if (r < super->region_count ? blocks == 0 || blocks > super->regions[r].blocks
					    : blocks != 0)
			return "its regions are not those of the superblock";
	}
	return NULL;
}

/* Records of one size, entries of at least one byte each, or the bytes of a block map. */
static bool count_fits(uint32_t type, uint64_t count, uint64_t length)
{
	size_t record = section_kinds[type].record_size;

	if (record > 0)
		return count <= length && count * record == length;
	return section_kinds[type].varies ? count <= length : count == length;
}

/* *end: where the section before it ended. */
static const char *check_section(
	const struct gm_section *s, uint64_t image_length, unsigned last_type, uint64_t *end)
{
	uint64_t offset = get_le64(s->offset), length = get_le64(s->length),
		 count = get_le64(s->count);
	uint32_t type = get_le32(s->type), record = get_le32(s->record_size);

	if (type <= last_type || !is_known(type))
		return "its type is unknown to this version or out of order";
	if (offset % 8 != 0 || offset < *end || offset > image_length ||
		length > image_length - offset)
		return "it does not lie in the image";
	if (record != section_kinds[type].record_size)
		return "its record size is wrong";
	if (get_le64(s->reserved) != 0)
		return "its reserved bytes are not zero";
	if (!count_fits(type, count, length))
		return "its count does not fit its length";
	*end = offset + length;
	return NULL;
}

static bool section_is_whole(const struct gm_section *s, const uint8_t *image)
{
	return get_le64(s->checksum) ==
	       codec_checksum(image + get_le64(s->offset), get_le64(s->length));
}

int checkpoint_open(struct checkpoint_section sections[CHECKPOINT_SECTIONS],
	struct gm_checkpoint *header, const uint8_t *image, const struct store_super *super,
	uint64_t generation, struct problem *why)
{
	uint64_t end = sizeof(*header);
	const char *wrong;
	unsigned last = 0;

	memcpy(header, image, sizeof(*header));
	wrong = check_header(header, super, generation);
	if (wrong)
		return problem(why, EUCLEAN, "%s", wrong);
	memset(sections, 0, CHECKPOINT_SECTIONS * sizeof(*sections));
	for (uint32_t n = 0; n < get_le32(header->section_count); n++) {
		const struct gm_section *s = &header->sections[n];

		wrong = check_section(s, get_le64(header->length), last, &end);
		if (!wrong && !section_is_whole(s, image))
			wrong = "its checksum is wrong";
		if (wrong)
			return problem(why, EUCLEAN, "section %" PRIu32 " (%s): %s", n,
				checkpoint_section_name(get_le32(s->type)), wrong);
		last = get_le32(s->type);
		sections[last] = (struct checkpoint_section){.bytes = image + get_le64(s->offset),
			.length = get_le64(s->length),
			.count = get_le64(s->count)};
	}
	for (unsigned t = 1; t <= GM_SECTION_RESULTS; t++)
		if (!sections[t].bytes)
			return problem(
				why, EUCLEAN, "section %s is missing", checkpoint_section_name(t));
	if (!codec_is_zero(&header->sections[get_le32(header->section_count)],
		    (GM_SECTIONS_MAX - get_le32(header->section_count)) *
			    sizeof(struct gm_section)))
		return problem(why, EUCLEAN, "unused places of its section table are not zero");
	return 0;
}

static void take_section(struct checkpoint_damaged *ret, const struct gm_section *s)
{
	unsigned type = get_le32(s->type);

	ret->sections[type] = (struct checkpoint_section){.bytes = ret->image + get_le64(s->offset),
		.length = get_le64(s->length),
		.count = get_le64(s->count)};
	ret->checksum[type] = get_le64(s->checksum);
	ret->whole[type] = section_is_whole(s, ret->image);
}

int checkpoint_open_damaged(struct checkpoint_damaged *ret, const uint8_t *image,
	const struct store_super *super, struct problem *why)
{
	uint64_t end = sizeof(ret->header);
	const char *wrong;
	unsigned last = 0;

	*ret = (struct checkpoint_damaged){.image = image};
	memcpy(&ret->header, image, sizeof(ret->header));
	wrong = check_header(&ret->header, super, get_le64(ret->header.generation));
	if (wrong)
		return problem(why, EUCLEAN, "%s", wrong);
	for (unsigned t = GM_SECTION_RESULTS + 1; t < CHECKPOINT_SECTIONS; t++)
		ret->whole[t] = true;
	for (uint32_t n = 0; n < get_le32(ret->header.section_count); n++) {
		const struct gm_section *s = &ret->header.sections[n];

		if (check_section(s, get_le64(ret->header.length), last, &end))
			continue;
		last = get_le32(s->type);
		take_section(ret, s);
	}
	return 0;
}
