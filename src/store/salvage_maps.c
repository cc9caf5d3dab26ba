// SPDX-License-Identifier: MIT
/* The block maps of a checkpoint, and which blocks must not be lost sight of. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/codec.h"
#include "store/salvage_internal.h"

/* ---- block maps ---- */

static bool bit(const uint8_t *map, uint64_t n)
{
	return map[n / 8] >> (n % 8) & 1;
}

static uint64_t map_bytes(const struct salvage *s, uint32_t region)
{
	return (get_le64(s->base.header.region_blocks[region]) + 63) / 64 * 8;
}

/* A map that has the right length, be it whole or not. */
static const uint8_t *find_map(const struct salvage *s, enum gm_section_type type)
{
	const struct checkpoint_section *section = &s->base.sections[type];
	uint64_t total = 0;

	for (uint32_t r = 0; r < s->super.region_count; r++)
		total += map_bytes(s, r);
	return section->bytes && section->length == total ? section->bytes : NULL;
}

/* Each data block whose bit is set; a state that it can't be in is not taken. */
static int load_map(struct salvage *s, const uint8_t *map, enum gm_block_state state)
{
	for (uint32_t r = 0; r < s->super.region_count; map += map_bytes(s, r++))
		for (uint64_t n = 0; n < map_bytes(s, r) * 8; n++) {
			struct gm_blocks b = {.block = put_le64(n),
				.count = put_le32(1),
				.region = put_le16((uint16_t)r),
				.state = put_le16((uint16_t)state)};
			int e;

			if (!bit(map, n))
				continue;
			e = salvage_put(s, GM_ITEM_BLOCKS, &b, sizeof(b), NULL);
			if (e < 0 && e != -EUCLEAN)
				return e;
		}
	return 0;
}

/* What is marked as used and has no owner was somebody's. */
static void name_used(struct salvage *s, const uint8_t *map)
{
	for (uint32_t r = 0; r < s->super.region_count; map += map_bytes(s, r++))
		for (uint64_t n = 0; n < map_bytes(s, r) * 8; n++)
			if (bit(map, n) && alloc_is_data(s->meta.alloc, r, n, 1) &&
				s->named[r][n] == 0)
				s->named[r][n] = 1;
}

int salvage_load_maps(struct salvage *s)
{
	const uint8_t *used = find_map(s, GM_SECTION_USED), *clean = find_map(s, GM_SECTION_CLEAN),
		      *poisoned = find_map(s, GM_SECTION_POISONED),
		      *quarantined = find_map(s, GM_SECTION_QUARANTINED);
	int r = 0;

	/* Extents that are whole say it all; the map's damage then means nothing. */
	if (used && (s->base.whole[GM_SECTION_USED] || !s->base.whole[GM_SECTION_EXTENTS]))
		name_used(s, used);
	if (quarantined && s->base.whole[GM_SECTION_QUARANTINED])
		r = load_map(s, quarantined, GM_BLOCKS_QUARANTINED);
	else
		s->unsure = true;
	if (r == 0 && clean && s->base.whole[GM_SECTION_CLEAN])
		r = load_map(s, clean, GM_BLOCKS_CLEAN);
	else
		s->clean_lost = true;
	if (r == 0 && poisoned && s->base.whole[GM_SECTION_POISONED])
		r = load_map(s, poisoned, GM_BLOCKS_POISONED);
	else if (r == 0)
		salvage_lost(s, 0, "which blocks have memory errors");
	return r;
}

/* The journal may free what somebody has; what nobody has although something names it is kept. */
void salvage_name_unowned(struct salvage *s)
{
	for (uint32_t r = 0; r < s->super.region_count; r++) {
		struct alloc_extent e = {.region = r, .count = 1, .block = s->super.first_data[r]};

		for (uint64_t n = 0; n < s->super.data_blocks[r]; n++, e.block++)
			if (s->named[r][e.block])
				s->named[r][e.block] = !alloc_is_used(s->meta.alloc, &e);
	}
}
