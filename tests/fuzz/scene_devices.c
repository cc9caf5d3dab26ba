// SPDX-License-Identifier: MIT
/*
 * The devices of soft regions, as a table: no block is in two of them. What the kernel counts of
 * one is how many of the persons have it open or mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../unit/soft_wraps.h"
#include "scene.h"
#include "util/cleanup.h"

#define RANGES 64U

struct fake {
	bool used;
	unsigned region;
	struct soft_device device; /* without its ranges, which are here: */
	struct soft_range ranges[RANGES];
	struct soft_user user;
	int memory; /* what its descriptors are of; -1: it is gone */
};

static struct fake fakes[SCENE_DEVICES];
static struct soft_idle idle;
static uint64_t instances;

/* Of the metadata, and of no use to anybody; id 0 is the seed's. */
static void add_metadata(unsigned region)
{
	struct fake *f = &fakes[1 + region];

	*f = (struct fake){.used = true,
		.region = region,
		.device = {.region_id = region,
			.id = 1 + region,
			.align = GM_BLOCK_SIZE,
			.size = 5 * GM_BLOCK_SIZE,
			.rdev = makedev(900, 1 + region),
			.instance = instances + 1,
			.identity = instances + 1,
			.bound = true,
			.ours = true,
			.metadata = true,
			.range_count = 2},
		.ranges = {{0, SCENE_FIRST_DATA},
			{SCENE_FIRST_DATA + SCENE_DATA,
				SCENE_BLOCKS - SCENE_FIRST_DATA - SCENE_DATA}},
		.memory = -1};
	instances++;
}

void scene_devices_begin(void)
{
	memset(fakes, 0, sizeof(fakes));
	for (unsigned n = 0; n < SCENE_DEVICES; n++)
		fakes[n].memory = -1;
	memset(&idle, 0, sizeof(idle));
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		add_metadata(r);
}

void scene_devices_end(void)
{
	for (unsigned n = 0; n < SCENE_DEVICES; n++)
		fakes[n].memory = close_fd(fakes[n].memory);
}

bool scene_devices_find(int fd, unsigned *id)
{
	struct stat is, memory;

	if (fstat(fd, &is) < 0)
		return false;
	for (*id = 1; *id < SCENE_DEVICES; (*id)++)
		if (fakes[*id].memory >= 0 && fstat(fakes[*id].memory, &memory) == 0 &&
			memory.st_ino == is.st_ino)
			return true;
	return false;
}

bool scene_devices_block(unsigned id, uint64_t offset, unsigned *region, uint64_t *block)
{
	const struct fake *f = &fakes[id % SCENE_DEVICES];
	uint64_t at = offset / GM_BLOCK_SIZE;

	for (size_t n = 0; f->used && n < f->device.range_count; n++) {
		if (at < f->ranges[n].count) {
			*region = f->region;
			*block = f->ranges[n].block + at;
			return true;
		}
		at -= f->ranges[n].count;
	}
	return false;
}

/* ---- in place of src/region ---- */

int __wrap_region_adopt(
	struct region *ret, enum gm_region_kind kind, int fd, const char *name, struct problem *why)
{
	if (kind != GM_REGION_SOFT)
		return __real_region_adopt(ret, kind, fd, name, why);
	*ret = (struct region){.kind = kind,
		.fd = fd,
		.name = strdup(name),
		.size = SCENE_BLOCKS * GM_BLOCK_SIZE,
		.align = GM_BLOCK_SIZE,
		.physical_start = SCENE_SOFT_START * (strcmp(name, "second") == 0 ? 2 : 1)};
	return 0;
}

static unsigned region_at(uint64_t start)
{
	return start == SCENE_SOFT_START ? 0 : 1;
}

static void describe(struct soft_device *ret, const struct fake *f)
{
	*ret = f->device;
	ret->ranges = calloc(f->device.range_count + 1, sizeof(*ret->ranges));
	if (!ret->ranges)
		scene_die("no memory", "");
	memcpy(ret->ranges, f->ranges, f->device.range_count * sizeof(*ret->ranges));
}

int __wrap_soft_device_list(
	uint64_t region_start, struct soft_device **ret, size_t *count, struct problem *why)
{
	struct soft_device *list = calloc(SCENE_DEVICES, sizeof(*list));

	(void)why;
	if (!list)
		scene_die("no memory", "");
	*count = 0;
	for (unsigned n = 0; n < SCENE_DEVICES; n++)
		if (fakes[n].used && fakes[n].region == region_at(region_start))
			describe(&list[(*count)++], &fakes[n]);
	*ret = list;
	return 0;
}

static bool is_taken(unsigned region, const struct soft_range *r)
{
	for (unsigned n = 0; n < SCENE_DEVICES; n++)
		for (size_t k = 0; fakes[n].used && fakes[n].region == region &&
				   k < fakes[n].device.range_count;
			k++)
			if (r->block < fakes[n].ranges[k].block + fakes[n].ranges[k].count &&
				fakes[n].ranges[k].block < r->block + r->count)
				return true;
	return false;
}

int __wrap_soft_device_create(uint64_t region_start, const struct soft_range *ranges,
	size_t range_count, uint64_t align, struct soft_device *ret, struct problem *why)
{
	unsigned region = region_at(region_start), id = 3;
	uint64_t blocks = 0;

	while (id < SCENE_DEVICES && fakes[id].used)
		id++;
	if (id == SCENE_DEVICES || range_count > RANGES)
		return problem(why, ENOSPC, "there are too many devices");
	struct fake *f = &fakes[id];
	for (size_t n = 0; n < range_count; n++) {
		if (ranges[n].block + ranges[n].count > SCENE_BLOCKS ||
			is_taken(region, &ranges[n]))
			return problem(why, EBUSY, "somebody else has the block");
		f->ranges[n] = ranges[n];
		blocks += ranges[n].count;
	}
	(void)close_fd(f->memory);
	f->memory = memfd_create("device", MFD_CLOEXEC);
	f->region = region;
	f->user = SOFT_USER_NULL;
	f->device = (struct soft_device){.region_id = region,
		.id = id,
		.align = align,
		.size = blocks * GM_BLOCK_SIZE,
		.rdev = makedev(900, id),
		.instance = instances + 1,
		.identity = instances + 1,
		.bound = true,
		.ours = true,
		.range_count = range_count};
	f->used = true;
	instances++;
	describe(ret, f);
	return 0;
}

/* NULL: it is gone, or another one. */
static struct fake *find(const struct soft_device *d)
{
	struct fake *f = &fakes[d->id % SCENE_DEVICES];

	return f->used && f->device.instance == d->instance ? f : NULL;
}

static void check_idle(const struct soft_device *d, const char *what)
{
	for (unsigned n = 0; n < SCENE_PERSONS; n++)
		if (person_has_device(&scene.persons[n], d->id))
			scene_die(what, "");
}

int __wrap_soft_device_remove(
	uint64_t region_start, const struct soft_device *d, struct problem *why)
{
	struct fake *f = find(d);

	(void)region_start;
	if (!f || f->device.exported)
		return problem(why, EBUSY, "it is gone, or was exported");
	check_idle(d, "a device is removed that somebody has");
	f->used = false;
	return 0;
}

int __wrap_soft_device_retire(
	uint64_t region_start, const struct soft_device *d, struct problem *why)
{
	struct fake *f = find(d);

	(void)region_start;
	if (!f || !f->device.exported)
		return problem(why, EBUSY, "it is gone, or was not exported");
	check_idle(d, "a device is retired that somebody has");
	f->device.bound = false;
	f->device.retiring = f->device.retired = true;
	f->device.range_count = 0;
	f->device.size = 0;
	f->device.identity = ++instances;
	return 0;
}

int __wrap_soft_device_has_lost(uint64_t region_start, struct problem *why)
{
	(void)region_start, (void)why;
	return 0;
}

int __wrap_soft_device_check(const struct soft_device *d, struct problem *why)
{
	return find(d) ? 0 : problem(why, ESTALE, "device %u is gone, or another one", d->id);
}

int __wrap_soft_device_open(const struct soft_device *d, int access)
{
	const struct fake *f = find(d);

	(void)access;
	return f ? dup(f->memory) : -ESTALE;
}

int __wrap_soft_device_set_owner(const struct soft_device *d, uid_t uid, gid_t gid, mode_t mode)
{
	(void)uid, (void)gid, (void)mode;
	return find(d) ? 0 : -ESTALE;
}

int __wrap_soft_device_note_exported(uint64_t region_start, struct soft_device *d)
{
	struct fake *f = find(d);

	(void)region_start;
	if (!f)
		return -ESTALE;
	d->exported = f->device.exported = true;
	return 0;
}

int __wrap_soft_device_note_window(uint64_t region_start, struct soft_device *d)
{
	struct fake *f = find(d);

	(void)region_start;
	if (!f)
		return -ESTALE;
	d->window = f->device.window = true;
	return 0;
}

void __wrap_procscan_identify_device(struct scan_target *ret, dev_t rdev, const char *node)
{
	(void)node;
	*ret = (struct scan_target){.is_device = true, .rdev_minor = minor(rdev)};
}

int __wrap_soft_user_load(struct soft_user *ret, uint64_t region_start, unsigned id)
{
	(void)region_start;
	*ret = fakes[id % SCENE_DEVICES].user;
	return 0;
}

int __wrap_soft_user_note(const struct soft_user *u, uint64_t region_start, unsigned id)
{
	(void)region_start;
	fakes[id % SCENE_DEVICES].user = *u;
	return 0;
}

int __wrap_soft_idle_load(struct soft_idle *ret, uint64_t region_start, struct problem *why)
{
	(void)region_start, (void)why;
	*ret = idle;
	return 0;
}

int __wrap_soft_idle_store(const struct soft_idle *i, uint64_t region_start, struct problem *why)
{
	(void)region_start, (void)why;
	idle = *i;
	return 0;
}

/* ---- in place of guestmemfs-counts ---- */

struct counts {
	int ends[2];
};

pid_t __wrap_counts_get_pid(const struct counts *c);

int __wrap_counts_start(struct counts **ret, const char *program, struct problem *why)
{
	struct counts *c = calloc(1, sizeof(*c));

	(void)program, (void)why;
	if (!c || pipe2(c->ends, O_CLOEXEC) < 0)
		scene_die("no memory", "");
	*ret = c;
	return 0;
}

struct counts *__wrap_counts_stop(struct counts *c)
{
	if (!c)
		return NULL;
	(void)close_fd(c->ends[0]);
	(void)close_fd(c->ends[1]);
	free(c);
	return NULL;
}

int __wrap_counts_get_fd(const struct counts *c)
{
	return c->ends[0];
}

pid_t __wrap_counts_get_pid(const struct counts *c)
{
	(void)c;
	return 1;
}

/* Also those whose descriptor is on its way to them. */
static uint32_t count_descriptors(unsigned id)
{
	uint32_t n = clients_unread_of_device(id);

	for (unsigned k = 0; k < SCENE_PERSONS; k++)
		n += person_has_device(&scene.persons[k], id);
	return n;
}

int __wrap_counts_read(struct counts *c, int device_fd, const struct counts_range *ranges,
	size_t count, uint64_t align, const struct counts_idle *known, struct counts_reading *ret,
	struct problem *why)
{
	unsigned id;

	(void)c, (void)ranges, (void)count, (void)align, (void)known;
	if (!scene_devices_find(device_fd, &id)) {
		(void)close_fd(device_fd);
		return problem(why, ENODEV, "it is no device");
	}
	*ret = (struct counts_reading){
		.cdev = 2 + count_descriptors(id), .page_min = 1, .page_max = 1};
	(void)close_fd(device_fd);
	return 0;
}

int __wrap_counts_close(struct counts *c, const dev_t *devices, size_t count, struct problem *why)
{
	(void)c, (void)devices, (void)count, (void)why;
	return 0;
}
