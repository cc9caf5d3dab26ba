/* SPDX-License-Identifier: MIT */
/*
 * Golden images: pools as released versions of the format have written them. Every later version
 * must read them, or refuse them clearly. make.c made them, once; they are never made anew for a
 * version that is out. NAME.img.gz is the first region's metadata area and its last block,
 * NAME.1.img.gz the second region's first and last block, NAME.listing what recovery must find.
 */
#ifndef GM_TESTS_GOLDEN_GOLDEN_H
#define GM_TESTS_GOLDEN_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../crash/image.h"

struct golden {
	const char *name;
	unsigned shape;     /* enum world_shape */
	bool two_files;     /* two regions that are ordinary files */
	bool cut_short;     /* the last checkpoint was being published */
	const char *script; /* tests/crash/world.h */
};

extern const struct golden golden_images[];
extern const size_t golden_image_count;

/* ---- changing an image, its checksums made good again ---- */

void edit_bytes(struct image *i, uint64_t offset, const void *from, size_t length);
void edit_u16(struct image *i, uint64_t offset, uint16_t value);
void edit_u32(struct image *i, uint64_t offset, uint32_t value);
void edit_u64(struct image *i, uint64_t offset, uint64_t value);

/* The first copy is sealed, and copied to the second one. */
void edit_seal_super(struct image *i);

/* Where the checkpoint in force begins, and one of its sections (by type; 0 if it is empty). */
uint64_t edit_checkpoint(const struct image *i);
uint64_t edit_section(const struct image *i, unsigned type);
void edit_seal_checkpoint(struct image *i); /* the sections' checksums, then the header's */

/* The place of the first item of a type in the journal, and of the record that it is in; 0: none.
 */
uint64_t edit_find_item(const struct image *i, unsigned type, uint64_t *record);
/* True if a record of this type is there. */
bool edit_has_record(const struct image *i, unsigned type);

void edit_seal_record(struct image *i, uint64_t record);

#endif
