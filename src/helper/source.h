/* SPDX-License-Identifier: MIT */
/*
 * What the event loop waits for: a descriptor, embedded in the object that it belongs to. The kind
 * says which object that is; the loop needs no callback.
 */
#ifndef GM_HELPER_SOURCE_H
#define GM_HELPER_SOURCE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "util/cleanup.h"

enum source_kind {
	SOURCE_SUPERVISOR,
	SOURCE_LISTENER,
	SOURCE_LINK,
	SOURCE_WORK,
	SOURCE_CLIENT,
	SOURCE_PROCESS,
	SOURCE_COUNTS,
};

struct source {
	enum source_kind kind;
	int fd; /* owned by the object around it */
	uint32_t events;
};

#define SOURCE_INIT(k) ((struct source){.kind = (k), .fd = -1})

/* The object in which a source is embedded. */
#define source_owner(s, type) ((type *)(void *)((char *)(s)-offsetof(type, source)))

/*
 * Waits for events on s->fd from now on. Level-triggered, so that what one turn
 * leaves is there in the next.
 */
static inline int source_add(struct source *s, int epoll, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &e) < 0)
		return -errno;
	s->events = events;
	return 0;
}

/* Changing what is waited for needs no memory in the kernel and does not fail. */
static inline void source_set_events(struct source *s, int epoll, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	if (s->fd < 0 || s->events == events)
		return;
	(void)epoll_ctl(epoll, EPOLL_CTL_MOD, s->fd, &e);
	s->events = events;
}

/* Closes the descriptor. Removed by name first: another process may hold a copy, which would keep
 * it in the epoll. */
static inline void source_close(struct source *s, int epoll)
{
	if (s->fd < 0)
		return;
	(void)epoll_ctl(epoll, EPOLL_CTL_DEL, s->fd, NULL);
	s->fd = close_fd(s->fd);
}

#endif
