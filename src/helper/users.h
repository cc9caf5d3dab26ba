/* SPDX-License-Identifier: MIT */
/*
 * What each user has of the helper, and what he may have: so that nobody's clients, hostile or out
 * of hand, take from another's. Root and the helper's own user are exempt from most: who is root
 * needs no helper to do harm. A user is known as long as he has a connection or a grant, and a
 * little longer, so that going and coming back brings nothing.
 */
#ifndef GM_HELPER_USERS_H
#define GM_HELPER_USERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "guestmemfs/protocol.h"
#include "util/limiter.h"

/* Connections. */
#define CLIENTS_MAX     1024U /* in all */
#define CLIENTS_UID_MAX 64U   /* of one user */
#define CLIENTS_OWN_MAX 512U  /* of root, and of our own user */

/* Connections of users who are not trusted: they can't keep the others out. */
#define CLIENTS_UNTRUSTED_MAX 512U

/* Grants: pairs of a living process and an inode that it holds. */
#define GRANTS_MAX        65536U /* in all */
#define GRANTS_OTHERS_MAX 49152U /* of all users but root and our own */
#define GRANTS_UID_MAX    8192U  /* of one of them */

/* Messages, a connection counting as one; of all users but root and our own. */
#define MESSAGES_UID_RATE     2000U /* a second, of one of them */
#define MESSAGES_UID_BURST    8000U /* at once, after a while of silence */
#define MESSAGES_OTHERS_RATE  10000U
#define MESSAGES_OTHERS_BURST 40000U

struct server;

/* So many a second, and a burst of more after a pause. */
struct bucket {
	uint64_t filled; /* ms */
	uint64_t left;   /* thousandths of a message */
};

struct user {
	uid_t uid;
	bool own; /* root, or our own user */
	unsigned references;
	unsigned connections;
	unsigned grants;
	struct bucket messages;
	struct limiter noise;       /* of log lines that he can cause at will */
	struct limiter grant_noise; /* ... about what he is granted */
	LIST_ENTRY(user) by_server;
};

struct users {
	void *by_uid; /* tree of tsearch(3) */
	LIST_HEAD(, user) all;
	unsigned grants;        /* in all */
	unsigned others_grants; /* of all but root and our own user */
	struct bucket others;
	bool restless;  /* somebody is to be forgotten, or has lines to own up to */
	uint64_t swept; /* ms, when that was last done */
};

void users_init(struct users *u);
void users_free_all(struct server *s);

/* The user, as a new reference; NULL for lack of memory. */
struct user *user_get(struct server *s, uid_t uid);
void user_put(struct server *s, struct user *u); /* NULL is fine */

/* May he send one more message now? It counts if so. */
bool user_may_send(struct server *s, struct user *u, uint64_t now);

/* May he have one more grant? */
bool user_may_hold(const struct server *s, const struct user *u);

/* One grant more, or less. */
void user_add_grant(struct server *s, struct user *u);
void user_remove_grant(struct server *s, struct user *u);

/*
 * Forgets those who have nothing, and owns up to what of theirs was not logged. Returns when to be
 * called next, ms.
 */
uint64_t users_check_time(struct server *s, uint64_t now);

/* ---- buckets ---- */

/* Takes one message's worth at this time, ms; false: there is none. */
bool bucket_take(struct bucket *b, uint64_t now, unsigned rate, unsigned burst);

/* Is it as full as it gets? */
bool bucket_is_full(const struct bucket *b, uint64_t now, unsigned rate, unsigned burst);

#endif
