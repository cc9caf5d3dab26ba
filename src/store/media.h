/* SPDX-License-Identifier: MIT */
/*
 * Every store to a region's metadata goes through these operations, so that a test can record each
 * one and try a crash after it. Reads go to base directly.
 *
 * The order in which stores reach the media: copies between two fences in any order
 * (torn at 8 bytes); everything before a fence before everything after it; a publish is
 * one untorn 8-byte store.
 */
#ifndef GM_STORE_MEDIA_H
#define GM_STORE_MEDIA_H

#include <stdint.h>

struct media;

struct media_ops {
	void (*copy)(struct media *m, uint64_t offset, const void *from, uint64_t length);
	void (*fence)(struct media *m);
	void (*publish)(struct media *m, uint64_t offset,
		uint64_t value); /* offset % 8 == 0; stored little-endian */
};

struct media {
	const struct media_ops *ops;
	uint8_t *base; /* the metadata area, mapped; not owned */
	uint64_t size; /* bytes that are mapped */
};

/*
 * Memory that survives as it is seen by other processors: tmpfs, hugetlbfs, page cache, reserved
 * RAM through a kexec. Fences order; nothing is written back.
 */
extern const struct media_ops media_memory_ops;

static inline void media_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	m->ops->copy(m, offset, from, length);
}

static inline void media_fence(struct media *m)
{
	m->ops->fence(m);
}

static inline void media_publish(struct media *m, uint64_t offset, uint64_t value)
{
	m->ops->publish(m, offset, value);
}

#endif
