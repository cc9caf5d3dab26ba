/* SPDX-License-Identifier: MIT */
/*
 * An independent reader of the media: written from docs/format.md, with the public header of the
 * format and nothing of src/ but the conversion of integers. It says what the metadata are, or why
 * they are none. It is slow and simple: arrays, searched from end to end, and one entry for each
 * block.
 */
#ifndef GM_TESTS_CRASH_READER_H
#define GM_TESTS_CRASH_READER_H

#include "view.h"

struct reading {
	struct view view;
	uint64_t unique; /* of the last change that a request asked for; 0: none */
	uint64_t records;
	char why[256]; /* why it is refused */
};

/* area: the metadata area. False: refused, with the reason in ret->why. */
bool reader_read(struct reading *ret, const uint8_t *area, uint64_t size);

#endif
