/* SPDX-License-Identifier: MIT */
/*
 * Packets on their way out of a non-blocking SOCK_SEQPACKET socket: sent at once while the socket
 * takes them, kept in order when it is full. The socket belongs to somebody else.
 *
 * An error is remembered and ends the sending: the caller looks at it once, where
 * it looks after the socket.
 */
#ifndef GM_FUSE_OUTBOX_H
#define GM_FUSE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct outbox {
	int fd;
	int error; /* 0, or the negative errno that ended the sending (-ENOMEM too) */
	STAILQ_HEAD(, outbox_packet) packets;
};

/* fd may be -1: everything that is put in is dropped then, as on a link that has failed. */
void outbox_init(struct outbox *o, int fd);
void outbox_deinit(struct outbox *o); /* drops what is not sent */

void outbox_put(struct outbox *o, const void *packet, size_t size);

/* Sends what the socket takes. */
void outbox_flush(struct outbox *o);

static inline bool outbox_is_empty(const struct outbox *o)
{
	return STAILQ_EMPTY(&o->packets);
}

#endif
