/* SPDX-License-Identifier: MIT */
/* What the files of the record share: record.c, record_notes.c, record_restore.c. */
#ifndef GM_HELPER_RECORD_INTERNAL_H
#define GM_HELPER_RECORD_INTERNAL_H

#include "helper/record.h"

/* A new inode without extents; NULL for lack of memory. */
struct record_inode *record_enter(struct record *r, uint64_t ino);

/* The owner map from this data block on. */
uint32_t *record_owners(const struct record *r, unsigned region, uint64_t block);
void record_set_owner(
	const struct record *r, const struct record_extent *extents, size_t count, uint32_t owner);

/*
 * Notes what is held from now on. granted: by a grant, before which all of it is zeroed or its own;
 * else what is noted as held already, or has another's bytes, stays noted as that.
 */
void record_note_held(const struct record *r, uint64_t ino, bool granted,
	const struct record_extent *extents, size_t count);

/* The blocks were zeroed. */
void record_note_clean(const struct record *r, unsigned region, uint64_t block, uint32_t count);

/* Has one of these another's bytes, or, of what is only told to be held, is one held for another?
 * -EUCLEAN with a sentence. */
int record_check_former(const struct record *r, uint64_t ino, bool granted,
	const struct record_extent *extents, size_t count, struct problem *why);

/* Is one of these noted as held, though it has no owner? -EUCLEAN with a sentence. */
int record_check_notes(const struct record *r, unsigned region, uint64_t block, uint32_t count,
	struct problem *why);

#endif
