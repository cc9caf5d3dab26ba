// SPDX-License-Identifier: MIT
/*
 * The client's side of the protocol: connect, hello, attach. One connection serves one grant: the
 * descriptors that came stay good when it is closed.
 */
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define HELLO_SERIAL  1U
#define ATTACH_SERIAL 2U

/* A worker may die of what it is asked: that is not asked for ever. */
#define ATTACH_TRIES 3U

/* Any answer, and the descriptors that came along until somebody takes them. */
struct answer {
	union {
		struct gm_header header;
		struct gm_welcome welcome;
		struct gm_grant grant;
		struct gm_refused refused;
	};
	int fds[GRANT_FDS_MAX];
	size_t nfds;
};

static void answer_deinit(struct answer *a)
{
	for (size_t i = 0; i < a->nfds; i++)
		a->fds[i] = close_fd(a->fds[i]);
	a->nfds = 0;
}

static struct gm_header header_of(size_t size, uint16_t opcode, uint64_t serial)
{
	return (struct gm_header){
		.size = put_le32((uint32_t)size),
		.opcode = put_le16(opcode),
		.serial = put_le64(serial),
	};
}

static int lost(int err, struct problem *why)
{
	if (err == 0 || err == EPIPE || err == ECONNRESET)
		return problem(why, ECONNRESET, "the helper closed the connection; try again");
	if (err == EMSGSIZE || err == EPROTO)
		return problem(why, EPROTO,
			"the helper's answer is too long or brings too many descriptors");
	return problem_errno(why, err, "talking to the helper");
}

static int ask(int sock, const void *request, size_t size, struct problem *why)
{
	int r = packet_send(sock, request, size, NULL, 0, true);

	/* A helper that has hung up may have said why before. */
	return r == 0 || r == -EPIPE || r == -ECONNRESET ? 0 : lost(-r, why);
}

static int receive(int sock, struct answer *a, struct problem *why)
{
	size_t nfds = ARRAY_SIZE(a->fds);
	ssize_t n = packet_receive(sock, &a->grant, sizeof(a->grant), a->fds, &nfds, true);

	if (n <= 0)
		return lost((int)-n, why);
	a->nfds = nfds;
	if ((size_t)n < sizeof(a->header) || get_le32(a->header.size) != (size_t)n ||
		get_le16(a->header.reserved) != 0)
		return problem(
			why, EPROTO, "the helper's answer of %zd bytes has no valid header", n);
	return 0;
}

/*
 * 0 if the answer is the expected one, of exactly its size and for this request; the helper's errno
 * if it refuses; else -EPROTO.
 */
static int check(
	const struct answer *a, uint16_t opcode, size_t size, uint64_t serial, struct problem *why)
{
	uint16_t got = get_le16(a->header.opcode);

	/* A refusal with serial 0 is one of the connection, whatever we asked. */
	if (get_le64(a->header.serial) != serial &&
		(got != GM_OP_REFUSED || get_le64(a->header.serial) != 0))
		return problem(why, EPROTO, "the helper answered another request than ours");
	if (got == opcode && get_le32(a->header.size) == size)
		return 0;
	if (got != GM_OP_REFUSED || get_le32(a->header.size) != sizeof(a->refused) || a->nfds != 0)
		return problem(why, EPROTO,
			"the helper answered with opcode %u, %u bytes, %zu descriptors", got,
			get_le32(a->header.size), a->nfds);
	uint32_t error = get_le32(a->refused.error), reason = get_le32(a->refused.reason);
	if (error == 0 || error > 4095 || reason == GM_REASON_NONE)
		return problem(
			why, EPROTO, "the helper refuses with error %u, reason %u", error, reason);
	return problem(why, (int)error, "the helper refuses: %s", gm_strreason(reason));
}

static int ask_hello(int sock, struct problem *why)
{
	const struct gm_hello hello = {
		.header = header_of(sizeof(hello), GM_OP_HELLO, HELLO_SERIAL),
		.version_min = put_le32(GM_PROTOCOL_VERSION),
		.version_max = put_le32(GM_PROTOCOL_VERSION),
	};

	return ask(sock, &hello, sizeof(hello), why);
}

static int ask_attach(int sock, const struct gm_ticket *ticket, struct problem *why)
{
	const struct gm_attach attach = {
		.header = header_of(sizeof(attach), GM_OP_ATTACH, ATTACH_SERIAL),
		.ticket = *ticket,
	};

	return ask(sock, &attach, sizeof(attach), why);
}

static int receive_welcome(int sock, struct problem *why)
{
	_cleanup_(answer_deinit) struct answer a = {.nfds = 0};
	int r = receive(sock, &a, why);

	if (r == 0)
		r = check(&a, GM_OP_WELCOME, sizeof(a.welcome), HELLO_SERIAL, why);
	if (r < 0)
		return r;
	if (a.nfds != 0 || get_le32(a.welcome.version) != GM_PROTOCOL_VERSION ||
		get_le32(a.welcome.reserved) != 0 || get_le64(a.welcome.flags) != 0)
		return problem(why, EPROTO, "the helper's welcome is not one to our hello");
	return 0;
}

/*
 * True if the helper still has the connection. Asked once the descriptors are here: a helper
 * that died before may have left the grant unread, where its successor can't have seen it,
 * and what it granted may be another file's memory by now. One that lives now has seen us, or
 * will see the descriptors.
 */
static bool is_connected(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 0;
}

/* *starting: it was refused for want of a worker that knows the ticket. */
static int receive_grant(int sock, struct gm_attachment **ret, bool *starting, struct problem *why)
{
	_cleanup_(answer_deinit) struct answer a = {.nfds = 0};
	int r = receive(sock, &a, why);

	if (r == 0)
		r = check(&a, GM_OP_GRANT, sizeof(a.grant), ATTACH_SERIAL, why);
	*starting = r == -EAGAIN && get_le32(a.refused.reason) == GM_REASON_STARTING;
	if (r < 0)
		return r;
	if (!is_connected(sock))
		return lost(0, why);
	r = grant_decode(ret, &a.grant, a.fds, a.nfds, why);
	if (r == -EPROTO)
		problem_prefix(why, r, "the helper's grant is not valid and was not used");
	return r;
}

/*
 * Both requests go out before the first answer is waited for: that is one way there and back less.
 */
static int redeem(const char *path, const struct gm_ticket *ticket, struct gm_attachment **ret,
	bool *starting, struct problem *why)
{
	_cleanup_fd_ int sock = packet_connect(path);

	*starting = false;
	if (sock == -ENOENT || sock == -ECONNREFUSED)
		return problem(why, -sock,
			"no helper listens at %s; is the mount's daemon running?", path);
	if (sock < 0)
		return problem_errno(why, -sock, "connecting to the helper at %s", path);
	int r = ask_hello(sock, why);
	if (r == 0)
		r = ask_attach(sock, ticket, why);
	if (r == 0)
		r = receive_welcome(sock, why);
	return r < 0 ? r : receive_grant(sock, ret, starting, why);
}

int gm_redeem(const char *socket_path, const struct gm_ticket *ticket, struct gm_attachment **ret)
{
	bool starting;

	return redeem(socket_path, ticket, ret, &starting, last_problem());
}

static int attach_once(
	int fd, struct gm_attachment **ret, ino_t *ino, bool *starting, struct problem *why)
{
	struct gm_invitation invitation;
	int r = ticket_invite(fd, &invitation, ino, why);

	*starting = false;
	return r < 0 ? r : redeem(invitation.socket, &invitation.ticket, ret, starting, why);
}

/* The next worker takes no ticket that the one before has used up, and gives out new ones. */
static int attach_file(int fd, struct gm_attachment **ret, struct problem *why)
{
	struct gm_attachment *a;
	bool starting = true;
	ino_t ino;
	int r = 0;

	for (unsigned n = 0; n < ATTACH_TRIES && starting; n++)
		r = attach_once(fd, &a, &ino, &starting, why);
	if (r < 0)
		return r;
	if (ino != a->ino) {
		gm_detach(a);
		return problem(why, EPROTO, "the helper granted the memory of another file");
	}
	*ret = a;
	return 0;
}

int problem_file(struct problem *why, int r, int fd)
{
	char link[64], name[512];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, name, sizeof(name));
	if (n > 0)
		return problem_prefix(why, r, "%.*s", (int)n, name);
	return problem_prefix(why, r, "descriptor %d", fd);
}

int gm_attach(int fd, struct gm_attachment **ret)
{
	int r = attach_file(fd, ret, last_problem());

	return r < 0 ? problem_file(last_problem(), r, fd) : 0;
}
