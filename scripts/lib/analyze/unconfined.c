// SPDX-License-Identifier: MIT
/*
 * Preloaded into the daemons when valgrind or gcov looks at them. Both work inside the process that they look at, and need
 * files and system calls that a confined one has given up. Nothing of this is in the product, and what is given up is
 * tested without it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

int seccomp_load(void *filter);
int chroot(const char *path);

int seccomp_load(void *filter)
{
	(void)filter;
	return 0;
}

int chroot(const char *path)
{
	(void)path;
	return 0;
}

/* gcov's counts of one program are added up over all its processes, whoever they run as. */
int open(const char *path, int flags, ...)
{
	int (*next)(const char *, int, ...) =
		(int (*)(const char *, int, ...))(size_t)dlsym(RTLD_NEXT, "open");
	const char *end = strrchr(path, '.');
	va_list ap;

	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	int fd = next(path, flags, mode);
	if (fd >= 0 && end && strcmp(end, ".gcda") == 0)
		(void)fchmod(fd, 0666);
	return fd;
}
