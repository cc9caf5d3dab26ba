// SPDX-License-Identifier: MIT
#include "region/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/run_directory.h"

#define LEDGER_MAGIC  "gmnotes1"
#define LEDGER_HEADER 4096U /* bytes before the first entry */

/* What must agree for the entries to mean anything. */
struct ledger_header {
	char magic[8]; /* also the version of what follows */
	char boot_id[40];
	int64_t born_seconds; /* of a region that is a file: its number may be another's later */
	uint64_t born_nanoseconds;
};

static size_t ledger_size(const struct region *region)
{
	return LEDGER_HEADER + (region->size >> GM_BLOCK_SHIFT) * sizeof(struct ledger_entry);
}

/* The name begins with a dot, as no instance's does. malloc'ed; NULL with the sentence. */
static char *ledger_path(const char *directory, const struct region *region, struct problem *why)
{
	struct stat st;
	char *path;
	int n;

	if (region->kind != GM_REGION_FILE) {
		n = asprintf(&path, "%s/.granted-%#" PRIx64, directory, region->physical_start);
	} else if (fstat(region->fd, &st) < 0) {
		(void)problem_errno(why, errno, "region %s", region->name);
		return NULL;
	} else {
		n = asprintf(&path, "%s/.granted-%" PRIx64 "-%" PRIx64, directory,
			(uint64_t)st.st_dev, (uint64_t)st.st_ino);
	}
	if (n < 0)
		(void)problem_errno(why, ENOMEM, "naming the notes of region %s", region->name);
	return n < 0 ? NULL : path;
}

static int read_boot_id(char ret[40], struct problem *why)
{
	_cleanup_fd_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, 39);

	if (n <= 0)
		return problem_errno(why, n < 0 ? errno : EIO, "reading the kernel's boot id");
	return 0;
}

static int make_header(struct ledger_header *ret, const struct region *region, struct problem *why)
{
	struct ledger_header h = {.magic = LEDGER_MAGIC};
	struct statx st;
	int r = read_boot_id(h.boot_id, why);

	if (r < 0)
		return r;
	if (region->kind == GM_REGION_FILE &&
		statx(region->fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) == 0 &&
		(st.stx_mask & STATX_BTIME)) {
		h.born_seconds = st.stx_btime.tv_sec;
		h.born_nanoseconds = st.stx_btime.tv_nsec;
	}
	*ret = h;
	return 0;
}

static bool has_header(int fd, const struct ledger_header *wanted)
{
	struct ledger_header found;

	return pread(fd, &found, sizeof(found), 0) == (ssize_t)sizeof(found) &&
	       memcmp(&found, wanted, sizeof(found)) == 0;
}

/* The header comes last: a ledger that was left half made begins anew. */
static int prepare(int fd, const struct ledger_header *header, size_t size)
{
	bool keep = has_header(fd, header);

	if (!keep && ftruncate(fd, 0) < 0)
		return -errno;
	int r = posix_fallocate(fd, 0, (off_t)size);
	if (r != 0)
		return -r;
	if (!keep && pwrite(fd, header, sizeof(*header), 0) != (ssize_t)sizeof(*header))
		return -EIO;
	return 0;
}

int ledger_open(
	struct ledger *ret, const char *directory, const struct region *region, struct problem *why)
{
	_cleanup_free_ char *path = ledger_path(directory, region, why);
	struct ledger_header header;
	size_t size = ledger_size(region);
	int r = path ? make_header(&header, region, why) : -ENOMEM;

	if (r < 0)
		return r;
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return problem_errno(why, errno, "opening %s", path);
	r = prepare(fd, &header, size);
	if (r == -ENOSPC)
		return problem(why, ENOSPC,
			"no room for %zu bytes in %s, where it is noted what is granted of region "
			"%s: make room in %s",
			size, path, region->name, directory);
	if (r < 0)
		return problem_errno(why, -r, "making %s", path);
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return problem_errno(why, errno, "mapping %s", path);
	*ret = (struct ledger){
		.entries = (struct ledger_entry *)(void *)((char *)map + LEDGER_HEADER),
		.map = map,
		.size = size};
	return 0;
}

void ledger_close(struct ledger *l)
{
	if (l->map)
		(void)munmap(l->map, l->size);
	*l = LEDGER_NULL;
}

int ledger_forget(const struct region *region, struct problem *why)
{
	_cleanup_free_ char *directory = run_directory();
	_cleanup_free_ char *path = directory ? ledger_path(directory, region, why) : NULL;

	if (!directory)
		return problem_errno(why, ENOMEM, "formatting region %s", region->name);
	if (!path)
		return -ENOMEM;
	if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
		return problem_errno(why, errno, "removing %s", path);
	return 0;
}

static bool is_zero(const char *bytes, ssize_t n)
{
	return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)n - 1) == 0);
}

static bool is_empty(int fd)
{
	char bytes[16384];
	off_t at = LEDGER_HEADER;
	ssize_t n;

	while ((n = pread(fd, bytes, sizeof(bytes), at)) > 0) {
		if (!is_zero(bytes, n))
			return false;
		at += n;
	}
	return n == 0;
}

void ledger_tidy(const struct region *region, const char *directory)
{
	_cleanup_free_ char *path = ledger_path(directory, region, NULL);
	_cleanup_fd_ int fd = path ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;

	if (fd >= 0 && is_empty(fd))
		(void)unlink(path);
}
