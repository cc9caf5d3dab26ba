/* SPDX-License-Identifier: MIT */
/*
 * The source of content memory (content_memory.h) on soft regions: the helper gives descriptors of
 * devices over the content store and nothing else (grants_fetch_contents()). Each is mapped and
 * closed as it comes, so that the worker has none in hand; a question may bring more than is
 * missing, and then what is mapped stays as it is.
 */
#ifndef GM_FUSE_CONTENT_SOFT_H
#define GM_FUSE_CONTENT_SOFT_H

#include "fuse/content_memory.h"
#include "fuse/grants.h"

struct content_soft {
	const struct meta *meta; /* these three are not owned */
	struct grants *grants;
	struct content_memory *memory; /* which it is the source of */
	int error; /* what came of the last question; who waited for it is told once */
};

/* What to make the content memory with; `memory` is set then. */
struct content_source content_soft_source(struct content_soft *cs);

/* For grants_config.contents_part and contents_given; after the latter the caller calls
 * content_memory_arrived(). */
void content_soft_take_part(struct content_soft *cs, const struct grants_part *part, int fd);
void content_soft_take_given(struct content_soft *cs, int error);

#endif
