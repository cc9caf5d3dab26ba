// SPDX-License-Identifier: MIT
/*
 * STATUS: the helper is asked once for all who wait, and what it tells is kept until it has told of
 * everybody or has had its time.
 */
#include "fuse/control_internal.h"

#include <stdlib.h>

#include "fuse/grants.h"
#include "util/log.h"

void control_reply_holders(struct control *k, bool whole)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *c = &k->clients[i];

		if (c->fd < 0 || !c->wants_holders)
			continue;
		c->wants_holders = false;
		c->deadline += CONTROL_IDLE_MS;
		control_reply(k, c, status_make(k->status, k->holders, k->holder_count, whole));
	}
}

void control_ask_holders(struct control *k, struct control_client *c, uint64_t now)
{
	c->wants_holders = true;
	c->deadline = now + CONTROL_HOLDERS_MS;
	if (k->asked)
		return; /* another client's question is on its way */
	k->asked = grants_ask_holders(k->grants);
	if (!k->asked)
		control_reply_holders(k, false);
}

void control_take_holder(struct control *k, const struct link_holder *h)
{
	if (!h) {
		control_reply_holders(k, grants_is_ready(k->grants) && !k->cut_short);
		k->asked = false;
		k->cut_short = false;
		k->holder_count = 0;
		return;
	}
	if (k->holder_count == k->holder_room) {
		size_t room = k->holder_room ? 2 * k->holder_room : 64;
		struct link_holder *more = reallocarray(k->holders, room, sizeof(*more));

		if (!more) {
			log_warning("the list of holders is cut short: out of memory");
			k->cut_short = true;
			return;
		}
		k->holders = more;
		k->holder_room = room;
	}
	k->holders[k->holder_count++] = *h;
}
