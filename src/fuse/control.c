// SPDX-License-Identifier: MIT
/*
 * Connections to the control socket: who may ask, and for how long.
 */
#include "fuse/control.h"
#include "fuse/control_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "fuse/control_answer.h"
#include "proto/control.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/json_text.h"
#include "util/log.h"
#include "util/packet.h"

#define LISTENER        CONTROL_CLIENTS_MAX /* in place of a client's number */
#define ACCEPT_PAUSE_MS 200U

/* ---- answers ---- */

static const char *request_name(uint32_t opcode)
{
	static const char *const names[] = {"none", "status", "files", "extents", "freeze", "thaw",
		"token", "export", "unexport", "upgrade"};

	return opcode < ARRAY_SIZE(names) ? names[opcode] : "unknown";
}

void control_refuse(struct control *k, const struct control_client *c, int error, const char *text)
{
	refusals_audit(&k->refusals, &c->asker, request_name(c->opcode), c->ino, -error, text,
		clock_milliseconds());
	(void)control_answer_refuse(c->fd, error, text);
}

static int send_json(int fd, struct json_object *o)
{
	size_t length = 0;
	const char *text = json_text(o, JSON_C_TO_STRING_PLAIN, &length);

	return text ? control_answer_send(fd, text, length) : -ENOMEM;
}

void control_reply(struct control *k, struct control_client *c, struct json_object *o)
{
	int r = send_json(c->fd, o);

	json_object_put(o);
	if (r == -EAGAIN || r == -EPIPE || r == -ECONNRESET)
		control_drop(c);
	else if (r < 0)
		control_refuse(k, c, -r, "the worker could not make the answer");
}

/* ---- connections ---- */

void control_drop(struct control_client *c)
{
	c->fd = close_fd(c->fd);
	c->wants_holders = false;
	c->wants_export = 0;
	c->wants_unexport = 0;
}

static int get_asker(int fd, struct asker *ret)
{
	struct ucred peer;
	int r = packet_get_peer(fd, &peer);

	if (r < 0)
		return r;
	*ret = (struct asker){.pid = peer.pid, .uid = peer.uid};
	return 0;
}

static struct control_client *free_place(struct control *k)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (k->clients[i].fd < 0)
			return &k->clients[i];
	return NULL;
}

static void listen_for(struct control *k, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u32 = LISTENER};

	(void)epoll_ctl(k->epoll, EPOLL_CTL_MOD, k->listen, &event);
}

/* Who waits stays in the queue, and the listener readable: without a pause we would spin. */
static void pause_listening(struct control *k, int error, uint64_t now)
{
	log_warning("no command can connect for %u ms: %s", ACCEPT_PAUSE_MS, strerror(error));
	k->paused_until = now + ACCEPT_PAUSE_MS;
	listen_for(k, 0);
}

static void take_connection(struct control *k, uint64_t now)
{
	_cleanup_fd_ int fd = accept4(k->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct epoll_event event = {.events = EPOLLIN};
	struct control_client *c = free_place(k);

	struct control_client stranger = {.fd = fd};

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
		pause_listening(k, errno, now);
	if (fd < 0 || get_asker(fd, &stranger.asker) < 0)
		return;
	/* The socket's mode keeps others out already; this holds whatever happens to the mode. The
	 * worker's own user is none of them: he may be many people's "nobody". */
	if (stranger.asker.uid != 0 && stranger.asker.uid != k->owner) {
		control_refuse(k, &stranger, EACCES, "only root and the user of the mount may ask");
		return;
	}
	if (!c) {
		control_refuse(
			k, &stranger, EUSERS, "too many are asking at the moment; try again");
		return;
	}
	event.data.u32 = (uint32_t)(c - k->clients);
	if (epoll_ctl(k->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return;
	*c = (struct control_client){
		.fd = steal_fd(&fd), .asker = stranger.asker, .deadline = now + CONTROL_IDLE_MS};
}

static void serve_client(struct control *k, struct control_client *c, uint64_t now)
{
	struct control_request m;
	ssize_t n;

	if (c->fd < 0)
		return;
	n = packet_receive(c->fd, &m, sizeof(m), NULL, NULL, false);
	if (n == -EAGAIN)
		return;
	/* One question at a time; whoever asks on before the answer does not speak the protocol. */
	if (n <= 0 || c->wants_holders || c->wants_export || c->wants_unexport) {
		control_drop(c);
		return;
	}
	c->deadline = now + CONTROL_IDLE_MS;
	/* Who has given up must not be told that nothing was done, and it is done later. */
	if (packet_peer_is_gone(c->fd)) {
		log_info("process %d has asked for something, and has not waited: it is left",
			(int)c->asker.pid);
		control_drop(c);
		return;
	}
	if (n != (ssize_t)sizeof(m))
		control_refuse(k, c, EINVAL, "this is not a request");
	else
		control_take_request(k, c, &m, now);
}

void control_serve(struct control *k, uint64_t now)
{
	struct epoll_event events[CONTROL_CLIENTS_MAX + 1];
	int n = epoll_wait(k->epoll, events, (int)ARRAY_SIZE(events), 0);

	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 == LISTENER)
			take_connection(k, now);
		else
			serve_client(k, &k->clients[events[i].data.u32], now);
	}
}

int control_take_upgrade(struct control *k)
{
	return steal_fd(&k->upgrade);
}

bool control_is_busy(const struct control *k)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		const struct control_client *c = &k->clients[i];

		if (c->fd >= 0 && (c->wants_holders || c->wants_export || c->wants_unexport))
			return true;
	}
	return false;
}

/* ---- time ---- */

void control_expire(struct control *k, uint64_t now)
{
	bool late = false;

	if (k->paused_until && now >= k->paused_until) {
		k->paused_until = 0;
		listen_for(k, EPOLLIN);
	}
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *c = &k->clients[i];

		if (c->fd < 0 || c->deadline > now)
			continue;
		if (c->wants_holders)
			late = true;
		else
			control_drop(c);
	}
	if (late)
		control_reply_holders(k, false);
	refusals_expire(&k->refusals, now);
}

bool control_next_deadline(const struct control *k, uint64_t *ret)
{
	bool found = refusals_next_deadline(&k->refusals, ret);

	if (k->paused_until && (!found || k->paused_until < *ret)) {
		*ret = k->paused_until;
		found = true;
	}
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		const struct control_client *c = &k->clients[i];

		if (c->fd < 0 || (found && c->deadline >= *ret))
			continue;
		*ret = c->deadline;
		found = true;
	}
	return found;
}

/* ---- start and end ---- */

int control_fd(const struct control *k)
{
	return k->epoll;
}

int control_new(struct control **ret, int listen, uid_t owner, const struct status *status,
	struct namespace *ns, struct grants *grants, struct problem *why)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = LISTENER};
	struct control *k = calloc(1, sizeof(*k));

	if (!k) {
		(void)close_fd(listen);
		return problem_errno(why, ENOMEM, "serving the control socket");
	}
	k->status = status;
	k->ns = ns;
	k->grants = grants;
	k->owner = owner;
	k->listen = listen;
	k->upgrade = -1;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		k->clients[i].fd = -1;
	k->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (k->epoll < 0 || epoll_ctl(k->epoll, EPOLL_CTL_ADD, k->listen, &event) < 0) {
		int error = errno;

		(void)control_free(k);
		return problem_errno(why, error, "serving the control socket");
	}
	*ret = k;
	return 0;
}

struct control *control_free(struct control *k)
{
	if (!k)
		return NULL;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		control_drop(&k->clients[i]);
	(void)close_fd(k->upgrade);
	(void)close_fd(k->listen);
	(void)close_fd(k->epoll);
	free(k->holders);
	free(k);
	return NULL;
}
