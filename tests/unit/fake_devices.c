// SPDX-License-Identifier: MIT
/* The devices of the soft region that is a file: files, with a table of them that the test shares
 * with the helper. */
#include "fake_devices.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/link.h"
#include "util/cleanup.h"

struct fake_soft *fake_soft;

/* ---- the files ---- */

const char *fake_device_path(char path[128], unsigned id)
{
	(void)snprintf(path, 128, "%s/dax.%u", fake_soft->directory, id);
	return path;
}

uint64_t fake_device_blocks(const struct fake_device *d)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < d->range_count; i++)
		sum += d->ranges[i].count;
	return sum;
}

static void copy_block(int from, uint64_t from_block, int to, uint64_t to_block)
{
	static char block[GM_BLOCK_SIZE];

	if (pread(from, block, sizeof(block), (off_t)(from_block << GM_BLOCK_SHIFT)) !=
			(ssize_t)sizeof(block) ||
		pwrite(to, block, sizeof(block), (off_t)(to_block << GM_BLOCK_SHIFT)) !=
			(ssize_t)sizeof(block))
		abort();
}

/* What is as small as a window is copied from the region, or back to it; no test looks into more.
 */
static void copy_device(const struct fake_device *d, int file, bool back)
{
	_cleanup_fd_ int region = open(fake_soft->region, O_RDWR | O_CLOEXEC);
	uint64_t at = 0;

	if (region < 0)
		abort();
	if (fake_device_blocks(d) > LINK_SCRUB_MAX)
		return;
	for (size_t i = 0; i < d->range_count; i++)
		for (uint32_t j = 0; j < d->ranges[i].count; j++, at++) {
			if (back)
				copy_block(file, at, region, d->ranges[i].block + j);
			else
				copy_block(region, d->ranges[i].block + j, file, at);
		}
}

static void make_file(const struct fake_device *d)
{
	char path[128];
	_cleanup_fd_ int fd =
		open(fake_device_path(path, d->id), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)(fake_device_blocks(d) << GM_BLOCK_SHIFT)) < 0)
		abort();
	copy_device(d, fd, false);
}

void fake_device_remove_file(const struct fake_device *d)
{
	char path[128];
	_cleanup_fd_ int fd = open(fake_device_path(path, d->id), O_RDWR | O_CLOEXEC);

	if (fd < 0)
		abort();
	copy_device(d, fd, true);
	(void)unlink(path);
}

void fake_soft_begin_look(void)
{
	if (fake_soft && pthread_mutex_lock(&fake_soft->looking) == EOWNERDEAD)
		(void)pthread_mutex_consistent(&fake_soft->looking);
}

void fake_soft_end_look(void)
{
	if (fake_soft)
		(void)pthread_mutex_unlock(&fake_soft->looking);
}

static void init_looking(void)
{
	pthread_mutexattr_t shared;

	(void)pthread_mutexattr_init(&shared);
	(void)pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
	(void)pthread_mutex_init(&fake_soft->looking, &shared);
	(void)pthread_mutexattr_destroy(&shared);
}

/* ---- the table ---- */

struct fake_device *fake_device_find(unsigned id)
{
	for (unsigned i = 0; i < FAKE_DEVICES; i++)
		if (fake_soft->devices[i].used && fake_soft->devices[i].id == id)
			return &fake_soft->devices[i];
	return NULL;
}

const struct fake_device *fake_soft_find(unsigned id)
{
	return fake_device_find(id);
}

unsigned fake_soft_count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FAKE_DEVICES; i++)
		n += fake_soft->devices[i].used;
	return n;
}

bool fake_device_is_taken(const struct soft_range *r)
{
	for (unsigned i = 0; i < FAKE_DEVICES; i++) {
		const struct fake_device *d = &fake_soft->devices[i];
		for (size_t j = 0; d->used && j < d->range_count; j++)
			if (r->block < d->ranges[j].block + d->ranges[j].count &&
				d->ranges[j].block < r->block + r->count)
				return true;
	}
	return false;
}

struct fake_device *fake_device_insert(const struct fake_device *d)
{
	struct fake_device *free = NULL;

	for (unsigned i = 0; i < FAKE_DEVICES && !free; i++)
		if (!fake_soft->devices[i].used)
			free = &fake_soft->devices[i];
	if (!free)
		abort();
	*free = *d;
	free->used = true;
	free->instance = free->identity = ++fake_soft->identities;
	if (free->id == 0)
		free->id = ++fake_soft->last_id;
	make_file(free);
	return free;
}

unsigned fake_soft_add(bool ours, bool bound, uint64_t block, uint32_t count)
{
	const struct fake_device d = {.bound = bound,
		.ours = ours,
		.align = GM_BLOCK_SIZE,
		.range_count = 1,
		.ranges = {{block, count}}};

	fake_soft_begin_look();
	unsigned id = fake_device_insert(&d)->id;
	fake_soft_end_look();
	return id;
}

void fake_soft_take_away(unsigned id)
{
	fake_soft_begin_look();
	fake_soft->lost |= fake_device_find(id)->ours;
	fake_device_remove_file(fake_device_find(id));
	fake_device_find(id)->used = false;
	fake_soft_end_look();
}

void fake_soft_replace(unsigned id, uint64_t block, uint32_t count)
{
	const struct fake_device d = {.id = id,
		.bound = true,
		.align = GM_BLOCK_SIZE,
		.range_count = 1,
		.ranges = {{block, count}}};

	fake_soft_take_away(id);
	fake_soft_begin_look();
	(void)fake_device_insert(&d);
	fake_soft_end_look();
}

/* As the record shows it then: ours no more. */
static void change_driver(unsigned id, bool bound)
{
	struct fake_device *d = fake_device_find(id);

	fake_soft_begin_look();
	fake_soft->lost |= d->ours;
	d->ours = false;
	d->bound = bound;
	d->identity = ++fake_soft->identities;
	d->open_elsewhere = d->pinned = 0;
	fake_soft_end_look();
}

void fake_soft_unbind(unsigned id)
{
	change_driver(id, false);
}

void fake_soft_bind_anew(unsigned id)
{
	change_driver(id, true);
}

unsigned fake_soft_add_window(uint64_t block, uint32_t count)
{
	unsigned id = fake_soft_add(true, true, block, count);

	fake_device_find(id)->window = true;
	return id;
}

unsigned fake_soft_id(int fd)
{
	struct stat mine, other;
	char path[128];

	cr_assert_eq(fstat(fd, &mine), 0);
	for (unsigned i = 0; i < FAKE_DEVICES; i++) {
		const struct fake_device *d = &fake_soft->devices[i];
		if (d->used && stat(fake_device_path(path, d->id), &other) == 0 &&
			other.st_ino == mine.st_ino)
			return d->id;
	}
	return 0;
}

void fake_soft_init(struct rig *r)
{
	fake_soft = mmap(NULL, sizeof(*fake_soft), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(fake_soft, MAP_FAILED);
	memcpy(fake_soft->directory, r->directory, sizeof(r->directory));
	memcpy(fake_soft->region, r->region, sizeof(r->region));
	fake_soft->fail_in = -1;
	init_looking();
	fake_soft->idle_cdev = 2;
	fake_soft->idle_page = 1;
	/* The empty seed, and the metadata: the blocks that are no data. */
	fake_soft->devices[0] = (struct fake_device){
		.used = true, .seed = true, .identity = ++fake_soft->identities};
	fake_soft->devices[1] = (struct fake_device){.used = true,
		.bound = true,
		.ours = true,
		.id = ++fake_soft->last_id,
		.identity = ++fake_soft->identities,
		.align = GM_BLOCK_SIZE,
		.range_count = 2,
		.ranges = {{0, RIG_FIRST_DATA}, {RIG_FIRST_DATA + RIG_DATA, 1}}};
	r->kind = GM_REGION_SOFT;
}

void fake_soft_deinit(void)
{
	char path[128];

	for (unsigned i = 0; i <= fake_soft->last_id; i++)
		(void)unlink(fake_device_path(path, i));
	(void)munmap(fake_soft, sizeof(*fake_soft));
}

void fake_soft_set_up(struct rig *r)
{
	rig_init(r);
	fake_soft_init(r);
	rig_start(r);
	rig_bring_up(r);
}

void fake_soft_tear_down(struct rig *r)
{
	if (r->control >= 0)
		cr_expect_eq(rig_stop(r), 0, "the helper ends in good order");
	fake_soft_deinit();
	rig_deinit(r);
}
