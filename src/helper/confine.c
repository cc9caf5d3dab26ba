// SPDX-License-Identifier: MIT
/*
 * The helper stays root where root has started it: the files by which the kernel cuts up a soft
 * region are root's. What it may do to others is the few capabilities here.
 */
#include "helper/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "confine/confine.h"
#include "proto/violation.h"
#include "util/cleanup.h"

/* ---- privileges ---- */

static const int for_any[] = {
	CAP_DAC_READ_SEARCH, /* /proc/PID/fd of other users */
	CAP_SYS_PTRACE,      /* the same, and kcmp(2) */
	CAP_KILL,            /* who holds what is revoked */
};

static const int for_soft[] = {
	CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_KILL,
	CAP_CHECKPOINT_RESTORE, /* /proc/PID/map_files, which leads to a device under any name */
	CAP_DAC_OVERRIDE,       /* opening nodes of mode 0000, and those that a user was given */
	CAP_CHOWN,              /* giving them */
	CAP_FOWNER,             /* and taking them back */
};

int helper_confine_privileges(bool soft, struct problem *why)
{
	const struct confine_privileges p = {
		.capabilities = soft ? for_soft : for_any,
		.capability_count = soft ? ARRAY_SIZE(for_soft) : ARRAY_SIZE(for_any),
	};
	int r = confine_privileges(&p, why);

	return r < 0 ? problem_prefix(why, r, "confining the helper") : 0;
}

/* ---- system calls ---- */

static const struct confine_rule rules[] = {
	/* memory, never to be executed */
	CONFINE_ALLOW("brk"),
	CONFINE_ALLOW("madvise"),
	CONFINE_ALLOW("mremap"),
	CONFINE_ALLOW("munmap"),
	{.name = "mmap", .compares = {{CONFINE_MASKED, 2, 0, PROT_EXEC}}},
	{.name = "mprotect", .compares = {{CONFINE_MASKED, 2, 0, PROT_EXEC}}},

	/* threads that are there, and waiting */
	CONFINE_ALLOW("clock_gettime"),
	CONFINE_ALLOW("clock_nanosleep"),
	CONFINE_ALLOW("epoll_ctl"),
	CONFINE_ALLOW("epoll_pwait"),
	CONFINE_ALLOW("epoll_wait"),
	CONFINE_ALLOW("futex"),
	CONFINE_ALLOW("gettimeofday"),
	CONFINE_ALLOW("poll"),
	CONFINE_ALLOW("ppoll"),
	CONFINE_ALLOW("rseq"),
	CONFINE_ALLOW("sched_yield"),
	CONFINE_ALLOW("set_robust_list"),
	CONFINE_ALLOW("time"),

	/* clients and the links */
	CONFINE_ALLOW("accept4"),
	CONFINE_ALLOW("getsockopt"),
	CONFINE_ALLOW("pidfd_open"),
	CONFINE_ALLOW("pidfd_send_signal"),
	CONFINE_ALLOW("recvmsg"),
	CONFINE_ALLOW("sendmsg"),
	CONFINE_ALLOW("setsockopt"),
	CONFINE_ALLOW("shutdown"),

	/* syslog(3). No network: sockets of this machine only */
	CONFINE_ALLOW("connect"),
	CONFINE_ALLOW("sendto"),
	{.name = "socket", .compares = {{CONFINE_EQUAL, 0, AF_UNIX, 0}}},

	/* /proc, and files that are mapped or sent */
	CONFINE_ALLOW("close"),
	CONFINE_ALLOW("fstat"),
	CONFINE_ALLOW("getdents64"),
	CONFINE_ALLOW("kcmp"),
	CONFINE_ALLOW("lseek"),
	CONFINE_ALLOW("memfd_create"),
	CONFINE_ALLOW("newfstatat"),
	CONFINE_ALLOW("openat"),
	CONFINE_ALLOW("pread64"),
	CONFINE_ALLOW("read"),
	CONFINE_ALLOW("readlink"),
	CONFINE_ALLOW("readlinkat"),
	CONFINE_ALLOW("stat"),
	CONFINE_ALLOW("statx"),
	CONFINE_ALLOW("write"),
	CONFINE_FCNTL(F_ADD_SEALS),
	CONFINE_FCNTL(F_DUPFD_CLOEXEC),
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
	CONFINE_ALLOW("sched_getaffinity"), /* malloc(3), for a thread's own arena */

	/* how much a client has not read yet; and whether stdio writes to a terminal */
	{.name = "ioctl", .compares = {{CONFINE_EQUAL, 1, SIOCOUTQ, 0}}},
	{.name = "ioctl", .error = ENOTTY, .compares = {{CONFINE_EQUAL, 1, TCGETS, 0}}},
};

/* Devices of soft regions, by libdaxctl and in /sys. */
static const struct confine_rule soft_rules[] = {
	CONFINE_ALLOW("access"),
	CONFINE_ALLOW("chmod"),
	CONFINE_ALLOW("chown"),
	CONFINE_ALLOW("faccessat"),
	CONFINE_ALLOW("faccessat2"),
	CONFINE_ALLOW("fchmod"),
	CONFINE_ALLOW("fchmodat"),
	CONFINE_ALLOW("fchown"),
	CONFINE_ALLOW("fchownat"),
	CONFINE_ALLOW("flock"),
	CONFINE_ALLOW("lstat"),
	CONFINE_ALLOW("mkdir"),
	CONFINE_ALLOW("mkdirat"),
	CONFINE_ALLOW("pwrite64"),
	CONFINE_ALLOW("removexattr"),
	CONFINE_ALLOW("uname"),
	CONFINE_ALLOW("wait4"), /* for the end of guestmemfs-counts */
	/* The driver is there: the metadata device has been made with it. */
	CONFINE_REFUSE("finit_module", EPERM),
	CONFINE_REFUSE("init_module", EPERM),
};

/* A signal handler is given no context. */
static int supervisor = -1;

static void tell(const char *sentence)
{
	link_send_violation(supervisor, "the helper", sentence);
}

int helper_confine_syscalls(bool soft, int link, struct problem *why)
{
	const struct confine_rules tables[] = {
		{rules, ARRAY_SIZE(rules)},
		{soft_rules, ARRAY_SIZE(soft_rules)},
	};

	supervisor = link;
	int r = confine_syscalls(tables, soft ? 2 : 1, "guestmemfs-helper", tell, why);
	return r < 0 ? problem_prefix(why, r, "confining the helper") : 0;
}
