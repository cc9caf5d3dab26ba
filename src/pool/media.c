// SPDX-License-Identifier: MIT
/* The one place where a region's memory becomes media: whether stores must be written back to it is
 * the region's to say. */
#include "pool/internal.h"

struct media pool_media(const struct region *r, void *base, uint64_t size)
{
	return (struct media){
		.ops = &media_memory_ops, .base = base, .size = size, .write_back = r->write_back};
}
