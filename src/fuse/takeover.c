// SPDX-License-Identifier: MIT
/*
 * The keeper is of our user, and nobody else can have made its socket: what it gives came from a
 * supervisor like us. It is looked at all the same, for what the world may have become since: a
 * region's file may have been replaced, the mount be gone.
 *
 * Nothing of what is there is touched before all of it is here. Until then the copies are closed
 * and that is that; the keeper has its own.
 */
#include "fuse/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fuse/instance_record.h"
#include "fuse/mountpoint.h"
#include "fuse/supervisor_internal.h"
#include "proto/keeper.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

#define CONNECT_SECONDS 5
#define ANSWER_MS       30000
#define ADVICE_MS       2000 /* after that the operator may want to do something about it */
#define FUSE_MAJOR      10U
#define FUSE_MINOR      229U

struct parts {
	int fds[KEEPER_SLOTS][PACKET_FDS_MAX]; /* owned */
	size_t count[KEEPER_SLOTS];
	uint64_t value[KEEPER_SLOTS];
	uint64_t end;       /* what came with END or REFUSED */
	int keeper;         /* its pidfd, of TAKE; owned, or -1 */
	const char *advice; /* should it not answer; borrowed */
};

#define PARTS_NULL ((struct parts){.keeper = -1})

static void parts_deinit(struct parts *p)
{
	for (unsigned slot = 0; slot < KEEPER_SLOTS; slot++) {
		for (size_t i = 0; i < p->count[slot]; i++)
			(void)close_fd(p->fds[slot][i]);
		p->count[slot] = 0;
	}
	p->keeper = close_fd(p->keeper);
}

/* ---- asking ---- */

static int ask(int sock, enum keeper_opcode opcode)
{
	const struct keeper_message m = {
		.size = put_le32(sizeof(m)),
		.opcode = put_le16((uint16_t)opcode),
		.value = put_le64(KEEPER_VERSION),
	};

	return packet_send(sock, &m, sizeof(m), NULL, 0, false);
}

static bool is_in_turn(const struct parts *p, unsigned opcode, unsigned slot, size_t count)
{
	if (opcode == KEEPER_KEPT)
		return p->count[slot] == 0;
	return count == 0 || (count == 1 && opcode == KEEPER_END);
}

/* It does nothing that takes time: who waits longer waits for one that is stopped. */
static bool is_answered(int sock, const char *advice)
{
	struct pollfd wait = {.fd = sock, .events = POLLIN};

	if (poll(&wait, 1, ADVICE_MS) != 0)
		return true;
	log_warning("waiting for %s", advice);
	return poll(&wait, 1, ANSWER_MS - ADVICE_MS) != 0;
}

/* The opcode, or a negative errno. */
static int receive(int sock, struct parts *p)
{
	int fds[PACKET_FDS_MAX];
	size_t count = PACKET_FDS_MAX;
	struct keeper_message m;
	unsigned slot;
	ssize_t n;

	if (!is_answered(sock, p->advice))
		return -ETIMEDOUT;
	n = packet_receive(sock, &m, sizeof(m), fds, &count, false);
	if (n <= 0)
		return n < 0 ? (int)n : -ECONNRESET;
	slot = get_le16(m.slot);
	if (n != (ssize_t)sizeof(m) || get_le32(m.size) != sizeof(m) || slot >= KEEPER_SLOTS ||
		!is_in_turn(p, get_le16(m.opcode), slot, count)) {
		while (count > 0)
			(void)close_fd(fds[--count]);
		return -EPROTO;
	}
	if (get_le16(m.opcode) != KEEPER_KEPT) {
		p->end = get_le64(m.value);
		p->keeper = count ? fds[0] : -1;
		return get_le16(m.opcode);
	}
	memcpy(p->fds[slot], fds, count * sizeof(int));
	p->count[slot] = count;
	p->value[slot] = get_le64(m.value);
	return KEEPER_KEPT;
}

/* 1: all has come; 0: refused, p->end says for whom; negative errno. */
static int get_parts(int sock, enum keeper_opcode opcode, struct parts *p)
{
	int r = ask(sock, opcode);

	while (r == 0 || r == KEEPER_KEPT)
		r = receive(sock, p);
	if (r < 0)
		return r;
	return r == KEEPER_END ? 1 : r == KEEPER_REFUSED ? 0 : -EPROTO;
}

/* -ENOENT: nobody of ours is there; whatever else may be, the usual start says it. *pid: which
 * process listens; 0: one of another pid namespace. */
static int connect_keeper(const char *path, pid_t *pid)
{
	_cleanup_fd_ int sock = packet_connect_within(path, CONNECT_SECONDS);
	struct ucred peer;
	int r;

	if (sock < 0)
		return sock == -EAGAIN ? sock : -ENOENT;
	r = packet_get_peer(sock, &peer);
	if (r < 0)
		return r;
	*pid = peer.pid;
	return peer.uid == geteuid() ? steal_fd(&sock) : -ENOENT;
}

/* ---- is it what this start is for? ---- */

static int check_options(const struct instance *i, struct problem *why)
{
	if (i->options->format != OPTIONS_FORMAT_FORCE)
		return 0;
	return problem(why, EBUSY,
		"an instance named %s runs without a supervisor: --format=force would destroy what "
		"it serves. Start it without that to take it over, or end it first (umount %s)",
		i->name, i->mount_path);
}

static bool is_same_file(int fd, const char *path)
{
	struct stat opened, there;

	return fstat(fd, &opened) == 0 && stat(path, &there) == 0 &&
	       opened.st_dev == there.st_dev && opened.st_ino == there.st_ino;
}

/* By the path of this start, which is the same by its words. */
static int check_regions(const struct instance *i, struct problem *why)
{
	for (size_t n = 0; n < i->options->region_count; n++) {
		_cleanup_(region_spec_deinit) struct region_spec spec = REGION_SPEC_NULL;
		int r = region_spec_parse(&spec, i->options->regions[n], why);

		if (r < 0)
			return r;
		if (n >= i->pool.count)
			return problem(why, EPROTO, "the instance that runs has fewer regions");
		if (i->pool.regions[n].kind == GM_REGION_FILE &&
			!is_same_file(i->pool.regions[n].fd, spec.path))
			return problem(why, EBUSY,
				"an instance named %s runs without a supervisor, and %s is not the "
				"file that it uses any more: end it first (umount %s)",
				i->name, spec.path, i->mount_path);
	}
	return 0;
}

/* The device's number is all that tells one connection from a file that is none. */
static int check_connection(const struct parts *p, struct problem *why)
{
	struct stat st;

	if (p->count[KEEPER_CONNECTION] == 0)
		return 0; /* it was being made anew */
	if (p->count[KEEPER_CONNECTION] == 2 && fstat(p->fds[KEEPER_CONNECTION][0], &st) == 0 &&
		S_ISCHR(st.st_mode) && st.st_rdev == makedev(FUSE_MAJOR, FUSE_MINOR))
		return 0;
	return problem(why, EPROTO, "what was kept is no connection to the kernel");
}

/*
 * One that was unmounted is just ending, or ends with the last that is open in it: to go on with
 * that would look like a start that has mounted something.
 */
static bool was_unmounted(const struct instance *i, const struct parts *p)
{
	return p->count[KEEPER_CONNECTION] > 0 &&
	       !mountpoint_is_ours(i->mount_path, (dev_t)p->value[KEEPER_CONNECTION]);
}

static int take_instance(struct instance *i, struct parts *p, struct problem *why)
{
	int *fds = p->fds[KEEPER_INSTANCE];
	size_t count = p->count[KEEPER_INSTANCE];

	if (count < KEEPER_INSTANCE_FDS + 1 ||
		p->value[KEEPER_INSTANCE] != count - KEEPER_INSTANCE_FDS)
		return problem(why, EPROTO, "what was kept of the instance is not whole");
	i->runtime.control = steal_fd(&fds[KEEPER_CONTROL]);
	i->runtime.grants = steal_fd(&fds[KEEPER_GRANTS]);
	i->runtime.lock = steal_fd(&fds[KEEPER_DIRECTORY]);
	i->runtime.keeper = steal_fd(&fds[KEEPER_SOCKET]);
	int r = instance_record_adopt(fds[KEEPER_RECORD], &i->pool, fds + KEEPER_INSTANCE_FDS,
		count - KEEPER_INSTANCE_FDS, why);
	return r < 0 ? r : check_regions(i, why);
}

/* ---- the processes ---- */

static int check_child(const struct parts *p, enum keeper_slot slot, struct problem *why)
{
	size_t count = p->count[slot];

	return count == 1 || count == 3 ? 0
					: problem(why, EPROTO,
						  "what was kept of a process is not "
						  "whole");
}

/* One that has not said that it serves may be waiting for what its supervisor had heard already:
 * it is replaced. */
static void adopt_child(struct child *c, struct parts *p, enum keeper_slot slot)
{
	int *fds = p->fds[slot];

	c->program = steal_fd(&fds[p->count[slot] - 1]);
	if (p->count[slot] == 1) {
		c->retry_at = 1; /* at once */
		return;
	}
	c->link = steal_fd(&fds[0]);
	c->process = (struct process){
		.pid = (pid_t)(uint32_t)p->value[slot],
		.pidfd = steal_fd(&fds[1]),
		.adopted = true,
	};
	c->recovered = c->serving = p->value[slot] & KEEPER_CHILD_SERVES;
	if (!c->serving)
		process_kill(&c->process);
}

/* Of the process as /proc has it here: what calls itself something else is in another namespace. */
static bool has_number(int pidfd, pid_t pid)
{
	char path[64], text[512], line[32];
	_cleanup_fd_ int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	(void)snprintf(line, sizeof(line), "\nPid:\t%d\n", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	return strstr(text, line);
}

/* The pids that worker, helper and keeper are known by mean others in another namespace. */
static int adopt_keeper(struct child *c, int *sock, struct parts *p, struct problem *why)
{
	struct pollfd end = {.fd = *sock, .events = 0};
	pid_t pid = (pid_t)p->end;

	if (poll(&end, 1, 0) != 0)
		return problem(why, ESRCH, "the keeper has just ended: try again");
	if (p->keeper < 0 || pid <= 0 || !has_number(p->keeper, pid))
		return problem(why, ESRCH,
			"the instance that runs without a supervisor is in another pid namespace: "
			"it can only be taken over from there");
	c->process = (struct process){.pid = pid, .pidfd = steal_fd(&p->keeper), .adopted = true};
	c->link = steal_fd(sock);
	return 0;
}

static int watch_all(struct supervisor *s, struct problem *why)
{
	const struct {
		int fd;
		enum supervisor_source source;
	} list[] = {
		{s->keeper.process.pidfd, SOURCE_KEEPER},
		{s->keeper.link, SOURCE_KEEPER},
		{s->worker.process.pidfd, SOURCE_WORKER_END},
		{s->worker.link, SOURCE_WORKER_LINK},
		{s->helper.process.pidfd, SOURCE_HELPER_END},
		{s->helper.link, SOURCE_HELPER_LINK},
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		int r = list[i].fd < 0 ? 0 : supervisor_watch(s, list[i].fd, list[i].source);

		if (r < 0)
			return problem_errno(why, -r, "watching what is taken over");
	}
	return 0;
}

/* Closed here, and nothing else. */
static void let_go(struct supervisor *s)
{
	struct child *const children[] = {&s->keeper, &s->worker, &s->helper};

	for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
		(void)close_fd(children[i]->link);
		(void)close_fd(children[i]->program);
		(void)close_fd(children[i]->process.pidfd);
		*children[i] = CHILD_NULL(children[i]->name);
	}
	s->mount.fd = close_fd(s->mount.fd);
	s->mount = MOUNT_NULL;
	s->table = close_fd(s->table);
	s->record = close_fd(s->record);
	instance_forget(&s->instance);
}

/* 1: done; 0: there is nothing left to go on with. Nothing is changed before all was looked at. */
static int take_over(
	struct supervisor *s, struct instance *i, struct parts *p, int *sock, struct problem *why)
{
	int r = check_child(p, KEEPER_WORKER, why);

	if (r == 0)
		r = check_child(p, KEEPER_HELPER, why);
	if (r == 0)
		r = check_connection(p, why);
	if (r == 0 && was_unmounted(i, p))
		return 0;
	if (r == 0)
		r = take_instance(i, p, why);
	if (r == 0)
		r = adopt_keeper(&s->keeper, sock, p, why);
	if (r < 0)
		return r;
	s->instance = *i;
	*i = INSTANCE_NULL;
	s->record = steal_fd(&p->fds[KEEPER_INSTANCE][KEEPER_RECORD]);
	if (p->count[KEEPER_CONNECTION]) {
		s->mount = (struct mount){
			.fd = steal_fd(&p->fds[KEEPER_CONNECTION][0]),
			.path = s->instance.mount_path,
			.device = (dev_t)p->value[KEEPER_CONNECTION],
		};
		s->table = steal_fd(&p->fds[KEEPER_CONNECTION][1]);
	}
	adopt_child(&s->worker, p, KEEPER_WORKER);
	adopt_child(&s->helper, p, KEEPER_HELPER);
	r = watch_all(s, why);
	if (r < 0)
		let_go(s);
	return r < 0 ? r : 1;
}

/* ---- */

static void give_advice(const struct instance *i, pid_t pid, struct problem *ret)
{
	if (pid > 0)
		(void)problem(ret, ETIMEDOUT,
			"the keeper of the instance named %s (process %d), which does not answer: "
			"if it is stopped, kill -CONT %d lets it go on; kill -9 %d ends what has "
			"no supervisor, in good order, and the next start mounts it",
			i->name, (int)pid, (int)pid, (int)pid);
	else
		(void)problem(ret, ETIMEDOUT,
			"the keeper of the instance named %s, which does not answer and is in "
			"another pid namespace",
			i->name);
}

static int refuse(const struct instance *i, int error, uint64_t pid, struct problem *why)
{
	if (error < 0)
		return problem_errno(
			why, -error, "asking for what is kept of the instance named %s", i->name);
	if (pid == 0)
		return problem(why, EPROTONOSUPPORT,
			"an instance named %s runs without a supervisor, started by another "
			"version that this one can't go on with: end it first (umount %s)",
			i->name, i->mount_path);
	return problem(why, EBUSY, "process %" PRIu64 " has just taken over the instance named %s",
		pid, i->name);
}

int takeover_try(
	struct supervisor *s, const struct options *options, bool *supervised, struct problem *why)
{
	_cleanup_(parts_deinit) struct parts look = PARTS_NULL, parts = PARTS_NULL;
	_cleanup_(instance_forget) struct instance i = INSTANCE_NULL;
	struct problem advice = PROBLEM_INIT;
	_cleanup_fd_ int sock = -1;
	pid_t pid = 0;
	int r = instance_name(&i, options, why);

	*supervised = false;
	if (r < 0)
		return r;
	sock = connect_keeper(i.runtime.keeper_socket, &pid);
	if (sock < 0)
		return sock == -ENOENT ? 0 : refuse(&i, sock, 0, why);
	give_advice(&i, pid, &advice);
	look.advice = parts.advice = advice.text;
	r = get_parts(sock, KEEPER_LOOK, &look);
	if (r == -ETIMEDOUT)
		return problem(
			why, ETIMEDOUT, "waited %u seconds for %s", ANSWER_MS / 1000, advice.text);
	if (r < 0 || (r == 0 && look.end == 0))
		return r == -ECONNRESET ? 0 : refuse(&i, r, look.end, why);
	*supervised = look.end != 0;
	if (look.end != 0 || look.count[KEEPER_INSTANCE] == 0)
		return 0; /* it has its supervisor, or is just ending */
	r = instance_record_compare(look.fds[KEEPER_INSTANCE][KEEPER_RECORD], &i, why);
	if (r == 0)
		r = check_options(&i, why);
	if (r < 0)
		return r;
	r = get_parts(sock, KEEPER_TAKE, &parts);
	if (r <= 0)
		return r == -ECONNRESET ? 0 : refuse(&i, r, parts.end, why);
	return take_over(s, &i, &parts, &sock, why);
}
