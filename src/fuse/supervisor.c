// SPDX-License-Identifier: MIT
/*
 * One loop over four things: signals, the two processes (their pidfds), and the links to them.
 *
 * The connection to the kernel is held here, and so is the runtime table, in which each worker
 * leaves what its successor must know. A worker that dies is started again on both: who has asked
 * for something waits a moment longer. Only where the connection itself has ended, or the new
 * worker can't go on with it, the mount is made anew. A helper that dies is just started again.
 * Either is given up when it dies too often; then the connection is closed, so that nobody waits.
 */
#include "fuse/supervisor.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "fuse/mountpoint.h"
#include "fuse/runtime_table.h"
#include "fuse/supervisor_internal.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/log.h"
#include "util/packet.h"

#define STOP_WORKER_MS   10000U /* for its checkpoint and the unmounting */
#define STOP_HELPER_MS   5000
#define MESSAGES_AT_ONCE 16U
#define MESSAGES_AT_END  1024U /* more than a socket's buffer has room for */

/* ---- telling ---- */

/* While the operator waits for the start, a sentence is for the terminal; later it is for the log.
 */
static void tell(struct supervisor *s, const char *sentence)
{
	if (s->serving)
		log_error("%s", sentence);
	else if (!s->told)
		(void)fprintf(stderr, "guestmemfs-fuse: %s\n", sentence);
	s->told = true;
}

void supervisor_fail(struct supervisor *s, const struct problem *why)
{
	tell(s, why->text);
	s->exit_code = 1;
	s->done = true;
}

/* The operator's command returns; this process is a daemon from here on. */
static void become_daemon(struct supervisor *s)
{
	const char code = 0;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	log_to_syslog();
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		(void)close_fd(null);
	}
	(void)!chdir("/");
	(void)!write(s->notify, &code, 1);
	s->notify = close_fd(s->notify);
}

static void announce(struct supervisor *s)
{
	s->serving = true;
	s->told = false;
	if (s->notify >= 0)
		become_daemon(s);
	log_info("%s is mounted at %s", s->instance.name, s->instance.mount_path);
}

/* ---- watching ---- */

int supervisor_watch(struct supervisor *s, int fd, enum supervisor_source source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int watch_child(struct supervisor *s, const struct child *c, struct problem *why)
{
	bool worker = c == &s->worker;
	int r = supervisor_watch(
		s, c->process.pidfd, worker ? SOURCE_WORKER_END : SOURCE_HELPER_END);

	if (r == 0)
		r = supervisor_watch(s, c->link, worker ? SOURCE_WORKER_LINK : SOURCE_HELPER_LINK);
	return r < 0 ? problem_errno(why, -r, "watching the %s", c->name) : 0;
}

static int start_child(struct supervisor *s, struct child *c, const char *path, struct problem *why)
{
	int r = c == &s->worker ? child_start_worker(c, &s->instance, path, s->table, why)
				: child_start_helper(c, &s->instance, path, why);

	if (r == 0)
		r = watch_child(s, c, why);
	if (r == 0)
		log_debug("the %s is process %d", c->name, (int)c->process.pid);
	return r;
}

/* ---- what the children say ---- */

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
	if (s->mount.fd < 0 && mount_make(&s->mount, &o, &why) < 0)
		supervisor_fail(s, &why);
	else
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
	give_mount(s);
	if (!s->serving && s->worker.serving && s->helper.serving)
		announce(s);
	else if (s->serving)
		tell_of_return(s, c, requests);
	upgrade_take_serving(s, c);
}

/* A child's words may be anybody's: they stay one line. */
static void make_line(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (char *at = text; *at; at++)
		if (iscntrl((unsigned char)*at))
			*at = '?';
}

/* It will end now; its end is what counts. */
static void take_failed(struct supervisor *s, struct child *c, struct link_failed *m)
{
	make_line(m->text, sizeof(m->text));
	(void)snprintf(c->words, sizeof(c->words), "%.255s", m->text);
	c->error = (int)get_le32(m->error);
	if (!c->scarce_since)
		tell(s, m->text);
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
	if (opcode == LINK_UPGRADE) {
		upgrade_begin(s, steal_fd(&descriptor));
	} else if (opcode == LINK_RECOVERED && worker && !c->recovered) {
		c->recovered = s->recovered = true;
		give_mount(s);
	} else if (opcode == LINK_UNFIT && worker) {
		s->unfit = true;
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

/* What is there, up to a bound: who talks without end keeps nobody else waiting. An end is no news
 * here: the pidfd tells. */
static void take_messages(struct supervisor *s, struct child *c, unsigned max)
{
	union link_from_child m;
	ssize_t n = -EAGAIN;
	int r = 0;

	for (unsigned i = 0; i < max && r == 0 && c->link >= 0 && !s->done; i++) {
		int fd = -1;
		size_t nfds = 1;

		n = packet_receive(c->link, &m, sizeof(m), &fd, &nfds, false);
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
	c->link = close_fd(c->link);
}

static void serve_link(struct supervisor *s, struct child *c)
{
	take_messages(s, c, MESSAGES_AT_ONCE);
}

/* ---- their ends ---- */

static void describe_end(struct problem *p, const struct child *c, int status)
{
	if (WIFSIGNALED(status))
		(void)problem(p, ECHILD, "the %s was ended by signal %d (%s)%s%s", c->name,
			WTERMSIG(status), strsignal(WTERMSIG(status)),
			WTERMSIG(status) == SIGSYS && *c->words ? ": " : "",
			WTERMSIG(status) == SIGSYS ? c->words : "");
	else
		(void)problem(
			p, ECHILD, "the %s ended with exit code %d", c->name, WEXITSTATUS(status));
}

/* What is open, and who waits for an answer, is lost with it. */
static void end_connection(struct supervisor *s)
{
	log_warning("%s; what is open in the mount is lost, it is made anew",
		s->unfit ? "the new worker can't go on with the connection to the kernel"
			 : "the connection to the kernel has ended");
	s->unfit = false;
	mount_end(&s->mount);
	s->table = close_fd(s->table);
}

static int prepare_connection(struct supervisor *s, struct problem *why)
{
	int r = mountpoint_prepare(s->instance.mount_path, why);

	if (r == 0)
		r = s->table = runtime_table_make(why);
	return r < 0 ? r : 0;
}

int supervisor_restart(struct supervisor *s, struct child *c, const char *path, struct problem *why)
{
	int r = 0;

	if (c == &s->worker) {
		s->recovered = false;
		if (s->unfit || (s->mount.fd >= 0 && !mount_is_alive(&s->mount)))
			end_connection(s);
		if (s->table < 0)
			r = prepare_connection(s, why);
	}
	if (r == 0)
		r = start_child(s, c, path, why);
	if (r == 0)
		r = children_connect(&s->worker, &s->helper, why);
	return r;
}

static bool is_mounted(const struct supervisor *s)
{
	return mountpoint_is_ours(s->instance.mount_path, s->mount.device);
}

/* 1: yes. Not so a mount that was detached: that lives on as long as something in it is open. */
static int was_unmounted(const struct supervisor *s, struct problem *why)
{
	struct mountpoint_entry entry;
	int r;

	if (s->mount.fd < 0 || mount_is_alive(&s->mount))
		return 0;
	r = mountpoint_find(&entry, s->instance.mount_path);
	if (r < 0)
		return problem_errno(why, -r, "looking for the mount");
	return r == 0 || entry.device != s->mount.device;
}

static void end_unmounted(struct supervisor *s)
{
	if (!s->stopping)
		log_info("%s was unmounted", s->instance.mount_path);
	s->done = true;
}

/* True if it runs, or will be tried again, or is not wanted any more. */
bool supervisor_start_again(struct supervisor *s, struct child *c, struct problem *why)
{
	int r;

	c->retry_at = 0;
	r = s->serving && c == &s->worker ? was_unmounted(s, why) : 0;
	if (r == 1) { /* while there was none */
		end_unmounted(s);
		return true;
	}
	if (r == 0)
		r = supervisor_restart(s, c, NULL, why);
	return r == 0 || child_try_later(c, -r, clock_milliseconds(), why);
}

static void start_due(struct supervisor *s, struct child *c)
{
	struct problem why = PROBLEM_INIT;

	if (c->retry_at && clock_milliseconds() >= c->retry_at && !s->stopping &&
		!supervisor_start_again(s, c, &why))
		supervisor_fail(s, &why);
}

/* True if the worker ended as it should: told to, or because the mount is gone. Of that it may have
 * heard nothing any more; and a mount that was detached lives on as long as something in it is
 * open.
 */
static bool is_orderly(const struct supervisor *s, const struct child *c, int status)
{
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	struct problem why = PROBLEM_INIT;

	if (c != &s->worker)
		return false;
	if (good)
		return s->stopping || !is_mounted(s);
	return !s->stopping && was_unmounted(s, &why) == 1;
}

static void take_end(struct supervisor *s, struct child *c)
{
	struct problem why = PROBLEM_INIT;
	int status = 0;

	take_messages(s, c, MESSAGES_AT_END); /* its last words */
	if (process_wait(&c->process, 0, &status) < 0)
		return;
	c->link = close_fd(c->link);
	if (c == &s->worker && s->died_at == 0)
		s->died_at = clock_milliseconds();
	if (is_orderly(s, c, status) && s->serving) {
		end_unmounted(s);
		return;
	}
	describe_end(&why, c, status);
	if (s->stopping && c == &s->helper) {
		log_info("%s", why.text);
		return;
	}
	if (s->stopping || !s->serving) {
		supervisor_fail(s, &why);
		return;
	}
	if (upgrade_take_end(s, c, &why))
		return;
	if (c->error && child_try_later(c, c->error, clock_milliseconds(), &why))
		return;
	log_warning("%s; it is started again", why.text);
	if (child_has_died_too_often(c, clock_milliseconds()))
		(void)problem(&why, ECHILD,
			"the %s has ended %u times within %u seconds: this instance gives up. The "
			"files and "
			"their memory are untouched",
			c->name, CHILD_DEATHS_MAX, CHILD_DEATHS_MS / 1000);
	else if (supervisor_start_again(s, c, &why))
		return;
	supervisor_fail(s, &why);
}

/* ---- signals and the loop ---- */

static void stop(struct supervisor *s, uint32_t signal)
{
	if (s->stopping)
		return;
	/* They may serve, and users may know it, before we have heard of it. */
	serve_link(s, &s->worker);
	serve_link(s, &s->helper);
	log_info("ending, by signal %u", signal);
	s->stopping = true;
	upgrade_abandon(s);
	s->stop_by = clock_milliseconds() + STOP_WORKER_MS;
	if (!s->serving) {
		s->exit_code = 1;
		tell(s, "ended by a signal before it served");
		s->done = true;
		return;
	}
	if (s->worker.process.pid == 0)
		s->done = true;
	child_send(&s->worker, LINK_STOP, 0, -1);
}

static void serve_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		upgrade_begin(s, -1);
	else
		stop(s, info.ssi_signo);
}

static void serve_event(struct supervisor *s, enum supervisor_source source)
{
	switch (source) {
	case SOURCE_SIGNAL:
		serve_signal(s);
		break;
	case SOURCE_WORKER_END:
		take_end(s, &s->worker);
		break;
	case SOURCE_WORKER_LINK:
		serve_link(s, &s->worker);
		break;
	case SOURCE_HELPER_END:
		take_end(s, &s->helper);
		break;
	case SOURCE_HELPER_LINK:
		serve_link(s, &s->helper);
		break;
	case SOURCE_PROBE_END:
		upgrade_take_probe(s);
		break;
	}
}

static int time_to_retry(const struct supervisor *s, uint64_t now)
{
	uint64_t at = s->worker.retry_at;

	if (!at || (s->helper.retry_at && s->helper.retry_at < at))
		at = s->helper.retry_at;
	if (!at)
		return -1;
	return at > now ? (int)(at - now) : 0;
}

/* Of two times that epoll can wait; -1: for ever. */
static int earlier(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* A worker that was told to stop and does not is stuck: the next start recovers what it left. */
static int time_left(struct supervisor *s)
{
	uint64_t now = clock_milliseconds();

	if (!s->stopping)
		return earlier(upgrade_check_time(s, now), time_to_retry(s, now));
	if (now < s->stop_by)
		return (int)(s->stop_by - now);
	log_warning("the worker does not end: it is killed");
	process_kill(&s->worker.process);
	s->stop_by = now + STOP_WORKER_MS;
	return STOP_WORKER_MS;
}

static void loop(struct supervisor *s)
{
	while (!s->done) {
		struct epoll_event
			event; /* one at a time: what it changes may concern the next one */
		int n = epoll_wait(s->epoll, &event, 1, time_left(s));

		if (n > 0)
			serve_event(s, (enum supervisor_source)event.data.u32);
		start_due(s, &s->worker);
		start_due(s, &s->helper);
	}
}

static int open_signals(struct supervisor *s, struct problem *why)
{
	sigset_t set;
	int r = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	(void)signal(SIGHUP, SIG_DFL); /* an ignored one would not come to the descriptor */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* EFBIG has a sentence */
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		r = -errno;
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r == 0 && s->signals < 0)
		r = -errno;
	if (r == 0)
		r = supervisor_watch(s, s->signals, SOURCE_SIGNAL);
	return r < 0 ? problem_errno(why, -r, "preparing for signals") : 0;
}

/* Of the file as it is called now: another one may take its place. */
static int find_own_path(struct supervisor *s, struct problem *why)
{
	ssize_t n = readlink("/proc/self/exe", s->own_path, sizeof(s->own_path) - 1);

	return n < 0 ? problem_errno(why, errno, "finding the path of this program") : 0;
}

static int start(struct supervisor *s, const struct options *options, struct problem *why)
{
	int r = open_signals(s, why);

	if (r == 0)
		r = find_own_path(s, why);
	if (r == 0)
		r = instance_open(&s->instance, options, why);
	if (r == 0)
		r = s->table = runtime_table_make(why);
	if (r >= 0)
		r = start_child(s, &s->worker, "/proc/self/exe", why);
	if (r == 0)
		r = start_child(s, &s->helper, GM_HELPER_PATH, why);
	if (r == 0)
		r = children_connect(&s->worker, &s->helper, why);
	return r;
}

/* The worker first: it unmounts, and then nobody can ask the helper for anything any more. */
static void finish(struct supervisor *s)
{
	upgrade_abandon(s);
	child_send(&s->worker, LINK_STOP, 0, -1);
	child_end(&s->worker, STOP_WORKER_MS);
	mount_end(&s->mount);
	s->table = close_fd(s->table);
	child_end(&s->helper, STOP_HELPER_MS);
	if (!s->serving)
		instance_discard(&s->instance);
	instance_close(&s->instance);
	s->epoll = close_fd(s->epoll);
	s->signals = close_fd(s->signals);
	s->notify = close_fd(s->notify);
}

int supervisor_run(const struct options *options, int notify_fd)
{
	struct supervisor s = {
		.instance = INSTANCE_NULL,
		.worker = CHILD_NULL("worker"),
		.helper = CHILD_NULL("helper"),
		.mount = MOUNT_NULL,
		.upgrade = UPGRADE_NULL,
		.table = -1,
		.epoll = -1,
		.signals = -1,
		.notify = notify_fd,
	};
	struct problem why = PROBLEM_INIT;

	if (start(&s, options, &why) < 0)
		supervisor_fail(&s, &why);
	loop(&s);
	finish(&s);
	return s.exit_code;
}
