// SPDX-License-Identifier: MIT
/* Loading a checkpoint: every object through the same checks as a journal's items. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/checkpoint.h"
#include "store/codec.h"
#include "util/cleanup.h"

/* ---- objects ---- */

struct loader {
	struct meta *meta;
	uint64_t map_bytes[GM_REGIONS_MAX]; /* of each region's part of a block map */
	struct checkpoint_section sections[CHECKPOINT_SECTIONS];
	struct problem *why;
};

/* One object of a section, made into an item in `bytes` and applied. */
static int load_item(struct loader *l, enum gm_item_type type, const void *payload, size_t length,
	uint8_t *bytes)
{
	struct gm_item item = {.type = put_le16((uint16_t)type),
		.length = put_le32((uint32_t)(sizeof(item) + length))};

	memcpy(bytes, &item, sizeof(item));
	memcpy(bytes + sizeof(item), payload, length);
	return meta_take_item(l->meta, (const struct gm_item *)(const void *)bytes,
		sizeof(item) + length, l->why);
}

static int load_object(struct loader *l, enum gm_item_type type, const void *payload, size_t length)
{
	_Alignas(8) uint8_t
		bytes[sizeof(struct gm_item) + sizeof(struct gm_target) + GM_TARGET_MAX + 8];

	assert(sizeof(struct gm_item) + length <= sizeof(bytes));
	return load_item(l, type, payload, length, bytes);
}

/* Where a file has something, in blocks or units; of an inode itself, one. */
struct place {
	uint64_t ino;
	uint64_t from;
	uint64_t end;
};

static struct place place_of(unsigned section, const void *record)
{
	const struct gm_inode *i = record;
	const struct gm_extent *e = record;
	const struct gm_piece *p = record;
	uint64_t from;

	if (section == GM_SECTION_INODES)
		return (struct place){.ino = get_le64(i->ino), .end = 1};
	if (section == GM_SECTION_EXTENTS) {
		from = get_le64(e->file_block);
		return (struct place){get_le64(e->ino), from, from + get_le32(e->count)};
	}
	from = get_le64(p->file_unit);
	return (struct place){get_le64(p->ino), from, from + get_le32(p->count)};
}

/* That no extents or pieces overlap has been seen when they were applied, and the order is the
 * format's; applied, the second record of an inode would be a change of the first one. */
static int check_ascending(const struct loader *l, unsigned section, size_t size)
{
	const struct checkpoint_section *s = &l->sections[section];
	struct place last = {.ino = 0};

	for (uint64_t n = 0; n < s->count; n++) {
		struct place p = place_of(section, s->bytes + n * size);

		if (p.ino < last.ino || (p.ino == last.ino && p.from < last.end))
			return problem(l->why, EUCLEAN,
				"section %s: record %" PRIu64
				" does not come behind the one before",
				checkpoint_section_name(section), n);
		last = p;
	}
	return 0;
}

static int load_records(
	struct loader *l, enum gm_section_type section, enum gm_item_type type, size_t size)
{
	const struct checkpoint_section *s = &l->sections[section];

	for (uint64_t n = 0; n < s->count; n++) {
		int r = load_object(l, type, s->bytes + n * size, size);

		if (r < 0)
			return problem_prefix(l->why, r, "section %s: record %" PRIu64,
				checkpoint_section_name(section), n);
	}
	return 0;
}

static bool dirent_follows(const struct codec_dirent *last, const struct codec_dirent *d)
{
	return d->parent > last->parent || (d->parent == last->parent && d->cookie > last->cookie);
}

static int load_dirents(struct loader *l)
{
	const struct checkpoint_section *s = &l->sections[GM_SECTION_DIRENTS];
	struct codec_dirent last = {.parent = 0};
	uint64_t at = 0;

	for (uint64_t n = 0; n < s->count; n++) {
		struct codec_dirent d;
		const char *wrong = codec_decode_dirent(&d, s->bytes + at, s->length - at);
		int r;

		if (!wrong && !dirent_follows(&last, &d))
			wrong = "it does not come behind the one before";
		r = wrong ? problem(l->why, EUCLEAN, "%s", wrong)
			  : load_object(l, GM_ITEM_DIRENT, s->bytes + at,
				    codec_dirent_bytes(d.name_len));
		if (r < 0)
			return problem_prefix(l->why, r, "section entries: record %" PRIu64, n);
		last = d;
		at += codec_dirent_bytes(d.name_len);
	}
	if (at != s->length)
		return problem(
			l->why, EUCLEAN, "section entries: it goes on after its last record");
	return 0;
}

static int load_xattrs(struct loader *l)
{
	const struct checkpoint_section *s = &l->sections[GM_SECTION_XATTRS];
	_cleanup_free_ uint8_t *item = malloc(sizeof(struct gm_item) + CODEC_XATTR_BYTES_MAX);
	struct codec_xattr last = {.ino = 0};
	uint64_t at = 0;

	if (!item)
		return problem(l->why, ENOMEM, "out of memory");
	for (uint64_t n = 0; n < s->count; n++) {
		struct codec_xattr x;
		const char *wrong = codec_decode_xattr(&x, s->bytes + at, s->length - at, false);
		size_t bytes = wrong ? 0 : codec_xattr_bytes(x.name_len, x.value_len);
		int r;

		if (!wrong && !codec_xattr_follows(&last, &x))
			wrong = "it is there twice or out of order";
		r = wrong ? problem(l->why, EUCLEAN, "%s", wrong)
			  : load_item(l, GM_ITEM_XATTR, s->bytes + at, bytes, item);
		if (r < 0)
			return problem_prefix(l->why, r, "section attributes: record %" PRIu64, n);
		last = x;
		at += bytes;
	}
	if (at != s->length)
		return problem(
			l->why, EUCLEAN, "section attributes: it goes on after its last record");
	return 0;
}

static int load_targets(struct loader *l)
{
	const struct checkpoint_section *s = &l->sections[GM_SECTION_TARGETS];
	uint64_t at = 0, last = 0;

	for (uint64_t n = 0; n < s->count; n++) {
		struct codec_target t;
		const char *wrong = codec_decode_target(&t, s->bytes + at, s->length - at);

		if (!wrong && t.ino <= last)
			wrong = "it is out of order";
		int r = wrong ? problem(l->why, EUCLEAN, "%s", wrong)
			      : load_object(l, GM_ITEM_TARGET, s->bytes + at,
					codec_target_bytes(t.length));

		if (r < 0)
			return problem_prefix(
				l->why, r, "section symlink targets: record %" PRIu64, n);
		last = t.ino;
		at += codec_target_bytes(t.length);
	}
	if (at != s->length)
		return problem(l->why, EUCLEAN,
			"section symlink targets: it goes on after its last record");
	return 0;
}

static bool bit(const uint8_t *map, uint64_t n)
{
	return map[n / 8] >> (n % 8) & 1;
}

/* The runs of set bits of one region's part of a map become items. */
static int load_map_region(struct loader *l, enum gm_section_type section,
	enum gm_block_state state, uint32_t region, const uint8_t *map)
{
	uint64_t blocks = alloc_get_region(l->meta->alloc, region)->blocks;
	uint64_t bits = l->map_bytes[region] * 8;

	for (uint64_t n = 0; n < bits;) {
		struct gm_blocks b;
		uint64_t from = n;
		int r;

		if (n % 64 == 0 && codec_is_zero(map + n / 8, 8)) {
			n += 64;
			continue;
		}
		while (n < bits && bit(map, n) && n - from < UINT32_MAX)
			n++;
		if (n++ == from)
			continue;
		b = (struct gm_blocks){.block = put_le64(from),
			.count = put_le32((uint32_t)(n - 1 - from)),
			.region = put_le16((uint16_t)region),
			.state = put_le16((uint16_t)state)};
		r = n - 1 > blocks ? problem(l->why, EUCLEAN, "a bit past the region's end is set")
				   : load_object(l, GM_ITEM_BLOCKS, &b, sizeof(b));
		if (r < 0)
			return problem_prefix(l->why, r, "section %s: region %" PRIu32,
				checkpoint_section_name(section), region);
	}
	return 0;
}

static int load_map(struct loader *l, enum gm_section_type section, enum gm_block_state state)
{
	const struct checkpoint_section *s = &l->sections[section];
	uint64_t at = 0;
	int r;

	for (uint32_t k = 0; k < alloc_region_count(l->meta->alloc); k++)
		at += l->map_bytes[k];
	if (at != s->length)
		return problem(l->why, EUCLEAN,
			"section %s: its length is not that of the regions' block maps",
			checkpoint_section_name(section));
	at = 0;
	for (uint32_t k = 0; state && k < alloc_region_count(l->meta->alloc); k++) {
		r = load_map_region(l, section, state, k, s->bytes + at);
		if (r < 0)
			return r;
		at += l->map_bytes[k];
	}
	return 0;
}

/* The part of a map from byte `at` on; what a region has grown by is zero. */
static void copy_map_part(
	uint8_t *to, const uint8_t *map, uint64_t map_bytes, uint64_t at, uint64_t n)
{
	uint64_t there = at < map_bytes ? map_bytes - at : 0;

	memset(to, 0, n);
	if (there == 0)
		return;
	assert(map); /* load_map() has seen that its length is that of all maps */
	memcpy(to, map + at, there < n ? there : n);
}

/* The extents say which blocks are used; the map must say the same. */
static int compare_used(struct loader *l)
{
	const struct checkpoint_section *s = &l->sections[GM_SECTION_USED];
	uint8_t have[4096], said[4096];
	uint64_t base = 0;

	for (uint32_t r = 0; r < alloc_region_count(l->meta->alloc); r++) {
		uint64_t length = alloc_map_bytes(l->meta->alloc, r);

		for (uint64_t at = 0; at < length; at += sizeof(have)) {
			uint64_t n = length - at < sizeof(have) ? length - at : sizeof(have);
			uint64_t k = 0;

			alloc_copy_map(l->meta->alloc, r, ALLOC_MAP_USED, at, n, have);
			copy_map_part(said, s->bytes + base, l->map_bytes[r], at, n);
			if (memcmp(have, said, n) == 0)
				continue;
			while (bit(have, k) == bit(said, k))
				k++;
			return problem(l->why, EUCLEAN,
				"section used blocks: block %" PRIu64 " of region %" PRIu32
				" is marked %s but %s",
				at * 8 + k, r, bit(have, k) ? "free" : "used",
				bit(have, k) ? "a file owns it" : "no file owns it");
		}
		base += l->map_bytes[r];
	}
	return 0;
}

static int load_sections(struct loader *l)
{
	int r = check_ascending(l, GM_SECTION_INODES, sizeof(struct gm_inode));

	if (r == 0)
		r = load_records(l, GM_SECTION_INODES, GM_ITEM_INODE, sizeof(struct gm_inode));
	if (r == 0)
		r = load_dirents(l);
	if (r == 0)
		r = load_records(l, GM_SECTION_EXTENTS, GM_ITEM_EXTENT, sizeof(struct gm_extent));
	if (r == 0)
		r = check_ascending(l, GM_SECTION_EXTENTS, sizeof(struct gm_extent));
	if (r == 0)
		r = load_map(l, GM_SECTION_USED, 0);
	if (r == 0)
		r = compare_used(l);
	/* Quarantined before poisoned: a poisoned block is not free, and may be in quarantine all
	 * the same. */
	if (r == 0)
		r = load_map(l, GM_SECTION_QUARANTINED, GM_BLOCKS_QUARANTINED);
	if (r == 0)
		r = load_map(l, GM_SECTION_CLEAN, GM_BLOCKS_CLEAN);
	if (r == 0)
		r = load_map(l, GM_SECTION_POISONED, GM_BLOCKS_POISONED);
	if (r == 0)
		r = load_xattrs(l);
	if (r == 0)
		r = load_targets(l);
	if (r == 0)
		r = load_records(l, GM_SECTION_PIECES, GM_ITEM_PIECE, sizeof(struct gm_piece));
	if (r == 0)
		r = check_ascending(l, GM_SECTION_PIECES, sizeof(struct gm_piece));
	return r;
}

static int load_result(
	struct checkpoint_info *info, const struct checkpoint_section *s, struct problem *why)
{
	info->result = (struct gm_result){.reserved = put_le64(0)};
	for (uint64_t n = 0; n < s->count; n++) {
		memcpy(&info->result, s->bytes + n * sizeof(info->result), sizeof(info->result));
		if (get_le64(info->result.reserved) != 0)
			return problem(why, EUCLEAN,
				"section results: record %" PRIu64
				": its reserved bytes are not zero",
				n);
	}
	return 0;
}

int checkpoint_load(struct meta *m, const struct media *media, const struct store_super *super,
	struct checkpoint_info *info, struct problem *why)
{
	const uint8_t *image = media->base + super->plan.slot_offset[info->slot];
	struct loader l = {.meta = m, .why = why};
	struct gm_checkpoint h;
	int r;

	r = checkpoint_open(l.sections, &h, image, super, info->generation, why);
	for (uint32_t k = 0; r == 0 && k < super->region_count; k++)
		l.map_bytes[k] = (get_le64(h.region_blocks[k]) + 63) / 64 * 8;
	if (r == 0)
		r = load_sections(&l);
	if (r == 0)
		r = load_result(info, &l.sections[GM_SECTION_RESULTS], why);
	if (r == 0 && get_le64(h.next_ino) < m->next_ino)
		r = problem(why, EUCLEAN, "its next inode number was used before");
	if (r < 0)
		return problem_prefix(why, r,
			"the checkpoint in slot %u (at 0x%" PRIx64 " of the region)", info->slot,
			super->plan.slot_offset[info->slot]);
	m->next_ino = get_le64(h.next_ino);
	m->mount_number = get_le64(h.mount_number);
	memcpy(m->boot_id, h.boot_id, sizeof(m->boot_id));
	memcpy(m->token, h.token, sizeof(m->token));
	m->frozen = get_le64(h.flags) & GM_CHECKPOINT_FROZEN;
	info->sequence = get_le64(h.sequence);
	return 0;
}
