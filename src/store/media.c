// SPDX-License-Identifier: MIT
/* Media operations for memory that other processors see as it is: plain stores and fences. */
#include "store/media.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

static void memory_copy(struct media *m, uint64_t offset, const void *from, uint64_t length)
{
	assert(offset <= m->size && length <= m->size - offset);
	memcpy(m->base + offset, from, length);
}

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
	.fence = memory_fence,
	.publish = memory_publish,
};
