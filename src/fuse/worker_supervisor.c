// SPDX-License-Identifier: MIT
/*
 * What the supervisor says to the worker, or the keeper in its place, and what only it can do: the
 * mount's end, the helper's links, and a next worker, to which this one yields.
 */
#include "fuse/worker_internal.h"

#include <errno.h>

#include "fuse/control.h"
#include "fuse/control_answer.h"
#include "fuse/grants.h"
#include "fuse/worker_link.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

#define YIELD_MS 3000U /* for who waits for an answer that the next worker would not give */

/* All goes on meanwhile, so that nobody waits who would not have waited anyhow. */
static void yield(struct worker *w, uint64_t now)
{
	w->yield_by = now + YIELD_MS;
	if (w->grants)
		grants_yield(w->grants);
}

/* What has no answer yet is asked of the next one, by kernel and helper; who has asked at the
 * control socket would have to ask again. */
bool worker_may_yield(struct worker *w, uint64_t now)
{
	if (w->yield_by == 0 || now >= w->yield_by || !w->connection.session)
		return w->yield_by != 0;
	if (control_is_busy(w->control) || !grants_are_answered(w->grants))
		return false;
	control_serve(w->control, now); /* what has come meanwhile */
	return !control_is_busy(w->control);
}

void worker_hand_on_upgrade(struct worker *w)
{
	_cleanup_fd_ int fd = control_take_upgrade(w->control);

	if (fd >= 0 && w->status.supervisor_pid == 0)
		(void)control_answer_refuse(fd, EAGAIN,
			"no supervisor watches over worker and helper: start guestmemfs-fuse again "
			"with the same arguments");
	else if (fd >= 0 && worker_link_send_fd(WORKER_LINK_FD, LINK_UPGRADE, fd) < 0)
		(void)control_answer_refuse(
			fd, EAGAIN, "the supervisor does not listen at the moment: try again");
}

static void take_supervisor(struct worker *w, pid_t pid)
{
	if (pid == w->status.supervisor_pid)
		return;
	if (pid == 0)
		log_warning(
			"the supervisor is gone: all goes on, but who dies now is not replaced. "
			"Start guestmemfs-fuse again with the same arguments");
	else
		log_info("process %d is the supervisor now", (int)pid);
	w->status.supervisor_pid = pid;
	/* The one before may have heard it, and died before it did anything about it. */
	if (pid != 0 && w->broken_helper != 0)
		worker_link_send(WORKER_LINK_FD, LINK_BROKEN, (uint64_t)w->broken_helper);
}

static int obey(struct worker *w, struct worker_order *order, struct problem *why)
{
	switch (order->opcode) {
	case LINK_FUSE_FD:
		return worker_begin_mount(w, order->fd, order->id, why);
	case LINK_PEER:
		w->status.helper_pid = (pid_t)order->id;
		w->broken_helper = 0;
		if (w->grants) {
			worker_take_helper(w, order->fd);
		} else {
			(void)close_fd(w->peer);
			w->peer = order->fd;
		}
		return 0;
	case LINK_YIELD:
		yield(w, clock_milliseconds());
		return 0;
	case LINK_SUPERVISOR:
		take_supervisor(w, (pid_t)order->id);
		return 0;
	case LINK_KEEPER:
		w->status.keeper_pid = (pid_t)order->id;
		return 0;
	default: /* LINK_STOP */
		w->yield_by = 0;
		w->end = true;
		return 0;
	}
}

int worker_serve_supervisor(struct worker *w, struct problem *why)
{
	while (!w->end) {
		struct worker_order order;
		int r = worker_link_receive(WORKER_LINK_FD, &order);

		if (r == -EAGAIN)
			return 0;
		if (r == -ECONNRESET) {
			log_warning("the supervisor and the keeper are gone: ending");
			w->status.supervisor_pid = 0;
			w->end = true;
			return 0;
		}
		if (r < 0)
			return problem_errno(why, -r, "the link to the supervisor");
		r = obey(w, &order, why);
		if (r < 0)
			return r;
	}
	return 0;
}
