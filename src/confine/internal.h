/* SPDX-License-Identifier: MIT */
/* Between the filter and what it calls when a rule is broken. */
#ifndef GM_CONFINE_INTERNAL_H
#define GM_CONFINE_INTERNAL_H

#include "confine/confine.h"

/*
 * Readies the handler of SIGSYS: names the machine's system calls beforehand, since nothing can be
 * looked up in a signal handler.
 */
int violation_init(const char *name, confine_tell *tell, struct problem *why);

#endif
