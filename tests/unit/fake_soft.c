// SPDX-License-Identifier: MIT
#include "fake_soft.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "confine/confine.h"
#include "fake_devices.h"
#include "soft_wraps.h"
#include "util/cleanup.h"

/* ---- the filter ---- */

int __real_confine_syscalls(const struct confine_rules *tables, size_t count, const char *name,
	confine_tell *tell, struct problem *why);
int __wrap_confine_syscalls(const struct confine_rules *tables, size_t count, const char *name,
	confine_tell *tell, struct problem *why);

/* Where devices are files, making and removing one takes what the helper itself never does. */
int __wrap_confine_syscalls(const struct confine_rules *tables, size_t count, const char *name,
	confine_tell *tell, struct problem *why)
{
	static const struct confine_rule for_files[] = {
		CONFINE_ALLOW("clock_nanosleep"),
		CONFINE_ALLOW("ftruncate"),
		CONFINE_ALLOW("unlink"),
	};
	struct confine_rules all[8];

	if (count >= ARRAY_SIZE(all))
		abort();
	memcpy(all, tables, count * sizeof(*all));
	all[count] = (struct confine_rules){for_files, ARRAY_SIZE(for_files)};
	return __real_confine_syscalls(all, count + 1, name, tell, why);
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
		.size = RIG_BLOCKS * GM_BLOCK_SIZE,
		.align = GM_BLOCK_SIZE,
		.physical_start = FAKE_START};
	return 0;
}

static void describe(struct soft_device *ret, const struct fake_device *d)
{
	*ret = (struct soft_device){.region_id = 900,
		.id = d->id,
		.align = d->align,
		.size = fake_device_blocks(d) << GM_BLOCK_SHIFT,
		.rdev = d->bound ? makedev(900, d->id) : 0,
		.instance = d->instance,
		.identity = d->identity,
		.bound = d->bound,
		.ours = d->ours,
		.seed = d->seed,
		.exported = d->exported,
		.retired = d->retired,
		.window = d->window,
		.ranges = calloc(d->range_count + 1, sizeof(*ret->ranges)),
		.range_count = d->range_count};
	if (!ret->ranges)
		abort();
	memcpy(ret->ranges, d->ranges, d->range_count * sizeof(*ret->ranges));
}

int __wrap_soft_device_list(
	uint64_t region_start, struct soft_device **ret, size_t *count, struct problem *why)
{
	struct soft_device *list = calloc(FAKE_DEVICES, sizeof(*list));
	size_t n = 0;

	(void)why;
	if (!list || region_start != FAKE_START)
		abort();
	for (unsigned i = 0; i < FAKE_DEVICES; i++)
		if (fake_soft->devices[i].used)
			describe(&list[n++], &fake_soft->devices[i]);
	*ret = list;
	*count = n;
	return 0;
}

int __wrap_procscan_run(const struct scan_options *options, struct scan_result *ret)
{
	const struct timespec step = {.tv_nsec = 2000000};

	while (fake_soft && atomic_load(&fake_soft->hold_scan))
		(void)nanosleep(&step, NULL);
	if (fake_soft && atomic_load(&fake_soft->scan_fails) < 0)
		return atomic_load(&fake_soft->scan_fails);
	fake_soft_begin_look();
	int r = __real_procscan_run(options, ret);
	fake_soft_end_look();
	return r;
}

int __wrap_soft_device_has_lost(uint64_t region_start, struct problem *why)
{
	(void)region_start;
	(void)why;
	return fake_soft->lost;
}

static void pause_a_little(void)
{
	const struct timespec step = {.tv_nsec = 2000000};

	(void)nanosleep(&step, NULL);
}

/* The one that d is about, NULL if it is not there any more. */
static struct fake_device *find_instance(const struct soft_device *d)
{
	struct fake_device *found = fake_device_find(d->id);

	return found && found->instance == d->instance ? found : NULL;
}

/* ... or not as it was. */
static struct fake_device *find_same(const struct soft_device *d)
{
	struct fake_device *found = find_instance(d);

	return found && found->identity == d->identity ? found : NULL;
}

int __wrap_soft_device_check(const struct soft_device *d, struct problem *why)
{
	while (atomic_load(&fake_soft->leaving) == d->id) /* as in the kernel */
		pause_a_little();
	const struct fake_device *found = find_instance(d);

	if (found && !found->bound)
		return problem(why, ENXIO, "device %u is unbound", d->id);
	if (!found || found->identity != d->identity)
		return problem(why, ESTALE, "device %u is gone, or another one", d->id);
	return 0;
}

static void wait_for_test(void)
{
	while (atomic_load(&fake_soft->hold)) {
		atomic_store(&fake_soft->waits, true);
		pause_a_little();
	}
	atomic_store(&fake_soft->waits, false);
}

int __wrap_soft_device_create(uint64_t region_start, const struct soft_range *ranges,
	size_t range_count, uint64_t align, struct soft_device *ret, struct problem *why)
{
	struct fake_device d = {.bound = true, .ours = true, .align = align};

	wait_for_test();
	if (atomic_load(&fake_soft->fail_in) >= 0 && atomic_fetch_sub(&fake_soft->fail_in, 1) == 0)
		return problem(why, EIO, "the test wants this to fail");
	if (range_count > FAKE_RANGES || region_start != FAKE_START)
		abort();
	for (size_t i = 0; i < range_count; i++) {
		if (fake_device_is_taken(&ranges[i]))
			return problem(why, EBUSY, "somebody else has the block");
		d.ranges[d.range_count++] = ranges[i];
	}
	fake_soft->made++;
	describe(ret, fake_device_insert(&d));
	return 0;
}

int __wrap_soft_device_remove(
	uint64_t region_start, const struct soft_device *d, struct problem *why)
{
	struct fake_device *found = find_same(d);

	(void)region_start;
	if (!found)
		return problem(why, EBUSY, "it is gone, or another one");
	if (!found->ours)
		return problem(why, EPERM, "it is somebody else's");
	if (found->exported)
		return problem(why, EBUSY, "it was exported");
	if (atomic_load(&fake_soft->keep) > 0) {
		atomic_fetch_sub(&fake_soft->keep, 1);
		return problem(why, EIO, "the test wants this to fail");
	}
	atomic_store(&fake_soft->leaving, d->id);
	while (atomic_load(&fake_soft->hold_removal))
		pause_a_little();
	fake_device_remove_file(found);
	found->used = false;
	atomic_store(&fake_soft->leaving, 0);
	return 0;
}

int __wrap_soft_device_retire(
	uint64_t region_start, const struct soft_device *d, struct problem *why)
{
	struct fake_device *found = fake_device_find(d->id);

	(void)region_start;
	if (!found || !found->ours || !found->exported)
		return problem(why, EBUSY, "it was not exported, or is gone");
	if (atomic_load(&fake_soft->closed) != d->id || found->open_elsewhere || found->pinned)
		abort(); /* somebody can reach it */
	fake_device_remove_file(found);
	found->bound = false;
	found->retired = true;
	found->range_count = 0;
	return 0;
}

int __wrap_soft_device_note_exported(uint64_t region_start, struct soft_device *d)
{
	struct fake_device *found = find_same(d);

	(void)region_start;
	if (!found)
		return -ESTALE;
	d->exported = found->exported = true;
	return 0;
}

int __wrap_soft_device_note_window(uint64_t region_start, struct soft_device *d)
{
	struct fake_device *found = find_same(d);

	(void)region_start;
	if (!found)
		return -ESTALE;
	d->window = found->window = true;
	fake_soft->windows++;
	return 0;
}

int __wrap_soft_device_open(const struct soft_device *d, int access)
{
	char path[128];
	const struct fake_device *found = find_same(d);

	if (!found)
		return -ESTALE;
	if (!found->bound)
		return -ENXIO;
	if (atomic_load(&fake_soft->closed) == d->id)
		return -EPERM;
	int fd = open(fake_device_path(path, d->id), access | O_CLOEXEC);

	return fd < 0 ? -ESTALE : fd;
}

int __wrap_soft_device_set_owner(const struct soft_device *d, uid_t uid, gid_t gid, mode_t mode)
{
	struct fake_device *found = mode == 0 ? find_instance(d) : find_same(d);
	int r = atomic_load(&fake_soft->no_owner);

	if (r < 0 || !found)
		return r < 0 ? r : -ESTALE;
	found->uid = uid;
	found->gid = gid;
	found->mode = mode;
	return 0;
}

/* Of a device that is gone, too: nobody has cleared it yet. */
static struct fake_device *find_noted(unsigned id)
{
	for (unsigned i = 0; i < FAKE_DEVICES; i++)
		if (id > 0 && fake_soft->devices[i].id == id)
			return &fake_soft->devices[i];
	return NULL;
}

int __wrap_soft_user_load(struct soft_user *ret, uint64_t region_start, unsigned id)
{
	const struct fake_device *found = find_noted(id);

	(void)region_start;
	*ret = found ? found->user : SOFT_USER_NULL;
	return 0;
}

int __wrap_soft_user_note(const struct soft_user *u, uint64_t region_start, unsigned id)
{
	struct fake_device *found = find_noted(id);
	int r = atomic_load(&fake_soft->no_room);

	(void)region_start;
	if (found && r == 0)
		found->user = *u;
	return r;
}

/* /proc shows the file in the device's place. */
void __wrap_procscan_identify_device(struct scan_target *ret, dev_t rdev, const char *node)
{
	char path[128];
	_cleanup_fd_ int fd = open(fake_device_path(path, minor(rdev)), O_RDONLY | O_CLOEXEC);
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	(void)node;
	*ret = (struct scan_target){.is_device = true};
	if (p == MAP_FAILED)
		return;
	if (procscan_identify(ret, fd, p) < 0)
		*ret = (struct scan_target){.is_device = true};
	(void)munmap(p, 4096);
}

void fake_soft_wait_until_making(void)
{
	for (int i = 0; i < 5000 && !atomic_load(&fake_soft->waits); i++)
		pause_a_little();
	cr_assert(atomic_load(&fake_soft->waits));
}

unsigned fake_soft_attach(
	struct rig *r, uint64_t ino, const struct rig_extent *extents, size_t count)
{
	int fds[GM_GRANT_DEVICES_MAX + 1], client = rig_client(r);
	struct gm_grant grant;

	rig_send_attach(client, 7);
	(void)rig_grant(r, ino, GM_ACCESS_READ | GM_ACCESS_WRITE, extents, count);
	cr_assert_eq(rig_expect_grant(client, 7, &grant, fds, ARRAY_SIZE(fds)), 1);
	unsigned id = fake_soft_id(fds[0]);
	close(fds[0]);
	close(client);
	return id;
}
