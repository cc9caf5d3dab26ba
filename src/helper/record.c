// SPDX-License-Identifier: MIT
/*
 * An owner map, one number a data block, says in constant time and without any case distinction
 * whose a block is: four bytes for 2 MiB. A check goes through all blocks of a grant, so that
 * nothing is inferred from the order of its extents.
 */
#include "helper/record.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "helper/record_internal.h"
#include "util/cleanup.h"

/* Set in the owner map while one grant is gone through: a block that has it already comes twice. */
#define OWNER_VISITED 0x80000000U
#define SLOTS_FIRST   64U
#define SLOTS_MAX     0x40000000U

/* A file's size in bytes must fit in an off_t. */
#define FILE_BLOCKS_MAX ((uint64_t)INT64_MAX >> GM_BLOCK_SHIFT)

static int compare_ino(const void *a, const void *b)
{
	const struct record_inode *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

void record_init(struct record *r)
{
	*r = (struct record){.region_count = 0};
	LIST_INIT(&r->inodes);
}

void record_deinit(struct record *r)
{
	while (!LIST_EMPTY(&r->inodes))
		record_drop(r, LIST_FIRST(&r->inodes));
	for (unsigned i = 0; i < r->region_count; i++)
		free(r->regions[i].owner);
	free(r->slots);
	record_init(r);
}

int record_add_region(struct record *r, uint64_t blocks, uint64_t first_data, uint64_t data_blocks,
	struct ledger_entry *notes)
{
	if (r->region_count == GM_REGIONS_MAX)
		return -ENOSPC;
	struct record_region x = {.blocks = blocks,
		.first_data = first_data,
		.data_blocks = data_blocks,
		.owner = calloc(data_blocks ? data_blocks : 1, sizeof(*x.owner)),
		.notes = notes};
	if (!x.owner)
		return -ENOMEM;
	r->regions[r->region_count++] = x;
	return 0;
}

struct record_inode *record_find(const struct record *r, uint64_t ino)
{
	const struct record_inode key = {.ino = ino};
	void *found = tfind(&key, &r->by_ino, compare_ino);

	return found ? *(struct record_inode **)found : NULL;
}

static int record_grow_slots(struct record *r)
{
	uint32_t old = r->slot_count, count = old ? old * 2 : SLOTS_FIRST;

	if (count > SLOTS_MAX)
		return -ENOMEM;
	struct record_slot *slots = reallocarray(r->slots, count, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = count - 1; i > 0 && i >= old; i--) {
		slots[i] = (struct record_slot){.next_free = r->free_slot};
		r->free_slot = i;
	}
	r->slots = slots;
	r->slot_count = count;
	return 0;
}

struct record_inode *record_enter(struct record *r, uint64_t ino)
{
	if (r->free_slot == 0 && record_grow_slots(r) < 0)
		return NULL;
	struct record_inode *inode = calloc(1, sizeof(*inode));
	if (!inode)
		return NULL;
	inode->ino = ino;
	if (!tsearch(inode, &r->by_ino, compare_ino)) {
		free(inode);
		return NULL;
	}
	inode->slot = r->free_slot;
	r->free_slot = r->slots[inode->slot].next_free;
	r->slots[inode->slot].inode = inode;
	LIST_INSERT_HEAD(&r->inodes, inode, by_record);
	r->inode_count++;
	return inode;
}

uint32_t *record_owners(const struct record *r, unsigned region, uint64_t block)
{
	return r->regions[region].owner + (block - r->regions[region].first_data);
}

void record_set_owner(
	const struct record *r, const struct record_extent *extents, size_t count, uint32_t owner)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t *o = record_owners(r, extents[i].region, extents[i].block);
		for (uint32_t j = 0; j < extents[i].count; j++)
			o[j] = owner;
	}
}

void record_drop(struct record *r, struct record_inode *inode)
{
	assert(!inode->watch && !inode->devices);
	record_set_owner(r, inode->extents, inode->extent_count, 0);
	(void)tdelete(inode, &r->by_ino, compare_ino);
	r->slots[inode->slot] = (struct record_slot){.next_free = r->free_slot};
	r->free_slot = inode->slot;
	LIST_REMOVE(inode, by_record);
	r->inode_count--;
	free(inode->extents);
	free(inode);
}

/* Are these data blocks of the region? Written so that no sum can overflow. */
static int record_check_range(const struct record *r, unsigned region, uint64_t block,
	uint32_t count, struct problem *why)
{
	if (region >= r->region_count)
		return problem(
			why, EUCLEAN, "region %u of %u does not exist", region, r->region_count);
	const struct record_region *x = &r->regions[region];
	if (count == 0)
		return problem(why, EUCLEAN, "a range of no blocks at block %" PRIu64, block);
	if (block < x->first_data || block - x->first_data > x->data_blocks ||
		count > x->data_blocks - (block - x->first_data))
		return problem(why, EUCLEAN,
			"blocks %" PRIu64 "+%" PRIu32
			" of region %u are not within its data blocks %" PRIu64 "+%" PRIu64,
			block, count, region, x->first_data, x->data_blocks);
	return 0;
}

static int record_check_shape(const struct record *r, const struct record_extent *extents,
	size_t count, struct problem *why)
{
	uint64_t end = 0;

	for (size_t i = 0; i < count; i++) {
		const struct record_extent *e = &extents[i];
		int k = record_check_range(r, e->region, e->block, e->count, why);
		if (k < 0)
			return k;
		if (e->file_block < end)
			return problem(why, EUCLEAN,
				"extent %zu begins at file block %" PRIu64
				", before the end %" PRIu64 " of the one before",
				i, e->file_block, end);
		if (e->file_block > FILE_BLOCKS_MAX - e->count)
			return problem(why, EUCLEAN,
				"extent %zu at file block %" PRIu64 " is beyond every file", i,
				e->file_block);
		end = e->file_block + e->count;
	}
	return 0;
}

/* All that was known must still be there, at the same place of the file; the cuts may differ. */
static int record_check_kept(const struct record_inode *inode, const struct record_extent *extents,
	size_t count, struct problem *why)
{
	size_t j = 0;

	for (size_t i = 0; i < inode->extent_count; i++) {
		const struct record_extent *o = &inode->extents[i];
		uint64_t at = o->file_block, end = o->file_block + o->count;
		while (at < end) {
			while (j < count && extents[j].file_block + extents[j].count <= at)
				j++;
			const struct record_extent *n = j < count ? &extents[j] : NULL;
			if (!n || n->file_block > at || n->region != o->region ||
				n->block + (at - n->file_block) != o->block + (at - o->file_block))
				return problem(why, EUCLEAN,
					"file block %" PRIu64 " is no longer at block %" PRIu64
					" of region %u",
					at, o->block + (at - o->file_block), o->region);
			at = n->file_block + n->count;
		}
	}
	return 0;
}

static int record_check_orders(const struct record *r, const struct record_extent *extents,
	size_t count, struct problem *why)
{
	for (unsigned k = 0; k < r->order_count; k++) {
		const struct record_order *o = &r->orders[k];
		for (size_t i = 0; i < count; i++) {
			const struct record_extent *e = &extents[i];
			if (e->region == o->region && e->block < o->block + o->count &&
				o->block < e->block + e->count)
				return problem(why, EUCLEAN,
					"blocks %" PRIu64 "+%" PRIu32
					" of region %u are being zeroed at this moment",
					o->block, o->count, o->region);
		}
	}
	return 0;
}

/* Puts the visited blocks of the first count extents back to what they were. */
static void record_unvisit(const struct record *r, const struct record_inode *inode,
	const struct record_extent *extents, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t *o = record_owners(r, extents[i].region, extents[i].block);
		for (uint32_t j = 0; j < extents[i].count; j++)
			if (o[j] == (inode->slot | OWNER_VISITED))
				o[j] = 0;
	}
	record_set_owner(r, inode->extents, inode->extent_count, inode->slot);
}

/* Makes all blocks the inode's, or none: one that is another's, or that comes twice, ends it. */
static int record_claim(struct record *r, const struct record_inode *inode,
	const struct record_extent *extents, size_t count, struct problem *why)
{
	const uint32_t visited = inode->slot | OWNER_VISITED;

	for (size_t i = 0; i < count; i++) {
		uint32_t *o = record_owners(r, extents[i].region, extents[i].block);
		for (uint32_t j = 0; j < extents[i].count; j++) {
			uint32_t was = o[j];
			if (was == 0 || was == inode->slot) {
				o[j] = visited;
				continue;
			}
			record_unvisit(r, inode, extents, i + 1);
			if (was == visited)
				return problem(why, EUCLEAN,
					"block %" PRIu64 " of region %u comes twice",
					extents[i].block + j, extents[i].region);
			return problem(why, EUCLEAN,
				"block %" PRIu64 " of region %u is held for inode %" PRIu64,
				extents[i].block + j, extents[i].region, r->slots[was].inode->ino);
		}
	}
	record_set_owner(r, extents, count, inode->slot);
	return 0;
}

static int record_extend(struct record *r, struct record_inode *inode, bool granted,
	const struct record_extent *extents, size_t count, struct problem *why)
{
	int k = record_check_shape(r, extents, count, why);
	if (k >= 0)
		k = record_check_kept(inode, extents, count, why);
	/* What was handed over may be zeroed while a new worker says whose it is. */
	if (k >= 0 && (granted || !inode->spare))
		k = record_check_orders(r, extents, count, why);
	if (k >= 0)
		k = record_check_former(r, inode->ino, granted, extents, count, why);
	if (k < 0)
		return k;
	struct record_extent *copy = calloc(count ? count : 1, sizeof(*copy));
	if (!copy)
		return problem_errno(why, ENOMEM, "recording %zu extents", count);
	k = record_claim(r, inode, extents, count, why);
	if (k < 0) {
		free(copy);
		return k;
	}
	inode->regions = 0;
	for (size_t i = 0; i < count; i++) {
		copy[i] = extents[i];
		inode->regions |= 1U << extents[i].region;
	}
	record_note_held(r, inode->ino, granted, extents, count);
	free(inode->extents);
	inode->extents = copy;
	inode->extent_count = count;
	return 0;
}

int record_hold(struct record *r, uint64_t ino, uint64_t epoch, bool newer,
	const struct record_extent *extents, size_t count, struct record_inode **ret,
	struct problem *why)
{
	struct record_inode *known = record_find(r, ino);

	if (known && newer && epoch <= known->epoch)
		return problem(why, EUCLEAN,
			"grant number %" PRIu64 " is not above the last one, %" PRIu64, epoch,
			known->epoch);
	struct record_inode *inode = known ? known : record_enter(r, ino);
	if (!inode)
		return problem_errno(why, ENOMEM, "recording inode %" PRIu64, ino);
	int k = record_extend(r, inode, newer, extents, count, why);
	if (k < 0) {
		if (!known)
			record_drop(r, inode);
		return k;
	}
	inode->epoch = epoch;
	inode->contradicted = inode->overlaid;
	inode->spare = inode->spare && !newer;
	*ret = inode;
	return 0;
}

static int record_check_heir(const struct record *r, const struct record_inode *from, uint64_t ino,
	uint64_t file_block, struct problem *why)
{
	uint64_t sum = 0;

	if (record_find(r, ino))
		return problem(why, EUCLEAN,
			"inode %" PRIu64 " is held already, and can't take over what inode %" PRIu64
			" had",
			ino, from->ino);
	for (size_t i = 0; i < from->extent_count; i++)
		sum += from->extents[i].count;
	if (sum > FILE_BLOCKS_MAX || file_block > FILE_BLOCKS_MAX - sum)
		return problem(
			why, EUCLEAN, "file block %" PRIu64 " is beyond every file", file_block);
	return 0;
}

int record_hand_over(struct record *r, struct record_inode *from, uint64_t ino, uint64_t epoch,
	uint64_t file_block, struct record_inode **ret, struct problem *why)
{
	int k = record_check_heir(r, from, ino, file_block, why);

	if (k < 0)
		return k;
	struct record_inode *heir = record_enter(r, ino);
	if (!heir)
		return problem_errno(why, ENOMEM, "recording inode %" PRIu64, ino);
	heir->epoch = epoch;
	heir->was = from->ino;
	heir->spare = true;
	heir->extents = steal_pointer(from->extents);
	heir->extent_count = from->extent_count;
	heir->regions = from->regions;
	from->extent_count = 0;
	from->regions = 0;
	for (size_t i = 0; i < heir->extent_count; i++) {
		heir->extents[i].file_block = file_block;
		file_block += heir->extents[i].count;
	}
	record_set_owner(r, heir->extents, heir->extent_count, heir->slot);
	*ret = heir;
	return 0;
}

struct record_inode *record_contradict(struct record *r, uint64_t ino, uint64_t epoch)
{
	struct record_inode *inode = record_find(r, ino);

	if (!inode)
		inode = record_enter(r, ino);
	if (!inode)
		return NULL;
	inode->contradicted = true;
	if (epoch > inode->epoch)
		inode->epoch = epoch;
	return inode;
}

void record_overlay(struct record_inode *inode)
{
	inode->overlaid = true;
	inode->contradicted = true;
}

int record_begin_order(
	struct record *r, unsigned region, uint64_t block, uint32_t count, struct problem *why)
{
	int k = record_check_range(r, region, block, count, why);
	if (k < 0)
		return k;
	uint64_t at = block;
	const struct record_inode *owner = record_next_owner(r, region, &at, block + count);
	while (owner && owner->spare)
		owner = record_next_owner(r, region, &at, block + count);
	if (owner)
		return problem(why, EUCLEAN,
			"blocks %" PRIu64 "+%" PRIu32
			" of region %u reach into what is held for inode %" PRIu64,
			block, count, region, owner->ino);
	k = record_check_notes(r, region, block, count, why);
	if (k < 0)
		return k;
	if (r->order_count == RECORD_ORDERS_MAX)
		return problem(why, EBUSY, "%u orders are under way already", r->order_count);
	r->orders[r->order_count++] =
		(struct record_order){.block = block, .count = count, .region = (uint16_t)region};
	return 0;
}

void record_end_order(struct record *r, unsigned region, uint64_t block, uint32_t count, bool clean)
{
	if (clean)
		record_note_clean(r, region, block, count);
	for (struct record_order *o = r->orders;; o++) {
		assert(o < &r->orders[r->order_count]); /* it has begun */
		if (o->region == region && o->block == block && o->count == count) {
			*o = r->orders[--r->order_count];
			return;
		}
	}
}

struct record_inode *record_next_owner(
	const struct record *r, unsigned region, uint64_t *block, uint64_t end)
{
	assert(region < r->region_count);
	const struct record_region *x = &r->regions[region];
	uint64_t limit = x->first_data + x->data_blocks;
	uint64_t at = *block > x->first_data ? *block : x->first_data;

	if (end > limit)
		end = limit;
	while (at < end && x->owner[at - x->first_data] == 0)
		at++;
	if (at >= end)
		return NULL;
	uint32_t owner = x->owner[at - x->first_data];
	while (at < end && x->owner[at - x->first_data] == owner)
		at++;
	*block = at;
	return r->slots[owner].inode;
}

bool record_is_data(const struct record *r, unsigned region, uint64_t block)
{
	const struct record_region *x = &r->regions[region];

	return block >= x->first_data && block - x->first_data < x->data_blocks;
}

struct record_inode *record_owner(const struct record *r, unsigned region, uint64_t block)
{
	assert(record_is_data(r, region, block));
	uint32_t owner = *record_owners(r, region, block);
	return owner ? r->slots[owner].inode : NULL;
}
