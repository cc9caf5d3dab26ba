/* SPDX-License-Identifier: MIT */
/*
 * How often each inode is open, in memory that outlives the worker: the kernel tells of each open
 * and each close once, and an unlinked file that is open must neither vanish nor stay for ever.
 *
 * Each change is one store of eight bytes, the number of the request that asks for it among them:
 * who finds that request unanswered knows by it whether it was counted. Only the last one can be:
 * every reply is sent before the next request is looked at.
 */
#ifndef GM_FUSE_OPEN_TABLE_H
#define GM_FUSE_OPEN_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/meta.h"

#define OPENS_COUNT_BITS 24U /* of a word; the rest is the request's number */
#define OPENS_COUNT_MAX  ((1U << OPENS_COUNT_BITS) - 1)

/* In an entry's ino: some have it open since before its content mark (inode.opened_unmarked). */
#define OPENS_UNMARKED (1ULL << 63)

struct open_entry {
	uint64_t ino;
	uint64_t word; /* 0: the entry is free, whatever ino is */
};
static_assert(sizeof(struct open_entry) == 16, "runtime table");

struct open_table {
	struct open_entry *entries; /* these two are not owned */
	uint64_t *used;             /* entries from this one on were never in use */
	uint32_t room;
	uint32_t *free; /* below *used; owned */
	uint32_t free_count;
	uint32_t free_room;
};

#define OPEN_TABLE_NULL ((struct open_table){.entries = NULL})

/* entries and used: zero, or what a predecessor has left, which is looked at by
 * open_table_adopt(). */
void open_table_init(
	struct open_table *t, struct open_entry *entries, uint64_t *used, uint32_t room);
void open_table_deinit(struct open_table *t);

/* Takes over what is counted there, into the inodes: entries of inodes that are not there, or that
 * have one already, become free. Returns how many inodes are open. -ENOMEM. */
int open_table_adopt(struct open_table *t, const struct meta *m);

/*
 * Once more. Nothing happens if this request (0: none) was the last to change it. t may be NULL:
 * then the inode alone counts. -ENFILE too many; -ENOMEM.
 */
int open_table_add(struct open_table *t, struct inode *i, uint64_t unique);

/* The inode is open, and is about to get its content mark. t may be NULL. */
void open_table_note_unmarked(struct open_table *t, struct inode *i);

/* Once less, likewise; the inode is open. */
void open_table_drop(struct open_table *t, struct inode *i, uint64_t unique);

#endif
