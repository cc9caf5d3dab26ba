/* SPDX-License-Identifier: MIT */
/*
 * Memory that may not be there when it is touched: a page with an error that can't be corrected, a
 * file that was cut short, a device that was taken away. All of that is SIGBUS; here it becomes the
 * error of one piece of work, so that one bad block does not end a process.
 *
 * Of memory errors the kernel may also tell those who have a page mapped but do not touch it. Such
 * an address is noted, for the event loop to take up.
 */
#ifndef GM_UTIL_SIGBUS_H
#define GM_UTIL_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sigbus {
	uintptr_t address; /* in the page that can't be reached */
	size_t length;     /* of one that was noted: of the page that it is about; else 0 */
	bool poisoned;     /* the memory is bad; else it is not there (any more) */
};

/* Installs the process's SIGBUS handler; outside of sigbus_guard() the signal stays deadly, and
 * inside as well if a process has sent it. Once, before any thread. 0 or a negative errno. */
int sigbus_init(void);

/*
 * work(data), which ends at the first access that is a SIGBUS: it must own nothing then, and what
 * it has changed stays. 0; -EIO, and *ret (which may be NULL) says where. Within another one it is
 * the inner work that ends.
 */
int sigbus_guard(void (*work)(void *data), void *data, struct sigbus *ret);

/* memcpy() from such memory. After -EIO nothing is known of `to`. */
int sigbus_copy(void *to, const void *from, size_t length, struct sigbus *ret);

/* Asks the kernel to tell this process of memory errors that others have met, or that were found
 * otherwise, in what it has mapped. Else only those are told whose access is the error. */
void sigbus_ask_early(void);

/* The next of the errors that were noted; false: there is none (any more). */
bool sigbus_take_noted(struct sigbus *ret);

#endif
