// SPDX-License-Identifier: MIT
/*
 * The process itself is moved, before it becomes the program: its pid, its terminal and its exit
 * status stay what its caller expects. Nobody is left who could remove the cgroup when the program
 * has ended; systemd does that with its scopes, and of ours the next one that is made removes what
 * is empty.
 */
#include "cli/scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cgroup.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define PREFIX     "guestmemfs-run-"
#define SYSTEMD    "/run/systemd/system" /* sd_booted(3) */
#define BUSCTL     "/usr/bin/busctl"
#define MOVE_MS    5000U
#define PATH_ROOM  (2 * CGROUP_PATH_MAX)
#define NAME_ROOM  64
#define MAKE_TRIES 20U

/* ---- where we are ---- */

/* The directory of the process's cgroup. */
static int find_own(char *ret, size_t size, struct problem *why)
{
	char path[CGROUP_PATH_MAX], mount[CGROUP_PATH_MAX];
	int r = cgroup_of(getpid(), path, sizeof(path));

	if (r >= 0)
		r = cgroup_find_mount(mount, sizeof(mount));
	if (r == -ENOENT)
		return problem(why, ENOENT, "no cgroup2 file system is mounted");
	if (r < 0)
		return problem_errno(why, -r, "finding the cgroup of this process");
	int n = snprintf(ret, size, "%s%s", mount, strcmp(path, "/") == 0 ? "" : path);
	return n < 0 || (size_t)n >= size ? problem(why, ENAMETOOLONG, "its path is too long") : 0;
}

/* True if no other process is in this very cgroup. */
static bool is_alone(int directory)
{
	_cleanup_fd_ int fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char pids[64]; /* more than one number's worth */
	char *end;

	ssize_t n = fd < 0 ? -1 : read(fd, pids, sizeof(pids) - 1);
	if (n <= 0)
		return false;
	pids[n] = '\0';
	return strtol(pids, &end, 10) == getpid() && strcmp(end, "\n") == 0;
}

/* ---- a cgroup that we make ---- */

/* A directory of which nothing is left but its files goes; one in use stays (EBUSY). */
static void remove_empty(int parent)
{
	_cleanup_fd_ int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d)
		return;
	(void)steal_fd(&fd);
	while ((e = readdir(d)))
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0)
			(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	(void)closedir(d);
}

static int move_to(int parent, const char *name)
{
	_cleanup_fd_ int directory = openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int fd =
		directory < 0 ? -1 : openat(directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "0", 1) != 1 ? -errno : 0; /* 0: who writes */
}

/* Who makes one in the same moment may take ours for one that is left over, as long as it is empty.
 */
static int make_own(int parent, const char *path, const char *name, struct problem *why)
{
	int r = -ENODEV;

	remove_empty(parent);
	for (unsigned tries = 0; tries < MAKE_TRIES && (r == -ENOENT || r == -ENODEV); tries++) {
		if (mkdirat(parent, name, 0755) < 0 && (tries == 0 || errno != EEXIST))
			return problem_errno(why, errno, "making a cgroup in %s", path);
		r = move_to(parent, name);
	}
	if (r < 0) {
		(void)unlinkat(parent, name, AT_REMOVEDIR);
		return problem_errno(why, -r, "moving to a new cgroup in %s", path);
	}
	return 0;
}

/* ---- systemd ---- */

/* Asks for a scope with the parent process in it; what busctl says against it goes to out. */
static _Noreturn void exec_busctl(const char *name, int out)
{
	char unit[NAME_ROOM + 8], pid[16];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)snprintf(unit, sizeof(unit), "%s.scope", name);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getppid());
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
		dup2(out, STDERR_FILENO) < 0)
		_exit(127);
	execl(BUSCTL, BUSCTL, geteuid() == 0 ? "--system" : "--user", "--timeout=5", "--quiet",
		"call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))", unit,
		"fail", "3", "PIDs", "au", "1", pid, "Description", "s",
		"a program that guestmemfs run has started", "CollectMode", "s",
		"inactive-or-failed", "0", (char *)NULL);
	_exit(127);
}

static int ask_systemd(const char *name, struct problem *why)
{
	char said[256];
	int out[2], status = -1;
	size_t n = 0;

	if (pipe2(out, O_CLOEXEC) < 0)
		return problem_errno(why, errno, "asking systemd for a scope");
	pid_t pid = fork();
	if (pid == 0)
		exec_busctl(name, out[1]);
	(void)close(out[1]);
	for (ssize_t k;
		n < sizeof(said) - 1 && (k = read(out[0], said + n, sizeof(said) - 1 - n)) > 0;)
		n += (size_t)k;
	(void)close(out[0]);
	said[n] = '\0';
	said[strcspn(said, "\n")] = '\0';
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0)
		return problem(why, EPERM, "systemd makes no scope%s%s", said[0] ? ": " : "", said);
	return 0;
}

/* The scope is made by a job: wait until we are in it. */
static int wait_for_scope(const char *name, struct problem *why)
{
	uint64_t end = clock_milliseconds() + MOVE_MS;
	char path[CGROUP_PATH_MAX];

	for (;;) {
		if (cgroup_of(getpid(), path, sizeof(path)) == 0 && strstr(path, name))
			return 0;
		if (clock_milliseconds() >= end)
			return problem(
				why, ETIMEDOUT, "systemd did not move it into %s.scope", name);
		(void)usleep(5000);
	}
}

int scope_enter(struct problem *why)
{
	char own[PATH_ROOM], name[NAME_ROOM];
	uint32_t random = 0;
	int r = find_own(own, sizeof(own), why);

	if (r < 0)
		return r;
	_cleanup_fd_ int directory = open(own, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return problem_errno(why, errno, "%s", own);
	if (is_alone(directory))
		return 0;
	/* A pid comes back, and so might its unit. */
	if (getrandom(&random, sizeof(random), 0) < 0)
		return problem_errno(why, errno, "naming a cgroup");
	(void)snprintf(name, sizeof(name), PREFIX "%d-%08x", (int)getpid(), random);
	if (access(SYSTEMD, F_OK) < 0)
		return make_own(directory, own, name, why);
	r = ask_systemd(name, why);
	return r < 0 ? r : wait_for_scope(name, why);
}
