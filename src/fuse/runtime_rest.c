// SPDX-License-Identifier: MIT
#include "fuse/runtime_rest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"

#define TRIES 200U /* of 50 ms */

int runtime_rest_open(struct runtime_rest *ret, const char *control, const char *grants)
{
	_cleanup_(runtime_rest_close) struct runtime_rest r = RUNTIME_REST_NULL;
	const char *slash = strrchr(control, '/');

	if (!slash || slash == control)
		return -EINVAL;
	r.path = strndup(control, (size_t)(slash - control));
	r.control = strdup(control);
	r.grants = strdup(grants);
	if (!r.path || !r.control || !r.grants ||
		asprintf(&r.keeper, "%s/keeper.sock", r.path) < 0) {
		r.keeper = NULL;
		return -ENOMEM;
	}
	r.directory = open(r.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r.directory < 0)
		return -errno;
	runtime_rest_close(ret);
	*ret = r;
	r = RUNTIME_REST_NULL;
	return 0;
}

bool runtime_is_at(int fd, const char *path)
{
	struct stat opened, there;

	return fstat(fd, &opened) == 0 && stat(path, &there) == 0 &&
	       opened.st_dev == there.st_dev && opened.st_ino == there.st_ino;
}

static bool lock(const struct runtime_rest *r)
{
	const struct timespec moment = {.tv_nsec = 50000000};

	for (unsigned tries = 0; tries < TRIES; tries++) {
		if (flock(r->directory, LOCK_EX | LOCK_NB) == 0)
			return true;
		(void)nanosleep(&moment, NULL);
	}
	return false;
}

void runtime_remove_socket(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
}

void runtime_rest_remove(const struct runtime_rest *r)
{
	if (r->directory < 0 || !lock(r) || !runtime_is_at(r->directory, r->path))
		return;
	runtime_remove_socket(r->control);
	runtime_remove_socket(r->keeper);
	runtime_remove_socket(r->grants);
	(void)rmdir(r->path);
}

void runtime_rest_close(struct runtime_rest *r)
{
	free(r->path);
	free(r->control);
	free(r->keeper);
	free(r->grants);
	(void)close_fd(r->directory);
	*r = RUNTIME_REST_NULL;
}
