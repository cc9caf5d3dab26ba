/* SPDX-License-Identifier: MIT */
/* What the worker's parts share: scene_worker.c speaks, scene_worker_hear.c hears,
 * scene_worker_lie.c lies. */
#ifndef GM_TESTS_FUZZ_SCENE_WORKER_H
#define GM_TESTS_FUZZ_SCENE_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/link.h"
#include "scene.h"

#define FILES   6U
#define EXTENTS 3U
#define ASKS    64U
#define REDEEMS 32U

struct told {
	uint64_t epoch; /* 0: not held */
	bool exported;
	bool inherited; /* from a removed file, and granted to nobody since */
	bool spare;     /* the helper has said on this link that it may be handed over */
	unsigned count;
	struct gm_extent extents[EXTENTS];
};

struct question {
	unsigned opcode; /* 0: the place is free */
	uint64_t id;
	uint64_t ino;    /* CHECK */
	uint32_t region; /* SCRUB, ZERO */
	uint64_t block;
	uint64_t count;
};

/* What a worker that keeps to the protocol knows of a block. */
struct worker_block {
	unsigned file; /* and one more; 0: it is nobody's */
	bool dirty;    /* to be scrubbed before anybody is granted it */
	unsigned zeroings;
};

struct scene_worker {
	int supervisor, helper; /* both ends of one link; the helper's is given away */
	int link;
	bool ready;
	bool lost;
	unsigned followers; /* that have been tried at the end */
	bool deaf;          /* it reads nothing for a while */
	bool reads_late;    /* or has done so on this link */
	struct {
		unsigned after; /* the message that so many make up, this one too; 0: none */
		uint8_t at, value;
	} tamper;
	struct {
		uint64_t first, end; /* what CONFIG has called data: the first that was taken */
	} data[SCENE_REGIONS];
	bool configured;         /* one was */
	bool lies;               /* what it says just now is none of its own */
	uint64_t granted[FILES]; /* the number of the last GRANT on this link; of a lie, one more */
	uint64_t announced;      /* extents still to come on this link, as the helper knows it */
	uint64_t epoch;
	uint64_t last_id;
	struct told files[FILES]; /* inode 2 and on */
	struct worker_block blocks[SCENE_REGIONS][SCENE_BLOCKS];
	struct question asks[ASKS];
	uint64_t redeems[REDEEMS]; /* 0: the place is free */
};

extern struct scene_worker worker;

/* Fills the header and sends, if there is a link. */
void say(void *message, size_t size, unsigned opcode, uint64_t id);

/* It is on its way, as it is. */
void worker_note_said(const void *message, size_t size);

/* Makes another one of it, if that is so ordered. */
void worker_tamper(void *message, size_t size);

/* Says to the helper, as the supervisor: what it may say, or with how >= 128 anything. */
void supervisor_say(uint8_t how, struct bytes *b);

/* From the supervisor, a new link, on which the worker begins; and the end of one. */
void connect_link(void);
void forget_link(void);

/* Nobody reaches the file any more; what it had is dirty. */
void drop_file(unsigned file);

/* The place of the ticket with this id; 0: a free one. NULL: there is none. */
uint64_t *find_redeem(uint64_t id);
uint64_t first_redeem(void); /* 0: none is open */

/* The order has come to its end; clean: it was scrubbed. */
void end_zeroing(const struct question *q, bool clean);

#endif
