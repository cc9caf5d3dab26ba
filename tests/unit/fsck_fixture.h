/* SPDX-License-Identifier: MIT */
/*
 * Trees that are damaged on purpose: the image in force is changed and its checksums are made good,
 * as a faulty writer would.
 */
#ifndef GM_TESTS_FSCK_FIXTURE_H
#define GM_TESTS_FSCK_FIXTURE_H

#include "store/checkpoint.h"
#include "store/fsck.h"
#include "store_fixture.h"

/*
 * A tree with a directory, three files with blocks and an unlinked one, all
 * of it in the checkpoint. Three attributes: two of a (inode 3), one of b.
 */
void fsck_make_tree(struct fixture *f);

/* As fsck_make_tree(), and in it symlinks l (inode 7) and m (8), a device (9), and a second name of
 * b.
 */
void fsck_make_tree_of_links(struct fixture *f);

void fsck_check(struct fsck_report *r, const struct fixture *f);

/* Is there a finding with this code, and this in its text? */
bool fsck_found(const struct fsck_report *r, const char *code, const char *text);

struct tree_image {
	uint8_t *base;
	struct gm_checkpoint header;
};

struct tree_image image_open(struct fixture *f);
void image_seal(struct tree_image *i);

/* Where the records of a section lie, and how many there are; count may be NULL. */
void *image_section(struct tree_image *i, enum gm_section_type type, uint64_t *count);
struct gm_inode *image_inode(struct tree_image *i, uint64_t ino);

struct tree_damage {
	void (*make)(struct tree_image *);
	const char *code;
	const char *text; /* in what is said of it */
};

void fsck_expect_whole(const struct fixture *f);

/* Once it is made it is found by its name, and recovery refuses the image. */
void fsck_expect_damage(struct fixture *f, const struct tree_damage *d, size_t n);

#endif
