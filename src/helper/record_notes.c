// SPDX-License-Identifier: MIT
/*
 * What the next helper finds (region/ledger.h). A helper may be killed between any two stores; the
 * kernel keeps what it has stored. So whatever is half done must still be a part of what an honest
 * worker tells, and an entry that is held always names its inode.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "helper/record_internal.h"

static struct ledger_entry *notes_of(const struct record *r, unsigned region, uint64_t block)
{
	return r->regions[region].notes + block;
}

static void store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Whose bytes the block may have; 0: nobody's. */
static uint64_t former(const struct ledger_entry *note)
{
	return note->at & LEDGER_CLEAN ? 0 : note->ino;
}

static void note_held(struct ledger_entry *note, uint64_t ino, uint64_t file_block)
{
	if (note->ino != ino) {
		/* It was handed over, and zeroed since: first it is nobody's. */
		if (note->ino != 0)
			store(&note->at, LEDGER_CLEAN);
		store(&note->ino, ino);
	}
	store(&note->at, file_block | LEDGER_HELD);
}

/* The worker says that it is held. What is held already, or has another's bytes, says so until it
 * is zeroed: it comes with memory that was handed over, and was not granted to the inode yet. */
static bool may_be_noted(const struct ledger_entry *note, uint64_t ino)
{
	return !(note->at & LEDGER_HELD) && (former(note) == 0 || former(note) == ino);
}

void record_note_held(const struct record *r, uint64_t ino, bool granted,
	const struct record_extent *extents, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct ledger_entry *n = notes_of(r, extents[i].region, extents[i].block);
		for (uint32_t j = 0; j < extents[i].count; j++)
			if (granted || may_be_noted(&n[j], ino))
				note_held(&n[j], ino, extents[i].file_block + j);
	}
}

static void note_nothing(struct ledger_entry *note)
{
	store(&note->ino, 0);
	store(&note->at, 0);
}

void record_note_clean(const struct record *r, unsigned region, uint64_t block, uint32_t count)
{
	struct ledger_entry *n = notes_of(r, region, block);

	for (uint32_t j = 0; j < count; j++) {
		if (n[j].at & LEDGER_HELD) /* spare: it stays whose it is */
			store(&n[j].at, n[j].at | LEDGER_CLEAN);
		else if (n[j].ino != 0)
			note_nothing(&n[j]);
	}
}

void record_note_spare(const struct record *r, const struct record_inode *inode)
{
	for (size_t i = 0; i < inode->extent_count; i++) {
		const struct record_extent *e = &inode->extents[i];
		struct ledger_entry *n = notes_of(r, e->region, e->block);
		for (uint32_t j = 0; j < e->count; j++)
			store(&n[j].at, n[j].at | LEDGER_SPARE);
	}
}

static void note_released(struct ledger_entry *note)
{
	store(&note->at, note->at & ~(LEDGER_HELD | LEDGER_SPARE));
	if (note->at & LEDGER_CLEAN)
		note_nothing(note);
}

void record_release(struct record *r, const struct record_inode *inode)
{
	for (size_t i = 0; i < inode->extent_count; i++) {
		const struct record_extent *e = &inode->extents[i];
		struct ledger_entry *n = notes_of(r, e->region, e->block);
		for (uint32_t j = 0; j < e->count; j++)
			note_released(&n[j]);
	}
}

void record_release_rest(
	struct record *r, struct record_inode *inode, struct record_extent *kept, size_t count)
{
	record_set_owner(r, inode->extents, inode->extent_count, 0);
	record_set_owner(r, kept, count, inode->slot);
	for (size_t i = 0; i < inode->extent_count; i++) {
		const struct record_extent *e = &inode->extents[i];
		const uint32_t *o = record_owners(r, e->region, e->block);
		struct ledger_entry *n = notes_of(r, e->region, e->block);
		for (uint32_t j = 0; j < e->count; j++)
			if (o[j] == 0)
				note_released(&n[j]);
	}
	free(inode->extents);
	inode->extents = kept;
	inode->extent_count = count;
	inode->regions = 0;
	for (size_t i = 0; i < count; i++)
		inode->regions |= 1U << kept[i].region;
}

static int refuse_held(
	struct problem *why, unsigned region, uint64_t block, const struct ledger_entry *note)
{
	return problem(why, EUCLEAN,
		"block %" PRIu64 " of region %u was granted for inode %" PRIu64
		" and not shown free since",
		block, region, note->ino);
}

/*
 * A worker that was taken over could hand one guest's block to the next with its bytes in it, or
 * have the helper killed and tell the next one another story. What was granted in this boot must
 * have been zeroed by a helper before another inode gets it; what never was is the worker's word.
 * Whoever is told to be held may have blocks that are not zeroed yet, if memory was handed over to
 * him; but none that is held for another, unless it is his in the record.
 */
int record_check_former(const struct record *r, uint64_t ino, bool granted,
	const struct record_extent *extents, size_t count, struct problem *why)
{
	for (size_t i = 0; i < count; i++) {
		const struct record_extent *e = &extents[i];
		const uint32_t *o = record_owners(r, e->region, e->block);
		const struct ledger_entry *n = notes_of(r, e->region, e->block);
		for (uint32_t j = 0; j < e->count; j++) {
			if (granted && former(&n[j]) != 0 && former(&n[j]) != ino)
				return problem(why, EUCLEAN,
					"block %" PRIu64 " of region %u was granted for inode "
					"%" PRIu64 " and not zeroed since",
					e->block + j, e->region, n[j].ino);
			if (o[j] == 0 && (n[j].at & LEDGER_HELD) && n[j].ino != ino)
				return refuse_held(why, e->region, e->block + j, &n[j]);
		}
	}
	return 0;
}

int record_check_notes(const struct record *r, unsigned region, uint64_t block, uint32_t count,
	struct problem *why)
{
	const uint32_t *o = record_owners(r, region, block);
	const struct ledger_entry *n = notes_of(r, region, block);

	for (uint32_t j = 0; j < count; j++)
		if (o[j] == 0 && (n[j].at & LEDGER_HELD))
			return refuse_held(why, region, block + j, &n[j]);
	return 0;
}
