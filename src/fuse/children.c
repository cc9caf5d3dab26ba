// SPDX-License-Identifier: MIT
#include "fuse/children.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "proto/link.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

/* Words of a command line: every one is owned. */
struct words {
	char *list[2 * GM_REGIONS_MAX + 24];
	size_t count;
	bool failed;
};

static void words_deinit(struct words *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->list[i]);
}

static void add_word(struct words *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_word(struct words *w, const char *format, ...)
{
	va_list ap;

	if (w->failed || w->count + 1 >= ARRAY_SIZE(w->list)) {
		w->failed = true;
		return;
	}
	va_start(ap, format);
	w->failed = vasprintf(&w->list[w->count], format, ap) < 0;
	va_end(ap);
	if (!w->failed)
		w->list[++w->count] = NULL;
}

/*
 * What a new process inherits: its end of the link comes first, the regions after it, in their
 * order. All of it is closed here once it runs, but for descriptors that are lent.
 */
struct inherited {
	int fds[SPAWN_FDS_MAX];
	bool lent[SPAWN_FDS_MAX];
	size_t count;
};

static void inherited_deinit(struct inherited *in)
{
	for (size_t i = 0; i < in->count; i++)
		if (!in->lent[i])
			(void)close_fd(in->fds[i]);
}

static void add_fd(struct inherited *in, int fd, bool lent)
{
	in->fds[in->count] = fd;
	in->lent[in->count++] = lent;
}

/* The number that the last one added will have. */
static int last_number(const struct inherited *in)
{
	return SPAWN_FIRST_FD + (int)in->count - 1;
}

static void add_region(struct words *w, const struct inherited *in, const struct region *r)
{
	add_word(w, "--region");
	add_word(w, "%s:%d:%s", region_kind_name(r->kind), last_number(in), r->name);
}

/* A link's two ends; the far one is the first thing that the process inherits. */
static int make_link(struct child *c, struct inherited *in, struct problem *why)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return problem_errno(why, errno, "making the link to the %s", c->name);
	c->link = ends[0];
	add_fd(in, ends[1], false);
	return 0;
}

/* Of the descriptors that the new process inherits none gets a number as high. */
#define PROGRAM_FIRST_FD (SPAWN_FIRST_FD + (int)SPAWN_FDS_MAX)

static int open_program(const char *path)
{
	_cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : spawn_copy_fd(fd, PROGRAM_FIRST_FD);
}

/* One that was taken over has come by any number. */
static int move_program(struct child *c)
{
	int fd = c->program < PROGRAM_FIRST_FD ? spawn_copy_fd(c->program, PROGRAM_FIRST_FD)
					       : c->program;

	if (fd < 0)
		return fd;
	if (fd != c->program)
		(void)close_fd(c->program);
	c->program = fd;
	return 0;
}

static int choose_program(struct child *c, const char **path, char *room, size_t size)
{
	int r;

	c->candidate = close_fd(c->candidate);
	if (*path) {
		c->candidate = open_program(*path);
		return c->candidate < 0 ? c->candidate : 0;
	}
	r = move_program(c);
	if (r < 0)
		return r;
	(void)snprintf(room, size, "/proc/self/fd/%d", c->program);
	*path = room;
	return 0;
}

int child_spawn(struct child *c, const char *path, struct spawn *spawn, struct problem *why)
{
	char program[32];
	int r = choose_program(c, &path, program, sizeof(program));

	spawn->path = path;
	if (r < 0)
		r = problem_errno(why, -r, "starting %s", path ? path : c->name);
	else
		r = spawn_process(&c->process, spawn, why);
	spawn->path = NULL; /* it may have been our `program` */
	if (r < 0)
		c->link = close_fd(c->link);
	c->recovered = c->serving = c->ended = false;
	c->end_by = 0;
	c->words[0] = '\0';
	c->error = 0;
	return r;
}

static int run(struct child *c, const char *path, const struct words *w, const struct inherited *in,
	const struct instance *i, struct problem *why)
{
	struct spawn spawn = {
		.argv = w->list,
		.fds = in->fds,
		.nfds = in->count,
		.quiet = !i->options->foreground,
	};

	if (!w->failed)
		return child_spawn(c, path, &spawn, why);
	c->link = close_fd(c->link);
	return problem_errno(why, ENOMEM, "starting the %s", c->name);
}

/* The worker gets the regions as they are open here: their lock is held for as long as either
 * process lives. */
int child_start_worker(
	struct child *c, const struct instance *i, const char *path, int table, struct problem *why)
{
	_cleanup_(inherited_deinit) struct inherited in = {.count = 0};
	_cleanup_(words_deinit) struct words w = {.count = 0};
	int r = make_link(c, &in, why);

	if (r < 0)
		return r;
	add_word(&w, "guestmemfs-worker");
	add_word(&w, "--name");
	add_word(&w, "%s", i->name);
	add_word(&w, "--mount-point");
	add_word(&w, "%s", i->mount_path);
	add_word(&w, "--grant-socket");
	add_word(&w, "%s", i->runtime.grant_socket);
	add_word(&w, "--control-socket");
	add_word(&w, "%s", i->runtime.control_socket);
	add_word(&w, "--scrub-rate");
	add_word(&w, "%" PRIu64, i->options->scrub_rate);
	if (i->options->has_user) {
		add_word(&w, "--user");
		add_word(&w, "%u:%u", (unsigned)i->options->user, (unsigned)i->options->user_group);
	}
	if (i->options->trust_memory)
		add_word(&w, "--trust-memory");
	add_fd(&in, table, true);
	add_word(&w, "--table");
	add_word(&w, "%d", last_number(&in));
	add_fd(&in, i->runtime.control, true);
	add_word(&w, "--control");
	add_word(&w, "%d", last_number(&in));
	for (uint32_t n = 0; n < i->pool.count; n++) {
		add_fd(&in, i->pool.regions[n].fd, true);
		add_region(&w, &in, &i->pool.regions[n]);
	}
	return run(c, path, &w, &in, i, why);
}

/*
 * The helper gets them opened anew: what it sends to clients must carry no lock. Behind them come
 * the locked ones, of which it knows nothing and which just stay open: a helper that outlives the
 * others may still be zeroing what the next instance would give to somebody, so that one must wait.
 */
int child_start_helper(
	struct child *c, const struct instance *i, const char *path, struct problem *why)
{
	_cleanup_(inherited_deinit) struct inherited in = {.count = 0};
	_cleanup_(words_deinit) struct words w = {.count = 0};
	int r = make_link(c, &in, why);

	if (r < 0)
		return r;
	add_word(&w, "guestmemfs-helper");
	add_word(&w, "--link-fd");
	add_word(&w, "%d", SPAWN_FIRST_FD);
	add_fd(&in, i->runtime.grants, true);
	add_word(&w, "--listen-fd");
	add_word(&w, "%d", last_number(&in));
	if (i->options->has_trusted_group) {
		add_word(&w, "--trusted-group");
		add_word(&w, "%u", (unsigned)i->options->trusted_group);
	}
	add_word(&w, "--notes");
	add_word(&w, "%s", i->runtime.base);
	add_word(&w, "--reuse");
	add_word(&w, "%s", reuse_policy_name(i->options->reuse));
	for (uint32_t n = 0; n < i->pool.count; n++) {
		int fd = region_reopen(&i->pool.regions[n], O_RDWR);

		if (fd < 0) {
			c->link = close_fd(c->link);
			return problem_errno(why, -fd, "opening region %s for the helper",
				i->pool.regions[n].name);
		}
		add_fd(&in, fd, false);
		add_region(&w, &in, &i->pool.regions[n]);
	}
	for (uint32_t n = 0; n < i->pool.count; n++)
		add_fd(&in, i->pool.regions[n].fd, true);
	return run(c, path, &w, &in, i, why);
}

void child_has_served(struct child *c)
{
	c->serving = true;
	c->scarce_since = 0;
	if (c->candidate < 0)
		return;
	(void)close_fd(c->program);
	c->program = steal_fd(&c->candidate);
}

void child_send(const struct child *c, unsigned opcode, uint64_t id, int fd)
{
	struct link_plain m = {
		.header = {.size = put_le32(sizeof(m)),
			.opcode = put_le16((uint16_t)opcode),
			.id = put_le64(id)},
	};
	int r = -ENOTCONN;

	if (c->link >= 0)
		r = packet_send(c->link, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0, false);
	if (r < 0)
		log_debug("message %u to the %s: %s", opcode, c->name, strerror(-r));
}

int children_connect(const struct child *worker, const struct child *helper, struct problem *why)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return problem_errno(why, errno, "making the link between worker and helper");
	child_send(worker, LINK_PEER, (uint64_t)helper->process.pid, ends[0]);
	child_send(helper, LINK_PEER, (uint64_t)worker->process.pid, ends[1]);
	(void)close_fd(ends[0]);
	(void)close_fd(ends[1]);
	return 0;
}

void child_describe_end(const struct child *c, int status, struct problem *ret)
{
	bool told = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS && *c->words;

	if (status == PROCESS_UNKNOWN)
		(void)problem(ret, ECHILD, "the %s has ended", c->name);
	else if (WIFSIGNALED(status))
		(void)problem(ret, ECHILD, "the %s was ended by signal %d (%s)%s%s", c->name,
			WTERMSIG(status), strsignal(WTERMSIG(status)), told ? ": " : "",
			told ? c->words : "");
	else
		(void)problem(ret, ECHILD, "the %s ended with exit code %d", c->name,
			WEXITSTATUS(status));
}

bool child_has_died_too_often(struct child *c, uint64_t now)
{
	uint64_t *oldest = &c->deaths[c->death_count++ % CHILD_DEATHS_MAX];

	*oldest = now;
	/* The slot after the newest one holds the oldest of the last CHILD_DEATHS_MAX. */
	oldest = &c->deaths[c->death_count % CHILD_DEATHS_MAX];
	return c->death_count >= CHILD_DEATHS_MAX && now - *oldest <= CHILD_DEATHS_MS;
}

static bool may_come_back(int error)
{
	switch (error) {
	case EAGAIN:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOSPC:
		return true;
	default:
		return false;
	}
}

void child_discard(struct child *c)
{
	int status;

	c->link = close_fd(c->link);
	if (c->process.pid == 0)
		return;
	process_kill(&c->process);
	(void)process_wait(&c->process, -1, &status);
}

bool child_try_later(struct child *c, int error, uint64_t now, const struct problem *why)
{
	if (!may_come_back(error) || (c->scarce_since && now - c->scarce_since > CHILD_SCARCE_MS))
		return false;
	if (!c->scarce_since) {
		log_warning("%s; this is tried again for %u seconds", why->text,
			CHILD_SCARCE_MS / 1000);
		c->scarce_since = now;
	}
	c->retry_at = now + CHILD_RETRY_MS;
	return true;
}

void child_end(struct child *c, int timeout_ms)
{
	int status;

	c->link = close_fd(c->link);
	c->program = close_fd(c->program);
	c->candidate = close_fd(c->candidate);
	if (c->process.pid == 0)
		return;
	if (process_wait(&c->process, timeout_ms, &status) == 0)
		return;
	log_warning("the %s does not end by itself; it is killed", c->name);
	process_kill(&c->process);
	(void)process_wait(&c->process, -1, &status);
}
