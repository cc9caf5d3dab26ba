/* SPDX-License-Identifier: MIT */
/*
 * What a device that is found on a soft region is to a helper that has just started, told by the
 * record of what is held. Pure: who has it open is for others to find out.
 *
 * A device of ours lies over memory of a file, is a window for scrubbing that a crashed helper left
 * behind, or has the metadata. What a crash has left half made is gone already: one that is not
 * bound was unbound by somebody, who may have its pages pinned, and is nobody's to touch, nor is it
 * ours any more, whether or not it is bound anew. Held blocks tell the first kind: a grant is
 * journalled before its device is made, so the worker names every one of them as HELD. A window is
 * noted as one when it is made (soft_device_note_window()): its descriptor never left the helper,
 * so that taking it away harms nobody and needs no proof that nobody has its pages pinned. Its
 * blocks must be nobody's all the same, and the caller must find no process that has it open or
 * maps it.
 *
 * Any other bound device over nobody's blocks was made for a file that is gone, in a pool that was
 * here before, say; or the worker has forgotten a held inode. Whoever had the file may reach its
 * memory still, in ways that no look at processes shows: the kernel's counts alone can tell.
 */
#ifndef GM_HELPER_ADOPTION_H
#define GM_HELPER_ADOPTION_H

#include "helper/record.h"
#include "region/soft_device.h"
#include "util/problem.h"

enum adoption {
	ADOPTION_INODE,   /* wholly over blocks of one held inode: its device */
	ADOPTION_WINDOW,  /* remove it if nobody has it open */
	ADOPTION_ORPHAN,  /* remove it if the counts show that nobody reaches it */
	ADOPTION_SYSTEM,  /* the seed, one that is retired, or over blocks that are
			     no data: not ours to touch */
	ADOPTION_FOREIGN, /* leave it alone and say why; its blocks can't be granted */
};

/* *inode is set for ADOPTION_INODE, why for ADOPTION_FOREIGN. */
enum adoption adoption_judge(const struct record *record, unsigned region,
	const struct soft_device *d, struct record_inode **inode, struct problem *why);

#endif
