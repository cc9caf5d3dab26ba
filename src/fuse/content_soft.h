/* SPDX-License-Identifier: MIT */
/*
 * The source of content memory (content_memory.h) on soft regions: the helper gives descriptors of
 * devices over the content store and nothing else (grants_fetch_contents()). Each is mapped and
 * closed as it comes, so that the worker has none in hand.
 *
 * What is mapped stays so: the content store does not shrink while its devices are there.
 */
#ifndef GM_FUSE_CONTENT_SOFT_H
#define GM_FUSE_CONTENT_SOFT_H

#include "fuse/content_memory.h"
#include "fuse/grants.h"

struct content_soft;

/* Both outlive it. -ENOMEM. */
int content_soft_new(struct content_soft **ret, const struct meta *meta, struct grants *grants);

/* When no content memory uses it any more. NULL is fine; returns NULL. */
struct content_soft *content_soft_free(struct content_soft *cs);

/* What to make the content memory with. */
struct content_source content_soft_source(struct content_soft *cs);

/* For grants_config.contents_part and contents_given; after the latter the caller calls
 * content_memory_arrived(). */
void content_soft_take_part(struct content_soft *cs, const struct grants_part *part, int fd);
void content_soft_take_given(struct content_soft *cs, int error);

#endif
