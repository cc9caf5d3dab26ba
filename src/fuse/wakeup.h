/* SPDX-License-Identifier: MIT */
/*
 * A wait with a limit, for a loop that waits for every request: a limit that is given to
 * epoll_wait(2) is a timer that is set and taken back in each call, which costs more than all of
 * our own code does for most requests. This one is a descriptor among the others, and it is set
 * anew only when something is due before it goes off; when it goes off too early, that is one look
 * more.
 */
#ifndef GM_FUSE_WAKEUP_H
#define GM_FUSE_WAKEUP_H

#include <stdint.h>

struct wakeup {
	int fd;      /* owned; readable once `at` has come */
	uint64_t at; /* clock_milliseconds(); 0: it is not set */
};

#define WAKEUP_NULL ((struct wakeup){.fd = -1})

int wakeup_open(struct wakeup *w);
void wakeup_close(struct wakeup *w); /* also if it was never opened */

/* It will go off by then. Returns how long epoll_wait(2) is to wait, which watches it: -1, or 0 if
 * due is not later than now, or until due if the timer can't be set. */
int wakeup_by(struct wakeup *w, uint64_t now, uint64_t due);

/* It has gone off. */
void wakeup_take(struct wakeup *w);

#endif
