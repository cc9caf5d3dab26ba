/* SPDX-License-Identifier: MIT */
/* What both halves of the helper's side share: rig_helper.c hears, rig_helper_say.c says. */
#ifndef GM_TESTS_FUZZ_RIG_HELPER_H
#define GM_TESTS_FUZZ_RIG_HELPER_H

#include <stdbool.h>
#include <stdint.h>

#include "guestmemfs/protocol.h"
#include "proto/link.h"

#define ASKS_MAX 256U
#define TICKETS  8U

#define EARLY_MAX 512U /* more than the socket holds */

#define REDEEMS_MAX 128U /* clients at a time: the others of asks are the worker's */

struct ask {             /* a question of the worker's, or a ticket of ours that it has */
	unsigned opcode; /* 0: the place is free; LINK_REDEEM: ours */
	uint64_t id;
	uint64_t ino;
	uint64_t epoch;
	uint64_t block;
	uint64_t count;
	uint32_t region;
	uint32_t flags;
};

/* What is open between the two. */
struct rig_side {
	int fd; /* -1: there is no link */
	bool owes_ready;
	struct {
		unsigned after; /* the message that so many make up, this one too; 0: none */
		uint8_t at, value;
	} tamper;
	uint64_t last_id;
	struct ask asks[ASKS_MAX];
	struct early {
		uint64_t number; /* 0: the place is free */
		uint64_t epoch;
	} early[EARLY_MAX];
	unsigned early_count;
	struct ask pending; /* its extents are coming */
	bool pending_is_free;
	uint64_t extents_left;
	struct gm_extent contents[LINK_EXTENTS_MAX]; /* of the last CONTENTS */
	unsigned contents_count;
	struct gm_ticket tickets[TICKETS];
	unsigned ticket_count;
};

extern struct rig_side side;

void note_ask(const struct ask *a);

/* What is said of something that the worker may have sent, and that is not read yet: an order is
 * done (epoch 0), or an inode is free. */
void note_early(uint64_t number, uint64_t epoch);

/* NULL: it is not open. */
struct ask *find_ask(unsigned opcode, uint64_t id);

#endif
