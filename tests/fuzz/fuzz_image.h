/* SPDX-License-Identifier: MIT */
/* What an input of the target `image` is made of; for who makes some (invent_image.c). */
#ifndef GM_TESTS_FUZZ_FUZZ_IMAGE_H
#define GM_TESTS_FUZZ_FUZZ_IMAGE_H

#include "../crash/view.h"

enum fuzz_place {
	PLACE_SUPERBLOCK,
	PLACE_HEADER,
	PLACE_SECTION_FIRST,
	PLACE_SECTION_LAST = PLACE_SECTION_FIRST + GM_SECTION_RESULTS - 1,
	PLACE_RECORDS,
	PLACE_WORDS,      /* the slot words: 8 bytes, of which the check is made good */
	PLACE_TAIL_AT,    /* the tail word: offset is the end, in its units */
	PLACE_RECORD,     /* the bytes are the items of one record more */
	PLACE_RAW,        /* whatever lies at 4 KiB times offset; its checksum is not made good */
	PLACE_POOL,       /* all is about another pool: the offset's; its edits come first */
	PLACE_MORE_FIRST, /* sections again */
	PLACE_MORE_LAST = PLACE_MORE_FIRST + GM_SECTION_PIECES - GM_SECTION_XATTRS,
	PLACE_COUNT,
};

#define FUZZ_IMAGE_POOLS 4U

/* The pool of this number as it is before any edit; it stays the target's. */
const struct view *fuzz_image_view(unsigned pool);

#endif
