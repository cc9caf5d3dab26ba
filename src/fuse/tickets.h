/* SPDX-License-Identifier: MIT */
/*
 * Tickets: 128 random bits that stand for one open file and its access mode, good once and for
 * GM_TICKET_SECONDS. They may live in memory that outlives the worker, so that the next one knows
 * those that were given out; one that is used up is gone from there before anything follows from
 * it.
 */
#ifndef GM_FUSE_TICKETS_H
#define GM_FUSE_TICKETS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guestmemfs/protocol.h"

#define TICKETS_MAX           4096U /* outstanding at any time */
#define TICKETS_PER_INODE_MAX 256U  /* so that the users of one file can't use up everybody's, */
#define TICKETS_PER_USER_MAX  512U  /* nor a user with many files; root and the mount's own user */
#define TICKETS_OTHERS_MAX    3584U /* are exempt from that, and have what all others can't take */

/* At most a quarter is taken: a draw rarely needs a second one. */
#define TICKETS_PLACES (4U * TICKETS_MAX)

struct ticket_place {
	struct gm_ticket ticket;
	uint64_t ino; /* 0: free; stored last, and cleared first */
	uint64_t expires;
	uint32_t access;
	uint32_t uid; /* who asked for it */
};
static_assert(sizeof(struct ticket_place) == 40, "runtime table");

struct tickets_shared {  /* part of the runtime table */
	uint64_t issued; /* 0: there was never any */
	struct ticket_place places[TICKETS_PLACES];
};
static_assert(sizeof(struct tickets_shared) == 8 + 40 * TICKETS_PLACES, "runtime table");

struct tickets;

/* own: the user who runs the mount. shared: where they are to be, and those of a predecessor are,
 * as far as they are any; NULL: in memory of their own. NULL when out of memory. */
struct tickets *tickets_new(uid_t own, struct tickets_shared *shared);
struct tickets *tickets_free(struct tickets *t); /* NULL is fine; returns NULL */

/*
 * Makes a ticket for inode ino, asked for by user uid; access is GM_ACCESS_READ, with
 * GM_ACCESS_WRITE or without. -EAGAIN too many are outstanding, in all, for this inode or of this
 * user; or the error of getrandom(2).
 */
int tickets_issue(
	struct tickets *t, uint64_t ino, uid_t uid, uint32_t access, struct gm_ticket *out);

/* All tickets for the inode are void from now on. Returns how many there were. */
size_t tickets_revoke(struct tickets *t, uint64_t ino);

/*
 * Uses a ticket up. -EKEYREJECTED if it was never issued, is used already, or is too old: nobody
 * learns which.
 */
int tickets_redeem(
	struct tickets *t, const struct gm_ticket *ticket, uint64_t *ino, uint32_t *access);

/* The same at a time of the caller's, in milliseconds of a clock that never goes back. */
int tickets_issue_at(struct tickets *t, uint64_t now, uint64_t ino, uid_t uid, uint32_t access,
	struct gm_ticket *out);
int tickets_redeem_at(struct tickets *t, uint64_t now, const struct gm_ticket *ticket,
	uint64_t *ino, uint32_t *access);

/* How many are outstanding (some of them may have expired). */
size_t tickets_count(const struct tickets *t);

#endif
