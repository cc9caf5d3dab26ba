/* SPDX-License-Identifier: MIT */
/*
 * A problem is an errno together with one sentence in the words of the operator: what was
 * wrong, where, and what to do. It is filled where the cause is known and printed by
 * whoever talks to the operator.
 */
#ifndef GM_UTIL_PROBLEM_H
#define GM_UTIL_PROBLEM_H

#include <stddef.h>

struct problem {
	char text[1024];
};

#define PROBLEM_INIT ((struct problem){.text = ""})

/*
 * Writes the sentence into p (which may be NULL) and returns -err, so that a caller can
 * `return problem(why, EINVAL, "...")`. err is a positive errno.
 */
int problem(struct problem *p, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As problem(), but ends the sentence with ": " and the system's words for err. */
int problem_errno(struct problem *p, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before a sentence that is already there; returns r unchanged. */
int problem_prefix(struct problem *p, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
