// SPDX-License-Identifier: MIT
#include "fuse/worker_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "confine/confine.h"
#include "proto/violation.h"
#include "util/cleanup.h"

/* ---- privileges ---- */

/* The runtime directory: the control socket is in it. */
static void runtime_directory(char *buffer, size_t size, const char *socket)
{
	(void)snprintf(buffer, size, "%.*s", (int)(strrchr(socket, '/') - socket), socket);
}

int worker_confine_privileges(const struct worker_options *o, struct problem *why)
{
	char directory[sizeof(((struct problem *)0)->text)];
	struct confine_privileges p = {.capabilities = NULL};

	if (o->has_user) {
		runtime_directory(directory, sizeof(directory), o->control_socket);
		p.change_user = true;
		p.uid = o->user;
		p.gid = o->group;
		p.empty_root_in = directory;
	}
	int r = confine_privileges(&p, why);
	return r < 0 ? problem_prefix(why, r, "confining the worker") : 0;
}

/* ---- system calls ---- */

static const struct confine_rule rules[] = {
	/* memory: its own, and never to be executed */
	CONFINE_ALLOW("brk"),
	CONFINE_ALLOW("madvise"),
	CONFINE_ALLOW("munmap"),
	{.name = "mmap",
		.compares = {{CONFINE_MASKED, 2, 0, PROT_EXEC},
			{CONFINE_MASKED, 3, MAP_ANONYMOUS, MAP_ANONYMOUS}}},
	/* Memory of the content store: shared, for reading and writing, and nothing else. */
	{.name = "mmap",
		.compares = {{CONFINE_EQUAL, 2, PROT_READ | PROT_WRITE, 0},
			{CONFINE_EQUAL, 3, MAP_SHARED, 0}}},
	/* A mapping of the metadata area that grows would reach guests' memory. The allocator can
	 * do without it; and ENOMEM would be taken for its own, where it then has succeeded. */
	CONFINE_REFUSE("mremap", EPERM),

	/* waiting */
	CONFINE_ALLOW("clock_gettime"), /* where there is none in user space */
	CONFINE_ALLOW("clock_nanosleep"),
	CONFINE_ALLOW("epoll_create1"),
	CONFINE_ALLOW("epoll_ctl"),
	CONFINE_ALLOW("epoll_pwait"),
	CONFINE_ALLOW("epoll_wait"),
	CONFINE_ALLOW("futex"),
	CONFINE_ALLOW("gettimeofday"),
	CONFINE_ALLOW("poll"),
	CONFINE_ALLOW("ppoll"),
	CONFINE_ALLOW("time"),
	CONFINE_ALLOW("timerfd_settime"),

	/* who is connected, and with whom */
	CONFINE_ALLOW("accept4"),
	CONFINE_ALLOW("getsockopt"),
	CONFINE_ALLOW("recvmsg"),
	CONFINE_ALLOW("sendmsg"),
	CONFINE_ALLOW("sendto"), /* the log, on the socket that is there */
	CONFINE_REFUSE("connect", EACCES),
	CONFINE_REFUSE("socket", EACCES), /* when syslogd has gone away */

	/* answers that are documents */
	CONFINE_ALLOW("close"),
	CONFINE_ALLOW("memfd_create"),
	CONFINE_FCNTL(F_ADD_SEALS),
	CONFINE_FCNTL(F_GETFD),
	CONFINE_FCNTL(F_GETFL),
	CONFINE_FCNTL(F_SETFD),
	CONFINE_FCNTL(F_SETFL),

	/* the rest */
	CONFINE_ALLOW("getegid"),
	CONFINE_ALLOW("geteuid"),
	CONFINE_ALLOW("getgid"),
	CONFINE_ALLOW("getppid"),
	CONFINE_ALLOW("getrandom"),
	CONFINE_ALLOW("getuid"),
	/* libfuse makes sure that descriptors 0 to 2 are taken, by opening /dev/null. */
	{.name = "openat", .error = ENOENT, .compares = {{CONFINE_EQUAL, 2, O_RDWR, 0}}},

	/* perror(3), by which libfuse says that an answer could not be given, asks for a descriptor
	 * of its own for stderr, and does without. */
	{.name = "dup", .error = EMFILE, .compares = {{CONFINE_EQUAL, 0, STDERR_FILENO, 0}}},

	/* stdio asks whether it writes to a terminal */
	{.name = "ioctl", .error = ENOTTY, .compares = {{CONFINE_EQUAL, 1, TCGETS, 0}}},
};

/*
 * The regions' descriptors get numbers from here on, and nothing that has such a number can be read
 * or written. Nor is there a call that would make another number for one of them. All others stay
 * below: the worker has a few dozens.
 */
#define REGION_FDS 512

static const struct confine_rule by_number[] = {
	{.name = "read", .compares = {{CONFINE_BELOW, 0, REGION_FDS, 0}}},
	{.name = "write", .compares = {{CONFINE_BELOW, 0, REGION_FDS, 0}}},
	{.name = "writev", .compares = {{CONFINE_BELOW, 0, REGION_FDS, 0}}},
};

static int raise_limit(struct problem *why)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return problem_errno(why, errno, "reading the limit of open files");
	if (limit.rlim_cur >= REGION_FDS + GM_REGIONS_MAX)
		return 0;
	limit.rlim_cur = REGION_FDS + GM_REGIONS_MAX;
	if (limit.rlim_cur > limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return problem(why, EMFILE, "the limit of open files (ulimit -n) is below %u",
			REGION_FDS + GM_REGIONS_MAX);
	return 0;
}

static int move_regions(struct pool *pool, struct problem *why)
{
	int r = raise_limit(why);

	for (uint32_t i = 0; i < pool->count && r == 0; i++) {
		struct region *region = &pool->regions[i];
		int fd = fcntl(region->fd, F_DUPFD_CLOEXEC, REGION_FDS);

		if (fd < 0)
			return problem_errno(why, errno, "keeping region %s", region->name);
		(void)close_fd(region->fd);
		region->fd = fd;
	}
	return r;
}

/* A signal handler is given no context. */
static int supervisor = -1;

static void tell(const char *sentence)
{
	link_send_violation(supervisor, "the worker", sentence);
}

int worker_confine_syscalls(struct pool *pool, int link, struct problem *why)
{
	const struct confine_rules tables[] = {
		{rules, ARRAY_SIZE(rules)},
		{by_number, ARRAY_SIZE(by_number)},
	};
	int r = move_regions(pool, why);

	supervisor = link;
	if (r == 0)
		r = confine_syscalls(tables, ARRAY_SIZE(tables), "guestmemfs-worker", tell, why);
	return r < 0 ? problem_prefix(why, r, "confining the worker") : 0;
}
