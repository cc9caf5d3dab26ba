// SPDX-License-Identifier: MIT
#include "helper/processes.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper/server.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

void processes_init(struct processes *p)
{
	LIST_INIT(&p->all);
}

static int open_pidfd(pid_t pid)
{
	/* glibc has pidfd_open() from 2.36 on; the number is the same on all architectures. */
	int fd = (int)syscall(SYS_pidfd_open, pid, 0U);

	return fd < 0 ? -errno : fd;
}

int process_open_peer(int sock, pid_t pid)
{
	int fd = -1;
	socklen_t size = sizeof(fd);

	/*
	 * 0: a process of a pid namespace that we can't see. Its pidfd would do for its
	 * own end, but nothing shows when its children's mappings have gone; and all
	 * such have the same number.
	 */
	if (pid <= 0)
		return -ESRCH;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0)
		return fd;
	if (errno != ENOPROTOOPT)
		return -errno;
	return open_pidfd(pid);
}

static bool pidfd_has_ended(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) != 0;
}

bool process_has_ended(const struct process *p)
{
	return p->dead || pidfd_has_ended(p->source.fd);
}

/* While a process lives its pid is its own, so equal pids are the same process. */
struct process *process_find(const struct server *s, pid_t pid)
{
	struct process *p;

	LIST_FOREACH (p, &s->processes.all, by_server)
		if (p->pid == pid && !process_has_ended(p))
			return p;
	return NULL;
}

int process_get(struct server *s, pid_t pid, uid_t uid, int pidfd, struct process **ret)
{
	_cleanup_fd_ int fd = pidfd >= 0 ? pidfd : open_pidfd(pid);
	struct process *known;

	if (fd < 0)
		return fd;
	if (pidfd_has_ended(fd))
		return -ESRCH;
	known = process_find(s, pid);
	if (known) {
		known->references++;
		*ret = known;
		return 0;
	}
	_cleanup_free_ struct process *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->source = SOURCE_INIT(SOURCE_PROCESS);
	p->source.fd = fd;
	p->pid = pid;
	p->uid = uid;
	p->user = user_get(s, uid);
	if (!p->user)
		return -ENOMEM;
	p->references = 1;
	LIST_INIT(&p->holders);
	int r = source_add(&p->source, s->epoll, EPOLLIN);
	if (r < 0) {
		user_put(s, p->user);
		return r;
	}
	(void)steal_fd(&fd);
	LIST_INSERT_HEAD(&s->processes.all, p, by_server);
	*ret = steal_pointer(p);
	return 0;
}

void process_put(struct server *s, struct process *p)
{
	if (!p || --p->references > 0)
		return;
	LIST_REMOVE(p, by_server);
	source_close(&p->source, s->epoll);
	user_put(s, p->user);
	free(p);
}

void process_ended(struct server *s, struct process *p)
{
	p->dead = true;
	source_close(&p->source, s->epoll);
	p->references++; /* the last holder may go with what follows */
	holders_process_ended(s, p);
	process_put(s, p);
}
