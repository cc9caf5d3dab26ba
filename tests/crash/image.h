/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a metadata area at one moment. Words of 8 bytes are stored one by one; each store
 * can be taken back, and a hash of the whole is always at hand, so that a crash state costs no more
 * than the words in which it differs.
 */
#ifndef GM_TESTS_CRASH_IMAGE_H
#define GM_TESTS_CRASH_IMAGE_H

#include <stddef.h>
#include <stdint.h>

struct image {
	uint64_t *words; /* as they stand on the media */
	uint64_t size;   /* bytes */
	uint64_t hash;   /* the same for the same bytes; 0 when all is zero */
	struct image_undo {
		uint64_t index;
		uint64_t word;
	} * undo;
	size_t undo_count;
	size_t undo_capacity;
};

void image_init(struct image *i, uint64_t size); /* all zero */
void image_deinit(struct image *i);

/* offset is a multiple of 8. */
void image_store(struct image *i, uint64_t offset, uint64_t word);

/* Takes back every store since image_mark() gave this mark. */
size_t image_mark(const struct image *i);
void image_rollback(struct image *i, size_t mark);

/* A mixing of two numbers that spreads every bit of both. */
uint64_t image_mix(uint64_t a, uint64_t b);

/* Memory for a test: there is no going on without it. */
void *image_grow(void *old, size_t count, size_t *capacity, size_t each);

#endif
