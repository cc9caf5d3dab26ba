// SPDX-License-Identifier: MIT
#include "fuse/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fuse/runtime_rest.h"
#include "util/cleanup.h"
#include "util/packet.h"
#include "util/run_directory.h"

#define LOCK_TRIES        100U /* of 10 ms */
#define LISTEN_TRIES      40U  /* of 50 ms */
#define GRANT_SOCKET_MODE 0666 /* who may have what the helper decides message by message */

/*
 * Makes the directory, or takes the one that is there if it is one, ours, and not open to others'
 * writing: in /tmp anybody may have been there first. Gives it open.
 */
static int take_directory(const char *path, mode_t mode, int *ret, struct problem *why)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return problem_errno(why, errno, "making the runtime directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return problem_errno(why, errno, "runtime directory %s", path);
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return problem(why, EPERM,
			"runtime directory %s belongs to another user or can be written by "
			"others; remove it, or set XDG_RUNTIME_DIR to a directory of your own",
			path);
	*ret = steal_fd(&fd);
	return 0;
}

/* Clients learn the socket's path from the mount, wherever they are: it must be absolute. */
static char *absolute(const char *path)
{
	_cleanup_free_ char *here = NULL;
	char *joined;

	if (path[0] == '/')
		return strdup(path);
	here = getcwd(NULL, 0);
	if (!here || asprintf(&joined, "%s/%s", here, path) < 0)
		return NULL;
	return joined;
}

static int check_socket_path(const char *path, struct problem *why)
{
	size_t room = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (strlen(path) > room)
		return problem(why, ENAMETOOLONG,
			"%s is too long for a socket's path, which has %zu bytes at most; choose "
			"a shorter --name or --socket",
			path, room);
	return 0;
}

static int name_sockets(struct runtime *r, const char *socket, struct problem *why)
{
	int e;

	r->grant_socket = NULL;
	if (asprintf(&r->control_socket, "%s/control.sock", r->directory) < 0)
		r->control_socket = NULL;
	if (asprintf(&r->keeper_socket, "%s/keeper.sock", r->directory) < 0)
		r->keeper_socket = NULL;
	if (socket)
		r->grant_socket = absolute(socket);
	else if (asprintf(&r->grant_socket, "%s/grant.sock", r->directory) < 0)
		r->grant_socket = NULL;
	if (!r->control_socket || !r->keeper_socket || !r->grant_socket)
		return problem_errno(why, ENOMEM, "naming the sockets");
	e = check_socket_path(r->control_socket, why);
	return e < 0 ? e : check_socket_path(r->grant_socket, why);
}

/*
 * A predecessor that is just ending may hold the lock for another moment, and then removes the
 * directory under our hands: a lock on what is no longer there is no lock.
 */
static int lock_directory(struct runtime *r, const char *name, mode_t mode, struct problem *why)
{
	const struct timespec moment = {.tv_nsec = 10000000};

	for (unsigned tries = 0; tries < LOCK_TRIES; tries++) {
		int e;

		r->lock = close_fd(r->lock);
		e = take_directory(r->directory, mode, &r->lock, why);
		if (e < 0)
			return e;
		if (flock(r->lock, LOCK_EX | LOCK_NB) == 0 && runtime_is_at(r->lock, r->directory))
			return 0;
		(void)nanosleep(&moment, NULL);
	}
	return problem(why, EADDRINUSE,
		"an instance named %s is running (%s is locked); give this one another --name",
		name, r->directory);
}

int runtime_name(struct runtime *ret, const char *name, const char *socket, struct problem *why)
{
	_cleanup_(runtime_deinit) struct runtime r = RUNTIME_NULL;
	int e;

	r.base = run_directory();
	if (!r.base || asprintf(&r.directory, "%s/%s", r.base, name) < 0) {
		r.directory = NULL;
		return problem_errno(why, ENOMEM, "naming the runtime directory");
	}
	e = name_sockets(&r, socket, why);
	if (e < 0)
		return e;
	*ret = r;
	r = RUNTIME_NULL;
	return 0;
}

int runtime_make(struct runtime *ret, const char *name, const char *socket, struct problem *why)
{
	_cleanup_(runtime_deinit) struct runtime r = RUNTIME_NULL;
	_cleanup_fd_ int base_fd = -1;
	/* Others' clients connect to root's instances; a plain user's are his alone. */
	mode_t mode = geteuid() == 0 ? 0755 : 0700;
	int e = runtime_name(&r, name, socket, why);

	if (e == 0)
		e = take_directory(r.base, mode, &base_fd, why);
	if (e == 0)
		e = lock_directory(&r, name, mode, why);
	if (e < 0)
		return e;
	*ret = r;
	r = RUNTIME_NULL;
	return 0;
}

/*
 * A worker or a helper whose supervisor was killed has its copies of these open until it has ended,
 * and the locks may have gone before: the kernel closes what a process has one by one.
 */
static int listen_at(const char *path, mode_t mode)
{
	const struct timespec moment = {.tv_nsec = 50000000};
	int fd = packet_listen(path, mode);

	for (unsigned tries = 1; fd == -EADDRINUSE && tries < LISTEN_TRIES; tries++) {
		(void)nanosleep(&moment, NULL);
		fd = packet_listen(path, mode);
	}
	return fd;
}

static int listen_for_clients(struct runtime *r, struct problem *why)
{
	const char *path = r->grant_socket;
	int fd = listen_at(path, GRANT_SOCKET_MODE);

	if (fd == -EADDRINUSE)
		return problem(why, EADDRINUSE,
			"another helper listens at %s: is this instance running already?", path);
	if (fd == -EEXIST)
		return problem(why, EEXIST,
			"%s is there and is not a socket: remove it or choose another --socket",
			path);
	if (fd < 0)
		return problem_errno(why, -fd, "listening at %s", path);
	r->grants = fd;
	return 0;
}

int runtime_listen(struct runtime *r, struct problem *why)
{
	int fd = listen_at(r->control_socket, 0600);

	if (fd < 0)
		return problem_errno(why, -fd, "making the control socket %s", r->control_socket);
	r->control = fd;
	fd = listen_at(r->keeper_socket, 0600);
	if (fd < 0)
		return problem_errno(why, -fd, "making the socket %s", r->keeper_socket);
	r->keeper = fd;
	return listen_for_clients(r, why);
}

void runtime_remove(struct runtime *r)
{
	if (!r->directory)
		return;
	/* Whoever made a socket takes it away, unless it was killed. Anything else in there keeps
	 * the directory. */
	runtime_remove_socket(r->control_socket);
	runtime_remove_socket(r->keeper_socket);
	runtime_remove_socket(r->grant_socket);
	(void)rmdir(r->directory);
}

void runtime_deinit(struct runtime *r)
{
	free(r->base);
	free(r->directory);
	free(r->grant_socket);
	free(r->control_socket);
	free(r->keeper_socket);
	(void)close_fd(r->control);
	(void)close_fd(r->keeper);
	(void)close_fd(r->grants);
	(void)close_fd(r->lock);
	*r = RUNTIME_NULL;
}
