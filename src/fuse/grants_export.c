// SPDX-License-Identifier: MIT
/*
 * Exports: device nodes over a file's memory, for clients that know nothing of tickets.
 *
 * The journal says that a file is exported before its node opens, and that it is no longer after
 * the node is closed. So whatever dies in between, a node that somebody else can open belongs to a
 * file that is known to be exported; each new helper is told whose these are.
 */
#include <errno.h>
#include <string.h>

#include "fuse/grants_internal.h"
#include "fuse/grants_send.h"
#include "util/le.h"
#include "util/log.h"

static struct transition *find_place(struct grants *g, uint64_t ino)
{
	for (size_t n = 0; n < GRANTS_EXPORTS_MAX; n++)
		if (g->transitions[n].ino == ino)
			return &g->transitions[n];
	return NULL;
}

bool grants_is_exporting(struct grants *g, uint64_t ino)
{
	return find_place(g, ino);
}

static void free_place(struct transition *t)
{
	*t = (struct transition){.ino = 0};
}

static bool is_exported(const struct grants *g, uint64_t ino)
{
	const struct inode *inode = meta_inode(g->meta, ino);

	return inode && (inode->attr.flags & GM_INODE_EXPORTED);
}

/* ---- the beginning ---- */

static void answer(
	struct grants *g, uint64_t ino, int error, enum gm_reason reason, const char *node)
{
	g->config.exported(g->config.data, ino, error, reason, node);
}

static void send_node(struct grants *g, unsigned opcode, uint64_t ino, uint64_t epoch, uint64_t id,
	const struct asker *asker)
{
	const struct inode *i = meta_inode(g->meta, ino);

	grants_send_export(&g->outbox, opcode, i, ns_node_mode(g->meta, i), epoch, id, asker);
}

/* The file is clean. Held and exported first, by a committed record, as with a grant. */
void grants_begin_export(struct grants *g, uint64_t ino, const struct asker *asker)
{
	struct transition *place = find_place(g, ino);
	bool was_exported = is_exported(g, ino);
	int r;

	/* Removed while it waited to be clean: the helper has closed its node for good. */
	if (inode_is_held_orphan(meta_inode(g->meta, ino))) {
		answer(g, ino, -ESTALE, GM_REASON_GONE, NULL);
		return;
	}
	if (place && !place->ends)
		return; /* under way already: its answer is for all who asked */
	if (place) {
		answer(g, ino, -EAGAIN, GM_REASON_STARTING, NULL);
		return;
	}
	place = find_place(g, 0);
	r = place ? epochs_reserve(&g->epochs, ino) : -EUSERS;
	if (r == 0)
		r = ns_set_exported(g->config.ns, ino, true);
	if (r < 0) {
		answer(g, ino, r, grants_reason_of(r), NULL);
		return;
	}
	ns_spare_remove(g->config.ns, ino);
	*place = (struct transition){.ino = ino, .was_exported = was_exported};
	send_node(g, LINK_EXPORT, ino, epochs_next(&g->epochs, ino), ino, asker);
}

/* A node that could not be made is no export; the inode stays held, since that is what the journal
 * promised. One that was there before stays as it was. */
static void give_up(struct grants *g, const struct transition *t)
{
	int r = t->was_exported ? 0 : ns_set_exported(g->config.ns, t->ino, false);

	if (r < 0 && r != -ESTALE)
		log_warning("inode %llu stays marked as exported: %s", (unsigned long long)t->ino,
			strerror(-r));
}

int grants_take_exported(struct grants *g, const struct link_exported *m)
{
	uint64_t ino = get_le64(m->header.id);
	int error = (int)get_le32(m->error);
	struct transition *place = ino ? find_place(g, ino) : NULL;

	if (!place || place->ends || error < 0 || !memchr(m->node, '\0', sizeof(m->node)) ||
		(error == 0 && m->node[0] != '/'))
		return -EPROTO;
	if (error)
		give_up(g, place);
	free_place(place);
	answer(g, ino, -error, (enum gm_reason)get_le32(m->reason), error ? NULL : m->node);
	return 0;
}

/* ---- the end ---- */

static void answer_end(struct grants *g, const struct transition *t, int error)
{
	if (t->asked)
		g->config.unexported(g->config.data, t->ino, error);
}

static void send_end(struct grants *g, uint64_t ino, const struct asker *asker)
{
	send_node(g, LINK_UNEXPORT, ino, 0, GRANTS_UNEXPORT_ID | ino, asker);
}

int grants_unexport(struct grants *g, uint64_t ino, const struct asker *asker)
{
	struct transition *place = find_place(g, ino);

	if (!is_exported(g, ino))
		return -ENOENT;
	if (!g->ready || (place && !place->ends))
		return -EAGAIN;
	if (!place) {
		place = find_place(g, 0);
		if (!place)
			return -EUSERS;
		*place = (struct transition){.ino = ino, .ends = true};
		send_end(g, ino, asker);
	}
	place->asked = true;
	return 0;
}

int grants_take_unexported(struct grants *g, const struct link_done *m)
{
	uint64_t ino = get_le64(m->header.id) & ~GRANTS_UNEXPORT_ID;
	int error = (int)get_le32(m->error);
	struct transition *place = ino ? find_place(g, ino) : NULL;

	if (!place || !place->ends || error < 0 || get_le32(m->reserved))
		return -EPROTO;
	const struct transition t = *place;
	int r = error ? -error : ns_set_exported(g->config.ns, ino, false);
	free_place(place);
	if (r < 0 && r != -ESTALE) {
		log_warning("the export of inode %llu does not end: %s", (unsigned long long)ino,
			strerror(-r));
		grants_node_changed(g, ino); /* as it was, or as it has become meanwhile */
	}
	answer_end(g, &t, r);
	return 0;
}

void grants_node_changed(struct grants *g, uint64_t ino)
{
	const struct transition *place = find_place(g, ino);

	/* One that is about to end must not open once more, nor one that is removed. */
	if (g->ready && is_exported(g, ino) && !(place && place->ends) &&
		!inode_is_held_orphan(meta_inode(g->meta, ino)))
		send_node(g, LINK_NODE, ino, 0, 0, NULL);
}

/* ---- the link ---- */

/* Nobody knows how far the helper has come. What was to end, and what began without an answer for
 * anybody to rely on, ends with the next helper. */
static void lose_transition(struct grants *g, struct transition *t)
{
	const struct transition lost = *t;

	*t = (struct transition){.ino = lost.ino, .ends = true};
	if (!lost.ends && lost.was_exported)
		free_place(t);
	if (lost.ends)
		answer_end(g, &lost, -EAGAIN);
	else
		answer(g, lost.ino, -EAGAIN, GM_REASON_STARTING, NULL);
}

void grants_lose_exports(struct grants *g)
{
	struct waiting *w;

	for (size_t n = 0; n < GRANTS_EXPORTS_MAX; n++)
		if (g->transitions[n].ino)
			lose_transition(g, &g->transitions[n]);
	TAILQ_FOREACH (w, &g->waiting, link) {
		const struct request *rq;

		STAILQ_FOREACH (rq, &w->requests, link)
			if (rq->access == 0 && !rq->clean)
				answer(g, w->ino, -EAGAIN, GM_REASON_STARTING, NULL);
	}
}

void grants_resume_exports(struct grants *g)
{
	const struct inode *inode;
	size_t cursor = 0;

	for (struct transition *t = g->transitions; t < g->transitions + GRANTS_EXPORTS_MAX; t++)
		if (t->ino && is_exported(g, t->ino))
			send_end(g, t->ino, NULL);
		else
			free_place(t);
	while ((inode = meta_each_inode(g->meta, &cursor)))
		grants_node_changed(g, inode->attr.ino);
}
