// SPDX-License-Identifier: MIT
/*
 * Both ends are one program, so the orders are plain structs. A worker that was taken over can have
 * its own mount detached, which it can spoil anyway, and its own runtime directory removed once no
 * instance has that locked, and nothing else.
 *
 * Run by root, the process keeps CAP_SYS_ADMIN, for umount2(2), and CAP_DAC_READ_SEARCH, for the
 * way to a mount point in a user's directory. A plain user's must be able to run fusermount3, which
 * is set-uid root: it can give up nothing.
 */
#include "fuse/unmounter.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "confine/confine.h"
#include "fuse/mountpoint.h"
#include "fuse/runtime_rest.h"
#include "util/cleanup.h"
#include "util/packet.h"

#define ANSWER_MS 10000 /* for fusermount3, on a busy host */

enum order {
	ORDER_IS_OURS = 1,
	ORDER_DETACH,
	ORDER_TIDY,
};

struct message {
	enum order order;
	dev_t device;
};

struct answer {
	int result;
	struct problem why;
};

/* ---- the process ---- */

static const struct confine_rule rules[] = {
	CONFINE_ALLOW("brk"),
	CONFINE_ALLOW("clock_nanosleep"),
	CONFINE_ALLOW("close"),
	CONFINE_ALLOW("flock"),
	CONFINE_ALLOW("fstat"),
	CONFINE_ALLOW("futex"),
	CONFINE_ALLOW("lseek"),
	CONFINE_ALLOW("mmap"),
	CONFINE_ALLOW("munmap"),
	CONFINE_ALLOW("newfstatat"),
	CONFINE_ALLOW("openat"), /* /proc/self/mountinfo, the runtime directory */
	CONFINE_ALLOW("read"),
	CONFINE_ALLOW("recvmsg"),
	CONFINE_ALLOW("rmdir"),
	CONFINE_ALLOW("sendmsg"),
	CONFINE_ALLOW("umount2"),
	CONFINE_ALLOW("unlink"),
};

static int confine(struct problem *why)
{
	static const int kept[] = {CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH};
	const struct confine_privileges privileges = {
		.capabilities = kept, .capability_count = ARRAY_SIZE(kept)};
	const struct confine_rules table = {rules, ARRAY_SIZE(rules)};

	if (geteuid() != 0)
		return 0;
	int r = confine_privileges(&privileges, why);
	return r < 0 ? r : confine_syscalls(&table, 1, "guestmemfs-umount", NULL, why);
}

static void obey(const struct message *m, const struct unmounter_paths *paths,
	struct runtime_rest *rest, struct answer *a)
{
	switch (m->order) {
	case ORDER_DETACH:
		a->result = mountpoint_detach(paths->mount, m->device, &a->why);
		break;
	case ORDER_TIDY:
		a->result = runtime_rest_open(rest, paths->control_socket, paths->grant_socket);
		break;
	default:
		a->result = mountpoint_is_ours(paths->mount, m->device);
	}
}

static void serve(int fd, const struct unmounter_paths *paths, struct runtime_rest *rest)
{
	struct message m;

	while (packet_receive(fd, &m, sizeof(m), NULL, NULL, true) == (ssize_t)sizeof(m)) {
		struct answer a = {.result = 0};

		obey(&m, paths, rest, &a);
		if (packet_send(fd, &a, sizeof(a), NULL, 0, true) < 0)
			return;
	}
}

/* The link to the supervisor, above all, must not stay open in here: its end tells of the worker's.
 */
static int let_go(int *fd)
{
	if (dup2(*fd, STDERR_FILENO + 1) < 0 || close_range(STDERR_FILENO + 2, ~0U, 0) < 0)
		return -errno;
	*fd = STDERR_FILENO + 1;
	return 0;
}

/* In place: there is no other way that takes no privilege. The words behind it stay. */
static void set_title(char *title)
{
	static const char name[] = "guestmemfs-umount";

	if (strlen(title) >= strlen(name))
		memcpy(title, name, sizeof(name));
	(void)prctl(PR_SET_NAME, "guestmemfs-umnt");
}

static void run(int fd, const struct unmounter_paths *paths, char *title)
{
	_cleanup_(runtime_rest_close) struct runtime_rest rest = RUNTIME_REST_NULL;
	struct answer ready = {.result = 0};

	/* It ends when the worker has, whoever tells all of a group or of a terminal to end. */
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	set_title(title);
	ready.result = let_go(&fd);
	if (ready.result == 0)
		ready.result = confine(&ready.why);
	if (packet_send(fd, &ready, sizeof(ready), NULL, 0, true) == 0 && ready.result == 0)
		serve(fd, paths, &rest);
	runtime_rest_remove(&rest);
}

/* ---- the worker's side ---- */

/* What it says within the time; -ETIMEDOUT, -EPIPE: nothing. */
static int take_answer(const struct unmounter *u, struct answer *ret)
{
	struct pollfd p = {.fd = u->fd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, ANSWER_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 ? -ETIMEDOUT : -errno;
	ssize_t size = packet_receive(u->fd, ret, sizeof(*ret), NULL, NULL, false);
	return size == (ssize_t)sizeof(*ret) ? 0 : -EPIPE;
}

static int ask(const struct unmounter *u, enum order order, dev_t device, struct answer *ret)
{
	const struct message m = {.order = order, .device = device};
	int r = u->fd < 0 ? -EPIPE : packet_send(u->fd, &m, sizeof(m), NULL, 0, false);

	return r < 0 ? r : take_answer(u, ret);
}

bool unmounter_is_ours(const struct unmounter *u, dev_t device)
{
	struct answer a;

	return ask(u, ORDER_IS_OURS, device, &a) == 0 && a.result == 1;
}

int unmounter_detach(const struct unmounter *u, dev_t device, struct problem *why)
{
	struct answer a;
	int r = ask(u, ORDER_DETACH, device, &a);

	if (r < 0)
		return problem_errno(why, -r, "asking for the mount to be detached");
	return a.result < 0 ? problem(why, -a.result, "%s", a.why.text) : 0;
}

int unmounter_tidy(const struct unmounter *u)
{
	struct answer a;
	int r = ask(u, ORDER_TIDY, 0, &a);

	return r < 0 ? r : a.result;
}

int unmounter_start(struct unmounter *ret, const struct unmounter_paths *paths, char *title,
	struct problem *why)
{
	_cleanup_(unmounter_deinit) struct unmounter u = UNMOUNTER_NULL;
	struct answer ready;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return problem_errno(why, errno, "starting the process that unmounts");
	u.fd = ends[0];
	pid_t pid = fork();
	if (pid == 0) {
		run(ends[1], paths, title);
		_exit(0);
	}
	int r = pid < 0 ? -errno : 0;
	(void)close_fd(ends[1]);
	if (r == 0)
		r = take_answer(&u, &ready);
	if (r < 0)
		return problem_errno(why, -r, "starting the process that unmounts");
	if (ready.result < 0)
		return problem(why, -ready.result, "the process that unmounts: %s", ready.why.text);
	ret->fd = steal_fd(&u.fd);
	return 0;
}

void unmounter_deinit(struct unmounter *u)
{
	u->fd = close_fd(u->fd);
}
