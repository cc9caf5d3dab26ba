// SPDX-License-Identifier: MIT
/*
 * Memory that is named by what is damaged, or by a change that is lost, and that no file has any
 * more: it is never freed, but becomes a file in lost+found. And what must be done for guests that
 * may still run: nothing that they may have is given to others or zeroed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/codec.h"
#include "store/salvage_internal.h"
#include "util/cleanup.h"

static int set_state(struct salvage *s, const struct alloc_extent *e, enum gm_block_state state,
	struct problem *why)
{
	struct txn t = TXN_INIT(GM_RECORD_SCRUB, 0);

	txn_set_blocks(&t, e, state);
	return salvage_apply(s, &t, why);
}

/* ---- blocks that a lost change has given to another file ---- */

static const struct file_extent *find_extent(const struct inode *i, const struct alloc_extent *e)
{
	for (uint32_t n = 0; n < i->extent_count; n++)
		if (i->extents[n].region == e->region && e->block >= i->extents[n].block &&
			e->block - i->extents[n].block < i->extents[n].count)
			return &i->extents[n];
	return NULL;
}

static int take_away(struct salvage *s, const struct inode *owner, const struct file_extent *part,
	struct problem *why)
{
	struct txn t = TXN_INIT(GM_RECORD_FALLOCATE, 0);
	struct inode_attr a = owner->attr;

	salvage_lost(s, a.ino,
		"inode %" PRIu64 " at offset %" PRIu64 ": block %" PRIu64 " of region %" PRIu32
		", which a lost change has given to another file",
		a.ino, (uint64_t)(part->file_block * GM_BLOCK_SIZE), part->block, part->region);
	a.flags &= ~GM_INODE_FLAGS_OF_BOOT; /* set again at the end */
	txn_put_inode(&t, &a);
	txn_remove_extent(&t, a.ino, part);
	return salvage_apply(s, &t, why);
}

/* What of a piece lies in these units is another's by now. */
static int take_part(struct salvage *s, const struct inode *i, const struct file_extent *piece,
	const struct units_run *taken, struct problem *why)
{
	uint64_t end = piece->block + piece->count, taken_end = taken->unit + taken->count;
	struct file_extent part = {
		.block = piece->block > taken->unit ? piece->block : taken->unit};
	struct txn t = TXN_INIT(GM_RECORD_WRITE, 0);

	end = end < taken_end ? end : taken_end;
	if (part.block >= end)
		return 0;
	part.count = (uint32_t)(end - part.block);
	part.file_block = piece->file_block + (part.block - piece->block);
	salvage_lost(s, i->attr.ino,
		"inode %" PRIu64 " at offset %" PRIu64 ": %" PRIu64
		" bytes of content, whose place a lost change has given to another file",
		i->attr.ino, (uint64_t)(part.file_block * GM_UNIT_SIZE),
		(uint64_t)part.count * GM_UNIT_SIZE);
	s->pieces_lost = true;
	txn_remove_piece(&t, i->attr.ino, &part);
	return salvage_apply(s, &t, why);
}

/* From all files but `to`. */
static int take_units(
	struct salvage *s, const struct units_run *taken, uint64_t to, struct problem *why)
{
	const struct inode *i;
	int r = 0;

	if (units_is_free(&s->meta.units, taken->unit, taken->count))
		return 0;
	for (size_t c = 0; r == 0 && (i = meta_each_inode(&s->meta, &c));) {
		bool has = inode_is_file(i) && inode_has_content(i) && i->attr.ino != to;

		/* From the last on: what is cut in two moves none of those before. */
		for (uint32_t n = has ? i->extent_count : 0; r == 0 && n-- > 0;)
			r = take_part(s, i, &i->extents[n], taken, why);
	}
	return r;
}

static int settle_units(struct salvage *s, struct problem *why)
{
	int r = 0;

	for (size_t n = 0; n < s->claim_count && r == 0; n++)
		if (s->claims[n].units)
			r = take_units(s,
				&(struct units_run){.unit = s->claims[n].extent.block,
					.count = s->claims[n].extent.count},
				s->claims[n].ino, why);
	return r;
}

/* The granule of the claim that `at` blocks of it come before. */
static int settle_block(struct salvage *s, const struct salvage_claim *c, uint32_t at,
	const struct inode *owner, struct problem *why)
{
	uint32_t granule = (uint32_t)alloc_granule(s->meta.alloc);
	struct alloc_extent e = {
		.block = c->extent.block + at, .region = c->extent.region, .count = granule};
	const struct file_extent *has = owner ? find_extent(owner, &e) : NULL;
	struct file_extent part = {.block = e.block, .region = e.region, .count = granule};
	int r = 0;

	if (has) {
		part.file_block = has->file_block + (e.block - has->block);
		if (owner->attr.ino == c->ino &&
			(inode_is_contents(owner) || part.file_block == c->extent.file_block + at))
			return 0;
		if (inode_is_contents(owner))
			r = take_units(s,
				&(struct units_run){.unit = part.file_block * GM_UNITS_PER_BLOCK,
					.count = (uint64_t)granule * GM_UNITS_PER_BLOCK},
				0, why);
		if (r == 0)
			r = take_away(s, owner, &part, why);
	}
	memset(s->named[e.region] + e.block, 1, granule);
	return r;
}

/* For each block the inode that has it. */
static void fill_owners(const struct salvage *s, const struct inode **owners, uint32_t region)
{
	const struct inode *i;

	for (size_t c = 0; (i = meta_each_inode(&s->meta, &c));)
		for (uint32_t n = 0; inode_has_memory(i) && n < i->extent_count; n++)
			for (uint64_t k = 0;
				i->extents[n].region == region && k < i->extents[n].count; k++)
				owners[i->extents[n].block + k] = i;
}

static int settle_region(struct salvage *s, uint32_t region, struct problem *why)
{
	uint64_t blocks = s->super.regions[region].blocks;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	_cleanup_free_ const struct inode **owners = calloc(blocks, sizeof(*owners));
	uint32_t granule = (uint32_t)alloc_granule(s->meta.alloc);
	int r = 0;

	if (!owners)
		return problem(why, ENOMEM, "out of memory");
	fill_owners(s, owners, region);
	for (size_t n = 0; n < s->claim_count && r == 0; n++) {
		const struct salvage_claim *c = &s->claims[n];
		struct alloc_extent e = {
			.block = c->extent.block, .region = region, .count = c->extent.count};

		if (c->units || c->extent.region != region || !alloc_is_aligned(s->meta.alloc, &e))
			continue;
		for (uint32_t at = 0; at < c->extent.count && r == 0; at += granule) {
			const struct inode **owner = &owners[c->extent.block + at];

			r = settle_block(s, c, at, *owner, why);
			if (s->named[region][c->extent.block + at])
				*owner = NULL;
		}
	}
	return r;
}

/* ---- blocks that nobody has ---- */

/* Is there something in the granule that is to be kept, and can it be? Frees it from quarantine. */
static bool is_found(struct salvage *s, const struct alloc_extent *e)
{
	bool named = false;

	for (uint64_t b = e->block; b < e->block + e->count; b++)
		named |= s->named[e->region][b] > 0;
	if (!named)
		return false;
	for (uint64_t b = e->block; b < e->block + e->count; b++) {
		struct alloc_extent one = {.block = b, .region = e->region, .count = 1};

		if (alloc_is_quarantined(s->meta.alloc, &one))
			(void)set_state(s, &one, GM_BLOCKS_RELEASED, NULL);
	}
	return alloc_is_free(s->meta.alloc, e);
}

/* A file's size and extents, while it grows. */
struct found {
	struct inode_attr attr;
	bool there;
	uint64_t blocks;
};

static int begin_found(
	struct salvage *s, struct found *f, uint64_t flags, const char *name, struct problem *why)
{
	uint64_t ino = s->meta.next_ino;
	int r;

	if (f->there)
		return 0;
	r = salvage_make_inode(s, ino, S_IFREG | 0600, 0, flags, why);
	if (r == 0)
		r = salvage_add_found(s, ino, name, why);
	f->there = r == 0;
	if (r == 0)
		f->attr = meta_inode(&s->meta, ino)->attr;
	return r;
}

static int end_found(struct salvage *s, struct found *f, uint64_t unit, struct problem *why)
{
	struct txn t = TXN_INIT(GM_RECORD_SETATTR, 0);

	if (!f->there)
		return 0;
	f->attr.size = f->blocks * unit;
	txn_put_inode(&t, &f->attr);
	return salvage_apply(s, &t, why);
}

/* Its bytes are what they are: they are not to be zeroed when somebody looks at them. */
static int add_blocks(
	struct salvage *s, struct found *f, const struct alloc_extent *e, struct problem *why)
{
	struct file_extent x = {
		.file_block = f->blocks, .block = e->block, .region = e->region, .count = e->count};
	struct txn t = TXN_INIT(GM_RECORD_FALLOCATE, 0);

	salvage_kept(s, f->attr.ino,
		"blocks %" PRIu64 " to %" PRIu64 " of region %" PRIu32
		", which something names and no file has, at offset %" PRIu64 " of inode %" PRIu64,
		e->block, e->block + e->count - 1, e->region, (uint64_t)(f->blocks * GM_BLOCK_SIZE),
		f->attr.ino);
	txn_add_extent(&t, f->attr.ino, &x);
	txn_set_blocks(&t, e, GM_BLOCKS_CLEAN);
	f->blocks += e->count;
	return salvage_apply(s, &t, why);
}

static int keep_region(struct salvage *s, uint32_t region, struct found *f, struct problem *why)
{
	uint32_t granule = (uint32_t)alloc_granule(s->meta.alloc);
	uint64_t first = s->super.first_data[region], end = first + s->super.data_blocks[region];
	struct alloc_extent run = {.region = region};
	int r = 0;

	for (uint64_t b = first; b < end && r == 0; b += granule) {
		struct alloc_extent e = {.block = b, .region = region, .count = granule};
		bool found = is_found(s, &e);

		if (found && run.count == 0)
			run.block = b;
		run.count += found ? granule : 0;
		if (run.count == 0 || (found && b + granule < end))
			continue;
		r = begin_found(s, f, 0, "blocks", why);
		if (r == 0)
			r = add_blocks(s, f, &run, why);
		run.count = 0;
	}
	return r;
}

int salvage_keep_blocks(struct salvage *s, struct problem *why)
{
	struct found f = {.there = false};
	int r = settle_units(s, why);

	for (uint32_t n = 0; n < s->super.region_count && r == 0; n++)
		if (s->claim_count > 0)
			r = settle_region(s, n, why);
	for (uint32_t n = 0; n < s->super.region_count && r == 0; n++)
		r = keep_region(s, n, &f, why);
	return r == 0 ? end_found(s, &f, GM_BLOCK_SIZE, why) : r;
}

/* ---- units of the content store that nobody has ---- */

static int add_units(
	struct salvage *s, struct found *f, uint64_t unit, uint32_t count, struct problem *why)
{
	struct file_extent x = {.file_block = f->blocks, .block = unit, .count = count};
	struct txn t = TXN_INIT(GM_RECORD_WRITE, 0);
	int r = begin_found(s, f, GM_INODE_IO, "content", why);

	if (r < 0)
		return r;
	txn_add_piece(&t, f->attr.ino, &x);
	f->blocks += count;
	return salvage_apply(s, &t, why);
}

static int keep_units_of(
	struct salvage *s, struct found *f, const struct file_extent *e, struct problem *why)
{
	uint64_t unit = e->file_block * GM_UNITS_PER_BLOCK,
		 end = unit + (uint64_t)e->count * GM_UNITS_PER_BLOCK;
	uint32_t count = 0;
	int r = 0;

	for (; unit < end && r == 0; unit++) {
		bool is_free = units_is_free(&s->meta.units, unit, 1);

		count += is_free;
		if (count == 0 || (is_free && unit + 1 < end))
			continue;
		r = add_units(s, f, unit + is_free - count, count, why);
		count = 0;
	}
	return r;
}

int salvage_keep_units(struct salvage *s, struct problem *why)
{
	const struct inode *contents = meta_contents(&s->meta);
	struct found f = {.there = false};
	int r = 0;

	if (!s->pieces_lost || !contents)
		return 0;
	for (uint32_t n = 0; n < contents->extent_count && r == 0; n++)
		r = keep_units_of(s, &f, &contents->extents[n], why);
	if (f.there)
		salvage_kept(s, f.attr.ino,
			"what lies in the content store and no file has, %" PRIu64
			" bytes, in inode %" PRIu64,
			f.blocks * GM_UNIT_SIZE, f.attr.ino);
	return r == 0 ? end_found(s, &f, GM_UNIT_SIZE, why) : r;
}

/* ---- guests that may still run ---- */

/* What they have may have been zeroed, granted and written since: it is not zeroed again. */
static int keep_bytes(struct salvage *s, const struct inode *i, struct problem *why)
{
	struct txn t = TXN_INIT(GM_RECORD_GRANT, 0);

	for (uint32_t n = 0; n < i->extent_count && (s->moved || s->clean_lost); n++)
		txn_set_blocks(&t,
			&(struct alloc_extent){.block = i->extents[n].block,
				.region = i->extents[n].region,
				.count = i->extents[n].count},
			GM_BLOCKS_CLEAN);
	if (s->unsure) {
		struct inode_attr a = i->attr;

		a.flags |= GM_INODE_HELD;
		a.stale_from = 0;
		txn_put_inode(&t, &a);
	}
	return salvage_apply(s, &t, why);
}

static int keep_all_bytes(struct salvage *s, struct problem *why)
{
	const struct inode *i;
	int r = 0;

	for (size_t c = 0; r == 0 && (i = meta_each_inode(&s->meta, &c));)
		if (inode_has_memory(i) && i->extent_count > 0)
			r = keep_bytes(s, i, why);
	return r;
}

static int quarantine_free(struct salvage *s, uint64_t *count, struct problem *why)
{
	int r = 0;

	for (uint32_t n = 0; n < s->super.region_count; n++) {
		uint64_t b = s->super.first_data[n], end = b + s->super.data_blocks[n];

		for (; b < end && r == 0; b++) {
			struct alloc_extent e = {.block = b, .region = n, .count = 1};

			if (!alloc_is_free(s->meta.alloc, &e))
				continue;
			r = set_state(s, &e, GM_BLOCKS_DIRTY, why);
			if (r == 0)
				r = set_state(s, &e, GM_BLOCKS_QUARANTINED, why);
			++*count;
		}
	}
	return r;
}

static bool is_reserved_ram(const struct salvage *s)
{
	for (uint32_t r = 0; r < s->super.region_count; r++)
		if (s->super.regions[r].reserved_ram)
			return true;
	return false;
}

/* The one that all whole stamps bear, of zeros before the first mount has come to them; NULL: they
 * bear several, or there are none. */
static const uint8_t *find_token(const struct salvage *s)
{
	const uint8_t *token = NULL;

	for (uint32_t n = 0; n < 2 * s->super.region_count; n++) {
		const struct gm_stamp *stamp = s->in->stamps[n];

		if (!stamp || memcmp(stamp->uuid, s->super.uuid, sizeof(stamp->uuid)) != 0 ||
			!store_stamp_bears(stamp, stamp->token))
			continue;
		if (token && memcmp(token, stamp->token, sizeof(stamp->token)) != 0)
			return NULL;
		token = stamp->token;
	}
	return token;
}

static bool is_of_this_boot(const struct salvage *s)
{
	return s->meta.mount_number > 0 &&
	       memcmp(s->meta.boot_id, s->in->boot_id, sizeof(s->meta.boot_id)) == 0;
}

static bool set_token(struct salvage *s, const uint8_t token[16])
{
	if (memcmp(token, s->meta.token, sizeof(s->meta.token)) == 0)
		return false;
	memcpy(s->meta.token, token, sizeof(s->meta.token));
	if (s->meta.mount_number == 0) /* of a pool that was never mounted no proof is asked */
		s->meta.mount_number = 1;
	return true;
}

/*
 * The record of the last mount may be among what is lost. What it promised to the next kernel is in
 * the stamps, too; in which boot that was, nowhere else. If they don't tell either, the token of
 * the mount before it is no proof: this boot may bear it, and have been the last mount's. Then
 * nobody's takes its place, also in the stamps that are written anew. Bytes are granted after the
 * stamps bear a token, so none were where one of them bears zeros. A boot has one token: that of a
 * mount of this one is known, though stamps that it did not come to may still bear the one before.
 */
static void keep_token(struct salvage *s)
{
	static const uint8_t none[16];
	uint8_t nobodys[16];
	const uint8_t *token = find_token(s);

	memset(nobodys, 0xff, sizeof(nobodys));
	if (is_of_this_boot(s) || (token && memcmp(token, none, sizeof(none)) == 0))
		return;
	if (token && set_token(s, token))
		salvage_lost(s, 0,
			"the record of the last mount; its succession token is taken from the "
			"stamps, but in which boot it was is not known: mount the pool after the "
			"next kexec, or with --trust-memory once no guest of this boot runs any "
			"more");
	else if (!token && set_token(s, nobodys))
		salvage_lost(s, 0,
			"the succession token: the record of the last mount may be lost, and the "
			"stamps don't tell it either: mount the pool with --trust-memory, once no "
			"guest of this boot runs any more");
}

int salvage_be_careful(struct salvage *s, struct problem *why)
{
	uint64_t count = 0;
	int r;

	if (!s->unsure && !s->clean_lost)
		return 0;
	r = keep_all_bytes(s, why);
	if (r == 0)
		r = salvage_close_files(s, why);
	if (s->moved || s->clean_lost)
		salvage_kept(s, 0,
			"which blocks of files are still to be zeroed is not known: none is, so "
			"that no guest's bytes are lost");
	if (r < 0 || !s->unsure)
		return r;
	/* Memory that only the kernel's command line keeps needs the proof that it always needs. */
	if (is_reserved_ram(s))
		keep_token(s);
	else
		memcpy(s->meta.boot_id, s->in->boot_id, sizeof(s->meta.boot_id));
	r = quarantine_free(s, &count, why);
	salvage_kept(s, 0,
		"who may still reach what is not known: every file with memory counts as held, and "
		"all free memory (%" PRIu64 " MiB) is out of use until the next boot",
		count * 2);
	return r;
}
