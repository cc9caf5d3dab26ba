// SPDX-License-Identifier: MIT
#include "store/extents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t end_of(const struct file_extent *e)
{
	return e->file_block + e->count;
}

/* The first extent that ends after this block of the file. */
static uint32_t first_after(const struct inode *file, uint64_t file_block)
{
	uint32_t low = 0, high = file->extent_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (end_of(&file->extents[middle]) <= file_block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int extents_reserve(struct inode *file, uint32_t more)
{
	uint64_t need = (uint64_t)file->extent_count + more;
	uint64_t capacity = file->extent_capacity;
	struct file_extent *bigger;

	if (need <= capacity)
		return 0;
	/*
	 * Most files have one extent for ever: the first ones are counted, the later ones doubled.
	 */
	capacity = capacity < 4 ? need : capacity * 2 > need ? capacity * 2 : need;
	if (capacity > UINT32_MAX)
		return -ENOMEM;
	bigger = reallocarray(file->extents, capacity, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	file->extents = bigger;
	file->extent_capacity = (uint32_t)capacity;
	return 0;
}

bool extents_overlap(const struct inode *file, uint64_t file_block, uint64_t count)
{
	uint32_t at = first_after(file, file_block);

	return at < file->extent_count && file->extents[at].file_block < file_block + count;
}

/* A file without extents has no array of them either. */
const struct file_extent *extents_find_after(const struct inode *file, uint64_t file_block)
{
	uint32_t at = first_after(file, file_block);

	return at < file->extent_count ? &file->extents[at] : NULL;
}

bool extents_contain(const struct inode *file, const struct file_extent *e)
{
	const struct file_extent *have = extents_find_after(file, e->file_block);

	return have && have->file_block <= e->file_block && end_of(have) >= end_of(e) &&
	       have->region == e->region &&
	       have->block + (e->file_block - have->file_block) == e->block;
}

bool extents_would_split(const struct inode *file, const struct file_extent *e)
{
	const struct file_extent *have = extents_find_after(file, e->file_block);

	return have && have->file_block < e->file_block && end_of(have) > end_of(e);
}

static bool adjoin(const struct file_extent *a, const struct file_extent *b)
{
	return a->region == b->region && end_of(a) == b->file_block &&
	       a->block + a->count == b->block && (uint64_t)a->count + b->count <= UINT32_MAX;
}

static void open_gap(struct inode *file, uint32_t at)
{
	assert(file->extent_count < file->extent_capacity);
	memmove(&file->extents[at + 1], &file->extents[at],
		(file->extent_count - at) * sizeof(*file->extents));
	file->extent_count++;
}

static void close_gap(struct inode *file, uint32_t at)
{
	file->extent_count--;
	memmove(&file->extents[at], &file->extents[at + 1],
		(file->extent_count - at) * sizeof(*file->extents));
}

int extents_insert(struct inode *file, const struct file_extent *e)
{
	uint32_t at = first_after(file, e->file_block);
	uint32_t before = file->extent_count;

	if (at > 0 && adjoin(&file->extents[at - 1], e)) {
		at--;
		file->extents[at].count += e->count;
	} else {
		open_gap(file, at);
		file->extents[at] = *e;
	}
	if (at + 1 < file->extent_count && adjoin(&file->extents[at], &file->extents[at + 1])) {
		file->extents[at].count += file->extents[at + 1].count;
		close_gap(file, at + 1);
	}
	return (int)file->extent_count - (int)before;
}

int extents_remove(struct inode *file, const struct file_extent *e)
{
	uint32_t at = first_after(file, e->file_block);
	struct file_extent old = file->extents[at];
	uint32_t head = (uint32_t)(e->file_block - old.file_block);
	uint32_t tail = old.count - head - e->count;
	uint32_t before = file->extent_count;

	if (head == 0 && tail == 0) {
		close_gap(file, at);
		return (int)file->extent_count - (int)before;
	}
	if (head > 0 && tail > 0)
		open_gap(file, at);
	if (head > 0)
		file->extents[at++].count = head;
	if (tail > 0)
		file->extents[at] = (struct file_extent){.file_block = end_of(e),
			.block = e->block + e->count,
			.count = tail,
			.region = e->region};
	return (int)file->extent_count - (int)before;
}
