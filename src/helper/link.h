/* SPDX-License-Identifier: MIT */
/*
 * The link to the worker (src/proto/link.h). The worker is believed nothing that can be checked: a
 * message that breaks the protocol, or a record that contradicts ours, ends the link; grants and
 * orders that contradict it are refused. Sending never waits and never fails at once: what can't be
 * sent is queued, and a broken link shows when it is read.
 */
#ifndef GM_HELPER_LINK_H
#define GM_HELPER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/grants.h"
#include "helper/record.h"
#include "helper/source.h"
#include "proto/link.h"
#include "util/le.h"

/* Above this much unsent we take no more from the worker; it is the hard end of a link that does
 * not read at all. */
#define LINK_QUEUE_BUSY 65536U
#define LINK_QUEUE_MAX  (16U << 20)

struct server;

enum link_state {
	LINK_STATE_DOWN,
	LINK_STATE_NEW,      /* CONFIG must come */
	LINK_STATE_RESUMING, /* HELD, until RESUMED */
	LINK_STATE_ADOPTING, /* nothing is taken until the devices that are there are known */
	LINK_STATE_UP,
};

/* A HELD, GRANT, EXPORT or CONTENTS whose extents are still coming; nothing else may come in
 * between. */
struct link_pending {
	bool active;
	enum link_worker_opcode opcode;
	struct grant_order order;
	struct link_export export;     /* of an EXPORT */
	uint64_t from;                 /* of a CONTENTS */
	struct record_extent *extents; /* owned */
	size_t wanted;
	size_t count;
	size_t room;
};

struct link {
	struct source source;
	enum link_state state;
	uint64_t serial; /* of this link; each one has its own */
	struct link_pending pending;
	uint8_t *queue; /* whole messages, owned */
	size_t queue_start;
	size_t queue_end;
	size_t queue_room;
	/* What the first CONFIG said; it holds as long as the helper lives. */
	bool configured;
	struct link_config config;
};

void link_init(struct link *l);
void link_deinit(struct server *s);

static inline bool link_is_up(const struct link *l)
{
	return l->state == LINK_STATE_UP;
}

/* A new link has come from the supervisor (fd is taken over); the one before is dropped. */
void link_connect(struct server *s, int fd);

/* Events of epoll(7) on the link. */
void link_handle(struct server *s, uint32_t events);

/* Sends a message of header->size bytes, or queues it. Without a link it is dropped. */
void link_send(struct server *s, const struct link_header *header);

/* Sends one with a descriptor, which stays the caller's. Never queued: -EAGAIN, then
 * contents_go_on() is called when it is worth another try; other negative errnos of sendmsg(2). */
int link_send_descriptor(struct server *s, const struct link_header *header, int fd);

/* Sends what the socket takes of what waits. */
void link_flush(struct server *s);

/* After RESUMED: what the worker sends is left where it is, until it is taken. */
void link_adopting(struct server *s);
void link_bring_up(struct server *s);

#endif
