/* SPDX-License-Identifier: MIT */
/*
 * Which devices of a soft region are ours: a file in /run, which goes with the boot as the devices
 * do. It is the lock for every change of them, too. Its name begins with a dot, as no instance's
 * does. One byte a fact, so that a crash leaves each one old or new:
 *	byte 0      'M' while a device is being made or taken away
 *	byte 1 + id 'o' the device with that id is ours
 *	            'x' it is, and others could open its node in this boot
 *	            'r' likewise, and once it was shown that nobody reaches it, it is retired:
 *	                unbound, then emptied, then never used again
 *	            'w' it is, and no descriptor of it leaves who made it: a window for zeroing
 */
#ifndef GM_REGION_SOFT_RECORD_H
#define GM_REGION_SOFT_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "util/problem.h"

struct soft_record {
	int fd; /* owned; holds the lock */
};

#define SOFT_RECORD_NULL ((struct soft_record){.fd = -1})

/* Opens it, makes it where it is not there, and waits for the lock. */
int soft_record_open(struct soft_record *ret, uint64_t region_start, struct problem *why);
void soft_record_close(struct soft_record *r);

bool soft_record_is_ours(const struct soft_record *r, unsigned id);
int soft_record_set_ours(const struct soft_record *r, unsigned id, bool ours, struct problem *why);

bool soft_record_is_exported(const struct soft_record *r, unsigned id);
bool soft_record_is_retired(const struct soft_record *r, unsigned id);
bool soft_record_is_window(const struct soft_record *r, unsigned id);

/* Of an exported one that is going to be unbound. It stays exported. */
int soft_record_set_retired(const struct soft_record *r, unsigned id, struct problem *why);

/*
 * Of a device of ours that nobody makes or takes away meanwhile. Do not take the lock, so that they
 * never wait. Negative errno.
 */
int soft_record_note_exported(uint64_t region_start, unsigned id);
int soft_record_note_window(uint64_t region_start, unsigned id);

/* Was a device being made or taken away when the last holder of the lock died? */
bool soft_record_was_busy(const struct soft_record *r);
int soft_record_set_busy(const struct soft_record *r, bool busy, struct problem *why);

#endif
