/* SPDX-License-Identifier: MIT */
/* What the files of the salvage share. */
#ifndef GM_STORE_SALVAGE_INTERNAL_H
#define GM_STORE_SALVAGE_INTERNAL_H

#include "store/checkpoint.h"
#include "store/codec.h"
#include "store/journal.h"
#include "store/salvage.h"

/* A run of blocks, or of units, that a record names which could not be replayed. */
struct salvage_claim {
	uint64_t ino;
	bool units;
	struct file_extent extent;
};

struct salvage {
	const struct salvage_input *in;
	struct salvage_report *report;
	struct store_super super;
	bool super_anew; /* both copies are to be written */
	bool whole;      /* recovery takes what the superblock leads to */
	uint8_t *area;   /* a copy, in which single bits are put right */
	struct meta meta;
	uint8_t token[16]; /* also where the rest is whole */

	/* the base: the checkpoint that is built on */
	struct checkpoint_damaged base;
	unsigned slot;
	bool base_whole; /* every section of it; after loading, also that nothing in it was refused
			  */
	bool loading;
	char contradiction[200]; /* of the record at which a first try has ended; "": none */
	uint64_t newest;         /* the highest generation that was seen */
	struct journal_position journal;
	uint64_t journal_end; /* bytes */
	bool journal_exact;   /* that is where it ends; else it is where it may end */
	uint64_t later; /* generation of records that can't be replayed on the base; 0: none */
	struct gm_result result;
	uint64_t sequence; /* the highest that was seen */

	/* what is lost */
	bool unsure; /* who may reach what is not known */
	bool moved;  /* blocks may have changed hands without anything that tells of it */
	bool clean_lost;
	bool pieces_lost;
	uint8_t *named[GM_REGIONS_MAX]; /* of each block: how many extents have it; see below */
	struct salvage_claim *claims;
	size_t claim_count;
	size_t claim_capacity;
	uint64_t lost_and_found; /* its inode; 0: not there yet */

	uint8_t *item; /* scratch for one item */
	struct checkpoint_order order;
};

/* In `named`: a block that is marked so is nobody's to give out. From 2 on it has more owners than
 * one. */
#define SALVAGE_NAMED_MAX 2U

/* ---- salvage_report.c ---- */

#define salvage_kept(s, ino, ...) salvage_note((s)->report, false, (ino), __VA_ARGS__)
#define salvage_lost(s, ino, ...) salvage_note((s)->report, true, (ino), __VA_ARGS__)

/* What it tells was done to the copy, and is not done again. */
void salvage_note_mended(struct salvage_report *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Forgets the notes behind these many, of a try that is made again; but for those that stay. */
void salvage_report_cut(struct salvage_report *r, const struct salvage_report *mark);

/* Puts the path of its inode behind each sentence from `from` on. */
void salvage_report_paths(struct salvage_report *r, size_t from, const struct meta *m);

/* ---- salvage_mend.c: a single bit that has turned is found by trying all ---- */

/* True if the structure (its last 8 bytes are its checksum) is whole, or is so with one bit turned
 * back, which is done; *bit says which, or -1. */
bool salvage_mend_sealed(uint8_t *structure, size_t size, int64_t *bit);

/* The same of bytes with a checksum elsewhere; only short ones are tried. */
bool salvage_mend_bytes(uint8_t *bytes, uint64_t length, uint64_t checksum, int64_t *bit);

/* The same of a journal record. */
bool salvage_mend_record(
	uint8_t *bytes, uint64_t room, const struct journal_position *p, int64_t *bit);

/* ---- salvage_base.c ---- */

/* Chooses the checkpoint to build on and the part of the journal that belongs to it. */
int salvage_choose_base(struct salvage *s, struct problem *why);

/* ---- salvage_item.c ---- */

/* One object. -EUCLEAN: it contradicts what is there, nothing has changed; -ENOMEM. */
int salvage_put(struct salvage *s, enum gm_item_type type, const void *payload, size_t length,
	struct problem *why);
int salvage_take_item(
	struct salvage *s, const struct gm_item *item, size_t room, struct problem *why);

/* All items of a change of our own, which is freed. */
int salvage_apply(struct salvage *s, struct txn *t, struct problem *why);

/* An inode for one whose record is lost: the root's owner's, for nobody else. */
int salvage_make_inode(struct salvage *s, uint64_t ino, uint32_t mode, uint64_t size,
	uint64_t flags, struct problem *why);

/* Marks data blocks as named; what lies outside is left out. */
void salvage_name_blocks(struct salvage *s, const struct file_extent *e);

/* ---- salvage_inodes.c ---- */

int salvage_load_inodes(struct salvage *s, struct problem *why);

/* An inode for each number that was given and that something names; what they were is told lost. */
int salvage_make_named(struct salvage *s, struct problem *why);

/* The entry that begins at *at or, in a damaged section, behind it. */
bool salvage_next_dirent(
	const struct checkpoint_section *section, uint64_t *at, struct codec_dirent *d);

/* ---- salvage_maps.c ---- */

int salvage_load_maps(struct salvage *s);

/* Once the checkpoint is loaded: of all that is named, what nobody has stays so. */
void salvage_name_unowned(struct salvage *s);

/* ---- salvage_image.c ---- */

/* Every object of the base that fits those before it becomes part of meta; the rest is told. */
int salvage_load_image(struct salvage *s, struct problem *why);

/* ---- salvage_journal.c ---- */

/* Replays at most `limit` records. -EAGAIN: the record behind *replayed others failed half way, so
 * all must be done again with that as the limit. */
int salvage_replay(struct salvage *s, uint64_t limit, uint64_t *replayed, struct problem *why);

/* ---- salvage_tree.c ---- */

/* Names, links and parents agree; what has no name gets one in lost+found. */
int salvage_mend_tree(struct salvage *s, struct problem *why);

/* Gives the inode a name in lost+found: `name`, or with a number behind it if that is taken. */
int salvage_add_found(struct salvage *s, uint64_t ino, const char *name, struct problem *why);

/* ---- salvage_blocks.c ---- */

/* Blocks and units that something names and nobody has any more come into files in lost+found;
 * what may be reached unseen goes out of use. */
int salvage_keep_blocks(struct salvage *s, struct problem *why);
int salvage_keep_units(struct salvage *s, struct problem *why);

/* After all others: nothing that is in use is zeroed, nothing that may be is given out. */
int salvage_be_careful(struct salvage *s, struct problem *why);

/* ---- salvage_close.c ---- */

/* Files that may show others' bytes become the root's owner's alone. */
int salvage_close_files(struct salvage *s, struct problem *why);

#endif
