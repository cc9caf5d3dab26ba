// SPDX-License-Identifier: MIT
/* In place of src/region's soft devices and of guestmemfs-counts: the table has the answers. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "scene.h"
#include "scene_devices.h"
#include "util/cleanup.h"

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

int __wrap_soft_device_create(uint64_t region_start, const struct soft_range *ranges,
	size_t range_count, uint64_t align, struct soft_device *ret, struct problem *why)
{
	struct fake *f = NULL;
	int r = devices_add(&f, region_at(region_start), ranges, range_count, align);

	if (r < 0)
		return problem_errno(why, -r, "making a device");
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
	f->device.identity = devices_next_instance();
	return 0;
}

int __wrap_soft_device_has_lost(uint64_t region_start, struct problem *why)
{
	unsigned taken = 0;

	(void)why;
	for (unsigned n = 0; n < SCENE_DEVICES; n++)
		taken += fakes[n].taken && fakes[n].region == region_at(region_start);
	return taken > 0;
}

int __wrap_soft_device_check(const struct soft_device *d, struct problem *why)
{
	return find(d) ? 0 : problem(why, ESTALE, "device %u is gone, or another one", d->id);
}

int __wrap_soft_device_open(const struct soft_device *d, int access)
{
	const struct fake *f = find(d);

	int r = devices_answer(QUESTION_OPEN);

	(void)access;
	return !f ? -ESTALE : r < 0 ? r : dup(f->memory);
}

int __wrap_soft_device_set_owner(const struct soft_device *d, uid_t uid, gid_t gid, mode_t mode)
{
	(void)uid, (void)gid, (void)mode;
	return find(d) ? devices_answer(QUESTION_OWNER) : -ESTALE;
}

int __wrap_soft_device_note_exported(uint64_t region_start, struct soft_device *d)
{
	struct fake *f = find(d);

	(void)region_start;
	int r = f ? devices_answer(QUESTION_EXPORT) : -ESTALE;

	if (r == 0)
		d->exported = f->device.exported = true;
	return r;
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
	struct soft_user *noted = &fakes[id % SCENE_DEVICES].user;
	int r = noted->users == SOFT_USERS_UNKNOWN ? 0 : devices_answer(QUESTION_NOTE);

	(void)region_start;
	if (r == 0)
		*noted = *u;
	return r;
}

int __wrap_soft_idle_load(struct soft_idle *ret, uint64_t region_start, struct problem *why)
{
	(void)region_start, (void)why;
	*ret = fake_idle;
	return 0;
}

int __wrap_soft_idle_store(const struct soft_idle *i, uint64_t region_start, struct problem *why)
{
	(void)region_start, (void)why;
	fake_idle = *i;
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
	int r = devices_answer(QUESTION_COUNT);

	(void)c, (void)ranges, (void)count, (void)align, (void)known;
	if (r < 0) {
		(void)close_fd(device_fd);
		return problem(why, -r, "the counts can't be read");
	}
	if (!scene_devices_find(device_fd, &id)) {
		(void)close_fd(device_fd);
		return problem(why, ENODEV, "it is no device");
	}
	*ret = (struct counts_reading){.cdev = 2 + count_descriptors(id) + devices_restlessness(),
		.page_min = 1,
		.page_max = 1};
	(void)close_fd(device_fd);
	return 0;
}

int __wrap_counts_close(struct counts *c, const dev_t *devices, size_t count, struct problem *why)
{
	int r = devices_answer(QUESTION_CLOSE);

	(void)c, (void)devices;
	return r < 0 && count > 0 ? problem(why, -r, "they can't be closed") : 0;
}
