// SPDX-License-Identifier: MIT
#include "rig.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../crash/random_bytes.h"
#include "fuse/control.h"
#include "fuzz.h"
#include "store/fsck.h"
#include "store/xattrs.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

#define STEPS_MAX 20000U /* of the end: more are a sign that it never comes */

struct rig_pool {
	struct image image;
	struct recorder recorder;
	size_t whole; /* formatted and mounted once */
	struct pool pool;
	uint64_t boot; /* of it */
};

struct rig rig;

static struct rig_pool pools[WORLD_SHAPES];
static struct view seen, again;
static struct reading reading;

void rig_die(const char *what, const char *why)
{
	(void)fprintf(stderr, "fuzz: %s%s%s\n", what, why[0] ? ": " : "", why);
	abort();
}

/* ---- the clock ---- */

static uint64_t passed; /* milliseconds, since the process began */

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

/* Only as the input says: the same input is always the same run. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, ret);
	*ret = (struct timespec){.tv_sec = (time_t)(1000 + passed / 1000),
		.tv_nsec = (long)(passed % 1000) * 1000000};
	return 0;
}

void rig_pass(uint64_t milliseconds)
{
	passed += milliseconds;
}

/* ---- the pools ---- */

static int make_memory(uint64_t size)
{
	int fd = memfd_create("region", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		rig_die("memory for a region", strerror(errno));
	return fd;
}

static void make_regions(struct rig_pool *p, const struct world *w)
{
	static char soft_name[] = "soft";
	struct problem why = PROBLEM_INIT;

	for (uint32_t n = 0; n < w->region_count; n++) {
		uint64_t size = w->regions[n].blocks * GM_BLOCK_SIZE;
		int fd = make_memory(size);

		if (w->regions[n].kind != GM_REGION_FILE)
			p->pool.regions[n] = (struct region){.kind = w->regions[n].kind,
				.name = soft_name,
				.fd = fd,
				.size = size,
				.align = GM_BLOCK_SIZE,
				.physical_start = w->regions[n].physical_start};
		else if (region_adopt(&p->pool.regions[n], GM_REGION_FILE, fd, "region", &why) < 0)
			rig_die("a region", why.text);
		p->pool.count++;
	}
}

static void make_pool(struct rig_pool *p, enum world_shape shape)
{
	struct trace t = {.count = 0};
	struct world w;

	image_init(&p->image, WORLD_AREA);
	world_init(&w, shape, &p->image, &t);
	if (!world_run(&w, "", NULL))
		rig_die("the pool can't be made", w.wrong);
	make_regions(p, &w);
	p->boot = w.boot_id[0];
	world_deinit(&w);
	trace_deinit(&t);
	recorder_init(&p->recorder, &p->image, NULL);
	p->whole = image_mark(&p->image);
}

int rig_region_fd(unsigned region)
{
	return rig.pool->pool.regions[region].fd;
}

static const uint8_t *area(void)
{
	return (const uint8_t *)rig.pool->image.words;
}

/* ---- what the grants call back ---- */

static void on_checked(void *data, uint64_t ino, bool busy)
{
	(void)data;
	ops_recheck(&rig.ops, ino, busy);
}

static void on_holder(void *data, const struct link_holder *h)
{
	(void)data;
	if (rig.control)
		control_take_holder(rig.control, h);
}

static void on_exported(
	void *data, uint64_t ino, int error, enum gm_reason reason, const char *node)
{
	(void)data;
	if (rig.control)
		control_take_exported(rig.control, ino, error, reason, node);
}

static void on_unexported(void *data, uint64_t ino, int error)
{
	(void)data;
	if (rig.control)
		control_take_unexported(rig.control, ino, error);
}

static void on_revoked(void *data, uint64_t id, const struct link_holder *h, int state)
{
	(void)data;
	ops_take_revoked(&rig.ops, id, h, state);
}

static void on_zeroed(void *data, uint64_t id, int error)
{
	(void)data;
	ops_take_zeroed(&rig.ops, id, error);
}

static void on_cleaned(void *data, int error, const struct alloc_extent *blocks)
{
	(void)data;
	worker_contents_take_cleaned(&rig.contents, error, blocks);
}

static void on_part(void *data, const struct grants_part *part, int fd)
{
	(void)data;
	worker_contents_take_part(&rig.contents, part, fd);
}

static void on_given(void *data, int error)
{
	(void)data;
	worker_contents_take_given(&rig.contents, error);
}

static void on_memory(void *data)
{
	(void)data;
	ops_take_memory(&rig.ops);
}

/* ---- the worker ---- */

static void open_store(void)
{
	struct problem why = PROBLEM_INIT;
	struct recorder *r = (struct recorder *)&rig.pool->recorder;

	if (store_read_super(&rig.super, r->media.base, 0, &why) < 0 ||
		store_open(&rig.store, &r->media, &rig.super, &why) < 0)
		rig_die("the pool can't be opened", why.text);
	rig.last = store_last_result(rig.store);
	rig_runtime_adopt(); /* first: what has no name and no user is removed next */
	if ((rig.after_panic ? store_continue_mount : store_begin_mount)(
		    rig.store, rig.boot_id, &why) < 0)
		rig_die("the pool can't be mounted", why.text);
	ns_init(&rig.ns, rig.store);
	rig_runtime_begin();
}

static void open_worker(void)
{
	struct grants_config config = {.ns = &rig.ns,
		.checked = on_checked,
		.holder = on_holder,
		.exported = on_exported,
		.unexported = on_unexported,
		.revoked = on_revoked,
		.zeroed = on_zeroed,
		.cleaned = on_cleaned,
		.after_panic = rig.after_panic,
		.contents_part = on_part,
		.contents_given = on_given};

	open_store();
	config.tickets = rig.tickets;
	if (!rig.tickets || grants_new(&rig.grants, &config) < 0)
		rig_die("no memory", "");
	if (worker_contents_init(&rig.contents, (struct pool *)&rig.pool->pool, &rig.ns, rig.grants,
		    on_memory, NULL) < 0)
		rig_die("no memory", "");
	rig.ops = (struct ops){.ns = &rig.ns,
		.tickets = rig.tickets,
		.grants = rig.grants,
		.grant_socket = "/run/grant.sock",
		.control_socket = "/run/control.sock"};
	ops_init(&rig.ops);
	rig.yields = rig.has_helper = false;
	rig.status = (struct status){.name = "fuzz",
		.mount_path = "/mnt/fuzz",
		.pool = &rig.pool->pool,
		.ns = &rig.ns,
		.grants = rig.grants};
}

static void close_worker(void)
{
	ops_deinit(&rig.ops);
	rig.control = control_free(rig.control);
	rig.grants = grants_free(rig.grants);
	rig.tickets = tickets_free(rig.tickets);
	worker_contents_deinit(&rig.contents);
	ns_spares_forget(&rig.ns);
	rig_runtime_end();
	rig.store = store_close(rig.store);
}

void rig_begin(unsigned shape)
{
	struct rig_pool *p = &pools[shape % WORLD_SHAPES];

	if (!p->image.words) {
		log_init("fuzz", getenv("GM_VERBOSE") ? LOG_LEVEL_DEBUG : 0);
		make_pool(p, shape % WORLD_SHAPES);
	}
	image_rollback(&p->image, p->whole);
	random_bytes_restart(5);
	rig.pool = p;
	memset(rig.boot_id, 0, sizeof(rig.boot_id));
	rig.boot_id[0] = (uint8_t)p->boot;
	rig.given_up = false;
	rig.refuse_reply = 0;
	rig.after_panic = shape & 128;
	rig_runtime_forget();
	rig_helper_forget();
	open_worker();
	rig.first_mount = store_meta(rig.store)->mount_number;
	rig_kernel_connect();
	rig.inodes[0] = GM_ROOT_INO;
	rig.inode_count = 1;
}

void rig_restart(bool new_boot)
{
	close_worker();
	if (new_boot) {
		rig.boot_id[0]++;
		rig_runtime_forget();
		rig_helper_forget();
	}
	open_worker();
}

void rig_yield(void)
{
	rig.yields = true;
	grants_yield(rig.grants);
}

/* Who asks while there is no helper, but may be one soon, waits for that. */
#define HELPER_MS 5000U

/* As the worker's loop has it. */
static void note_helper(void)
{
	if (grants_is_ready(rig.grants) && !rig.has_helper)
		ops_take_helper(&rig.ops);
	else if (!grants_is_ready(rig.grants) && rig.has_helper)
		ops_expect_helper(&rig.ops, clock_milliseconds() + HELPER_MS);
	rig.has_helper = grants_is_ready(rig.grants);
}

void rig_hear(void)
{
	if (grants_fd(rig.grants) < 0 || grants_serve(rig.grants, EPOLLIN | EPOLLOUT))
		return;
	if (!rig.lied_to)
		rig_die("the worker gives up a helper that does nothing wrong", "");
	rig.given_up = true;
}

/* What the socket did not take at once follows when it does. */
static void send_rest(void)
{
	rig_helper_read();
	while (grants_fd(rig.grants) >= 0 && grants_events(rig.grants) & EPOLLOUT) {
		(void)grants_serve(rig.grants, EPOLLOUT);
		rig_helper_read();
	}
}

void rig_settle(void)
{
	ops_expire(&rig.ops, clock_milliseconds());
	ops_go_on(&rig.ops);
	if (rig.control)
		control_expire(rig.control, clock_milliseconds());
	grants_advance(rig.grants);
	worker_contents_settle(&rig.contents, rig.grants);
	note_helper();
	send_rest();
}

/* ---- the end ---- */

static void check_fsck(void)
{
	const struct gm_stamp *stamps[2 * VIEW_REGIONS] = {NULL};
	uint64_t bytes[VIEW_REGIONS];
	struct fsck_report report;

	for (uint32_t n = 0; n < rig.super.region_count; n++)
		bytes[n] = rig.super.regions[n].blocks * GM_BLOCK_SIZE;
	struct fsck_input in = {.area = area(),
		.area_bytes = rig.pool->image.size,
		.region_count = rig.super.region_count,
		.region_bytes = bytes,
		.stamps = stamps};
	if (fsck_run(&report, &in) < 0)
		rig_die("fsck", "no memory");
	for (size_t n = 0; n < report.count; n++)
		if (report.findings[n].severity == FSCK_ERROR)
			rig_die("fsck", report.findings[n].text);
	fsck_report_deinit(&report);
}

/* The views of tests/crash have room for small pools only. */
static bool fits_view(void)
{
	const struct meta *m = store_meta(rig.store);
	size_t cursor = 0, entries = 0, attributes = 0, targets = 0, pieces = 0;
	const struct inode *i;

	while ((i = meta_each_inode(m, &cursor))) {
		const struct dirent *d;

		for (uint64_t after = 0; inode_is_dir(i) && (d = meta_next_entry(i, after));
			after = d->cookie)
			entries++;
		for (const struct xattr *x = xattrs_first(m, i->attr.ino); x; x = x->next)
			attributes += x->value_len > VIEW_VALUE ? VIEW_XATTRS : 1;
		targets += inode_is_symlink(i);
		pieces += inode_has_content(i) ? i->extent_count : 0;
	}
	return entries < VIEW_ENTRIES && attributes < VIEW_XATTRS && targets < VIEW_TARGETS &&
	       pieces < VIEW_PIECES && m->inode_count < VIEW_INODES;
}

static void check_media(void)
{
	struct recorder *r = (struct recorder *)&rig.pool->recorder;
	struct problem why = PROBLEM_INIT;
	bool fits = fits_view(), read;
	struct store *s = NULL;
	char text[256];

	if (fits)
		view_of_store(&seen, rig.store);
	read = reader_read(&reading, area(), rig.pool->image.size);
	if (!read && !strstr(reading.why, "room for"))
		rig_die("the reader refuses the media", reading.why);
	if (fits && read && view_hash(&reading.view) != view_hash(&seen)) {
		view_describe_difference(&reading.view, &seen, text, sizeof(text));
		rig_die("the media are not what the worker has", text);
	}
	check_fsck();
	if (store_open(&s, &r->media, &rig.super, &why) < 0)
		rig_die("recovery", why.text);
	if (fits) {
		view_of_store(&again, s);
		if (view_hash(&again) != view_hash(&seen))
			rig_die("recovery finds another state", "");
	}
	store_close(s);
}

static bool is_owed(void)
{
	return !TAILQ_EMPTY(&rig.ops.parked.entries) || rig.ops.revokes.count > 0 ||
	       rig_helper_owes();
}

/* A turn has brought something that is yet to be done: the helper has been asked, or has said more
 * than the worker reads at a time. */
static bool is_under_way(void)
{
	struct pollfd link = {.fd = grants_fd(rig.grants), .events = POLLIN};

	return rig_helper_is_asked() || poll(&link, 1, 0) > 0;
}

/* Only who asked while there was no helper waits for his time. */
static void check_waiting(void)
{
	const struct parked *p;

	TAILQ_FOREACH (p, &rig.ops.parked.entries, link)
		if (p->waits_for_memory || p->zeroing)
			rig_die("a request waits for what has come", "");
	if (rig_helper_owes() || rig.ops.revokes.count > 0)
		rig_die("a question waits for what has come", "");
}

/* What goes on needs nobody for it: each turn it gets on, or is at its end, or waits. False:
 * nothing does. */
static bool take_turn(void)
{
	const struct parked *p = parked_going_on(&rig.ops.parked);
	uint64_t unique = p ? p->rq.unique : 0, done = p ? p->done : 0;
	bool any = p;

	rig_settle();
	TAILQ_FOREACH (p, &rig.ops.parked.entries, link)
		if (any && p->rq.unique == unique && p->goes_on && p->done <= done)
			rig_die("a request goes on and gets nowhere", "");
	return any;
}

void rig_answer_everything(void)
{
	unsigned steps = 0;

	if (rig.yields)
		rig_restart(false);
	(void)ns_thaw(&rig.ns);
	grants_thawed(rig.grants);
	if (!grants_is_ready(rig.grants))
		rig_helper_connect();
	for (bool more = true; more || is_owed(); steps++) {
		if (steps == STEPS_MAX)
			rig_die("it never ends", "");
		more = rig_helper_answer_all();
		rig_hear();
		more = take_turn() || more || is_under_way();
		if (more || !is_owed())
			continue;
		check_waiting();
		rig_pass(1000);
	}
}

static void check_requests(void)
{
	for (unsigned n = 0; n < rig.request_count; n++) {
		const struct rig_request *q = &rig.requests[n];
		bool none = q->opcode == FUSE_FORGET || q->opcode == FUSE_BATCH_FORGET;
		bool any = q->opcode == FUSE_INTERRUPT;

		if (any ? q->replies > 1 : q->replies != !none) {
			(void)fprintf(stderr, "request %u, opcode %u: %u replies\n", n, q->opcode,
				q->replies);
			rig_die("a request has another number of replies", "");
		}
	}
}

void rig_end(void)
{
	rig_answer_everything();
	rig_kernel_quieten();
	check_media();
	close_worker();
	rig_kernel_disconnect();
	check_requests();
}
