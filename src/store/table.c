// SPDX-License-Identifier: MIT
#include "store/table.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define TABLE_MIN 16U

void table_deinit(struct table *t)
{
	free(t->slots);
	*t = TABLE_NULL;
}

static size_t home_of(const struct table *t, uint64_t hash)
{
	return (size_t)hash & (t->capacity - 1);
}

static size_t next_slot(const struct table *t, size_t at)
{
	return (at + 1) & (t->capacity - 1);
}

static void place(struct table *t, uint64_t hash, void *pointer)
{
	size_t at = home_of(t, hash);

	while (t->slots[at].pointer)
		at = next_slot(t, at);
	t->slots[at] = (struct table_slot){.hash = hash, .pointer = pointer};
}

/* At most three quarters of the slots are ever used: longer probes cost more than the memory. */
static bool has_room(size_t capacity, size_t entries)
{
	return entries <= capacity / 4 * 3;
}

int table_reserve(struct table *t, size_t more)
{
	struct table bigger = {
		.count = t->count, .capacity = t->capacity ? t->capacity : TABLE_MIN};

	if (t->capacity && has_room(t->capacity, t->count + more))
		return 0;
	while (!has_room(bigger.capacity, t->count + more))
		bigger.capacity *= 2;
	bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < t->capacity; i++)
		if (t->slots[i].pointer)
			place(&bigger, t->slots[i].hash, t->slots[i].pointer);
	free(t->slots);
	*t = bigger;
	return 0;
}

void table_insert(struct table *t, uint64_t hash, void *pointer)
{
	assert(pointer && has_room(t->capacity, t->count + 1));
	place(t, hash, pointer);
	t->count++;
}

/*
 * Takes the entry out and moves later ones of the same run back, so that no probe ever meets a gap
 * before its entry (Knuth, TAOCP 6.4, algorithm R): no tombstones, no decay.
 */
void table_remove(struct table *t, uint64_t hash, const void *pointer)
{
	size_t gap = home_of(t, hash);

	while (t->slots[gap].pointer != pointer) {
		assert(t->slots[gap].pointer);
		gap = next_slot(t, gap);
	}
	for (size_t at = next_slot(t, gap); t->slots[at].pointer; at = next_slot(t, at)) {
		size_t home = home_of(t, t->slots[at].hash);
		size_t mask = t->capacity - 1;

		if (((at - home) & mask) >= ((at - gap) & mask)) {
			t->slots[gap] = t->slots[at];
			gap = at;
		}
	}
	t->slots[gap] = (struct table_slot){0};
	t->count--;
}

static void *find_from(const struct table *t, uint64_t hash, size_t *at)
{
	for (; t->slots[*at].pointer; *at = next_slot(t, *at))
		if (t->slots[*at].hash == hash)
			return t->slots[*at].pointer;
	return NULL;
}

void *table_first(const struct table *t, uint64_t hash, size_t *at)
{
	if (!t->capacity)
		return NULL;
	*at = home_of(t, hash);
	return find_from(t, hash, at);
}

void *table_next(const struct table *t, uint64_t hash, size_t *at)
{
	*at = next_slot(t, *at);
	return find_from(t, hash, at);
}

void *table_each(const struct table *t, size_t *cursor)
{
	while (*cursor < t->capacity) {
		void *p = t->slots[(*cursor)++].pointer;

		if (p)
			return p;
	}
	return NULL;
}
