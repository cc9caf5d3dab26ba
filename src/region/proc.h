/* SPDX-License-Identifier: MIT */
/*
 * Reading /proc. A process is named by its directory there, opened O_PATH: whoever gets its number
 * later is not there.
 */
#ifndef GM_REGION_PROC_H
#define GM_REGION_PROC_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The caller's; -1 with errno. */
int proc_open(pid_t pid);

/* NULL with errno. */
DIR *proc_open_directory(int at, const char *name);

/* The number that a directory entry's name is, or 0. */
pid_t proc_entry_number(const char *name);

/* The beginning of a file there, as far as there is room, with a NUL behind it: its length, or
 * negative errno. */
ssize_t proc_read_text(int at, const char *name, char *text, size_t room);

/* Does a process with this text in status run as our user, in one of the four ways? */
bool proc_is_own_user(const char *status);

struct proc_stat {
	char state; /* as ps(1) shows it */
	int parent;
	int session;
	long threads;
	uint64_t began; /* CLOCK_BOOTTIME, ms */
};

/* Of one process; false: it has ended, or may not be looked at. */
bool proc_read_stat(int process, struct proc_stat *ret);

#endif
