// SPDX-License-Identifier: MIT
/* Whether and when a file is granted, and when it is held no more. Who waits meanwhile:
 * grants_waiting.c; the link itself: grants_link.c. */
#include "fuse/grants.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/grants_internal.h"
#include "fuse/grants_send.h"
#include "fuse/tickets.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/log.h"

enum gm_reason grants_reason_of(int error)
{
	switch (error) {
	case -ENOSPC:
		return GM_REASON_SPACE;
	case -ESTALE:
		return GM_REASON_GONE;
	case -EIO:
		return GM_REASON_SCRUB;
	case -EUSERS:
		return GM_REASON_LIMIT;
	case -EKEYREJECTED:
		return GM_REASON_TICKET;
	case -EBUSY:
		return GM_REASON_FROZEN;
	default:
		return GM_REASON_MEMORY;
	}
}

const struct inode *grants_find_waited(const struct grants *g, uint64_t ino)
{
	const struct inode *inode = meta_inode(g->meta, ino);

	return inode && inode_has_memory(inode) ? inode : NULL;
}

const struct inode *grants_find_file(const struct grants *g, uint64_t ino)
{
	const struct inode *inode = grants_find_waited(g, ino);

	return inode && !inode_is_contents(inode) ? inode : NULL;
}

bool grants_may_send_now(const struct grants *g, const struct inode *inode)
{
	return meta_is_clean(g->meta, inode) && !scrub_touches(&g->scrub, inode) &&
	       !grants_is_zeroing(g, inode->attr.ino);
}

int grants_grant(struct grants *g, uint64_t ino, const struct request *rq)
{
	const struct inode *inode;
	int r;

	r = epochs_reserve(&g->epochs, ino);
	if (r < 0)
		return r;
	r = ns_hold(g->config.ns, ino);
	if (r < 0) {
		log_error("inode %llu is not granted: its mark could not be journalled: %s",
			(unsigned long long)ino, strerror(-r));
		return r;
	}
	ns_spare_remove(g->config.ns, ino);
	inode = meta_inode(g->meta, ino);
	grants_send_grant(&g->outbox, inode, epochs_next(&g->epochs, ino), rq->id, rq->access);
	return 0;
}

/* Turn about, over all calls: who punches without end keeps no grant waiting, nor the other way
 * round. */
static bool advance_next(struct grants *g)
{
	bool zeroed = !g->zeroed_last && grants_advance_zeroings(g);
	bool gave = zeroed || grants_advance_waiting(g);

	if (!gave && g->zeroed_last)
		gave = zeroed = grants_advance_zeroings(g);
	if (gave)
		g->zeroed_last = zeroed;
	return gave;
}

void grants_advance(struct grants *g)
{
	if (!g->ready)
		return;
	grants_advance_contents(g);
	while (advance_next(g))
		continue;
	/* In the background one order at a time, so that there is always room for one that somebody
	 * waits for. */
	if (TAILQ_EMPTY(&g->waiting) && scrub_is_idle(&g->scrub) &&
		!store_is_frozen(g->config.ns->store))
		(void)scrub_order_free(&g->scrub, clock_milliseconds());
}

bool grants_next_deadline(const struct grants *g, uint64_t now, uint64_t *ret)
{
	return g->ready && scrub_next_order(&g->scrub, now, ret);
}

void grants_get_scrub(const struct grants *g, uint64_t now, struct grants_scrub *ret)
{
	*ret = (struct grants_scrub){.limit = g->scrub.rate,
		.speed = scrub_speed(&g->scrub, now),
		.done = g->scrub.done};
}

int grants_export(struct grants *g, uint64_t ino, const struct asker *asker)
{
	const struct request rq = {.access = 0, .asker = *asker};
	const struct inode *inode = grants_find_file(g, ino);

	if (!inode)
		return -ENOENT;
	if (!g->ready)
		return -EAGAIN;
	return grants_wait(g, ino, &rq); /* at once, in grants_advance(), if it is clean */
}

int grants_clean(struct grants *g, uint64_t ino)
{
	const struct request rq = {.clean = true};

	return grants_is_waited(g, ino) ? 0 : grants_wait(g, ino, &rq);
}

void grants_yield(struct grants *g)
{
	g->yielding = true;
}

bool grants_are_answered(const struct grants *g)
{
	return g->request_count == 0 && (g->fd < 0 || outbox_is_empty(&g->outbox));
}

/* ---- what comes ---- */

int grants_redeem(struct grants *g, const struct link_redeem *m)
{
	struct request rq = {.id = get_le64(m->header.id)};
	const struct inode *inode;
	uint64_t ino;
	int r;

	if (get_le32(m->reserved))
		return -EPROTO;
	if (g->yielding)
		return 0; /* the helper asks again */
	if (tickets_redeem(g->config.tickets, &m->ticket, &ino, &rq.access) < 0) {
		log_debug("process %u showed a ticket that is not good", get_le32(m->pid));
		grants_send_refuse(&g->outbox, rq.id, -EKEYREJECTED, GM_REASON_TICKET);
		return 0;
	}
	inode = grants_find_file(g, ino);
	if (!inode)
		r = -ESTALE;
	else if (store_is_frozen(g->config.ns->store))
		r = -EBUSY;
	else if (grants_may_send_now(g, inode))
		r = grants_grant(g, ino, &rq);
	else
		r = grants_wait(g, ino, &rq);
	if (r < 0)
		grants_send_refuse(&g->outbox, rq.id, r, grants_reason_of(r));
	return 0;
}

/* A part of the content store is clean: who wanted just that need not wait for the rest. */
static void note_cleaned(struct grants *g, const struct scrub_order *order)
{
	const struct inode *contents = meta_inode(g->meta, g->meta->contents);

	if (order->ino || !contents || g->contents.ino || !grants_is_waited(g, g->meta->contents) ||
		!scrub_order_touches(order, contents))
		return;
	g->config.cleaned(g->config.data, 0, NULL);
}

int grants_take_done(struct grants *g, const struct link_done *m)
{
	struct scrub_order order = {.id = 0};
	int r;

	if (get_le64(m->header.id) & GRANTS_UNEXPORT_ID)
		return grants_take_unexported(g, m);
	if (get_le32(m->reserved)) /* first: an order that is ended is not given again */
		return -EPROTO;
	r = scrub_done(&g->scrub, get_le64(m->header.id), get_le32(m->error), clock_milliseconds(),
		&order);
	if (order.id == 0) /* r does not tell: zeroing may have failed with that error */
		return -EPROTO;
	if (r < 0 && r != -ENOMEM) /* any number may come, and FUSE takes not all for an answer */
		r = -EIO;
	grants_note_zeroed(g, order.id, r);
	if (r == 0) {
		note_cleaned(g, &order);
		return 0;
	}
	grants_fail_order(g, &order, r);
	return 0;
}

/* True if the inode is held no more. */
static bool take_free_of(struct grants *g, uint64_t ino, uint64_t epoch)
{
	const struct inode *inode = meta_inode(g->meta, ino);
	int r;

	if (!inode || !inode_is_held(inode))
		return true;
	/* In a crash kernel nobody in /proc says nothing of devices that still write. */
	if (epoch != epochs_get(&g->epochs, ino) || store_keeps_held(g->config.ns->store))
		return false;
	r = ns_unhold(g->config.ns, ino);
	if (r < 0) {
		log_warning("inode %llu stays held: %s", (unsigned long long)ino, strerror(-r));
		return false;
	}
	epochs_forget(&g->epochs, ino);
	ns_spare_remove(g->config.ns, ino);
	return true;
}

int grants_take_free(struct grants *g, const struct link_check *m)
{
	uint64_t ino = get_le64(m->ino);
	bool is_free;

	if (get_le32(m->flags) || get_le32(m->pid))
		return -EPROTO;
	is_free = !g->config.after_panic && take_free_of(g, ino, get_le64(m->epoch));
	g->config.checked(g->config.data, ino, !is_free);
	return 0;
}

/* One that has changed since is offered anew when it is asked for. */
int grants_take_spare(struct grants *g, const struct link_spare *m)
{
	const struct ns_spare spare = {.ino = get_le64(m->ino),
		.uid = get_le32(m->uid),
		.any = get_le32(m->flags) & LINK_SPARE_ANY};
	const struct inode *inode = meta_inode(g->meta, spare.ino);

	if (get_le64(m->header.id) || (get_le32(m->flags) & ~LINK_SPARE_ANY))
		return -EPROTO;
	if (!inode || g->config.after_panic || store_keeps_held(g->config.ns->store) ||
		get_le64(m->epoch) != epochs_get(&g->epochs, spare.ino))
		return 0;
	/* Removed while its export is made: that would be of what is another's. */
	if (grants_is_exporting(g, spare.ino))
		return 0;
	if (get_le64(m->blocks) != inode_blocks(inode) &&
		ns_spare_keep(
			g->config.ns, spare.ino, get_le64(m->file_block), get_le64(m->blocks)) < 0)
		return 0;
	int r = ns_spare_add(g->config.ns, &spare);
	if (r == -ENOMEM)
		log_warning("inode %llu is not handed over: there is no memory to note it",
			(unsigned long long)spare.ino);
	return 0;
}

void grants_hand_over(struct grants *g)
{
	const struct ns_heritage h = g->config.ns->heritage;

	if (h.ino == 0)
		return;
	g->config.ns->heritage = (struct ns_heritage){.ino = 0};
	assert(g->ready); /* spares go with the link that they came over */
	epochs_forget(&g->epochs, h.from);
	grants_send_hand_over(&g->outbox, &h, epochs_get(&g->epochs, h.ino));
	log_info("inode %llu takes over what was inode %llu's", (unsigned long long)h.ino,
		(unsigned long long)h.from);
}

int grants_take_busy(struct grants *g, const struct link_check *m)
{
	if (get_le32(m->flags))
		return -EPROTO;
	g->config.checked(g->config.data, get_le64(m->ino), true);
	return 0;
}

/* ---- start and end ---- */

int grants_new(struct grants **ret, const struct grants_config *config)
{
	struct grants *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->config = *config;
	g->meta = store_meta(config->ns->store);
	g->fd = -1;
	epochs_init(&g->epochs, g->meta->mount_number);
	TAILQ_INIT(&g->waiting);
	TAILQ_INIT(&g->zeroings);
	outbox_init(&g->outbox, -1);
	scrub_init(&g->scrub, config->ns, &g->outbox, config->scrub_rate);
	*ret = g;
	return 0;
}

struct grants *grants_free(struct grants *g)
{
	if (!g)
		return NULL;
	grants_drop_link(g);
	while (!TAILQ_EMPTY(&g->waiting))
		grants_drop_waiting(g, TAILQ_FIRST(&g->waiting));
	grants_drop_zeroings(g);
	epochs_deinit(&g->epochs);
	free(g);
	return NULL;
}
