/* SPDX-License-Identifier: MIT */
/*
 * The groups that are neither full nor whole, by how many blocks of them are free and how long
 * their longest run is: the fullest group that can hold a run of k blocks is found in a constant
 * number of steps, however many groups there are. What counts as a run is the caller's affair.
 * Groups are numbered from 1; 0 is "none".
 *
 * There is a list of groups for each pair (free, longest run), a bitmap of the lists that aren't
 * empty, and over the free counts a tree of maxima of the longest runs.
 */
#ifndef GM_ALLOC_GROUP_INDEX_H
#define GM_ALLOC_GROUP_INDEX_H

#include <stdint.h>

#include "alloc/bits.h"

/* Where a group stands. */
struct group_place {
	uint32_t prev, next;
	uint16_t free;
	uint16_t run; /* 0: in no list */
};

struct group_index {
	struct group_place *places; /* by group */
	uint32_t size;
	uint16_t longest[2 * BITS]; /* node i is the greater of nodes 2 i and 2 i + 1; free count f
				       is leaf BITS + f */
	struct bits runs[BITS];     /* by free count: the lengths that have a list */
	uint32_t heads[BITS][BITS]; /* by free count, by longest run */
};

/* Makes room for group numbers below n. -ENOMEM; the index is as before then. */
int group_index_reserve(struct group_index *x, uint32_t n);
void group_index_deinit(struct group_index *x);

/* Puts the group where it belongs now; run is below BITS, 0 takes it out. */
void group_index_move(struct group_index *x, uint32_t group, unsigned free, unsigned run);

/*
 * Takes a move back. If every move since was taken back before, the index is exactly as before the
 * move, down to the order of its lists. was is what group_index_place() gave just before the move.
 */
struct group_place group_index_place(const struct group_index *x, uint32_t group);
void group_index_restore(struct group_index *x, uint32_t group, struct group_place was);

/* The longest run in any group; 0 if there is none. */
unsigned group_index_longest(const struct group_index *x);

/*
 * Of the groups with a run of at least run blocks, one with the fewest free
 * blocks; 0 if there is none.
 */
uint32_t group_index_find(const struct group_index *x, unsigned run);

#endif
