// SPDX-License-Identifier: MIT
/*
 * What it costs to get a file's memory, at a real mount with its three processes. Attaching is
 * bound by two things that no implementation can avoid: one request to a FUSE server, and one
 * message to another process with an answer that carries a descriptor. Both are measured bare, one
 * by one in turn with attaching itself: so all of them find the caches and the scheduler in the
 * same state, and whatever disturbs the machine disturbs all of them. (Repeated by itself, a round
 * trip of two processes settles on one processor and takes a third of the time.)
 */
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "mount.h"
#include "guestmemfs/guestmemfs.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/packet.h"

#define AIM           1.5 /* times the two bare ones together */
#define ROUND_TRIPS   200U
#define TICKETS       20U /* few, so that none of them reaches a limit */
#define MAPPINGS      20U
#define EXTENTS       1000U
#define REGION_MIB    4352U /* twice as many blocks as extents, and the metadata */
#define ONE_BLOCKS    16U
#define DIRTY_BLOCKS  64U
#define SETTLE_MS     20000U
#define UNKNOWN_IOCTL _IOR('G', 99, struct gm_ticket)

static void check(int r, const char *what)
{
	if (r < 0)
		errx(EXIT_FAILURE, "%s: %s (%s)", what, gm_last_problem(), strerror(-r));
}

/* ---- the bare round trips ---- */

/* Goes to the worker and back like the one for a ticket, and is of no effect there. */
static void fuse_round_trip(int fd)
{
	struct gm_ticket t;

	if (ioctl(fd, UNKNOWN_IOCTL, &t) == 0 || errno != ENOTTY)
		errx(EXIT_FAILURE, "an unknown ioctl was answered");
}

static void serve_echo(int sock)
{
	struct gm_attach request;
	struct gm_grant answer = {.header = {.opcode = put_le16(GM_OP_GRANT)}};

	while (packet_receive(sock, &request, sizeof(request), NULL, NULL, true) > 0)
		if (packet_send(sock, &answer, sizeof(answer), &sock, 1, true) < 0)
			break;
	_exit(0);
}

/* Another process, to be spoken to over *ret; it ends when that is closed. */
static pid_t start_echo(int *ret)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		err(EXIT_FAILURE, "socketpair");
	pid_t pid = fork();
	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		(void)close(ends[0]);
		serve_echo(ends[1]);
	}
	(void)close(ends[1]);
	*ret = ends[0];
	return pid;
}

/* Messages of the sizes that attaching has, and one descriptor. */
static void socket_round_trip(int sock)
{
	const struct gm_attach request = {.header = {.opcode = put_le16(GM_OP_ATTACH)}};
	struct gm_grant answer;
	int fd = -1;
	size_t nfds = 1;

	if (packet_send(sock, &request, sizeof(request), NULL, 0, true) < 0 ||
		packet_receive(sock, &answer, sizeof(answer), &fd, &nfds, true) <= 0 || nfds != 1)
		errx(EXIT_FAILURE, "the echo has failed");
	(void)close(fd);
}

/* ---- attaching ---- */

static struct gm_attachment *attach(int fd)
{
	struct gm_attachment *a = NULL;

	check(gm_attach(fd, &a), "attaching");
	return a;
}

static void attach_and_detach(int fd)
{
	gm_detach(attach(fd));
}

/* Rounds of several at once; all of them have the same number. */
static bool all_next(struct bench *const *all, size_t count)
{
	bool more = false;

	for (size_t i = 0; i < count; i++)
		more = bench_next(all[i]);
	return more;
}

static struct bench make(const char *name, uint64_t operations)
{
	return (struct bench){.suite = "attach", .name = name, .operations = operations};
}

/* Round trips that are timed one by one; of each round the median counts, so that one in which the
 * processor went to somebody else does not. */
struct series {
	struct bench bench;
	double ns[ROUND_TRIPS];
};

static struct series make_series(const char *name)
{
	struct series s = {.bench = make(name, 1)};

	s.bench.unit = "ns";
	return s;
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* can't fail for this clock */
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void time_one(struct series *s, unsigned i, void (*work)(int), int fd)
{
	double started = now();

	work(fd);
	s->ns[i] = now() - started;
}

static int compare_times(const void *x, const void *y)
{
	double s = *(const double *)x, t = *(const double *)y;

	return s < t ? -1 : s > t;
}

/* The first round is thrown away. */
static void end_round(struct series *s, unsigned round)
{
	qsort(s->ns, ROUND_TRIPS, sizeof(*s->ns), compare_times);
	if (round > 0)
		s->bench.sample[round - 1] = s->ns[ROUND_TRIPS / 2];
}

static void report_ratio(const char *name, const struct series *fuse, const struct series *message,
	const struct series *attached, double aim)
{
	struct bench b = make(name, 1);

	b.unit = "times";
	b.aim = aim;
	for (unsigned i = 0; i < BENCH_REPEATS; i++)
		b.sample[i] = attached->bench.sample[i] /
			      (fuse->bench.sample[i] + message->bench.sample[i]);
	bench_report(&b);
}

/* one, many: a file of one extent, and one of EXTENTS. */
static void bench_round_trips(int one, int many)
{
	struct series fuse = make_series("FUSE ioctl");
	struct series message = make_series("SCM_RIGHTS round trip");
	struct series few = make_series("attach, detach; 1 extent");
	struct series lots = make_series("attach, detach; 1,000 extents");
	struct series *const all[] = {&fuse, &message, &few, &lots};
	int echo;
	pid_t pid = start_echo(&echo);

	for (unsigned round = 0; round <= BENCH_REPEATS; round++) {
		for (unsigned i = 0; i < ROUND_TRIPS; i++) {
			time_one(&fuse, i, fuse_round_trip, one);
			time_one(&message, i, socket_round_trip, echo);
			time_one(&few, i, attach_and_detach, one);
			socket_round_trip(echo); /* meanwhile the helper ends the connection */
			time_one(&lots, i, attach_and_detach, many);
			socket_round_trip(echo);
		}
		for (size_t i = 0; i < ARRAY_SIZE(all); i++)
			end_round(all[i], round);
	}
	(void)close(echo);
	(void)waitpid(pid, NULL, 0);
	/* Before the samples are sorted: those of one round belong together. */
	report_ratio("1 extent / (ioctl + SCM_RIGHTS)", &fuse, &message, &few, AIM);
	report_ratio("1,000 extents / (ioctl + SCM_RIGHTS)", &fuse, &message, &lots, 0);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		bench_report(&all[i]->bench);
}

static void ask_ticket(int fd)
{
	struct gm_ticket t;

	check(gm_ticket(fd, &t), "asking for a ticket");
}

static void bench_ticket(int fd)
{
	struct bench b = make("ticket", TICKETS);

	while (bench_next(&b)) {
		bench_start(&b);
		for (unsigned i = 0; i < TICKETS; i++)
			ask_ticket(fd);
		bench_stop(&b);
	}
	bench_report(&b);
}

/* ---- mapping ---- */

static void bench_map(const char *map_name, const char *unmap_name, int fd)
{
	struct bench map = make(map_name, MAPPINGS), unmap = make(unmap_name, MAPPINGS);
	struct bench *const all[] = {&map, &unmap};
	struct gm_attachment *a = attach(fd);

	while (all_next(all, ARRAY_SIZE(all)))
		for (unsigned i = 0; i < MAPPINGS; i++) {
			bench_start(&map);
			void *p = gm_map(a, NULL, 0, gm_size(a), PROT_READ | PROT_WRITE, 0);
			bench_stop(&map);
			if (p == MAP_FAILED)
				check(-errno, "mapping");
			bench_start(&unmap);
			(void)munmap(p, gm_size(a));
			bench_stop(&unmap);
		}
	bench_report(&map);
	bench_report(&unmap);
	gm_detach(a);
}

/* ---- the first attach of a file with somebody's old bytes in it ---- */

static void set_size(int fd, uint64_t size)
{
	if (ftruncate(fd, (off_t)size) < 0)
		err(EXIT_FAILURE, "a file of %llu bytes", (unsigned long long)size);
}

/*
 * Where nothing is free, what one file gives back is what the next one gets, dirty. The scrubber
 * has begun with it in between, which is a part of how it is.
 */
static void time_dirty_attach(
	struct bench *b, const struct bench_mount *m, int hoard, uint64_t *hoarded)
{
	_cleanup_fd_ int fd = bench_mount_open(m, "dirty", 0);

	*hoarded -= DIRTY_BLOCKS * GM_BLOCK_SIZE;
	set_size(hoard, *hoarded);
	set_size(fd, DIRTY_BLOCKS * GM_BLOCK_SIZE);
	bench_start(b);
	attach_and_detach(fd);
	bench_stop(b);
	bench_mount_remove(m, "dirty");
}

/* In a process of its own: when that has ended, what it has held is free again. */
static void bench_dirty(const struct bench_mount *m)
{
	uint64_t before = bench_mount_free_blocks(m), hoarded = before * GM_BLOCK_SIZE;
	pid_t pid = fork();
	int status = 0;

	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		struct bench b = make("first attach of 128 MiB, dirty", 1);
		_cleanup_fd_ int hoard = bench_mount_open(m, "hoard", hoarded);

		while (bench_next(&b))
			time_dirty_attach(&b, m, hoard, &hoarded);
		bench_report(&b);
		bench_mount_remove(m, "hoard");
		exit(EXIT_SUCCESS);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		exit(EXIT_FAILURE); /* it has said why */
	for (unsigned waited = 0; bench_mount_free_blocks(m) < before; waited++) {
		if (waited == SETTLE_MS)
			errx(EXIT_FAILURE, "the blocks of an ended process don't come back");
		(void)usleep(1000);
	}
}

/* ---- the file of many extents ---- */

static void name_filler(char name[static 32], uint64_t n)
{
	(void)snprintf(name, 32, "filler-%06llu", (unsigned long long)n);
}

/*
 * The region is filled to the last block with files of one block; every other one is removed, and
 * one file gets the holes.
 */
static int make_fragmented(const struct bench_mount *m)
{
	uint64_t blocks = bench_mount_free_blocks(m);
	struct gm_attachment *a;
	char name[32];

	if (blocks < 2ULL * EXTENTS)
		errx(EXIT_FAILURE, "a region of %u MiB is too small", REGION_MIB);
	for (uint64_t n = 0; n < blocks; n++) {
		name_filler(name, n);
		(void)close(bench_mount_open(m, name, GM_BLOCK_SIZE));
	}
	for (uint64_t n = 0; n < 2ULL * EXTENTS; n += 2) {
		name_filler(name, n);
		bench_mount_remove(m, name);
	}
	int fd = bench_mount_open(m, "many", EXTENTS * GM_BLOCK_SIZE);
	a = attach(fd); /* the first one, which includes scrubbing, is not measured here */
	if (gm_extent_count(a) != EXTENTS)
		errx(EXIT_FAILURE, "the file has %zu extents", gm_extent_count(a));
	gm_detach(a);
	return fd;
}

int main(void)
{
	struct bench_mount m;

	bench_mount_start(&m, REGION_MIB);
	bench_dirty(&m);
	int one = bench_mount_open(&m, "one", ONE_BLOCKS * GM_BLOCK_SIZE);
	int many = make_fragmented(&m);

	attach_and_detach(one);
	bench_round_trips(one, many);
	bench_ticket(one);
	bench_map("map, 1 extent", "munmap, 1 extent", one);
	bench_map("map, 1,000 extents", "munmap, 1,000 extents", many);
	(void)close(one);
	(void)close(many);
	bench_mount_stop(&m);
	return EXIT_SUCCESS;
}
