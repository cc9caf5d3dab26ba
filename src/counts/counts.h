/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own reference counts of a devdax device: who asks them knows whether anybody can
 * still reach its memory, which no look at processes tells (a descriptor in flight over a socket,
 * pages pinned by a pipe or by a device).
 *
 * They are read by a process of their own, guestmemfs-counts, by means of BPF: it alone needs the
 * privileges for that, and gives them up once its program is loaded. This is the asking side.
 * Functions return 0 or a negative errno with a sentence; a connection is used by one thread at a
 * time.
 */
#ifndef GM_COUNTS_COUNTS_H
#define GM_COUNTS_COUNTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/problem.h"

struct counts; /* the connection to a guestmemfs-counts process */

struct counts_range { /* physical, bytes */
	uint64_t start, size;
};

/* Of a device that nobody but the asking descriptor reaches. Never written into code: read from one
 * just made. */
struct counts_idle {
	uint32_t cdev, page;
};

struct counts_reading {
	uint32_t cdev; /* with the asked descriptor open once, in the reader only */
	uint32_t page_min, page_max;
	uint64_t busy_pages; /* with more references than idle->page; idle NULL: 0 */
	uint64_t first_busy; /* physical address of the first of them */
};

/*
 * Starts the process at program (an absolute path) and waits until it has loaded its BPF program,
 * some seconds at most. -EOPNOTSUPP counts can't be read here (no BPF, no BTF, no symbol, lockdown,
 * no privilege): the sentence says why.
 */
int counts_start(struct counts **ret, const char *program, struct problem *why);

/* Ends the process and waits for that. Takes NULL, returns NULL. */
struct counts *counts_stop(struct counts *c);

/* Readable when the process has died (or has spoken out of turn, and can't be used any more). */
int counts_get_fd(const struct counts *c);

/* The process: it has a device open while it reads, and holds nothing. */
pid_t counts_get_pid(const struct counts *c);

/*
 * Reads the count of the device first, then those of its pages. Blocks: for a background thread.
 * Takes device_fd over: it is closed here, before the counts are read, so that only the reader has
 * it open, and the reader closes it before it answers. ranges: all of the device; starts and sizes
 * are multiples of align, which is the device's (2 MiB or 1 GiB). idle may be NULL (learning).
 *
 * -EPIPE the process has died; -ETIMEDOUT it does not answer. After either, counts_stop() is all
 * that is left. -EINVAL no such ranges or align; -ENOTSUP the counts of these pages say nothing
 * (not one for each page of the align); -ENODEV device_fd is not an open character device; -EFAULT
 * the memory is not there. The process is fine after those.
 */
int counts_read(struct counts *c, int device_fd, const struct counts_range *ranges, size_t count,
	uint64_t align, const struct counts_idle *idle, struct counts_reading *ret,
	struct problem *why);

/*
 * From the return of this on nobody opens any of these devices, by whatever node of theirs, and
 * whoever was about to is through: the counts have him, or nothing came of it. All others can be
 * opened, as before. It holds until the next call (count 0: everything is open again) or until the
 * process ends. The caller can't open them either. Blocks, for two seconds at most.
 *
 * -EOPNOTSUPP nothing can be closed on this machine; -EAGAIN some process may still be on its way
 * to a device, for as long as others keep it from running. Nothing is closed after an error.
 * -EPIPE, -ETIMEDOUT as above.
 */
#define COUNTS_CLOSE_MAX 16U
int counts_close(struct counts *c, const dev_t *devices, size_t count, struct problem *why);

#endif
