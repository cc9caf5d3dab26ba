/* SPDX-License-Identifier: MIT */
/*
 * Epochs. Each grant of an inode carries a number greater than all before, and the helper's FREE
 * carries the number of the last grant that it knows of. So a FREE that crossed a GRANT on its way
 * is void.
 *
 * Numbers begin at the mount's number << 32: a restarted worker is above everything that its
 * predecessor gave, without having to remember it.
 */
#ifndef GM_FUSE_EPOCHS_H
#define GM_FUSE_EPOCHS_H

#include <stdint.h>

#include "store/table.h"

struct epochs {
	struct table table; /* struct epoch by ino; owned */
	uint64_t first;     /* of every inode that this worker has not granted */
	uint64_t last;
};

void epochs_init(struct epochs *e, uint64_t mount_number);
void epochs_deinit(struct epochs *e);

/* The number of the inode's last grant. */
uint64_t epochs_get(const struct epochs *e, uint64_t ino);

/* Memory for the inode's number, so that epochs_next() can't fail. 0 or -ENOMEM. */
int epochs_reserve(struct epochs *e, uint64_t ino);

/* Gives the inode, which is reserved, a new number. */
uint64_t epochs_next(struct epochs *e, uint64_t ino);

/* The inode is held no more. */
void epochs_forget(struct epochs *e, uint64_t ino);

#endif
