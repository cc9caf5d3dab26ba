/* SPDX-License-Identifier: MIT */
/*
 * Zeroing of region memory. A page that can't be had (a file that was cut short, a medium or memory
 * error) is SIGBUS; here it becomes an error, so that one bad block does not end the helper.
 */
#ifndef GM_HELPER_SCRUB_H
#define GM_HELPER_SCRUB_H

#include <stddef.h>

#include "util/write_back.h"

/*
 * Installs the process's SIGBUS handler; a SIGBUS outside of this module stays deadly.
 * Once, before any thread.
 */
int scrub_init(void);

/*
 * Writes zeros past the cache, then a fence: when it returns, every other processor sees them. p
 * and size are multiples of 64. 0 or -EIO.
 */
int scrub_stream(void *p, size_t size);

/* The same for a piece of any size and place, through the cache; write_back: NULL where that is
 * enough. What went past the cache needs none. */
int scrub_piece(void *p, size_t size, write_back_fn *write_back);

#endif
