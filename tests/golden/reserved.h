/* SPDX-License-Identifier: MIT */
/*
 * What this version must refuse: every number that the format has set aside, every reserved byte
 * that is not zero, every feature that it does not know. An image that is whole is changed in one
 * place, its checksums made good again.
 */
#ifndef GM_TESTS_GOLDEN_RESERVED_H
#define GM_TESTS_GOLDEN_RESERVED_H

#include "golden.h"

/* The last ones that this version knows: what lies behind must be refused, and each of them must be
 * in some image. */
#define GOLDEN_SECTION_LAST GM_SECTION_PIECES
#define GOLDEN_ITEM_LAST    GM_ITEM_PIECE_REMOVED

struct reserved {
	const char *name;
	void (*edit)(struct image *i, uint64_t number);
	uint64_t first; /* the numbers that are refused, and two among them that are not */
	uint64_t last;
	int error;
	const char *phrase; /* in the sentence */
	uint64_t valid[2];
};

extern const struct reserved reserved_numbers[];
extern const size_t reserved_count;

/* Of the image "links". */
extern const struct reserved reserved_of_links[];
extern const size_t reserved_of_links_count;

/* Of the image "content". */
extern const struct reserved reserved_of_content[];
extern const size_t reserved_of_content_count;

#endif
