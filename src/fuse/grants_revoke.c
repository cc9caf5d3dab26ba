// SPDX-License-Identifier: MIT
/* Revocations: what the worker can take back by itself, and the question to the helper. */
#include <errno.h>

#include "fuse/grants_internal.h"
#include "fuse/grants_send.h"
#include "fuse/tickets.h"
#include "util/le.h"
#include "util/log.h"

/* Nobody gets the file by what was given out before. */
static int end_rights(struct grants *g, uint64_t ino, const struct asker *asker)
{
	int r = grants_unexport(g, ino, asker);

	if (r < 0 && r != -ENOENT)
		return r;
	(void)tickets_revoke(g->config.tickets, ino);
	grants_refuse_waiting(g, ino, -EKEYREJECTED);
	return 0;
}

int grants_revoke(
	struct grants *g, uint64_t ino, bool kill, const struct asker *asker, uint64_t *id)
{
	int r = 0;

	if (!g->ready)
		return -EAGAIN;
	if (kill)
		r = end_rights(g, ino, asker);
	if (r < 0)
		return r;
	*id = ++g->last_revoke;
	g->revoking++;
	grants_send_revoke(&g->outbox, ino, kill, asker->uid, *id);
	if (kill)
		log_info("inode %llu is revoked (by pid %d, uid %u)", (unsigned long long)ino,
			(int)asker->pid, asker->uid);
	return 0;
}

static bool is_asked(const struct grants *g, uint64_t id)
{
	return g->revoking > 0 && id > 0 && id <= g->last_revoke;
}

void grants_fail_revokes(struct grants *g, int error)
{
	if (g->revoking > 0)
		g->config.revoked(g->config.data, 0, NULL, error);
	g->revoking = 0;
}

int grants_take_revoked_holder(struct grants *g, const struct link_holder *m)
{
	uint64_t id = get_le64(m->header.id);

	if (!is_asked(g, id))
		return -EPROTO;
	g->config.revoked(g->config.data, id, m, 0);
	return 0;
}

int grants_take_revoked(struct grants *g, const struct link_revoked *m)
{
	uint64_t id = get_le64(m->header.id);
	uint32_t state = get_le32(m->state);

	if (!is_asked(g, id) || state > LINK_REVOKED_HELD || get_le32(m->reserved))
		return -EPROTO;
	g->revoking--;
	g->config.revoked(g->config.data, id, NULL, (int)state);
	return 0;
}
