// SPDX-License-Identifier: MIT
/*
 * The supervisor's children, worker and helper: their starts, their ends, and what follows from
 * those: another one in their place, the end of the instance, or nothing, where it was to be.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/wait.h>

#include "fuse/mountpoint.h"
#include "fuse/runtime_table.h"
#include "fuse/supervisor_internal.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

/* ---- starts ---- */

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

int supervisor_start_child(
	struct supervisor *s, struct child *c, const char *path, struct problem *why)
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
		r = supervisor_start_child(s, c, path, why);
	if (r == 0)
		r = children_connect(&s->worker, &s->helper, why);
	return r;
}

/* ---- ends ---- */

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

void supervisor_end_due(struct child *c)
{
	if (!c->end_by || clock_milliseconds() < c->end_by)
		return;
	c->end_by = 0;
	if (process_has_ended(&c->process))
		return;
	log_warning(
		"the %s has closed its link to the supervisor, and goes on: it is killed", c->name);
	process_kill(&c->process);
}

void supervisor_start_due(struct supervisor *s, struct child *c)
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
	c->end_by = 0;
	keeping_keep_child(s, c);
	return status;
}

/* why: how the one before has ended. */
static void replace(struct supervisor *s, struct child *c, struct problem *why)
{
	if (c->error && try_later(s, c, c->error, why))
		return;
	if (child_has_died_too_often(c, clock_milliseconds())) {
		log_warning("%s", why->text);
		(void)problem(why, ECHILD,
			"the %s has ended %u times within %u seconds: this instance gives up. The "
			"files and their memory are untouched",
			c->name, CHILD_DEATHS_MAX, CHILD_DEATHS_MS / 1000);
	} else {
		log_warning("%s; it is started again", why->text);
		if (supervisor_start_again(s, c, why))
			return;
	}
	supervisor_fail(s, why);
}

void supervisor_take_end(struct supervisor *s, struct child *c)
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
	child_describe_end(c, status, &why);
	if (s->stopping && c == &s->helper)
		log_info("%s", why.text);
	else if (s->stopping || !s->serving)
		supervisor_fail(s, &why);
	else if (!upgrade_take_end(s, c, &why))
		replace(s, c, &why);
}
