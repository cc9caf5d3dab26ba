// SPDX-License-Identifier: MIT
/*
 * A ticket's place follows from its own bits: it is drawn anew until that place is free. So it is
 * found without a search, and one comparison, in constant time, is all that a guesser can measure.
 * All tickets live equally long, so they expire in the order in which they were issued: a list in
 * that order is all the bookkeeping of time.
 */
#include "fuse/tickets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "util/cleanup.h"
#include "util/clock.h"

/* At most a quarter is taken: a draw rarely needs a second one. */
#define PLACES (4U * TICKETS_MAX)
#define NONE   UINT32_MAX

struct place {
	struct gm_ticket ticket;
	uint64_t ino; /* 0: free */
	uint64_t expires;
	uint32_t access;
	uid_t uid;      /* who asked for it */
	uint32_t older; /* in order of issue; NONE at the ends */
	uint32_t newer;
};

struct tickets {
	uid_t own;
	uint32_t oldest;
	uint32_t newest;
	uint32_t count;
	struct place places[PLACES];
};

struct tickets *tickets_new(uid_t own)
{
	struct tickets *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->own = own;
	t->oldest = t->newest = NONE;
	return t;
}

struct tickets *tickets_free(struct tickets *t)
{
	if (t)
		explicit_bzero(t, sizeof(*t));
	free(t);
	return NULL;
}

static struct place *place_of(struct tickets *t, const struct gm_ticket *ticket)
{
	uint32_t bits;

	memcpy(&bits, ticket->bytes, sizeof(bits));
	return &t->places[bits % PLACES];
}

static void append(struct tickets *t, struct place *p)
{
	uint32_t at = (uint32_t)(p - t->places);

	p->older = t->newest;
	p->newer = NONE;
	if (t->newest == NONE)
		t->oldest = at;
	else
		t->places[t->newest].newer = at;
	t->newest = at;
	t->count++;
}

static void clear(struct tickets *t, struct place *p)
{
	if (p->older == NONE)
		t->oldest = p->newer;
	else
		t->places[p->older].newer = p->newer;
	if (p->newer == NONE)
		t->newest = p->older;
	else
		t->places[p->newer].older = p->older;
	t->count--;
	explicit_bzero(p, sizeof(*p));
}

static void expire(struct tickets *t, uint64_t now)
{
	while (t->oldest != NONE && t->places[t->oldest].expires <= now)
		clear(t, &t->places[t->oldest]);
}

static bool is_own(const struct tickets *t, uid_t uid)
{
	return uid == 0 || uid == t->own;
}

static bool is_over_limit(const struct tickets *t, uint64_t ino, uid_t uid)
{
	uint32_t of_inode = 0, of_user = 0, of_others = 0;

	for (uint32_t at = t->oldest; at != NONE; at = t->places[at].newer) {
		const struct place *p = &t->places[at];
		of_inode += p->ino == ino;
		of_user += p->uid == uid;
		of_others += !is_own(t, p->uid);
	}
	if (t->count >= TICKETS_MAX || of_inode >= TICKETS_PER_INODE_MAX)
		return true;
	return !is_own(t, uid) &&
	       (of_user >= TICKETS_PER_USER_MAX || of_others >= TICKETS_OTHERS_MAX);
}

/* Draws the bits of a ticket whose place is free, and gives that place; NULL with errno if there is
 * no randomness. */
static struct place *draw(struct tickets *t, struct gm_ticket *ret)
{
	struct place *p;

	do {
		/* Up to 256 bytes come whole. */
		if (getrandom(ret->bytes, sizeof(ret->bytes), 0) < 0)
			return NULL;
		p = place_of(t, ret);
	} while (p->ino != 0);
	return p;
}

int tickets_issue_at(struct tickets *t, uint64_t now, uint64_t ino, uid_t uid, uint32_t access,
	struct gm_ticket *out)
{
	struct gm_ticket ticket;
	struct place *p;

	expire(t, now);
	if (is_over_limit(t, ino, uid))
		return -EAGAIN;
	p = draw(t, &ticket);
	if (!p)
		return -errno;
	p->ticket = ticket;
	p->ino = ino;
	p->uid = uid;
	p->access = access;
	p->expires = now + GM_TICKET_SECONDS * 1000ULL;
	append(t, p);
	*out = ticket;
	return 0;
}

/* Takes equally long whatever the bytes are. */
static unsigned difference(const struct gm_ticket *a, const struct gm_ticket *b)
{
	volatile unsigned d = 0;

	for (size_t i = 0; i < sizeof(a->bytes); i++)
		d |= (unsigned)(a->bytes[i] ^ b->bytes[i]);
	return d;
}

int tickets_redeem_at(struct tickets *t, uint64_t now, const struct gm_ticket *ticket,
	uint64_t *ino, uint32_t *access)
{
	struct place *p = place_of(t, ticket);

	expire(t, now);
	/* A free place is all zeros and compared like any other; its inode number gives it away. */
	if (difference(&p->ticket, ticket) != 0 || p->ino == 0)
		return -EKEYREJECTED;
	*ino = p->ino;
	*access = p->access;
	clear(t, p);
	return 0;
}

int tickets_issue(
	struct tickets *t, uint64_t ino, uid_t uid, uint32_t access, struct gm_ticket *out)
{
	return tickets_issue_at(t, clock_milliseconds(), ino, uid, access, out);
}

int tickets_redeem(
	struct tickets *t, const struct gm_ticket *ticket, uint64_t *ino, uint32_t *access)
{
	return tickets_redeem_at(t, clock_milliseconds(), ticket, ino, access);
}

size_t tickets_revoke(struct tickets *t, uint64_t ino)
{
	size_t n = 0;

	for (uint32_t at = t->oldest, newer; at != NONE; at = newer) {
		newer = t->places[at].newer;
		if (t->places[at].ino != ino)
			continue;
		clear(t, &t->places[at]);
		n++;
	}
	return n;
}

size_t tickets_count(const struct tickets *t)
{
	return t->count;
}
