// SPDX-License-Identifier: MIT
/*
 * One loop over signals, the ends of the processes (their pidfds), and the links to worker and
 * helper.
 *
 * The connection to the kernel is held here, and so is the runtime table, in which each worker
 * leaves what its successor must know. A worker that dies is started again on both: who has asked
 * for something waits a moment longer. Only where the connection itself has ended, or the new
 * worker can't go on with it, the mount is made anew. A helper that dies is just started again.
 * Either is given up when it dies too often; then the connection is closed, so that nobody waits.
 * The keeper (keeping.h) has what the next supervisor needs to go on with all of this; a start that
 * finds one without a supervisor (takeover.h) opens and starts nothing itself.
 */
#include "fuse/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fuse/instance_record.h"
#include "fuse/runtime_table.h"
#include "fuse/supervisor_internal.h"
#include "fuse/takeover.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/manager.h"

#define STOP_WORKER_MS 10000U /* for its checkpoint and the unmounting */
#define STOP_HELPER_MS 5000
#define LOOK_MS        200U /* a start that finds a supervisor looks so often whether that lives */

/* ---- telling ---- */

void supervisor_tell(struct supervisor *s, const char *sentence)
{
	if (s->serving)
		log_error("%s", sentence);
	else if (!s->told)
		(void)fprintf(stderr, "guestmemfs-fuse: %s\n", sentence);
	s->told = true;
}

void supervisor_fail(struct supervisor *s, const struct problem *why)
{
	supervisor_tell(s, why->text);
	s->exit_code = 1;
	s->done = true;
}

/* What this process says goes to the system's log from here on. */
static void become_daemon(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	log_to_syslog();
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		(void)close_fd(null);
	}
	(void)!chdir("/");
}

/* The operator's command returns. */
static void tell_command(struct supervisor *s)
{
	const char code = 0;

	if (s->notify >= 0)
		(void)!write(s->notify, &code, 1);
	s->notify = close_fd(s->notify);
}

/* A service's start is over (Type=notify). */
static void tell_manager(const struct supervisor *s)
{
	char lines[OPTIONS_NAME_MAX + 64];
	int r;

	if (!s->manager)
		return;
	(void)snprintf(lines, sizeof(lines), "READY=1\nSTATUS=%s is mounted", s->instance.name);
	r = manager_tell(s->manager, lines);
	if (r < 0)
		log_warning("telling the service manager at %s that the mount serves: %s",
			s->manager, strerror(-r));
}

static void begin_to_serve(struct supervisor *s)
{
	s->serving = true;
	keeping_keep_all(s);
	s->told = false;
	if (s->notify >= 0)
		become_daemon();
}

/* The last of a start: who waits for it finds all that the start does. */
static void announce(struct supervisor *s)
{
	log_info("%s is mounted at %s", s->instance.name, s->instance.mount_path);
	tell_command(s);
	tell_manager(s);
}

void supervisor_announce(struct supervisor *s)
{
	begin_to_serve(s);
	announce(s);
}

/* ---- watching ---- */

int supervisor_watch(struct supervisor *s, int fd, enum supervisor_source source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Closing is not enough: of a descriptor that the keeper has too, events would go on to come. */
void supervisor_unwatch(const struct supervisor *s, int fd)
{
	if (fd >= 0)
		(void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL); /* ENOENT: it was not watched */
}

void supervisor_discard(struct supervisor *s, struct child *c)
{
	supervisor_unwatch(s, c->link);
	supervisor_unwatch(s, c->process.pidfd);
	child_discard(c);
}

/* ---- signals and the loop ---- */

static void stop(struct supervisor *s, uint32_t signal)
{
	if (s->stopping)
		return;
	/* They may serve, and users may know it, before we have heard of it. */
	supervisor_serve_link(s, &s->worker);
	supervisor_serve_link(s, &s->helper);
	log_info("ending, by signal %u", signal);
	s->stopping = true;
	upgrade_abandon(s);
	s->stop_by = clock_milliseconds() + STOP_WORKER_MS;
	if (!s->serving) {
		s->exit_code = 1;
		supervisor_tell(s, "ended by a signal before it served");
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
		supervisor_take_end(s, &s->worker);
		break;
	case SOURCE_WORKER_LINK:
		supervisor_serve_link(s, &s->worker);
		break;
	case SOURCE_HELPER_END:
		supervisor_take_end(s, &s->helper);
		break;
	case SOURCE_HELPER_LINK:
		supervisor_serve_link(s, &s->helper);
		break;
	case SOURCE_PROBE_END:
		upgrade_take_probe(s);
		break;
	case SOURCE_KEEPER:
		keeping_serve(s);
		break;
	}
}

/* To start something again, or to kill it. */
static int time_to_act(const struct supervisor *s, uint64_t now)
{
	const uint64_t times[] = {s->worker.retry_at, s->helper.retry_at, s->keeper.retry_at,
		s->worker.end_by, s->helper.end_by};
	uint64_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (times[i] && (!at || times[i] < at))
			at = times[i];
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
		return earlier(upgrade_check_time(s, now), time_to_act(s, now));
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
		supervisor_end_due(&s->worker);
		supervisor_end_due(&s->helper);
		supervisor_start_due(s, &s->worker);
		supervisor_start_due(s, &s->helper);
		keeping_start_due(s);
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

static int start_all(struct supervisor *s, struct problem *why)
{
	int r = s->table = runtime_table_make(why);

	if (r >= 0)
		r = s->record = instance_record_make(&s->instance, why);
	if (r >= 0)
		r = supervisor_start_child(s, &s->worker, "/proc/self/exe", why);
	if (r == 0)
		r = supervisor_start_child(s, &s->helper, s->helper_path, why);
	if (r == 0)
		r = children_connect(&s->worker, &s->helper, why);
	if (r == 0)
		r = keeping_start(s, why);
	return r;
}

static void announce_takeover(struct supervisor *s)
{
	s->died_at = s->worker.serving ? 0 : clock_milliseconds();
	begin_to_serve(s);
	log_info("taken over from a supervisor that is gone: worker (process %d) and helper "
		 "(process %d)",
		(int)s->worker.process.pid, (int)s->helper.process.pid);
	child_send(&s->worker, LINK_SUPERVISOR, (uint64_t)getpid(), -1);
	child_send(&s->helper, LINK_SUPERVISOR, (uint64_t)getpid(), -1);
	announce(s);
}

/* What kept the start waiting may have lost its supervisor meanwhile. */
static bool may_have_changed(int error)
{
	return error == -EWOULDBLOCK || error == -EBUSY || error == -EADDRINUSE;
}

/*
 * 1: what was in the way is taken over. Without its supervisor the keeper does not wait longer than
 * we would for the lock, so whether that lives is asked all the time.
 */
static int open_instance(
	struct supervisor *s, const struct options *options, bool supervised, struct problem *why)
{
	uint64_t now = clock_milliseconds(), until = now + INSTANCE_LOCK_MS;
	int r, taken;

	do {
		r = instance_open(
			&s->instance, options, supervised ? LOOK_MS : (unsigned)(until - now), why);
		taken = may_have_changed(r) ? takeover_try(s, options, &supervised, why) : 0;
		now = clock_milliseconds();
	} while (r == -EWOULDBLOCK && taken == 0 && now < until);
	return taken ? taken : r;
}

static int start(struct supervisor *s, const struct options *options, struct problem *why)
{
	bool supervised = false;
	int r = open_signals(s, why);

	if (r == 0)
		r = find_own_path(s, why);
	if (r == 0)
		r = takeover_try(s, options, &supervised, why);
	if (r == 0) {
		r = open_instance(s, options, supervised, why);
		if (r == 0)
			return start_all(s, why);
	}
	if (r > 0)
		announce_takeover(s);
	return r < 0 ? r : 0;
}

/* The keeper first, for what it holds; then the worker: it unmounts, and nobody can ask the helper
 * for anything any more. */
static void finish(struct supervisor *s)
{
	upgrade_abandon(s);
	keeping_end(s);
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
	free(s->manager);
}

/* Of it only this process tells anything: its children do not inherit it. */
static char *find_manager(void)
{
	const char *socket = getenv(MANAGER_ENVIRONMENT);
	char *copy = socket ? strdup(socket) : NULL;

	(void)unsetenv(MANAGER_ENVIRONMENT);
	return copy;
}

int supervisor_run(const struct options *options, const char *helper, int notify_fd)
{
	struct supervisor s = {
		.instance = INSTANCE_NULL,
		.worker = CHILD_NULL("worker"),
		.helper = CHILD_NULL("helper"),
		.keeper = CHILD_NULL("keeper"),
		.next_keeper = CHILD_NULL("keeper"),
		.mount = MOUNT_NULL,
		.upgrade = UPGRADE_NULL,
		.helper_path = helper,
		.table = -1,
		.record = -1,
		.epoll = -1,
		.signals = -1,
		.notify = notify_fd,
		.manager = find_manager(),
	};
	struct problem why = PROBLEM_INIT;

	if (start(&s, options, &why) < 0)
		supervisor_fail(&s, &why);
	loop(&s);
	finish(&s);
	return s.exit_code;
}
