/* SPDX-License-Identifier: MIT */
/*
 * A pool that is made by a script (tests/crash/world.h), damaged, and repaired; and what must hold
 * of it then, whatever the damage: judged by the independent reader (tests/crash/reader.h).
 */
#ifndef GM_TESTS_REPAIR_FIXTURE_H
#define GM_TESTS_REPAIR_FIXTURE_H

#include "../crash/reader.h"
#include "../crash/world.h"
#include "store/salvage.h"

struct scene {
	uint8_t *area; /* as it was before any damage */
	uint64_t size;
	struct store_region regions[VIEW_REGIONS];
	struct store_super super;
	struct gm_stamp stamps[2 * VIEW_REGIONS];
	const struct gm_stamp *stamp_pointers[2 * VIEW_REGIONS];
	struct reading before;
	uint64_t max_files; /* as an operator would say it again; 0: not at all */
	uint8_t boot_id[16];
	unsigned short chance[3];
	bool forgets_blocks; /* what is damaged says with good checksums whose blocks are whose */

	uint8_t *damaged; /* what the next repair works on */
	int error;        /* of the last one */
	bool needed;
	struct problem why;
	struct salvage_report report;
	struct reading after;
};

void scene_init(struct scene *s, enum world_shape shape, const char *script);
void scene_deinit(struct scene *s);

/* A number from 0 to n - 1, of a sequence that GM_SEED chooses; without it always the same. */
uint32_t scene_chance(struct scene *s, uint32_t n);

/* Copies what was before into `damaged`. */
void scene_restore(struct scene *s);

/* Finds the superblock of what is damaged; nothing is written. */
int scene_find_super(struct scene *s, struct store_super *ret);

/* Looks at what is damaged, and repairs it in place. media: NULL, or what the stores go through
 * instead; its base is `damaged`. */
void scene_repair(struct scene *s, struct media *media);

/*
 * What holds after every repair: it was refused with a sentence and nothing has changed, or
 * recovery, fsck and the reader take the pool, a second repair has nothing to do, and no block that
 * a file had is free. False, after saying what is wrong (what: the damage).
 */
bool scene_is_sound(struct scene *s, const char *what);

/* The state is what it was before the damage. */
bool scene_is_as_before(struct scene *s, const char *what);

/* True if a sentence of the last report, kept or lost, has the text in it. */
bool scene_says(const struct scene *s, bool lost, const char *text);

/* Damages the journal's first record: nothing of it is left. Then repairs, and it is sound. */
void scene_tear_journal(struct scene *s);
void scene_repair_torn(struct scene *s);

/* NULL: there is none. */
const struct view_entry *scene_find_entry(const struct view *v, const char *name);
const struct gm_inode *scene_find_inode(const struct view *v, uint64_t ino);

/* The section of the checkpoint in force, in `area`. */
uint64_t scene_find_section(const struct scene *s, enum gm_section_type type, uint64_t *count);
uint64_t scene_find_slot(const struct scene *s); /* offset of its header */

/* An entry of it, in `damaged`; it is there. */
struct gm_dirent *scene_find_dirent(struct scene *s, const char *name);

/* Makes the checksums of the checkpoint in force of `damaged` good, as a faulty writer would. */
void scene_seal(struct scene *s);

#endif
