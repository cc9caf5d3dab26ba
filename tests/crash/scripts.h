/* SPDX-License-Identifier: MIT */
/* The scripts that are always explored: every operation alone, and those that belong together. */
#ifndef GM_TESTS_CRASH_SCRIPTS_H
#define GM_TESTS_CRASH_SCRIPTS_H

#include <stddef.h>

struct crash_script {
	const char *name;
	const char *script; /* world.h */
};

extern const struct crash_script crash_scripts[];
extern const size_t crash_script_count;

#endif
