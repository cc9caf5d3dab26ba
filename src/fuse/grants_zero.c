// SPDX-License-Identifier: MIT
/*
 * Bytes of a file that are zeroed because somebody waits for just that: the ends of a range that is
 * punched. One order at a time for each; where the bytes lie is looked up when it is given, since
 * the file may have changed since it was asked.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/grants_internal.h"

int grants_zero(
	struct grants *g, uint64_t ino, const struct ns_range *ranges, unsigned count, uint64_t *id)
{
	struct zeroing *z = calloc(1, sizeof(*z));

	assert(count > 0 && count <= GRANTS_RANGES_MAX);
	if (!z)
		return -ENOMEM;
	z->id = *id = ++g->last_zeroing;
	z->ino = ino;
	z->count = count;
	memcpy(z->ranges, ranges, count * sizeof(*ranges));
	TAILQ_INSERT_TAIL(&g->zeroings, z, link);
	return 0;
}

static void drop(struct grants *g, struct zeroing *z)
{
	TAILQ_REMOVE(&g->zeroings, z, link);
	free(z);
}

void grants_cancel_zero(struct grants *g, uint64_t id)
{
	struct zeroing *z;

	TAILQ_FOREACH (z, &g->zeroings, link)
		if (z->id == id) {
			drop(g, z);
			return;
		}
}

void grants_drop_zeroings(struct grants *g)
{
	while (!TAILQ_EMPTY(&g->zeroings))
		drop(g, TAILQ_FIRST(&g->zeroings));
}

bool grants_is_zeroing(const struct grants *g, uint64_t ino)
{
	const struct zeroing *z;

	TAILQ_FOREACH (z, &g->zeroings, link)
		if (z->ino == ino)
			return true;
	return false;
}

/* The asker's turn comes before anybody else can get a grant. */
static void finish(struct grants *g, struct zeroing *z, int error)
{
	uint64_t id = z->id;

	drop(g, z);
	g->config.zeroed(g->config.data, id, error);
}

/* Its next order; true if one was given. Else, if it came to its end, it is gone. */
static bool advance(struct grants *g, struct zeroing *z)
{
	const struct inode *inode = meta_inode(g->meta, z->ino);
	int64_t order = inode ? 0 : -ESTALE;

	if (store_is_frozen(g->config.ns->store))
		order = -EBUSY; /* nothing is punched any more, so nothing may be lost either */
	while (order == 0 && z->next < z->count)
		order = scrub_order_bytes(&g->scrub, inode, &z->ranges[z->next++]);
	if (order <= 0) {
		finish(g, z, (int)order);
		return false;
	}
	z->order = (uint64_t)order;
	return true;
}

bool grants_advance_zeroings(struct grants *g)
{
	struct zeroing *z, *next;

	for (z = TAILQ_FIRST(&g->zeroings); z && scrub_has_room(&g->scrub); z = next) {
		next = TAILQ_NEXT(z, link);
		if (!z->order && advance(g, z))
			return true;
	}
	return false;
}

void grants_note_zeroed(struct grants *g, uint64_t order, int error)
{
	struct zeroing *z;

	TAILQ_FOREACH (z, &g->zeroings, link) {
		if (z->order != order)
			continue;
		z->order = 0;
		if (error || z->next == z->count)
			finish(g, z, error);
		return;
	}
}
