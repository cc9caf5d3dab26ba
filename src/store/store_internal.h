/* SPDX-License-Identifier: MIT */
/* What the files of an open store share: store.c, store_room.c, store_mount.c, store_grow.c,
 * store_faults.c. */
#ifndef GM_STORE_STORE_INTERNAL_H
#define GM_STORE_STORE_INTERNAL_H

#include "store/checkpoint.h"
#include "store/journal.h"
#include "store/store.h"

#define STORE_FAULTS_MAX 16U

struct store_stretch { /* of the metadata area */
	uint64_t offset;
	uint64_t length;
};

struct store_faults {
	struct store_stretch noted[STORE_FAULTS_MAX]; /* that the kernel has told of */
	unsigned count;
	uint64_t place; /* of the last thing that could not be stored to */
	bool poisoned;
	const char *said; /* the last line in the log: what, */
	uint64_t said_place;
	uint64_t said_at; /* and when (clock_milliseconds()) */
	char text[320];   /* what is to be known of it now; empty: nothing */
	bool refused;     /* the last change that was asked for */
};

struct store {
	struct media *media; /* the caller's */
	struct store_super super;
	struct meta meta;
	struct journal_position journal;
	struct checkpoint_order order;
	struct gm_result result; /* of the last change that a request asked for */
	unsigned slot;
	uint64_t image_bytes; /* of the checkpoint in it */
	uint64_t replayed;
	bool keeps_held;         /* store_continue_mount() */
	bool words_differ;       /* the two slot words do not say the same: to be mended at mount */
	uint64_t full_logged_at; /* clock_milliseconds() of the last line about it; 0: none yet */
	struct store_faults faults;
};

/*
 * Both slot words as they should be: A, then B; after a checkpoint the journal's new tail follows.
 * A crash after A: the new slot is in force, the tail is of the generation before, so the journal
 * is empty; the same after B. Nothing is journalled in the new generation until all three are
 * there.
 */
void store_publish_slot_words(struct store *s);

/* store_commit(), also where the pool is frozen. */
int store_commit_always(struct store *s, struct txn *t);

/* store_checkpoint(), also where the pool is frozen. */
int store_write_checkpoint(struct store *s);

/* ---- memory that can't be reached (store_faults.c) ---- */

/*
 * Can there be stored to this part of the metadata area? It is touched; nothing is changed. And: a
 * record of this length behind the others; the slot words; an image of this size in the other slot,
 * with all words that follow.
 */
bool store_can_store(struct store *s, uint64_t offset, uint64_t length);
bool store_can_journal(struct store *s, uint64_t length);
bool store_can_publish_slot(struct store *s);
bool store_can_checkpoint(struct store *s, uint64_t image_bytes);

/* After one of them was false: what comes of it goes into the log. */
void store_say_detour(struct store *s);
void store_say_no_checkpoint(struct store *s);
void store_say_refused(struct store *s);

/* A change was taken; a checkpoint could be written that nothing forced. */
void store_note_taken(struct store *s);
void store_note_checkpoint(struct store *s);

/* ---- room (store_room.c) ---- */

struct store_growth { /* by how much a change can make the image grow at the most */
	uint64_t bytes;
	uint64_t inodes;
	uint64_t xattr_bytes; /* these two are counted in bytes as well */
	uint64_t piece_bytes;
};

void store_measure_growth(const struct store *s, const struct txn *t, struct store_growth *ret);

/* -ENOSPC: there is no room for it (logged). */
int store_check_room(struct store *s, const struct store_growth *g);

#endif
