/* SPDX-License-Identifier: MIT */
/*
 * Between the supervisor and the keeper, which holds a copy of each descriptor that the supervisor has, and gives
 * them to the next one. SOCK_SEQPACKET, one message a packet; integers little-endian. Both are of one user, and each
 * makes sure of it: what comes from the other is the truth. docs/protocol.md describes it.
 */
#ifndef GM_PROTO_KEEPER_H
#define GM_PROTO_KEEPER_H

#include <assert.h>
#include <stdint.h>

#include "guestmemfs/types.h"

#define KEEPER_VERSION 1U

/* What is kept, each with its descriptors in one message, so that it is whole or what it was before. */
enum keeper_slot {
	/* The instance, as long as it lives: record, control and grant socket, runtime directory, the keeper's own
	 * socket, then the regions. value: how many regions. */
	KEEPER_INSTANCE,
	/* The connection to the kernel and its runtime table; none while it is made anew. value: the mount's device. */
	KEEPER_CONNECTION,
	/* A child: link, pidfd, program; the program alone while there is no process. value: KEEPER_CHILD(). */
	KEEPER_WORKER,
	KEEPER_HELPER,
	KEEPER_SLOTS,
};

#define KEEPER_INSTANCE_FDS 5U /* before the regions */
enum keeper_instance_fd {
	KEEPER_RECORD,
	KEEPER_CONTROL,
	KEEPER_GRANTS,
	KEEPER_DIRECTORY,
	KEEPER_SOCKET,
};

#define KEEPER_CHILD_SERVES (1ULL << 32)
#define KEEPER_CHILD(pid, serves) ((uint64_t)(uint32_t)(pid) | ((serves) ? KEEPER_CHILD_SERVES : 0))

enum keeper_opcode {
	/* supervisor -> keeper */
	KEEPER_KEEP = 1, /* with descriptors: what is in the slot from now on; no answer */
	KEEPER_LOOK = 3, /* value: KEEPER_VERSION -> KEPT of INSTANCE with its record alone, END */
	KEEPER_TAKE = 5, /* value: KEEPER_VERSION -> KEPT of each slot, END; from then on who asked is the supervisor */
	/* To one that has just been started: it is the keeper from now on. One that has not been told ends with its
	 * supervisor. Its predecessor may say it in the supervisor's name. */
	KEEPER_CHARGE = 7,
	KEEPER_ASK = 9,	   /* -> READY, when all that came before it is kept */
	KEEPER_YIELD = 11, /* with the supervisor's end of the link to another keeper: tell that one CHARGE, and end */
	/* keeper -> supervisor */
	KEEPER_KEPT = 2,
	KEEPER_END = 4,	    /* value: of LOOK, the supervisor's pid, 0: none; of TAKE, the keeper's, with its pidfd */
	KEEPER_REFUSED = 6, /* value: the supervisor's pid; 0: there is none, but the version is another */
	KEEPER_READY = 8,   /* value: KEEPER_VERSION */
};

struct keeper_message {
	gm_le32 size;
	gm_le16 opcode;
	gm_le16 slot; /* KEEP, KEPT; else 0 */
	gm_le64 value;
};
static_assert(sizeof(struct keeper_message) == 16, "keeper");

#endif
