// SPDX-License-Identifier: MIT
#include "helper/clients.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "helper/server.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

#define ACCEPT_PAUSE_MS 200U
#define SEND_BUFFER     8192 /* bytes of answers that may lie unread; the kernel doubles it */

union client_message {
	struct gm_header header;
	struct gm_hello hello;
	struct gm_attach attach;
};

void clients_init(struct clients *c)
{
	*c = (struct clients){.count = 0};
	TAILQ_INIT(&c->all);
}

static void client_free(struct server *s, struct client *c)
{
	TAILQ_REMOVE(&s->clients.all, c, by_server);
	s->clients.count--;
	c->user->connections--;
	user_put(s, c->user);
	process_put(s, c->process);
	free(c);
}

/*
 * Ends the connection. While the worker has the client's ticket the rest of it stays, and counts
 * against its limits: who connects, asks and leaves does not get around them.
 */
static void client_close(struct server *s, struct client *c)
{
	source_close(&c->source, s->epoll);
	if (!c->redeem)
		client_free(s, c);
	else
		grants_client_gone(s, c->redeem);
}

void clients_close_all(struct server *s)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&s->clients.all))) {
		source_close(&c->source, s->epoll);
		client_free(s, c);
	}
}

/* ---- answers ---- */

/* 0, or the connection is of no use any more: negative errno. */
static int client_send(
	const struct client *c, const void *data, size_t size, const int *fds, size_t nfds)
{
	if (c->source.fd < 0)
		return -ENOTCONN;
	return packet_send(c->source.fd, data, size, fds, nfds, false);
}

static struct gm_header answer_header(size_t size, enum gm_opcode opcode, uint64_t serial)
{
	return (struct gm_header){.size = put_le32((uint32_t)size),
		.opcode = put_le16((uint16_t)opcode),
		.serial = put_le64(serial)};
}

static int send_refused(int sock, uint64_t serial, int error, enum gm_reason reason)
{
	const struct gm_refused refused = {
		.header = answer_header(sizeof(refused), GM_OP_REFUSED, serial),
		.error = put_le32((uint32_t)error),
		.reason = put_le32((uint32_t)reason)};

	return packet_send(sock, &refused, sizeof(refused), NULL, 0, false);
}

static void client_end_redeem(struct server *s, struct client *c)
{
	c->redeem = NULL;
	if (c->source.fd < 0)
		client_free(s, c);
}

bool client_grant(
	struct server *s, struct client *c, struct gm_grant *grant, const int *fds, size_t nfds)
{
	grant->header = answer_header(sizeof(*grant), GM_OP_GRANT, c->serial);
	int r = client_send(c, grant, sizeof(*grant), fds, nfds);

	if (r < 0 && c->source.fd >= 0) {
		if (audits_may_log(s, c->user))
			log_warning("pid %d (uid %u) does not take its grant: %s", c->peer.pid,
				c->peer.uid, strerror(-r));
		source_close(&c->source, s->epoll);
	}
	c->granted = c->granted || r == 0;
	client_end_redeem(s, c);
	return r == 0;
}

void client_refuse(
	struct server *s, struct client *c, uint64_t ino, int error, enum gm_reason reason)
{
	audits_refusal(s, c->user, c->peer.pid, c->process, ino, error, reason, strerror(error));
	if (c->source.fd >= 0 && send_refused(c->source.fd, c->serial, error, reason) < 0)
		source_close(&c->source, s->epoll);
	client_end_redeem(s, c);
}

/* A breach of the protocol, or a refusal after which there is nothing more to say. */
static void client_dismiss(struct server *s, struct client *c, uint64_t serial, int error,
	enum gm_reason reason, const char *what)
{
	audits_refusal(s, c->user, c->peer.pid, c->process, 0, error, reason, what);
	(void)send_refused(c->source.fd, serial, error, reason);
	client_close(s, c);
}

/* ---- messages ---- */

static const char too_fast[] = "too many messages in a second";

/* Is a grant unread that was sent before? It keeps descriptors on their way, of which the kernel
 * lets the helper have only so many. */
bool client_has_unread_grant(const struct client *c)
{
	int unread = 0;

	return c->granted && c->source.fd >= 0 && ioctl(c->source.fd, SIOCOUTQ, &unread) == 0 &&
	       unread > 0;
}

/* True if the client is welcome. */
static bool client_take_hello(struct server *s, struct client *c, const struct gm_hello *m)
{
	uint64_t serial = get_le64(m->header.serial);
	uint32_t lowest = get_le32(m->version_min), highest = get_le32(m->version_max);

	if (c->greeted) {
		client_dismiss(s, c, serial, EPROTO, GM_REASON_NONE, "a second hello");
		return false;
	}
	if (lowest > GM_PROTOCOL_VERSION || highest < GM_PROTOCOL_VERSION) {
		client_dismiss(s, c, serial, EPROTONOSUPPORT, GM_REASON_VERSION,
			"it speaks no version that this helper speaks");
		return false;
	}
	if (get_le64(m->flags) != 0) {
		client_dismiss(s, c, serial, EPROTONOSUPPORT, GM_REASON_VERSION,
			"a hello with an unknown flag");
		return false;
	}
	const struct gm_welcome welcome = {
		.header = answer_header(sizeof(welcome), GM_OP_WELCOME, serial),
		.version = put_le32(GM_PROTOCOL_VERSION)};
	if (client_send(c, &welcome, sizeof(welcome), NULL, 0) < 0) {
		client_close(s, c);
		return false;
	}
	c->greeted = true;
	return true;
}

static void client_take_attach(struct server *s, struct client *c, const struct gm_attach *m)
{
	uint64_t serial = get_le64(m->header.serial);

	if (!c->greeted) {
		client_dismiss(s, c, serial, EPROTO, GM_REASON_NONE, "attach before hello");
		return;
	}
	if (c->redeem) {
		client_dismiss(s, c, serial, EPROTO, GM_REASON_NONE,
			"attach before the answer to the one before");
		return;
	}
	if (get_le64(m->flags) != 0) {
		client_dismiss(s, c, serial, EPROTONOSUPPORT, GM_REASON_VERSION,
			"an attach with an unknown flag");
		return;
	}
	if (client_has_unread_grant(c)) {
		client_dismiss(s, c, serial, EPROTO, GM_REASON_NONE,
			"attach before the grant before is read");
		return;
	}
	c->serial = serial;
	/* The worker hears nothing of users who get nothing: their ticket is not even used up. */
	if (s->needs_trust && !c->trusted)
		client_refuse(s, c, 0, EACCES, GM_REASON_TRUST);
	else if (!user_may_hold(s, c->user))
		client_refuse(s, c, 0, EUSERS, GM_REASON_LIMIT);
	else if (grants_begin(s, c, &m->ticket, &c->redeem) < 0)
		client_refuse(s, c, 0, ENOMEM, GM_REASON_MEMORY);
}

/* The size that a message with this opcode must have; 0: there is none. */
static size_t request_size(uint16_t opcode)
{
	switch (opcode) {
	case GM_OP_HELLO:
		return sizeof(struct gm_hello);
	case GM_OP_ATTACH:
		return sizeof(struct gm_attach);
	default:
		return 0;
	}
}

static const char *find_fault(const struct gm_header *header, size_t size)
{
	size_t wanted = request_size(get_le16(header->opcode));

	if (wanted == 0)
		return "a message with an unknown opcode";
	if (size != wanted || get_le32(header->size) != size)
		return "a message of the wrong size";
	if (get_le16(header->reserved) != 0)
		return "a message with a reserved field in use";
	return NULL;
}

void client_receive(struct server *s, struct client *c)
{
	union client_message m;
	ssize_t n = packet_receive(c->source.fd, &m, sizeof(m), NULL, NULL, false);

	if (n == -EAGAIN)
		return;
	if (n == -EPROTO || n == -EMSGSIZE) {
		client_dismiss(s, c, 0, EPROTO, GM_REASON_NONE,
			n == -EPROTO ? "a message that carries descriptors" : "a message too long");
		return;
	}
	if (n <= 0) {
		client_close(s, c);
		return;
	}
	if (!user_may_send(s, c->user, clock_milliseconds())) {
		client_dismiss(s, c, 0, EAGAIN, GM_REASON_RATE, too_fast);
		return;
	}
	if ((size_t)n < sizeof(m.header)) {
		client_dismiss(s, c, 0, EPROTO, GM_REASON_NONE, "a message too short");
		return;
	}
	const char *fault = find_fault(&m.header, (size_t)n);
	if (fault)
		client_dismiss(s, c, get_le64(m.header.serial), EPROTO, GM_REASON_NONE, fault);
	else if (get_le16(m.header.opcode) == GM_OP_ATTACH)
		client_take_attach(s, c, &m.attach);
	else if (client_take_hello(s, c, &m.hello))
		client_receive(s, c); /* mostly an ATTACH has come along; a HELLO comes once */
}

/* ---- coming ---- */

static bool is_over_limit(const struct server *s, const struct user *u, bool trusted)
{
	unsigned untrusted = 0;
	const struct client *c;

	TAILQ_FOREACH (c, &s->clients.all, by_server)
		untrusted += !c->trusted;
	if (s->clients.count >= CLIENTS_MAX || (!trusted && untrusted >= CLIENTS_UNTRUSTED_MAX))
		return true;
	return u->connections >= (u->own ? CLIENTS_OWN_MAX : CLIENTS_UID_MAX);
}

static int client_new(struct server *s, int *sock, const struct ucred *peer, struct user *user,
	bool trusted, struct client **ret)
{
	struct process *process = NULL;
	_cleanup_free_ struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	/* If it can't be set, the kernel's own bound holds. */
	(void)setsockopt(*sock, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
	int pidfd = process_open_peer(*sock, peer->pid);
	if (pidfd < 0)
		return pidfd;
	int r = process_get(s, peer->pid, peer->uid, pidfd, &process);
	if (r < 0)
		return r;
	c->source = SOURCE_INIT(SOURCE_CLIENT);
	c->source.fd = *sock;
	r = source_add(&c->source, s->epoll, EPOLLIN);
	if (r < 0) {
		process_put(s, process);
		return r;
	}
	*sock = -1;
	c->process = process;
	c->user = user;
	user->references++;
	user->connections++;
	c->peer = *peer;
	c->trusted = trusted;
	c->hello_due = clock_milliseconds() + CLIENT_HELLO_MS;
	*ret = steal_pointer(c);
	return 0;
}

static void clients_pause(struct server *s, int error)
{
	log_warning("no more connections for %u ms: %s", ACCEPT_PAUSE_MS, strerror(error));
	s->clients.paused_until = clock_milliseconds() + ACCEPT_PAUSE_MS;
	source_set_events(&s->listener, s->epoll, 0);
}

/* Ends a connection that never became a client. */
static void turn_away(struct server *s, struct user *u, int sock, pid_t pid, int error,
	enum gm_reason reason, const char *what)
{
	audits_refusal(s, u, pid, NULL, 0, error, reason, what);
	(void)send_refused(sock, 0, error, reason);
}

static void clients_admit(
	struct server *s, struct user *u, int *sock, const struct ucred *peer, bool trusted)
{
	struct client *c = NULL;

	if (!user_may_send(s, u, clock_milliseconds())) {
		turn_away(s, u, *sock, peer->pid, EAGAIN, GM_REASON_RATE, too_fast);
		return;
	}
	if (is_over_limit(s, u, trusted)) {
		turn_away(s, u, *sock, peer->pid, EUSERS, GM_REASON_LIMIT, "too many connections");
		return;
	}
	int r = client_new(s, sock, peer, u, trusted, &c);
	if (r < 0) {
		turn_away(s, u, *sock, peer->pid, r == -ESRCH ? ESRCH : ENOMEM, GM_REASON_MEMORY,
			strerror(-r));
		return;
	}
	TAILQ_INSERT_TAIL(&s->clients.all, c, by_server);
	s->clients.count++;
	client_receive(s, c); /* its HELLO is mostly here already */
}

void clients_accept(struct server *s)
{
	_cleanup_fd_ int sock = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;

	if (sock < 0) {
		/* The connection stays in the queue, and the listener readable: without a pause we
		 * would spin. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			clients_pause(s, errno);
		return;
	}
	if (packet_get_peer(sock, &peer) < 0)
		return;
	struct user *u = user_get(s, peer.uid);
	if (!u) {
		(void)send_refused(sock, 0, ENOMEM, GM_REASON_MEMORY);
		return;
	}
	clients_admit(s, u, &sock, &peer, trust_check(&s->trust, sock, &peer));
	user_put(s, u);
}

pid_t clients_find_outlived(const struct server *s)
{
	const struct client *c;

	TAILQ_FOREACH (c, &s->clients.all, by_server)
		if (c->granted && c->source.fd >= 0 && c->process->dead)
			return c->peer.pid;
	return 0;
}

uint64_t clients_check_time(struct server *s, uint64_t now)
{
	uint64_t next = SERVER_NEVER;
	struct client *c, *following;

	if (s->clients.paused_until && now >= s->clients.paused_until) {
		s->clients.paused_until = 0;
		source_set_events(&s->listener, s->epoll, EPOLLIN);
	}
	if (s->clients.paused_until)
		next = s->clients.paused_until;
	for (c = TAILQ_FIRST(&s->clients.all); c; c = following) {
		following = TAILQ_NEXT(c, by_server);
		if (c->greeted)
			continue;
		if (now >= c->hello_due)
			client_dismiss(s, c, 0, ETIMEDOUT, GM_REASON_NONE, "no hello came");
		else if (c->hello_due < next)
			next = c->hello_due;
	}
	return next;
}
