// SPDX-License-Identifier: MIT
#include "fuse/control.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuse/control_answer.h"
#include "fuse/grants.h"
#include "proto/control.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/json_text.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

struct client {
	int fd; /* -1: the place is free */
	struct asker asker;
	uint32_t opcode; /* of the last request */
	uint64_t ino;
	bool wants_holders;
	uint64_t wants_export;   /* inode; 0: none */
	uint64_t wants_unexport; /* likewise */
	uint64_t deadline;
};

struct control {
	const struct status *status;
	struct namespace *ns;
	struct grants *grants;
	struct refusals refusals;
	uid_t owner; /* of the mount: who started the instance */
	int listen;
	int epoll; /* over the listening socket and the clients; the worker's loop watches this one
		    */
	struct client clients[CONTROL_CLIENTS_MAX];
	struct link_holder *holders; /* as far as they have come */
	size_t holder_count;
	size_t holder_room;
	int upgrade; /* who wants one, until control_take_upgrade(); -1 */
	bool asked;
	bool cut_short;        /* there was no memory for all of them */
	uint64_t paused_until; /* no connection is taken before; 0: they are */
};

#define LISTENER        CONTROL_CLIENTS_MAX /* in place of a client's number */
#define ACCEPT_PAUSE_MS 200U

static void drop(struct client *c)
{
	c->fd = close_fd(c->fd);
	c->wants_holders = false;
	c->wants_export = 0;
	c->wants_unexport = 0;
}

/* ---- answers ---- */

static const char *request_name(uint32_t opcode)
{
	static const char *const names[] = {"none", "status", "files", "extents", "freeze", "thaw",
		"token", "export", "unexport", "upgrade"};

	return opcode < ARRAY_SIZE(names) ? names[opcode] : "unknown";
}

/* error: positive. */
static void refuse(struct control *k, const struct client *c, int error, const char *text)
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

static void answer(struct control *k, struct client *c, struct json_object *o)
{
	int r = send_json(c->fd, o);

	json_object_put(o);
	if (r == -EAGAIN || r == -EPIPE || r == -ECONNRESET)
		drop(c);
	else if (r < 0)
		refuse(k, c, -r, "the worker could not make the answer");
}

/* ---- requests ---- */

/* whole: the helper has told of everybody. */
static void answer_status(struct control *k, bool whole)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &k->clients[i];

		if (c->fd < 0 || !c->wants_holders)
			continue;
		c->wants_holders = false;
		c->deadline += CONTROL_IDLE_MS;
		answer(k, c, status_make(k->status, k->holders, k->holder_count, whole));
	}
}

static void ask_status(struct control *k, struct client *c, uint64_t now)
{
	c->wants_holders = true;
	c->deadline = now + CONTROL_HOLDERS_MS;
	if (k->asked)
		return; /* another client's question is on its way */
	k->asked = grants_ask_holders(k->grants);
	if (!k->asked)
		answer_status(k, false);
}

static void answer_extents(struct control *k, struct client *c, uint64_t ino)
{
	const struct inode *inode = meta_inode(store_meta(k->status->ns->store), ino);

	if (!inode)
		refuse(k, c, ENOENT, "there is no such inode");
	else if (!S_ISREG(inode->attr.mode))
		refuse(k, c, EINVAL, "only regular files have extents");
	else if (inode_has_content(inode))
		refuse(k, c, EINVAL, "it is a file with content, which has no memory of its own");
	else
		answer(k, c, status_make_extents(k->status, inode));
}

static void change_frozen(struct control *k, struct client *c, bool frozen)
{
	int r = frozen ? store_freeze(k->ns->store) : ns_thaw(k->ns);

	if (r < 0) {
		refuse(k, c, -r, "no checkpoint could be written: the pool is as it was");
		return;
	}
	log_info("%s (pid %d, uid %u)",
		frozen ? "frozen: no change, no ticket and no grant until it is thawed, or another "
			 "kernel mounts it"
		       : "thawed",
		(int)c->asker.pid, c->asker.uid);
	if (!frozen)
		grants_thawed(k->grants);
	answer(k, c, json_object_new_object());
}

/* ---- exports ---- */

static void refuse_export(struct control *k, const struct client *c, int error)
{
	switch (error) {
	case -EAGAIN:
		refuse(k, c, EAGAIN,
			"there is no helper at the moment, or it is busy with this file; try "
			"again");
		break;
	case -EBUSY:
		refuse(k, c, EBUSY,
			"the file has devices that are in use, or the pool is frozen; see "
			"guestmemfs status");
		break;
	case -ENOENT:
	case -ESTALE:
		refuse(k, c, ENOENT, "there is no such file");
		break;
	default:
		refuse(k, c, -error, "no device node could be made; the log says more");
	}
}

/* The helper would refuse it too, but has no room to say where. */
static bool has_hole(const struct control *k, uint64_t ino, uint64_t *at)
{
	struct stat st;

	return ns_getattr(k->ns, ino, &st) == 0 && ns_seek(k->ns, ino, 0, SEEK_HOLE, at) == 0 &&
	       *at < (uint64_t)st.st_size;
}

static void ask_export(struct control *k, struct client *c, uint64_t ino, uint64_t now)
{
	uint64_t hole;
	int r;

	if (k->status->pool->regions[0].kind != GM_REGION_SOFT) {
		refuse(k, c, EOPNOTSUPP,
			"only files on soft regions have devices of their own that can be "
			"exported");
		return;
	}
	if (ns_has_content(k->ns, ino)) {
		refuse(k, c, EMEDIUMTYPE,
			"it is a file with content, which has no memory of its own");
		return;
	}
	if (has_hole(k, ino, &hole)) {
		char text[160];

		(void)snprintf(text, sizeof(text),
			"the file has a hole at offset %#" PRIx64
			": a device node is over all of a file; fill it with fallocate",
			hole);
		refuse(k, c, ENXIO, text);
		return;
	}
	r = store_is_frozen(k->ns->store) ? -EBUSY : grants_export(k->grants, ino, &c->asker);
	if (r < 0) {
		refuse_export(k, c, r);
		return;
	}
	c->wants_export = ino;
	c->deadline = now + CONTROL_EXPORT_MS;
}

void control_take_exported(
	struct control *k, uint64_t ino, int error, enum gm_reason reason, const char *node)
{
	(void)reason;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &k->clients[i];

		if (c->fd < 0 || c->wants_export != ino)
			continue;
		c->wants_export = 0;
		if (error < 0)
			refuse_export(k, c, error);
		else
			answer(k, c, status_make_node(node));
	}
}

static void refuse_unexport(struct control *k, const struct client *c, int error)
{
	switch (error) {
	case -ENOENT:
	case -ESTALE:
		refuse(k, c, ENOENT, "the file is not exported");
		break;
	case -EAGAIN:
		refuse(k, c, EAGAIN,
			"the file may still be exported: there is no helper at the moment, or it "
			"is busy with this file; try again");
		break;
	case -EBUSY:
		refuse(k, c, EBUSY, "the file is still exported: the pool is frozen");
		break;
	default:
		refuse(k, c, -error,
			"the file is still exported: the end could not be brought about; the log "
			"says more");
	}
}

static void ask_unexport(struct control *k, struct client *c, uint64_t ino, uint64_t now)
{
	int r = store_is_frozen(k->ns->store) ? -EBUSY : grants_unexport(k->grants, ino, &c->asker);

	if (r < 0) {
		refuse_unexport(k, c, r);
		return;
	}
	c->wants_unexport = ino;
	c->deadline = now + CONTROL_UNEXPORT_MS;
}

void control_take_unexported(struct control *k, uint64_t ino, int error)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &k->clients[i];

		if (c->fd < 0 || c->wants_unexport != ino)
			continue;
		c->wants_unexport = 0;
		if (error < 0)
			refuse_unexport(k, c, error);
		else
			answer(k, c, json_object_new_object());
	}
}

/* Its answer comes from the supervisor, which gets the connection. */
static void hand_on_upgrade(struct control *k, struct client *c)
{
	if (k->upgrade >= 0) {
		refuse(k, c, EBUSY, "an upgrade is under way already");
		return;
	}
	(void)epoll_ctl(k->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	k->upgrade = steal_fd(&c->fd);
	drop(c);
}

int control_take_upgrade(struct control *k)
{
	return steal_fd(&k->upgrade);
}

bool control_is_busy(const struct control *k)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		const struct client *c = &k->clients[i];

		if (c->fd >= 0 && (c->wants_holders || c->wants_export || c->wants_unexport))
			return true;
	}
	return false;
}

static void take_request(
	struct control *k, struct client *c, const struct control_request *m, uint64_t now)
{
	uint32_t opcode = get_le32(m->opcode);
	uint64_t ino = get_le64(m->ino);

	c->opcode = opcode;
	c->ino = ino;
	if (get_le32(m->version) != CONTROL_VERSION) {
		refuse(k, c, EPROTONOSUPPORT,
			"the worker speaks another version of the control protocol: use the "
			"guestmemfs command "
			"that came with it");
		return;
	}
	if (get_le32(m->size) != sizeof(*m) || get_le32(m->reserved) ||
		(ino != 0) != (opcode == CONTROL_EXTENTS || opcode == CONTROL_EXPORT ||
				      opcode == CONTROL_UNEXPORT))
		opcode = 0;
	switch (opcode) {
	case CONTROL_STATUS:
		ask_status(k, c, now);
		break;
	case CONTROL_FILES:
		answer(k, c, status_make_files(k->status));
		break;
	case CONTROL_EXTENTS:
		answer_extents(k, c, ino);
		break;
	case CONTROL_FREEZE:
	case CONTROL_THAW:
		change_frozen(k, c, opcode == CONTROL_FREEZE);
		break;
	case CONTROL_TOKEN:
		answer(k, c, status_make_token(k->status));
		break;
	case CONTROL_EXPORT:
		ask_export(k, c, ino, now);
		break;
	case CONTROL_UNEXPORT:
		ask_unexport(k, c, ino, now);
		break;
	case CONTROL_UPGRADE:
		hand_on_upgrade(k, c);
		break;
	default:
		refuse(k, c, EINVAL, "this is not a request");
	}
}

static void serve_client(struct control *k, struct client *c, uint64_t now)
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
		drop(c);
		return;
	}
	c->deadline = now + CONTROL_IDLE_MS;
	if (n != (ssize_t)sizeof(m))
		refuse(k, c, EINVAL, "this is not a request");
	else
		take_request(k, c, &m, now);
}

/* ---- connections ---- */

static int get_asker(int fd, struct asker *ret)
{
	struct ucred peer;
	int r = packet_get_peer(fd, &peer);

	if (r < 0)
		return r;
	*ret = (struct asker){.pid = peer.pid, .uid = peer.uid};
	return 0;
}

static struct client *free_place(struct control *k)
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
	struct client *c = free_place(k);

	struct client stranger = {.fd = fd};

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
		pause_listening(k, errno, now);
	if (fd < 0 || get_asker(fd, &stranger.asker) < 0)
		return;
	/* The socket's mode keeps others out already; this holds whatever happens to the mode. The
	 * worker's own user is none of them: he may be many people's "nobody". */
	if (stranger.asker.uid != 0 && stranger.asker.uid != k->owner) {
		refuse(k, &stranger, EACCES, "only root and the user of the mount may ask");
		return;
	}
	if (!c) {
		refuse(k, &stranger, EUSERS, "too many are asking at the moment; try again");
		return;
	}
	event.data.u32 = (uint32_t)(c - k->clients);
	if (epoll_ctl(k->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return;
	*c = (struct client){
		.fd = steal_fd(&fd), .asker = stranger.asker, .deadline = now + CONTROL_IDLE_MS};
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

void control_take_holder(struct control *k, const struct link_holder *h)
{
	if (!h) {
		answer_status(k, grants_is_ready(k->grants) && !k->cut_short);
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

void control_expire(struct control *k, uint64_t now)
{
	bool late = false;

	if (k->paused_until && now >= k->paused_until) {
		k->paused_until = 0;
		listen_for(k, EPOLLIN);
	}
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &k->clients[i];

		if (c->fd < 0 || c->deadline > now)
			continue;
		if (c->wants_holders)
			late = true;
		else
			drop(c);
	}
	if (late)
		answer_status(k, false);
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
		const struct client *c = &k->clients[i];

		if (c->fd < 0 || (found && c->deadline >= *ret))
			continue;
		*ret = c->deadline;
		found = true;
	}
	return found;
}

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
		drop(&k->clients[i]);
	(void)close_fd(k->upgrade);
	(void)close_fd(k->listen);
	(void)close_fd(k->epoll);
	free(k->holders);
	free(k);
	return NULL;
}
