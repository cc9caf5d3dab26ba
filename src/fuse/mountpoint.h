/* SPDX-License-Identifier: MIT */
/*
 * The place of the mount, seen through /proc/self/mountinfo, so that nothing here ever waits for
 * the server of a mount.
 */
#ifndef GM_FUSE_MOUNTPOINT_H
#define GM_FUSE_MOUNTPOINT_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/problem.h"

#define MOUNTPOINT_FSTYPE "fuse.guestmemfs"

struct mountpoint_entry { /* what is mounted at a path, uppermost */
	dev_t device;
	char fstype[64];
	char source[128]; /* cut if it is longer */
};

/* 1 found, 0 nothing is mounted exactly there; negative errno if the table can't be read. path is
 * absolute, resolved. */
int mountpoint_find(struct mountpoint_entry *ret, const char *path);

/*
 * The absolute, resolved path of a place to mount at, malloc'ed; it may be a mount that has died.
 * Sentences: not there (-ENOENT), no way there (-EACCES, -ENOTDIR, -ELOOP).
 */
int mountpoint_resolve(char **ret, const char *given, struct problem *why);

/*
 * Makes sure that path can be mounted at: detaches what a crash has left there of an instance of
 * ours, with a line in the log. Sentences: a living guestmemfs or something else is mounted there
 * (-EBUSY), not there (-ENOENT), not a directory (-ENOTDIR), not the user's to write to (-EACCES).
 */
int mountpoint_prepare(const char *path, struct problem *why);

/*
 * Detaches the mount at path (lazily: open files stay open) if it is the one with this device
 * number; nothing else is touched. 0 also when it is gone already.
 */
int mountpoint_detach(const char *path, dev_t device, struct problem *why);

/* True if the mount with this device number is at path. */
bool mountpoint_is_ours(const char *path, dev_t device);

#endif
