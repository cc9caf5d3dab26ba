// SPDX-License-Identifier: MIT
#include "fuse/mount.h"

#define FUSE_USE_VERSION 314

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/mountpoint.h"
#include "util/cleanup.h"
#include "util/log.h"

/* libfuse tells its reasons to a log function, and gives it no context: the one variable here that
 * is not passed down. */
static char last_reason[256];

static void keep_reason(enum fuse_log_level level, const char *format, va_list ap)
{
	size_t n;

	(void)level;
	(void)vsnprintf(last_reason, sizeof(last_reason), format, ap);
	n = strlen(last_reason);
	while (n > 0 && last_reason[n - 1] == '\n')
		last_reason[--n] = '\0';
	log_debug("libfuse: %s", last_reason);
}

int mount_check_machine(bool privileged, struct problem *why)
{
	if (access("/dev/fuse", F_OK) < 0)
		return problem(why, ENOENT,
			"/dev/fuse is not there: load the kernel's fuse module (modprobe fuse), "
			"or give this container the device");
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return problem_errno(
			why, errno, "/dev/fuse can't be opened for reading and writing");
	if (!privileged && access("/usr/bin/fusermount3", X_OK) < 0 &&
		access("/bin/fusermount3", X_OK) < 0)
		return problem(why, ENOENT,
			"fusermount3 is not there, without which only root can mount: install the "
			"package fuse3");
	return 0;
}

static int make_session(
	struct fuse_session **ret, const struct mount_options *o, struct problem *why)
{
	static const struct fuse_lowlevel_ops none; /* nothing is ever served from here */
	_cleanup_free_ char *list = NULL;
	char *argv[] = {(char *)"guestmemfs-fuse", (char *)"-o", NULL, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);

	if (asprintf(&list, "fsname=%s,subtype=guestmemfs,default_permissions,nosuid,nodev%s%s%s",
		    o->name, o->privileged ? ",allow_other" : "", *o->options ? "," : "",
		    o->options) < 0)
		return problem_errno(why, ENOMEM, "mounting at %s", o->path);
	argv[2] = list;
	*ret = fuse_session_new(&args, &none, sizeof(none), NULL);
	fuse_opt_free_args(&args);
	if (!*ret)
		return problem(why, EINVAL, "mounting at %s: %s", o->path, last_reason);
	return 0;
}

/* A copy of the connection: the session, which would unmount, is not kept. */
static int take_connection(struct fuse_session *session, int *ret)
{
	int fd = fcntl(fuse_session_fd(session), F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

/*
 * fuse_session_unmount() leaves the path alone when its descriptor polls as a connection that has
 * failed, which a pipe that nobody reads does too.
 */
static bool mark_failed(struct fuse_session *session)
{
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	(void)close_fd(ends[0]);
	r = dup3(ends[1], fuse_session_fd(session), O_CLOEXEC);
	(void)close_fd(ends[1]);
	return r >= 0;
}

/* The mount stays. libfuse frees what it noted of it only when it unmounts. */
static void destroy_sessionp(struct fuse_session **session)
{
	if (!*session)
		return;
	if (fuse_session_fd(*session) >= 0 && mark_failed(*session))
		fuse_session_unmount(*session);
	fuse_session_destroy(*session);
}

int mount_make(struct mount *ret, const struct mount_options *o, struct problem *why)
{
	_cleanup_(destroy_sessionp) struct fuse_session *session = NULL;
	struct mount m = {.path = o->path, .fd = -1};
	struct mountpoint_entry entry;
	int r;

	last_reason[0] = '\0';
	fuse_set_log_func(keep_reason);
	r = make_session(&session, o, why);
	if (r < 0)
		return r;
	if (fuse_session_mount(session, o->path) < 0)
		return problem(why, EPERM, "mounting at %s: %s", o->path,
			*last_reason
				? last_reason
				: "refused by the kernel or fusermount3, which may have said why");
	r = mountpoint_find(&entry, o->path);
	if (r == 1) {
		m.device = entry.device;
		r = take_connection(session, &m.fd);
	} else if (r == 0) {
		r = -ENOENT; /* unmounted already */
	}
	if (r < 0) {
		mount_end(&m);
		return problem_errno(why, -r, "mounting at %s", o->path);
	}
	*ret = m;
	return 0;
}

bool mount_is_alive(const struct mount *m)
{
	struct pollfd p = {.fd = m->fd, .events = POLLIN};

	return m->fd >= 0 && poll(&p, 1, 0) >= 0 && !(p.revents & POLLERR);
}

/* Detached first: once the connection is closed, whoever comes along the path would meet a dead
 * mount. */
void mount_end(struct mount *m)
{
	struct problem why = PROBLEM_INIT;

	if (m->device && mountpoint_detach(m->path, m->device, &why) < 0)
		log_warning("%s", why.text);
	(void)close_fd(m->fd);
	*m = MOUNT_NULL;
}
