// SPDX-License-Identifier: MIT
#include "fuse/keeping.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "fuse/instance_record.h"
#include "fuse/keeper.h"
#include "fuse/supervisor_internal.h"
#include "proto/keeper.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

/* ---- giving ---- */

static int send_order(
	const struct child *to, enum keeper_opcode opcode, const int *fds, size_t count)
{
	const struct keeper_message m = {
		.size = put_le32(sizeof(m)),
		.opcode = put_le16((uint16_t)opcode),
	};

	return packet_send(to->link, &m, sizeof(m), fds, count, false);
}

static void give(
	const struct child *to, enum keeper_slot slot, uint64_t value, const int *fds, size_t count)
{
	const struct keeper_message m = {
		.size = put_le32(sizeof(m)),
		.opcode = put_le16(KEEPER_KEEP),
		.slot = put_le16((uint16_t)slot),
		.value = put_le64(value),
	};
	int r;

	if (to->link < 0)
		return;
	r = packet_send(to->link, &m, sizeof(m), fds, count, false);
	if (r < 0) { /* what it has is not what there is: the next one gets all */
		log_debug("the keeper does not take what it is to keep: %s", strerror(-r));
		process_kill(&to->process);
	}
}

static void give_instance(const struct supervisor *s, const struct child *to)
{
	const struct instance *i = &s->instance;
	int fds[KEEPER_INSTANCE_FDS + GM_REGIONS_MAX] = {
		[KEEPER_RECORD] = s->record,
		[KEEPER_CONTROL] = i->runtime.control,
		[KEEPER_GRANTS] = i->runtime.grants,
		[KEEPER_DIRECTORY] = i->runtime.lock,
		[KEEPER_SOCKET] = i->runtime.keeper,
	};

	for (uint32_t n = 0; n < i->pool.count; n++)
		fds[KEEPER_INSTANCE_FDS + n] = i->pool.regions[n].fd;
	give(to, KEEPER_INSTANCE, i->pool.count, fds, KEEPER_INSTANCE_FDS + i->pool.count);
}

static void give_connection(const struct supervisor *s, const struct child *to)
{
	const int fds[] = {s->mount.fd, s->table};

	if (s->mount.fd >= 0)
		give(to, KEEPER_CONNECTION, (uint64_t)s->mount.device, fds, ARRAY_SIZE(fds));
	else
		give(to, KEEPER_CONNECTION, 0, NULL, 0);
}

static void give_child(const struct supervisor *s, const struct child *to, const struct child *c)
{
	enum keeper_slot slot = c == &s->worker ? KEEPER_WORKER : KEEPER_HELPER;
	int program = c->program >= 0 ? c->program : c->candidate;
	const int fds[] = {c->link, c->process.pidfd, program};

	if (c->process.pid && c->link >= 0)
		give(to, slot, KEEPER_CHILD(c->process.pid, c->serving), fds, ARRAY_SIZE(fds));
	else
		give(to, slot, 0, &program, 1);
}

static bool may_keep(const struct supervisor *s)
{
	return s->serving && !s->stopping;
}

/* The worker last: who has that has all. */
static void give_all(const struct supervisor *s, const struct child *to)
{
	if (!may_keep(s))
		return;
	give_instance(s, to);
	give_connection(s, to);
	give_child(s, to, &s->helper);
	give_child(s, to, &s->worker);
}

void keeping_keep_connection(struct supervisor *s)
{
	if (!may_keep(s))
		return;
	give_connection(s, &s->keeper);
	give_connection(s, &s->next_keeper);
}

void keeping_keep_child(struct supervisor *s, const struct child *c)
{
	if (!may_keep(s))
		return;
	give_child(s, &s->keeper, c);
	give_child(s, &s->next_keeper, c);
}

void keeping_keep_all(struct supervisor *s)
{
	give_all(s, &s->keeper);
}

/* ---- its start ---- */

static int run(
	struct supervisor *s, struct child *c, const char *path, int end, struct problem *why)
{
	char name[] = KEEPER_NAME;
	char *argv[] = {name, NULL};
	const int fds[] = {end, s->instance.runtime.keeper};
	struct spawn spawn = {
		.argv = argv,
		.fds = fds,
		.nfds = ARRAY_SIZE(fds),
		.quiet = !s->instance.options->foreground,
	};
	int r = child_spawn(c, path, &spawn, why);

	if (r < 0)
		return r;
	r = supervisor_watch(s, c->process.pidfd, SOURCE_KEEPER);
	if (r == 0)
		r = supervisor_watch(s, c->link, SOURCE_KEEPER);
	return r < 0 ? problem_errno(why, -r, "watching the keeper") : 0;
}

static int start(struct supervisor *s, struct child *c, const char *path, struct problem *why)
{
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return problem_errno(why, errno, "making the socket to the keeper");
	c->link = ends[0];
	r = run(s, c, path, ends[1], why);
	(void)close_fd(ends[1]);
	if (r < 0) {
		supervisor_discard(s, c);
		return r;
	}
	give_all(s, c);
	(void)send_order(c, KEEPER_ASK, NULL, 0);
	return 0;
}

static void tell_children(const struct supervisor *s)
{
	supervisor_tell_keeper(s, &s->worker);
	supervisor_tell_keeper(s, &s->helper);
}

/* One that was taken over, or never said that it is ready, is followed by one of our program. */
static int start_first(struct supervisor *s, const char *path, struct problem *why)
{
	int r;

	if (!path && s->keeper.program < 0)
		path = "/proc/self/exe";
	r = start(s, &s->keeper, path, why);
	if (r < 0)
		return r;
	(void)send_order(&s->keeper, KEEPER_CHARGE, NULL, 0);
	tell_children(s);
	return 0;
}

int keeping_start(struct supervisor *s, struct problem *why)
{
	return start_first(s, NULL, why);
}

int keeping_start_next(struct supervisor *s, const char *path, struct problem *why)
{
	int r;

	if (s->keeper.process.pid)
		return start(s, &s->next_keeper, path, why);
	r = start_first(s, path, why);
	if (r == 0)
		s->keeper.retry_at = 0;
	return r;
}

/* ---- one after the other ---- */

/* The old one says CHARGE and ends; or has ended, however, and then we say it. The upgrade is done
 * when the new one has heard it. */
static void replace(struct supervisor *s)
{
	struct child *old = &s->keeper, *new = &s->next_keeper;

	(void)send_order(new, KEEPER_CHARGE, NULL, 0);
	(void)send_order(new, KEEPER_ASK, NULL, 0);
	old->process = new->process;
	old->link = new->link;
	old->serving = false;
	old->words[0] = '\0';
	(void)close_fd(old->program);
	(void)close_fd(old->candidate);
	old->program = new->program;
	old->candidate = -1;
	*new = CHILD_NULL(new->name);
	tell_children(s);
	upgrade_take_keeper_charge(s);
}

static void take_ready(struct supervisor *s, struct child *c)
{
	child_has_served(c);
	if (c == &s->keeper) {
		upgrade_take_keeper(s, NULL);
		return;
	}
	upgrade_take_keeper_ready(s);
	if (send_order(&s->keeper, KEEPER_YIELD, &c->link, 1) < 0)
		process_kill(&s->keeper.process); /* its end does it too */
}

static void serve_link(struct supervisor *s, struct child *c)
{
	struct keeper_message m;
	ssize_t n =
		c->link < 0 ? -EAGAIN : packet_receive(c->link, &m, sizeof(m), NULL, NULL, false);

	if (n == -EAGAIN)
		return;
	if (n == (ssize_t)sizeof(m) && get_le16(m.opcode) == KEEPER_READY && !c->serving &&
		get_le64(m.value) == KEEPER_VERSION) {
		take_ready(s, c);
		return;
	}
	if (n > 0)
		(void)snprintf(c->words, sizeof(c->words),
			"the keeper does not speak this version of the protocol");
	/* One that hears nothing any more keeps nothing. */
	process_kill(&c->process);
	supervisor_unwatch(s, c->link);
	c->link = close_fd(c->link);
}

/* ---- its end ---- */

static bool reap(struct supervisor *s, struct child *c, struct problem *why)
{
	int status;

	if (c->process.pid == 0 || !process_has_ended(&c->process))
		return false;
	supervisor_unwatch(s, c->process.pidfd);
	supervisor_unwatch(s, c->link);
	(void)process_wait(&c->process, 0, &status);
	c->link = close_fd(c->link);
	if (*c->words)
		(void)problem(why, EPROTO, "%s", c->words);
	else
		child_describe_end(c, status, why);
	return true;
}

static void start_again(struct supervisor *s, const struct problem *why)
{
	tell_children(s);
	if (child_has_died_too_often(&s->keeper, clock_milliseconds())) {
		log_error("the keeper has ended %u times within %u seconds: it is not started "
			  "again. The mount ends with this process",
			CHILD_DEATHS_MAX, CHILD_DEATHS_MS / 1000);
		return;
	}
	log_warning("%s; it is started again", why->text);
	s->keeper.retry_at = clock_milliseconds();
}

static void take_ends(struct supervisor *s)
{
	struct problem why = PROBLEM_INIT;

	if (reap(s, &s->next_keeper, &why)) {
		child_end(&s->next_keeper, 0);
		upgrade_take_keeper(s, &why);
	}
	if (!reap(s, &s->keeper, &why))
		return;
	/* One that was ready may have ended since. */
	if (s->next_keeper.process.pid && s->next_keeper.serving) {
		replace(s);
		return;
	}
	if (s->next_keeper.process.pid) {
		supervisor_discard(s, &s->next_keeper);
		child_end(&s->next_keeper, 0);
		upgrade_lose_keeper(s, &why);
	}
	start_again(s, &why);
	upgrade_take_keeper(s, &why);
}

void keeping_serve(struct supervisor *s)
{
	serve_link(s, &s->keeper);
	serve_link(s, &s->next_keeper);
	take_ends(s);
}

void keeping_start_due(struct supervisor *s)
{
	struct problem why = PROBLEM_INIT;

	if (!s->keeper.retry_at || s->stopping || clock_milliseconds() < s->keeper.retry_at)
		return;
	s->keeper.retry_at = 0;
	if (keeping_start(s, &why) == 0) {
		s->keeper.scarce_since = 0;
		return;
	}
	if (!s->keeper.scarce_since)
		log_warning("%s; this is tried again", why.text);
	s->keeper.scarce_since = 1;
	s->keeper.retry_at = clock_milliseconds() + CHILD_RETRY_MS;
}

void keeping_end(struct supervisor *s)
{
	struct child *const all[] = {&s->next_keeper, &s->keeper};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		child_discard(all[i]);
		child_end(all[i], 0); /* its program */
	}
	s->record = close_fd(s->record);
}
