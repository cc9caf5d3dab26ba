// SPDX-License-Identifier: MIT
#include "region/soft_user.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"

#define USERS_DIR  "/run/guestmemfs"
#define USERS_PATH 64

/* One store of it is one write of eight bytes: old or new, whatever dies. */
struct entry {
	uint32_t uid;
	uint8_t users;
	uint8_t spare;
	uint8_t reserved[2];
};
static_assert(sizeof(struct entry) == 8, "a note");

static int open_users(uint64_t region_start, int flags)
{
	char path[USERS_PATH];

	(void)snprintf(path, sizeof(path), USERS_DIR "/.users-%#" PRIx64, region_start);
	int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static off_t place_of(unsigned id)
{
	return (off_t)id * (off_t)sizeof(struct entry);
}

int soft_user_load(struct soft_user *ret, uint64_t region_start, unsigned id)
{
	_cleanup_fd_ int fd = open_users(region_start, O_RDONLY);
	struct entry e = {.users = SOFT_USERS_UNKNOWN};

	*ret = SOFT_USER_NULL;
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	ssize_t n = pread(fd, &e, sizeof(e), place_of(id));
	if (n < 0)
		return -errno;
	if (n == (ssize_t)sizeof(e) && e.users <= SOFT_USERS_WORKER && e.spare <= 1)
		*ret = (struct soft_user){.users = e.users, .spare = e.spare, .uid = e.uid};
	return 0;
}

int soft_user_note(const struct soft_user *u, uint64_t region_start, unsigned id)
{
	const struct entry e = {.uid = u->uid, .users = u->users, .spare = u->spare};
	_cleanup_fd_ int fd = open_users(region_start, O_WRONLY | O_CREAT);

	if (fd < 0)
		return fd;
	ssize_t n = pwrite(fd, &e, sizeof(e), place_of(id));
	return n == (ssize_t)sizeof(e) ? 0 : n < 0 ? -errno : -ENOSPC;
}
