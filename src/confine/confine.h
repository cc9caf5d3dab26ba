/* SPDX-License-Identifier: MIT */
/*
 * What a process gives up for good once it has opened all that it needs. Two calls, in this order:
 * confine_privileges(), while the process has one thread, since capabilities are a thread's;
 * confine_syscalls(), which holds for all threads.
 *
 * Where the kernel can't do what is asked, the answer is an error with a sentence, and the caller
 * does not go on: a process that only seems to be confined is worse than one that does not start.
 */
#ifndef GM_CONFINE_CONFINE_H
#define GM_CONFINE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/problem.h"

struct confine_privileges {
	/*
	 * CAP_* to keep, permitted and effective, as far as they are there; all others go, those of
	 * the bounding set too. Inheritable and ambient ones go in any case.
	 */
	const int *capabilities;
	size_t capability_count;

	/* Become this user and group, in no supplementary group. Asked of root only. */
	bool change_user;
	uid_t uid;
	gid_t gid;

	/*
	 * The root directory becomes an empty one that nobody can ever make anything in; it is made
	 * in this directory, of which nothing is left. NULL: the root stays. Asked of root only.
	 */
	const char *empty_root_in;
};

/* And no program that is executed later gives anything back (no_new_privs). */
int confine_privileges(const struct confine_privileges *p, struct problem *why);

/* ---- system calls ---- */

/*
 * All 64 bits of an argument are compared, while the kernel looks at 32 of an int. So there is no
 * "above": what is not below a number could be below it in the bits that count.
 */
enum confine_comparison {
	CONFINE_ANY, /* no comparison */
	CONFINE_EQUAL,
	CONFINE_BELOW,
	CONFINE_MASKED, /* argument & mask == value */
};

struct confine_compare {
	enum confine_comparison comparison;
	unsigned argument; /* 0 to 5 */
	uint64_t value;
	uint64_t mask;
};

#define CONFINE_COMPARES_MAX 2U

/*
 * One system call that may be made, if all comparisons hold. Several rules of one name are
 * alternatives. With an error, the call is not made and fails with that errno: for what a library
 * tries and can do without. What no rule names, or no alternative of it allows, ends the process.
 */
struct confine_rule {
	const char *name;
	int error; /* positive errno; 0: the call is made */
	struct confine_compare compares[CONFINE_COMPARES_MAX];
};

#define CONFINE_ALLOW(n)                                                                           \
	{                                                                                          \
		.name = (n)                                                                        \
	}
#define CONFINE_FCNTL(c) /* one command of fcntl(2) */                                             \
	{                                                                                          \
		.name = "fcntl", .compares = { {CONFINE_EQUAL, 1, (c), 0} }                        \
	}
#define CONFINE_REFUSE(n, e)                                                                       \
	{                                                                                          \
		.name = (n), .error = (e)                                                          \
	}

struct confine_rules {
	const struct confine_rule *list;
	size_t count;
};

/*
 * Tells the sentence to whoever should know, from a signal handler, before the process ends by
 * SIGSYS. It may only make system calls that the rules allow and use only what is safe there
 * (signal-safety(7)).
 */
typedef void confine_tell(const char *sentence);

/*
 * From here on no thread of the process makes another system call than those of the tables (and
 * those that it takes to end). A violation is one line on stderr with the call's name, and the
 * process ends by SIGSYS. name is the program's, for that line; it and tell (may be NULL) are kept.
 * -EINVAL for a name that is no system call on any kernel; -EOPNOTSUPP with a sentence where the
 * kernel has no filters.
 */
int confine_syscalls(const struct confine_rules *tables, size_t count, const char *name,
	confine_tell *tell, struct problem *why);

/* SIGSYS must not be blocked in any thread, or its end is not explained; for threads that block the
 * others. */
#define CONFINE_SIGNAL SIGSYS

#endif
