/* SPDX-License-Identifier: MIT */
/*
 * Revocations: who holds an inode is looked up anew and told; if they are to be killed, those
 * whom the asker may kill are, with the children that they leave, and if nobody else is left the
 * inode's memory is taken back. Each has a limit of time, after which it is answered as things are.
 */
#ifndef GM_HELPER_REVOKE_H
#define GM_HELPER_REVOKE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "proto/link.h"
#include "util/problem.h"

#define REVOKE_MS 10000U /* after that it is answered as things are */

struct server;

struct revocation {
	uint64_t id;
	uint64_t ino;
	bool kill;
	uid_t uid;         /* of who asks */
	bool searched;     /* the children of those who were killed, too, were looked for */
	uint64_t look;     /* the one that must have ended before it goes on (server.looks) */
	uint64_t due;      /* ms */
	uint64_t deadline; /* ms */
	LIST_ENTRY(revocation) entry;
};

LIST_HEAD(revocations, revocation);

/* REVOKE. Negative errno with a sentence: the link must end. */
int revocations_begin(struct server *s, const struct link_revoke *m, struct problem *why);
void revocations_free_all(struct server *s);

/* Their answers would reach nobody. */
void revocations_link_lost(struct server *s);

/* Goes on with what can go on. Returns when to be called next, ms. */
uint64_t revocations_check_time(struct server *s, uint64_t now);

#endif
