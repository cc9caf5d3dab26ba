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

#define NONE     UINT32_MAX
#define LIFETIME (GM_TICKET_SECONDS * 1000ULL)

struct order { /* of issue, by places; NONE at the ends */
	uint32_t older;
	uint32_t newer;
};

struct tickets {
	uid_t own;
	uint32_t oldest;
	uint32_t newest;
	uint32_t count;
	struct tickets_shared *shared;
	struct tickets_shared *memory; /* that, if it is our own */
	struct order order[TICKETS_PLACES];
};

static struct ticket_place *place_of(struct tickets *t, const struct gm_ticket *ticket)
{
	uint32_t bits;

	memcpy(&bits, ticket->bytes, sizeof(bits));
	return &t->shared->places[bits % TICKETS_PLACES];
}

static void append(struct tickets *t, uint32_t at)
{
	t->order[at] = (struct order){.older = t->newest, .newer = NONE};
	if (t->newest == NONE)
		t->oldest = at;
	else
		t->order[t->newest].newer = at;
	t->newest = at;
	t->count++;
}

/* First of all nobody can use it any more, whatever becomes of us. */
static void wipe(struct ticket_place *p)
{
	__atomic_store_n(&p->ino, 0, __ATOMIC_RELEASE);
	explicit_bzero(p, sizeof(*p));
}

static void clear(struct tickets *t, uint32_t at)
{
	const struct order o = t->order[at];

	if (o.older == NONE)
		t->oldest = o.newer;
	else
		t->order[o.older].newer = o.newer;
	if (o.newer == NONE)
		t->newest = o.older;
	else
		t->order[o.newer].older = o.older;
	t->count--;
	wipe(&t->shared->places[at]);
}

static void expire(struct tickets *t, uint64_t now)
{
	while (t->oldest != NONE && t->shared->places[t->oldest].expires <= now)
		clear(t, t->oldest);
}

static bool is_own(const struct tickets *t, uid_t uid)
{
	return uid == 0 || uid == t->own;
}

static bool is_over_limit(const struct tickets *t, uint64_t ino, uid_t uid)
{
	uint32_t of_inode = 0, of_user = 0, of_others = 0;

	for (uint32_t at = t->oldest; at != NONE; at = t->order[at].newer) {
		const struct ticket_place *p = &t->shared->places[at];
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
static struct ticket_place *draw(struct tickets *t, struct gm_ticket *ret)
{
	struct ticket_place *p;

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
	struct ticket_place *p;

	expire(t, now);
	if (is_over_limit(t, ino, uid))
		return -EAGAIN;
	p = draw(t, &ticket);
	if (!p)
		return -errno;
	t->shared->issued = 1;
	p->ticket = ticket;
	p->uid = uid;
	p->access = access;
	p->expires = now + LIFETIME;
	__atomic_store_n(&p->ino, ino, __ATOMIC_RELEASE);
	append(t, (uint32_t)(p - t->shared->places));
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
	struct ticket_place *p = place_of(t, ticket);

	expire(t, now);
	/* A free place is all zeros and compared like any other; its inode number gives it away. */
	if (difference(&p->ticket, ticket) != 0 || p->ino == 0)
		return -EKEYREJECTED;
	*ino = p->ino;
	*access = p->access;
	clear(t, (uint32_t)(p - t->shared->places));
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
		newer = t->order[at].newer;
		if (t->shared->places[at].ino != ino)
			continue;
		clear(t, at);
		n++;
	}
	return n;
}

size_t tickets_count(const struct tickets *t)
{
	return t->count;
}

/* ---- making, and taking over ---- */

static bool can_be_one(struct tickets *t, uint32_t at, uint64_t now)
{
	struct ticket_place *p = &t->shared->places[at];
	bool access =
		p->access == GM_ACCESS_READ || p->access == (GM_ACCESS_READ | GM_ACCESS_WRITE);

	return p->ino != 0 && access && place_of(t, &p->ticket) == p && p->expires > now &&
	       p->expires - now <= LIFETIME;
}

struct found {
	uint64_t expires;
	uint32_t at;
};

static int by_time(const void *a, const void *b)
{
	const struct found *l = a, *r = b;

	return (l->expires > r->expires) - (l->expires < r->expires);
}

static int adopt(struct tickets *t, uint64_t now)
{
	_cleanup_free_ struct found *found = calloc(TICKETS_PLACES, sizeof(*found));
	uint32_t count = 0;

	if (!found)
		return -ENOMEM;
	for (uint32_t at = 0; at < TICKETS_PLACES; at++)
		if (can_be_one(t, at, now))
			found[count++] = (struct found){t->shared->places[at].expires, at};
		else
			wipe(&t->shared->places[at]);
	qsort(found, count, sizeof(*found), by_time);
	for (uint32_t n = 0; n < count; n++)
		append(t, found[n].at);
	return 0;
}

struct tickets *tickets_new(uid_t own, struct tickets_shared *shared)
{
	struct tickets *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->own = own;
	t->oldest = t->newest = NONE;
	t->shared = shared;
	if (!shared)
		t->shared = t->memory = calloc(1, sizeof(*t->memory));
	if (!t->shared || (t->shared->issued != 0 && adopt(t, clock_milliseconds()) < 0))
		return tickets_free(t);
	return t;
}

struct tickets *tickets_free(struct tickets *t)
{
	if (t && t->memory)
		explicit_bzero(t->memory, sizeof(*t->memory));
	if (t)
		free(t->memory);
	free(t);
	return NULL;
}
