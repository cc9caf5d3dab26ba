// SPDX-License-Identifier: MIT
/*
 * Regions that are files, on tmpfs, hugetlbfs or a disk. A file is looked at before it is opened,
 * so that opening never has an effect on something that is no region; what was made is allocated in
 * full or removed again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "region/ops.h"
#include "util/cleanup.h"

static const char *file_type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFCHR:
		return "a character device";
	case S_IFBLK:
		return "a block device";
	case S_IFIFO:
		return "a named pipe";
	case S_IFSOCK:
		return "a socket";
	default:
		return "not a regular file";
	}
}

static int file_check_type(const char *path, mode_t mode, struct problem *why)
{
	if (S_ISREG(mode))
		return 0;
	if (S_ISLNK(mode))
		return problem(why, EINVAL,
			"%s is a symbolic link, which could lead elsewhere at the next start: name "
			"the file that it leads to",
			path);
	return problem(why, EINVAL, "%s is %s; a file: region is a regular file", path,
		file_type_name(mode));
}

static int file_open_problem(const char *path, int err, struct problem *why)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return problem(why, EACCES,
			"no permission to open region %s: it belongs to another user, or one of "
			"its directories may not be entered",
			path);
	case ENOTDIR:
		return problem(
			why, ENOTDIR, "region %s: a part of the path is not a directory", path);
	case EROFS:
		return problem(why, EROFS,
			"region %s lies on a file system that is mounted read-only", path);
	default:
		return problem_errno(why, err, "opening region %s", path);
	}
}

/* Opens what is there. The descriptor of the look (O_PATH) leads to the same file whatever happens
 * to the name. */
static int file_open_existing(const char *path, int access, struct problem *why)
{
	_cleanup_fd_ int look = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char link[64];
	struct stat st;

	if (look < 0)
		return file_open_problem(path, errno, why);
	if (fstat(look, &st) < 0)
		return problem_errno(why, errno, "looking at region %s", path);
	int r = file_check_type(path, st.st_mode, why);
	if (r < 0)
		return r;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", look);
	int fd = open(link, access | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return problem(
			why, ENOSYS, "region %s can't be opened: /proc is not mounted", path);
	return fd < 0 ? file_open_problem(path, errno, why) : fd;
}

static int file_reserve(int fd, const char *path, uint64_t size, struct problem *why)
{
	char text[REGION_SIZE_TEXT];
	int r = 0;

	do
		r = fallocate(fd, 0, 0, (off_t)size);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return 0;
	region_format_size(text, size);
	switch (errno) {
	case ENOSPC:
	case EDQUOT:
		return problem(why, ENOSPC,
			"no space for the %s of region %s: make room on its file system, or more "
			"huge pages on hugetlbfs, or take a smaller size=",
			text, path);
	case EFBIG:
		return problem(why, EFBIG,
			"%s for region %s is more than a file on its file system can have", text,
			path);
	case EOPNOTSUPP:
		return problem(why, EOPNOTSUPP,
			"the file system of region %s can't allocate space in advance (fallocate): "
			"put it on tmpfs, hugetlbfs, ext4, xfs or btrfs",
			path);
	default:
		return problem_errno(why, errno, "allocating the %s of region %s", text, path);
	}
}

static int file_create(const char *path, uint64_t size, struct problem *why)
{
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno == ENOENT)
		return problem(why, ENOENT,
			"region %s can't be made: its directory does not exist, make it first",
			path);
	if (fd < 0)
		return file_open_problem(path, errno, why);
	int r = file_reserve(fd, path, size, why);
	if (r < 0) {
		(void)unlink(path);
		return r;
	}
	return steal_fd(&fd);
}

static int file_open_or_create(
	const struct region_spec *spec, unsigned flags, bool *created, struct problem *why)
{
	int access = flags & REGION_OPEN_READ_ONLY ? O_RDONLY : O_RDWR;
	int fd = file_open_existing(spec->path, access, why);

	if (fd != -ENOENT)
		return fd;
	if (!(flags & REGION_OPEN_CREATE))
		return problem(why, ENOENT, "region %s does not exist: check the path", spec->path);
	if (spec->size == 0)
		return problem(why, ENOENT,
			"region %s does not exist: check the path, or add ,size=SIZE to have it "
			"made",
			spec->path);
	fd = file_create(spec->path, spec->size, why);
	if (fd >= 0)
		*created = true;
	return fd;
}

static int file_open(const struct region_spec *spec, unsigned flags, bool *created, char **name,
	struct problem *why)
{
	_cleanup_free_ char *copy = strdup(spec->path);

	if (!copy)
		return problem_errno(why, ENOMEM, "opening region %s", spec->path);
	int fd = file_open_or_create(spec, flags, created, why);
	if (fd >= 0)
		*name = steal_pointer(copy);
	return fd;
}

static void file_discard(const char *name)
{
	(void)unlink(name);
}

static int file_find_align(struct region *r, struct problem *why)
{
	struct statfs fs;
	char text[REGION_SIZE_TEXT];

	if (fstatfs(r->fd, &fs) < 0)
		return problem_errno(
			why, errno, "looking at the file system of region %s", r->name);
	if (fs.f_type != HUGETLBFS_MAGIC) {
		r->align = (uint64_t)sysconf(_SC_PAGESIZE);
		return 0;
	}
	r->align = (uint64_t)fs.f_bsize;
	if (r->align > GM_BLOCK_SIZE)
		return problem(why, EINVAL,
			"region %s lies on a hugetlbfs with pages of %s, larger than the unit of "
			"allocation (2M): mount one with pagesize=2M",
			r->name, region_format_size(text, r->align));
	return 0;
}

static int file_describe(struct region *r, struct problem *why)
{
	char text[REGION_SIZE_TEXT];
	struct stat st;

	if (fstat(r->fd, &st) < 0)
		return problem_errno(why, errno, "looking at region %s", r->name);
	int e = file_check_type(r->name, st.st_mode, why);
	if (e < 0)
		return e;
	if (st.st_size == 0)
		return problem(why, EINVAL,
			"region %s is an empty file: remove it and have it made with size=SIZE",
			r->name);
	r->size = (uint64_t)st.st_size;
	if (r->size % GM_BLOCK_SIZE != 0)
		return problem(why, EINVAL,
			"region %s is %s, which is not a multiple of 2M: it is not a region, or it "
			"was cut short",
			r->name, region_format_size(text, r->size));
	return file_find_align(r, why);
}

static int file_allocate(struct region *r, struct problem *why)
{
	return file_reserve(r->fd, r->name, r->size, why);
}

const struct region_ops region_file_ops = {
	.kind = GM_REGION_FILE,
	.name = "file",
	.needs_trust = true,
	.options = "size",
	.open = file_open,
	.discard = file_discard,
	.describe = file_describe,
	.allocate = file_allocate,
};
