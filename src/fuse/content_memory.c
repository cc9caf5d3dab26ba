// SPDX-License-Identifier: MIT
#include "fuse/content_memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/extents.h"
#include "util/log.h"
#include "util/sigbus.h"

struct content_memory {
	const struct meta *meta; /* not owned */
	struct content_source source;
	struct content_window *windows; /* owned; by ascending file_block, none over another */
	size_t count, room;
	void (*arrived)(void *data);
	void *data;
	void (*stray)(void *data, const struct sigbus *what);
	void *stray_data;
	struct content_fault fault; /* of the last access that failed */
	bool has_fault;
};

int content_memory_new(
	struct content_memory **ret, const struct meta *meta, const struct content_source *source)
{
	struct content_memory *cm = calloc(1, sizeof(*cm));

	if (!cm)
		return -ENOMEM;
	assert(source->ops);
	cm->meta = meta;
	cm->source = *source;
	*ret = cm;
	return 0;
}

struct content_memory *content_memory_free(struct content_memory *cm)
{
	if (!cm)
		return NULL;
	for (size_t n = 0; n < cm->count; n++)
		cm->source.unmap(cm->source.data, &cm->windows[n]);
	free(cm->windows);
	free(cm);
	return NULL;
}

void content_memory_on_arrival(struct content_memory *cm, void (*arrived)(void *data), void *data)
{
	cm->arrived = arrived;
	cm->data = data;
}

void content_memory_on_stray(
	struct content_memory *cm, void (*stray)(void *data, const struct sigbus *what), void *data)
{
	cm->stray = stray;
	cm->stray_data = data;
}

void content_memory_arrived(struct content_memory *cm)
{
	if (cm->arrived)
		cm->arrived(cm->data);
}

static uint64_t end_of(const struct content_window *w)
{
	return w->file_block + w->count;
}

/* The first window that ends behind the block; cm->count: none does. */
static size_t window_after(const struct content_memory *cm, uint64_t file_block)
{
	size_t low = 0, high = cm->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (end_of(&cm->windows[middle]) <= file_block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct content_memory *cm)
{
	size_t room = cm->room ? cm->room * 2 : 8;
	struct content_window *bigger;

	if (cm->count < cm->room)
		return 0;
	bigger = reallocarray(cm->windows, room, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	cm->windows = bigger;
	cm->room = room;
	return 0;
}

/* The part of the extent around the block that lies between windows at - 1 and at. */
static struct file_extent gap_around(
	const struct content_memory *cm, const struct file_extent *extent, size_t at)
{
	uint64_t first = extent->file_block, end = first + extent->count;

	if (at > 0 && end_of(&cm->windows[at - 1]) > first)
		first = end_of(&cm->windows[at - 1]);
	if (at < cm->count && cm->windows[at].file_block < end)
		end = cm->windows[at].file_block;
	return (struct file_extent){
		.file_block = first,
		.block = extent->block + (first - extent->file_block),
		.count = (uint32_t)(end - first),
		.region = extent->region,
	};
}

/* There is room. */
static void insert(struct content_memory *cm, size_t at, const struct content_window *w)
{
	memmove(&cm->windows[at + 1], &cm->windows[at], (cm->count - at) * sizeof(*w));
	cm->windows[at] = *w;
	cm->count++;
}

static int map_block(struct content_memory *cm, uint64_t file_block, size_t at)
{
	const struct inode *store = meta_contents(cm->meta);
	const struct file_extent *extent = store ? extents_find_after(store, file_block) : NULL;
	struct content_window w = {.count = 0};
	struct file_extent gap;
	int r;

	if (!extent || extent->file_block > file_block)
		return -EIO; /* nobody asks for what the content store does not own */
	r = make_room(cm);
	if (r < 0)
		return r;
	gap = gap_around(cm, extent, at);
	r = cm->source.map(cm->source.data, &gap, file_block, &w);
	if (r < 0)
		return r;
	assert(w.file_block >= gap.file_block && end_of(&w) <= gap.file_block + gap.count);
	assert(w.file_block <= file_block && end_of(&w) > file_block);
	insert(cm, at, &w);
	return 0;
}

int content_memory_add(struct content_memory *cm, const struct content_window *window)
{
	size_t at = window_after(cm, window->file_block);
	int r = make_room(cm);

	if (r < 0)
		return r;
	assert(at == cm->count || cm->windows[at].file_block >= end_of(window));
	insert(cm, at, window);
	return 0;
}

uint64_t content_memory_missing(
	const struct content_memory *cm, uint64_t first, uint64_t end, uint64_t *count)
{
	size_t at = window_after(cm, first);

	for (; first < end && at < cm->count && cm->windows[at].file_block <= first; at++)
		first = end_of(&cm->windows[at]);
	if (first >= end)
		return end;
	*count = end - first;
	if (at < cm->count && cm->windows[at].file_block < end)
		*count = cm->windows[at].file_block - first;
	return first;
}

int content_memory_want(struct content_memory *cm, uint64_t unit, uint64_t count)
{
	uint64_t block = unit / GM_UNITS_PER_BLOCK;
	uint64_t end = (unit + count + GM_UNITS_PER_BLOCK - 1) / GM_UNITS_PER_BLOCK;
	bool pending = false;

	while (block < end) {
		size_t at = window_after(cm, block);
		int r = 0;

		if (at == cm->count || cm->windows[at].file_block > block)
			r = map_block(cm, block, at);
		if (r < 0 && r != -EINPROGRESS)
			return r;
		pending |= r == -EINPROGRESS;
		block = r == 0 ? end_of(&cm->windows[at]) : block + 1;
	}
	return pending ? -EINPROGRESS : 0;
}

static const struct content_window *window_of(const struct content_memory *cm, uint64_t unit)
{
	size_t at = window_after(cm, unit / GM_UNITS_PER_BLOCK);

	assert(at < cm->count && cm->windows[at].file_block <= unit / GM_UNITS_PER_BLOCK);
	return &cm->windows[at];
}

/* Where in the window the unit begins. */
static uint64_t place_in(const struct content_window *w, uint64_t unit)
{
	return (unit - w->file_block * GM_UNITS_PER_BLOCK) << GM_UNIT_SHIFT;
}

const void *content_memory_at(const struct content_memory *cm, uint64_t unit, uint64_t *count)
{
	const struct content_window *w = window_of(cm, unit);
	uint64_t left = end_of(w) * GM_UNITS_PER_BLOCK - unit;

	if (*count > left)
		*count = left;
	return (const uint8_t *)w->address + place_in(w, unit);
}

void content_memory_fence(const struct content_memory *cm)
{
	struct media m = {.ops = cm ? cm->source.ops : NULL};

	if (cm)
		media_fence(&m);
}

/* True if the content store still owns every block of it. */
static bool is_owned(const struct content_memory *cm, const struct content_window *w)
{
	const struct inode *store = meta_contents(cm->meta);
	const struct file_extent *e = store ? extents_find_after(store, w->file_block) : NULL;

	return e && e->file_block <= w->file_block && e->file_block + e->count >= end_of(w);
}

void content_memory_trim(struct content_memory *cm)
{
	size_t kept = 0;

	for (size_t n = 0; n < cm->count; n++) {
		if (is_owned(cm, &cm->windows[n]))
			cm->windows[kept++] = cm->windows[n];
		else
			cm->source.unmap(cm->source.data, &cm->windows[n]);
	}
	cm->count = kept;
}

/* ---- memory that can't be reached ---- */

static void note_fault(struct content_memory *cm, const struct sigbus *what)
{
	for (size_t n = 0; n < cm->count; n++) {
		const struct content_window *w = &cm->windows[n];
		uintptr_t first = (uintptr_t)w->address;

		if (what->address < first || what->address - first >= w->count << GM_BLOCK_SHIFT)
			continue;
		cm->fault.file_block = w->file_block + ((what->address - first) >> GM_BLOCK_SHIFT);
		cm->fault.poisoned = what->poisoned;
		cm->has_fault = true;
		return;
	}
	if (cm->stray)
		cm->stray(cm->stray_data, what);
	else
		log_error("a memory error has hit the worker outside of the contents of files");
}

struct access {
	struct media media; /* what is stored to; .base NULL: it is only read */
	uint64_t offset;
	const void *from; /* NULL: zeros */
	size_t size;
};

static void store_zeros(struct access *a)
{
	static const uint8_t zeros[GM_UNIT_SIZE];

	for (uint64_t done = 0, n; done < a->size; done += n) {
		n = a->size - done < sizeof(zeros) ? a->size - done : sizeof(zeros);
		media_copy(&a->media, a->offset + done, zeros, n);
	}
}

static void do_access(void *data)
{
	struct access *a = data;
	const volatile char *from = a->from;

	if (a->media.base && a->from)
		media_copy(&a->media, a->offset, a->from, a->size);
	else if (a->media.base)
		store_zeros(a);
	else
		for (size_t n = 0; from && n < a->size; n++)
			(void)from[n];
}

static int guard(struct content_memory *cm, struct access *a)
{
	struct sigbus what;
	int r = sigbus_guard(do_access, a, &what);

	if (r < 0)
		note_fault(cm, &what);
	return r;
}

int content_memory_store(
	struct content_memory *cm, uint64_t unit, uint64_t skip, const void *data, uint64_t *length)
{
	const struct content_window *w = window_of(cm, unit);
	struct access a = {.media = {.ops = cm->source.ops,
				   .base = w->address,
				   .size = w->count << GM_BLOCK_SHIFT,
				   .write_back = w->write_back},
		.offset = place_in(w, unit) + skip,
		.from = data};

	a.size = a.media.size - a.offset;
	if (a.size > *length)
		a.size = *length;
	*length = a.size;
	return guard(cm, &a);
}

void content_memory_probe(struct content_memory *cm, const void *at, size_t size)
{
	(void)guard(cm, &(struct access){.from = at, .size = size});
}

bool content_memory_next_fault(struct content_memory *cm, struct content_fault *ret)
{
	for (struct sigbus what; !cm->has_fault && sigbus_take_noted(&what);)
		note_fault(cm, &what);
	if (!cm->has_fault)
		return false;
	*ret = cm->fault;
	cm->has_fault = false;
	return true;
}
