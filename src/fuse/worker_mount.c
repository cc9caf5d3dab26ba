// SPDX-License-Identifier: MIT
/*
 * The mount as the worker has it: begun on the media once the supervisor has brought the connection
 * to the kernel, served, and ended.
 */
#include "fuse/worker_internal.h"

#include <errno.h>
#include <string.h>

#include "fuse/connection.h"
#include "fuse/control.h"
#include "fuse/ops.h"
#include "fuse/tickets.h"
#include "fuse/unmounter.h"
#include "fuse/worker_contents.h"
#include "fuse/worker_link.h"
#include "pool/pool.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/log.h"

#define REQUESTS_PER_WAKEUP 16U /* then the others have their turn */
#define LONELY_WAKEUPS      16U /* of so many one looks whether there is a second request */

static int begin_store(struct worker *w, struct problem *why)
{
	struct runtime_header *table = w->connection.table.header;
	int r = w->origin.after_panic ? store_continue_mount(w->store, w->origin.boot_id, why)
				      : store_begin_mount(w->store, w->origin.boot_id, why);

	if (r == 0 && w->origin.after_panic)
		log_info("this is a crash kernel: what was held before the panic stays held, and "
			 "orphans and quarantine stay as they are");
	if (r == 0 && !worker_goes_on(w))
		r = pool_write_stamps(&w->pool, store_meta(w->store)->token, why);
	if (r < 0)
		return r;
	if (!worker_goes_on(w))
		table->first_mount = store_meta(w->store)->mount_number;
	ns_init(&w->ns, w->store);
	w->ns.owner = w->owner;
	w->ns.opens = &w->opens;
	if (!store_is_frozen(w->store) && !w->origin.after_panic)
		worker_contents_give_back(&w->ns);
	return 0;
}

static void on_memory(void *data)
{
	struct worker *w = data;

	ops_take_memory(&w->ops);
}

/* A memory error that nobody has met yet, and no file's content has. */
static void on_stray_fault(void *data, const struct sigbus *what)
{
	struct worker *w = data;
	struct problem why = PROBLEM_INIT;
	uint64_t offset, length;

	if (pool_find_fault(&w->pool, what, &offset, &length)) {
		store_note_fault(w->store, offset, length);
		return;
	}
	(void)pool_say_fault(&w->pool, what, &why);
	log_error("the kernel tells of a memory error: %s", why.text);
}

static int make_parts(struct worker *w, struct problem *why)
{
	w->tickets = tickets_new(w->owner, w->connection.table.tickets);
	if (!w->tickets || worker_make_grants(w) < 0 ||
		worker_contents_init(&w->contents, &w->pool, &w->ns, w->grants, on_memory, w) < 0)
		return problem_errno(why, ENOMEM, "starting to serve");
	content_memory_on_stray(w->contents.memory, on_stray_fault, w);
	w->status.grants = w->grants;
	w->ops.ns = &w->ns;
	w->ops.tickets = w->tickets;
	w->ops.grants = w->grants;
	w->ops.grant_socket = w->options.grant_socket;
	w->ops.control_socket = w->options.control_socket;
	ops_init(&w->ops);
	return control_new(&w->control, steal_fd(&w->options.control), w->owner, &w->status, &w->ns,
		w->grants, why);
}

/* What a predecessor has left comes before all that is new. */
static int resume(struct worker *w, const struct store_result *last, struct problem *why)
{
	int r = connection_resume(&w->connection, last, &w->inherited, why);

	if (r == -EPROTONOSUPPORT)
		worker_link_send(WORKER_LINK_FD, LINK_UNFIT, 0);
	return r;
}

int worker_begin_mount(struct worker *w, int fd, uint64_t device, struct problem *why)
{
	const struct store_result last = store_last_result(w->store);
	_cleanup_fd_ int connection = fd;
	int r;

	if (w->device)
		return problem(why, EPROTO, "the supervisor brought a second mount");
	w->device = (dev_t)device;
	r = begin_store(w, why);
	if (r == 0)
		r = make_parts(w, why);
	if (r == 0)
		r = connection_open(&w->connection, steal_fd(&connection), &w->ops, why);
	if (r == 0)
		worker_expect_helper(w);
	if (r == 0)
		r = resume(w, &last, why);
	if (r < 0)
		return r;
	r = worker_watch(w, connection_fd(&w->connection), SOURCE_FUSE);
	if (r == 0)
		r = worker_watch(w, control_fd(w->control), SOURCE_CONTROL);
	if (r < 0)
		return problem_errno(why, -r, "watching the mount");
	if (w->peer >= 0)
		worker_take_helper(w, steal_fd(&w->peer));
	return 0;
}

/* Still in its place, yet without a connection: /sys/fs/fuse/connections/N/abort. Another worker is
 * to make it anew. */
static int take_end_of_mount(struct worker *w, struct problem *why)
{
	if (unmounter_is_ours(&w->unmounter, w->device))
		return problem(
			why, ECONNABORTED, "the mount's connection to the kernel was aborted");
	log_info("the mount is gone");
	w->end = true;
	return 0;
}

/*
 * Only reading tells whether another request waits. A client that waits for its answers has none,
 * and reading in vain costs a few hundredths of a request: so it is left to the next wait to tell,
 * while wakeups bring one request each. One that nobody waits for does not count: another follows.
 */
int worker_serve_mount(struct worker *w, struct problem *why)
{
	unsigned most = w->lonely % LONELY_WAKEUPS ? 1 : REQUESTS_PER_WAKEUP, served = 0;

	for (unsigned n = 0; n < REQUESTS_PER_WAKEUP && served < most; n++) {
		int r = connection_serve(&w->connection);

		if (r == -EAGAIN || r == -EINTR)
			break;
		if (r == -ENOMEM)
			return problem_errno(why, ENOMEM, "serving the mount");
		if (r <= 0)
			return take_end_of_mount(w, why);
		served += r == CONNECTION_WAITED_FOR;
	}
	w->lonely = served > 1 ? 0 : w->lonely + 1;
	return 0;
}

/* The last checkpoint spares the next start the journal; nothing depends on it. */
void worker_end_mount(struct worker *w)
{
	struct problem why = PROBLEM_INIT;
	int r;

	if (w->grants && !store_is_frozen(w->store)) { /* freezing has written one */
		r = store_checkpoint(w->store);
		if (r < 0)
			log_warning("the last checkpoint could not be written: %s", strerror(-r));
	}
	if (w->device && unmounter_detach(&w->unmounter, w->device, &why) < 0)
		log_warning("%s", why.text);
	if (w->status.supervisor_pid == 0)
		(void)unmounter_tidy(&w->unmounter); /* else the next start uses it */
}
