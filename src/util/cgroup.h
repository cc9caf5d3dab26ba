/* SPDX-License-Identifier: MIT */
/* In which cgroup a process is, as the kernel says. */
#ifndef GM_UTIL_CGROUP_H
#define GM_UTIL_CGROUP_H

#include <stddef.h>
#include <sys/types.h>

#define CGROUP_PATH_MAX 1024U

/*
 * The path of the process's cgroup, from the root of its hierarchy: of version 2, or where that has
 * none of systemd's own. The bytes are those that whoever made the cgroup chose. -ENOENT there is
 * none, -ESRCH the process is gone, -ENAMETOOLONG, or the error of reading /proc/PID/cgroup.
 * Whether pid is still the process that the caller means, the caller looks after this.
 */
int cgroup_of(pid_t pid, char *ret, size_t size);

/*
 * Where the cgroup2 file system is mounted as a whole. -ENOENT nowhere, or the error of
 * reading /proc/self/mountinfo.
 */
int cgroup_find_mount(char *ret, size_t size);

/* The same from a file of that format. */
int cgroup_find_mount_in(const char *path, char *ret, size_t size);

/* As cgroup_of(), from the text of such a file, which is ended by a zero byte. */
int cgroup_parse(const char *text, char *ret, size_t size);

#endif
