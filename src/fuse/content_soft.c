// SPDX-License-Identifier: MIT
#include "fuse/content_soft.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "util/cleanup.h"
#include "util/log.h"

/* ---- as a source ---- */

/* The first block of the content store that is not mapped, so that all that is missing comes at
 * once; UINT64_MAX: none. */
static uint64_t first_missing(const struct content_soft *cs, const struct inode *store)
{
	for (uint32_t n = 0; n < store->extent_count; n++) {
		const struct file_extent *e = &store->extents[n];
		uint64_t end = e->file_block + e->count, count;
		uint64_t at = content_memory_missing(cs->memory, e->file_block, end, &count);

		if (at < end)
			return at;
	}
	return UINT64_MAX;
}

/* What is missing comes later, by content_soft_take_part(). */
static int soft_map(
	void *data, const struct file_extent *gap, uint64_t file_block, struct content_window *ret)
{
	struct content_soft *cs = data;
	const struct inode *store = meta_contents(cs->meta);
	int r = cs->error;

	(void)gap, (void)file_block, (void)ret;
	cs->error = 0;
	if (r < 0)
		return r;
	if (!store)
		return -EIO; /* nobody asks for what is not there */
	grants_fetch_contents(cs->grants, store->attr.ino, first_missing(cs, store));
	return -EINPROGRESS;
}

static void soft_unmap(void *data, const struct content_window *w)
{
	(void)data;
	(void)munmap(w->address, w->count << GM_BLOCK_SHIFT);
}

struct content_source content_soft_source(struct content_soft *cs)
{
	return (struct content_source){
		.map = soft_map, .unmap = soft_unmap, .ops = &media_memory_ops, .data = cs};
}

/* ---- what the helper gives ---- */

static int map_new(struct content_soft *cs, struct content_window *w, uint64_t device_block, int fd)
{
	w->address = mmap(NULL, w->count << GM_BLOCK_SHIFT, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		(off_t)(device_block << GM_BLOCK_SHIFT));
	if (w->address == MAP_FAILED)
		return -errno;
	int r = content_memory_add(cs->memory, w);
	if (r < 0)
		soft_unmap(cs, w);
	return r;
}

static int map_part(struct content_soft *cs, const struct grants_part *part, int fd)
{
	uint64_t end = part->file_block + part->count;
	struct content_window w = {.file_block = part->file_block};
	int r = 0;

	for (; r == 0; w.file_block += w.count) {
		w.file_block = content_memory_missing(cs->memory, w.file_block, end, &w.count);
		if (w.file_block == end)
			return 0;
		r = map_new(cs, &w, part->device_block + (w.file_block - part->file_block), fd);
	}
	return r;
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
