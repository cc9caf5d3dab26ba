// SPDX-License-Identifier: MIT
/*
 * The content store on soft regions: as with a grant its blocks are made clean and its held mark is
 * committed, and then the helper is asked for descriptors, which come one by one.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fuse/grants_internal.h"
#include "fuse/grants_send.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/log.h"

void grants_fetch_contents(struct grants *g, uint64_t ino, uint64_t from)
{
	struct contents_fetch *c = &g->contents;

	/* What is asked already may bring less: then it is asked for again. */
	if (c->ino && c->from <= from)
		return;
	c->ino = ino;
	c->from = from;
}

void grants_fail_contents(struct grants *g, int error)
{
	g->contents = (struct contents_fetch){.last_id = g->contents.last_id};
	log_error("the contents of files can't be reached: %s", strerror(-error));
	g->config.contents_given(g->config.data, error);
}

/* It is clean. The order is that of a grant: the mark, the number, the message. */
int grants_send_fetch(struct grants *g, uint64_t ino)
{
	struct contents_fetch *c = &g->contents;
	int r = epochs_reserve(&g->epochs, ino);

	if (r == 0)
		r = ns_hold(g->config.ns, ino);
	if (r < 0)
		return r;
	c->queued = false;
	c->id = ++c->last_id;
	grants_send_contents(
		&g->outbox, meta_inode(g->meta, ino), epochs_next(&g->epochs, ino), c->id, c->from);
	return 0;
}

void grants_advance_contents(struct grants *g)
{
	struct contents_fetch *c = &g->contents;

	if (!c->ino || c->queued || c->id)
		return;
	/* In a frozen pool, too, as long as nothing is to be journalled. */
	const struct inode *inode = meta_inode(g->meta, c->ino);
	assert(inode); /* the content store stays once it is there */
	bool now = inode_is_held(inode) && grants_may_send_now(g, inode);
	int r = now ? grants_send_fetch(g, c->ino) : grants_clean(g, c->ino);
	if (r < 0)
		grants_fail_contents(g, r);
	else
		c->queued = !now;
}

/* What waits to be clean goes on waiting. */
void grants_lose_contents(struct grants *g)
{
	g->contents.id = 0;
}

/* Takes fd. */
int grants_take_part(struct grants *g, const struct link_part *m, int fd)
{
	_cleanup_fd_ int device = fd;
	const struct grants_part part = {.file_block = get_le64(m->file_block),
		.device_block = get_le64(m->device_block),
		.count = get_le64(m->count)};
	const uint64_t limit = (uint64_t)INT64_MAX >> GM_BLOCK_SHIFT;

	if (device < 0 || get_le64(m->header.id) != g->contents.id || part.count == 0 ||
		part.count > limit || part.file_block > limit - part.count ||
		part.device_block > limit - part.count)
		return -EPROTO;
	g->config.contents_part(g->config.data, &part, steal_fd(&device));
	return 0;
}

int grants_take_contents_given(struct grants *g, const struct link_contents_given *m)
{
	uint32_t error = get_le32(m->error);

	if (g->contents.id == 0 || get_le64(m->header.id) != g->contents.id || error >= 4096 ||
		get_le32(m->reserved))
		return -EPROTO;
	if (error) {
		grants_fail_contents(g, -(int)error);
		return 0;
	}
	g->contents = (struct contents_fetch){.last_id = g->contents.last_id};
	g->config.contents_given(g->config.data, 0);
	return 0;
}
