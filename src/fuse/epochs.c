// SPDX-License-Identifier: MIT
#include "fuse/epochs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct epoch {
	uint64_t ino;
	uint64_t number;
};

static uint64_t hash_of(uint64_t ino)
{
	return ino * 0x9e3779b97f4a7c15ULL; /* 2^64 / golden ratio: neighbours end up far apart */
}

static struct epoch *find(const struct epochs *e, uint64_t ino)
{
	size_t at = 0;

	for (struct epoch *p = table_first(&e->table, hash_of(ino), &at); p;
		p = table_next(&e->table, hash_of(ino), &at))
		if (p->ino == ino)
			return p;
	return NULL;
}

void epochs_init(struct epochs *e, uint64_t mount_number)
{
	e->table = TABLE_NULL;
	e->first = e->last = mount_number << 32;
}

void epochs_deinit(struct epochs *e)
{
	size_t cursor = 0;
	void *p;

	while ((p = table_each(&e->table, &cursor)))
		free(p);
	table_deinit(&e->table);
}

uint64_t epochs_get(const struct epochs *e, uint64_t ino)
{
	const struct epoch *p = find(e, ino);

	return p ? p->number : e->first;
}

int epochs_reserve(struct epochs *e, uint64_t ino)
{
	struct epoch *p = find(e, ino);

	if (p)
		return 0;
	if (table_reserve(&e->table, 1) < 0)
		return -ENOMEM;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct epoch){.ino = ino, .number = e->first};
	table_insert(&e->table, hash_of(ino), p);
	return 0;
}

uint64_t epochs_next(struct epochs *e, uint64_t ino)
{
	struct epoch *p = find(e, ino);

	assert(p); /* reserved */
	p->number = ++e->last;
	return p->number;
}

void epochs_forget(struct epochs *e, uint64_t ino)
{
	struct epoch *p = find(e, ino);

	if (p)
		table_remove(&e->table, hash_of(ino), p);
	free(p);
}
