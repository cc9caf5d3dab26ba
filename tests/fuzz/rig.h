/* SPDX-License-Identifier: MIT */
/*
 * The worker without its processes: a pool in memory, the namespace, the operations behind a FUSE
 * session, tickets, grants and the content store, with the target as kernel, helper and clock. What
 * it is asked and what it answers is checked here: each request gets one answer, and the helper's
 * record (rig_helper.c) is contradicted by nothing. There is one of each for the process; the pools
 * are made once and taken back to what they were for each input.
 */
#ifndef GM_TESTS_FUZZ_RIG_H
#define GM_TESTS_FUZZ_RIG_H

#include "../crash/reader.h"
#include "../crash/world.h"
#include "bytes.h"
#include "fuse/grants.h"
#include "fuse/ops.h"
#include "fuse/status.h"
#include "fuse/tickets.h"
#include "fuse/worker_contents.h"
#include "pool/pool.h"

#define RIG_REQUESTS 256U /* of one input, half of them for rig_kernel_quieten() */
#define RIG_INODES   64U  /* numbers that the kernel has heard of */

struct rig_request {
	uint32_t opcode;
	unsigned replies;
	int error;
	bool refused; /* its reply, by the kernel */
	void *bytes;  /* owned; a worker may look at them until it has answered */
};

struct rig {
	const struct rig_pool *pool; /* the one that the input has chosen */
	uint8_t boot_id[16];
	struct store_super super;
	struct store *store;
	struct namespace ns;
	struct tickets *tickets;
	struct grants *grants;
	struct worker_contents contents;
	struct ops ops;
	struct status status;
	struct control *control; /* NULL, but for who makes one */

	uint64_t first_mount; /* of the kernel's connection */
	bool after_panic;     /* all in a kernel that dumps the one before */
	bool has_helper;
	bool yields;      /* to the next worker */
	int refuse_reply; /* an errno by which the kernel takes no reply to OPEN, CREATE or READ */
	struct store_result last; /* of the worker before this one */
	bool given_up;            /* a link, for what was said on it */

	bool lied_to; /* over this link: what the worker has asked may have been "answered" before
		       */

	/* the kernel */
	struct fuse_session *session;
	unsigned request_count, request_limit;
	struct rig_request requests[RIG_REQUESTS];
	uint64_t inodes[RIG_INODES]; /* the root is the first */
	unsigned inode_count;
};

extern struct rig rig;

/* Something is as it must never be: says so and aborts. */
_Noreturn void rig_die(const char *what, const char *why);

/* Begins an input on one of the pools. There is no helper yet. */
void rig_begin(unsigned shape);

/* The worker dies, and the next one begins; under another kernel if new_boot. */
void rig_restart(bool new_boot);

/* Clients' new tickets are the next worker's from now on. */
void rig_yield(void);

/* The worker has heard something of the helper. It may give up the link only if it was lied to. */
void rig_hear(void);

/* What the worker does after each event, before it waits for the next one. */
void rig_settle(void);

/* Time goes by, for the worker. */
void rig_pass(uint64_t milliseconds);

/* The helper answers all that the worker asks, until nobody waits any more. */
void rig_answer_everything(void);

/*
 * The end of an input: everything that anybody waits for is answered, what recovery and the reader
 * of tests/crash find on the media is what the worker had in memory, and fsck finds nothing.
 */
void rig_end(void);

/* ---- what outlives the worker (rig_runtime.c) ---- */

/* Another kernel, or another input. */
void rig_runtime_forget(void);

/* For a new worker: before its mount begins, and after; and at its end. */
void rig_runtime_adopt(void);
void rig_runtime_begin(void);
void rig_runtime_end(void);

/* The last request has been answered. */
void rig_runtime_note_reply(void);

/* Could its reply have been lost? Not if others have brought something about since: the worker that
 * died did nothing else between the change and its reply, and what was left unanswered comes before
 * all that the next one does. */
bool rig_runtime_may_ask_again(void);

/* ---- the kernel (rig_kernel.c, rig_requests.c) ---- */

/* Sends what a few bytes stand for. */
void rig_kernel_ask(struct bytes *b);

/* Asks the last one again that it has asked, as if its reply had never come; after a restart. */
void rig_kernel_ask_again(void);

/* The session with it, begun; its replies go into rig.requests. */
void rig_kernel_connect(void);
void rig_kernel_disconnect(void);

/* Has libfuse answer the interrupts that were for nothing: it does so with the next requests. */
void rig_kernel_quieten(void);

/* ---- the helper (rig_helper.c, rig_helper_say.c) ---- */

/* Makes a new link; the one before is gone. */
void rig_helper_connect(void);

/* Reads what the worker has sent, and notes it. */
void rig_helper_read(void);

/* Says something that it may say, as the bytes choose. */
void rig_helper_say(struct bytes *b);

/* Says what the bytes are, true or not. */
void rig_helper_lie(struct bytes *b);

/* Answers everything. False: there was nothing left to be answered. */
bool rig_helper_answer_all(void);

/* Is there something left for it to answer? */
bool rig_helper_is_asked(void);

/* Was a ticket redeemed without an answer? */
bool rig_helper_owes(void);

/* A client has got one. */
void rig_helper_take_ticket(const struct gm_ticket *t);

/* Of the memory itself. */
int rig_region_fd(unsigned region);

/* Another kernel: nothing is held any more. */
void rig_helper_forget(void);

#endif
