/* SPDX-License-Identifier: MIT */
/*
 * Setattr and fallocate requests that wait for the helper's word: a shrink or a punch of a file
 * that seems held, a growth for which only the blocks of unlinked held files would suffice, or a
 * punch whose ends are being zeroed; what waits for memory of the content store; and an allocation
 * of content that is done step by step. Right after a
 * VMM's end nobody holds its files any more, but that is known only once the helper has looked;
 * without the wait `rm vm0; truncate -s 8G vm1` would fail for no good reason.
 *
 * The list owns its entries; the FUSE requests in them are each answered once, by ops_parked.c.
 */
#ifndef GM_FUSE_PARKED_H
#define GM_FUSE_PARKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fuse/namespace.h"

struct fuse_req;

/*
 * So many wait at the most: each keeps a place for requests (slots.h), and others must go on. Of a
 * user, of whom there may be many, no more than are left then: so one who makes all of his wait has
 * half of them, two have a third each, and there is room for whoever comes next. The kernel's own
 * writing back is root's, who may have all.
 */
#define PARKED_MAX 960U

enum parked_what {
	PARKED_SETATTR,
	PARKED_FALLOCATE,
	PARKED_READ,
	PARKED_WRITE,
};

struct parked {
	TAILQ_ENTRY(parked) link; /* parked_list.entries */
	struct fuse_req *req;
	struct ns_request rq; /* without its time: a later try has a later one */
	enum parked_what what;
	struct ns_change change; /* setattr */
	enum ns_space space;     /* fallocate */
	struct ns_range range;   /* all but setattr */
	const void *data;        /* write; in the request, which stays until it is answered */
	uint64_t ino;
	uint64_t deadline; /* of clock_milliseconds() */
	int error;         /* what it fails with when nothing comes of the wait; negative errno */
	uint64_t *awaited; /* inodes whose check has no answer yet; owned */
	size_t awaited_count;
	uint64_t zeroing;      /* the id of the grants_zero() that it waits for; 0: none */
	bool has_place;        /* it has waited at an earlier worker, and may go on with that */
	bool waits_for_memory; /* of the content store */
	bool goes_on;          /* a fallocate whose next step is due */
	uint64_t done;         /* bytes of it that are allocated; range is what is left */
	uint64_t asked_at;     /* what was done when it was asked for the blocks of the dead */
};

struct parked_list {
	TAILQ_HEAD(, parked) entries;
	unsigned count;
};

void parked_list_init(struct parked_list *l);

/*
 * A copy of p, with an entry of its own, at the end of the list. The awaited inodes become the
 * entry's, and p->awaited NULL. NULL when out of memory, or when there is no room for one more of
 * its user; then nothing has changed.
 */
struct parked *parked_add(struct parked_list *l, struct parked *p);

/* Takes it off the list and frees it. The request in it must have been answered. */
void parked_remove(struct parked_list *l, struct parked *p);

/* True if p waited for ino; then it does so no longer. */
bool parked_answer(struct parked *p, uint64_t ino);

/* The one that waits for this zeroing; NULL if there is none. */
struct parked *parked_zeroing(const struct parked_list *l, uint64_t id);

/* The first entry that waits for memory, behind `after` (NULL: the first of all); NULL: there is
 * none. */
struct parked *parked_next_for_memory(const struct parked_list *l, const struct parked *after);

/* The first entry that goes on; NULL: none does. */
struct parked *parked_going_on(const struct parked_list *l);

/* All others come before it. */
void parked_put_last(struct parked_list *l, struct parked *p);

/* The first entry that is due at now; NULL if there is none. */
struct parked *parked_due(const struct parked_list *l, uint64_t now);

bool parked_next_deadline(const struct parked_list *l, uint64_t *ret);

#endif
