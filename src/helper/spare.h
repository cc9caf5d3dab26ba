/* SPDX-License-Identifier: MIT */
/*
 * --reuse=same-owner and --reuse=trusting: the devices of a removed inode that somebody may still
 * reach are another file's, as they are and all of them, if whoever may reach them may have that
 * file's memory too. They stay bound; what is in them is zeroed before the first grant.
 *
 * The helper says which devices may be given on and to whom (SPARE), the worker to which file they
 * have gone (HAND_OVER). That they are spare, and whose processes have had them, is noted before it
 * is said and forgotten before a descriptor leaves (region/soft_user.h), so that it holds whatever
 * dies in between, and for the next helper.
 */
#ifndef GM_HELPER_SPARE_H
#define GM_HELPER_SPARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/record.h"
#include "proto/link.h"
#include "util/problem.h"

struct server;
struct watch;

/* Does the policy give devices on? Of soft regions; others have none. */
bool spare_is_wanted(const struct server *s);

/*
 * The inode is removed and nobody is seen to hold it, but its devices are not shown idle: says,
 * once to each worker, that they may be given on, if they may. No job has to do with them; here and
 * below the inode has an entry for devices.
 */
void spare_offer(struct server *s, struct watch *w);

/* HAND_OVER. Negative errno with a sentence: the link must end. */
int spare_take_hand_over(struct server *s, const struct link_hand_over *m, struct problem *why);

/*
 * A new worker says that this inode is held, which is not known yet. If its blocks are those of a
 * spare one that the worker has not named, they were handed over and HAND_OVER got lost.
 */
void spare_inherit(struct server *s, uint64_t ino, uint64_t epoch,
	const struct record_extent *extents, size_t count);

/* May a file of this user have the inode's devices, if they were given on? */
bool spare_suits(const struct server *s, const struct record_inode *inode, uid_t owner);

/* A descriptor, or a node, of the inode's devices is about to be a process's of this user, or
 * anybody's. Negative errno: it must not. */
int spare_note_grant(struct server *s, const struct record_inode *inode, uid_t uid);
int spare_note_export(struct server *s, const struct record_inode *inode);

/* What is known of the inodes that a helper before this one had. */
void spare_adopt(struct server *s);

#endif
