// SPDX-License-Identifier: MIT
/*
 * What worker and helper say on their links, and what follows from it at once. Their words are
 * those of processes that may have been taken over: sizes, opcodes and order are checked, and who
 * breaks the rules is killed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "fuse/supervisor_internal.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

#define MESSAGES_AT_ONCE 16U
#define MESSAGES_AT_END  1024U /* more than a socket's buffer has room for */
#define END_MS           5000U /* for a process whose link has ended */
#define SCARCE_LOG_MS    60000U

/*
 * With the mount the worker begins to store. The first one waits for the helper: a start that fails
 * because of it has changed nothing. A later worker gets the connection that is there.
 */
static void give_mount(struct supervisor *s)
{
	struct mount_options o = {
		.path = s->instance.mount_path,
		.name = s->instance.name,
		.options = s->instance.options->mount_options,
		.privileged = s->instance.privileged,
	};
	struct problem why = PROBLEM_INIT;

	if (!s->recovered || s->stopping || (!s->serving && !s->helper.serving))
		return;
	s->recovered = false;
	if (s->mount.fd < 0) {
		if (mount_make(&s->mount, &o, &why) < 0) {
			supervisor_fail(s, &why);
			return;
		}
		keeping_keep_connection(s);
	}
	child_send(&s->worker, LINK_FUSE_FD, (uint64_t)s->mount.device, s->mount.fd);
}

static void tell_of_return(struct supervisor *s, const struct child *c, uint64_t requests)
{
	if (c == &s->worker && s->died_at)
		log_info("the worker serves again (process %d) after %" PRIu64 " ms; %" PRIu64
			 " requests that were left were answered",
			(int)c->process.pid, clock_milliseconds() - s->died_at, requests);
	else
		log_info("the %s serves again (process %d)", c->name, (int)c->process.pid);
	if (c == &s->worker)
		s->died_at = 0;
}

static void take_serving(struct supervisor *s, struct child *c, uint64_t requests)
{
	child_has_served(c);
	keeping_keep_child(s, c);
	give_mount(s);
	if (!s->serving && s->worker.serving && s->helper.serving)
		supervisor_announce(s);
	else if (s->serving)
		tell_of_return(s, c, requests);
	upgrade_take_serving(s, c);
}

/* A child's words may be anybody's: they stay one line. */
static void make_line(char *text, size_t size)
{
	text[size - 1] = '\0';
	log_mask(text);
}

/* It will end now; its end is what counts. */
static void take_failed(struct supervisor *s, struct child *c, struct link_failed *m)
{
	make_line(m->text, sizeof(m->text));
	(void)snprintf(c->words, sizeof(c->words), "%.255s", m->text);
	c->error = (int)get_le32(m->error);
	if (!c->scarce_since)
		supervisor_tell(s, m->text);
}

/* The worker is confined and can't connect to a log daemon that was started anew. */
static void take_line(const struct child *c, struct link_log *m)
{
	uint32_t level = get_le32(m->level);

	make_line(m->text, sizeof(m->text));
	log_message(level < LOG_LEVEL_ERROR || level > LOG_LEVEL_DEBUG ? LOG_LEVEL_INFO
								       : (enum log_level)level,
		"%s %d: %s", c->name, (int)c->process.pid, m->text);
}

static void take_broken(struct supervisor *s, uint64_t pid)
{
	if (pid != (uint64_t)s->helper.process.pid)
		return; /* an earlier one: it is replaced already */
	if (process_has_ended(&s->helper.process))
		return; /* that is why; it is replaced in a moment */
	log_debug("the helper has lost its link to the worker: it is killed");
	process_kill(&s->helper.process);
}

union link_from_child {
	struct link_header header;
	struct link_failed failed;
	struct link_log log;
};

static size_t size_of(unsigned opcode)
{
	switch (opcode) {
	case LINK_FAILED:
		return sizeof(struct link_failed);
	case LINK_LOG:
		return sizeof(struct link_log);
	default:
		return sizeof(struct link_plain);
	}
}

/* fd: what came with it; -1: nothing. */
static int take_message(
	struct supervisor *s, struct child *c, union link_from_child *m, size_t size, int fd)
{
	_cleanup_fd_ int descriptor = fd;
	unsigned opcode = get_le16(m->header.opcode);
	bool worker = c == &s->worker;

	if (size < sizeof(m->header) || size != size_of(opcode) ||
		get_le32(m->header.size) != size ||
		(descriptor >= 0) != (opcode == LINK_UPGRADE && worker))
		return -EPROTO;
	if (opcode == LINK_UPGRADE && worker) {
		s->scarce_told = 0;
		upgrade_begin(s, steal_fd(&descriptor));
	} else if (opcode == LINK_RECOVERED && worker && !c->recovered) {
		c->recovered = s->recovered = true;
		give_mount(s);
	} else if (opcode == LINK_UNFIT && worker) {
		s->unfit = true;
	} else if (opcode == LINK_ENDED && worker) {
		c->ended = true;
	} else if (opcode == LINK_BROKEN && worker) {
		take_broken(s, get_le64(m->header.id));
	} else if (opcode == LINK_LOG && worker) {
		take_line(c, &m->log);
	} else if (opcode == LINK_SERVING && !c->serving) {
		take_serving(s, c, get_le64(m->header.id));
	} else if (opcode == LINK_FAILED && !*c->words) {
		take_failed(s, c, &m->failed);
	} else {
		return -EPROTO;
	}
	return 0;
}

/* Nothing else comes with a descriptor. Who asks can do so for ever: the log hears of it once, and
 * again a minute later, or when it was better in between. */
static void tell_of_lost_upgrade(struct supervisor *s)
{
	uint64_t now = clock_milliseconds();

	if (s->scarce_told && now - s->scarce_told < SCARCE_LOG_MS)
		return;
	s->scarce_told = now;
	log_error("an upgrade was asked for, and is refused: Too many open files");
}

/*
 * What is there, up to a bound: who talks without end keeps nobody else waiting. An end is no news
 * here, the pidfd tells; but one that hears nothing any more, and goes on, is of no use.
 */
static void take_messages(struct supervisor *s, struct child *c, unsigned max)
{
	union link_from_child m;
	ssize_t n = -EAGAIN;
	int r = 0;

	for (unsigned i = 0; i < max && r == 0 && c->link >= 0 && !s->done; i++) {
		int fd = -1;
		size_t nfds = 1;

		n = packet_receive(c->link, &m, sizeof(m), &fd, &nfds, false);
		if (n == -EMFILE && c == &s->worker) {
			tell_of_lost_upgrade(s);
			n = -EAGAIN;
			continue;
		}
		if (n <= 0)
			break;
		r = take_message(s, c, &m, (size_t)n, nfds == 1 ? fd : -1);
	}
	if (r == 0 && (n == -EAGAIN || n > 0))
		return;
	if (r < 0 || (n < 0 && n != -ECONNRESET)) {
		log_error("the %s does not speak the protocol: it is killed", c->name);
		process_kill(&c->process);
	}
	supervisor_unwatch(s, c->link);
	c->link = close_fd(c->link);
	c->end_by = clock_milliseconds() + END_MS;
}

void supervisor_serve_link(struct supervisor *s, struct child *c)
{
	take_messages(s, c, MESSAGES_AT_ONCE);
}

void supervisor_take_words(struct supervisor *s, struct child *c)
{
	take_messages(s, c, MESSAGES_AT_END);
}
