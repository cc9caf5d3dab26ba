// SPDX-License-Identifier: MIT
#include "fuse/open_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define NUMBER_BITS (64U - OPENS_COUNT_BITS)
#define NUMBER_MASK ((1ULL << NUMBER_BITS) - 1)

/* The kernel counts its requests by two: bit 0 says that one interrupts another. */
static uint64_t number_of(uint64_t unique)
{
	return unique >> 1 & NUMBER_MASK;
}

static uint32_t count_of(uint64_t word)
{
	return (uint32_t)(word >> NUMBER_BITS);
}

static bool is_last(uint64_t word, uint64_t unique)
{
	return number_of(unique) != 0 && (word & NUMBER_MASK) == number_of(unique);
}

static void store_word(struct open_entry *e, uint32_t count, uint64_t unique)
{
	uint64_t word = count ? (uint64_t)count << NUMBER_BITS | number_of(unique) : 0;

	__atomic_store_n(&e->word, word, __ATOMIC_RELEASE);
}

void open_table_init(
	struct open_table *t, struct open_entry *entries, uint64_t *used, uint32_t room)
{
	*t = (struct open_table){.entries = entries, .used = used, .room = room};
}

void open_table_deinit(struct open_table *t)
{
	free(t->free);
	*t = OPEN_TABLE_NULL;
}

/* Before an entry is taken: so giving it back can't fail. */
static int reserve_free(struct open_table *t, uint64_t entries)
{
	uint64_t room = t->free_room ? t->free_room * 2ULL : 64;
	uint32_t *list;

	if (entries <= t->free_room)
		return 0;
	while (room < entries)
		room *= 2;
	list = reallocarray(t->free, room, sizeof(*list));
	if (!list)
		return -ENOMEM;
	t->free = list;
	t->free_room = (uint32_t)room;
	return 0;
}

int open_table_adopt(struct open_table *t, const struct meta *m)
{
	int count = 0;

	if (*t->used > t->room)
		*t->used = t->room;
	if (reserve_free(t, *t->used) < 0)
		return -ENOMEM;
	for (uint32_t n = (uint32_t)*t->used; n-- > 0;) {
		struct open_entry *e = &t->entries[n];
		uint32_t opens = count_of(e->word);
		struct inode *i = opens ? meta_inode(m, e->ino & ~OPENS_UNMARKED) : NULL;

		if (!i || i->opens > 0) {
			store_word(e, 0, 0);
			t->free[t->free_count++] = n;
			continue;
		}
		i->opens = opens & OPENS_COUNT_MAX;
		i->opened_unmarked = (e->ino & OPENS_UNMARKED) != 0;
		i->open_place = n;
		count++;
	}
	return count;
}

static int take_place(struct open_table *t, uint32_t *ret)
{
	if (t->free_count > 0) {
		*ret = t->free[--t->free_count];
		return 0;
	}
	if (*t->used >= t->room)
		return -ENFILE;
	if (reserve_free(t, *t->used + 1) < 0)
		return -ENOMEM;
	*ret = (uint32_t)(*t->used)++;
	return 0;
}

int open_table_add(struct open_table *t, struct inode *i, uint64_t unique)
{
	struct open_entry *e;

	if (i->opens >= OPENS_COUNT_MAX)
		return -ENFILE;
	if (!t) {
		i->opens++;
		return 0;
	}
	if (i->opens == 0) {
		int r = take_place(t, &i->open_place);

		if (r < 0)
			return r;
		t->entries[i->open_place].ino = i->attr.ino; /* while its word is 0 */
	}
	e = &t->entries[i->open_place];
	if (!is_last(e->word, unique))
		store_word(e, ++i->opens, unique);
	return 0;
}

/* The next one that has the entry sets its ino anew. */
void open_table_note_unmarked(struct open_table *t, struct inode *i)
{
	assert(i->opens > 0);
	i->opened_unmarked = true;
	if (t)
		t->entries[i->open_place].ino = i->attr.ino | OPENS_UNMARKED;
}

void open_table_drop(struct open_table *t, struct inode *i, uint64_t unique)
{
	struct open_entry *e;

	assert(i->opens > 0);
	if (!t) {
		i->opens--;
		return;
	}
	e = &t->entries[i->open_place];
	if (is_last(e->word, unique))
		return;
	store_word(e, --i->opens, unique);
	if (i->opens == 0)
		t->free[t->free_count++] = i->open_place;
}
