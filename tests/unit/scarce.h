/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out at a call of the test's choice. The linker brings the calls of malloc and
 * its kin here (--wrap), from every part that is linked statically: the product's and the test's,
 * not the libraries'. One test, one process: the state is the process's.
 */
#ifndef GM_TESTS_SCARCE_H
#define GM_TESTS_SCARCE_H

#include <stdbool.h>

enum scarce {
	SCARCE_ONCE,  /* one call fails, those after it don't */
	SCARCE_SINCE, /* that one and all after it, until scarce_end() */
};

#define SCARCE_MODES 2U

/* The next `n` calls of this thread are served; the one after them fails. */
void scarce_begin(unsigned long n, enum scarce how);

/* No call fails any more. True if one has. */
bool scarce_end(void);

/* For wraps of other functions that need memory: true if this call is to fail, with errno set. */
bool scarce_fails(void);

/*
 * The same for all processes that this one forks after scarce_share(), and not for itself: there
 * the calls of all threads count.
 */
void scarce_share(void);
void scarce_begin_elsewhere(unsigned long n, enum scarce how);
bool scarce_end_elsewhere(void);

#endif
