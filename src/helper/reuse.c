// SPDX-License-Identifier: MIT
#include "helper/reuse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

/* So many alike are enough: a new device is not kept from its client for more. */
#define READINGS_ENOUGH 4U
/* One alone may have been read while somebody looked at it. */
#define READINGS_NEEDED 2U

/* How long such a look may take, and how often a new device is read anew because of one. */
#define PASSING_NS     10000000L
#define LEARNING_TRIES 4U

/* How long nobody is waited for again who was about to open a device and was not through soon. */
#define GATE_REST_MS 20000U

static enum soft_idle_pages pages_of(const struct soft_device *d)
{
	return d->align == GM_BLOCK_SIZE ? SOFT_IDLE_2M : SOFT_IDLE_1G;
}

void reuse_init(struct reuse *u, struct counts *counts, uint64_t first)
{
	struct problem why = PROBLEM_INIT;

	*u = (struct reuse){.counts = counts, .record_start = first};
	if (soft_idle_load(&u->idle, first, &why) < 0)
		log_warning("what was learned of idle devices is learned anew: %s", why.text);
	u->off = u->idle.differed != 0;
}

/* ---- reading ---- */

/* Then nobody's counts tell any more who reaches the pages that it had. */
static bool is_lost(const struct soft_device *d, struct problem *why)
{
	return soft_device_check(d, why) < 0;
}

/* device_fd: of the device, and the only one that we have; it is closed. -1: it is opened here. */
static int read_counts(const struct reuse *u, uint64_t start, const struct soft_device *d,
	int device_fd, const struct counts_idle *idle, struct counts_reading *ret,
	struct problem *why)
{
	_cleanup_free_ struct counts_range *ranges = calloc(d->range_count, sizeof(*ranges));
	_cleanup_fd_ int fd = device_fd;
	char node[SOFT_DEVICE_NODE];

	if (!ranges)
		return problem_errno(why, ENOMEM, "counting who reaches a device");
	for (size_t i = 0; i < d->range_count; i++)
		ranges[i] =
			(struct counts_range){.start = start + d->ranges[i].block * GM_BLOCK_SIZE,
				.size = d->ranges[i].count * GM_BLOCK_SIZE};
	if (fd < 0)
		fd = soft_device_open(d, O_RDONLY);
	if (fd < 0 && is_lost(d, why))
		return -EBUSY;
	if (fd < 0)
		return problem_errno(why, -fd, "opening %s", soft_device_node(node, d));
	return counts_read(
		u->counts, steal_fd(&fd), ranges, d->range_count, d->align, idle, ret, why);
}

/* ---- learning ---- */

static void turn_off(struct reuse *u, const char *difference)
{
	struct problem why = PROBLEM_INIT;

	log_error("nothing can be shown free until the next boot: two devices that had just been "
		  "made differ, %s",
		difference);
	u->off = true;
	u->idle.differed = 1;
	if (soft_idle_store(&u->idle, u->record_start, &why) < 0)
		log_error("this is not remembered: %s", why.text);
}

/* -EUCLEAN if it is not what is known already. */
static int add_count(
	uint32_t *known, uint32_t *readings, uint32_t found, const char *what, struct problem *why)
{
	if (*readings > 0 && *known != found)
		return problem(why, EUCLEAN, "%s %" PRIu32 " and %" PRIu32, what, *known, found);
	*known = found;
	(*readings)++;
	return 0;
}

static int add_reading(struct soft_idle *idle, enum soft_idle_pages pages,
	const struct counts_reading *found, struct problem *why)
{
	if (found->page_min != found->page_max)
		return problem(why, EUCLEAN, "references on its pages %" PRIu32 " and %" PRIu32,
			found->page_min, found->page_max);
	int r = add_count(&idle->cdev, &idle->cdev_readings, found->cdev, "references", why);
	return r < 0 ? r
		     : add_count(&idle->page[pages], &idle->page_readings[pages], found->page_min,
			       "references on a page", why);
}

static bool is_enough(const struct soft_idle *idle, enum soft_idle_pages pages)
{
	return idle->cdev_readings >= READINGS_ENOUGH &&
	       idle->page_readings[pages] >= READINGS_ENOUGH;
}

static bool is_usable(const struct soft_idle *idle, enum soft_idle_pages pages)
{
	return idle->cdev_readings >= READINGS_NEEDED && idle->page_readings[pages] > 0;
}

static void let_pass(void)
{
	const struct timespec passing = {.tv_nsec = PASSING_NS};

	(void)nanosleep(&passing, NULL);
}

/*
 * One new device may be all there is in this boot, so it is read as often as is needed. -EUCLEAN:
 * it differs from what is known, or from itself.
 */
static int read_new(const struct reuse *u, uint64_t start, const struct soft_device *d,
	struct soft_idle *ret, struct problem *why)
{
	enum soft_idle_pages pages = pages_of(d);
	struct soft_idle idle = u->idle;
	struct counts_reading found;
	int r;

	for (;;) {
		r = read_counts(u, start, d, -1, NULL, &found, why);
		if (r >= 0)
			r = add_reading(&idle, pages, &found, why);
		if (r < 0)
			return r;
		if (is_usable(&idle, pages))
			break;
		let_pass();
	}
	*ret = idle;
	return 0;
}

void reuse_learn(struct reuse *u, uint64_t region_start, const struct soft_device *d)
{
	struct problem why = PROBLEM_INIT;
	struct soft_idle learned;

	if (!u->counts || u->off || is_enough(&u->idle, pages_of(d)))
		return;
	int r = read_new(u, region_start, d, &learned, &why);
	/* Some program of root's may look at whatever appears in /dev. What it read of the device
	 * so far counts for nothing then; only a difference that stays is one. */
	for (unsigned i = 1; i < LEARNING_TRIES && r == -EUCLEAN; i++) {
		let_pass();
		r = read_new(u, region_start, d, &learned, &why);
	}
	if (r == -EUCLEAN) {
		turn_off(u, why.text);
	} else if (r < 0) {
		log_warning("nothing is learned from a new device: %s", why.text);
		u->off = r == -EPIPE || r == -ETIMEDOUT || r == -EOPNOTSUPP;
	} else {
		u->idle = learned;
		if (soft_idle_store(&u->idle, u->record_start, &why) < 0)
			log_warning("the next helper has to learn it anew: %s", why.text);
	}
}

/* ---- showing ---- */

/* Can the counts be told from those of a device that somebody reaches? */
static int check_known(
	const struct reuse *u, const struct device_list *devices, struct problem *why)
{
	if (!u->counts || u->off)
		return problem(why, EOPNOTSUPP, "the kernel's counts can't be relied on");
	for (size_t i = 0; i < devices->count; i++)
		if (!is_usable(&u->idle, pages_of(&devices->at[i].soft)))
			return problem(why, EBUSY,
				"no device was made since the boot to tell an idle one by");
	return 0;
}

/* fd: as above. */
static int show_idle(const struct reuse *u, uint64_t start, const struct soft_device *d, int fd,
	struct problem *why)
{
	const struct counts_idle idle = {.cdev = u->idle.cdev, .page = u->idle.page[pages_of(d)]};
	struct counts_reading found;
	char node[SOFT_DEVICE_NODE];
	int r = read_counts(u, start, d, fd, &idle, &found, why);

	if (r < 0)
		return r;
	(void)soft_device_node(node, d);
	if (found.cdev != idle.cdev)
		return problem(why, EBUSY,
			"%s has %" PRIu32 " references where an idle device has %" PRIu32, node,
			found.cdev, idle.cdev);
	if (found.busy_pages > 0)
		return problem(why, EBUSY,
			"%" PRIu64 " pages of %s are pinned, the first at %#" PRIx64,
			found.busy_pages, node, found.first_busy);
	/* Fewer than an idle one has: then what was learned is not what it was taken for. */
	if (found.page_min != idle.page || found.page_max != idle.page)
		return problem(why, EBUSY,
			"the pages of %s have %" PRIu32 " to %" PRIu32
			" references where those of an idle device have %" PRIu32,
			node, found.page_min, found.page_max, idle.page);
	return 0;
}

/* Nobody but root opens them from now on. */
static int close_nodes(const struct device_list *devices, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];

	for (size_t i = 0; i < devices->count; i++) {
		const struct soft_device *d = &devices->at[i].soft;
		int r = soft_device_set_owner(d, 0, 0, 0);
		if (r < 0 && is_lost(d, why))
			return -EBUSY;
		if (r < 0)
			return problem_errno(
				why, -r, "closing %s to others", soft_device_node(node, d));
	}
	return 0;
}

static int remove_all(struct reuse *u, const struct region *regions, struct device_list *devices,
	struct problem *why)
{
	while (devices->count > 0) {
		struct device *d = &devices->at[devices->count - 1];
		uint64_t start = regions[d->region].physical_start;
		int r = d->soft.exported ? soft_device_retire(start, &d->soft, why)
					 : soft_device_remove(start, &d->soft, why);
		if (r < 0)
			return r;
		u->retired += d->soft.exported;
		(void)soft_user_note(&(struct soft_user){.users = SOFT_USERS_UNKNOWN},
			regions[d->region].physical_start, d->soft.id);
		soft_device_deinit(&d->soft);
		devices->count--;
	}
	return 0;
}

/* ---- what was exported ---- */

/*
 * The counts show that nobody has a device open, not that nobody is about to open it. Where its
 * node was never anybody's but root's, only root could be. Of one that was exported somebody may
 * have a copy of the node, which no mode of ours closes: he could open and pin it between the
 * counting and the unbinding. So such a device is closed by its number before it is counted once
 * more; and since it can't be opened by us either, we have it open by then.
 */
struct gate {
	const struct device *devices[COUNTS_CLOSE_MAX];
	dev_t numbers[COUNTS_CLOSE_MAX];
	int fds[COUNTS_CLOSE_MAX]; /* owned */
	size_t count;
};

static void gate_deinit(struct gate *g)
{
	for (size_t i = 0; i < g->count; i++)
		(void)close_fd(g->fds[i]);
}

static int gate_add(struct gate *g, const struct device *d, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];

	(void)soft_device_node(node, &d->soft);
	if (g->count == COUNTS_CLOSE_MAX)
		return problem(why, EBUSY, "more devices were exported than can be closed at once");
	int fd = soft_device_open(&d->soft, O_RDONLY);
	if (fd < 0 && is_lost(&d->soft, why))
		return -EBUSY;
	if (fd < 0)
		return problem_errno(why, -fd, "opening %s", node);
	g->devices[g->count] = d;
	g->numbers[g->count] = d->soft.rdev;
	g->fds[g->count++] = fd;
	return 0;
}

static int gate_init(struct gate *g, const struct device_list *devices, struct problem *why)
{
	int r = 0;

	*g = (struct gate){.count = 0};
	for (size_t i = 0; i < devices->count && r >= 0; i++)
		if (devices->at[i].soft.exported)
			r = gate_add(g, &devices->at[i], why);
	return r;
}

static int gate_close(struct reuse *u, const struct gate *g, struct problem *why)
{
	int r = counts_close(u->counts, g->numbers, g->count, why);

	if (r == -EOPNOTSUPP) {
		log_warning("what was exported once is nobody else's until the next boot: %s",
			why->text);
		u->ungated = true;
		return -EPERM;
	}
	if (r == -EAGAIN) {
		/* Who has himself waited for keeps this thread from other work for less. */
		u->gate_rest = clock_milliseconds() + GATE_REST_MS;
		return -EBUSY;
	}
	return r;
}

static int check_gate(const struct reuse *u, const struct device_list *devices, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];

	for (size_t i = 0; i < devices->count; i++) {
		if (!devices->at[i].soft.exported)
			continue;
		(void)soft_device_node(node, &devices->at[i].soft);
		if (u->ungated)
			return problem(why, EPERM,
				"%s was exported in this boot: a copy of its node can't be closed",
				node);
		if (clock_milliseconds() < u->gate_rest)
			return problem(why, EBUSY,
				"%s was exported in this boot, and a process that has been kept "
				"from running for long may be about to open it",
				node);
	}
	return 0;
}

static int show_closed(
	const struct reuse *u, const struct region *regions, struct gate *g, struct problem *why)
{
	int r = 0;

	for (size_t i = 0; i < g->count && r >= 0; i++)
		r = show_idle(u, regions[g->devices[i]->region].physical_start,
			&g->devices[i]->soft, steal_fd(&g->fds[i]), why);
	return r;
}

/* They are idle as far as can be told while some of them can be opened. */
static int take_exported(struct reuse *u, const struct region *regions, struct device_list *devices,
	struct problem *why)
{
	_cleanup_(gate_deinit) struct gate gate;
	int r = gate_init(&gate, devices, why);

	if (r < 0 || gate.count == 0)
		return r < 0 ? r : remove_all(u, regions, devices, why);
	r = gate_close(u, &gate, why);
	if (r < 0)
		return r;
	r = show_closed(u, regions, &gate, why);
	if (r >= 0)
		r = remove_all(u, regions, devices, why);
	/* A process that can't be asked has ended, and its gate with it. */
	(void)counts_close(u->counts, NULL, 0, NULL);
	return r;
}

int reuse_take(struct reuse *u, const struct region *regions, struct device_list *devices,
	struct problem *why)
{
	int r = close_nodes(devices, why);

	if (r >= 0)
		r = check_known(u, devices, why);
	if (r >= 0)
		r = check_gate(u, devices, why);
	for (size_t i = 0; i < devices->count && r >= 0; i++)
		r = show_idle(u, regions[devices->at[i].region].physical_start,
			&devices->at[i].soft, -1, why);
	return r < 0 ? r : take_exported(u, regions, devices, why);
}
