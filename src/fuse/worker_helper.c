// SPDX-License-Identifier: MIT
/*
 * The worker's side of what the helper says: each answer goes to whoever waits for it, and a link
 * that is lost is the supervisor's to make anew.
 */
#include "fuse/worker_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "fuse/control.h"
#include "fuse/grants.h"
#include "fuse/ops.h"
#include "fuse/worker_contents.h"
#include "fuse/worker_link.h"
#include "proto/link.h"
#include "util/clock.h"
#include "util/log.h"

#define HELPER_MS 5000U /* what needs the helper waits so long for its next link */

static void on_checked(void *data, uint64_t ino, bool busy)
{
	struct worker *w = data;

	ops_recheck(&w->ops, ino, busy);
}

static void on_holder(void *data, const struct link_holder *h)
{
	struct worker *w = data;

	if (w->control)
		control_take_holder(w->control, h);
}

static void on_exported(
	void *data, uint64_t ino, int error, enum gm_reason reason, const char *node)
{
	struct worker *w = data;

	if (w->control)
		control_take_exported(w->control, ino, error, reason, node);
}

static void on_unexported(void *data, uint64_t ino, int error)
{
	struct worker *w = data;

	if (w->control)
		control_take_unexported(w->control, ino, error);
}

static void on_revoked(void *data, uint64_t id, const struct link_holder *h, int state)
{
	struct worker *w = data;

	ops_take_revoked(&w->ops, id, h, state);
}

static void on_zeroed(void *data, uint64_t id, int error)
{
	struct worker *w = data;

	ops_take_zeroed(&w->ops, id, error);
}

static void on_cleaned(void *data, int error, const struct alloc_extent *blocks)
{
	struct worker *w = data;

	worker_contents_take_cleaned(&w->contents, error, blocks);
}

static void on_contents_part(void *data, const struct grants_part *part, int fd)
{
	struct worker *w = data;

	worker_contents_take_part(&w->contents, part, fd);
}

static void on_contents_given(void *data, int error)
{
	struct worker *w = data;

	worker_contents_take_given(&w->contents, error);
}

int worker_make_grants(struct worker *w)
{
	struct grants_config config = {
		.ns = &w->ns,
		.tickets = w->tickets,
		.checked = on_checked,
		.holder = on_holder,
		.exported = on_exported,
		.unexported = on_unexported,
		.revoked = on_revoked,
		.zeroed = on_zeroed,
		.cleaned = on_cleaned,
		.contents_part = on_contents_part,
		.contents_given = on_contents_given,
		.data = w,
		.scrub_rate = w->options.scrub_rate,
		.after_panic = w->origin.after_panic,
	};

	return grants_new(&w->grants, &config);
}

void worker_watch_helper(struct worker *w)
{
	struct epoll_event event = {.data.u32 = SOURCE_HELPER};
	int fd = grants_fd(w->grants);

	if (fd < 0)
		return;
	event.events = grants_events(w->grants);
	if (fd == w->watched && event.events == w->events)
		return;
	if (epoll_ctl(w->epoll, fd == w->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0) {
		log_error("the helper's link can't be watched: %s", strerror(errno));
		return; /* tried again before the next wait */
	}
	w->watched = fd;
	w->events = event.events;
}

void worker_expect_helper(struct worker *w)
{
	ops_expect_helper(&w->ops, clock_milliseconds() + HELPER_MS);
}

static void lose_helper(struct worker *w)
{
	w->watched = -1;
	worker_link_send(WORKER_LINK_FD, LINK_BROKEN, (uint64_t)w->status.helper_pid);
	w->broken_helper = w->status.helper_pid;
	w->status.helper_pid = 0;
	worker_expect_helper(w);
}

void worker_take_helper(struct worker *w, int fd)
{
	w->watched = -1;
	if (grants_set_link(w->grants, fd) < 0) {
		log_error("out of memory for the link to the helper");
		lose_helper(w);
	}
}

void worker_serve_helper(struct worker *w, uint32_t events)
{
	if (grants_fd(w->grants) >= 0 && !grants_serve(w->grants, events))
		lose_helper(w);
}
