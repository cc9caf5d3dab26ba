/* SPDX-License-Identifier: MIT */
/*
 * Showing that nobody reaches a device any more, by the kernel's own counts of it, and only then
 * taking it away. No look at processes shows it: a page may be pinned in a pipe, a descriptor be on
 * its way through a socket.
 *
 * What the counts of a device are that nobody reaches is learned from devices that have just been
 * made, before the first descriptor of theirs leaves, and kept for the boot. All this is the
 * background thread's; the event loop sees the results of its jobs.
 */
#ifndef GM_HELPER_REUSE_H
#define GM_HELPER_REUSE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "counts/counts.h"
#include "helper/device_list.h"
#include "region/region.h"
#include "region/soft_idle.h"
#include "util/problem.h"

struct reuse {
	struct counts *counts; /* NULL: nothing can be shown; owned by the server */
	struct soft_idle idle; /* of all regions: the kernel is the same */
	uint64_t record_start; /* the region with whose record it is kept */
	bool off;              /* what was learned contradicts itself, or nothing can be read */
	bool ungated;          /* what was exported can't be closed; said in the log */
	uint64_t gate_rest;    /* CLOCK_MONOTONIC, ms: before that nobody is waited for again */
	atomic_uint retired;   /* devices that are, in this boot; anybody may read it */
};

#define REUSE_NULL ((struct reuse){.counts = NULL})

/* Takes over what was learned since the boot. first: the start of the first region. */
void reuse_init(struct reuse *u, struct counts *counts, uint64_t first);

/* Learns from a device that has just been made and that nobody has had; a failure is logged. */
void reuse_learn(struct reuse *u, uint64_t region_start, const struct soft_device *d);

/*
 * Closes the devices' nodes to everybody, shows that nobody reaches any of them, and only then
 * removes them all; those that are gone are off the list when this returns. One that was exported
 * is closed to whoever has a copy of its node as well, shown once more, and retired. Whoever had a
 * node open before can't be given it back.
 *
 * -EBUSY with a sentence: somebody reaches one, and none was touched but its node. -EPERM the same
 * until the next boot: one was exported, and copies of its node can't be closed on this machine.
 * -EOPNOTSUPP nothing can be shown in this boot; -EPIPE, -ETIMEDOUT what reads the counts is of no
 * use any more; others: trouble with a device, those that are left stay.
 */
int reuse_take(struct reuse *u, const struct region *regions, struct device_list *devices,
	struct problem *why);

#endif
