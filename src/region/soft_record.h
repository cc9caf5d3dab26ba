/* SPDX-License-Identifier: MIT */
/*
 * Which devices of a soft region are ours: a file in /run, which goes with the boot as the devices
 * do. It is the lock for every change of them, too. Its name begins with a dot, as no instance's
 * does.
 *
 * A name says nothing, since root may remove a device of ours, and the next one that anybody makes
 * has its name and number. So what is noted of a device is its identity (dax_sysfs.h): a note never
 * holds of another device, nor of the same one with other ranges, nor when it is bound anew.
 *
 * Slots of 32 bytes, one an id, each of three identities (0: none): ours, exported, window; and of
 * the instance of one that is retired, or is to be: it is to lose its ranges. Slot 0,
 * the seed's, which is never ours, is the header: it says whether a device is being made or taken
 * away, and the ranges that it is to have, or had, lie behind the last slot. The last slot says
 * whether a device of ours has ever gone without us. Each fact is one write within a page, so that
 * a crash leaves it old or new.
 */
#ifndef GM_REGION_SOFT_RECORD_H
#define GM_REGION_SOFT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region/soft_device.h"
#include "util/problem.h"

struct soft_record {
	int fd; /* owned; holds the lock */
};

#define SOFT_RECORD_NULL ((struct soft_record){.fd = -1})

/* Opens it, makes it where it is not there, and waits for the lock. */
int soft_record_open(struct soft_record *ret, uint64_t region_start, struct problem *why);
void soft_record_close(struct soft_record *r);

bool soft_record_is_ours(const struct soft_record *r, unsigned id, uint64_t identity);
bool soft_record_is_exported(const struct soft_record *r, unsigned id, uint64_t identity);
bool soft_record_is_window(const struct soft_record *r, unsigned id, uint64_t identity);
bool soft_record_is_retired(const struct soft_record *r, unsigned id, uint64_t instance);

/* Of a device of this id whose identity is not known any more, since it was unbound. */
bool soft_record_has_note(const struct soft_record *r, unsigned id);
bool soft_record_was_exported(const struct soft_record *r, unsigned id);

/* Whatever was noted of the id before is forgotten. If that was of another device, it has gone
 * without us. */
int soft_record_set_ours(
	const struct soft_record *r, unsigned id, uint64_t identity, struct problem *why);

/* Forgets what is noted of a device of this id, which has gone without us. */
int soft_record_forget(const struct soft_record *r, unsigned id, struct problem *why);

/* Of a device of ours that is to be retired; 0: it is not after all. What else is noted of it holds
 * as before. */
int soft_record_set_retired(
	const struct soft_record *r, unsigned id, uint64_t instance, struct problem *why);

/* Of that one when it has lost its ranges: what else is noted of it holds no more. */
int soft_record_end_retired(
	const struct soft_record *r, unsigned id, uint64_t instance, struct problem *why);

/* For who only looks, and does not lock it: is a device of this id retired, or was one? */
bool soft_record_names_retired(int fd, unsigned id);

/* Forgets what is noted of devices of the region dax<region_id> that have gone without us: they are
 * not in the list, nor there by their names. 1: one that is not in the list is there. */
int soft_record_forget_gone(const struct soft_record *r, unsigned region_id,
	const struct soft_device *list, size_t count, struct problem *why);

/* Has a device of ours gone without us since the boot, or was it changed? */
bool soft_record_has_lost(const struct soft_record *r);

/* Do not take the lock, so that they never wait. Negative errno. */
int soft_record_note_exported(uint64_t region_start, unsigned id, uint64_t identity);
int soft_record_note_window(uint64_t region_start, unsigned id, uint64_t identity);

/* A device that is being made or taken away. */
struct soft_work {
	uint64_t instance; /* 0: none is */
	unsigned id;
	struct soft_range *ranges; /* all that we ever gave it, in this order; owned */
	size_t count;
};

#define SOFT_WORK_NULL ((struct soft_work){.instance = 0})

void soft_work_deinit(struct soft_work *w);

int soft_record_begin(const struct soft_record *r, const struct soft_work *w, struct problem *why);
int soft_record_end(const struct soft_record *r, struct problem *why);

/* Was the last holder of the lock in the middle of one when he died? */
bool soft_record_was_busy(const struct soft_record *r);
int soft_record_load(const struct soft_record *r, struct soft_work *ret, struct problem *why);

#endif
