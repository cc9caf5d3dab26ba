// SPDX-License-Identifier: MIT
/*
 * The start has two steps. First the metadata is recovered, without a single store; LINK_RECOVERED
 * tells the supervisor that a mount may be made. With LINK_FUSE_FD the mount is begun on the media,
 * and only then is the first request read.
 *
 * The worker ends in order (checkpoint, lazy unmount) when it is told to, when the mount is gone,
 * and when both supervisor and keeper are: nobody else would do it. It never maps a guest's block:
 * of the data blocks only those of the content store.
 *
 * What needs a privilege or a path comes first, in worker_prepare(). Everything after it is done by
 * a process that can do next to nothing else, since metadata and requests may be an enemy's.
 */
#include "fuse/worker.h"
#include "fuse/worker_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fuse/connection.h"
#include "fuse/control.h"
#include "fuse/grants.h"
#include "fuse/ops.h"
#include "fuse/status.h"
#include "fuse/tickets.h"
#include "fuse/unmounter.h"
#include "fuse/wakeup.h"
#include "fuse/worker_contents.h"
#include "fuse/worker_link.h"
#include "fuse/worker_options.h"
#include "pool/pool.h"
#include "proto/link.h"
#include "util/audit.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/log_socket.h"

#define TICK_MS 1000U /* between two looks at what has no event of its own */

int worker_watch(const struct worker *w, int fd, enum worker_source source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int serve_event(struct worker *w, const struct epoll_event *event, struct problem *why)
{
	switch ((enum worker_source)event->data.u32) {
	case SOURCE_SIGNAL:
		w->end = true;
		break;
	case SOURCE_SUPERVISOR:
		return worker_serve_supervisor(w, why);
	case SOURCE_HELPER:
		worker_serve_helper(w, event->events);
		break;
	case SOURCE_CONTROL:
		control_serve(w->control, clock_milliseconds());
		worker_hand_on_upgrade(w);
		break;
	case SOURCE_FUSE:
		return worker_serve_mount(w, why);
	case SOURCE_WAKEUP:
		wakeup_take(&w->wakeup);
		break;
	}
	return 0;
}

/* What follows from what has happened, before the next wait. */
static void settle(struct worker *w, uint64_t now)
{
	if (!w->connection.session)
		return;
	ops_expire(&w->ops, now);
	ops_go_on(&w->ops);
	control_expire(w->control, now);
	grants_advance(w->grants);
	worker_contents_settle(&w->contents, w->grants);
	if (grants_is_ready(w->grants) && !w->has_helper)
		ops_take_helper(&w->ops);
	w->has_helper = grants_is_ready(w->grants);
	ops_note_faults(&w->ops);
	worker_watch_helper(w);
	if (!w->announced && connection_has_begun(&w->connection) && grants_is_ready(w->grants)) {
		w->announced = true;
		worker_link_send(WORKER_LINK_FD, LINK_SERVING, w->inherited);
	}
}

/* How long the next wait may last. */
static int next_timeout(struct worker *w, uint64_t now)
{
	uint64_t due = now + TICK_MS, deadline;

	if (!w->connection.session)
		return -1;
	if (w->yield_by && w->yield_by < due)
		due = w->yield_by;
	if (ops_goes_on(&w->ops))
		return 0;
	if (ops_next_deadline(&w->ops, &deadline) && deadline < due)
		due = deadline;
	if (control_next_deadline(w->control, &deadline) && deadline < due)
		due = deadline;
	if (grants_next_deadline(w->grants, now, &deadline) && deadline < due)
		due = deadline;
	return wakeup_by(&w->wakeup, now, due);
}

static int loop(struct worker *w, struct problem *why)
{
	uint64_t now = clock_milliseconds();
	int r = 0;

	while (r == 0 && !w->end) {
		struct epoll_event
			event; /* one at a time: what it changes may concern the next one */
		int n = epoll_wait(w->epoll, &event, 1, next_timeout(w, now));

		if (n > 0)
			r = serve_event(w, &event, why);
		now = clock_milliseconds();
		if (r == 0 && !w->end)
			settle(w, now);
		w->end = w->end || worker_may_yield(w, now);
	}
	return r;
}

static int run(struct worker *w, int argc, char *argv[], struct problem *why)
{
	int r = worker_options_parse(&w->options, argc, argv, why);

	if (r == 0)
		r = worker_prepare(w, argv[0], why);
	if (r == 0)
		r = worker_recover(w, why);
	if (r < 0)
		return r;
	w->status = (struct status){
		.name = w->options.name,
		.mount_path = w->options.mount_path,
		.pool = &w->pool,
		.ns = &w->ns,
		.supervisor_pid = getppid(),
	};
	worker_link_send(WORKER_LINK_FD, LINK_RECOVERED, 0);
	return loop(w, why);
}

static void close_all(struct worker *w)
{
	if (w->connection.session)
		ops_deinit(&w->ops);
	w->control = control_free(w->control);
	w->grants = grants_free(w->grants);
	w->tickets = tickets_free(w->tickets);
	worker_contents_deinit(&w->contents);
	connection_close(&w->connection);
	open_table_deinit(&w->opens);
	w->store = store_close(w->store);
	pool_close(&w->pool);
	unmounter_deinit(&w->unmounter);
	w->options.control = close_fd(w->options.control);
	w->peer = close_fd(w->peer);
	wakeup_close(&w->wakeup);
	w->signals = close_fd(w->signals);
	w->epoll = close_fd(w->epoll);
}

/* Of a log daemon that is started anew the worker knows nothing, and it can connect to nobody. */
static int relay_line(int level, const char *text)
{
	return worker_link_send_log(WORKER_LINK_FD, level, text);
}

int worker_main(int argc, char *argv[])
{
	struct worker w = {
		.pool = POOL_NULL,
		.unmounter = UNMOUNTER_NULL,
		.options = {.control = -1, .table = -1},
		.epoll = -1,
		.signals = -1,
		.wakeup = WAKEUP_NULL,
		.peer = -1,
		.watched = -1,
	};
	struct problem why = PROBLEM_INIT;
	int r;

	/* Else it would be called "exe", after the link in /proc by which it was executed. */
	(void)prctl(PR_SET_NAME, "guestmemfs-work");
	log_init("guestmemfs-worker", LOG_LEVEL_INFO);
	log_socket_relay_by(relay_line);
	log_never_wait();
	if (log_reaches_journal())
		audit_to_journal(AUDIT_JOURNAL);
	r = run(&w, argc, argv, &why);
	if (r < 0)
		worker_link_send_failed(WORKER_LINK_FD, r, &why);
	else if (w.yield_by)
		connection_mute(&w.connection);
	else
		worker_end_mount(&w);
	if (r == 0 && !w.yield_by)
		worker_link_send(WORKER_LINK_FD, LINK_ENDED, 0);
	close_all(&w);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
