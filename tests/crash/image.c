// SPDX-License-Identifier: MIT
#include "image.h"

#include <stdio.h>
#include <stdlib.h>

void *image_grow(void *old, size_t count, size_t *capacity, size_t each)
{
	void *bigger = old;

	if (count > *capacity) {
		*capacity = count + count / 2 + 64;
		bigger = reallocarray(old, *capacity, each);
	}
	if (!bigger) {
		perror("out of memory");
		exit(1);
	}
	return bigger;
}

uint64_t image_mix(uint64_t a, uint64_t b)
{
	uint64_t h = a * 0x9e3779b97f4a7c15ULL ^ b;

	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ULL;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ULL;
	return h ^ h >> 32;
}

/* What a word adds to the hash: nothing if it is zero. */
static uint64_t share(uint64_t index, uint64_t word)
{
	return word ? image_mix(index + 1, word) : 0;
}

void image_init(struct image *i, uint64_t size)
{
	size_t none = 0;

	*i = (struct image){.size = size};
	i->words = image_grow(NULL, size / 8, &none, 8);
	for (uint64_t n = 0; n < size / 8; n++)
		i->words[n] = 0;
}

void image_deinit(struct image *i)
{
	free(i->words);
	free(i->undo);
}

static void set_word(struct image *i, uint64_t index, uint64_t word)
{
	i->hash += share(index, word) - share(index, i->words[index]);
	i->words[index] = word;
}

void image_store(struct image *i, uint64_t offset, uint64_t word)
{
	uint64_t index = offset / 8;

	if (i->words[index] == word)
		return;
	i->undo = image_grow(i->undo, i->undo_count + 1, &i->undo_capacity, sizeof(*i->undo));
	i->undo[i->undo_count++] = (struct image_undo){.index = index, .word = i->words[index]};
	set_word(i, index, word);
}

size_t image_mark(const struct image *i)
{
	return i->undo_count;
}

void image_rollback(struct image *i, size_t mark)
{
	while (i->undo_count > mark) {
		const struct image_undo *u = &i->undo[--i->undo_count];

		set_word(i, u->index, u->word);
	}
}
