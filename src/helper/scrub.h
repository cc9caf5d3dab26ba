/* SPDX-License-Identifier: MIT */
/*
 * Zeroing of region memory. A page that can't be had is an error (util/sigbus.h), not the helper's
 * end.
 */
#ifndef GM_HELPER_SCRUB_H
#define GM_HELPER_SCRUB_H

#include <stddef.h>

#include "util/write_back.h"

/*
 * Writes zeros past the cache, then a fence: when it returns, every other processor sees them. p
 * and size are multiples of 64. 0 or -EIO.
 */
int scrub_stream(void *p, size_t size);

/* The same for a piece of any size and place, through the cache; write_back: NULL where that is
 * enough. What went past the cache needs none. */
int scrub_piece(void *p, size_t size, write_back_fn *write_back);

#endif
