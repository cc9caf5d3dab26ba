// SPDX-License-Identifier: MIT
#include "helper/users.h"

#include <search.h>
#include <stdlib.h>

#include "helper/server.h"
#include "util/log.h"

#define SWEEP_MS 1000U

/* ---- buckets ---- */

static uint64_t bucket_level(const struct bucket *b, uint64_t now, unsigned rate, unsigned burst)
{
	uint64_t room = burst * 1000ULL, since = now - b->filled;

	/* So many a second are as many thousandths a millisecond. */
	if (b->filled == 0 || since >= room / rate + 1)
		return room;
	uint64_t level = b->left + since * rate;
	return level < room ? level : room;
}

bool bucket_take(struct bucket *b, uint64_t now, unsigned rate, unsigned burst)
{
	uint64_t level = bucket_level(b, now, rate, burst);

	b->filled = now;
	b->left = level < 1000 ? level : level - 1000;
	return level >= 1000;
}

bool bucket_is_full(const struct bucket *b, uint64_t now, unsigned rate, unsigned burst)
{
	return bucket_level(b, now, rate, burst) == burst * 1000ULL;
}

/* ---- users ---- */

static int compare_uid(const void *a, const void *b)
{
	const struct user *x = a, *y = b;

	return x->uid < y->uid ? -1 : x->uid > y->uid;
}

void users_init(struct users *u)
{
	*u = (struct users){.by_uid = NULL};
	LIST_INIT(&u->all);
}

static void user_forget(struct users *users, struct user *u)
{
	(void)tdelete(u, &users->by_uid, compare_uid);
	LIST_REMOVE(u, by_server);
	free(u);
}

void users_free_all(struct server *s)
{
	while (!LIST_EMPTY(&s->users.all))
		user_forget(&s->users, LIST_FIRST(&s->users.all));
}

struct user *user_get(struct server *s, uid_t uid)
{
	const struct user key = {.uid = uid};
	void *found = tfind(&key, &s->users.by_uid, compare_uid);
	struct user *u = found ? *(struct user **)found : calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	if (!found) {
		u->uid = uid;
		u->own = uid == 0 || uid == s->trust.own_uid;
		if (!tsearch(u, &s->users.by_uid, compare_uid)) {
			free(u);
			return NULL;
		}
		LIST_INSERT_HEAD(&s->users.all, u, by_server);
	}
	u->references++;
	return u;
}

void user_put(struct server *s, struct user *u)
{
	if (u && --u->references == 0)
		s->users.restless = true;
}

bool user_may_send(struct server *s, struct user *u, uint64_t now)
{
	if (u->own)
		return true;
	return bucket_take(&u->messages, now, MESSAGES_UID_RATE, MESSAGES_UID_BURST) &&
	       bucket_take(&s->users.others, now, MESSAGES_OTHERS_RATE, MESSAGES_OTHERS_BURST);
}

bool user_may_hold(const struct server *s, const struct user *u)
{
	if (s->users.grants >= GRANTS_MAX)
		return false;
	return u->own || (u->grants < GRANTS_UID_MAX && s->users.others_grants < GRANTS_OTHERS_MAX);
}

void user_add_grant(struct server *s, struct user *u)
{
	u->grants++;
	s->users.grants++;
	s->users.others_grants += !u->own;
}

void user_remove_grant(struct server *s, struct user *u)
{
	u->grants--;
	s->users.grants--;
	s->users.others_grants -= !u->own;
}

/* ---- time ---- */

static bool user_is_gone(const struct user *u, uint64_t now)
{
	return u->references == 0 && u->noise.left_out == 0 && u->grant_noise.left_out == 0 &&
	       bucket_is_full(&u->messages, now, MESSAGES_UID_RATE, MESSAGES_UID_BURST);
}

uint64_t users_check_time(struct server *s, uint64_t now)
{
	struct user *u, *next;

	if (!s->users.restless)
		return SERVER_NEVER;
	if (now - s->users.swept < SWEEP_MS)
		return s->users.swept + SWEEP_MS;
	s->users.swept = now;
	s->users.restless = false;
	for (u = LIST_FIRST(&s->users.all); u; u = next) {
		next = LIST_NEXT(u, by_server);
		audits_own_up(u, now);
		if (user_is_gone(u, now))
			user_forget(&s->users, u);
		else if (u->references == 0 || u->noise.left_out > 0 || u->grant_noise.left_out > 0)
			s->users.restless = true;
	}
	return s->users.restless ? now + SWEEP_MS : SERVER_NEVER;
}
