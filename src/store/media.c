// SPDX-License-Identifier: MIT
/* Media operations for memory that is mapped: plain stores, fences, and write-back where it counts.
 */
#include "store/media.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

static void memory_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	assert(offset <= m->size && length <= m->size - offset);
	memcpy(m->base + offset, from, length);
}

static void memory_flush(struct media *m, uint64_t offset, uint64_t length)
{
	if (m->write_back)
		m->write_back(m->base + offset, length);
}

/* On x86 a locked instruction or MFENCE: either one also ends what was written back before. */
static void memory_fence(struct media *m)
{
	(void)m;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void memory_publish(struct media *m, uint64_t offset, uint64_t value)
{
	assert(offset % 8 == 0 && offset <= m->size - 8);
	__atomic_store_n((uint64_t *)(void *)(m->base + offset), htole64(value), __ATOMIC_RELEASE);
}

const struct media_ops media_memory_ops = {
	.copy = memory_copy,
	.flush = memory_flush,
	.fence = memory_fence,
	.publish = memory_publish,
};
