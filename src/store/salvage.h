/* SPDX-License-Identifier: MIT */
/*
 * Making a pool usable again whose metadata are damaged beyond what recovery takes. Two steps, and
 * neither writes: salvage_find_super() says where the metadata are, salvage_new() what is left of
 * them and what a repair would make of it, which has by then been tried on a copy and found clean.
 * Then salvage_write() stores it, in an order in which a crash at any place leaves what the same
 * repair works on again.
 *
 * Nothing outside the metadata area is read or written. docs/repair.md has the rules.
 */
#ifndef GM_STORE_SALVAGE_H
#define GM_STORE_SALVAGE_H

#include "store/store.h"

/* ---- what is told ---- */

struct salvage_note {
	bool lost;  /* else: was kept, or put right */
	bool stays; /* it was done to the bytes: a try that is made again does not find it again */
	uint64_t ino;   /* that it is about, for its path; 0: none */
	char text[480]; /* one sentence */
};

struct salvage_report {
	struct salvage_note *notes;
	size_t count;
	size_t capacity;
	uint64_t kept; /* of all notes, also of those for which there was no room */
	uint64_t lost;
};

void salvage_note(struct salvage_report *r, bool lost, uint64_t ino, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void salvage_report_deinit(struct salvage_report *r);

/* ---- the pool ---- */

/* Behind the first block checkpoints are looked for at the start of every STEP, and no more than
 * BYTES of it are read. */
#define SALVAGE_LOOK_STEP  (64ULL << 10)
#define SALVAGE_LOOK_BYTES 4096U

/*
 * area: region 0 from its start; for salvage_find_super() as much as may be looked through, for
 * salvage_new() the metadata area. stamps: as in struct fsck_input.
 */
struct salvage_input {
	const uint8_t *area;
	uint64_t area_bytes;
	uint32_t region_count;
	const struct store_region *regions; /* as they are now */
	const struct gm_stamp *const *stamps;
	uint64_t max_files; /* as at the format, where a superblock has to be made anew; 0: not told
			     */
	uint8_t boot_id[16];
	int64_t now; /* seconds since 1970 */
};

/* How long the metadata area is as whole stamps say, or max_files, if both superblocks are lost; 0:
 * nothing says. Blocks; the area is not looked at. */
uint64_t salvage_look_blocks(const struct salvage_input *in);

/*
 * The superblock: one of the copies, one of them put right, or one made anew from what else is
 * there; *anew says that both copies must be written. Errors with a sentence: those of
 * store_read_super() where nothing of a pool is found; -EPROTONOSUPPORT; -EUCLEAN the pool is not
 * one of these regions; -EINVAL what can't be derived must be told (max_files).
 */
int salvage_find_super(struct store_super *ret, bool *anew, const struct salvage_input *in,
	struct salvage_report *report, struct problem *why);

struct salvage;

/*
 * What can be kept. -EUCLEAN with a sentence if nothing can, or if what there is would not make a
 * clean pool; -ENOMEM. report gets what was kept and lost, super_anew is salvage_find_super()'s.
 */
int salvage_new(struct salvage **ret, const struct salvage_input *in,
	const struct store_super *super, bool super_anew, struct salvage_report *report,
	struct problem *why);
struct salvage *salvage_free(struct salvage *s); /* NULL is fine; returns NULL */

/* True if there is anything to write. */
bool salvage_is_needed(const struct salvage *s);

/* The succession token that the metadata have, for stamps that are made anew. */
const uint8_t *salvage_token(const struct salvage *s);

/* Can't fail. media is the whole metadata area. */
void salvage_write(struct salvage *s, struct media *media);

#endif
