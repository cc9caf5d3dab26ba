/* SPDX-License-Identifier: MIT */
/*
 * Exports: a device over a whole file whose node carries the file's owner and mode, for programs
 * that know nothing of us. The device stays when the export ends, since who opened the node can't
 * be listed: only the node is closed.
 */
#ifndef GM_HELPER_EXPORTS_H
#define GM_HELPER_EXPORTS_H

#include <stdbool.h>

#include "guestmemfs/protocol.h"
#include "helper/deliver.h"
#include "helper/device_list.h"
#include "proto/link.h"
#include "util/problem.h"

/* Are the fields in order? -EPROTO with a sentence. */
int exports_check(const struct link_export *m, struct problem *why);

/* EXPORT with its extents; NODE; UNEXPORT. */
void exports_take(struct server *s, const struct link_export *m,
	const struct record_extent *extents, size_t count);
void exports_take_node(struct server *s, const struct link_export *m);
void exports_take_end(struct server *s, const struct link_export *m);

/* The inode is removed: nobody has leave any more to open what it is mapped by, whether or not its
 * memory comes back. An EXPORT that is under way fails. */
void exports_close(struct server *s, struct record_inode *inode);

/* The inode is free; devices: those that it had. */
void exports_take_back(
	struct server *s, const struct record_inode *inode, const struct device_list *devices);

/* Is it one device of 2 MiB pages over exactly these extents, in their order? */
bool exports_is_whole(
	const struct device_list *devices, const struct record_extent *extents, size_t count);

/* ---- for deliver.c ---- */

/* Its device is there. */
void exports_finish(struct server *s, const struct delivery *d);

/* Answers, unless who asked is gone. node: with error 0. */
void exports_answer(struct server *s, const struct delivery *d, int error, enum gm_reason reason,
	const char *node);

#endif
