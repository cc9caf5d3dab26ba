// SPDX-License-Identifier: MIT
#include "rig_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rig.h"
#include "store/extents.h"
#include "util/le.h"

struct block {
	uint64_t ino;
	uint64_t file_block;
	bool granted; /* else it was handed over, and nobody has seen it since */
	bool told;
	unsigned zeroings;
};

static struct block blocks[VIEW_REGIONS][VIEW_BLOCKS];
static struct record_entry entries[RECORD_INODES];

void record_forget(void)
{
	memset(blocks, 0, sizeof(blocks));
	memset(entries, 0, sizeof(entries));
}

static _Noreturn void die_of(const char *what, uint64_t ino, uint32_t region, uint64_t block)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "inode %" PRIu64 ", block %" PRIu32 ":%" PRIu64, ino,
		region, block);
	rig_die(what, text);
}

struct record_entry *record_of(uint64_t ino)
{
	for (unsigned n = 0; n < RECORD_INODES; n++)
		if (ino != 0 && entries[n].ino == ino)
			return &entries[n];
	return NULL;
}

struct record_entry *record_add(uint64_t ino, uint64_t epoch)
{
	struct record_entry *e = record_of(ino);

	for (unsigned n = 0; n < RECORD_INODES && !e; n++)
		if (entries[n].ino == 0)
			e = &entries[n];
	if (!e || ino == 0)
		rig_die("more is held than there are files", "");
	e->ino = ino;
	e->epoch = epoch;
	e->told = true;
	return e;
}

struct record_entry *record_nth(unsigned n)
{
	unsigned count = 0;

	for (unsigned k = 0; k < RECORD_INODES; k++)
		count += entries[k].ino != 0;
	if (count == 0)
		return NULL;
	n %= count;
	for (unsigned k = 0;; k++)
		if (entries[k].ino != 0 && n-- == 0)
			return &entries[k];
}

static struct block *block_at(uint32_t region, uint64_t block)
{
	uint64_t first = region < rig.super.region_count ? rig.super.first_data[region] : 0;

	if (first == 0 || block < first || block - first >= rig.super.data_blocks[region])
		die_of("what is no data block", 0, region, block);
	return &blocks[region][block];
}

/* It is the file's, and clean: whoever gets it sees no other one's bytes. */
static void check_fresh(const struct inode *i, const struct gm_extent *e)
{
	const struct alloc_extent run = {
		get_le64(e->block), get_le16(e->region), get_le32(e->count)};
	const struct file_extent *f = i ? extents_find_after(i, get_le64(e->file_block)) : NULL;
	uint64_t skip = f ? get_le64(e->file_block) - f->file_block : 0;
	bool clean;

	if (!f || !inode_is_held(i) || f->file_block > get_le64(e->file_block) ||
		f->region != run.region || f->block + skip != run.block ||
		f->count - skip < run.count)
		die_of("a grant of what the file does not have, or without its mark",
			get_le64(e->ino), run.region, run.block);
	if (alloc_clean_run(store_meta(rig.store)->alloc, &run, &clean) != run.count || !clean)
		die_of("a grant of what is not clean", get_le64(e->ino), run.region, run.block);
}

void record_hold_blocks(const struct gm_extent *e, bool fresh)
{
	uint64_t ino = get_le64(e->ino), first = get_le64(e->block);
	uint32_t region = get_le16(e->region);

	if (fresh)
		check_fresh(meta_inode(store_meta(rig.store), ino), e);
	for (uint32_t n = 0; n < get_le32(e->count); n++) {
		struct block *b = block_at(region, first + n);

		if (b->ino != 0 && b->ino != ino)
			die_of("a block of two inodes", ino, region, first + n);
		if (b->zeroings > 0)
			die_of("a block that is being zeroed is held", ino, region, first + n);
		b->granted = fresh || b->ino == 0 || b->granted;
		b->ino = ino;
		b->file_block = get_le64(e->file_block) + n;
		b->told = true;
	}
}

/* Calls with each block of the inode. */
static void each_block(uint64_t ino, void (*visit)(struct block *b, void *data), void *data)
{
	for (uint32_t r = 0; r < rig.super.region_count; r++)
		for (uint64_t n = 0; n < rig.super.regions[r].blocks; n++)
			if (blocks[r][n].ino == ino)
				visit(&blocks[r][n], data);
}

static void let_block_go(struct block *b, void *data)
{
	(void)data;
	b->ino = 0;
	b->granted = false;
}

void record_let_go(uint64_t ino)
{
	struct record_entry *e = record_of(ino);

	if (!e)
		return;
	memset(e, 0, sizeof(*e));
	each_block(ino, let_block_go, NULL);
}

struct run {
	uint64_t first, end, count;
};

static void note_run(struct block *b, void *data)
{
	struct run *r = data;

	r->first = b->file_block < r->first ? b->file_block : r->first;
	r->end = b->file_block >= r->end ? b->file_block + 1 : r->end;
	r->count++;
}

bool record_find_run(uint64_t ino, uint64_t *first, uint64_t *count)
{
	struct run r = {.first = UINT64_MAX};

	each_block(ino, note_run, &r);
	*first = r.first;
	*count = r.count;
	return r.count > 0 && r.end - r.first == r.count;
}

struct heir {
	uint64_t ino;
	uint64_t shift;
};

static void give_block(struct block *b, void *data)
{
	const struct heir *h = data;

	b->ino = h->ino;
	b->granted = false;
	b->file_block += h->shift;
}

void record_hand_over(uint64_t from, uint64_t ino, uint64_t file_block)
{
	struct record_entry *e = record_of(from);
	uint64_t first, count;

	if (!e || !e->spare)
		rig_die("what was handed over is not spare", "");
	(void)record_find_run(from, &first, &count);
	struct heir h = {.ino = ino, .shift = file_block - first};
	each_block(from, give_block, &h);
	memset(e, 0, sizeof(*e));
}

void record_begin_zeroing(uint32_t region, uint64_t block, uint64_t count, bool whole)
{
	const struct alloc_extent run = {block, (uint16_t)region, (uint32_t)count};
	bool clean = false;

	for (uint64_t n = 0; n < count; n++) {
		struct block *b = block_at(region, block + n);

		if (b->ino != 0 && b->granted)
			die_of("an order to zero what is held", b->ino, region, block + n);
		b->zeroings++;
	}
	if (whole && !rig.lied_to &&
		(alloc_clean_run(store_meta(rig.store)->alloc, &run, &clean), clean))
		die_of("an order to scrub what is clean", 0, region, block);
}

void record_end_zeroing(uint32_t region, uint64_t block, uint64_t count)
{
	for (uint64_t n = 0; n < count; n++)
		block_at(region, block + n)->zeroings--;
}

void record_begin_telling(void)
{
	for (unsigned n = 0; n < RECORD_INODES; n++)
		entries[n].told = entries[n].spare = false;
	for (uint32_t r = 0; r < VIEW_REGIONS; r++)
		for (uint64_t n = 0; n < VIEW_BLOCKS; n++) {
			blocks[r][n].told = false;
			blocks[r][n].zeroings = 0;
		}
}

void record_end_telling(void)
{
	for (unsigned n = 0; n < RECORD_INODES; n++)
		if (entries[n].ino != 0 && !entries[n].told)
			die_of("what is held is not told", entries[n].ino, 0, 0);
	for (uint32_t r = 0; r < VIEW_REGIONS; r++)
		for (uint64_t n = 0; n < VIEW_BLOCKS; n++)
			if (blocks[r][n].granted && !blocks[r][n].told)
				die_of("a block that is held is not told", blocks[r][n].ino, r, n);
}
