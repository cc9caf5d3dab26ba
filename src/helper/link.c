// SPDX-License-Identifier: MIT
/* The link as such: coming up, going down, sending, receiving. What the messages do is in
 * orders*.c.
 */
#include "helper/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/orders.h"
#include "helper/server.h"
#include "util/log.h"
#include "util/packet.h"

void link_init(struct link *l)
{
	*l = (struct link){.source = SOURCE_INIT(SOURCE_LINK)};
}

static void link_forget_unsent(struct link *l)
{
	l->queue_start = l->queue_end = 0;
}

void link_deinit(struct server *s)
{
	struct link *l = &s->link;

	source_close(&l->source, s->epoll);
	free(l->pending.extents);
	free(l->queue);
	link_init(l);
}

/* The record and the holders stay: VMs have their memory, whatever becomes of the worker. */
static void link_drop(struct server *s)
{
	struct link *l = &s->link;

	if (l->state == LINK_STATE_DOWN)
		return;
	source_close(&l->source, s->epoll);
	l->state = LINK_STATE_DOWN;
	link_forget_unsent(l);
	free(l->pending.extents);
	l->pending = (struct link_pending){.active = false};
	grants_link_lost(s);
	holders_link_lost(s);
	contents_link_lost(s);
}

void link_connect(struct server *s, int fd)
{
	struct link *l = &s->link;

	link_drop(s);
	l->source.fd = fd;
	int r = source_add(&l->source, s->epoll, EPOLLIN);
	if (r < 0) {
		log_error("the new link to the worker can't be used: %s", strerror(-r));
		l->source.fd = close_fd(fd);
		return;
	}
	l->serial++;
	l->state = LINK_STATE_NEW;
	log_debug("link %u to the worker", (unsigned)l->serial);
}

/* ---- sending ---- */

/* Reading pauses while the worker does not read either: each of its questions could only add to the
 * queue. */
static void link_update_events(struct server *s)
{
	struct link *l = &s->link;
	size_t unsent = l->queue_end - l->queue_start;
	bool contents = contents_are_waiting(s);
	bool pauses = unsent >= LINK_QUEUE_BUSY || contents || l->state == LINK_STATE_ADOPTING;

	source_set_events(&l->source, s->epoll,
		(unsent > 0 || contents ? (uint32_t)EPOLLOUT : 0U) |
			(pauses ? 0U : (uint32_t)EPOLLIN));
}

void link_adopting(struct server *s)
{
	s->link.state = LINK_STATE_ADOPTING;
	link_update_events(s);
}

void link_bring_up(struct server *s)
{
	s->link.state = LINK_STATE_UP;
	link_update_events(s);
	log_info("link to the worker is up, %zu inodes are held", s->record.inode_count);
	holders_link_up(s);
	grants_link_up(s);
}

static int link_enqueue(struct link *l, const void *data, size_t size)
{
	if (l->queue_start > 0 && l->queue_end + size > l->queue_room) {
		memmove(l->queue, l->queue + l->queue_start, l->queue_end - l->queue_start);
		l->queue_end -= l->queue_start;
		l->queue_start = 0;
	}
	if (l->queue_end + size > LINK_QUEUE_MAX)
		return -ENOBUFS;
	if (l->queue_end + size > l->queue_room) {
		size_t room = l->queue_room ? l->queue_room * 2 : 4096;
		uint8_t *queue = realloc(l->queue, room);
		if (!queue)
			return -ENOMEM;
		l->queue = queue;
		l->queue_room = room;
	}
	memcpy(l->queue + l->queue_end, data, size);
	l->queue_end += size;
	return 0;
}

void link_send(struct server *s, const struct link_header *header)
{
	struct link *l = &s->link;
	size_t size = get_le32(header->size);
	int r = -EAGAIN;

	if (l->state == LINK_STATE_DOWN)
		return;
	if (l->queue_start == l->queue_end)
		r = packet_send(l->source.fd, header, size, NULL, 0, false);
	if (r == -EAGAIN)
		r = link_enqueue(l, header, size);
	if (r < 0) {
		/* An answer is lost, so the link is of no use. Who called us may be in the midst of
		 * handling a message: the end comes with the next event. */
		log_error("sending to the worker fails: %s", strerror(-r));
		link_forget_unsent(l);
		(void)shutdown(l->source.fd, SHUT_RDWR);
	}
	link_update_events(s);
}

int link_send_descriptor(struct server *s, const struct link_header *header, int fd)
{
	struct link *l = &s->link;

	if (l->queue_start < l->queue_end)
		return -EAGAIN;
	return packet_send(l->source.fd, header, get_le32(header->size), &fd, 1, false);
}

void link_flush(struct server *s)
{
	struct link *l = &s->link;

	while (l->queue_start < l->queue_end) {
		struct link_header header;
		const uint8_t *at = l->queue + l->queue_start;
		memcpy(&header, at, sizeof(header));
		size_t size = get_le32(header.size);
		int r = packet_send(l->source.fd, at, size, NULL, 0, false);
		if (r == -EAGAIN)
			break;
		if (r < 0) {
			link_forget_unsent(l); /* reading will show the end */
			break;
		}
		l->queue_start += size;
	}
	if (l->queue_start == l->queue_end) {
		link_forget_unsent(l);
		contents_go_on(s);
	}
	link_update_events(s);
}

/* ---- receiving ---- */

/* The size that a message with this opcode has; of EXTENTS, which are as long as they are many, the
 * largest. */
static size_t message_size(uint16_t opcode)
{
	switch (opcode) {
	case LINK_CONFIG:
		return sizeof(struct link_config);
	case LINK_HELD:
		return sizeof(struct link_held);
	case LINK_RESUMED:
	case LINK_HOLDERS:
		return sizeof(struct link_plain);
	case LINK_GRANT:
		return sizeof(struct link_grant);
	case LINK_REFUSE:
		return sizeof(struct link_refuse);
	case LINK_EXTENTS:
		return sizeof(struct link_extents);
	case LINK_SCRUB:
		return sizeof(struct link_scrub);
	case LINK_ZERO:
		return sizeof(struct link_zero);
	case LINK_REVOKE:
		return sizeof(struct link_revoke);
	case LINK_CHECK:
		return sizeof(struct link_check);
	case LINK_HAND_OVER:
		return sizeof(struct link_hand_over);
	case LINK_CONTENTS:
		return sizeof(struct link_contents);
	case LINK_EXPORT:
	case LINK_NODE:
	case LINK_UNEXPORT:
		return sizeof(struct link_export);
	default:
		return 0;
	}
}

/* Does the header fit the packet, and is there such a message? */
static int check_message(const struct link_header *header, size_t size, struct problem *why)
{
	if (size < sizeof(*header))
		return problem(why, EPROTO, "a message of %zu bytes", size);
	uint16_t opcode = get_le16(header->opcode);
	size_t wanted = message_size(opcode);
	if (wanted == 0)
		return problem(why, EPROTO, "a message with the unknown opcode %u", opcode);
	bool fits = opcode == LINK_EXTENTS ? size > link_extents_size(0) && size <= wanted
					   : size == wanted;
	if (!fits || get_le32(header->size) != size)
		return problem(why, EPROTO, "message %u with %zu bytes instead of %zu", opcode,
			size, wanted);
	if (get_le16(header->reserved) != 0)
		return problem(why, EPROTO, "message %u with a reserved field in use", opcode);
	return 0;
}

static void link_receive(struct server *s)
{
	union link_from_worker m;
	struct problem why = PROBLEM_INIT;
	ssize_t n = packet_receive(s->link.source.fd, &m, sizeof(m), NULL, NULL, false);

	if (n == -EAGAIN)
		return;
	if (n == 0 || n == -ECONNRESET) {
		log_info("the worker has closed its link");
		link_drop(s);
		return;
	}
	int r = n < 0 ? problem_errno(&why, (int)-n, "receiving")
		      : check_message(&m.header, (size_t)n, &why);
	if (r >= 0)
		r = orders_take(s, &m, &why);
	if (r < 0) {
		uint16_t opcode = n < (ssize_t)sizeof(m.header) ? 0 : get_le16(m.header.opcode);
		audits_worker_refused(s, opcode, 0, -r, why.text);
		log_error("the link to the worker is closed: %s", why.text);
		link_drop(s);
	}
}

void link_handle(struct server *s, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR))
		link_forget_unsent(
			&s->link); /* nobody will read it, and it must not keep us from reading */
	if (events & EPOLLOUT)
		link_flush(s);
	if ((events & (EPOLLHUP | EPOLLERR)) && s->link.state == LINK_STATE_ADOPTING) {
		log_info("the worker has closed its link");
		link_drop(s);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		link_receive(s);
}
