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
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/instance_record.h"
#include "fuse/mountpoint.h"
#include "fuse/runtime_table.h"
#include "fuse/supervisor_internal.h"
#include "fuse/takeover.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

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

void supervisor_announce(struct supervisor *s)
{
	s->serving = true;
	keeping_keep_all(s);
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

static int watch_child(struct supervisor *s, const struct child *c, struct problem *why)
{
	bool worker = c == &s->worker;
	int r = supervisor_watch(
		s, c->process.pidfd, worker ? SOURCE_WORKER_END : SOURCE_HELPER_END);

	if (r == 0)
		r = supervisor_watch(s, c->link, worker ? SOURCE_WORKER_LINK : SOURCE_HELPER_LINK);
	return r < 0 ? problem_errno(why, -r, "watching the %s", c->name) : 0;
}

void supervisor_tell_keeper(const struct supervisor *s, const struct child *c)
{
	if (c->link >= 0)
		child_send(c, LINK_KEEPER, (uint64_t)s->keeper.process.pid, -1);
}

static int start_child(struct supervisor *s, struct child *c, const char *path, struct problem *why)
{
	int r = c == &s->worker ? child_start_worker(c, &s->instance, path, s->table, why)
				: child_start_helper(c, &s->instance, path, why);

	if (r == 0)
		r = watch_child(s, c, why);
	if (r == 0) {
		log_debug("the %s is process %d", c->name, (int)c->process.pid);
		supervisor_tell_keeper(s, c);
		keeping_keep_child(s, c);
	}
	return r;
}

/* ---- their ends ---- */

static void describe_end(struct problem *p, const struct child *c, int status)
{
	if (status == PROCESS_UNKNOWN)
		(void)problem(p, ECHILD, "the %s has ended", c->name);
	else if (WIFSIGNALED(status))
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
	keeping_keep_connection(s);
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

static bool try_later(struct supervisor *s, struct child *c, int error, const struct problem *why)
{
	if (!child_try_later(c, error, clock_milliseconds(), why))
		return false;
	supervisor_discard(s, c);
	return true;
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
	return r == 0 || try_later(s, c, -r, why);
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
	bool good = status == PROCESS_UNKNOWN ? c->ended
					      : WIFEXITED(status) && WEXITSTATUS(status) == 0;
	struct problem why = PROBLEM_INIT;

	if (c != &s->worker)
		return false;
	if (good)
		return s->stopping || !is_mounted(s);
	return !s->stopping && was_unmounted(s, &why) == 1;
}

/* Hears its last words and gives up what there is of it. Returns its status. */
static int reap(struct supervisor *s, struct child *c)
{
	int status = 0;

	supervisor_take_words(s, c);
	supervisor_unwatch(s, c->process.pidfd);
	supervisor_unwatch(s, c->link);
	(void)process_wait(&c->process, 0, &status);
	c->link = close_fd(c->link);
	keeping_keep_child(s, c);
	return status;
}

/* why: how the one before has ended. */
static void replace(struct supervisor *s, struct child *c, struct problem *why)
{
	if (c->error && try_later(s, c, c->error, why))
		return;
	log_warning("%s; it is started again", why->text);
	if (child_has_died_too_often(c, clock_milliseconds()))
		(void)problem(why, ECHILD,
			"the %s has ended %u times within %u seconds: this instance gives up. The "
			"files and their memory are untouched",
			c->name, CHILD_DEATHS_MAX, CHILD_DEATHS_MS / 1000);
	else if (supervisor_start_again(s, c, why))
		return;
	supervisor_fail(s, why);
}

static void take_end(struct supervisor *s, struct child *c)
{
	struct problem why = PROBLEM_INIT;
	int status;

	if (c->process.pid == 0 || !process_has_ended(&c->process))
		return;
	status = reap(s, c);
	if (c == &s->worker && s->died_at == 0)
		s->died_at = clock_milliseconds();
	if (is_orderly(s, c, status) && s->serving) {
		end_unmounted(s);
		return;
	}
	describe_end(&why, c, status);
	if (s->stopping && c == &s->helper)
		log_info("%s", why.text);
	else if (s->stopping || !s->serving)
		supervisor_fail(s, &why);
	else if (!upgrade_take_end(s, c, &why))
		replace(s, c, &why);
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
		take_end(s, &s->worker);
		break;
	case SOURCE_WORKER_LINK:
		supervisor_serve_link(s, &s->worker);
		break;
	case SOURCE_HELPER_END:
		take_end(s, &s->helper);
		break;
	case SOURCE_HELPER_LINK:
		supervisor_serve_link(s, &s->helper);
		break;
	case SOURCE_PROBE_END:
		upgrade_take_probe(s);
		break;
	case SOURCE_KEEPER_END:
		keeping_take_end(s);
		break;
	}
}

static int time_to_retry(const struct supervisor *s, uint64_t now)
{
	const uint64_t times[] = {s->worker.retry_at, s->helper.retry_at, s->keeper.retry_at};
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
		r = start_child(s, &s->worker, "/proc/self/exe", why);
	if (r == 0)
		r = start_child(s, &s->helper, s->helper_path, why);
	if (r == 0)
		r = children_connect(&s->worker, &s->helper, why);
	if (r == 0)
		r = keeping_start(s, why);
	return r;
}

static void announce_takeover(struct supervisor *s)
{
	s->died_at = s->worker.serving ? 0 : clock_milliseconds();
	supervisor_announce(s);
	log_info("taken over from a supervisor that is gone: worker (process %d) and helper "
		 "(process %d)",
		(int)s->worker.process.pid, (int)s->helper.process.pid);
	child_send(&s->worker, LINK_SUPERVISOR, (uint64_t)getpid(), -1);
	child_send(&s->helper, LINK_SUPERVISOR, (uint64_t)getpid(), -1);
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
}

int supervisor_run(const struct options *options, const char *helper, int notify_fd)
{
	struct supervisor s = {
		.instance = INSTANCE_NULL,
		.worker = CHILD_NULL("worker"),
		.helper = CHILD_NULL("helper"),
		.keeper = CHILD_NULL("keeper"),
		.mount = MOUNT_NULL,
		.upgrade = UPGRADE_NULL,
		.helper_path = helper,
		.table = -1,
		.record = -1,
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
