// SPDX-License-Identifier: MIT
#include "region/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup_file.h"

int proc_open(pid_t pid)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

DIR *proc_open_directory(int at, const char *name)
{
	_cleanup_fd_ int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	DIR *d = fdopendir(fd);
	if (d)
		(void)steal_fd(&fd);
	return d;
}

pid_t proc_entry_number(const char *name)
{
	char *end;

	if (*name < '0' || *name > '9')
		return 0;
	errno = 0;
	long n = strtol(name, &end, 10);
	return errno || *end || n > INT_MAX ? 0 : (pid_t)n;
}

ssize_t proc_read_text(int at, const char *name, char *text, size_t room)
{
	_cleanup_fd_ int fd = openat(at, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, room - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return n;
}

bool proc_is_own_user(const char *status)
{
	const char *at = strstr(status, "\nUid:\t");
	unsigned long uid = geteuid();
	unsigned long ids[4];

	return at &&
	       sscanf(at, "\nUid:\t%lu\t%lu\t%lu\t%lu", &ids[0], &ids[1], &ids[2], &ids[3]) == 4 &&
	       (ids[0] == uid || ids[1] == uid || ids[2] == uid || ids[3] == uid);
}

/* /proc/PID/stat, see proc(5): its name may contain anything, so what counts begins behind it. */
bool proc_read_stat(int process, struct proc_stat *ret)
{
	unsigned long long ticks;
	char text[4096];

	if (proc_read_text(process, "stat", text, sizeof(text)) < 0)
		return false;
	const char *at = strrchr(text, ')');
	if (!at || sscanf(at,
			   ") %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			   "%ld %*d %llu",
			   &ret->state, &ret->parent, &ret->session, &ret->threads, &ticks) != 5)
		return false;
	ret->began = ticks * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK);
	return true;
}
