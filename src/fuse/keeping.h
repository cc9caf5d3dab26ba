/* SPDX-License-Identifier: MIT */
/*
 * The supervisor's side of the keeper (keeper.h): starts it, gives it what is to be kept, and
 * starts another one when it has died. Without a keeper all goes on, but the supervisor's death is
 * the end of the mount.
 */
#ifndef GM_FUSE_KEEPING_H
#define GM_FUSE_KEEPING_H

#include <stdint.h>

#include "fuse/children.h"
#include "util/problem.h"

struct supervisor;

/* It gets what there is to be kept once the instance has served. */
int keeping_start(struct supervisor *s, struct problem *why);

/*
 * Another one, of the program at path. When that has all, the one that is there yields to it; at no
 * moment there is none, or two, that a next supervisor could ask. upgrade_take_keeper() is told
 * what becomes of it. Negative errno with a sentence: nothing is changed.
 */
int keeping_start_next(struct supervisor *s, const char *path, struct problem *why);

/* To be called when one of these has changed, and for all of it; nothing happens before the
 * instance has served. */
void keeping_keep_connection(struct supervisor *s);
void keeping_keep_child(struct supervisor *s, const struct child *c);
void keeping_keep_all(struct supervisor *s);

/* It has said something, or ended. */
void keeping_serve(struct supervisor *s);

/* Starts another one if that is due. */
void keeping_start_due(struct supervisor *s);

/* Ends it: while it has copies, nothing that is closed here is seen to end. */
void keeping_end(struct supervisor *s);

#endif
