// SPDX-License-Identifier: MIT
#include "region/soft_record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region/dax_sysfs.h"
#include "util/cleanup.h"

#define RECORD_DIR "/run/guestmemfs"

#define RECORD_PATH 64

#define RECORD_MAGIC 0x3374666f732d6d67ULL /* "gm-soft3" */

/* The file stays on this host and in this boot: natural types. */
struct slot {
	uint64_t ours, exported, window; /* identities */
	uint64_t retired;                /* instance */
};

struct header { /* in the place of slot 0 */
	uint64_t magic;
	uint64_t id, instance; /* of the device that is being made or taken away */
	uint64_t count;        /* of its ranges */
};

static_assert(sizeof(struct slot) == 32 && sizeof(struct header) == sizeof(struct slot),
	"no slot goes over the end of a page");

#define SLOTS_MAX  32767U
#define LOST_AT    ((off_t)(SLOTS_MAX * sizeof(struct slot)))
#define RANGES_AT  (LOST_AT + (off_t)sizeof(struct slot))
#define RANGES_MAX (1U << 24)

static const char *record_path(char path[RECORD_PATH], uint64_t region_start)
{
	(void)snprintf(path, RECORD_PATH, RECORD_DIR "/.soft-%#" PRIx64, region_start);
	return path;
}

/* ---- the file ---- */

/* What is not there is zero. */
static int record_get(const struct soft_record *r, off_t at, void *ret, size_t size)
{
	ssize_t n = pread(r->fd, ret, size, at);

	if (n < 0)
		return -errno;
	memset((char *)ret + n, 0, size - (size_t)n);
	return 0;
}

static int put(int fd, off_t at, const void *data, size_t size)
{
	ssize_t n = pwrite(fd, data, size, at);

	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -ENOSPC;
}

static int record_put(
	const struct soft_record *r, off_t at, const void *data, size_t size, struct problem *why)
{
	int e = put(r->fd, at, data, size);

	return e < 0 ? problem_errno(why, -e, "noting the devices of a soft region in " RECORD_DIR)
		     : 0;
}

static struct header record_header(const struct soft_record *r)
{
	struct header h = {.magic = 0};

	(void)record_get(r, 0, &h, sizeof(h)); /* what can't be read has no magic */
	return h;
}

static int record_check(const struct soft_record *r, const char *path, struct problem *why)
{
	const struct header fresh = {.magic = RECORD_MAGIC};
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return problem_errno(why, errno, "looking at %s", path);
	if (st.st_size == 0)
		return record_put(r, 0, &fresh, sizeof(fresh), why);
	if (record_header(r).magic == RECORD_MAGIC)
		return 0;
	return problem(why, EPROTO,
		"%s was not written by this version of guestmemfs, so that which devices are "
		"ours is not known: it goes with the next boot",
		path);
}

int soft_record_open(struct soft_record *ret, uint64_t region_start, struct problem *why)
{
	_cleanup_(soft_record_close) struct soft_record r = SOFT_RECORD_NULL;
	char path[RECORD_PATH];

	(void)record_path(path, region_start);
	if (mkdir(RECORD_DIR, 0755) < 0 && errno != EEXIST)
		return problem_errno(why, errno, "making " RECORD_DIR);
	r.fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (r.fd < 0)
		return problem_errno(why, errno, "opening %s", path);
	while (flock(r.fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return problem_errno(why, errno, "locking %s", path);
	int e = record_check(&r, path, why);
	if (e < 0)
		return e;
	*ret = r;
	r = SOFT_RECORD_NULL;
	return 0;
}

void soft_record_close(struct soft_record *r)
{
	r->fd = close_fd(r->fd);
}

/* ---- whose a device is ---- */

static off_t slot_at(unsigned id)
{
	return (off_t)id * (off_t)sizeof(struct slot);
}

static struct slot record_slot(const struct soft_record *r, unsigned id)
{
	struct slot s;

	if (id == 0 || id >= SLOTS_MAX || record_get(r, slot_at(id), &s, sizeof(s)) < 0)
		return (struct slot){.ours = 0};
	return s;
}

bool soft_record_is_ours(const struct soft_record *r, unsigned id, uint64_t identity)
{
	return identity != 0 && record_slot(r, id).ours == identity;
}

bool soft_record_is_exported(const struct soft_record *r, unsigned id, uint64_t identity)
{
	return identity != 0 && record_slot(r, id).exported == identity;
}

bool soft_record_is_window(const struct soft_record *r, unsigned id, uint64_t identity)
{
	return identity != 0 && record_slot(r, id).window == identity;
}

bool soft_record_is_retired(const struct soft_record *r, unsigned id, uint64_t instance)
{
	return instance != 0 && record_slot(r, id).retired == instance;
}

bool soft_record_has_note(const struct soft_record *r, unsigned id)
{
	return record_slot(r, id).ours != 0;
}

bool soft_record_was_exported(const struct soft_record *r, unsigned id)
{
	const struct slot s = record_slot(r, id);

	/* One that came too late is of another device that had the id. */
	return s.exported != 0 && s.exported == s.ours;
}

bool soft_record_names_retired(int fd, unsigned id)
{
	return record_slot(&(struct soft_record){.fd = fd}, id).retired != 0;
}

int soft_record_set_retired(
	const struct soft_record *r, unsigned id, uint64_t instance, struct problem *why)
{
	return record_put(r, slot_at(id) + (off_t)offsetof(struct slot, retired), &instance,
		sizeof(instance), why);
}

int soft_record_end_retired(
	const struct soft_record *r, unsigned id, uint64_t instance, struct problem *why)
{
	const struct slot s = {.retired = instance};

	return record_put(r, slot_at(id), &s, sizeof(s), why);
}

bool soft_record_has_lost(const struct soft_record *r)
{
	uint64_t lost = 0;

	/* What can't be read may be anything. */
	return record_get(r, LOST_AT, &lost, sizeof(lost)) < 0 || lost != 0;
}

static int note_lost(const struct soft_record *r, struct problem *why)
{
	const uint64_t lost = 1;

	return record_put(r, LOST_AT, &lost, sizeof(lost), why);
}

int soft_record_set_ours(
	const struct soft_record *r, unsigned id, uint64_t identity, struct problem *why)
{
	const struct slot s = {.ours = identity};
	uint64_t before;
	int e = 0;

	if (id == 0 || id >= SLOTS_MAX)
		return problem(why, ENOSPC, "the region has more devices than can be noted, %u",
			SLOTS_MAX - 1);
	before = record_slot(r, id).ours;
	if (identity != 0 && before != 0 && before != identity)
		e = note_lost(r, why);
	return e < 0 ? e : record_put(r, slot_at(id), &s, sizeof(s), why);
}

int soft_record_forget(const struct soft_record *r, unsigned id, struct problem *why)
{
	int e = soft_record_has_note(r, id) ? note_lost(r, why) : 0;

	return e < 0 ? e : soft_record_set_ours(r, id, 0, why);
}

/* The device that the slot is about, NULL if it is not there any more. */
static const struct soft_device *find_noted(
	const struct slot *s, unsigned id, const struct soft_device *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].id == id && list[i].identity == s->ours)
			return &list[i];
	return NULL;
}

/* 1, 0, or a negative errno: then it is not to be forgotten. */
static int is_gone(struct dax_id d, uint64_t identity)
{
	unsigned patience = DAX_PATIENCE;
	uint64_t now = 0;
	int e, next;

	do {
		e = dax_get_identity(d, &now);
		if (e == 0)
			return now != identity;
		next = dax_wait_passing(d, e, &patience);
	} while (next > 0);
	return next == 0 ? 1 : e;
}

int soft_record_forget_gone(const struct soft_record *r, unsigned region_id,
	const struct soft_device *list, size_t count, struct problem *why)
{
	_cleanup_free_ struct slot *slots = calloc(SLOTS_MAX, sizeof(*slots));
	int e = slots ? record_get(r, 0, slots, SLOTS_MAX * sizeof(*slots)) : -ENOMEM;

	if (e < 0)
		return problem_errno(why, -e, "reading which devices are ours");
	int missing = 0;
	for (unsigned id = 1; id < SLOTS_MAX; id++) {
		const struct dax_id d = {.region = region_id, .id = id};

		if (slots[id].ours == 0 || find_noted(&slots[id], id, list, count))
			continue;
		e = is_gone(d, slots[id].ours);
		if (e < 0)
			return problem_errno(why, -e, "reading device dax%u.%u", region_id, id);
		if (e == 0)
			missing = 1;
		else if ((e = soft_record_forget(r, id, why)) < 0)
			return e;
	}
	return missing;
}

static int note(uint64_t region_start, unsigned id, size_t field, uint64_t identity)
{
	char path[RECORD_PATH];
	_cleanup_fd_ int fd =
		open(record_path(path, region_start), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return put(fd, slot_at(id) + (off_t)field, &identity, sizeof(identity));
}

int soft_record_note_exported(uint64_t region_start, unsigned id, uint64_t identity)
{
	return note(region_start, id, offsetof(struct slot, exported), identity);
}

int soft_record_note_window(uint64_t region_start, unsigned id, uint64_t identity)
{
	return note(region_start, id, offsetof(struct slot, window), identity);
}

/* ---- what is being made or taken away ---- */

void soft_work_deinit(struct soft_work *w)
{
	free(w->ranges);
	*w = SOFT_WORK_NULL;
}

int soft_record_begin(const struct soft_record *r, const struct soft_work *w, struct problem *why)
{
	const struct header h = {
		.magic = RECORD_MAGIC, .id = w->id, .instance = w->instance, .count = w->count};
	int e = record_put(r, RANGES_AT, w->ranges, w->count * sizeof(*w->ranges), why);

	return e < 0 ? e : record_put(r, 0, &h, sizeof(h), why);
}

int soft_record_end(const struct soft_record *r, struct problem *why)
{
	const struct header h = {.magic = RECORD_MAGIC};

	return record_put(r, 0, &h, sizeof(h), why);
}

bool soft_record_was_busy(const struct soft_record *r)
{
	return record_header(r).instance != 0;
}

int soft_record_load(const struct soft_record *r, struct soft_work *ret, struct problem *why)
{
	const struct header h = record_header(r);
	const size_t count = h.count <= RANGES_MAX ? (size_t)h.count : 0;
	struct soft_work w = {.instance = h.instance, .id = (unsigned)h.id, .count = count};

	w.ranges = calloc(count + 1, sizeof(*w.ranges));
	int e = w.ranges ? record_get(r, RANGES_AT, w.ranges, count * sizeof(*w.ranges)) : -ENOMEM;
	if (e < 0) {
		soft_work_deinit(&w);
		return problem_errno(why, -e, "reading which device is half made");
	}
	*ret = w;
	return 0;
}
