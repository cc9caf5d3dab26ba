/* SPDX-License-Identifier: MIT */
/*
 * What a device that is found on a soft region is to a helper that has just started, told by the
 * record of what is held. Pure: who has it open is for others to find out.
 *
 * A device of ours that is bound lies over memory of a file, is a window for scrubbing that a
 * crashed helper left behind, or has the metadata. Held blocks tell the first kind: a grant is
 * journalled before its device is made, so the worker names every one of them as HELD. A window's
 * blocks are nobody's and its descriptor never left the helper, so that taking it away harms nobody
 * and needs no proof that nobody has its pages pinned. But "nobody's" is the worker's word alone,
 * and a worker that forgot a held inode must not make us unbind a running guest's memory. So a
 * window must also look like one (one range, no more blocks than an order has, 2 MiB pages), and
 * the caller must find no process that has it open or maps it. What passes for neither is left
 * alone.
 */
#ifndef GM_HELPER_ADOPTION_H
#define GM_HELPER_ADOPTION_H

#include "helper/record.h"
#include "region/soft_device.h"
#include "util/problem.h"

enum adoption {
	ADOPTION_INODE,      /* wholly over blocks of one held inode: its device */
	ADOPTION_UNFINISHED, /* of ours and not bound: nobody has ever reached it, remove it */
	ADOPTION_WINDOW,     /* remove it if nobody has it open */
	ADOPTION_SYSTEM,     /* the seed, one that was exported and is empty, or over blocks that
				are no data: not ours to touch */
	ADOPTION_FOREIGN,    /* leave it alone and say why; its blocks can't be granted */
};

/* *inode is set for ADOPTION_INODE, why for ADOPTION_FOREIGN. */
enum adoption adoption_judge(const struct record *record, unsigned region,
	const struct soft_device *d, struct record_inode **inode, struct problem *why);

#endif
