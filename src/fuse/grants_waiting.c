// SPDX-License-Identifier: MIT
/*
 * Files that somebody waits for, a client, an export or the worker itself: their blocks are
 * scrubbed first, by orders to the helper.
 */
#include "fuse/grants_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "fuse/grants_send.h"
#include "util/cleanup.h"
#include "util/log.h"

/* ---- who waits ---- */

static struct waiting *find_waiting(struct grants *g, uint64_t ino)
{
	struct waiting *w;

	TAILQ_FOREACH (w, &g->waiting, link)
		if (w->ino == ino)
			return w;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->ino = ino;
	STAILQ_INIT(&w->requests);
	TAILQ_INSERT_TAIL(&g->waiting, w, link);
	return w;
}

int grants_wait(struct grants *g, uint64_t ino, const struct request *rq)
{
	_cleanup_free_ struct request *copy = malloc(sizeof(*copy));
	struct waiting *w;

	if (!rq->clean && g->request_count == GRANTS_WAITING_MAX)
		return -EUSERS;
	if (!copy)
		return -ENOMEM;
	w = find_waiting(g, ino);
	if (!w)
		return -ENOMEM;
	*copy = *rq;
	STAILQ_INSERT_TAIL(&w->requests, copy, link);
	copy = NULL;
	g->request_count += !rq->clean;
	return 0;
}

bool grants_is_waited(const struct grants *g, uint64_t ino)
{
	const struct waiting *w;

	TAILQ_FOREACH (w, &g->waiting, link)
		if (w->ino == ino)
			return true;
	return false;
}

void grants_drop_waiting(struct grants *g, struct waiting *w)
{
	struct request *rq;

	while ((rq = STAILQ_FIRST(&w->requests))) {
		STAILQ_REMOVE_HEAD(&w->requests, link);
		g->request_count -= !rq->clean;
		free(rq);
	}
	TAILQ_REMOVE(&g->waiting, w, link);
	free(w);
}

void grants_drop_clients(struct grants *g)
{
	struct waiting *w, *next;

	for (w = TAILQ_FIRST(&g->waiting); w; w = next) {
		next = TAILQ_NEXT(w, link);
		w->at = 0;
		if (!STAILQ_FIRST(&w->requests)->clean)
			grants_drop_waiting(g, w);
	}
}

/* ---- answers ---- */

/* blocks: which are the reason; NULL: all of the file. */
static void refuse(struct grants *g, uint64_t ino, const struct request *rq, int error,
	const struct alloc_extent *blocks)
{
	if (rq->clean && ino == g->contents.ino)
		grants_fail_contents(g, error);
	else if (rq->clean)
		g->config.cleaned(g->config.data, error, blocks);
	else if (rq->access)
		grants_send_refuse(&g->outbox, rq->id, error, grants_reason_of(error));
	else
		g->config.exported(g->config.data, ino, error, grants_reason_of(error), NULL);
}

static void refuse_all(
	struct grants *g, struct waiting *w, int error, const struct alloc_extent *blocks)
{
	const struct request *rq;

	STAILQ_FOREACH (rq, &w->requests, link)
		refuse(g, w->ino, rq, error, blocks);
	grants_drop_waiting(g, w);
}

void grants_refuse_waiting(struct grants *g, uint64_t ino, int error)
{
	struct waiting *w, *next;

	for (w = TAILQ_FIRST(&g->waiting); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->ino == ino)
			refuse_all(g, w, error, NULL);
	}
}

void grants_fail_order(struct grants *g, const struct scrub_order *order, int error)
{
	struct waiting *w, *next;

	for (w = TAILQ_FIRST(&g->waiting); w; w = next) {
		const struct inode *inode = grants_find_waited(g, w->ino);

		next = TAILQ_NEXT(w, link);
		if (inode && scrub_order_touches(order, inode))
			refuse_all(g, w, error, &order->blocks);
	}
}

static void grant_all(struct grants *g, struct waiting *w)
{
	const struct request *rq;

	STAILQ_FOREACH (rq, &w->requests, link) {
		int r = 0;

		if (rq->clean && w->ino == g->contents.ino)
			r = grants_send_fetch(g, w->ino);
		else if (rq->clean)
			g->config.cleaned(g->config.data, 0, NULL);
		else if (rq->access)
			r = grants_grant(g, w->ino, rq);
		else
			grants_begin_export(g, w->ino, &rq->asker);
		if (r < 0)
			refuse(g, w->ino, rq, r, NULL);
	}
	grants_drop_waiting(g, w);
}

/* ---- orders ---- */

/* True if no block is left that might need another order. */
static bool is_ordered_to_end(const struct inode *inode, uint64_t at)
{
	const struct file_extent *last;

	if (inode->extent_count == 0)
		return true;
	last = &inode->extents[inode->extent_count - 1];
	return at >= last->file_block + last->count;
}

/*
 * Goes on with a file that somebody waits for: one order if there is room, or the grant if nothing
 * is left to be done. True if an order was given; then it is the others' turn. The second look is
 * for a file that changed while it was scrubbed.
 */
static bool advance_waiting(struct grants *g, struct waiting *w)
{
	const struct inode *inode = grants_find_waited(g, w->ino);

	if (!inode || store_is_frozen(g->config.ns->store)) {
		refuse_all(g, w, inode ? -EBUSY : -ESTALE, NULL);
		return false;
	}
	if (grants_is_zeroing(g, w->ino))
		return false;
	for (unsigned look = 0; look < 2; look++) {
		bool room = scrub_has_room(&g->scrub);

		if (room && scrub_order_file(&g->scrub, inode, &w->at)) {
			TAILQ_REMOVE(&g->waiting, w, link);
			TAILQ_INSERT_TAIL(&g->waiting, w, link);
			return true;
		}
		/* Others may have all the orders: this file's last one may be done nevertheless. */
		if ((!room && !is_ordered_to_end(inode, w->at)) || scrub_touches(&g->scrub, inode))
			return false;
		if (meta_is_clean(g->meta, inode)) {
			grant_all(g, w);
			return false;
		}
		if (!room)
			return false;
		w->at = 0;
	}
	log_error("inode %llu is not granted: it can't be made clean", (unsigned long long)w->ino);
	refuse_all(g, w, -EIO, NULL);
	return false;
}

bool grants_advance_waiting(struct grants *g)
{
	struct waiting *w = TAILQ_FIRST(&g->waiting), *next;
	bool gave = false;

	for (; w && !gave; w = next) {
		next = TAILQ_NEXT(w, link);
		gave = advance_waiting(g, w);
	}
	return gave;
}
