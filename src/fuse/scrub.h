/* SPDX-License-Identifier: MIT */
/*
 * Orders to zero memory, as the worker gives them to the helper: which are outstanding, which comes
 * next, and what the journal learns when one is done. It decides nothing about grants.
 *
 * Few orders are outstanding at a time, so that one for a file that somebody waits for never stands
 * behind much else. Memory under an outstanding order may change its owner meanwhile, but must not
 * be granted: scrub_touches().
 */
#ifndef GM_FUSE_SCRUB_H
#define GM_FUSE_SCRUB_H

#include <stdbool.h>
#include <stdint.h>

#include "fuse/namespace.h"
#include "fuse/outbox.h"
#include "proto/link.h"

#define SCRUB_ORDERS_MAX 2U /* one is carried out while the other is on its way */

#define SCRUB_REST_MS 10000U

/* An order of the background's is as large as the rate gives in this. */
#define SCRUB_SLICE_MS  100U
#define SCRUB_WINDOW_MS UINT64_C(1000)

struct scrub_order {
	uint64_t id;                /* 0: not in use */
	struct alloc_extent blocks; /* what it touches; whole blocks, or the one block of a ZERO */
	uint64_t ino;               /* ZERO: the file; else 0 */
	uint64_t from;              /* ZERO: file offset */
	uint32_t length;            /* ZERO: bytes, within one block */
	bool stale;                 /* ZERO: they are the block's rest from stale_from on */
};

struct scrub {
	struct namespace *ns; /* these two are not owned */
	struct outbox *outbox;
	uint64_t next_id;
	uint64_t cursor;     /* of the background's search */
	uint64_t rest_until; /* the background's orders wait until then, after a failure */
	uint64_t rate;       /* bytes a second in the background; 0: no limit */
	uint64_t next_order; /* the background's next order is not due before */
	/* What was done, all of it: */
	uint64_t done;           /* blocks, since the start */
	uint64_t window_start;   /* ms */
	uint64_t window_blocks;  /* done since then */
	uint64_t measured;       /* bytes a second, in the last whole window */
	uint64_t measured_until; /* ms: it says nothing about later times */
	struct scrub_order orders[SCRUB_ORDERS_MAX];
};

/* rate: bytes a second in the background; 0: no limit. What somebody waits for knows none. */
void scrub_init(struct scrub *s, struct namespace *ns, struct outbox *outbox, uint64_t rate);

bool scrub_has_room(const struct scrub *s);
bool scrub_is_idle(const struct scrub *s); /* no order is outstanding */

/*
 * Gives the next order for a file, from file block *at on, and moves *at behind it. False
 * when there is nothing more to order up to the file's end: all is clean or under an
 * order. There must be room.
 */
bool scrub_order_file(struct scrub *s, const struct inode *inode, uint64_t *at);

/*
 * Gives an order for bytes of a file, within one block of it. Its id; 0 if nothing is there that
 * would have to be zeroed: a hole, or a block that is dirty and will be zeroed whole; -EIO the
 * block is poisoned. There must be room.
 */
int64_t scrub_order_bytes(struct scrub *s, const struct inode *inode, const struct ns_range *bytes);

/*
 * Gives an order for free dirty blocks, wherever they are. False when there are none, before its
 * time by the rate, or after a failure less than SCRUB_REST_MS ago. None may be under way.
 * now: clock_milliseconds().
 */
bool scrub_order_free(struct scrub *s, uint64_t now);

/* When the next order of scrub_order_free() may be due; false: none is waiting for its time. */
bool scrub_next_order(const struct scrub *s, uint64_t now, uint64_t *ret);

/* Bytes a second that have been scrubbed lately, for whatever reason. */
uint64_t scrub_speed(const struct scrub *s, uint64_t now);

/* True if an outstanding order is about one of the file's blocks. */
bool scrub_touches(const struct scrub *s, const struct inode *inode);

/* True if one of the file's blocks is among those of an order. */
bool scrub_order_touches(const struct scrub_order *o, const struct inode *inode);

/*
 * Takes the answer to an order. *ret is the order, which is outstanding no longer. 0 when its
 * memory is zero and the journal knows; -EPROTO there is no such order (*ret is not set); else the
 * error that the helper or the journal gave.
 */
int scrub_done(struct scrub *s, uint64_t id, uint32_t error, uint64_t now, struct scrub_order *ret);

/* Gives all outstanding orders again: there is another helper. */
void scrub_resend(const struct scrub *s);

#endif
