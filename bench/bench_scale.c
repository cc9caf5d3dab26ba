// SPDX-License-Identifier: MIT
/*
 * A pool of more and more files: what the worker needs of memory for each, what an operation takes,
 * and how long it takes until a pool that was left in good order, or by kill -9, is served again;
 * and of a quota on the directory above all of them. From memory, on one processor: operations then
 * take the work that they are (bench_ops.c).
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "util/cleanup.h"

#define TOP        "/mnt" /* in a mount namespace of our own */
#define MOUNT      TOP "/gm"
#define TREE       MOUNT "/tree"
#define SCRATCH    MOUNT "/scratch"
#define SPEC       "file:" TOP "/region,size=2G"
#define MAX_FILES  "1200000"
#define DIR_FILES  1000U
#define BATCH      2000U   /* operations that are timed together */
#define MANY       100000U /* fewer tell nothing of the memory for each */
#define MILLION    1000000U
#define NAME_BYTES 8U /* of each file */
#define REPEATS    3U
#define QUOTA      "user.guestmemfs.quota"
#define AIM_BYTES  300.0
#define AIM_MOUNT  2e9 /* of a million */
#define FUSE_MAGIC 0x65735546

/* ---- the instance ---- */

static pid_t supervisor;

static pid_t start(const char *program, char *const argv[])
{
	pid_t pid = fork();

	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		int log = open(TOP "/log", O_WRONLY | O_CREAT | O_APPEND, 0600);

		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (log >= 0 && dup2(log, STDERR_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0)
			(void)execv(program, argv);
		_exit(127);
	}
	return pid;
}

static void end(pid_t pid, int number)
{
	int status;

	if (kill(pid, number) < 0 || waitpid(pid, &status, 0) != pid)
		err(EXIT_FAILURE, "ending process %d", (int)pid);
}

static void format(void)
{
	char *const argv[] = {(char *)"guestmemfs", (char *)"format", (char *)"--region",
		(char *)SPEC, (char *)"--max-files", (char *)MAX_FILES, NULL};
	pid_t pid = start(BENCH_COMMAND, argv);
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(EXIT_FAILURE, "guestmemfs format has failed");
}

static double nanoseconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Until the first answer comes. */
static double start_instance(void)
{
	char *const argv[] = {(char *)"guestmemfs-fuse", (char *)"-f", (char *)"--region",
		(char *)SPEC, (char *)MOUNT, NULL};
	double began = nanoseconds();
	struct statfs st;

	supervisor = start(BENCH_FUSE, argv);
	while (statfs(MOUNT, &st) < 0 || st.f_type != FUSE_MAGIC) {
		if (waitpid(supervisor, NULL, WNOHANG) == supervisor)
			errx(EXIT_FAILURE, "guestmemfs-fuse has failed");
		(void)usleep(1000);
	}
	return nanoseconds() - began;
}

#define CHILDREN 3U /* worker, helper and keeper */

static void find_children(int *children)
{
	char path[64], text[64] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", supervisor, supervisor);
	_cleanup_fd_ int list = open(path, O_RDONLY | O_CLOEXEC);
	if (list < 0 || read(list, text, sizeof(text) - 1) < 0 ||
		sscanf(text, "%d %d %d", &children[0], &children[1], &children[2]) != CHILDREN)
		errx(EXIT_FAILURE, "the supervisor does not have three children: %s", text);
}

static pid_t worker_pid(void)
{
	int children[CHILDREN];

	find_children(children);
	for (unsigned n = 0; n < CHILDREN; n++) {
		char path[64], name[32] = "";

		(void)snprintf(path, sizeof(path), "/proc/%d/comm", children[n]);
		_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && strstr(name, "-work"))
			return children[n];
	}
	errx(EXIT_FAILURE, "none of the supervisor's children is the worker");
}

/* What is its own: the region is shared. */
static uint64_t worker_bytes(void)
{
	char path[64], line[128];
	uint64_t kib = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", worker_pid());
	FILE *f = fopen(path, "re");
	if (!f)
		err(EXIT_FAILURE, "%s", path);
	while (fgets(line, sizeof(line), f) && kib == 0)
		(void)sscanf(line, "RssAnon: %" SCNu64, &kib);
	(void)fclose(f);
	return kib * 1024;
}

/* All of them at once: the next start has nobody to take over from. */
static double start_again(bool killed)
{
	int children[CHILDREN];

	find_children(children);
	end(supervisor, killed ? SIGKILL : SIGTERM);
	for (unsigned n = 0; killed && n < CHILDREN; n++)
		(void)kill(children[n], SIGKILL);
	return start_instance();
}

/* ---- files ---- */

static int open_directory(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		err(EXIT_FAILURE, "opening %s", name);
	return fd;
}

static void create_files(int directory, unsigned count)
{
	char name[16];

	for (unsigned n = 0; n < count; n++) {
		(void)snprintf(name, sizeof(name), "f%07u", n);
		int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0)
			err(EXIT_FAILURE, "creating %s", name);
		(void)close_fd(fd);
	}
}

/* The tree has so many directories of files already. */
static void fill(unsigned from, unsigned to)
{
	_cleanup_fd_ int top = open_directory(AT_FDCWD, TREE);
	char name[16];

	for (unsigned d = from; d < to; d++) {
		(void)snprintf(name, sizeof(name), "d%07u", d);
		if (mkdirat(top, name, 0755) < 0)
			err(EXIT_FAILURE, "making %s", name);
		_cleanup_fd_ int directory = open_directory(top, name);
		create_files(directory, DIR_FILES);
	}
}

static struct bench result(const char *name, const char *unit, double aim, unsigned repeats)
{
	return (struct bench){
		.suite = "scale", .name = name, .unit = unit, .aim = aim, .repeats = repeats};
}

static void report_memory(uint64_t before, unsigned files)
{
	char name[64] = "";
	struct bench b = result(name, "bytes", AIM_BYTES, 1);

	(void)snprintf(name, sizeof(name), "worker, a file without its name, of %u thousand",
		files / 1000);
	b.sample[0] = (double)(worker_bytes() - before) / files - NAME_BYTES;
	bench_report(&b);
}

static void report_mount(unsigned files)
{
	static const char *const ways[] = {"left in good order", "left by kill -9"};

	for (unsigned way = 0; way < ARRAY_SIZE(ways); way++) {
		char name[64] = "";
		struct bench b = result(name, "ns", files == MILLION ? AIM_MOUNT : 0, REPEATS);

		(void)snprintf(name, sizeof(name), "mount of %u thousand files, %s", files / 1000,
			ways[way]);
		for (unsigned n = 0; n < REPEATS; n++)
			b.sample[n] = start_again(way == 1);
		bench_report(&b);
	}
}

static void remove_files(int directory, unsigned count)
{
	char name[16];

	for (unsigned n = 0; n < count; n++) {
		(void)snprintf(name, sizeof(name), "f%07u", n);
		if (unlinkat(directory, name, 0) < 0)
			err(EXIT_FAILURE, "unlinking %s", name);
	}
}

/* In a directory of its own, beside all those files. */
static void report_operations(unsigned files)
{
	static const struct {
		const char *name;
		void (*run)(int directory, unsigned count);
	} operations[] = {
		{"create and close", create_files},
		{"unlink", remove_files},
	};
	_cleanup_fd_ int directory = open_directory(AT_FDCWD, SCRATCH);
	double sample[ARRAY_SIZE(operations)][BENCH_REPEATS];

	for (unsigned n = 0; n < BENCH_REPEATS; n++) {
		for (unsigned o = 0; o < ARRAY_SIZE(operations); o++) {
			double began = nanoseconds();

			operations[o].run(directory, BATCH);
			sample[o][n] = (nanoseconds() - began) / BATCH;
		}
	}
	for (unsigned o = 0; o < ARRAY_SIZE(operations); o++) {
		char name[64] = "";
		struct bench b = result(name, "ns", 0, BENCH_REPEATS);

		(void)snprintf(name, sizeof(name), "%s beside %u thousand files",
			operations[o].name, files / 1000);
		memcpy(b.sample, sample[o], sizeof(sample[o]));
		bench_report(&b);
	}
}

static void report_quota(unsigned files)
{
	static const char value[] = "1T";
	char name[64] = "";
	struct bench set = result(name, "ns", 0, REPEATS), end = set;

	for (unsigned n = 0; n < REPEATS; n++) {
		double began = nanoseconds();

		if (setxattr(TREE, QUOTA, value, strlen(value), XATTR_CREATE) < 0)
			err(EXIT_FAILURE, "setting a quota");
		set.sample[n] = nanoseconds() - began;
		began = nanoseconds();
		if (removexattr(TREE, QUOTA) < 0)
			err(EXIT_FAILURE, "ending a quota");
		end.sample[n] = nanoseconds() - began;
	}
	(void)snprintf(name, sizeof(name), "setting a quota above %u thousand files", files / 1000);
	bench_report(&set);
	(void)snprintf(name, sizeof(name), "ending a quota above %u thousand files", files / 1000);
	bench_report(&end);
}

int main(void)
{
	static const unsigned steps[] = {10000, 30000, 100000, 300000, MILLION};
	unsigned files = 0;

	if (geteuid() != 0)
		errx(EXIT_FAILURE, "this benchmark needs root");
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", TOP, "tmpfs", 0, "size=3G,mode=755") < 0 || mkdir(MOUNT, 0755) < 0)
		err(EXIT_FAILURE, "a mount namespace with a tmpfs");
	bench_bind();
	format();
	(void)start_instance();
	uint64_t before = worker_bytes();
	if (mkdir(TREE, 0755) < 0 || mkdir(SCRATCH, 0755) < 0)
		err(EXIT_FAILURE, "making directories");
	for (size_t n = 0; n < ARRAY_SIZE(steps); n++) {
		fill(files / DIR_FILES, steps[n] / DIR_FILES);
		files = steps[n];
		if (files >= MANY)
			report_memory(before, files);
		report_operations(files);
		report_quota(files);
		report_mount(files);
	}
	end(supervisor, SIGTERM);
	return EXIT_SUCCESS;
}
