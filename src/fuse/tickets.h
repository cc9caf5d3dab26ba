/* SPDX-License-Identifier: MIT */
/*
 * Tickets: 128 random bits that stand for one open file and its access mode, good once and for
 * GM_TICKET_SECONDS. They live in the worker's memory only: a restarted worker knows none, and
 * clients ask again.
 */
#ifndef GM_FUSE_TICKETS_H
#define GM_FUSE_TICKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guestmemfs/protocol.h"

#define TICKETS_MAX           4096U /* outstanding at any time */
#define TICKETS_PER_INODE_MAX 256U  /* so that the users of one file can't use up everybody's, */
#define TICKETS_PER_USER_MAX  512U  /* nor a user with many files; root and the mount's own user */
#define TICKETS_OTHERS_MAX    3584U /* are exempt from that, and have what all others can't take */

struct tickets;

/* own: the user who runs the mount. NULL when out of memory. */
struct tickets *tickets_new(uid_t own);
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
