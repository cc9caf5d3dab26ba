// SPDX-License-Identifier: MIT
#include "fuse/keeping.h"

#include <errno.h>
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

static void keep(
	struct supervisor *s, enum keeper_slot slot, uint64_t value, const int *fds, size_t count)
{
	const struct keeper_message m = {
		.size = put_le32(sizeof(m)),
		.opcode = put_le16(KEEPER_KEEP),
		.slot = put_le16((uint16_t)slot),
		.value = put_le64(value),
	};
	int r;

	if (!s->serving || s->stopping || s->keeper.link < 0)
		return;
	r = packet_send(s->keeper.link, &m, sizeof(m), fds, count, false);
	if (r < 0) { /* what it has is not what there is: the next one gets all */
		log_debug("the keeper does not take what it is to keep: %s", strerror(-r));
		process_kill(&s->keeper.process);
	}
}

static void keep_instance(struct supervisor *s)
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
	keep(s, KEEPER_INSTANCE, i->pool.count, fds, KEEPER_INSTANCE_FDS + i->pool.count);
}

void keeping_keep_connection(struct supervisor *s)
{
	const int fds[] = {s->mount.fd, s->table};

	if (s->mount.fd >= 0)
		keep(s, KEEPER_CONNECTION, (uint64_t)s->mount.device, fds, ARRAY_SIZE(fds));
	else
		keep(s, KEEPER_CONNECTION, 0, NULL, 0);
}

void keeping_keep_child(struct supervisor *s, const struct child *c)
{
	enum keeper_slot slot = c == &s->worker ? KEEPER_WORKER : KEEPER_HELPER;
	int program = c->program >= 0 ? c->program : c->candidate;
	const int fds[] = {c->link, c->process.pidfd, program};

	if (c->process.pid && c->link >= 0)
		keep(s, slot, KEEPER_CHILD(c->process.pid, c->serving), fds, ARRAY_SIZE(fds));
	else
		keep(s, slot, 0, &program, 1);
}

/* The worker last: who has that has all. */
void keeping_keep_all(struct supervisor *s)
{
	keep_instance(s);
	keeping_keep_connection(s);
	keeping_keep_child(s, &s->helper);
	keeping_keep_child(s, &s->worker);
}

/* ---- its life ---- */

static int run(struct supervisor *s, const int ends[2], struct problem *why)
{
	char name[] = KEEPER_NAME;
	char *argv[] = {name, NULL};
	const int fds[] = {ends[1], s->instance.runtime.keeper};
	const struct spawn spawn = {
		.path = "/proc/self/exe",
		.argv = argv,
		.fds = fds,
		.nfds = ARRAY_SIZE(fds),
		.quiet = !s->instance.options->foreground,
	};
	int r = spawn_process(&s->keeper.process, &spawn, why);

	if (r < 0)
		return r;
	r = supervisor_watch(s, s->keeper.process.pidfd, SOURCE_KEEPER_END);
	return r < 0 ? problem_errno(why, -r, "watching the keeper") : 0;
}

int keeping_start(struct supervisor *s, struct problem *why)
{
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return problem_errno(why, errno, "making the socket to the keeper");
	r = run(s, ends, why);
	(void)close_fd(ends[1]);
	s->keeper.link = ends[0];
	if (r < 0) {
		child_discard(&s->keeper);
		return r;
	}
	supervisor_tell_keeper(s, &s->worker);
	supervisor_tell_keeper(s, &s->helper);
	keeping_keep_all(s);
	return 0;
}

static void try_later(struct supervisor *s)
{
	s->keeper.retry_at = clock_milliseconds() + CHILD_RETRY_MS;
}

void keeping_take_end(struct supervisor *s)
{
	int status;

	if (process_wait(&s->keeper.process, 0, &status) < 0)
		return;
	s->keeper.link = close_fd(s->keeper.link);
	supervisor_tell_keeper(s, &s->worker);
	supervisor_tell_keeper(s, &s->helper);
	if (child_has_died_too_often(&s->keeper, clock_milliseconds())) {
		log_error("the keeper has ended %u times within %u seconds: it is not started "
			  "again. The mount ends with this process",
			CHILD_DEATHS_MAX, CHILD_DEATHS_MS / 1000);
		return;
	}
	log_warning("the keeper has ended; it is started again");
	s->keeper.retry_at = clock_milliseconds();
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
	try_later(s);
}

void keeping_end(struct supervisor *s)
{
	child_discard(&s->keeper);
	s->record = close_fd(s->record);
}
