// SPDX-License-Identifier: MIT
/*
 * Making and removing devices of a soft region. What a crash can leave: a device without memory, or
 * without a driver. Neither was ever given to anybody, and the next one to hold the lock removes
 * it.
 */
#include "region/soft_device.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guestmemfs/types.h"
#include "region/region.h"
#include "region/soft_range.h"
#include "region/soft_region.h"
#include "util/cleanup.h"

void soft_device_deinit(struct soft_device *d)
{
	free(d->ranges);
	*d = SOFT_DEVICE_NULL;
}

void soft_device_list_free(struct soft_device *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		soft_device_deinit(&list[i]);
	free(list);
}

const char *soft_device_node(char buffer[SOFT_DEVICE_NODE], const struct soft_device *d)
{
	(void)snprintf(buffer, SOFT_DEVICE_NODE, "/dev/dax%u.%u", d->region_id, d->id);
	return buffer;
}

bool soft_device_covers(
	const struct soft_device *d, const struct soft_range *ranges, size_t range_count)
{
	return d->size == soft_ranges_blocks(ranges, range_count) * GM_BLOCK_SIZE &&
	       soft_ranges_equal(d->ranges, d->range_count, ranges, range_count);
}

/* ---- a region with its lock and its devices ---- */

struct hold {
	struct soft_record record;
	struct soft_region region;
	struct soft_device *devices;
	size_t count;
};

#define HOLD_NULL ((struct hold){.record = SOFT_RECORD_NULL, .region = SOFT_REGION_NULL})

static void hold_forget(struct hold *h)
{
	soft_device_list_free(h->devices, h->count);
	h->devices = NULL;
	h->count = 0;
	soft_region_deinit(&h->region);
}

static void hold_deinit(struct hold *h)
{
	hold_forget(h);
	soft_record_close(&h->record);
}

/* What the kernel says now. */
static int hold_read(struct hold *h, uint64_t start, struct problem *why)
{
	hold_forget(h);
	int r = soft_region_find(&h->region, start, why);
	if (r == 0)
		r = soft_region_scan(&h->region, &h->record, &h->devices, &h->count, why);
	return r;
}

static const struct soft_device *hold_find(const struct hold *h, unsigned id)
{
	for (size_t i = 0; i < h->count; i++)
		if (h->devices[i].id == id)
			return &h->devices[i];
	return NULL;
}

/* ---- taking away ---- */

/* Each step leaves something that the next holder of the lock goes on with. */
static int take_away(struct hold *h, unsigned id, struct problem *why)
{
	struct daxctl_dev *dev = soft_region_device(&h->region, id);
	int r = 0;

	assert(id != 0);
	if (!dev)
		return problem(why, ENOENT, "there is no device %u in the region", id);
	if (daxctl_dev_is_enabled(dev))
		r = daxctl_dev_disable(dev);
	if (r >= 0 && daxctl_dev_get_size(dev) != 0)
		r = daxctl_dev_set_size(dev, 0);
	if (r < 0)
		return problem_errno(why, -r, "emptying device %s", daxctl_dev_get_devname(dev));
	r = soft_record_set_ours(&h->record, id, false, why);
	if (r < 0)
		return r;
	r = daxctl_region_destroy_dev(h->region.region, dev);
	if (r < 0)
		return problem_errno(why, -r, "deleting device %u of the region at %#" PRIx64, id,
			h->region.start);
	return 0;
}

static bool is_half_made(const struct hold *h, const struct soft_device *d)
{
	if (d->seed || d->bound)
		return false;
	return d->ours || (d->size == 0 && soft_record_was_busy(&h->record));
}

static int remove_half_made(struct hold *h, bool *removed, struct problem *why)
{
	int r = 0;

	for (size_t i = 0; i < h->count && r == 0; i++) {
		if (!is_half_made(h, &h->devices[i]))
			continue;
		*removed = true;
		r = take_away(h, h->devices[i].id, why);
	}
	if (r == 0 && soft_record_was_busy(&h->record))
		r = soft_record_set_busy(&h->record, false, why);
	return r;
}

/* Takes the lock, reads, and clears up after a crash. */
static int hold_init(struct hold *h, uint64_t start, struct problem *why)
{
	bool removed = false;
	int r = soft_record_open(&h->record, start, why);

	if (r == 0)
		r = hold_read(h, start, why);
	if (r == 0)
		r = remove_half_made(h, &removed, why);
	if (r == 0 && removed)
		r = hold_read(h, start, why);
	return r;
}

int soft_device_list(
	uint64_t region_start, struct soft_device **ret, size_t *count, struct problem *why)
{
	_cleanup_(hold_deinit) struct hold h = HOLD_NULL;
	int r = hold_init(&h, region_start, why);

	if (r < 0)
		return r;
	*ret = steal_pointer(h.devices);
	*count = h.count;
	h.count = 0;
	return 0;
}

static bool is_same(const struct soft_device *a, const struct soft_device *b)
{
	return a->id == b->id && a->rdev == b->rdev && a->align == b->align &&
	       soft_device_covers(a, b->ranges, b->range_count);
}

int soft_device_remove(uint64_t region_start, const struct soft_device *d, struct problem *why)
{
	_cleanup_(hold_deinit) struct hold h = HOLD_NULL;
	char node[SOFT_DEVICE_NODE];
	int r = hold_init(&h, region_start, why);

	if (r < 0)
		return r;
	const struct soft_device *now = hold_find(&h, d->id);
	soft_device_node(node, d);
	if (!now || !is_same(now, d))
		return problem(why, EBUSY,
			"%s is not the device any more that it was: somebody else has changed it",
			node);
	if (!now->ours)
		return problem(why, EPERM, "%s was not made by guestmemfs and is left alone", node);
	r = soft_record_set_busy(&h.record, true, why);
	if (r == 0)
		r = take_away(&h, d->id, why);
	if (r == 0)
		r = hold_read(&h, region_start, why);
	if (r == 0 && hold_find(&h, d->id))
		return problem(why, EIO, "%s is still there after it was deleted", node);
	return r < 0 ? r : soft_record_set_busy(&h.record, false, why);
}

/* ---- making ---- */

static int check_free(
	const struct hold *h, const struct soft_range *ranges, size_t count, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];
	uint64_t block = 0;

	for (size_t i = 0; i < h->count; i++) {
		const struct soft_device *d = &h->devices[i];

		if (!soft_ranges_meet(ranges, count, d->ranges, d->range_count, &block))
			continue;
		return problem(why, EBUSY,
			"block %" PRIu64 " of the region at %#" PRIx64 " belongs to %s%s", block,
			h->region.start, soft_device_node(node, d),
			d->ours ? ""
				: ", which was not made by guestmemfs: remove it with daxctl if it "
				  "is not needed");
	}
	return 0;
}

static bool list_has(const struct soft_device *list, size_t count, unsigned id)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].id == id)
			return true;
	return false;
}

/* The device that is there now and was not before. The library does not show it by itself. */
static int find_new(struct hold *h, unsigned *ret, struct problem *why)
{
	struct soft_device *before = steal_pointer(h->devices);
	size_t count = h->count;
	uint64_t start = h->region.start;
	unsigned found = 0;

	h->count = 0;
	int r = hold_read(h, start, why);
	for (size_t i = 0; i < h->count && r == 0; i++)
		if (!list_has(before, count, h->devices[i].id)) {
			*ret = h->devices[i].id;
			found++;
		}
	soft_device_list_free(before, count);
	if (r < 0 || found == 1)
		return r;
	return problem(why, EBUSY,
		"%u devices have appeared in the region at %#" PRIx64
		" where one was made: somebody else is changing it",
		found, start);
}

static int set_numbers(const struct hold *h, struct daxctl_dev *dev,
	const struct soft_range *ranges, size_t count, uint64_t align, struct problem *why)
{
	int r = daxctl_dev_set_align(dev, (unsigned long)align);

	if (r < 0)
		return problem_errno(
			why, -r, "setting the page size of device %s", daxctl_dev_get_devname(dev));
	for (size_t i = 0; i < count; i++) {
		uint64_t start = h->region.start + ranges[i].block * GM_BLOCK_SIZE;
		uint64_t end = start + ranges[i].count * GM_BLOCK_SIZE - 1;

		r = daxctl_dev_set_mapping(dev, start, end);
		if (r < 0)
			return problem_errno(why, -r,
				"giving %#" PRIx64 "-%#" PRIx64 " to device %s", start, end,
				daxctl_dev_get_devname(dev));
	}
	return 0;
}

/* The kernel takes some writes with success and does something else. */
static int check_numbers(const struct hold *h, unsigned id, const struct soft_range *ranges,
	size_t count, uint64_t align, bool bound, struct problem *why)
{
	const struct soft_device *d = hold_find(h, id);

	if (d && d->bound == bound && !d->kmem && d->align == align &&
		soft_device_covers(d, ranges, count))
		return 0;
	return problem(why, EIO,
		"device %u of the region at %#" PRIx64
		" is not what it was made as (%s; align %" PRIu64 ", %" PRIu64
		" bytes in %zu ranges)",
		id, h->region.start,
		!d         ? "gone"
		: d->kmem  ? "taken by kmem"
		: d->bound ? "bound"
			   : "not bound",
		d ? d->align : 0, d ? d->size : 0, d ? d->range_count : 0);
}

static int make_numbers(struct hold *h, unsigned id, const struct soft_range *ranges, size_t count,
	uint64_t align, struct problem *why)
{
	struct daxctl_dev *dev = soft_region_device(&h->region, id);
	uint64_t start = h->region.start;
	int r = soft_record_set_ours(&h->record, id, true, why);

	if (r == 0)
		r = set_numbers(h, dev, ranges, count, align, why);
	if (r == 0)
		r = hold_read(h, start, why);
	if (r == 0)
		r = check_numbers(h, id, ranges, count, align, false, why);
	return r;
}

static int bind_device(struct hold *h, unsigned id, const struct soft_range *ranges, size_t count,
	uint64_t align, struct problem *why)
{
	uint64_t start = h->region.start;
	char node[SOFT_DEVICE_NODE];
	int r = daxctl_dev_enable_devdax(soft_region_device(&h->region, id));

	if (r < 0)
		return problem_errno(why, -r,
			"binding device %u of the region at %#" PRIx64
			" to device_dax (is the module there?)",
			id, start);
	r = hold_read(h, start, why);
	if (r == 0)
		r = check_numbers(h, id, ranges, count, align, true, why);
	if (r < 0)
		return r;
	/* The name was another device's before, perhaps: its node may have kept an owner by rules
	 * of udev. */
	soft_device_node(node, hold_find(h, id));
	if (chown(node, 0, 0) < 0 || chmod(node, 0600) < 0)
		return problem_errno(why, errno, "making %s root's", node);
	return 0;
}

static int copy_device(struct soft_device *ret, const struct soft_device *d, struct problem *why)
{
	struct soft_range *ranges = calloc(d->range_count, sizeof(*ranges));

	if (!ranges)
		return problem_errno(why, ENOMEM, "making a device");
	memcpy(ranges, d->ranges, d->range_count * sizeof(*ranges));
	*ret = *d;
	ret->ranges = ranges;
	return 0;
}

static int make_device(struct hold *h, const struct soft_range *ranges, size_t count,
	uint64_t align, struct soft_device *ret, struct problem *why)
{
	uint64_t start = h->region.start;
	unsigned id = 0;
	int r = daxctl_region_create_dev(h->region.region);

	if (r < 0)
		return problem_errno(why, -r, "making a device in the region at %#" PRIx64, start);
	r = find_new(h, &id, why);
	if (r < 0)
		return r;
	r = make_numbers(h, id, ranges, count, align, why);
	if (r == 0)
		r = bind_device(h, id, ranges, count, align, why);
	if (r == 0)
		r = copy_device(ret, hold_find(h, id), why);
	/* What can't be taken away now is taken away by the next holder of the lock. */
	if (r < 0 && (h->region.ctx || hold_read(h, start, NULL) == 0))
		(void)take_away(h, id, NULL);
	return r;
}

int soft_device_create(uint64_t region_start, const struct soft_range *ranges, size_t range_count,
	uint64_t align, struct soft_device *ret, struct problem *why)
{
	_cleanup_(hold_deinit) struct hold h = HOLD_NULL;
	_cleanup_free_ struct soft_range *joined = calloc(range_count + 1, sizeof(*joined));
	int r = hold_init(&h, region_start, why);

	if (r < 0)
		return r;
	if (!joined)
		return problem_errno(why, ENOMEM, "making a device");
	memcpy(joined, ranges, range_count * sizeof(*joined));
	range_count = soft_ranges_join(joined, range_count);
	r = soft_ranges_check(joined, range_count, region_start, h.region.blocks, align, why);
	if (r == 0)
		r = check_free(&h, joined, range_count, why);
	if (r == 0)
		r = soft_record_set_busy(&h.record, true, why);
	if (r < 0)
		return r;
	r = make_device(&h, joined, range_count, align, ret, why);
	if (r == 0)
		r = soft_record_set_busy(&h.record, false, why);
	return r;
}

/* ---- nodes ---- */

static int open_node(const struct soft_device *d, int flags)
{
	char node[SOFT_DEVICE_NODE];
	struct stat st;
	_cleanup_fd_ int fd = open(soft_device_node(node, d), flags | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != d->rdev)
		return -ESTALE;
	return steal_fd(&fd);
}

int soft_device_open(const struct soft_device *d, int access)
{
	return open_node(d, access);
}

int soft_device_set_owner(const struct soft_device *d, uid_t uid, gid_t gid, mode_t mode)
{
	_cleanup_fd_ int fd = open_node(d, O_PATH);
	char path[64];

	if (fd < 0)
		return fd;
	/* The right of the new owner begins with the new mode: nobody gets in between. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, 0) < 0 || chown(path, uid, gid) < 0 || chmod(path, mode & 0777) < 0)
		return -errno;
	return 0;
}
