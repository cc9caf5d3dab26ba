// SPDX-License-Identifier: MIT
/*
 * Regions of soft-reserved memory. What is open of one is its metadata device: the first blocks and
 * the last one, in this order. How many first blocks there are only the superblock knows, which is
 * in the first one: so after a boot a device over as many as are usual is made, and region_reach()
 * replaces it if the pool turns out to have another number. (To unbind a device takes the kernel
 * longer than all else at a start.) In the same boot it is found again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region/ops.h"
#include "region/soft_device.h"
#include "region/soft_range.h"
#include "region/soft_region.h"
#include "region/users.h"
#include "util/cleanup.h"

int region_soft_is_there(struct problem *why)
{
	int n = soft_region_count(why);

	return n < 0 ? n : n > 0;
}

/* ---- names ---- */

/* The start in "0x100000000"; false if it is none. */
static bool soft_parse_start(const char *text, uint64_t *ret)
{
	char *end = NULL;

	if (strncmp(text, "0x", 2) != 0 || strspn(text + 2, "0123456789abcdefABCDEF") == 0)
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 16);
	return *end == '\0' && errno == 0;
}

static int soft_check(const struct region_spec *spec, struct problem *why)
{
	uint64_t start = 0;

	if (strcmp(spec->path, "auto") == 0)
		return 0;
	if (!soft_parse_start(spec->path, &start))
		return problem(why, EINVAL,
			"a soft region is named by its physical start, as in soft:0x100000000, or "
			"it is soft:auto");
	if (start % GM_BLOCK_SIZE != 0)
		return problem(why, EINVAL,
			"%s is not a multiple of 2M, as every region's start is", spec->path);
	return 0;
}

static int soft_find(struct soft_region *ret, const char *name, struct problem *why)
{
	uint64_t start = 0;

	if (strcmp(name, "auto") == 0)
		return soft_region_find_only(ret, why);
	if (!soft_parse_start(name, &start))
		return problem(why, EINVAL, "'%s' is no name of a soft region", name);
	return soft_region_find(ret, start, why);
}

/* ---- the devices as the kernel or somebody else has left them ---- */

struct soft_list {
	struct soft_device *devices;
	size_t count;
};

static void soft_list_deinit(struct soft_list *l)
{
	soft_device_list_free(l->devices, l->count);
	*l = (struct soft_list){.devices = NULL};
}

static int soft_check_kmem(const struct soft_list *l, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];

	for (size_t i = 0; i < l->count; i++)
		if (l->devices[i].kmem) {
			const char *name = strrchr(soft_device_node(node, &l->devices[i]), '/') + 1;
			return problem(why, EBUSY,
				"the kernel has taken the region as System RAM (%s is bound to "
				"kmem): boot with dax_hmem.region_idle=1 modprobe.blacklist=kmem, "
				"or, as long as its memory can be taken offline: daxctl "
				"reconfigure-device -m devdax -f %s",
				name, name);
		}
	return 0;
}

/*
 * On some kernels the region's first device is over all of it, and bound, after every boot. Nobody
 * has had it if nobody has it now: it came with the boot. It is emptied and never used; any other
 * size is not the kernel's doing but somebody's.
 */
static int soft_empty_seed(
	const struct soft_region *region, const struct soft_list *l, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];
	pid_t pid = 0;

	if (l->count == 0 || !l->devices[0].seed ||
		l->devices[0].size != region->blocks * GM_BLOCK_SIZE)
		return 0;
	soft_device_node(node, &l->devices[0]);
	int r = device_find_user(node, &pid);
	if (r < 0)
		return problem_errno(why, -r, "looking for users of %s", node);
	if (r > 0)
		return problem(why, EBUSY,
			"process %d has %s open or mapped, which is over the whole region: end it "
			"first",
			(int)pid, node);
	const struct dax_id seed = {.region = region->id, .id = 0};
	if (l->devices[0].bound)
		r = dax_unbind(seed);
	if (r == 0)
		r = dax_put(seed, "size", "0");
	return r < 0 ? problem_errno(why, -r, "emptying %s", node) : 0;
}

/* Reads the devices, makes the region ready for more, and gives the list as it is then. */
static int soft_prepare(struct soft_list *ret, uint64_t start, struct problem *why)
{
	_cleanup_(soft_list_deinit) struct soft_list l = {.devices = NULL};
	struct soft_region region = SOFT_REGION_NULL;
	_cleanup_(soft_record_close) struct soft_record lock = SOFT_RECORD_NULL;
	int r = soft_device_list(start, &l.devices, &l.count, why);

	if (r == 0)
		r = soft_check_kmem(&l, why);
	if (r == 0)
		r = soft_record_open(&lock, start, why);
	if (r == 0)
		r = soft_region_find(&region, start, why);
	if (r == 0)
		r = soft_empty_seed(&region, &l, why);
	soft_record_close(&lock);
	soft_list_deinit(&l);
	return r < 0 ? r : soft_device_list(start, &ret->devices, &ret->count, why);
}

/* ---- the metadata device ---- */

static bool soft_owns_block(const struct soft_device *d, uint64_t block)
{
	const struct soft_range one = {.block = block, .count = 1};
	uint64_t met = 0;

	return soft_ranges_meet(&one, 1, d->ranges, d->range_count, &met);
}

/* The device that is over the first block, NULL if there is none. -EBUSY if it is not ours to use.
 */
static int soft_find_metadata(const struct soft_list *l, uint64_t region_blocks,
	const struct soft_device **ret, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];

	*ret = NULL;
	for (size_t i = 0; i < l->count; i++) {
		const struct soft_device *d = &l->devices[i];

		if (!soft_owns_block(d, 0))
			continue;
		if (d->bound && !d->seed && d->align == GM_BLOCK_SIZE &&
			soft_ranges_first_blocks(d->ranges, d->range_count, region_blocks)) {
			*ret = d;
			return 0;
		}
		soft_device_node(node, d);
		return problem(why, EBUSY,
			"%s is over the region's first block, and was not made by guestmemfs: if "
			"it is not needed, remove it (daxctl disable-device %s; daxctl "
			"destroy-device %s)",
			node, node + 5, node + 5);
	}
	return 0;
}

static int soft_make_metadata(struct soft_device *ret, uint64_t start, uint64_t blocks,
	uint64_t region_blocks, struct problem *why)
{
	struct soft_range ranges[2];
	size_t n = soft_ranges_metadata(ranges, blocks, region_blocks);

	return soft_device_create(start, ranges, n, GM_BLOCK_SIZE, ret, why);
}

static int soft_open_device(const struct soft_device *d, int access, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];
	int fd = soft_device_open(d, access);

	return fd < 0 ? problem_errno(why, -fd, "opening %s", soft_device_node(node, d)) : fd;
}

/* Whether or not something else is in the way of what was guessed, the first block is enough. */
static int soft_make_guessed(struct soft_device *ret, uint64_t start, uint64_t guess,
	uint64_t region_blocks, struct problem *why)
{
	if (guess > 1 && guess < region_blocks &&
		soft_make_metadata(ret, start, guess, region_blocks, NULL) == 0)
		return 0;
	return soft_make_metadata(ret, start, 1, region_blocks, why);
}

/* Opens the metadata device, and makes one over the first block, or as many as are guessed (0:
 * none), if there is none. */
static int soft_open_metadata(
	uint64_t start, uint64_t region_blocks, uint64_t guess, int access, struct problem *why)
{
	_cleanup_(soft_list_deinit) struct soft_list l = {.devices = NULL};
	_cleanup_(soft_device_deinit) struct soft_device made = SOFT_DEVICE_NULL;
	const struct soft_device *d = NULL;
	int r = soft_prepare(&l, start, why);

	if (r == 0)
		r = soft_find_metadata(&l, region_blocks, &d, why);
	if (r == 0 && !d) {
		r = soft_make_guessed(&made, start, guess, region_blocks, why);
		d = &made;
	}
	return r < 0 ? r : soft_open_device(d, access, why);
}

static uint64_t soft_peek_size(const struct region_spec *spec)
{
	struct soft_region region = SOFT_REGION_NULL;

	return soft_find(&region, spec->path, NULL) < 0 ? 0 : region.blocks * GM_BLOCK_SIZE;
}

static int soft_open(const struct region_spec *spec, unsigned flags, bool *created, char **name,
	struct problem *why)
{
	struct soft_region region = SOFT_REGION_NULL;
	char text[SOFT_REGION_NAME];
	int r = soft_find(&region, spec->path, why);

	(void)created;
	if (r < 0)
		return r;
	_cleanup_free_ char *copy = strdup(soft_region_name(text, region.start));
	if (!copy)
		return problem_errno(why, ENOMEM, "opening soft region %s", text);
	int access = flags & REGION_OPEN_READ_ONLY ? O_RDONLY : O_RDWR;
	int fd = soft_open_metadata(
		region.start, region.blocks, spec->reach / GM_BLOCK_SIZE, access, why);
	if (fd < 0)
		return problem_prefix(why, fd, "soft region %s", text);
	*name = steal_pointer(copy);
	return fd;
}

/* ---- what is open ---- */

static const struct soft_device *soft_device_of(const struct soft_list *l, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))
		return NULL;
	for (size_t i = 0; i < l->count; i++)
		if (l->devices[i].rdev == st.st_rdev)
			return &l->devices[i];
	return NULL;
}

static int soft_describe(struct region *r, struct problem *why)
{
	struct soft_region region = SOFT_REGION_NULL;
	_cleanup_(soft_list_deinit) struct soft_list l = {.devices = NULL};
	_cleanup_(soft_record_close) struct soft_record lock = SOFT_RECORD_NULL;
	int e = soft_find(&region, r->name, why);

	/* From Linux 6.12 on, who reads a device's ranges while somebody takes them away waits for
	 * him for ever, and he for him. */
	if (e == 0)
		e = soft_record_open(&lock, region.start, why);
	if (e == 0)
		e = soft_region_scan(&region, NULL, &l.devices, &l.count, why);
	if (e < 0)
		return e;
	const struct soft_device *d = soft_device_of(&l, r->fd);
	uint64_t first = d ? soft_ranges_first_blocks(d->ranges, d->range_count, region.blocks) : 0;
	if (first == 0)
		return problem(why, EINVAL,
			"what is open of soft region %s is not its metadata device", r->name);
	int node = -1;
	e = dax_get_node((struct dax_id){.region = region.id, .id = d->id}, &node);
	if (e < 0)
		return problem_errno(why, -e, "reading the NUMA node of soft region %s", r->name);
	r->size = region.blocks * GM_BLOCK_SIZE;
	r->align = d->align;
	r->reach = first * GM_BLOCK_SIZE;
	r->physical_start = region.start;
	r->reserved_ram = true;
	r->node = node < 0 ? GM_NODE_NONE : (uint32_t)node;
	return 0;
}

/* Has the device that fd is open on been deleted, or its name gone to another one? */
static bool soft_is_stale(int fd, const struct soft_device *d)
{
	char node[SOFT_DEVICE_NODE];
	struct stat mine;
	struct stat now;

	return fstat(fd, &mine) < 0 || stat(soft_device_node(node, d), &now) < 0 ||
	       mine.st_dev != now.st_dev || mine.st_ino != now.st_ino;
}

static int soft_renew(struct region *r, struct problem *why)
{
	_cleanup_(soft_list_deinit) struct soft_list l = {.devices = NULL};
	int access = fcntl(r->fd, F_GETFL) & O_ACCMODE;
	int e = soft_device_list(r->physical_start, &l.devices, &l.count, why);

	if (e < 0)
		return e;
	const struct soft_device *d = soft_device_of(&l, r->fd);
	if (d && !soft_is_stale(r->fd, d))
		return 0;
	int fd = soft_open_metadata(r->physical_start, r->size / GM_BLOCK_SIZE, 0, access, why);
	if (fd < 0)
		return problem_prefix(why, fd, "soft region %s", r->name);
	(void)close_fd(r->fd);
	r->fd = fd;
	e = soft_describe(r, why);
	return e < 0 ? e : 1;
}

/* ---- reaching more or less of it ---- */

/* Would a device over these blocks meet another one than the present one? */
static int soft_check_room(const struct soft_list *l, const struct soft_device *present,
	const struct soft_range *ranges, size_t count, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];
	uint64_t block = 0;

	for (size_t i = 0; i < l->count; i++) {
		const struct soft_device *d = &l->devices[i];

		if (d != present &&
			soft_ranges_meet(ranges, count, d->ranges, d->range_count, &block))
			return problem(why, EBUSY,
				"block %" PRIu64 " is to be metadata, but %s is over it%s", block,
				soft_device_node(node, d),
				d->ours ? ": a file of the pool that was there in this boot"
					: ", which was not made by guestmemfs");
	}
	return 0;
}

static int soft_check_unused(int fd, const struct soft_device *d, struct problem *why)
{
	char node[SOFT_DEVICE_NODE];
	pid_t pid = 0;

	soft_device_node(node, d);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return problem(why, EBUSY,
			"%s, its metadata device, is in use by another guestmemfs-fuse or "
			"guestmemfs command: end that one first",
			node);
	int r = device_find_user(node, &pid);
	if (r < 0)
		return problem_errno(why, -r, "looking for users of %s", node);
	if (r > 0)
		return problem(why, EBUSY,
			"process %d has %s, its metadata device, open: end it first", (int)pid,
			node);
	return 0;
}

/*
 * fd is closed before its device goes, so that no descriptor of a dead device is ever left. If the
 * new one can't be made, one over the first block is: the region is as after a boot then.
 */
static int soft_replace(
	struct region *r, const struct soft_device *old, uint64_t blocks, struct problem *why)
{
	_cleanup_(soft_device_deinit) struct soft_device made = SOFT_DEVICE_NULL;
	uint64_t region_blocks = r->size / GM_BLOCK_SIZE;
	int access = fcntl(r->fd, F_GETFL) & O_ACCMODE;

	r->fd = close_fd(r->fd);
	int e = soft_device_remove(r->physical_start, old, why);
	if (e == 0)
		e = soft_make_metadata(&made, r->physical_start, blocks, region_blocks, why);
	if (e < 0) {
		r->fd = soft_open_metadata(r->physical_start, region_blocks, 0, access, NULL);
		if (r->fd >= 0 && soft_describe(r, NULL) == 0)
			(void)region_lock(r, false, 0, NULL);
		return e;
	}
	r->fd = soft_open_device(&made, access, why);
	if (r->fd < 0)
		return r->fd;
	r->reach = blocks * GM_BLOCK_SIZE;
	return region_lock(r, false, 0, why);
}

static int soft_reach(struct region *r, uint64_t bytes, struct problem *why)
{
	_cleanup_(soft_list_deinit) struct soft_list l = {.devices = NULL};
	struct soft_range wanted[2];
	size_t n = soft_ranges_metadata(wanted, bytes / GM_BLOCK_SIZE, r->size / GM_BLOCK_SIZE);
	int e = soft_device_list(r->physical_start, &l.devices, &l.count, why);

	if (e < 0)
		return e;
	const struct soft_device *old = soft_device_of(&l, r->fd);
	if (!old)
		return problem(why, ESTALE,
			"soft region %s: its metadata device is gone; somebody has removed it",
			r->name);
	e = soft_check_room(&l, old, wanted, n, why);
	if (e == 0)
		e = soft_check_unused(r->fd, old, why);
	if (e == 0)
		e = soft_replace(r, old, bytes / GM_BLOCK_SIZE, why);
	return e < 0 ? problem_prefix(why, e, "soft region %s", r->name) : 0;
}

const struct region_ops region_soft_ops = {
	.kind = GM_REGION_SOFT,
	.name = "soft",
	.options = "",
	.check = soft_check,
	.peek_size = soft_peek_size,
	.open = soft_open,
	.describe = soft_describe,
	.reach = soft_reach,
	.renew = soft_renew,
};
