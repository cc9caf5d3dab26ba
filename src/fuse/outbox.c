// SPDX-License-Identifier: MIT
#include "fuse/outbox.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/packet.h"

struct outbox_packet {
	STAILQ_ENTRY(outbox_packet) link; /* outbox.packets */
	size_t size;
	uint8_t bytes[];
};

void outbox_init(struct outbox *o, int fd)
{
	o->fd = fd;
	o->error = 0;
	STAILQ_INIT(&o->packets);
}

static void drop_first(struct outbox *o)
{
	struct outbox_packet *p = STAILQ_FIRST(&o->packets);

	STAILQ_REMOVE_HEAD(&o->packets, link);
	free(p);
}

void outbox_deinit(struct outbox *o)
{
	while (!outbox_is_empty(o))
		drop_first(o);
	o->fd = -1;
}

static void keep(struct outbox *o, const void *bytes, size_t size)
{
	struct outbox_packet *p = malloc(sizeof(*p) + size);

	if (!p) {
		/* A gap in the sequence would be worse than an end. */
		o->error = -ENOMEM;
		return;
	}
	p->size = size;
	memcpy(p->bytes, bytes, size);
	STAILQ_INSERT_TAIL(&o->packets, p, link);
}

void outbox_put(struct outbox *o, const void *packet, size_t size)
{
	int r = -EAGAIN;

	if (o->fd < 0 || o->error < 0)
		return;
	if (outbox_is_empty(o))
		r = packet_send(o->fd, packet, size, NULL, 0, false);
	if (r == -EAGAIN)
		keep(o, packet, size);
	else if (r < 0)
		o->error = r;
}

void outbox_flush(struct outbox *o)
{
	while (o->fd >= 0 && o->error == 0 && !outbox_is_empty(o)) {
		const struct outbox_packet *p = STAILQ_FIRST(&o->packets);
		int r = packet_send(o->fd, p->bytes, p->size, NULL, 0, false);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			o->error = r;
			return;
		}
		drop_first(o);
	}
}
