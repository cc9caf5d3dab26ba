// SPDX-License-Identifier: MIT
#include "fuse/wakeup.h"

#include <errno.h>
#include <limits.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "util/cleanup.h"

int wakeup_open(struct wakeup *w)
{
	/* The clock of clock_milliseconds(). */
	w->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	w->at = 0;
	return w->fd < 0 ? -errno : 0;
}

void wakeup_close(struct wakeup *w)
{
	w->fd = close_fd(w->fd);
	w->at = 0;
}

int wakeup_by(struct wakeup *w, uint64_t now, uint64_t due)
{
	const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due / 1000),
						.tv_nsec = (long)(due % 1000) * 1000000}};

	if (due <= now)
		return 0;
	if (w->at != 0 && w->at <= due)
		return -1;
	if (timerfd_settime(w->fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return due - now > INT_MAX ? INT_MAX : (int)(due - now);
	w->at = due;
	return -1;
}

void wakeup_take(struct wakeup *w)
{
	uint64_t times;

	/* Set anew since, it has nothing to tell yet, and goes off another time. */
	if (read(w->fd, &times, sizeof(times)) == (ssize_t)sizeof(times))
		w->at = 0;
}
