// SPDX-License-Identifier: MIT
#include "helper/supervisor.h"

#include <errno.h>
#include <stdio.h>

#include "helper/server.h"
#include "util/packet.h"

int supervisor_send_serving(const struct server *s)
{
	const struct link_plain m = {.header = link_header_make(sizeof(m), LINK_SERVING, 0)};

	return packet_send(s->supervisor.fd, &m, sizeof(m), NULL, 0, false);
}

void supervisor_send_failed(const struct server *s, int error, const struct problem *why)
{
	struct link_failed m = {.header = link_header_make(sizeof(m), LINK_FAILED, 0),
		.error = put_le32((uint32_t)error)};

	(void)snprintf(m.text, sizeof(m.text), "%s", why->text);
	/* It may be gone, or not listening: the sentence is on stderr as well. */
	(void)packet_send(s->supervisor.fd, &m, sizeof(m), NULL, 0, false);
}

static void note_process(scan_mark *which, const struct link_plain *m)
{
	scan_mark p = procscan_note((pid_t)get_le64(m->header.id));

	__atomic_store_n(which, p, __ATOMIC_RELEASE);
}

/* 1: done; 0: it is none of these. */
static int take_plain(struct server *s, const struct link_plain *m)
{
	switch (get_le16(m->header.opcode)) {
	case LINK_YIELD:
		server_yield(s);
		return 1;
	case LINK_SUPERVISOR:
		note_process(&s->ours.supervisor, m);
		return 1;
	case LINK_KEEPER:
		note_process(&s->ours.keeper, m);
		return 1;
	default:
		return 0;
	}
}

int supervisor_receive(struct server *s, struct problem *why)
{
	struct link_plain m;
	int fd = -1;
	size_t nfds = 1;
	ssize_t n = packet_receive(s->supervisor.fd, &m, sizeof(m), &fd, &nfds, false);

	if (n == -EAGAIN)
		return 1;
	if (n == 0 || n == -ECONNRESET)
		return 0;
	if (n < 0)
		return problem_errno(why, (int)-n, "receiving from the supervisor");
	_cleanup_fd_ int peer = nfds == 1 ? fd : -1;
	if ((size_t)n != sizeof(m) || get_le32(m.header.size) != sizeof(m) ||
		get_le16(m.header.reserved) != 0)
		return problem(why, EPROTO,
			"a message of %zd bytes from the supervisor, where %zu are expected", n,
			sizeof(m));
	if (nfds == 0 && take_plain(s, &m))
		return 1;
	if (get_le16(m.header.opcode) != LINK_PEER || peer < 0)
		return problem(why, EPROTO,
			"message %u with %zu descriptors from the supervisor, which is none for "
			"the helper",
			get_le16(m.header.opcode), nfds);
	note_process(&s->ours.worker, &m);
	link_connect(s, steal_fd(&peer));
	return 1;
}
