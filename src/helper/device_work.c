// SPDX-License-Identifier: MIT
#include "helper/device_work.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "helper/cover.h"
#include "helper/scrub.h"
#include "util/cleanup.h"
#include "util/log.h"

/* ---- making ---- */

static void unmake(const struct region *regions, struct device_list *made)
{
	for (size_t i = 0; i < made->count; i++) {
		const struct device *d = &made->at[i];
		struct problem why = PROBLEM_INIT;
		if (soft_device_remove(regions[d->region].physical_start, &d->soft, &why) < 0)
			log_error("a device that was made in vain stays: %s", why.text);
	}
	device_list_deinit(made);
}

/* What was noted of an earlier device of that number is over. If that fails it is not known whose
 * the new one will have been: it is never given on. */
static void note_new(
	uint64_t start, unsigned region, struct soft_device *device, struct device_list *made)
{
	const struct soft_user nobody = {.users = SOFT_USERS_NONE};
	int r = soft_user_note(&nobody, start, device->id);

	struct device *added = device_list_add(made, region, device);

	if (r == 0)
		added->user = nobody;
	else
		log_warning("whose a new device will be can't be noted: %s", strerror(-r));
}

static int make_one(const struct region *regions, const struct planned_device *plan,
	struct reuse *reuse, struct device_list *made, struct problem *why)
{
	uint64_t start = regions[plan->region].physical_start;
	struct soft_device device = SOFT_DEVICE_NULL;
	int r = device_plan_check(plan, start, why);

	if (r >= 0)
		r = soft_device_create(
			start, plan->ranges, plan->range_count, plan->align, &device, why);
	if (r < 0)
		return r;
	reuse_learn(reuse, start, &device);
	note_new(start, plan->region, &device, made);
	return 0;
}

int device_work_make(const struct region *regions, const struct device_plan *plan,
	struct reuse *reuse, struct device_list *made, struct problem *why)
{
	/* Before anything is made, so that nothing that was made can get lost. */
	if (device_list_reserve(made, plan->count) < 0)
		return problem_errno(why, ENOMEM, "noting %zu devices", plan->count);
	for (size_t i = 0; i < plan->count; i++) {
		int r = make_one(regions, &plan->devices[i], reuse, made, why);
		if (r < 0) {
			unmake(regions, made);
			return r;
		}
	}
	return 0;
}

/* ---- what is there at the start ---- */

static int list_region(
	unsigned region, uint64_t start, struct device_list *ret, struct problem *why)
{
	struct soft_device *found = NULL;
	size_t count = 0;
	int r = soft_device_list(start, &found, &count, why);

	if (r < 0)
		return r;
	r = device_list_reserve(ret, count);
	if (r < 0)
		(void)problem_errno(why, ENOMEM, "listing %zu devices", count);
	for (size_t i = 0; r >= 0 && i < count; i++)
		(void)device_list_add(ret, region, &found[i]);
	soft_device_list_free(found, count);
	return r;
}

int device_work_list(const struct region *regions, unsigned count, struct device_list *ret,
	uint32_t *lost, struct problem *why)
{
	*lost = 0;
	for (unsigned i = 0; i < count; i++) {
		int r = list_region(i, regions[i].physical_start, ret, why);
		if (r >= 0)
			r = soft_device_has_lost(regions[i].physical_start, why);
		if (r > 0)
			*lost |= 1U << i;
		if (r < 0) {
			device_list_deinit(ret);
			return problem_prefix(why, r, "region %s", regions[i].name);
		}
	}
	return 0;
}

/* ---- removing ---- */

/* A process that reaches it; 0: none is seen. */
static pid_t find_user(const struct scan_result *scan, unsigned target)
{
	for (size_t i = 0; i < scan->use_count; i++)
		if (scan->uses[i].target == target)
			return scan->uses[i].pid;
	return scan->blind;
}

/* Nobody knows the file that it was made for; somebody may have its pages all the same. */
static void remove_orphan(const struct region *regions, const struct device *d, struct reuse *reuse)
{
	_cleanup_(device_list_deinit) struct device_list alone = DEVICE_LIST_NULL;
	const struct device_list from = {.at = (struct device *)d, .count = 1};
	char node[SOFT_DEVICE_NODE];
	struct problem why = PROBLEM_INIT;
	int r = device_list_copy(&alone, &from);

	(void)soft_device_node(node, &d->soft);
	if (r < 0)
		(void)problem_errno(&why, -r, "noting it");
	else
		r = reuse_take(reuse, regions, &alone, &why);
	if (r < 0)
		log_warning(
			"%s stays, and its blocks out of use, until it is found idle at a start "
			"or until the next boot: it was made for a file that is not in this "
			"pool, and %s",
			node, why.text);
	else
		log_info("%s is removed: it was made for a file that is not in this pool, and "
			 "nobody reaches it",
			node);
}

/* A window. */
static void remove_unused(const struct region *regions, const struct device *d, pid_t user)
{
	char node[SOFT_DEVICE_NODE];
	struct problem why = PROBLEM_INIT;

	(void)soft_device_node(node, &d->soft);
	if (user)
		log_warning("%s stays, and its blocks out of use: process %d has it open, or can't "
			    "be looked into",
			node, (int)user);
	else if (soft_device_remove(regions[d->region].physical_start, &d->soft, &why) < 0)
		log_error("%s stays, and its blocks out of use: %s", node, why.text);
	else
		log_info("%s is removed: a helper that ended had left it", node);
}

void device_work_remove(const struct region *regions, const struct device_list *devices,
	const struct scan_result *sought, struct reuse *reuse)
{
	for (unsigned i = 0; i < devices->count; i++) {
		const struct device *d = &devices->at[i];
		if (sought)
			remove_unused(regions, d, find_user(sought, i));
		else
			remove_orphan(regions, d, reuse);
	}
}

/* ---- zeroing ---- */

/* The piece of the window that the order is about, one block at a time. */
static int zero_mapped(char *window, uint64_t offset, uint64_t length, const atomic_bool *stop)
{
	for (uint64_t done = 0, n; done < length; done += n) {
		uint64_t at = offset + done, left = length - done;
		n = GM_BLOCK_SIZE - at % GM_BLOCK_SIZE;
		if (n > left)
			n = left;
		int r = n == GM_BLOCK_SIZE ? scrub_stream(window + at, n)
					   : scrub_piece(window + at, n, NULL);
		if (r < 0)
			return r;
		if (atomic_load(stop))
			return -ECANCELED;
	}
	return 0;
}

static int zero_window(const struct soft_device *window, uint64_t offset, uint64_t length,
	const atomic_bool *stop, struct problem *why)
{
	_cleanup_fd_ int fd = soft_device_open(window, O_RDWR);

	if (fd < 0)
		return problem_errno(why, -fd, "opening the device to zero through");
	char *p = mmap(NULL, window->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return problem_errno(why, errno, "mapping the device");
	int r = zero_mapped(p, offset, length, stop);
	(void)munmap(p, window->size);
	return r < 0 ? problem_errno(why, -r, "writing") : 0;
}

static int zero_by_window(const struct region *region, uint64_t offset, uint64_t length,
	struct reuse *reuse, const atomic_bool *stop, struct problem *why)
{
	uint64_t first = offset >> GM_BLOCK_SHIFT;
	uint64_t last = (offset + length - 1) >> GM_BLOCK_SHIFT;
	const struct soft_range range = {.block = first, .count = (uint32_t)(last - first + 1)};
	_cleanup_(soft_device_deinit) struct soft_device window = SOFT_DEVICE_NULL;
	struct problem kept = PROBLEM_INIT;
	int r = soft_device_create(region->physical_start, &range, 1, GM_BLOCK_SIZE, &window, why);

	if (r < 0)
		return problem_prefix(why, r, "making a device to zero through");
	/* If it is not noted and stays, the next helper has to take it for a file's. */
	r = soft_device_note_window(region->physical_start, &window);
	if (r < 0)
		log_warning("noting a device for zeroing fails: %s", strerror(-r));
	reuse_learn(reuse, region->physical_start, &window);
	r = zero_window(&window, offset - (first << GM_BLOCK_SHIFT), length, stop, why);
	/* Mapping and descriptor are gone by here: what is unbound must be out of everybody's
	 * reach. */
	int k = soft_device_remove(region->physical_start, &window, &kept);
	if (k < 0)
		log_error("a device for zeroing stays: %s", kept.text);
	return r < 0 ? r : k < 0 ? problem(why, -k, "%s", kept.text) : 0;
}

/*
 * It was shown idle, and taken away by us, since the list was made: then its note is cleared
 * (reuse.c). Over pages of one that root has taken away no device may be made and removed:
 * somebody may have pinned them.
 */
static bool was_taken_away(const struct device *d, uint64_t start, int error)
{
	struct soft_user user;

	return (error == -ENOENT || error == -ESTALE || error == -ENXIO) &&
	       soft_user_load(&user, start, d->soft.id) == 0 && user.users == SOFT_USERS_UNKNOWN &&
	       !user.spare;
}

struct zeroing {
	const struct region *regions;
	unsigned region;
	uint64_t offset, end; /* bytes of the region */
	struct reuse *reuse;
	const atomic_bool *stop;
};

static int zero_piece(const struct zeroing *z, const struct cover_piece *piece,
	const struct device_list *devices, struct problem *why)
{
	uint64_t first = piece->block << GM_BLOCK_SHIFT;
	uint64_t behind = (piece->block + piece->count) << GM_BLOCK_SHIFT;
	uint64_t from = z->offset > first ? z->offset : first;
	uint64_t to = z->end < behind ? z->end : behind;
	const struct region *region = &z->regions[z->region];
	const struct device *d = piece->range ? &devices->at[piece->range->device] : NULL;

	if (d) {
		uint64_t at = (piece->device_block << GM_BLOCK_SHIFT) + (from - first);
		int r = zero_window(&d->soft, at, to - from, z->stop, why);
		if (!was_taken_away(d, region->physical_start, r))
			return r;
	}
	return zero_by_window(region, from, to - from, z->reuse, z->stop, why);
}

int device_work_zero(const struct region *regions, unsigned region, uint64_t offset,
	uint64_t length, const struct device_list *devices, struct reuse *reuse,
	const atomic_bool *stop, struct problem *why)
{
	const struct zeroing z = {.regions = regions,
		.region = region,
		.offset = offset,
		.end = offset + length,
		.reuse = reuse,
		.stop = stop};
	const struct record_extent all = {.region = (uint16_t)region,
		.block = offset >> GM_BLOCK_SHIFT,
		.count = (uint32_t)(((offset + length - 1) >> GM_BLOCK_SHIFT) -
				    (offset >> GM_BLOCK_SHIFT) + 1)};
	_cleanup_(cover_deinit) struct cover cover = {.ranges = NULL};
	int r = cover_init(&cover, devices);

	if (r < 0)
		return problem_errno(why, -r, "zeroing blocks");
	for (uint64_t done = 0; done < all.count && r >= 0;) {
		const struct cover_piece piece = cover_next(&cover, &all, done);
		r = zero_piece(&z, &piece, devices, why);
		done += piece.count;
	}
	return r;
}
