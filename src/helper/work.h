/* SPDX-License-Identifier: MIT */
/*
 * A background thread: what takes long (zeroing, looking through /proc, making and removing
 * devices) runs in one, in the order in which it was submitted, and never in the event loop. The
 * thread sees its jobs and the regions' descriptors, nothing else.
 */
#ifndef GM_HELPER_WORK_H
#define GM_HELPER_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "helper/device_plan.h"
#include "helper/reuse.h"
#include "region/procscan.h"
#include "region/region.h"

enum work_kind {
	WORK_SCRUB,  /* whole blocks, past the cache */
	WORK_ZERO,   /* bytes of one block */
	WORK_SCAN,   /* /proc */
	WORK_MAKE,   /* devices of an inode */
	WORK_LIST,   /* all devices of all regions */
	WORK_SEEK,   /* /proc, for who has the devices */
	WORK_REMOVE, /* devices that nobody has */
	WORK_TAKE,   /* devices of an inode, once they are shown idle */
};

/* What a scan of devices looks for. On regions whose descriptor reaches everything the thread knows
 * the targets itself. */
struct work_targets {
	struct scan_target *at; /* owned */
	uint64_t *ino;          /* whose device each is; owned */
	size_t count;
};

struct work_job {
	enum work_kind kind;
	uint64_t id;          /* of the order */
	uint64_t link_serial; /* the link that it came over */
	/* SCRUB, ZERO; of soft regions devices has those that may be over the blocks */
	unsigned region;
	uint64_t offset;
	uint64_t length;
	/* SCAN of soft regions, SEEK: */
	struct work_targets targets;
	/* MAKE, TAKE: */
	uint64_t ino;
	uint64_t epoch; /* TAKE */
	struct device_plan plan;
	/* MAKE, LIST: the result; SEEK: what it is about; REMOVE: what to remove; TAKE: what to
	 * remove, then what is left */
	struct device_list devices;
	uint32_t lost; /* LIST: the regions of which devices were lost, a bit each */
	bool sought;   /* REMOVE: scan is what a SEEK of these devices has found */
	/* the result: */
	int error;               /* 0 or negative errno */
	struct problem why;      /* with error, of what goes through devices */
	struct scan_result scan; /* SCAN, SEEK */
	STAILQ_ENTRY(work_job) entry;
};

struct work;

/*
 * Starts the thread. What it is given stays the caller's and must outlive it; of several threads
 * one at most has reuse, the others NULL. -errno.
 */
int work_new(struct work **ret, const struct region *regions, unsigned region_count,
	const struct scan_options *scan, struct reuse *reuse);

/*
 * Ends the thread and frees all jobs. Waits for the block or scan at hand, but not for ever: a
 * thread that hangs in the kernel is left to the end of the process. Returns NULL.
 */
struct work *work_free(struct work *w);

/* Readable when results wait. */
int work_get_fd(const struct work *w);

/* A new job, to be filled and submitted; NULL for lack of memory. */
struct work_job *work_job_new(enum work_kind kind);
void work_job_free(struct work_job *job);

void work_submit(struct work *w, struct work_job *job);

/* The next finished job, now the caller's; NULL: none (any more). */
struct work_job *work_take(struct work *w);

#endif
