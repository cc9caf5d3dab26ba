/* SPDX-License-Identifier: MIT */
/*
 * Connections of clients: their limits, their messages (include/guestmemfs/protocol.h) and the
 * answers. Everything that comes in is hostile; the answer to a breach of the protocol is REFUSED
 * and the end of the connection. Nothing here ever waits for a client: what it does not take at
 * once ends its connection.
 */
#ifndef GM_HELPER_CLIENTS_H
#define GM_HELPER_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "guestmemfs/protocol.h"
#include "helper/source.h"
#include "helper/trust.h"

#define CLIENT_HELLO_MS 5000U /* in which the first message must come */

struct server;
struct process;
struct user;
struct redeem;

struct client {
	struct source source; /* its descriptor is -1 when the client has gone while its ticket is
				 being redeemed */
	struct process *process;
	struct user *user; /* a reference */
	struct ucred peer;
	bool trusted;
	bool greeted;
	bool granted;          /* a grant was sent, which may still lie unread in its socket */
	uint64_t hello_due;    /* ms */
	struct redeem *redeem; /* under way; NULL: none. The serial of its attach: */
	uint64_t serial;
	TAILQ_ENTRY(client) by_server; /* server->clients.all, oldest first */
};

struct clients {
	TAILQ_HEAD(, client)
	all; /* those that have gone with a ticket under way included: they count */
	unsigned count;
	uint64_t paused_until; /* ms: no descriptors or memory left for more; 0: accepting */
};

void clients_init(struct clients *c);
void clients_close_all(struct server *s);

/* A connection waits at the listener. */
void clients_accept(struct server *s);

/* A packet of the client, or its end, is there to be read. */
void client_receive(struct server *s, struct client *c);

/*
 * Ends connections that have said nothing; accepts again after a pause. Returns
 * when to be called next, ms.
 */
uint64_t clients_check_time(struct server *s, uint64_t now);

/*
 * The answer to the attach under way, which ends with it. A client that does not take it is closed.
 * client_grant(): true if the descriptors are on their way.
 */
bool client_grant(
	struct server *s, struct client *c, struct gm_grant *grant, const int *fds, size_t nfds);
void client_refuse(
	struct server *s, struct client *c, uint64_t ino, int error, enum gm_reason reason);

/* Is a grant on its way to the client, so that nobody in /proc has its descriptors? */
bool client_has_unread_grant(const struct client *c);

/*
 * The pid of a client that has ended while its connection goes on, or 0. Who has the connection now
 * is not known, and what was granted over it may still be on its way there, where no look into
 * /proc sees it.
 */
pid_t clients_find_outlived(const struct server *s);

#endif
