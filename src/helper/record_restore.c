// SPDX-License-Identifier: MIT
/* What the notes say is held, as inodes of the record. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "helper/record_internal.h"
#include "util/cleanup.h"
#include "util/log.h"

/* Consecutive blocks of one file. */
struct run {
	uint64_t ino;
	bool spare;
	struct record_extent extent;
};

struct runs {
	struct run *at; /* owned */
	size_t count, room;
};

static void runs_deinit(struct runs *r)
{
	free(r->at);
}

static bool continues(
	const struct run *last, const struct ledger_entry *note, unsigned region, uint64_t block)
{
	const struct record_extent *e = &last->extent;

	return last->ino == note->ino && last->spare == !!(note->at & LEDGER_SPARE) &&
	       e->region == region && e->block + e->count == block &&
	       e->file_block + e->count == (note->at & LEDGER_PLACE) && e->count < UINT32_MAX;
}

static int runs_add(
	struct runs *r, const struct ledger_entry *note, unsigned region, uint64_t block)
{
	if (r->count > 0 && continues(&r->at[r->count - 1], note, region, block)) {
		r->at[r->count - 1].extent.count++;
		return 0;
	}
	if (r->count == r->room) {
		size_t room = r->room ? r->room * 2 : 64;
		struct run *at = reallocarray(r->at, room, sizeof(*at));
		if (!at)
			return -ENOMEM;
		r->at = at;
		r->room = room;
	}
	r->at[r->count++] = (struct run){.ino = note->ino,
		.spare = note->at & LEDGER_SPARE,
		.extent = {.file_block = note->at & LEDGER_PLACE,
			.block = block,
			.count = 1,
			.region = (uint16_t)region}};
	return 0;
}

static int gather(const struct record *r, unsigned region, struct runs *runs, struct problem *why)
{
	const struct record_region *x = &r->regions[region];

	for (uint64_t block = 0; block < x->blocks; block++) {
		const struct ledger_entry *note = &x->notes[block];
		if (!(note->at & LEDGER_HELD))
			continue;
		if (!record_is_data(r, region, block))
			return problem(why, EUCLEAN,
				"block %" PRIu64 " of region %u, which was granted in this boot "
				"for inode %" PRIu64 ", is said to be no data block",
				block, region, note->ino);
		if (runs_add(runs, note, region, block) < 0)
			return problem_errno(why, ENOMEM, "reading what was granted before");
	}
	return 0;
}

static int compare_runs(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	if (x->extent.file_block != y->extent.file_block)
		return x->extent.file_block < y->extent.file_block ? -1 : 1;
	return 0;
}

/* One inode's. Notes that make no sense are nobody's way to its blocks: they stay held. */
static int enter(struct record *r, const struct run *runs, size_t count, struct problem *why)
{
	_cleanup_free_ struct record_extent *extents = calloc(count, sizeof(*extents));
	struct record_inode *inode = NULL;

	if (!extents)
		return problem_errno(why, ENOMEM, "restoring inode %" PRIu64, runs[0].ino);
	bool spare = true;
	for (size_t i = 0; i < count; i++) {
		extents[i] = runs[i].extent;
		spare = spare && runs[i].spare;
	}
	int k = record_hold(r, runs[0].ino, 0, false, extents, count, &inode, why);
	if (k >= 0)
		inode->spare = spare;
	if (k != -EUCLEAN)
		return k;
	log_error("what was noted of inode %" PRIu64
		  " makes no sense, and its blocks stay out of use until the next boot: %s",
		runs[0].ino, why->text);
	*why = PROBLEM_INIT;
	return record_contradict(r, runs[0].ino, 0)
		       ? 0
		       : problem_errno(why, ENOMEM, "restoring inode %" PRIu64, runs[0].ino);
}

int record_restore(struct record *r, struct problem *why)
{
	_cleanup_(runs_deinit) struct runs runs = {.count = 0};
	int k = 0;

	for (unsigned i = 0; i < r->region_count && k >= 0; i++)
		k = gather(r, i, &runs, why);
	if (k < 0 || runs.count == 0)
		return k;
	qsort(runs.at, runs.count, sizeof(*runs.at), compare_runs);
	for (size_t i = 0, n; i < runs.count && k >= 0; i += n) {
		n = 1;
		while (i + n < runs.count && runs.at[i + n].ino == runs.at[i].ino)
			n++;
		k = enter(r, &runs.at[i], n, why);
	}
	return k;
}

int record_inherit(struct record *r, struct record_inode *from, uint64_t ino)
{
	struct record_inode *heir = record_find(r, ino);

	if (!heir) {
		heir = record_enter(r, ino);
		if (!heir)
			return -ENOMEM;
		heir->spare = true;
	}
	record_set_owner(r, from->extents, from->extent_count, heir->slot);
	free(from->extents);
	from->extents = NULL;
	from->extent_count = 0;
	from->regions = 0;
	return 0;
}
