// SPDX-License-Identifier: MIT
/*
 * One loop over the supervisor's socket, the next ones that ask, and, while there is no supervisor,
 * the worker's pidfd and the connection to the kernel. Of both no look is needed before: the
 * supervisor has its own, and each request would wake us.
 */
#include "fuse/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confine/confine.h"
#include "fuse/spawn.h"
#include "proto/keeper.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

#define ASKERS_MAX      4U
#define ACCEPT_PAUSE_MS 200U

struct kept {
	int fds[PACKET_FDS_MAX]; /* owned */
	size_t count;
	uint64_t value;
};

struct keeper {
	struct kept slots[KEEPER_SLOTS];
	int socket;             /* where the next supervisor asks */
	int self;               /* our own pidfd */
	int supervisor;         /* -1: there is none */
	pid_t pid;              /* of it */
	int askers[ASKERS_MAX]; /* the oldest first; -1: none */
	uint64_t lonely_until;  /* in clock_milliseconds(); 0: somebody is there */
	uint64_t deaf_until;    /* no connection is taken before; 0: they are */
	bool charged;           /* it is the keeper: who asks is answered */
	bool end;
};

/* ---- what is kept ---- */

static void empty(struct kept *k)
{
	for (size_t i = 0; i < k->count; i++)
		(void)close_fd(k->fds[i]);
	*k = (struct kept){.count = 0};
}

/* Of a child: there is a process, or has been. */
static int get_pidfd(const struct kept *child)
{
	return child->count > 1 ? child->fds[1] : -1;
}

static int get_link(const struct kept *child)
{
	return child->count > 1 ? child->fds[0] : -1;
}

static int get_connection(const struct keeper *k)
{
	const struct kept *c = &k->slots[KEEPER_CONNECTION];

	return c->count ? c->fds[0] : -1;
}

/* Also while it was being started again. */
static bool worker_has_ended(const struct keeper *k)
{
	struct pollfd p = {.fd = get_pidfd(&k->slots[KEEPER_WORKER]), .events = POLLIN};

	return p.fd < 0 || poll(&p, 1, 0) == 1;
}

/* ---- messages ---- */

static int send_message(
	int sock, enum keeper_opcode opcode, unsigned slot, uint64_t value, const struct kept *with)
{
	const struct keeper_message m = {
		.size = put_le32(sizeof(m)),
		.opcode = put_le16((uint16_t)opcode),
		.slot = put_le16((uint16_t)slot),
		.value = put_le64(value),
	};

	return packet_send(
		sock, &m, sizeof(m), with ? with->fds : NULL, with ? with->count : 0, false);
}

/* 1: there is one; 0: none now; negative errno: the end of it. */
static int receive_message(int sock, struct keeper_message *m, int *fds, size_t *nfds)
{
	ssize_t n = packet_receive(sock, m, sizeof(*m), fds, nfds, false);

	if (n == -EAGAIN)
		return 0;
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	if (n == (ssize_t)sizeof(*m) && get_le32(m->size) == sizeof(*m) &&
		get_le16(m->slot) < KEEPER_SLOTS)
		return 1;
	for (size_t i = 0; fds && i < *nfds; i++)
		(void)close_fd(fds[i]);
	return -EPROTO;
}

/* To worker and helper, as if from the supervisor: they can't see who has the link's other end. */
static void tell_children(const struct keeper *k, enum link_supervisor_opcode opcode, pid_t pid)
{
	const struct link_plain m = {
		.header = {.size = put_le32(sizeof(m)),
			.opcode = put_le16((uint16_t)opcode),
			.id = put_le64((uint64_t)pid)},
	};

	for (unsigned slot = KEEPER_WORKER; slot <= KEEPER_HELPER; slot++) {
		int link = get_link(&k->slots[slot]);

		if (link >= 0)
			(void)packet_send(link, &m, sizeof(m), NULL, 0, false);
	}
}

/* ---- the supervisor ---- */

static void lose_supervisor(struct keeper *k)
{
	k->supervisor = close_fd(k->supervisor);
	k->pid = 0;
	if (!k->charged || k->slots[KEEPER_WORKER].count == 0) {
		k->end = true; /* another one is the keeper; or nothing has served yet */
		return;
	}
	/* It may have died before it could tell them which of two it is. */
	tell_children(k, LINK_KEEPER, getpid());
	tell_children(k, LINK_SUPERVISOR, 0);
}

/* From here on who connects is told that it is us (SO_PEERCRED), by whom the socket listens. */
static void take_charge(struct keeper *k)
{
	k->charged = true;
	(void)listen(k->socket, SOMAXCONN);
}

/* The last that is done: whatever becomes of the supervisor, one of the two has the charge. */
static void yield(struct keeper *k, const struct kept *to)
{
	if (k->charged && to->count == 1)
		(void)send_message(to->fds[0], KEEPER_CHARGE, 0, 0, NULL);
	k->end = true;
}

/* with: what came along; its owner is the slot, or nobody any more. What is no order is no reason
 * to believe that the supervisor died, and to let another one in beside it. */
static void obey(struct keeper *k, const struct keeper_message *m, struct kept *with)
{
	struct kept *slot = &k->slots[get_le16(m->slot)];

	switch (get_le16(m->opcode)) {
	case KEEPER_KEEP:
		with->value = get_le64(m->value);
		empty(slot);
		*slot = *with;
		return;
	case KEEPER_CHARGE:
		take_charge(k);
		break;
	case KEEPER_ASK:
		(void)send_message(k->supervisor, KEEPER_READY, 0, KEEPER_VERSION, NULL);
		break;
	case KEEPER_YIELD:
		yield(k, with);
		break;
	default:
		k->end = true;
	}
	empty(with);
}

static void serve_supervisor(struct keeper *k)
{
	while (k->supervisor >= 0 && !k->end) {
		struct kept with = {.count = PACKET_FDS_MAX};
		struct keeper_message m;
		int r = receive_message(k->supervisor, &m, with.fds, &with.count);

		if (r == 0)
			return;
		if (r == -ECONNRESET)
			lose_supervisor(k);
		else if (r < 0)
			k->end = true;
		else
			obey(k, &m, &with);
	}
}

/* ---- the next one ---- */

static bool is_of_our_user(int sock, pid_t *pid)
{
	struct ucred peer;

	if (packet_get_peer(sock, &peer) < 0 || peer.uid != geteuid())
		return false;
	*pid = peer.pid;
	return true;
}

static int show(const struct keeper *k, int sock)
{
	struct kept record = k->slots[KEEPER_INSTANCE];
	int r;

	if (record.count > 1)
		record.count = 1;
	r = send_message(sock, KEEPER_KEPT, KEEPER_INSTANCE, record.value, &record);
	return r < 0 ? r : send_message(sock, KEEPER_END, 0, (uint64_t)k->pid, NULL);
}

static int give(struct keeper *k, int sock, pid_t pid)
{
	const struct kept self = {.fds = {k->self}, .count = 1};
	int r = 0;

	/* First of all: the helper takes it for one of ours when it has the regions open. */
	tell_children(k, LINK_SUPERVISOR, pid);
	for (unsigned slot = 0; slot < KEEPER_SLOTS && r == 0; slot++)
		r = send_message(sock, KEEPER_KEPT, slot, k->slots[slot].value, &k->slots[slot]);
	if (r == 0)
		r = send_message(sock, KEEPER_END, 0, (uint64_t)getpid(), &self);
	if (r < 0)
		tell_children(k, LINK_SUPERVISOR, 0);
	return r;
}

/* *sock becomes the supervisor's. Negative errno: it is to be closed. */
static int take_request(struct keeper *k, int *sock, const struct keeper_message *m)
{
	unsigned opcode = get_le16(m->opcode);
	pid_t pid = 0;
	int r;

	if (!is_of_our_user(*sock, &pid) || (opcode != KEEPER_LOOK && opcode != KEEPER_TAKE))
		return -EPROTO;
	if (get_le64(m->value) != KEEPER_VERSION)
		return send_message(*sock, KEEPER_REFUSED, 0, (uint64_t)k->pid, NULL);
	serve_supervisor(k); /* it may have died just now */
	if (opcode == KEEPER_LOOK)
		return show(k, *sock);
	if (k->pid || k->end)
		return send_message(*sock, KEEPER_REFUSED, 0, (uint64_t)k->pid, NULL);
	r = give(k, *sock, pid);
	if (r < 0)
		return r;
	k->supervisor = steal_fd(sock);
	k->pid = pid;
	k->lonely_until = 0;
	return 0;
}

static void serve_asker(struct keeper *k, int *sock)
{
	struct keeper_message m;
	int r = receive_message(*sock, &m, NULL, NULL);

	if (r > 0)
		r = take_request(k, sock, &m);
	if (r < 0)
		*sock = close_fd(*sock);
}

static void take_asker(struct keeper *k)
{
	_cleanup_fd_ int sock = accept4(k->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	pid_t pid;

	/* Who waits stays in the queue: without a pause we would spin. */
	if (sock < 0 && errno != EAGAIN)
		k->deaf_until = clock_milliseconds() + ACCEPT_PAUSE_MS;
	if (sock < 0 || !is_of_our_user(sock, &pid))
		return;
	/* Where there is no room the oldest goes: who has a question asks it at once. */
	(void)close_fd(k->askers[0]);
	memmove(k->askers, k->askers + 1, (ASKERS_MAX - 1) * sizeof(*k->askers));
	k->askers[ASKERS_MAX - 1] = steal_fd(&sock);
}

/* ---- alone ---- */

/* The last words of a worker that has ended: of one that has said so, nothing is to be gone on
 * with. */
static bool ended_in_order(const struct keeper *k)
{
	int link = get_link(&k->slots[KEEPER_WORKER]);
	union {
		struct link_header header;
		uint8_t room[sizeof(struct link_failed) + sizeof(struct link_log)];
	} m;
	bool ended = false;
	int fd = -1;
	size_t nfds = 1;

	while (link >= 0 && packet_receive(link, &m, sizeof(m), &fd, &nfds, false) >=
				    (ssize_t)sizeof(m.header)) {
		ended |= get_le16(m.header.opcode) == LINK_ENDED;
		if (nfds == 1)
			(void)close_fd(fd);
		nfds = 1;
	}
	return ended;
}

static bool connection_has_ended(const struct keeper *k)
{
	struct pollfd p = {.fd = get_connection(k), .events = 0};

	return p.fd < 0 || (poll(&p, 1, 0) == 1 && (p.revents & POLLERR));
}

static void look_around(struct keeper *k, uint64_t now)
{
	if (k->supervisor >= 0 || k->end)
		return;
	if (k->lonely_until) {
		k->end = now >= k->lonely_until || connection_has_ended(k);
	} else if (worker_has_ended(k)) {
		k->lonely_until = now + KEEPER_LONELY_MS;
		k->end = ended_in_order(k) || connection_has_ended(k);
	}
}

/* ---- the loop ---- */

enum place {
	PLACE_SUPERVISOR,
	PLACE_SOCKET,
	PLACE_WORKER,
	PLACE_CONNECTION,
	PLACE_ASKERS,
	PLACES = PLACE_ASKERS + ASKERS_MAX,
};

static int time_left(uint64_t until, uint64_t now)
{
	if (!until)
		return -1;
	return until > now ? (int)(until - now) : 0;
}

static void wait_for_something(struct keeper *k)
{
	bool alone = k->supervisor < 0;
	struct pollfd list[PLACES];
	uint64_t now = clock_milliseconds();
	int timeout = time_left(k->lonely_until, now);

	for (unsigned i = 0; i < PLACES; i++)
		list[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	list[PLACE_SUPERVISOR].fd = k->supervisor;
	if (now >= k->deaf_until)
		k->deaf_until = 0;
	if (!k->deaf_until)
		list[PLACE_SOCKET].fd = k->charged ? k->socket : -1;
	else if (timeout < 0 || timeout > (int)ACCEPT_PAUSE_MS)
		timeout = time_left(k->deaf_until, now);
	if (alone && !k->lonely_until)
		list[PLACE_WORKER].fd = get_pidfd(&k->slots[KEEPER_WORKER]);
	if (alone && k->lonely_until)
		list[PLACE_CONNECTION] = (struct pollfd){.fd = get_connection(k), .events = 0};
	for (unsigned i = 0; i < ASKERS_MAX; i++)
		list[PLACE_ASKERS + i].fd = k->askers[i];
	(void)poll(list, PLACES, timeout);
}

/* None of them waits: what is not there is not there. The supervisor first, and its end. */
static void run(struct keeper *k)
{
	while (!k->end) {
		wait_for_something(k);
		serve_supervisor(k);
		look_around(k, clock_milliseconds());
		if (k->end)
			break;
		if (k->charged)
			take_asker(k);
		for (unsigned i = 0; i < ASKERS_MAX; i++)
			if (k->askers[i] >= 0)
				serve_asker(k, &k->askers[i]);
	}
}

/* ---- confined ---- */

static const struct confine_rule rules[] = {
	CONFINE_ALLOW("accept4"),
	CONFINE_ALLOW("brk"),
	CONFINE_ALLOW("clock_gettime"),
	CONFINE_ALLOW("close"),
	CONFINE_ALLOW("futex"),
	CONFINE_ALLOW("geteuid"),
	CONFINE_ALLOW("getpid"),
	CONFINE_ALLOW("getsockopt"),
	{.name = "listen", .compares = {{CONFINE_EQUAL, 0, SPAWN_FIRST_FD + 1, 0}}},
	CONFINE_ALLOW("munmap"),
	CONFINE_ALLOW("poll"),
	CONFINE_ALLOW("ppoll"),
	CONFINE_ALLOW("recvmsg"),
	CONFINE_ALLOW("sendmsg"),
};

static int confine(struct problem *why)
{
	const struct confine_privileges none = {.capabilities = NULL};
	const struct confine_rules table = {rules, ARRAY_SIZE(rules)};
	int r = confine_privileges(&none, why);

	return r < 0 ? r : confine_syscalls(&table, 1, KEEPER_NAME, NULL, why);
}

int keeper_main(void)
{
	struct keeper k = {
		.supervisor = SPAWN_FIRST_FD,
		.socket = SPAWN_FIRST_FD + 1,
		.self = pidfd_open(getpid(), 0),
		.pid = getppid(),
	};
	struct problem why = PROBLEM_INIT;

	(void)prctl(PR_SET_NAME, "guestmemfs-keep");
	/* It ends when there is nothing left to keep, whoever tells all of a group to end. */
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	for (unsigned i = 0; i < ASKERS_MAX; i++)
		k.askers[i] = -1;
	log_init(KEEPER_NAME, LOG_LEVEL_INFO);
	if (k.self < 0)
		(void)problem_errno(&why, errno, "opening its own process");
	if (k.self < 0 || confine(&why) < 0) {
		log_error("%s", why.text);
		return EXIT_FAILURE;
	}
	run(&k);
	/* With all that is open. What libraries do at an end takes calls that are not allowed here.
	 */
	_exit(EXIT_SUCCESS);
}
