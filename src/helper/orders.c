// SPDX-License-Identifier: MIT
#include "helper/orders.h"
#include "helper/orders_internal.h"

#include <errno.h>
#include <inttypes.h>

#include "helper/server.h"

static int take_refuse(struct server *s, const struct link_refuse *m, struct problem *why)
{
	uint64_t id = get_le64(m->header.id);
	uint32_t error = get_le32(m->error), reason = get_le32(m->reason);

	if (!grants_is_asked(s, id))
		return problem(why, EPROTO, "a refusal that nobody asked for");
	if (error == 0 || error >= 4096 || reason > GM_REASON_DEVICE)
		return problem(why, EPROTO, "a refusal with error %" PRIu32 ", reason %" PRIu32,
			error, reason);
	grants_take_refusal(s, id, (int)error, (enum gm_reason)reason);
	return 0;
}

static int take_check(struct server *s, const struct link_check *m, struct problem *why)
{
	uint32_t flags = get_le32(m->flags);

	if (get_le64(m->ino) == 0)
		return problem(why, EPROTO, "a check of inode 0");
	if (get_le32(m->pid) != 0 || (flags & ~LINK_CHECK_FLAGS) || flags == LINK_CHECK_KEEP)
		return problem(why, EPROTO, "a check with flags or a field that it can't have");
	holders_check(s, get_le64(m->header.id), get_le64(m->ino), get_le64(m->epoch), flags);
	return 0;
}

static bool is_in_order(const struct link *l, uint16_t opcode)
{
	if (l->pending.active || opcode == LINK_EXTENTS)
		return l->pending.active && opcode == LINK_EXTENTS;
	switch (l->state) {
	case LINK_STATE_NEW:
		return opcode == LINK_CONFIG;
	case LINK_STATE_RESUMING:
		return opcode == LINK_HELD || opcode == LINK_RESUMED;
	case LINK_STATE_ADOPTING:
		return false;
	case LINK_STATE_UP:
		return opcode != LINK_CONFIG && opcode != LINK_HELD && opcode != LINK_RESUMED;
	case LINK_STATE_DOWN:
		break;
	}
	return false;
}

/* What asks nothing has no id, and neither have the extents that follow HELD. */
static bool has_needless_id(const struct link_header *h)
{
	uint16_t opcode = get_le16(h->opcode);

	return get_le64(h->id) != 0 &&
	       (opcode == LINK_CONFIG || opcode == LINK_HELD || opcode == LINK_RESUMED ||
		       opcode == LINK_NODE || opcode == LINK_HAND_OVER);
}

int orders_take(struct server *s, const union link_from_worker *m, struct problem *why)
{
	uint16_t opcode = get_le16(m->header.opcode);

	if (!is_in_order(&s->link, opcode))
		return problem(why, EPROTO, "message %u comes out of order", opcode);
	if (has_needless_id(&m->header))
		return problem(why, EPROTO, "message %u, which asks nothing, with an id", opcode);
	switch ((enum link_worker_opcode)opcode) {
	case LINK_CONFIG:
		return orders_take_config(s, &m->config, why);
	case LINK_HELD:
		return orders_take_held(s, &m->held, why);
	case LINK_RESUMED:
		return orders_take_resumed(s, why);
	case LINK_GRANT:
		return orders_take_grant(s, &m->grant, why);
	case LINK_REFUSE:
		return take_refuse(s, &m->refuse, why);
	case LINK_EXTENTS:
		return orders_take_extents(s, &m->extents, why);
	case LINK_SCRUB:
		return orders_take_scrub(s, &m->scrub, why);
	case LINK_ZERO:
		return orders_take_zero(s, &m->zero, why);
	case LINK_CHECK:
		return take_check(s, &m->check, why);
	case LINK_HOLDERS:
		holders_list(s, get_le64(m->header.id));
		return 0;
	case LINK_REVOKE:
		return revocations_begin(s, &m->revoke, why);
	case LINK_HAND_OVER:
		return spare_take_hand_over(s, &m->hand_over, why);
	case LINK_EXPORT:
	case LINK_NODE:
	case LINK_UNEXPORT:
		return orders_take_export(s, &m->export, why);
	case LINK_CONTENTS:
		return orders_take_contents(s, &m->contents, why);
	}
	return problem(why, EPROTO, "message %u is unknown", opcode);
}
