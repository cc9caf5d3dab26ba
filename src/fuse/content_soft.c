// SPDX-License-Identifier: MIT
#include "fuse/content_soft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "util/cleanup.h"
#include "util/log.h"

struct content_soft {
	const struct meta *meta;
	struct grants *grants; /* NULL until it is connected */
	struct content_memory *memory;
	struct content_window *mapped; /* owned; by ascending file_block, none over another */
	size_t count, room;
	int error; /* what came of the last question; who waited for it is told once */
};

int content_soft_new(struct content_soft **ret, const struct meta *meta, struct grants *grants)
{
	struct content_soft *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->meta = meta;
	cs->grants = grants;
	*ret = cs;
	return 0;
}

static void unmap_window(const struct content_window *w)
{
	(void)munmap(w->address, w->count << GM_BLOCK_SHIFT);
}

struct content_soft *content_soft_free(struct content_soft *cs)
{
	if (!cs)
		return NULL;
	for (size_t n = 0; n < cs->count; n++)
		unmap_window(&cs->mapped[n]);
	free(cs->mapped);
	free(cs);
	return NULL;
}

static uint64_t end_of(const struct content_window *w)
{
	return w->file_block + w->count;
}

/* The first that ends behind the block; cs->count: none does. */
static size_t mapped_after(const struct content_soft *cs, uint64_t file_block)
{
	size_t low = 0, high = cs->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (end_of(&cs->mapped[middle]) <= file_block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- as a source ---- */

/* The first block of the content store that is not mapped, so that all that is missing comes at
 * once; UINT64_MAX: none. */
static uint64_t first_missing(const struct content_soft *cs, const struct inode *store)
{
	for (uint32_t n = 0; n < store->extent_count; n++) {
		const struct file_extent *e = &store->extents[n];
		uint64_t at = e->file_block, end = at + e->count;

		while (at < end) {
			size_t i = mapped_after(cs, at);
			if (i == cs->count || cs->mapped[i].file_block > at)
				return at;
			at = end_of(&cs->mapped[i]);
		}
	}
	return UINT64_MAX;
}

static int fetch(struct content_soft *cs)
{
	const struct inode *store = meta_contents(cs->meta);
	int r = cs->error;

	cs->error = 0;
	if (r < 0)
		return r;
	if (!store)
		return -EIO; /* nobody asks for what is not there */
	grants_fetch_contents(cs->grants, store->attr.ino, first_missing(cs, store));
	return -EINPROGRESS;
}

static int soft_map(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	struct content_soft *cs = data;
	size_t i = mapped_after(cs, file_block);

	if (i == cs->count || cs->mapped[i].file_block > file_block)
		return fetch(cs);
	const struct content_window *w = &cs->mapped[i];
	uint64_t first = w->file_block > gap->file_block ? w->file_block : gap->file_block;
	uint64_t end = gap->file_block + gap->count;
	if (end_of(w) < end)
		end = end_of(w);
	*ret = (struct content_window){.file_block = first,
		.count = end - first,
		.address = (char *)w->address + ((first - w->file_block) << GM_BLOCK_SHIFT)};
	return 0;
}

/* It stays mapped: until it is unmapped as a whole it may be wanted again. */
static void soft_unmap(void *data, const struct content_window *window)
{
	(void)data;
	(void)window;
}

struct content_source content_soft_source(struct content_soft *cs)
{
	return (struct content_source){
		.map = soft_map, .unmap = soft_unmap, .ops = &media_memory_ops, .data = cs};
}

/* ---- what the helper gives ---- */

static int make_room(struct content_soft *cs)
{
	size_t room = cs->room ? cs->room * 2 : 8;
	struct content_window *bigger;

	if (cs->count < cs->room)
		return 0;
	bigger = reallocarray(cs->mapped, room, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	cs->mapped = bigger;
	cs->room = room;
	return 0;
}

/* Maps blocks of the store that are not mapped yet; they begin at `at` of the list. */
static int map_new(
	struct content_soft *cs, size_t at, struct content_window w, uint64_t device_block, int fd)
{
	int r = make_room(cs);

	if (r < 0)
		return r;
	w.address = mmap(NULL, w.count << GM_BLOCK_SHIFT, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		(off_t)(device_block << GM_BLOCK_SHIFT));
	if (w.address == MAP_FAILED)
		return -errno;
	memmove(&cs->mapped[at + 1], &cs->mapped[at], (cs->count - at) * sizeof(w));
	cs->mapped[at] = w;
	cs->count++;
	return 0;
}

/* What is mapped already is left as it is: a question may bring more than is missing. */
static int map_part(struct content_soft *cs, const struct grants_part *part, int fd)
{
	uint64_t at = part->file_block, end = at + part->count;

	while (at < end) {
		size_t i = mapped_after(cs, at);
		struct content_window w = {.file_block = at, .count = end - at};

		if (i < cs->count && cs->mapped[i].file_block <= at) {
			at = end_of(&cs->mapped[i]);
			continue;
		}
		if (i < cs->count && cs->mapped[i].file_block < end)
			w.count = cs->mapped[i].file_block - at;
		int r = map_new(cs, i, w, part->device_block + (at - part->file_block), fd);
		if (r < 0)
			return r;
		at = end_of(&w);
	}
	return 0;
}

void content_soft_take_part(struct content_soft *cs, const struct grants_part *part, int fd)
{
	_cleanup_fd_ int device = fd;
	int r = map_part(cs, part, device);

	if (r == 0)
		return;
	log_error("memory for the contents of files can't be mapped: %s", strerror(-r));
	cs->error = r;
}

void content_soft_take_given(struct content_soft *cs, int error)
{
	if (error < 0)
		cs->error = error;
}
