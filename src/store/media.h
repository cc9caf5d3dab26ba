/* SPDX-License-Identifier: MIT */
/*
 * Every store to a region's metadata goes through these operations, so that a test can record each
 * one and try a crash after it. Reads go to base directly.
 *
 * The order in which stores reach the media: copies between two fences in any order
 * (torn at 8 bytes); everything before a fence before everything after it; a publish is
 * one untorn 8-byte store. Where the media is persistent memory that holds only for what was
 * written back before the fence: so every copy and publish is, and no caller can forget it.
 */
#ifndef GM_STORE_MEDIA_H
#define GM_STORE_MEDIA_H

#include <stdint.h>

#include "util/write_back.h"

struct media;

struct media_ops {
	void (*copy)(struct media *m, uint64_t offset, const void *from, uint64_t length);
	void (*flush)(struct media *m, uint64_t offset, uint64_t length); /* writes back */
	void (*fence)(struct media *m);
	void (*publish)(struct media *m, uint64_t offset,
		uint64_t value); /* offset % 8 == 0; stored little-endian */
};

struct media {
	const struct media_ops *ops;
	uint8_t *base;             /* the metadata area, mapped; not owned */
	uint64_t size;             /* bytes that are mapped */
	write_back_fn *write_back; /* for media_memory_ops */
};

/*
 * Memory that is mapped. Without write_back it is such that survives as other processors see it:
 * tmpfs, hugetlbfs, page cache, reserved RAM through a kexec; fences order. With write_back it is
 * persistent memory, of which a loss of power leaves what had left the caches.
 */
extern const struct media_ops media_memory_ops;

static inline void media_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	m->ops->copy(m, offset, from, length);
	m->ops->flush(m, offset, length);
}

static inline void media_fence(struct media *m)
{
	m->ops->fence(m);
}

static inline void media_publish(struct media *m, uint64_t offset, uint64_t value)
{
	m->ops->publish(m, offset, value);
	m->ops->flush(m, offset, sizeof(value));
}

#endif
