// SPDX-License-Identifier: MIT
#include "store/dir.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MIN 4U

static bool is_hole(uintptr_t slot)
{
	return slot & 1;
}

static struct dirent *entry_of(uintptr_t slot)
{
	return (struct dirent *)slot;
}

static uint64_t cookie_of(uintptr_t slot)
{
	return is_hole(slot) ? slot >> 1 : entry_of(slot)->cookie;
}

/*
 * The first slot whose cookie is at least this one. Cookies grow by at least one from slot to slot,
 * so it is no further behind the first slot than the cookie is behind the first one's; and just
 * there as long as no holes before it were squeezed out, so that a listing searches nothing.
 */
static uint32_t lower_bound(const struct inode *dir, uint64_t cookie)
{
	uint32_t low = 0, high = dir->slot_count;
	uint64_t first = high ? cookie_of(dir->slots[0]) : 0;

	if (high == 0 || cookie <= first)
		return 0;
	if (cookie - first < high)
		high = (uint32_t)(cookie - first);
	if (cookie_of(dir->slots[high - 1]) < cookie)
		return high;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (cookie_of(dir->slots[middle]) < cookie)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int dir_reserve(struct inode *dir, uint32_t more)
{
	uint64_t need = (uint64_t)dir->slot_count + more;
	uint64_t capacity = dir->slot_capacity ? dir->slot_capacity : SLOTS_MIN;
	uintptr_t *bigger;

	if (need <= dir->slot_capacity)
		return 0;
	while (capacity < need)
		capacity *= 2;
	if (capacity > UINT32_MAX)
		return -ENOMEM;
	bigger = reallocarray(dir->slots, capacity, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	dir->slots = bigger;
	dir->slot_capacity = (uint32_t)capacity;
	return 0;
}

void dir_append(struct inode *dir, struct dirent *entry)
{
	assert(dir->slot_count < dir->slot_capacity && entry->cookie > dir_last_cookie(dir));
	dir->slots[dir->slot_count++] = (uintptr_t)entry;
	dir->entry_count++;
}

struct dirent *dir_find(const struct inode *dir, uint64_t cookie)
{
	uint32_t at = lower_bound(dir, cookie);

	if (at == dir->slot_count || is_hole(dir->slots[at]) || cookie_of(dir->slots[at]) != cookie)
		return NULL;
	return entry_of(dir->slots[at]);
}

/* Keeps the last slot even if it is a hole: it remembers the greatest cookie. */
static void squeeze(struct inode *dir)
{
	uint32_t to = 0;

	for (uint32_t from = 0; from < dir->slot_count; from++)
		if (!is_hole(dir->slots[from]) || from + 1 == dir->slot_count)
			dir->slots[to++] = dir->slots[from];
	dir->slot_count = to;
}

struct dirent *dir_take(struct inode *dir, uint64_t cookie)
{
	uint32_t at = lower_bound(dir, cookie);
	struct dirent *entry;

	assert(at < dir->slot_count && !is_hole(dir->slots[at]) &&
		cookie_of(dir->slots[at]) == cookie);
	entry = entry_of(dir->slots[at]);
	dir->slots[at] = (uintptr_t)(cookie << 1 | 1);
	dir->entry_count--;
	if (dir->slot_count > 2 * SLOTS_MIN && dir->entry_count < dir->slot_count / 2)
		squeeze(dir);
	return entry;
}

uint64_t dir_last_cookie(const struct inode *dir)
{
	return dir->slot_count ? cookie_of(dir->slots[dir->slot_count - 1]) : 0;
}

struct dirent *dir_next(const struct inode *dir, uint64_t after)
{
	for (uint32_t at = lower_bound(dir, after + 1); at < dir->slot_count; at++)
		if (!is_hole(dir->slots[at]))
			return entry_of(dir->slots[at]);
	return NULL;
}

struct dirent *dir_each(const struct inode *dir, uint32_t *at)
{
	while (*at < dir->slot_count) {
		uintptr_t slot = dir->slots[(*at)++];

		if (!is_hole(slot))
			return entry_of(slot);
	}
	return NULL;
}
