// SPDX-License-Identifier: MIT
/* The pieces of an image: each by itself, their order, the files that they belong to, and that each
 * unit lies in the content store and has one owner. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "store/codec.h"
#include "store/fsck_image.h"

#define error(c, ...) fsck_report((c)->report, FSCK_ERROR, __VA_ARGS__)

struct run { /* units of the content store */
	uint64_t ino;
	uint64_t unit;
	uint64_t count;
};

struct checker {
	struct fsck_report *report;
	const struct checkpoint_section *sections;
	uint64_t store;    /* the content store's inode; 0: there is none */
	struct run *owned; /* what its extents give it, by ascending unit; owned */
	size_t owned_count;
	struct run *taken; /* what pieces take; owned */
	size_t taken_count;
};

static void find_store(struct checker *c)
{
	const struct checkpoint_section *s = &c->sections[GM_SECTION_INODES];

	for (uint64_t n = 0; n < s->count; n++) {
		const struct gm_inode *from = (const struct gm_inode *)(const void *)s->bytes + n;
		struct inode_attr a;

		if (codec_decode_inode(&a, from) || !(a.flags & GM_INODE_CONTENTS))
			continue;
		if (c->store)
			error(c, "contents-twice",
				"inode %" PRIu64 " and inode %" PRIu64
				" are both the content store",
				c->store, a.ino);
		else
			c->store = a.ino;
	}
}

static int read_extents(struct checker *c)
{
	const struct checkpoint_section *s = &c->sections[GM_SECTION_EXTENTS];

	c->owned = calloc(s->count + 1, sizeof(*c->owned));
	if (!c->owned)
		return -ENOMEM;
	for (uint64_t n = 0; n < s->count; n++) {
		const struct gm_extent *from = (const struct gm_extent *)(const void *)s->bytes + n;
		struct inode_attr a;
		struct file_extent e;
		uint64_t ino;

		if (codec_decode_extent(&ino, &e, from))
			continue; /* told with the other extents */
		if (ino == c->store)
			c->owned[c->owned_count++] = (struct run){
				.ino = ino,
				.unit = e.file_block * GM_UNITS_PER_BLOCK,
				.count = (uint64_t)e.count * GM_UNITS_PER_BLOCK,
			};
		else if (fsck_find_inode(&c->sections[GM_SECTION_INODES], ino, &a) &&
			 (a.flags & GM_INODE_IO))
			error(c, "extent-of-content",
				"inode %" PRIu64
				" is a file with content and has an extent at file block %" PRIu64,
				ino, e.file_block);
	}
	return 0;
}

/* The last run that begins at or before the unit; the first one if none does. */
static size_t run_at(const struct checker *c, uint64_t unit)
{
	size_t low = 0, high = c->owned_count;

	while (low + 1 < high) {
		size_t middle = low + (high - low) / 2;

		if (c->owned[middle].unit <= unit)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Extents may adjoin, so that a piece goes over from one to the next. */
static bool is_owned(const struct checker *c, uint64_t unit, uint64_t count)
{
	for (size_t n = run_at(c, unit); n < c->owned_count && count > 0; n++) {
		const struct run *e = &c->owned[n];
		uint64_t left;

		if (unit < e->unit || unit >= e->unit + e->count)
			return false;
		left = e->unit + e->count - unit;
		if (left > count)
			left = count;
		unit += left;
		count -= left;
	}
	return count == 0;
}

static void check_piece(struct checker *c, uint64_t ino, const struct file_extent *p,
	const struct run *last, uint64_t last_end)
{
	struct inode_attr a;

	if (!fsck_find_inode(&c->sections[GM_SECTION_INODES], ino, &a) || !S_ISREG(a.mode) ||
		!(a.flags & GM_INODE_IO))
		error(c, "piece-dangling",
			"a piece at file unit %" PRIu64 " names inode %" PRIu64
			", which is no file with content",
			p->file_block, ino);
	if (last && (ino < last->ino || (ino == last->ino && p->file_block < last_end)))
		error(c, "piece-overlap",
			"inode %" PRIu64 " has two pieces at file unit %" PRIu64
			", or they are out of order",
			ino, p->file_block);
	if (!is_owned(c, p->block, p->count))
		error(c, "piece-outside",
			"the piece of inode %" PRIu64 " at file unit %" PRIu64
			" does not lie in the content store (unit %" PRIu64 ", %" PRIu32 " units)",
			ino, p->file_block, p->block, p->count);
}

static int read_pieces(struct checker *c)
{
	const struct checkpoint_section *s = &c->sections[GM_SECTION_PIECES];
	uint64_t end = 0;

	c->taken = calloc(s->count + 1, sizeof(*c->taken));
	if (!c->taken)
		return -ENOMEM;
	for (uint64_t n = 0; n < s->count; n++) {
		const struct gm_piece *from = (const struct gm_piece *)(const void *)s->bytes + n;
		const struct run *last = c->taken_count ? &c->taken[c->taken_count - 1] : NULL;
		struct file_extent p;
		uint64_t ino;
		const char *wrong = codec_decode_piece(&ino, &p, from);

		if (wrong) {
			error(c, "piece-bad", "piece record %" PRIu64 ": %s", n, wrong);
			continue;
		}
		check_piece(c, ino, &p, last, end);
		end = p.file_block + p.count;
		c->taken[c->taken_count++] =
			(struct run){.ino = ino, .unit = p.block, .count = p.count};
	}
	return 0;
}

static int compare_units(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	return (x->unit > y->unit) - (x->unit < y->unit);
}

static void check_owners(struct checker *c)
{
	qsort(c->taken, c->taken_count, sizeof(*c->taken), compare_units);
	for (size_t n = 1; n < c->taken_count; n++)
		if (c->taken[n].unit < c->taken[n - 1].unit + c->taken[n - 1].count)
			error(c, "unit-owned-twice",
				"unit %" PRIu64 " of the content store belongs to inode %" PRIu64
				" and to inode %" PRIu64,
				c->taken[n].unit, c->taken[n - 1].ino, c->taken[n].ino);
}

int fsck_check_pieces(
	struct fsck_report *report, const struct checkpoint_section sections[CHECKPOINT_SECTIONS])
{
	struct checker c = {.report = report, .sections = sections};
	int r;

	find_store(&c);
	r = read_extents(&c);
	if (r == 0) {
		qsort(c.owned, c.owned_count, sizeof(*c.owned), compare_units);
		r = read_pieces(&c);
	}
	if (r == 0)
		check_owners(&c);
	free(c.owned);
	free(c.taken);
	return r;
}
