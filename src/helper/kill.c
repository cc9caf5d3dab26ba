// SPDX-License-Identifier: MIT
#include "helper/kill.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper/holders.h"
#include "helper/processes.h"
#include "util/cgroup.h"
#include "util/cleanup.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* ---- who may be killed ---- */

/* "Uid:" of /proc/PID/status: the real, effective, saved one and that of file systems. */
static bool read_uids(const struct process *p, unsigned *real, unsigned *saved)
{
	char path[32], line[256];
	bool found = false;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)p->pid);
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "Uid: %u %*u %u", real, saved) == 2;
	if (f)
		(void)fclose(f);
	return found && !process_has_ended(p); /* else what was read may be another one's */
}

enum right { RIGHT_YES, RIGHT_NO, RIGHT_UNKNOWN };

/* As kill(2) has it: a descriptor that was handed on makes nobody his who handed it on. */
static enum right right_to_kill(const struct killer *k, const struct process *p)
{
	unsigned real, saved;

	if (k->anybody)
		return RIGHT_YES;
	if (!read_uids(p, &real, &saved))
		return process_has_ended(p) ? RIGHT_UNKNOWN : RIGHT_NO;
	return real == k->uid || saved == k->uid ? RIGHT_YES : RIGHT_NO;
}

/*
 * One that was found in /proc by its number must have been found once more since we have its pidfd:
 * only then is the process that the pidfd stands for the one that was found.
 */
static bool is_certain(const struct killer *k, const struct holder *h)
{
	return !h->adopted || k->looks_ended > h->since;
}

bool kill_is_allowed(const struct killer *k, const struct holder *h)
{
	return is_certain(k, h) && right_to_kill(k, h->process) == RIGHT_YES;
}

bool kill_is_forbidden(const struct killer *k, const struct holder *h)
{
	return right_to_kill(k, h->process) == RIGHT_NO;
}

/* ---- the cgroup ---- */

/* The directory of the process's cgroup; -ENOENT if it is the root, or outside what we see. */
static int open_cgroup(const struct process *p)
{
	char path[CGROUP_PATH_MAX], full[CGROUP_PATH_MAX + sizeof(CGROUP_ROOT)];
	int r = cgroup_of(p->pid, path, sizeof(path));

	if (r < 0)
		return r;
	if (process_has_ended(p)) /* then what was read may be another one's */
		return -ESRCH;
	if (strcmp(path, "/") == 0 || strstr(path, "/.."))
		return -ENOENT;
	(void)snprintf(full, sizeof(full), CGROUP_ROOT "%s", path);
	int fd = open(full, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static FILE *open_file(int directory, const char *name)
{
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

	if (!f)
		(void)close_fd(fd);
	return f;
}

/* Its pidfd is asked last: then the number was not another's when the cgroup was read. */
static bool is_victim(const struct killer *k, const struct watch *w, long pid)
{
	const struct holder *h;

	LIST_FOREACH (h, &w->holders, by_watch)
		if (h->process->pid == pid && !h->process->dead)
			return kill_is_allowed(k, h) && !process_has_ended(h->process);
	return false;
}

bool kill_takes_only(const struct killer *k, const struct watch *w, FILE *procs)
{
	bool only = true, any = false;
	long pid = 0;
	int n = 1;

	while (only && (n = fscanf(procs, "%ld", &pid)) == 1) {
		any = true;
		only = is_victim(k, w, pid);
	}
	/* A list that was not read to its end says nothing of who else is in it; in an empty one
	 * the holder is not: it has moved on. */
	return any && only && n == EOF && feof(procs) && !ferror(procs);
}

/* Not if there are cgroups below it: they would be killed too. */
static bool holds_victims_alone(const struct killer *k, int cgroup, const struct watch *w)
{
	FILE *stat = open_file(cgroup, "cgroup.stat"), *procs = open_file(cgroup, "cgroup.procs");
	unsigned below = 1;
	bool alone = stat && procs && fscanf(stat, "nr_descendants %u", &below) == 1 &&
		     below == 0 && kill_takes_only(k, w, procs);

	if (stat)
		(void)fclose(stat);
	if (procs)
		(void)fclose(procs);
	return alone;
}

static bool kill_cgroup(const struct killer *k, const struct holder *h)
{
	_cleanup_fd_ int cgroup = open_cgroup(h->process);

	if (cgroup < 0 || !holds_victims_alone(k, cgroup, h->watch))
		return false;
	_cleanup_fd_ int fd = openat(cgroup, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, "1", 1) == 1;
}

int kill_process_or_cgroup(const struct killer *k, const struct holder *h)
{
	if (process_has_ended(h->process))
		return -ESRCH;
	/* The cgroup for the children that it makes meanwhile; itself in any case, for it may have
	 * moved to another one between the look and the kill. */
	bool with_cgroup = kill_cgroup(k, h);
	long r = syscall(SYS_pidfd_send_signal, h->process->source.fd, SIGKILL, NULL, 0U);
	return r == 0 || (with_cgroup && errno == ESRCH) ? 0 : -errno;
}
