/* SPDX-License-Identifier: MIT */
/*
 * What a sanitizer's runtime does in a process that was built with one: it reads /proc/self, starts
 * a symbolizer, looks for leaks from a thread of its own that traces the others, and writes its
 * report to a file. Such a build is for finding faults, not for production: it keeps its root
 * directory too.
 */
#ifndef GM_CONFINE_SANITIZERS_H
#define GM_CONFINE_SANITIZERS_H

#include "confine/confine.h"

/* Empty in other builds. */
extern const struct confine_rules confine_sanitizer;

#endif
