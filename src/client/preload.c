// SPDX-License-Identifier: MIT
/*
 * libguestmemfs-preload.so: under it, mmap(2) with MAP_SHARED of a file of a guestmemfs mount gives
 * the memory itself, where the kernel would answer ENODEV. It keeps nothing between calls, neither
 * tables nor descriptors, so dup(2), fork(2), exec(2) and close(2) need no attention. Whatever is
 * not ours goes to the kernel unchanged; that path takes no lock and no memory, so malloc may come
 * through here before it is ready itself.
 */
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/log.h"

static_assert(sizeof(long) == 8 && sizeof(off_t) == 8, "SYS_mmap takes bytes, and mmap is mmap64");

/* Named by hand, because <sys/mman.h> renames one to the other. */
GM_API void *preload_mmap(
	void *addr, size_t length, int prot, int flags, int fd, off_t offset) __asm__("mmap");
GM_API void *preload_mmap64(
	void *addr, size_t length, int prot, int flags, int fd, off_t offset) __asm__("mmap64");

#define FLAGS_HONOURED (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_LOCKED | MAP_POPULATE | MAP_NORESERVE)
/* The kernel ignores these for files, and so do we. */
#define FLAGS_IGNORED (MAP_NONBLOCK | MAP_STACK | MAP_DENYWRITE | MAP_EXECUTABLE)

/* A restart of the daemon or the helper shows as one of these for a moment. */
#define RETRY_COUNT 50
static const struct timespec retry_delay = {.tv_nsec = 100L * 1000 * 1000};

static void *kernel_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	/*
	 * Whole registers, as the kernel reads them. The result is an address, or
	 * -1, which is MAP_FAILED.
	 */
	return (void *)syscall(SYS_mmap, addr, length, (long)prot, (long)flags, (long)fd, offset);
}

static bool is_ours(int flags, int fd)
{
	const int type = flags & MAP_TYPE;
	struct stat st;

	if ((type != MAP_SHARED && type != MAP_SHARED_VALIDATE) || (flags & MAP_ANONYMOUS))
		return false;
	return gm_is_guestmemfs(fd) && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int attach(int fd, struct gm_attachment **ret)
{
	for (int i = 0;; i++) {
		int r = gm_attach(fd, ret);
		if (r != -EAGAIN && r != -ECONNREFUSED && r != -ECONNRESET && r != -ENOENT)
			return r;
		if (i == RETRY_COUNT)
			return r;
		(void)nanosleep(&retry_delay, NULL);
	}
}

/* mmap(2) has few errors, and programs know no others. */
static int errno_of_mmap(int err)
{
	switch (err) {
	case EACCES:
	case EAGAIN:
	case EEXIST:
	case EINVAL:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENXIO:
	case EPERM:
		return err;
	default:
		return ENODEV;
	}
}

static void *guest_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct gm_attachment *a;
	void *p = MAP_FAILED;

	int r = attach(fd, &a);
	if (r == -EMEDIUMTYPE) /* a file with content is mapped as any other file is */
		return kernel_mmap(addr, length, prot, flags, fd, offset);
	if (r == 0) {
		p = gm_map(a, addr, (uint64_t)offset, length, prot, flags & FLAGS_HONOURED);
		if (p == MAP_FAILED)
			r = problem_file(last_problem(), -errno, fd);
		gm_detach(a);
	}
	if (r < 0) {
		/* The program's own message can only name the errno. */
		log_error("mmap: %s", gm_last_problem());
		errno = errno_of_mmap(-r);
	}
	return p;
}

void *preload_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	const int unknown = flags & ~(MAP_TYPE | FLAGS_HONOURED | FLAGS_IGNORED);
	int saved = errno, state;
	bool ours = is_ours(flags, fd);

	if (ours && unknown)
		log_error("mmap: flags %#x can't be honoured for guest memory", (unsigned)unknown);
	errno = saved;
	if (!ours || unknown)
		return kernel_mmap(addr, length, prot, flags, fd, offset);
	/* mmap is no cancellation point, but what it does here has some. */
	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	void *p = guest_mmap(addr, length, prot, flags, fd, offset);
	(void)pthread_setcancelstate(state, NULL);
	if (p != MAP_FAILED)
		errno = saved;
	return p;
}

void *preload_mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	return preload_mmap(addr, length, prot, flags, fd, offset);
}
