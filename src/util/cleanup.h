/* SPDX-License-Identifier: MIT */
/*
 * Ownership by scope: a variable declared with one of these attributes owns what it names until the
 * scope ends or until it is moved out with steal_fd() or steal_pointer().
 */
#ifndef GM_UTIL_CLEANUP_H
#define GM_UTIL_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes fd if it is one; returns -1, so that `fd = close_fd(fd)` leaves no stale number behind.
 * Keeps errno. */
static inline int close_fd(int fd)
{
	if (fd >= 0) {
		int saved = errno;
		(void)close(fd); /* no error matters: Linux has released the descriptor anyway */
		errno = saved;
	}
	return -1;
}

static inline void close_fdp(int *fd)
{
	*fd = close_fd(*fd);
}

static inline void free_pointerp(void *p)
{
	void **v = p;
	free(*v);
	*v = NULL;
}

static inline int steal_fd(int *fd)
{
	int moved = *fd;
	*fd = -1;
	return moved;
}

#define steal_pointer(p)                                                                           \
	__extension__({                                                                            \
		__typeof__(p) *_from = &(p);                                                       \
		__typeof__(p) _moved = *_from;                                                     \
		*_from = NULL;                                                                     \
		_moved;                                                                            \
	})

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _cleanup_fd_   _cleanup_(close_fdp)
#define _cleanup_free_ _cleanup_(free_pointerp)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
