// SPDX-License-Identifier: MIT
#include "fuse/worker_link.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/link.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

void worker_link_send(int link, unsigned opcode, uint64_t id)
{
	struct link_plain m = {.header = link_header_make(sizeof(m), opcode, id)};
	int r = packet_send(link, &m, sizeof(m), NULL, 0, false);

	if (r < 0)
		log_debug("message %u to the supervisor: %s", opcode, strerror(-r));
}

int worker_link_send_fd(int link, unsigned opcode, int fd)
{
	struct link_plain m = {.header = link_header_make(sizeof(m), opcode, 0)};

	return packet_send(link, &m, sizeof(m), &fd, 1, false);
}

void worker_link_send_failed(int link, int error, const struct problem *why)
{
	struct link_failed m = {
		.header = link_header_make(sizeof(m), LINK_FAILED, 0),
		.error = put_le32((uint32_t)-error),
	};

	(void)snprintf(m.text, sizeof(m.text), "%s", why->text);
	if (packet_send(link, &m, sizeof(m), NULL, 0, false) < 0)
		log_error("%s", why->text); /* nobody else will say it */
}

int worker_link_send_log(int link, int level, const char *text)
{
	struct link_log m = {
		.header = link_header_make(sizeof(m), LINK_LOG, 0),
		.level = put_le32((uint32_t)level),
	};

	(void)snprintf(m.text, sizeof(m.text), "%s", text);
	return packet_send(link, &m, sizeof(m), NULL, 0, false);
}

static bool is_order(unsigned opcode, size_t nfds)
{
	switch (opcode) {
	case LINK_FUSE_FD:
	case LINK_PEER:
		return nfds == 1;
	case LINK_STOP:
	case LINK_YIELD:
	case LINK_SUPERVISOR:
	case LINK_KEEPER:
		return nfds == 0;
	default:
		return false;
	}
}

int worker_link_receive(int link, struct worker_order *ret)
{
	struct link_plain m;
	_cleanup_fd_ int fd = -1;
	size_t nfds = 1;
	ssize_t n = packet_receive(link, &m, sizeof(m), &fd, &nfds, false);

	if (n <= 0)
		return n == 0 ? -ECONNRESET : (int)n;
	if (n != (ssize_t)sizeof(m) || get_le32(m.header.size) != sizeof(m) ||
		get_le16(m.header.reserved) || !is_order(get_le16(m.header.opcode), nfds))
		return -EPROTO;
	ret->opcode = get_le16(m.header.opcode);
	ret->id = get_le64(m.header.id);
	ret->fd = steal_fd(&fd);
	return 0;
}
