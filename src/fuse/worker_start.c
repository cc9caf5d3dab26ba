// SPDX-License-Identifier: MIT
/*
 * The worker's start: all that needs a privilege or a path, and then, by a process that can do next
 * to nothing else, the reading of metadata that may be an enemy's. Nothing is stored.
 */
#include "fuse/worker_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fuse/origin.h"
#include "fuse/unmounter.h"
#include "fuse/wakeup.h"
#include "fuse/worker_confine.h"
#include "fuse/worker_link.h"
#include "fuse/worker_options.h"
#include "pool/pool.h"
#include "proto/link.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/sigbus.h"

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
	r = worker_watch(w, w->signals, SOURCE_SIGNAL);
	if (r == 0)
		r = worker_watch(w, WORKER_LINK_FD, SOURCE_SUPERVISOR);
	if (r == 0)
		r = wakeup_open(&w->wakeup);
	if (r == 0)
		r = worker_watch(w, w->wakeup.fd, SOURCE_WAKEUP);
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
int worker_prepare(struct worker *w, char *title, struct problem *why)
{
	const struct unmounter_paths paths = {
		.mount = w->options.mount_path,
		.control_socket = w->options.control_socket,
		.grant_socket = w->options.grant_socket,
	};
	int r = unmounter_start(&w->unmounter, &paths, title, why);

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

/* Shown before anything is mounted, so that a refusal is the operator's to see. */
static int check_origin(struct worker *w, struct problem *why)
{
	const struct meta *meta = store_meta(w->store);
	int r = origin_judge(&w->origin, &w->origin_texts, meta->token, why);

	if (r == 0 && worker_goes_on(w))
		w->origin.stamps_agree = true;
	else if (r == 0)
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

/* Before the store's first change, which removes what has no name and no user. */
static int adopt_opens(struct worker *w, struct problem *why)
{
	struct runtime_table *t = &w->connection.table;

	if (!runtime_table_begin(t)) {
		worker_link_send(WORKER_LINK_FD, LINK_UNFIT, 0);
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
	int r = worker_goes_on(w) ? pool_load_again(&w->pool, why) : pool_load(&w->pool, true, why);

	if (r == 0)
		r = pool_keep_stamps(&w->pool, why);
	if (r == 0)
		r = worker_confine_syscalls(&w->pool, WORKER_LINK_FD, why);
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
int worker_recover(struct worker *w, struct problem *why)
{
	struct recovery recovery = {.worker = w, .why = why};
	struct sigbus what;

	if (sigbus_guard(do_recover, &recovery, &what) == 0)
		return recovery.r;
	worker_link_send_failed(WORKER_LINK_FD, pool_say_fault(&w->pool, &what, why), why);
	_exit(EXIT_FAILURE);
}
