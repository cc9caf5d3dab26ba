/* SPDX-License-Identifier: MIT */
/*
 * The helper's own record of which blocks are granted, and to which inode: the second opinion on
 * every order of the worker. Pure bookkeeping, no I/O. A block has one owner or none; what is in
 * the record is never granted to another inode and never zeroed. What is granted is noted besides
 * where the next helper finds it (region/ledger.h).
 */
#ifndef GM_HELPER_RECORD_H
#define GM_HELPER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "guestmemfs/types.h"
#include "region/ledger.h"
#include "util/problem.h"

/* struct gm_extent in natural integers. */
struct record_extent {
	uint64_t file_block;
	uint64_t block; /* in the region */
	uint32_t count;
	uint16_t region;
};

struct watch;         /* holders.h: who holds the inode */
struct inode_devices; /* devices.h: what its memory is mapped by, on soft regions */

/* An inode whose memory somebody may still map. Owned by the record. */
struct record_inode {
	uint64_t ino;
	uint64_t epoch;                /* of the last grant, or HELD, that the worker told */
	struct record_extent *extents; /* by ascending file_block; owned */
	size_t extent_count;
	uint32_t regions; /* a bit for each region in extents */
	/* The worker told something of it that can't be true, so that what it owns is not known, or
	 * it is overlaid: it is not shown free. */
	bool contradicted;
	bool overlaid; /* somebody else's device is over its memory */
	/* Nobody needs what its memory holds: it was handed over from a removed file, or will be,
	 * and was granted to nobody since. It may be zeroed. */
	bool spare;
	bool contents;       /* the worker has it, to keep files' contents in (contents.h) */
	uint64_t was;        /* the inode from which it was; 0: none */
	uint64_t told_by;    /* serial of the last link that told it */
	struct watch *watch; /* owned by holders.c */
	struct inode_devices *devices;      /* owned by devices.c; NULL: none yet */
	uint32_t slot;                      /* its number in the owner maps */
	LIST_ENTRY(record_inode) by_record; /* record.inodes */
};

/* Zeroing under way: its blocks can't be granted before it has ended. */
struct record_order {
	uint64_t block;
	uint32_t count;
	uint16_t region;
};

#define RECORD_ORDERS_MAX 32U

struct record_region {
	uint64_t blocks;
	uint64_t first_data;
	uint64_t data_blocks;
	uint32_t *owner; /* of each data block: slot of the inode, 0 for none */
	/*
	 * Of each block, from the region's start: the inode that it was last granted to, whose
	 * bytes it may still hold, and whether it is held. Not owned; outlives the helper. No inode
	 * number is ever used twice.
	 */
	struct ledger_entry *notes;
};

/* What a number in an owner map stands for. */
struct record_slot {
	struct record_inode *inode; /* NULL: free */
	uint32_t next_free;
};

struct record {
	unsigned region_count;
	struct record_region regions[GM_REGIONS_MAX];
	void *by_ino; /* tree of tsearch(3) */
	LIST_HEAD(, record_inode) inodes;
	size_t inode_count;
	struct record_slot *slots; /* slots[0] is never used */
	uint32_t slot_count;
	uint32_t free_slot; /* head of the list of free slots; 0: none */
	struct record_order orders[RECORD_ORDERS_MAX];
	unsigned order_count;
};

/* No regions yet: everything is outside the data blocks. */
void record_init(struct record *r);
void record_deinit(struct record *r);

/* Adds the next region, of so many blocks, with its notes (struct ledger). -ENOSPC more than
 * GM_REGIONS_MAX, -ENOMEM. */
int record_add_region(struct record *r, uint64_t blocks, uint64_t first_data, uint64_t data_blocks,
	struct ledger_entry *notes);

/*
 * Enters what the helpers before this one have noted as held, before the worker has said anything.
 * -EUCLEAN with a sentence: some of it is in no data block. -ENOMEM.
 */
int record_restore(struct record *r, struct problem *why);

/* NULL if the inode is not held. */
struct record_inode *record_find(const struct record *r, uint64_t ino);

/*
 * Enters the extents of an inode, or extends what is known of it. They must lie in the data blocks,
 * ascend by file_block without overlap, name no block twice, none that another inode has and none
 * that is being zeroed, and contain all that the inode is known to have. newer: epoch must exceed
 * the known one, and no block still have the bytes of another (a grant); else it is just taken over
 * (HELD, after a restart of the worker). -EUCLEAN with a sentence, or -ENOMEM, and nothing has
 * changed.
 */
int record_hold(struct record *r, uint64_t ino, uint64_t epoch, bool newer,
	const struct record_extent *extents, size_t count, struct record_inode **ret,
	struct problem *why);

/*
 * Notes that the worker's word on the inode was refused; makes an entry without extents for one
 * that is not known. NULL for lack of memory.
 */
struct record_inode *record_contradict(struct record *r, uint64_t ino, uint64_t epoch);

/* Notes that somebody else's device is over the inode's memory: whatever the worker says from now
 * on, it is never shown free. */
void record_overlay(struct record_inode *inode);

/*
 * All blocks of the inode `from` are those of `ino` now, which must not be known: one after the
 * other in its file, from file_block on. `from` stays, with none. They may not be granted before
 * they are zeroed, as with every block of another inode. -EUCLEAN with a sentence, -ENOMEM; then
 * nothing has changed.
 */
int record_hand_over(struct record *r, struct record_inode *from, uint64_t ino, uint64_t epoch,
	uint64_t file_block, struct record_inode **ret, struct problem *why);

/*
 * What a helper before this one has noted of the spare inode `from` is that of `ino`, as a new
 * worker says; that one is made if it is not known. Its extents are record_hold()'s to enter.
 * `from` stays, with none. -ENOMEM; then nothing has changed.
 */
int record_inherit(struct record *r, struct record_inode *from, uint64_t ino);

/* Notes that the inode is spare, for the next helper. */
void record_note_spare(const struct record *r, const struct record_inode *inode);

/* Nobody reaches the inode's memory any more: notes that, before anybody hears of it. Then
 * record_drop(). */
void record_release(struct record *r, const struct record_inode *inode);

/* The same of all its blocks but those in `kept`, which is owned by the inode from now on. */
void record_release_rest(
	struct record *r, struct record_inode *inode, struct record_extent *kept, size_t count);

/* Forgets the inode: its blocks are nobody's, but for what is noted of them. Its watch and devices
 * must be gone. */
void record_drop(struct record *r, struct record_inode *inode);

/*
 * May these blocks be zeroed? Notes that they are being zeroed; record_end_order() takes the same
 * numbers, and whether whole blocks were zeroed, so that nobody's bytes are left in them. -EUCLEAN
 * with a sentence if one is outside the data blocks or held, unless spare, -EBUSY if too many
 * orders are under way.
 */
int record_begin_order(
	struct record *r, unsigned region, uint64_t block, uint32_t count, struct problem *why);
void record_end_order(
	struct record *r, unsigned region, uint64_t block, uint32_t count, bool clean);

/*
 * The inode that owns the first owned block in [*block, end) of the region, or NULL; *block moves
 * behind the run of blocks that are its. Blocks outside the data blocks are nobody's.
 */
struct record_inode *record_next_owner(
	const struct record *r, unsigned region, uint64_t *block, uint64_t end);

/* Is it one of the region's data blocks? And whose is it, if it is: NULL for nobody's. */
bool record_is_data(const struct record *r, unsigned region, uint64_t block);
struct record_inode *record_owner(const struct record *r, unsigned region, uint64_t block);

#endif
