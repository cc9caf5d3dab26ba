// SPDX-License-Identifier: MIT
#include "region/soft_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "util/cleanup.h"

#define RECORD_DIR "/run/guestmemfs"

#define RECORD_PATH 64

static const char *record_path(char path[RECORD_PATH], uint64_t region_start)
{
	(void)snprintf(path, RECORD_PATH, RECORD_DIR "/.soft-%#" PRIx64, region_start);
	return path;
}

int soft_record_open(struct soft_record *ret, uint64_t region_start, struct problem *why)
{
	char path[RECORD_PATH];

	(void)record_path(path, region_start);
	if (mkdir(RECORD_DIR, 0755) < 0 && errno != EEXIST)
		return problem_errno(why, errno, "making " RECORD_DIR);
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return problem_errno(why, errno, "opening %s", path);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return problem_errno(why, errno, "locking %s", path);
	ret->fd = steal_fd(&fd);
	return 0;
}

void soft_record_close(struct soft_record *r)
{
	r->fd = close_fd(r->fd);
}

static bool record_has(const struct soft_record *r, unsigned place, char wanted)
{
	char c = 0;

	return pread(r->fd, &c, 1, (off_t)place) == 1 && c == wanted;
}

static int record_put(const struct soft_record *r, unsigned place, char c, struct problem *why)
{
	ssize_t n = pwrite(r->fd, &c, 1, (off_t)place);

	if (n == 1)
		return 0;
	return problem_errno(
		why, n < 0 ? errno : ENOSPC, "noting the devices of a soft region in " RECORD_DIR);
}

bool soft_record_is_ours(const struct soft_record *r, unsigned id)
{
	return record_has(r, 1 + id, 'o') || soft_record_is_exported(r, id) ||
	       soft_record_is_window(r, id);
}

bool soft_record_is_exported(const struct soft_record *r, unsigned id)
{
	return record_has(r, 1 + id, 'x') || soft_record_is_retired(r, id);
}

bool soft_record_is_retired(const struct soft_record *r, unsigned id)
{
	return record_has(r, 1 + id, 'r');
}

bool soft_record_is_window(const struct soft_record *r, unsigned id)
{
	return record_has(r, 1 + id, 'w');
}

static int note(uint64_t region_start, unsigned id, char c)
{
	char path[RECORD_PATH];
	_cleanup_fd_ int fd =
		open(record_path(path, region_start), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = pwrite(fd, &c, 1, (off_t)(1 + id));
	return n == 1 ? 0 : n < 0 ? -errno : -ENOSPC;
}

int soft_record_note_exported(uint64_t region_start, unsigned id)
{
	return note(region_start, id, 'x');
}

int soft_record_note_window(uint64_t region_start, unsigned id)
{
	return note(region_start, id, 'w');
}

int soft_record_set_ours(const struct soft_record *r, unsigned id, bool ours, struct problem *why)
{
	return record_put(r, 1 + id, ours ? 'o' : '.', why);
}

int soft_record_set_retired(const struct soft_record *r, unsigned id, struct problem *why)
{
	return record_put(r, 1 + id, 'r', why);
}

bool soft_record_was_busy(const struct soft_record *r)
{
	return record_has(r, 0, 'M');
}

int soft_record_set_busy(const struct soft_record *r, bool busy, struct problem *why)
{
	return record_put(r, 0, busy ? 'M' : '-', why);
}
