// SPDX-License-Identifier: MIT
/* The devices of soft regions, as a table, and what becomes of them without the helper's doing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "scene.h"
#include "scene_devices.h"
#include "util/cleanup.h"

struct fake fakes[SCENE_DEVICES];
struct soft_idle fake_idle;

static struct {
	unsigned times; /* how often yet */
	int error;      /* positive */
} fails[QUESTIONS];
static unsigned restless; /* so many readings of counts differ from the one before */
static uint64_t instances;

/* ---- what there is ---- */

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

uint64_t devices_next_instance(void)
{
	return ++instances;
}

int devices_add(struct fake **ret, unsigned region, const struct soft_range *ranges, size_t count,
	uint64_t align)
{
	uint64_t blocks = 0, instance = devices_next_instance();
	unsigned id = 1; /* id 0 is the seed's */

	while (id < SCENE_DEVICES && (fakes[id].used || fakes[id].taken))
		id++;
	if (id == SCENE_DEVICES || count > RANGES)
		return -ENOSPC;
	struct fake *f = &fakes[id];
	for (size_t n = 0; n < count; n++) {
		if (ranges[n].block + ranges[n].count > SCENE_BLOCKS ||
			is_taken(region, &ranges[n]))
			return -EBUSY;
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
		.instance = instance,
		.identity = instance,
		.bound = true,
		.ours = true,
		.range_count = count};
	f->used = true;
	*ret = f;
	return 0;
}

static struct fake *add(unsigned region, const struct soft_range *ranges, size_t count)
{
	struct fake *f = NULL;

	if (devices_add(&f, region, ranges, count, GM_BLOCK_SIZE) < 0)
		scene_die("a device of the start", "");
	return f;
}

/* Of no use to anybody. */
static void add_metadata(unsigned region)
{
	const struct soft_range ranges[] = {{0, SCENE_FIRST_DATA},
		{SCENE_FIRST_DATA + SCENE_DATA, SCENE_BLOCKS - SCENE_FIRST_DATA - SCENE_DATA}};

	add(region, ranges, ARRAY_SIZE(ranges))->device.metadata = true;
}

/* What a helper before has left. */
static void add_left(unsigned which)
{
	const struct soft_range zeroed = {SCENE_FIRST_DATA, 1},
				file[] = {{SCENE_FIRST_DATA, 1}, {SCENE_FIRST_DATA + 2, 1}};

	for (unsigned n = 0; n < ARRAY_SIZE(file) && which == SCENE_LEFT_STORES; n++)
		add(1, &file[n], 1)->user = (struct soft_user){.users = SOFT_USERS_WORKER};

	if (which & SCENE_LEFT_WINDOW)
		add(0, &zeroed, 1)->device.window = true;
	if (which & SCENE_LEFT_DEVICE)
		add(1, file, ARRAY_SIZE(file))->user = (struct soft_user){
			.users = SOFT_USERS_SEVERAL, .spare = which & SCENE_LEFT_SPARE};
}

void scene_devices_begin(unsigned left)
{
	memset(fakes, 0, sizeof(fakes));
	memset(fails, 0, sizeof(fails));
	memset(&fake_idle, 0, sizeof(fake_idle));
	restless = 0;
	for (unsigned n = 0; n < SCENE_DEVICES; n++)
		fakes[n].memory = -1;
	for (unsigned r = 0; r < SCENE_REGIONS; r++)
		add_metadata(r);
	add_left(left);
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

/* ---- what becomes of them ---- */

static bool is_there(const struct fake *f)
{
	return f->used && !f->taken && !f->device.metadata;
}

/* The nth that was made for a file, in the order of their numbers. NULL: there is none. */
static struct fake *choose(unsigned n)
{
	unsigned count = 0;

	for (unsigned id = 0; id < SCENE_DEVICES; id++)
		count += is_there(&fakes[id]);
	n = count ? n % count : 0;
	for (unsigned id = 0; id < SCENE_DEVICES; id++)
		if (is_there(&fakes[id]) && n-- == 0)
			return &fakes[id];
	return NULL;
}

/* again: and another one has its place. */
static void take_away(struct fake *f, bool again)
{
	if (!f || f->device.retired)
		return;
	f->taken = true;
	f->used = again;
	f->device.instance = devices_next_instance();
}

void devices_step(struct bytes *b)
{
	static const int errors[] = {
		EIO, EMFILE, ENXIO, ENOENT, EAGAIN, ENFILE, ESTALE, ENOMEM, EOPNOTSUPP};
	uint8_t what = bytes_take(b), how = bytes_take(b);

	if (what % 8 < QUESTIONS) {
		fails[what % 8].times = 1 + what / 8;
		fails[what % 8].error = errors[how % ARRAY_SIZE(errors)];
	} else if (what % 8 == QUESTIONS) {
		restless = how;
	} else {
		take_away(choose(how), what & 8);
	}
}

int devices_answer(enum question q)
{
	if (fails[q].times == 0)
		return 0;
	fails[q].times--;
	return -fails[q].error;
}

uint32_t devices_restlessness(void)
{
	return restless > 0 ? restless-- % 2 : 0;
}

bool scene_devices_was_taken(int fd)
{
	unsigned id;

	return scene_devices_find(fd, &id) && fakes[id].taken;
}
