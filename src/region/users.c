// SPDX-License-Identifier: MIT
/*
 * /proc/PID/task/TID/fd and maps, not /proc/PID: those are empty once the leader thread has exited.
 * The name is looked at before a descriptor's file is asked for its number: asking a file of a dead
 * FUSE server would wait for ever.
 */
#include "region/users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/cleanup.h"

struct sought {
	const char *base; /* "dax0.0" */
	dev_t rdev;
};

static void close_dirp(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

#define _cleanup_dir_ _cleanup_(close_dirp)

static DIR *open_dir_at(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		(void)close_fd(fd);
	return d;
}

/* The path that /proc shows names the device, whatever the directory and " (deleted)" behind it. */
static bool path_names(const char *path, const char *base)
{
	const char *slash = strrchr(path, '/');
	size_t n = strlen(base);

	return slash && strncmp(slash + 1, base, n) == 0 &&
	       (slash[1 + n] == '\0' || slash[1 + n] == ' ' || slash[1 + n] == '\n');
}

static bool descriptor_is(int fd_dir, const char *name, const struct sought *s)
{
	char path[4096];
	struct stat st;
	ssize_t n = readlinkat(fd_dir, name, path, sizeof(path) - 1);

	if (n <= 0)
		return false;
	path[n] = '\0';
	return path_names(path, s->base) && fstatat(fd_dir, name, &st, 0) == 0 &&
	       S_ISCHR(st.st_mode) && st.st_rdev == s->rdev;
}

static bool has_open(int task_dir, const struct sought *s)
{
	_cleanup_dir_ DIR *d = open_dir_at(task_dir, "fd");

	for (const struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && descriptor_is(dirfd(d), e->d_name, s))
			return true;
	return false;
}

static bool has_mapped(int task_dir, const struct sought *s)
{
	int fd = openat(task_dir, "maps", O_RDONLY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;
	bool found = false;

	if (!f) {
		(void)close_fd(fd);
		return false;
	}
	while (!found && getline(&line, &room, f) > 0)
		found = path_names(line, s->base);
	(void)fclose(f);
	return found;
}

static bool task_uses(int tasks, const char *tid, const struct sought *s)
{
	_cleanup_fd_ int task = openat(tasks, tid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return task >= 0 && (has_open(task, s) || has_mapped(task, s));
}

static bool process_uses(int proc, const char *pid, const struct sought *s)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "%s/task", pid);
	_cleanup_dir_ DIR *d = open_dir_at(proc, path);

	for (const struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && task_uses(dirfd(d), e->d_name, s))
			return true;
	return false;
}

int device_find_user(const char *node, pid_t *ret)
{
	const char *slash = strrchr(node, '/');
	struct stat st;

	if (stat(node, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	const struct sought s = {.base = slash ? slash + 1 : node, .rdev = st.st_rdev};
	_cleanup_dir_ DIR *d = open_dir_at(AT_FDCWD, "/proc");
	if (!d)
		return -errno;
	for (const struct dirent *e; (e = readdir(d));) {
		long pid = strtol(e->d_name, NULL, 10);

		if (pid > 0 && pid != (long)getpid() && process_uses(dirfd(d), e->d_name, &s)) {
			*ret = (pid_t)pid;
			return 1;
		}
	}
	return 0;
}
