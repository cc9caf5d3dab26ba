/* SPDX-License-Identifier: MIT */
/*
 * A hash table of pointers whose room is reserved before a change is committed, so that inserting
 * can't fail after it (the reason why it is ours: the well-known ones allocate while inserting).
 * Open addressing, linear probing, 16 bytes a slot. The caller owns what the pointers name, and
 * compares keys itself:
 *
 *	size_t at = 0;
 *	for (void *p = table_first(t, hash, &at); p; p = table_next(t, hash, &at))
 *		if (is_the_one(p))
 *			...
 */
#ifndef GM_STORE_TABLE_H
#define GM_STORE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_slot {
	uint64_t hash;
	void *pointer; /* NULL: empty */
};

struct table {
	struct table_slot *slots;
	size_t capacity; /* 0 or a power of two */
	size_t count;
};

#define TABLE_NULL ((struct table){.slots = NULL})

void table_deinit(struct table *t); /* does not touch what the pointers name */

/* Room for `more` further entries. 0 or -ENOMEM, then nothing has changed. */
int table_reserve(struct table *t, size_t more);

/* There must be room. pointer is not NULL and not in the table. */
void table_insert(struct table *t, uint64_t hash, void *pointer);

/* pointer must be in the table under hash. */
void table_remove(struct table *t, uint64_t hash, const void *pointer);

/* The entries with this hash, one after the other; NULL when there are no more. */
void *table_first(const struct table *t, uint64_t hash, size_t *at);
void *table_next(const struct table *t, uint64_t hash, size_t *at);

/* Every entry, in no order: start with *cursor = 0. */
void *table_each(const struct table *t, size_t *cursor);

#endif
