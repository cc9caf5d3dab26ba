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

static bool is_holder(const struct watch *w, long pid)
{
	const struct holder *h;

	LIST_FOREACH (h, &w->holders, by_watch)
		if (h->process->pid == pid && !h->process->dead)
			return true;
	return false;
}

/* Is every process in it a holder? Not if there are cgroups below it: they would be killed too. */
static bool holds_holders_alone(int cgroup, const struct watch *w)
{
	FILE *stat = open_file(cgroup, "cgroup.stat"), *procs = open_file(cgroup, "cgroup.procs");
	unsigned below = 1;
	bool alone = stat && procs && fscanf(stat, "nr_descendants %u", &below) == 1 && below == 0;
	long pid;

	while (alone && fscanf(procs, "%ld", &pid) == 1)
		alone = is_holder(w, pid);
	if (stat)
		(void)fclose(stat);
	if (procs)
		(void)fclose(procs);
	return alone;
}

static bool kill_cgroup(const struct holder *h)
{
	_cleanup_fd_ int cgroup = open_cgroup(h->process);

	if (cgroup < 0 || !holds_holders_alone(cgroup, h->watch))
		return false;
	_cleanup_fd_ int fd = openat(cgroup, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, "1", 1) == 1;
}

int kill_process_or_cgroup(const struct holder *h)
{
	if (process_has_ended(h->process))
		return -ESRCH;
	if (kill_cgroup(h))
		return 0;
	long r = syscall(SYS_pidfd_send_signal, h->process->source.fd, SIGKILL, NULL, 0U);
	return r < 0 ? -errno : 0;
}
