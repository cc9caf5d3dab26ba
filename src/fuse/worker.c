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
 * What needs a privilege or a path comes first, in prepare(). Everything after it is done by a
 * process that can do next to nothing else, since metadata and requests may be an enemy's.
 */
#include "fuse/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fuse/connection.h"
#include "fuse/control.h"
#include "fuse/control_answer.h"
#include "fuse/grants.h"
#include "fuse/ops.h"
#include "fuse/origin.h"
#include "fuse/spawn.h"
#include "fuse/status.h"
#include "fuse/tickets.h"
#include "fuse/unmounter.h"
#include "fuse/wakeup.h"
#include "fuse/worker_confine.h"
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
#include "util/sigbus.h"

#define LINK_FD             SPAWN_FIRST_FD
#define REQUESTS_PER_WAKEUP 16U   /* then the others have their turn */
#define LONELY_WAKEUPS      16U   /* of so many one looks whether there is a second request */
#define TICK_MS             1000U /* between two looks at what has no event of its own */
#define HELPER_MS           5000U /* what needs the helper waits so long for its next link */
#define YIELD_MS            3000U /* for who waits for an answer that the next worker would not give */

enum source { /* what an event of the epoll set is about */
	SOURCE_SIGNAL,
	SOURCE_SUPERVISOR,
	SOURCE_HELPER,
	SOURCE_CONTROL,
	SOURCE_FUSE,
	SOURCE_WAKEUP,
};

struct worker {
	struct worker_options options;
	struct pool pool;
	struct store *store;
	struct namespace ns;
	struct tickets *tickets;
	struct grants *grants;
	struct worker_contents contents;
	struct ops ops;
	struct status status;
	struct control *control;
	struct store_origin origin;
	struct origin_texts origin_texts;
	struct unmounter unmounter;
	uid_t owner; /* who has started us */
	struct connection connection;
	struct open_table opens;
	unsigned inherited; /* requests that a predecessor had left */

	int epoll;
	int signals;
	struct wakeup wakeup;
	int peer;        /* link to the helper that came before the mount was begun; -1 */
	int watched;     /* the helper's link as it is in the epoll set; -1 */
	uint32_t events; /* what it is watched for */
	dev_t device;    /* of the mount; 0: there is none */
	unsigned lonely; /* wakeups since the last one that found more than one request */
	bool announced;  /* LINK_SERVING is sent */
	bool has_helper; /* its link was up the last time that we looked */
	bool end;
	uint64_t yield_by; /* when the next worker is to have the mount, in any case; 0: it stays
			      ours */
};

/* ---- watching ---- */

static int watch(const struct worker *w, int fd, enum source source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* The helper's link comes and goes, and what it is watched for changes with what is waiting to be
 * sent. */
static void watch_helper(struct worker *w)
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

/* ---- the helper ---- */

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

static void lose_helper(struct worker *w)
{
	w->watched = -1;
	worker_link_send(LINK_FD, LINK_BROKEN, (uint64_t)w->status.helper_pid);
	w->status.helper_pid = 0;
	ops_expect_helper(&w->ops, clock_milliseconds() + HELPER_MS);
}

static void take_helper(struct worker *w, int fd)
{
	w->watched = -1;
	if (grants_set_link(w->grants, fd) < 0) {
		log_error("out of memory for the link to the helper");
		lose_helper(w);
	}
}

static void serve_helper(struct worker *w, uint32_t events)
{
	if (grants_fd(w->grants) >= 0 && !grants_serve(w->grants, events))
		lose_helper(w);
}

/* ---- the mount ---- */

/* Shown before anything is mounted, so that a refusal is the operator's to see. */
static int check_origin(struct worker *w, struct problem *why)
{
	const struct meta *meta = store_meta(w->store);
	int r = origin_judge(&w->origin, &w->origin_texts, meta->token, why);

	if (r == 0)
		r = pool_stamps_agree(&w->pool, meta->token, &w->origin.stamps_agree, why);
	if (r < 0)
		return r;
	r = store_check_origin(w->store, &w->origin, why);
	if (r < 0 && w->options.trust_memory) {
		log_warning("mounted all the same, by --trust-memory: %s", why->text);
		return 0;
	}
	return r;
}

static int begin_store(struct worker *w, struct problem *why)
{
	struct runtime_header *table = w->connection.table.header;
	int r = w->origin.after_panic ? store_continue_mount(w->store, w->origin.boot_id, why)
				      : store_begin_mount(w->store, w->origin.boot_id, why);

	if (r == 0 && w->origin.after_panic)
		log_info("this is a crash kernel: what was held before the panic stays held, and "
			 "orphans and quarantine stay as they are");
	if (r == 0)
		r = pool_write_stamps(&w->pool, store_meta(w->store)->token, why);
	if (r < 0)
		return r;
	if (table->first_mount == 0)
		table->first_mount = store_meta(w->store)->mount_number;
	ns_init(&w->ns, w->store);
	w->ns.owner = w->owner;
	w->ns.opens = &w->opens;
	if (!store_is_frozen(w->store) && !w->origin.after_panic)
		worker_contents_give_back(&w->ns);
	return 0;
}

static int make_parts(struct worker *w, struct problem *why)
{
	struct grants_config config = {
		.ns = &w->ns,
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

	w->tickets = config.tickets = tickets_new(w->owner, w->connection.table.tickets);
	if (!w->tickets || grants_new(&w->grants, &config) < 0 ||
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
		worker_link_send(LINK_FD, LINK_UNFIT, 0);
	return r;
}

static int begin_mount(struct worker *w, int fd, uint64_t device, struct problem *why)
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
		ops_expect_helper(&w->ops, clock_milliseconds() + HELPER_MS);
	if (r == 0)
		r = resume(w, &last, why);
	if (r < 0)
		return r;
	r = watch(w, connection_fd(&w->connection), SOURCE_FUSE);
	if (r == 0)
		r = watch(w, control_fd(w->control), SOURCE_CONTROL);
	if (r < 0)
		return problem_errno(why, -r, "watching the mount");
	if (w->peer >= 0)
		take_helper(w, steal_fd(&w->peer));
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
static int serve_fuse(struct worker *w, struct problem *why)
{
	unsigned most = w->lonely % LONELY_WAKEUPS ? 1 : REQUESTS_PER_WAKEUP, served = 0;

	for (unsigned n = 0; n < REQUESTS_PER_WAKEUP && served < most; n++) {
		int r = connection_serve(&w->connection);

		if (r == -EAGAIN || r == -EINTR)
			break;
		if (r <= 0)
			return take_end_of_mount(w, why);
		served += r == CONNECTION_WAITED_FOR;
	}
	w->lonely = served > 1 ? 0 : w->lonely + 1;
	return 0;
}

/* ---- the supervisor ---- */

/* All goes on meanwhile, so that nobody waits who would not have waited anyhow. */
static void yield(struct worker *w, uint64_t now)
{
	w->yield_by = now + YIELD_MS;
	if (w->grants)
		grants_yield(w->grants);
}

/* What has no answer yet is asked of the next one, by kernel and helper; who has asked at the
 * control socket would have to ask again. */
static bool may_yield(struct worker *w, uint64_t now)
{
	if (w->yield_by == 0 || now >= w->yield_by || !w->connection.session)
		return w->yield_by != 0;
	if (control_is_busy(w->control) || !grants_are_answered(w->grants))
		return false;
	control_serve(w->control, now); /* what has come meanwhile */
	return !control_is_busy(w->control);
}

/* The supervisor answers it, and replaces us. */
static void hand_on_upgrade(struct worker *w)
{
	_cleanup_fd_ int fd = control_take_upgrade(w->control);

	if (fd >= 0 && w->status.supervisor_pid == 0)
		(void)control_answer_refuse(fd, EAGAIN,
			"no supervisor watches over worker and helper: start guestmemfs-fuse again "
			"with the same arguments");
	else if (fd >= 0 && worker_link_send_fd(LINK_FD, LINK_UPGRADE, fd) < 0)
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
}

static int obey(struct worker *w, struct worker_order *order, struct problem *why)
{
	switch (order->opcode) {
	case LINK_FUSE_FD:
		return begin_mount(w, order->fd, order->id, why);
	case LINK_PEER:
		w->status.helper_pid = (pid_t)order->id;
		if (w->grants) {
			take_helper(w, order->fd);
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

static int serve_supervisor(struct worker *w, struct problem *why)
{
	while (!w->end) {
		struct worker_order order;
		int r = worker_link_receive(LINK_FD, &order);

		if (r == -EAGAIN)
			return 0;
		if (r == -ECONNRESET) {
			log_warning("the supervisor and the keeper are gone: ending");
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

/* ---- the loop ---- */

static int serve_event(struct worker *w, const struct epoll_event *event, struct problem *why)
{
	switch ((enum source)event->data.u32) {
	case SOURCE_SIGNAL:
		w->end = true;
		break;
	case SOURCE_SUPERVISOR:
		return serve_supervisor(w, why);
	case SOURCE_HELPER:
		serve_helper(w, event->events);
		break;
	case SOURCE_CONTROL:
		control_serve(w->control, clock_milliseconds());
		hand_on_upgrade(w);
		break;
	case SOURCE_FUSE:
		return serve_fuse(w, why);
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
	watch_helper(w);
	if (!w->announced && connection_has_begun(&w->connection) && grants_is_ready(w->grants)) {
		w->announced = true;
		worker_link_send(LINK_FD, LINK_SERVING, w->inherited);
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
		w->end = w->end || may_yield(w, now);
	}
	return r;
}

/* ---- start and end ---- */

static int open_signals(struct worker *w, struct problem *why)
{
	sigset_t set;
	int r = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	(void)signal(SIGPIPE, SIG_IGN);
	r = sigbus_init();
	if (r < 0)
		return problem_errno(why, -r, "handling SIGBUS");
	sigbus_ask_early(); /* of device-dax a bad page is mapped again as if nothing were wrong */
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return problem_errno(why, errno, "preparing for signals");
	w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w->signals < 0)
		return problem_errno(why, errno, "preparing for signals");
	r = watch(w, w->signals, SOURCE_SIGNAL);
	if (r == 0)
		r = watch(w, LINK_FD, SOURCE_SUPERVISOR);
	if (r == 0)
		r = wakeup_open(&w->wakeup);
	if (r == 0)
		r = watch(w, w->wakeup.fd, SOURCE_WAKEUP);
	return r < 0 ? problem_errno(why, -r, "preparing for events") : 0;
}

static int adopt_regions(struct worker *w, struct problem *why)
{
	int r = 0;

	for (uint32_t i = 0; i < w->options.region_count && r == 0; i++) {
		const struct worker_region *region = &w->options.regions[i];

		r = pool_adopt(&w->pool, region->kind, region->fd, region->name, why);
	}
	return r;
}

/* The unmounter's process is made while this one has nothing yet that must not be in two. */
static int prepare(struct worker *w, char *title, struct problem *why)
{
	int r = unmounter_start(&w->unmounter, w->options.mount_path, title, why);

	w->owner = geteuid();
	if (r == 0)
		r = open_signals(w, why);
	if (r == 0)
		r = adopt_regions(w, why);
	if (r == 0)
		r = runtime_table_map(&w->connection.table, w->options.table, why);
	w->options.table = close_fd(w->options.table);
	if (r == 0)
		r = origin_read(&w->origin_texts, why);
	return r < 0 ? r : worker_confine_privileges(&w->options, why);
}

static void say_what_is_written_back(const struct worker *w)
{
	for (uint32_t n = 0; n < w->pool.count; n++)
		if (w->pool.regions[n].write_back)
			log_info("region %s is persistent memory: what is stored there is written "
				 "back from the processor's caches",
				w->pool.regions[n].name);
}

/* Before the store's first change, which removes what has no name and no user. */
static int adopt_opens(struct worker *w, struct problem *why)
{
	struct runtime_table *t = &w->connection.table;

	if (!runtime_table_begin(t)) {
		worker_link_send(LINK_FD, LINK_UNFIT, 0);
		return problem(why, EPROTONOSUPPORT,
			"another version has made the connection to the kernel that is there");
	}
	open_table_init(&w->opens, t->opens, &t->header->opens_used, RUNTIME_TABLE_OPENS);
	if (open_table_adopt(&w->opens, store_meta(w->store)) < 0)
		return problem_errno(why, ENOMEM, "taking over what is open");
	return 0;
}

/* The superblock and the stamps say how much is to be mapped; the rest is decoded with nothing more
 * to be had. */
static int recover(struct worker *w, struct problem *why)
{
	int r = pool_load(&w->pool, true, why);

	if (r == 0)
		r = pool_keep_stamps(&w->pool, why);
	if (r == 0)
		r = worker_confine_syscalls(&w->pool, LINK_FD, why);
	if (r == 0)
		r = store_open(&w->store, &w->pool.media, &w->pool.super, why);
	if (r == 0)
		r = check_origin(w, why);
	if (r == 0)
		r = adopt_opens(w, why);
	if (r == 0)
		say_what_is_written_back(w);
	return r;
}

struct recovery {
	struct worker *worker;
	struct problem *why;
	int r;
};

static void do_recover(void *data)
{
	struct recovery *recovery = data;

	recovery->r = recover(recovery->worker, recovery->why);
}

/* What is half made when metadata can't be read is not to be taken apart: this process ends. */
static int recover_guarded(struct worker *w, struct problem *why)
{
	struct recovery recovery = {.worker = w, .why = why};
	struct sigbus what;

	if (sigbus_guard(do_recover, &recovery, &what) == 0)
		return recovery.r;
	worker_link_send_failed(LINK_FD, pool_say_fault(&w->pool, &what, why), why);
	_exit(EXIT_FAILURE);
}

static int run(struct worker *w, int argc, char *argv[], struct problem *why)
{
	int r = worker_options_parse(&w->options, argc, argv, why);

	if (r == 0)
		r = prepare(w, argv[0], why);
	if (r == 0)
		r = recover_guarded(w, why);
	if (r < 0)
		return r;
	w->status = (struct status){
		.name = w->options.name,
		.mount_path = w->options.mount_path,
		.pool = &w->pool,
		.ns = &w->ns,
		.supervisor_pid = getppid(),
	};
	worker_link_send(LINK_FD, LINK_RECOVERED, 0);
	return loop(w, why);
}

/*
 * The last checkpoint spares the next start the journal; nothing depends on it. A worker that fails
 * leaves both to the next one: it trusts itself no more.
 */
static void end_mount(struct worker *w)
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
	return worker_link_send_log(LINK_FD, level, text);
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
		worker_link_send_failed(LINK_FD, r, &why);
	else if (w.yield_by)
		connection_mute(&w.connection);
	else
		end_mount(&w);
	if (r == 0 && !w.yield_by)
		worker_link_send(LINK_FD, LINK_ENDED, 0);
	close_all(&w);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
