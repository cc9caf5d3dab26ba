/* SPDX-License-Identifier: MIT */
/*
 * Windows that a helper that ended has left behind. They go once no process is seen to have one
 * open or mapped, which is looked for beside everything else: a process can keep a look into /proc
 * waiting for as long as it likes. Until then orders to zero their blocks wait, and nothing else.
 */
#ifndef GM_HELPER_LEFTOVERS_H
#define GM_HELPER_LEFTOVERS_H

#include <stdbool.h>
#include <sys/queue.h>

#include "helper/device_list.h"

struct server;
struct work_job;

STAILQ_HEAD(leftovers_waiting, work_job);

struct leftovers {
	struct device_list windows;
	struct leftovers_waiting waiting; /* orders to zero */
};

void leftovers_init(struct leftovers *l);
void leftovers_deinit(struct leftovers *l);

/* Begins with these windows, which it takes over, if there are any. -ENOMEM. */
int leftovers_begin(struct server *s, struct device_list *windows);

/* Takes an order to zero whose blocks a window is over, to submit it later. False if it may be
 * submitted now. */
bool leftovers_hold_back(struct server *s, struct work_job *job);

/* Results of the jobs. */
void leftovers_take_sought(struct server *s, struct work_job *job);
void leftovers_end(struct server *s);

#endif
