// SPDX-License-Identifier: MIT
/* Exports: device nodes over a file's memory, for clients that know nothing of tickets. */
#include <errno.h>
#include <string.h>

#include "fuse/grants_internal.h"
#include "fuse/grants_send.h"
#include "util/le.h"
#include "util/log.h"

static uint64_t *find_place(struct grants *g, uint64_t ino)
{
	for (size_t n = 0; n < GRANTS_EXPORTS_MAX; n++)
		if (g->exporting[n] == ino)
			return &g->exporting[n];
	return NULL;
}

static void answer(
	struct grants *g, uint64_t ino, int error, enum gm_reason reason, const char *node)
{
	g->config.exported(g->config.data, ino, error, reason, node);
}

/* The file is clean. Held and exported first, by a committed record, as with a grant. */
void grants_begin_export(struct grants *g, uint64_t ino)
{
	uint64_t *place = find_place(g, ino);
	const struct inode *inode;
	int r;

	if (place)
		return; /* under way already: its answer is for all who asked */
	place = find_place(g, 0);
	r = place ? epochs_reserve(&g->epochs, ino) : -EUSERS;
	if (r == 0)
		r = ns_set_exported(g->config.ns, ino, true);
	if (r < 0) {
		answer(g, ino, r, grants_reason_of(r), NULL);
		return;
	}
	*place = ino;
	inode = meta_inode(g->meta, ino);
	grants_send_export(&g->outbox, LINK_EXPORT, inode, epochs_next(&g->epochs, ino), ino);
}

/* A node that could not be made is no export; the inode stays held, since that is what the journal
 * promised. */
static void give_up(struct grants *g, uint64_t ino)
{
	int r = ns_set_exported(g->config.ns, ino, false);

	if (r < 0 && r != -ESTALE)
		log_warning("inode %llu stays marked as exported: %s", (unsigned long long)ino,
			strerror(-r));
}

int grants_take_exported(struct grants *g, const struct link_exported *m)
{
	uint64_t ino = get_le64(m->header.id);
	int error = (int)get_le32(m->error);
	uint64_t *place = ino ? find_place(g, ino) : NULL;

	if (!place || error < 0 || !memchr(m->node, '\0', sizeof(m->node)) ||
		(error == 0 && m->node[0] != '/'))
		return -EPROTO;
	*place = 0;
	if (error)
		give_up(g, ino);
	answer(g, ino, -error, (enum gm_reason)get_le32(m->reason), error ? NULL : m->node);
	return 0;
}

void grants_fail_exports(struct grants *g, int error)
{
	struct waiting *w;

	for (size_t n = 0; n < GRANTS_EXPORTS_MAX; n++) {
		uint64_t ino = g->exporting[n];

		if (!ino)
			continue;
		g->exporting[n] = 0;
		give_up(g, ino);
		answer(g, ino, error, GM_REASON_STARTING, NULL);
	}
	TAILQ_FOREACH (w, &g->waiting, link) {
		const struct request *rq;

		STAILQ_FOREACH (rq, &w->requests, link)
			if (rq->access == 0)
				answer(g, w->ino, error, GM_REASON_STARTING, NULL);
	}
}

int grants_unexport(struct grants *g, uint64_t ino)
{
	const struct inode *inode = meta_inode(g->meta, ino);
	int r;

	if (!inode || !(inode->attr.flags & GM_INODE_EXPORTED))
		return -ENOENT;
	if (!g->ready)
		return -EAGAIN;
	r = ns_set_exported(g->config.ns, ino, false);
	if (r == 0)
		grants_send_export(&g->outbox, LINK_UNEXPORT, inode, 0, GRANTS_UNEXPORT_ID | ino);
	return r;
}

void grants_node_changed(struct grants *g, uint64_t ino)
{
	const struct inode *inode = meta_inode(g->meta, ino);

	if (g->ready && inode && (inode->attr.flags & GM_INODE_EXPORTED))
		grants_send_export(&g->outbox, LINK_NODE, inode, 0, 0);
}
