/* SPDX-License-Identifier: MIT */
/*
 * From a ticket to a grant: a client's ticket goes to the worker, what comes back is checked
 * against the record, and only then does a descriptor leave. An inode that the worker has granted
 * is held from that moment on, whatever becomes of the client.
 */
#ifndef GM_HELPER_GRANTS_H
#define GM_HELPER_GRANTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "guestmemfs/protocol.h"
#include "helper/record.h"

#define GRANT_START_MS 2000U /* how long a ticket waits for a worker that is just starting */

struct server;
struct client;

/* One ticket under way. */
struct redeem {
	uint64_t id; /* never used twice, so that an answer can't be taken for another's */
	struct client *client; /* it stays until the ticket is answered, also when its connection
				  has ended */
	struct gm_ticket ticket;
	uint64_t due; /* ms; while it waits for the link */
	bool again;   /* a worker that is gone had it, and may have used the ticket up */
	TAILQ_ENTRY(redeem) entry;
};

struct grants {
	TAILQ_HEAD(, redeem) waiting; /* for the link, oldest first */
	TAILQ_HEAD(, redeem) sent;    /* to the worker */
	uint64_t last_id;
};

/* What GRANT says. */
struct grant_order {
	uint64_t id;
	uint64_t ino;
	uint64_t epoch;
	uint64_t size;
	uint32_t access;
	uid_t owner; /* of the file */
};

void grants_init(struct grants *g);
void grants_free_all(struct server *s);

/* Starts to redeem the client's ticket. -ENOMEM. */
int grants_begin(
	struct server *s, struct client *c, const struct gm_ticket *ticket, struct redeem **ret);

/* The client has closed its connection: a ticket that the worker has not seen yet never reaches it.
 */
void grants_client_gone(struct server *s, struct redeem *r);

/* The worker is there: what waited goes to it. It has gone: what it had waits for the next one. */
void grants_link_up(struct server *s);
void grants_link_lost(struct server *s);

/* The worker's answers. false: nobody asked (any more: never, on a link that keeps to the
 * protocol). */
bool grants_is_asked(const struct server *s, uint64_t id);
void grants_take_refusal(struct server *s, uint64_t id, int error, enum gm_reason reason);
void grants_take_grant(struct server *s, const struct grant_order *order,
	const struct record_extent *extents, size_t count);

/*
 * The end of a ticket whose grant the record has let pass, also when it had to wait for devices:
 * hands out and frees the ticket. grants_fail() does so without handing out.
 */
void grants_finish(struct server *s, struct redeem *r, const struct grant_order *order,
	const struct record_extent *extents, size_t count);
void grants_fail(
	struct server *s, struct redeem *r, uint64_t ino, int error, enum gm_reason reason);

/* Frees a ticket that is in no list, without an answer: the end of the helper. */
void redeem_forget(struct redeem *r);

/* Refuses what has waited too long. Returns when to be called next, ms. */
uint64_t grants_check_time(struct server *s, uint64_t now);

#endif
