/* SPDX-License-Identifier: MIT */
/*
 * Writers that are broken on purpose: each does one thing wrong that a change of src/store could
 * do wrong. The explorer must find every one of them; else it would not find ours.
 */
#ifndef GM_TESTS_CRASH_FAULTS_H
#define GM_TESTS_CRASH_FAULTS_H

#include "trace.h"

struct writer_fault {
	const char *name;
	const char *script; /* in which it shows (world.h) */
	const char *found;  /* by which check: a part of what that says */
	/* Instead of the recorder's own; NULL: as it should be. word: as it stands on the media. */
	void (*copy)(struct recorder *r, uint64_t offset, const void *from, uint64_t length);
	void (*flush)(struct recorder *r, uint64_t offset, uint64_t length);
	void (*fence)(struct recorder *r);
	void (*publish)(struct recorder *r, uint64_t offset, uint64_t word);
};

/* Puts stores off; makes, writes back and fences all that were put off. */
void fault_hold(struct recorder *r, uint64_t offset, const void *from, uint64_t length);
void fault_let_go(struct recorder *r);

extern const struct writer_fault writer_faults[];
extern const size_t writer_fault_count;

#endif
