/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints: the whole metadata as one image in one of the two slots. Writing touches the slot
 * that is not in force and nothing else; naming it is the store's business.
 */
#ifndef GM_STORE_CHECKPOINT_H
#define GM_STORE_CHECKPOINT_H

#include "store/store.h"

struct checkpoint_info {
	uint64_t generation;
	uint64_t sequence; /* of the last record in it */
	unsigned slot;
	struct gm_result result; /* unique 0: none */
};

/* Memory for ordering the inodes, taken before a change so that writing can't fail after it. */
struct checkpoint_order {
	struct checkpoint_place *places;
	uint64_t capacity;
};

int checkpoint_order_reserve(struct checkpoint_order *o, uint64_t inodes); /* 0 or -ENOMEM */
void checkpoint_order_deinit(struct checkpoint_order *o);

/*
 * Writes and fences the image. It must fit the slot (meta_image_bytes()), the order must have room.
 */
void checkpoint_write(struct media *media, const struct store_super *super, const struct meta *m,
	const struct checkpoint_info *info, struct checkpoint_order *o);

/*
 * Loads the image of info->slot and info->generation into m, which is empty but for its
 * allocator, and fills the rest of info. -EUCLEAN with a sentence that names slot,
 * section and record; -ENOMEM.
 */
int checkpoint_load(struct meta *m, const struct media *media, const struct store_super *super,
	struct checkpoint_info *info, struct problem *why);

/*
 * A section's bytes, after header and section table have been checked. For loading and for fsck.
 */
struct checkpoint_section {
	const uint8_t *bytes;
	uint64_t length;
	uint64_t count;
};

/* Indexed by type; [0] is unused, and one that is not there (bytes NULL) has no records. */
#define CHECKPOINT_SECTIONS (GM_SECTION_PIECES + 1)

/* -EUCLEAN with a sentence: it is not whole, or not of this generation. */
int checkpoint_open(struct checkpoint_section sections[CHECKPOINT_SECTIONS],
	struct gm_checkpoint *header, const uint8_t *image, const struct store_super *super,
	uint64_t generation, struct problem *why);

/*
 * The same of an image that is damaged: its header must be whole, and says of which generation it
 * is. A section that does not lie where one may is left out; one whose checksum is wrong is there,
 * and not whole. -EUCLEAN with a sentence.
 */
struct checkpoint_damaged {
	const uint8_t *image;
	struct gm_checkpoint header;
	struct checkpoint_section sections[CHECKPOINT_SECTIONS];
	uint64_t checksum[CHECKPOINT_SECTIONS]; /* that it should have */
	bool whole[CHECKPOINT_SECTIONS];        /* true of one that need not be there and is not */
};

int checkpoint_open_damaged(struct checkpoint_damaged *ret, const uint8_t *image,
	const struct store_super *super, struct problem *why);

/* "inodes", "entries", ... */
const char *checkpoint_section_name(unsigned type);

#endif
