// SPDX-License-Identifier: MIT
#include "confine/sanitizers.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)

static const struct confine_rule rules[] = {
	CONFINE_ALLOW("access"),
	CONFINE_ALLOW("arch_prctl"),
	CONFINE_ALLOW("clone"),
	CONFINE_ALLOW("clone3"),
	CONFINE_ALLOW("close"),
	CONFINE_ALLOW("close_range"),
	CONFINE_ALLOW("dup2"),
	CONFINE_ALLOW("execve"),
	CONFINE_ALLOW("fcntl"),
	CONFINE_ALLOW("fork"),
	CONFINE_ALLOW("fstat"),
	CONFINE_ALLOW("futex"),
	CONFINE_ALLOW("getdents"),
	CONFINE_ALLOW("getdents64"),
	CONFINE_ALLOW("getppid"),
	CONFINE_ALLOW("getrlimit"),
	CONFINE_ALLOW("getrusage"),
	CONFINE_ALLOW("ioctl"),
	CONFINE_ALLOW("kill"),
	CONFINE_ALLOW("lseek"),
	CONFINE_ALLOW("lstat"),
	CONFINE_ALLOW("madvise"),
	CONFINE_ALLOW("mincore"),
	CONFINE_ALLOW("mmap"),
	CONFINE_ALLOW("mprotect"),
	CONFINE_ALLOW("mremap"),
	CONFINE_ALLOW("munmap"),
	CONFINE_ALLOW("newfstatat"),
	CONFINE_ALLOW("open"),
	CONFINE_ALLOW("openat"),
	CONFINE_ALLOW("pipe"),
	CONFINE_ALLOW("pipe2"),
	CONFINE_ALLOW("pread64"),
	CONFINE_ALLOW("prctl"),
	CONFINE_ALLOW("prlimit64"),
	CONFINE_ALLOW("process_vm_readv"),
	CONFINE_ALLOW("ptrace"),
	CONFINE_ALLOW("readlink"),
	CONFINE_ALLOW("readlinkat"),
	CONFINE_ALLOW("rt_sigsuspend"),
	CONFINE_ALLOW("sched_getaffinity"),
	CONFINE_ALLOW("sched_yield"),
	CONFINE_ALLOW("set_robust_list"),
	CONFINE_ALLOW("set_tid_address"),
	CONFINE_ALLOW("sigaltstack"),
	CONFINE_ALLOW("socketpair"),
	CONFINE_ALLOW("stat"),
	CONFINE_ALLOW("uname"),
	CONFINE_ALLOW("wait4"),
};

const struct confine_rules confine_sanitizer = {rules, sizeof(rules) / sizeof(rules[0])};

#else

const struct confine_rules confine_sanitizer = {NULL, 0};

#endif
