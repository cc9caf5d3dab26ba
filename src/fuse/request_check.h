/* SPDX-License-Identifier: MIT */
/*
 * Whether bytes that another process has left can be a request of the kernel: libfuse takes its
 * requests apart without looking at their length, since they come from the kernel.
 */
#ifndef GM_FUSE_REQUEST_CHECK_H
#define GM_FUSE_REQUEST_CHECK_H

#include <stdbool.h>
#include <stddef.h>

struct fuse_in_header;

/* True if all that libfuse reads of a request of this kind lies within its length, which is room at
 * the most. */
bool request_is_sound(const struct fuse_in_header *request, size_t room);

#endif
