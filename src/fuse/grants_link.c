// SPDX-License-Identifier: MIT
/* The link to the helper: what comes is checked and given on, what is held is told to a helper that
 * is new. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "fuse/grants.h"
#include "fuse/grants_internal.h"
#include "fuse/grants_send.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

#define READS_PER_WAKEUP 64U /* then the others have their turn */

void grants_check(struct grants *g, uint64_t ino, unsigned flags)
{
	if (g->ready && !g->config.after_panic)
		grants_send_check(&g->outbox, ino, epochs_get(&g->epochs, ino), flags);
}

static void check_held(struct grants *g, bool named)
{
	const struct inode *inode;
	size_t cursor = 0;

	while ((inode = meta_each_inode(g->meta, &cursor)))
		if (inode_is_held_orphan(inode))
			grants_check(g, inode->attr.ino, LINK_CHECK_TAKE | LINK_CHECK_KEEP);
		else if (named && inode_is_held(inode))
			grants_check(g, inode->attr.ino, 0);
}

void grants_thawed(struct grants *g)
{
	check_held(g, true);
}

uint32_t grants_retired(const struct grants *g)
{
	return g->retired;
}

bool grants_ask_holders(struct grants *g)
{
	if (!g->ready)
		return false;
	if (!g->asked_holders)
		grants_send_plain(&g->outbox, LINK_HOLDERS);
	g->asked_holders = true;
	return true;
}

static int take_ready(struct grants *g)
{
	if (g->ready)
		return -EPROTO;
	g->ready = true;
	scrub_resend(&g->scrub);
	grants_resume_exports(g);
	/* It has not heard that they are removed, or its predecessor was still at it. */
	check_held(g, false);
	return 0;
}

static bool is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static int take_holder(struct grants *g, const struct link_holder *m)
{
	if (!is_text(m->command, sizeof(m->command)) || !is_text(m->cgroup, sizeof(m->cgroup)))
		return -EPROTO;
	if (get_le64(m->header.id))
		return grants_take_revoked_holder(g, m);
	if (!g->asked_holders)
		return -EPROTO;
	g->config.holder(g->config.data, m);
	return 0;
}

static int take_holders_end(struct grants *g, const struct link_holders_end *m)
{
	if (!g->asked_holders || get_le32(m->reserved))
		return -EPROTO;
	g->asked_holders = false;
	g->retired = get_le32(m->retired);
	g->config.holder(g->config.data, NULL);
	return 0;
}

union link_from_helper {
	struct link_header header;
	struct link_plain plain;
	struct link_redeem redeem;
	struct link_done done;
	struct link_check check;
	struct link_holder holder;
	struct link_holders_end holders_end;
	struct link_exported exported;
	struct link_revoked revoked;
	struct link_spare spare;
};

static size_t size_of(unsigned opcode)
{
	switch (opcode) {
	case LINK_READY:
		return sizeof(struct link_plain);
	case LINK_HOLDERS_END:
		return sizeof(struct link_holders_end);
	case LINK_REDEEM:
		return sizeof(struct link_redeem);
	case LINK_DONE:
		return sizeof(struct link_done);
	case LINK_FREE:
	case LINK_BUSY:
		return sizeof(struct link_check);
	case LINK_HOLDER:
		return sizeof(struct link_holder);
	case LINK_EXPORTED:
		return sizeof(struct link_exported);
	case LINK_REVOKED:
		return sizeof(struct link_revoked);
	case LINK_SPARE:
		return sizeof(struct link_spare);
	default:
		return 0;
	}
}

static int take_message(struct grants *g, const union link_from_helper *m, size_t size)
{
	unsigned opcode = get_le16(m->header.opcode);

	if (size < sizeof(m->header) || size != size_of(opcode) ||
		get_le32(m->header.size) != size || get_le16(m->header.reserved) ||
		(!g->ready && opcode != LINK_READY))
		return -EPROTO;
	switch (opcode) {
	case LINK_READY:
		return take_ready(g);
	case LINK_REDEEM:
		return grants_redeem(g, &m->redeem);
	case LINK_DONE:
		return grants_take_done(g, &m->done);
	case LINK_FREE:
		return grants_take_free(g, &m->check);
	case LINK_BUSY:
		return grants_take_busy(g, &m->check);
	case LINK_HOLDER:
		return take_holder(g, &m->holder);
	case LINK_EXPORTED:
		return grants_take_exported(g, &m->exported);
	case LINK_REVOKED:
		return grants_take_revoked(g, &m->revoked);
	case LINK_SPARE:
		return grants_take_spare(g, &m->spare);
	default: /* LINK_HOLDERS_END: size_of() knows no other */
		return take_holders_end(g, &m->holders_end);
	}
}

/* ---- the link ---- */

void grants_drop_link(struct grants *g)
{
	outbox_deinit(&g->outbox);
	g->fd = close_fd(g->fd);
	g->ready = false;
	ns_spares_forget(g->config.ns);
	free(g->held);
	g->held = NULL;
	grants_lose_exports(g);
	grants_fail_revokes(g, -EAGAIN);
	while (!TAILQ_EMPTY(&g->waiting))
		grants_drop_waiting(g, TAILQ_FIRST(&g->waiting));
	if (g->asked_holders) {
		g->asked_holders = false;
		g->config.holder(g->config.data, NULL);
	}
}

static int list_held(struct grants *g)
{
	const struct inode *inode;
	size_t cursor = 0, n = 0;

	g->held = calloc(g->meta->inode_count + 1, sizeof(*g->held));
	if (!g->held)
		return -ENOMEM;
	while ((inode = meta_each_inode(g->meta, &cursor)))
		if (inode->attr.flags & GM_INODE_HELD)
			g->held[n++] = inode->attr.ino;
	g->held_count = n;
	g->held_sent = 0;
	return 0;
}

/* One inode after the other as the socket takes them: all at once may be a great many extents. */
static void tell_held(struct grants *g)
{
	while (g->held && outbox_is_empty(&g->outbox) && g->outbox.error == 0) {
		if (g->held_sent < g->held_count) {
			const struct inode *inode = meta_inode(g->meta, g->held[g->held_sent++]);

			/* Nothing is read from the helper yet, so that none can have been let go.
			 */
			assert(inode && (inode->attr.flags & GM_INODE_HELD));
			bool inherited = inode->attr.flags & GM_INODE_INHERITED;
			grants_send_held(&g->outbox, inode, inherited ? NULL : g->meta->alloc,
				epochs_get(&g->epochs, inode->attr.ino));
			continue;
		}
		grants_send_plain(&g->outbox, LINK_RESUMED);
		free(g->held);
		g->held = NULL;
	}
}

int grants_set_link(struct grants *g, int fd)
{
	int r;

	grants_drop_link(g);
	r = list_held(g);
	if (r < 0) {
		(void)close_fd(fd);
		return r;
	}
	g->fd = fd;
	outbox_init(&g->outbox, fd);
	grants_send_config(&g->outbox, store_get_super(g->config.ns->store));
	tell_held(g);
	return 0;
}

int grants_fd(const struct grants *g)
{
	return g->fd;
}

uint32_t grants_events(const struct grants *g)
{
	return (g->held ? 0U : (uint32_t)EPOLLIN) |
	       (g->held || !outbox_is_empty(&g->outbox) ? (uint32_t)EPOLLOUT : 0U);
}

bool grants_is_ready(const struct grants *g)
{
	return g->ready;
}

static int receive(struct grants *g)
{
	for (unsigned i = 0; i < READS_PER_WAKEUP; i++) {
		union link_from_helper m;
		ssize_t n = packet_receive(g->fd, &m, sizeof(m), NULL, NULL, false);

		if (n == -EAGAIN)
			return 0;
		if (n == 0)
			return -ECONNRESET;
		if (n < 0)
			return (int)n;
		int r = take_message(g, &m, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

bool grants_serve(struct grants *g, uint32_t events)
{
	int r = 0;

	if (g->fd < 0)
		return false;
	outbox_flush(&g->outbox);
	tell_held(g);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !g->held)
		r = receive(g);
	else if (events & (EPOLLHUP | EPOLLERR))
		r = -ECONNRESET;
	if (r == 0)
		r = g->outbox.error;
	if (r == 0)
		return true;
	if (r == -ECONNRESET || r == -EPIPE)
		log_info("the helper has closed its link");
	else
		log_error("the link to the helper is given up: %s", strerror(-r));
	grants_drop_link(g);
	return false;
}
