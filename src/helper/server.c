// SPDX-License-Identifier: MIT
/* Setting up, the event loop, tearing down. */
#include "helper/server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "helper/confine.h"
#include "helper/orders.h"
#include "helper/supervisor.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/packet.h"
#include "util/sigbus.h"

#define YIELD_MS      10000U /* for who is in the middle of a request, until another helper comes */
#define YIELD_IDLE_MS 1000U  /* for who has its answer and stays connected */

static void server_init(struct server *s)
{
	*s = (struct server){.epoll = -1,
		.supervisor = SOURCE_INIT(SOURCE_SUPERVISOR),
		.listener = SOURCE_INIT(SOURCE_LISTENER),
		.results = {SOURCE_INIT(SOURCE_WORK), SOURCE_INIT(SOURCE_WORK)}};
	for (unsigned i = 0; i < GM_REGIONS_MAX; i++)
		s->regions[i] = REGION_NULL;
	record_init(&s->record);
	link_init(&s->link);
	processes_init(&s->processes);
	users_init(&s->users);
	clients_init(&s->clients);
	grants_init(&s->grants);
	holders_init(&s->holders);
	takeback_init(&s->takeback);
	LIST_INIT(&s->revocations);
	TAILQ_INIT(&s->deliveries);
	leftovers_init(&s->leftovers);
	contents_init(&s->contents);
}

static void server_deinit(struct server *s)
{
	s->zeroing = work_free(s->zeroing); /* first: they use the regions */
	s->scanning = work_free(s->scanning);
	takeback_deinit(s);
	deliveries_free_all(s);
	contents_link_lost(s);
	revocations_free_all(s);
	grants_free_all(s);
	clients_close_all(s);
	holders_free_all(s);
	devices_free_all(s);
	leftovers_deinit(&s->leftovers);
	users_free_all(s);
	link_deinit(s);
	record_deinit(&s->record);
	source_close(&s->listener, s->epoll);
	source_close(&s->supervisor, s->epoll);
	for (unsigned i = 0; i < s->region_count; i++) {
		ledger_close(&s->ledgers[i]);
		region_close(&s->regions[i]);
	}
	s->epoll = close_fd(s->epoll);
}

/* ---- setting up ---- */

static int set_nonblocking(int fd, const char *option, struct problem *why)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return problem_errno(why, errno, "descriptor %d of %s", fd, option);
	return 0;
}

static int find_target(struct server *s, unsigned i, struct problem *why)
{
	const struct region *region = &s->regions[i];
	int err = 0;
	void *p = region_map(region, 0, GM_BLOCK_SIZE, false, &err);

	if (!p)
		return problem_errno(why, err, "mapping region %s", region->name);
	int r = procscan_identify(&s->targets[i], region->fd, p);
	region_unmap(region, p, GM_BLOCK_SIZE);
	return r < 0 ? problem_errno(why, -r, "finding region %s in /proc", region->name) : 0;
}

/* When a file of this boot was made; 0: before, or the file system does not tell. */
static uint64_t find_birth(const struct region *region)
{
	struct timespec boot, real;
	struct statx st;

	if (statx(region->fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) < 0 ||
		!(st.stx_mask & STATX_BTIME))
		return 0;
	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	(void)clock_gettime(CLOCK_REALTIME, &real);
	int64_t born = boot.tv_sec - (real.tv_sec - st.stx_btime.tv_sec) - 1;
	return born > 0 ? (uint64_t)born * 1000 : 0;
}

/*
 * A soft region is reached through devices made for the purpose alone. Its descriptor, which has
 * the metadata, only shows which region it is; it is closed, so that it can't leave by mistake and
 * is in nobody's way when the metadata need another device.
 */
static int prepare_region(struct server *s, unsigned i, struct problem *why)
{
	struct region *region = &s->regions[i];

	if (s->soft) {
		region->fd = close_fd(region->fd);
		return 0;
	}
	if (fcntl(region->fd, F_SETFD, FD_CLOEXEC) < 0)
		return problem_errno(why, errno, "region %s", region->name);
	return find_target(s, i, why);
}

static int adopt_regions(struct server *s, const struct helper_options *o, struct problem *why)
{
	s->soft = o->regions[0].kind == GM_REGION_SOFT;
	for (unsigned i = 0; i < o->region_count; i++) {
		const struct helper_region *x = &o->regions[i];
		if ((x->kind == GM_REGION_SOFT) != s->soft)
			return problem(why, EINVAL,
				"region %s is of kind %s, other than the first one", x->name,
				region_kind_name(x->kind));
		int r = region_adopt(&s->regions[i], x->kind, x->fd, x->name, why);
		if (r < 0)
			return r;
		s->region_count++;
		s->needs_trust |= region_needs_trust(x->kind);
		if (!s->soft) {
			uint64_t born = find_birth(&s->regions[i]);
			s->regions_born = i == 0 || born < s->regions_born ? born : s->regions_born;
		}
		r = ledger_open(&s->ledgers[i], o->notes_directory, &s->regions[i], why);
		if (r >= 0)
			r = prepare_region(s, i, why);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The supervisor is who made the link, and our parent. If it is not both, it is gone already or it
 * is none, and nobody has the region by right but us.
 */
static pid_t find_supervisor(const struct server *s)
{
	struct ucred peer;

	if (packet_get_peer(s->supervisor.fd, &peer) < 0 || peer.pid != getppid())
		return 0;
	return peer.pid;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int start_waiting(struct server *s, struct problem *why)
{
	int r = source_add(&s->supervisor, s->epoll, EPOLLIN);

	for (unsigned i = 0; i < ARRAY_SIZE(s->results) && r >= 0; i++)
		r = source_add(&s->results[i], s->epoll, EPOLLIN);
	if (r >= 0)
		r = source_add(&s->listener, s->epoll, EPOLLIN);
	if (r >= 0 && s->takeback.counts.fd >= 0)
		r = source_add(&s->takeback.counts, s->epoll, EPOLLIN);
	return r < 0 ? problem_errno(why, -r, "setting up the event loop") : 0;
}

static int start_threads(struct server *s, struct problem *why)
{
	int r = work_new(&s->zeroing, s->regions, s->region_count, &s->scan, &s->takeback.reuse);

	if (r >= 0)
		r = work_new(&s->scanning, s->regions, s->region_count, &s->scan, NULL);
	if (r < 0)
		return problem_errno(why, -r, "starting the background threads");
	s->results[0].fd = work_get_fd(s->zeroing);
	s->results[1].fd = work_get_fd(s->scanning);
	return 0;
}

static int server_start(struct server *s, const struct helper_options *o, struct problem *why)
{
	int r = set_nonblocking(s->supervisor.fd, "--link-fd", why);

	if (r == 0)
		r = set_nonblocking(s->listener.fd, "--listen-fd", why);
	if (r < 0)
		return r;
	/* ^C goes to the whole foreground group; the supervisor decides what it means for us. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN); /* who reads the log may go away */
	raise_descriptor_limit();
	r = sigbus_init();
	if (r < 0)
		return problem_errno(why, -r, "handling SIGBUS");
	r = adopt_regions(s, o, why);
	if (r < 0)
		return r;
	takeback_start(s, o);
	s->trust = (struct trust){
		.own_uid = geteuid(), .has_group = o->has_trusted_group, .group = o->trusted_group};
	s->ours.supervisor = procscan_note(find_supervisor(s));
	s->scan = (struct scan_options){.targets = s->targets,
		.target_count =
			s->soft ? 0 : s->region_count, /* a scan of devices brings its own */
		.ours = &s->ours,
		.reader = s->takeback.reader};
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0)
		return problem_errno(why, errno, "setting up the event loop");
	/* Nothing that takes more than the helper is to have may come after this. */
	r = helper_confine_privileges(s->soft, why);
	if (r >= 0)
		r = start_threads(s, why);
	if (r >= 0)
		r = helper_confine_syscalls(s->soft, s->supervisor.fd, why);
	return r < 0 ? r : start_waiting(s, why);
}

/* ---- the loop ---- */

static int take_result(struct server *s, struct work_job *job, struct problem *why)
{
	switch (job->kind) {
	case WORK_SCRUB:
	case WORK_ZERO:
		orders_take_done(s, job);
		break;
	case WORK_SCAN:
		holders_take_scan(s, job);
		break;
	case WORK_MAKE:
		deliver_take_made(s, job);
		break;
	case WORK_LIST:
		return devices_take_list(s, job, why);
	case WORK_SEEK:
		leftovers_take_sought(s, job);
		break;
	case WORK_REMOVE:
		devices_take_removed(s, job);
		break;
	case WORK_TAKE:
		return takeback_take_result(s, job, why);
	}
	return 0;
}

/* 1: go on; negative errno: the end. */
static int take_results(struct server *s, struct work *from, struct problem *why)
{
	struct work_job *job;
	int r = 0;

	while (r >= 0 && (job = work_take(from))) {
		r = take_result(s, job, why);
		work_job_free(job);
	}
	return r < 0 ? r : 1;
}

/* 1: go on; 0: the end; negative errno: the end, with a sentence. */
static int dispatch(struct server *s, struct source *source, uint32_t events, struct problem *why)
{
	switch (source->kind) {
	case SOURCE_SUPERVISOR:
		return supervisor_receive(s, why);
	case SOURCE_LISTENER:
		clients_accept(s);
		break;
	case SOURCE_LINK:
		link_handle(s, events);
		break;
	case SOURCE_WORK:
		return take_results(s, source == &s->results[0] ? s->zeroing : s->scanning, why);
	case SOURCE_CLIENT:
		client_receive(s, source_owner(source, struct client));
		break;
	case SOURCE_PROCESS:
		process_ended(s, source_owner(source, struct process));
		break;
	case SOURCE_COUNTS:
		return problem(why, EPIPE, "what reads the kernel's counts has ended");
	}
	return 1;
}

/* ---- making way for another helper ---- */

void server_yield(struct server *s)
{
	s->yield_since = clock_milliseconds();
	s->clients.paused_until = 0;
	source_set_events(&s->listener, s->epoll, 0); /* who comes now is the next one's */
}

static bool is_in_the_middle(const struct server *s)
{
	const struct client *c;

	TAILQ_FOREACH (c, &s->clients.all, by_server)
		if (c->redeem || client_has_unread_grant(c))
			return true;
	return !TAILQ_EMPTY(&s->deliveries) || !LIST_EMPTY(&s->revocations);
}

/* A client that has its grant looks whether we are still there, and hangs up: see
 * src/client/attach.c. */
static bool may_yield(const struct server *s)
{
	uint64_t waited = clock_milliseconds() - s->yield_since;

	if (s->yield_since == 0 || waited >= YIELD_MS)
		return s->yield_since != 0;
	return (s->clients.count == 0 || waited >= YIELD_IDLE_MS) && !is_in_the_middle(s);
}

static uint64_t yield_check_time(const struct server *s, uint64_t now)
{
	if (s->yield_since == 0)
		return SERVER_NEVER;
	return s->yield_since + (now < s->yield_since + YIELD_IDLE_MS ? YIELD_IDLE_MS : YIELD_MS);
}

/* Does what is due, and says how long nothing will be. */
static int check_time(struct server *s)
{
	uint64_t now = clock_milliseconds(), next = SERVER_NEVER;
	const uint64_t times[] = {clients_check_time(s, now), grants_check_time(s, now),
		holders_check_time(s, now), audits_check_time(s, now), users_check_time(s, now),
		revocations_check_time(s, now), yield_check_time(s, now)};

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (times[i] < next)
			next = times[i];
	if (next == SERVER_NEVER)
		return -1;
	if (next <= now)
		return 0;
	return next - now > INT_MAX ? INT_MAX : (int)(next - now);
}

static int server_loop(struct server *s, struct problem *why)
{
	for (;;) {
		struct epoll_event e;
		/* One event a turn: handling it may free what the others of a batch belong to. */
		int n = epoll_wait(s->epoll, &e, 1, check_time(s));
		if (n < 0 && errno != EINTR)
			return problem_errno(why, errno, "waiting for events");
		int r = n > 0 ? dispatch(s, e.data.ptr, e.events, why) : 1;
		if (r <= 0)
			return r;
		if (may_yield(s))
			return 0;
	}
}

int helper_run(const struct helper_options *options)
{
	_cleanup_(server_deinit) struct server s;
	struct problem why = PROBLEM_INIT;

	server_init(&s);
	s.supervisor.fd = options->link_fd;
	s.listener.fd = options->listen_fd;
	int r = server_start(&s, options, &why);
	if (r >= 0) {
		r = supervisor_send_serving(&s);
		if (r < 0)
			problem_errno(&why, -r, "telling the supervisor");
	}
	if (r < 0) {
		log_error("%s", why.text);
		supervisor_send_failed(&s, -r, &why);
		return 1;
	}
	r = server_loop(&s, &why);
	if (r < 0)
		log_error("%s", why.text);
	return r < 0 ? 1 : 0;
}
