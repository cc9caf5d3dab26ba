// SPDX-License-Identifier: MIT
#include "fuse/parked.h"

#include <assert.h>
#include <stdlib.h>

void parked_list_init(struct parked_list *l)
{
	TAILQ_INIT(&l->entries);
	l->count = 0;
}

static unsigned count_of(const struct parked_list *l, uid_t uid)
{
	const struct parked *p;
	unsigned count = 0;

	TAILQ_FOREACH (p, &l->entries, link)
		count += p->rq.uid == uid;
	return count;
}

static bool has_room(const struct parked_list *l, const struct parked *p)
{
	unsigned left = PARKED_MAX - l->count;

	return left > 0 && (p->has_place || p->rq.uid == 0 || count_of(l, p->rq.uid) < left);
}

struct parked *parked_add(struct parked_list *l, struct parked *p)
{
	struct parked *copy = has_room(l, p) ? malloc(sizeof(*copy)) : NULL;

	assert(p->awaited_count > 0 || p->zeroing || p->waits_for_memory || p->goes_on);
	if (!copy)
		return NULL;
	*copy = *p;
	p->awaited = NULL;
	TAILQ_INSERT_TAIL(&l->entries, copy, link);
	l->count++;
	return copy;
}

void parked_remove(struct parked_list *l, struct parked *p)
{
	TAILQ_REMOVE(&l->entries, p, link);
	l->count--;
	free(p->awaited);
	free(p);
}

bool parked_answer(struct parked *p, uint64_t ino)
{
	for (size_t n = 0; n < p->awaited_count; n++) {
		if (p->awaited[n] != ino)
			continue;
		p->awaited[n] = p->awaited[--p->awaited_count];
		return true;
	}
	return false;
}

struct parked *parked_zeroing(const struct parked_list *l, uint64_t id)
{
	struct parked *p;

	TAILQ_FOREACH (p, &l->entries, link)
		if (p->zeroing == id)
			return p;
	return NULL;
}

struct parked *parked_next_for_memory(const struct parked_list *l, const struct parked *after)
{
	struct parked *p = after ? TAILQ_NEXT(after, link) : TAILQ_FIRST(&l->entries);

	while (p && !p->waits_for_memory)
		p = TAILQ_NEXT(p, link);
	return p;
}

struct parked *parked_going_on(const struct parked_list *l)
{
	struct parked *p;

	TAILQ_FOREACH (p, &l->entries, link)
		if (p->goes_on)
			return p;
	return NULL;
}

void parked_put_last(struct parked_list *l, struct parked *p)
{
	TAILQ_REMOVE(&l->entries, p, link);
	TAILQ_INSERT_TAIL(&l->entries, p, link);
}

struct parked *parked_due(const struct parked_list *l, uint64_t now)
{
	struct parked *p;

	TAILQ_FOREACH (p, &l->entries, link)
		if (p->deadline <= now)
			return p;
	return NULL;
}

bool parked_next_deadline(const struct parked_list *l, uint64_t *ret)
{
	const struct parked *p;
	uint64_t first = UINT64_MAX;

	TAILQ_FOREACH (p, &l->entries, link)
		if (p->deadline < first)
			first = p->deadline;
	if (TAILQ_EMPTY(&l->entries))
		return false;
	*ret = first;
	return true;
}
