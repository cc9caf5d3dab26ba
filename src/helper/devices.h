/* SPDX-License-Identifier: MIT */
/*
 * The devices of soft regions that the helper answers for: those of the inodes that are held. They
 * are immutable; an inode that grows gets further ones, and whoever attaches again gets the same
 * ones. They are made, listed and taken away by the background thread; only the event loop keeps
 * account of them. What was made for a file is removed only once it is shown that nobody reaches
 * it (takeback.h).
 */
#ifndef GM_HELPER_DEVICES_H
#define GM_HELPER_DEVICES_H

#include <stdbool.h>

#include "helper/device_list.h"
#include "helper/record.h"
#include "util/limiter.h"
#include "util/problem.h"

struct server;
struct work_job;

struct inode_devices {
	struct device_list list;
	struct limiter noise; /* of log lines about its node */
	bool working;         /* a job makes some or takes them away; one at a time for an inode */
	bool leaving; /* ... and takes them away: who asks the kernel about one waits for that */
};

/* What is there is taken over once in the helper's life, when the worker has first told who is
 * held. Before, no device is made or removed. */
enum devices_state {
	DEVICES_UNKNOWN,
	DEVICES_LISTING,
	DEVICES_CLEARING, /* those of files that are in no pool any more are being removed */
	DEVICES_READY,
};

/* True where there is nothing to be taken over (any more). */
bool devices_are_ready(const struct server *s);

/* Begins to take over, if that has not begun. -ENOMEM. */
int devices_begin(struct server *s);

/* Job results. Negative errno with a sentence: the helper can't go on. */
int devices_take_list(struct server *s, struct work_job *job, struct problem *why);
void devices_take_removed(struct server *s, const struct work_job *job);

/* The inode's entry, made if there is none; NULL for lack of memory. */
struct inode_devices *devices_of(struct record_inode *inode);

/* The inode has none any more. */
void devices_forget(struct record_inode *inode);

void devices_free_all(struct server *s);

#endif
