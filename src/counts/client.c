// SPDX-License-Identifier: MIT
#include "counts/counts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "counts/wire.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

/* A device of 16 TiB takes about a second; these say that something hangs. */
#define START_SECONDS 60
#define READ_SECONDS  20
#define STOP_SECONDS  5
#define ERRNO_END     4096

static_assert(COUNTS_CLOSE_MAX == COUNTS_GATE_DEVICES, "the gate has room for what is promised");

struct counts {
	int sock;
	pid_t pid;
	int pidfd;
	uint64_t id; /* of the last question */
	bool broken;
};

/* ---- the process ---- */

static int fill_actions(posix_spawn_file_actions_t *actions, int sock)
{
	int r = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);

	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, STDIN_FILENO, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, sock, COUNTS_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(actions, COUNTS_FD + 1);
	return -r;
}

/* Signals as in a new process, and a group of its own: Ctrl-C is not for it, it ends with its
 * socket. */
static int fill_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all, none;

	sigfillset(&all);
	sigemptyset(&none);
	(void)posix_spawnattr_setsigdefault(attributes, &all);
	(void)posix_spawnattr_setsigmask(attributes, &none);
	(void)posix_spawnattr_setpgroup(attributes, 0);
	return -posix_spawnattr_setflags(
		attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
}

static int spawn(pid_t *ret, const char *program, int sock)
{
	char *argv[] = {(char[]){"guestmemfs-counts"}, (char[]){"--serve"}, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int r;

	r = -posix_spawn_file_actions_init(&actions);
	if (r < 0)
		return r;
	r = -posix_spawnattr_init(&attributes);
	if (r == 0) {
		r = fill_actions(&actions, sock);
		if (r == 0)
			r = fill_attributes(&attributes);
		if (r == 0)
			r = -posix_spawn(ret, program, &actions, &attributes, argv, environ);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* A peer that hangs must not hang us. */
static int set_patience(int sock, int seconds)
{
	const struct timeval limit = {.tv_sec = seconds};

	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	return 0;
}

static int make_sockets(int *ours, int *theirs)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	*ours = ends[0];
	*theirs = ends[1];
	return 0;
}

static int start_process(struct counts *c, const char *program, struct problem *why)
{
	_cleanup_fd_ int theirs = -1;
	int r = make_sockets(&c->sock, &theirs);

	if (r == 0)
		r = set_patience(c->sock, START_SECONDS);
	if (r == 0)
		r = spawn(&c->pid, program, theirs);
	if (r == -ENOENT)
		return problem(why, EOPNOTSUPP,
			"there is no %s: it was built without what that takes", program);
	if (r < 0)
		return problem_errno(why, -r, "starting %s", program);
	/* The number can't be another process's yet: it is ours to wait for. */
	c->pidfd = pidfd_open(c->pid, 0);
	if (c->pidfd < 0)
		return problem_errno(why, errno, "watching %s", program);
	return 0;
}

/* From here on the process is of no use; it is to see that, and to end. */
static int break_off(struct counts *c, int r)
{
	c->broken = true;
	(void)shutdown(c->sock, SHUT_RDWR);
	(void)pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
	return r;
}

struct counts *counts_stop(struct counts *c)
{
	if (!c)
		return NULL;
	c->sock = close_fd(c->sock);
	if (c->pid > 0) {
		struct pollfd poll_fd = {.fd = c->pidfd, .events = POLLIN};

		if (poll(&poll_fd, 1, STOP_SECONDS * 1000) == 0)
			(void)pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
		/* In its end the kernel may wait for as long as others keep a process from running.
		 */
		if (poll(&poll_fd, 1, STOP_SECONDS * 1000) > 0)
			while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
				;
	}
	(void)close_fd(c->pidfd);
	free(c);
	return NULL;
}

static void counts_stopp(struct counts **c)
{
	*c = counts_stop(*c);
}

int counts_get_fd(const struct counts *c)
{
	return c->pidfd;
}

pid_t counts_get_pid(const struct counts *c)
{
	return c->pid;
}

/* ---- messages ---- */

union answer {
	struct counts_header header;
	struct counts_ready ready;
	struct counts_answer reading;
	struct counts_closed closed;
	struct counts_failed failed;
};

static int explain_silence(int r, struct problem *why)
{
	if (r == -EAGAIN)
		return problem(why, ETIMEDOUT, "guestmemfs-counts does not answer");
	if (r == -EPIPE || r == -ECONNRESET)
		return problem(why, EPIPE, "guestmemfs-counts has ended");
	(void)problem_errno(why, -r, "guestmemfs-counts");
	return -EPIPE;
}

static bool is_message(const union answer *a, size_t size)
{
	return size >= sizeof(a->header) && get_le32(a->header.size) == size &&
	       get_le16(a->header.reserved) == 0;
}

static bool is_failure(const union answer *a, size_t size)
{
	const struct counts_failed *m = &a->failed;
	uint32_t error;

	if (!is_message(a, size) || get_le16(a->header.opcode) != COUNTS_FAILED ||
		size != sizeof(*m))
		return false;
	error = get_le32(m->error);
	return error > 0 && error < ERRNO_END && memchr(m->text, '\0', sizeof(m->text));
}

/* While it starts, its errno says what to do. */
static int explain_end(const struct counts *c, const union answer *a, struct problem *why)
{
	if (c->id == 0)
		return problem(why, (int)get_le32(a->failed.error), "%s", a->failed.text);
	return problem(why, EPIPE, "guestmemfs-counts has ended: %s", a->failed.text);
}

/*
 * Its answer to the question, of this kind and size. A FAILED gives its errno and its sentence; one
 * without a question is the end, whatever was asked.
 */
static int receive(
	struct counts *c, union answer *a, uint16_t opcode, size_t expected, struct problem *why)
{
	ssize_t n = packet_receive(c->sock, a, sizeof(*a), NULL, NULL, true);

	if (n <= 0)
		return break_off(c, explain_silence(n == 0 ? -EPIPE : (int)n, why));
	if (is_failure(a, (size_t)n) && get_le64(a->header.id) == 0)
		return break_off(c, explain_end(c, a, why));
	if (is_message(a, (size_t)n) && get_le64(a->header.id) == c->id) {
		if (is_failure(a, (size_t)n))
			return problem(why, (int)get_le32(a->failed.error), "%s", a->failed.text);
		if (get_le16(a->header.opcode) == opcode && (size_t)n == expected)
			return 0;
	}
	return break_off(c, problem(why, EPIPE, "guestmemfs-counts says what it should not"));
}

static int send_message(
	struct counts *c, const void *message, size_t size, int fd, struct problem *why)
{
	union answer answer;
	int r = packet_send(c->sock, message, size, &fd, fd >= 0 ? 1 : 0, true);

	/* It has ended; it may have said why. */
	if (r == -EPIPE || r == -ECONNRESET)
		return receive(c, &answer, 0, 0, why);
	return r < 0 ? break_off(c, explain_silence(r, why)) : 0;
}

int counts_start(struct counts **ret, const char *program, struct problem *why)
{
	_cleanup_(counts_stopp) struct counts *c = calloc(1, sizeof(*c));
	union answer answer;
	int r;

	if (!c)
		return problem_errno(why, ENOMEM, "starting %s", program);
	*c = (struct counts){.sock = -1, .pidfd = -1};
	r = start_process(c, program, why);
	if (r == 0)
		r = receive(c, &answer, COUNTS_READY, sizeof(answer.ready), why);
	if (r == 0 && get_le32(answer.ready.version) != COUNTS_WIRE_VERSION)
		r = problem(why, EPROTO, "%s is of another version", program);
	if (r == 0)
		r = set_patience(c->sock, READ_SECONDS);
	if (r < 0)
		return r;
	*ret = steal_pointer(c);
	return 0;
}

/* ---- a question ---- */

static int check_question(
	const struct counts_range *ranges, size_t count, uint64_t align, struct problem *why)
{
	if (align != GM_BLOCK_SIZE && align != GM_GROUP_SIZE)
		return problem(why, EINVAL, "no device has pages of %" PRIu64 " bytes", align);
	if (count == 0 || count > COUNTS_RANGES_TOTAL)
		return problem(why, EINVAL, "a device has 1 to %u ranges, not %zu",
			COUNTS_RANGES_TOTAL, count);
	for (size_t i = 0; i < count; i++)
		if (!counts_range_is_good(ranges[i].start, ranges[i].size, align))
			return problem(why, EINVAL,
				"0x%" PRIx64 " bytes at 0x%" PRIx64 " are no range of a device",
				ranges[i].size, ranges[i].start);
	return 0;
}

static int send_device(struct counts *c, int fd, size_t count, uint64_t align,
	const struct counts_idle *idle, struct problem *why)
{
	const struct counts_device m = {
		.header = {put_le32(sizeof(m)), put_le16(COUNTS_DEVICE), put_le16(0),
			put_le64(c->id)},
		.align = put_le64(align),
		.range_count = put_le32((uint32_t)count),
		.idle_page = put_le32(idle ? idle->page : UINT32_MAX),
	};

	return send_message(c, &m, sizeof(m), fd, why);
}

static int send_ranges(
	struct counts *c, const struct counts_range *ranges, size_t count, struct problem *why)
{
	int r = 0;

	for (size_t sent = 0; sent < count && r == 0; sent += COUNTS_JOB_RANGES) {
		size_t n = count - sent < COUNTS_JOB_RANGES ? count - sent : COUNTS_JOB_RANGES;
		struct counts_ranges m = {
			.header = {put_le32(sizeof(m)), put_le16(COUNTS_RANGES), put_le16(0),
				put_le64(c->id)},
			.count = put_le32((uint32_t)n),
		};

		for (size_t i = 0; i < n; i++) {
			m.ranges[i].start = put_le64(ranges[sent + i].start);
			m.ranges[i].size = put_le64(ranges[sent + i].size);
		}
		r = send_message(c, &m, sizeof(m), -1, why);
	}
	return r;
}

int counts_read(struct counts *c, int device_fd, const struct counts_range *ranges, size_t count,
	uint64_t align, const struct counts_idle *idle, struct counts_reading *ret,
	struct problem *why)
{
	_cleanup_fd_ int fd = device_fd;
	union answer answer;
	int r;

	r = check_question(ranges, count, align, why);
	if (r < 0)
		return r;
	if (c->broken)
		return problem(why, EPIPE, "guestmemfs-counts has ended");
	c->id++;
	r = send_device(c, fd, count, align, idle, why);
	/* Nothing is read before the first of the ranges is there: by then the other one is the
	 * only one. */
	fd = close_fd(fd);
	if (r == 0)
		r = send_ranges(c, ranges, count, why);
	if (r == 0)
		r = receive(c, &answer, COUNTS_READING, sizeof(answer.reading), why);
	if (r < 0)
		return r;
	*ret = (struct counts_reading){
		.cdev = get_le32(answer.reading.cdev),
		.page_min = get_le32(answer.reading.page_min),
		.page_max = get_le32(answer.reading.page_max),
		.busy_pages = get_le64(answer.reading.busy_pages),
		.first_busy = get_le64(answer.reading.first_busy),
	};
	return 0;
}

/* ---- the gate ---- */

int counts_close(struct counts *c, const dev_t *devices, size_t count, struct problem *why)
{
	struct counts_close m = {.header = {put_le32(sizeof(m)), put_le16(COUNTS_CLOSE),
					 put_le16(0), put_le64(c->id + 1)},
		.count = put_le32((uint32_t)count)};
	union answer answer;
	int r;

	if (count > COUNTS_CLOSE_MAX)
		return problem(why, EINVAL, "%zu devices can't be closed at a time", count);
	if (c->broken)
		return problem(why, EPIPE, "guestmemfs-counts has ended");
	for (size_t i = 0; i < count; i++) {
		m.devices[i].major = put_le32(major(devices[i]));
		m.devices[i].minor = put_le32(minor(devices[i]));
	}
	c->id++;
	r = send_message(c, &m, sizeof(m), -1, why);
	return r < 0 ? r : receive(c, &answer, COUNTS_CLOSED, sizeof(answer.closed), why);
}
