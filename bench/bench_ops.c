// SPDX-License-Identifier: MIT
/*
 * Operations of the mount, in turns with two others: the empty server (empty_server.c), which says
 * what FUSE itself costs, and libfuse's example passthrough_ll on a tmpfs, if it could be built.
 * Servers take turns in each round, so that what else the machine does hits all of them; ratios are
 * of the same round. Needs root (it drops the kernel's caches, and mounts).
 *
 * All is done twice. With all processes on one processor the time of an operation is the work that
 * it takes. When the scheduler places them it is mostly the waking of processors, and whether there
 * is any is chance: client and server may happen to share one for thousands of operations.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "mount.h"
#include "util/cleanup.h"

#define TOP        "/mnt" /* in a mount namespace of our own */
#define SOURCE     TOP "/source"
#define REGION_MIB 2048U
#define MAX_FILES  "1200000"
#define BATCH      2000U
#define TREE_FILES 1000U               /* in each directory */
#define ROUNDS     (BENCH_REPEATS + 1) /* the first is thrown away */
#define AIM        1.05
#define FUSE_MAGIC 0x65735546
#define OPEN_FILES 1048576U /* the default of fs.nr_open */
#define OPEN_SPARE 2048U    /* of them for other things than files */

enum server { OURS, EMPTY, PASSTHROUGH, SERVERS };

static const char *const server_names[] = {"", ", empty server", ", passthrough_ll on tmpfs"};

static const char *placement; /* of the processes: for the names of results */

static struct {
	struct bench_mount mount;
	char path[SERVERS][BENCH_PATH_MAX]; /* of the mount point */
	pid_t pid[SERVERS];                 /* 0: the mount's own keeper ends it */
	unsigned count;
} peers;

/* ---- servers ---- */

static pid_t start_server(const char *path, char *const argv[])
{
	struct statfs st;
	pid_t pid;

	if (mkdir(path, 0755) < 0)
		err(EXIT_FAILURE, "%s", path);
	pid = fork();
	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		/* The mount's processes are a session too: the scheduler may share out by those. */
		(void)setsid();
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		(void)execv(argv[0], argv);
		err(127, "%s", argv[0]);
	}
	while (statfs(path, &st) < 0 || st.f_type != FUSE_MAGIC) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			errx(EXIT_FAILURE, "%s does not mount", argv[0]);
		(void)usleep(10000);
	}
	return pid;
}

/* passthrough_ll keeps one file open for each that the kernel knows. */
static void allow_open_files(void)
{
	struct rlimit limit = {.rlim_cur = OPEN_FILES, .rlim_max = OPEN_FILES};

	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* How many of the servers can have so many files. */
static unsigned servers_for(unsigned files)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		err(EXIT_FAILURE, "the limit of open files");
	if (peers.count < SERVERS || limit.rlim_cur >= files + OPEN_SPARE)
		return peers.count;
	printf("ops: %u files without passthrough_ll: it may have %llu open\n", files,
		(unsigned long long)limit.rlim_cur);
	return PASSTHROUGH;
}

static void start_empty(void)
{
	char *const argv[] = {(char *)BENCH_EMPTY, peers.path[EMPTY], NULL};

	peers.pid[EMPTY] = start_server(peers.path[EMPTY], argv);
}

/* Its source is the tmpfs that holds the mount points. */
static void start_passthrough(void)
{
#ifdef BENCH_PASSTHROUGH
	char *const argv[] = {(char *)BENCH_PASSTHROUGH, (char *)"-f", (char *)"-o",
		(char *)"source=" SOURCE
			",cache=always,timeout=86400,allow_other,default_permissions",
		peers.path[PASSTHROUGH], NULL};

	if (mkdir(SOURCE, 0755) < 0)
		err(EXIT_FAILURE, "%s", SOURCE);
	peers.pid[PASSTHROUGH] = start_server(peers.path[PASSTHROUGH], argv);
	peers.count = SERVERS;
#else
	printf("ops: without passthrough_ll: its source was not found (libfuse3-dev's examples)\n");
#endif
}

/* A mount namespace of our own, so that what is mounted here ends with us. */
static void start_servers(void)
{
	allow_open_files();
	bench_mount_start_with(&peers.mount, REGION_MIB, MAX_FILES);
	(void)strcpy(peers.path[OURS], peers.mount.path);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		err(EXIT_FAILURE, "a mount namespace");
	if (mount("tmpfs", TOP, "tmpfs", 0, "nr_inodes=0,mode=755") < 0)
		err(EXIT_FAILURE, "a tmpfs");
	(void)strcpy(peers.path[EMPTY], TOP "/empty");
	(void)strcpy(peers.path[PASSTHROUGH], TOP "/passthrough");
	start_empty();
	peers.count = PASSTHROUGH;
	start_passthrough();
}

static void stop_servers(void)
{
	for (unsigned server = EMPTY; server < peers.count; server++)
		if (kill(peers.pid[server], SIGTERM) < 0 ||
			waitpid(peers.pid[server], NULL, 0) != peers.pid[server])
			err(EXIT_FAILURE, "ending a server");
	bench_mount_stop(&peers.mount);
}

/* ---- what is timed ---- */

static int top = -1; /* the directory that is worked in */

static void name_of(char name[static 16], char letter, unsigned n)
{
	(void)snprintf(name, 16, "%c%07u", letter, n);
}

static void check(int r, const char *what, const char *name)
{
	if (r < 0)
		err(EXIT_FAILURE, "%s %s", what, name);
}

static void create_at(int directory, unsigned n)
{
	char name[16];

	name_of(name, 'f', n);
	int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	check(fd, "creating", name);
	(void)close_fd(fd);
}

static void do_create(unsigned n)
{
	create_at(top, n);
}

static void do_stat(unsigned n)
{
	struct stat st;
	char name[16];

	name_of(name, 'f', n);
	check(fstatat(top, name, &st, 0), "stat", name);
}

static void do_rename(unsigned n)
{
	char from[16], to[16];

	name_of(from, 'f', n);
	name_of(to, 'g', n);
	check(renameat(top, from, top, to), "renaming", from);
}

static void do_unlink(unsigned n)
{
	char name[16];

	name_of(name, 'g', n);
	check(unlinkat(top, name, 0), "unlinking", name);
}

static void do_mkdir(unsigned n)
{
	char name[16];

	name_of(name, 'd', n);
	check(mkdirat(top, name, 0755), "making", name);
}

static void do_rmdir(unsigned n)
{
	char name[16];

	name_of(name, 'd', n);
	check(unlinkat(top, name, AT_REMOVEDIR), "removing", name);
}

/* Names and inodes; the pages of files stay. */
static void drop_caches(void)
{
	_cleanup_fd_ int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	sync();
	if (fd < 0 || write(fd, "2", 1) != 1)
		err(EXIT_FAILURE, "/proc/sys/vm/drop_caches");
}

/* In this order each finds what the one before has left. */
static const struct operation {
	const char *name;
	void (*run)(unsigned n);
	bool cold;
} operations[] = {
	{"create and close", do_create, false},
	{"stat, cached", do_stat, false},
	{"stat, not cached", do_stat, true},
	{"rename", do_rename, false},
	{"unlink", do_unlink, false},
	{"mkdir", do_mkdir, false},
	{"rmdir", do_rmdir, false},
};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_top(unsigned server)
{
	int fd = open(peers.path[server], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	check(fd, "opening", peers.path[server]);
	return fd;
}

/* ---- reports ---- */

struct series {
	double ns[SERVERS][BENCH_REPEATS];
};

static void report_one(const char *name, const char *peer, const double *sample, unsigned repeats,
	const char *unit, double aim)
{
	char text[128];
	struct bench b = {
		.suite = "ops", .name = text, .unit = unit, .aim = aim, .repeats = repeats};

	(void)snprintf(text, sizeof(text), "%s%s%s", name, placement, peer);
	memcpy(b.sample, sample, repeats * sizeof(*sample));
	bench_report(&b);
}

/* The empty server's ratio has the aim of 5 %; the other's is to be below 1. */
static void report(const char *name, const struct series *s, unsigned repeats, unsigned servers)
{
	double ratio[BENCH_REPEATS];

	for (unsigned server = 0; server < servers; server++)
		report_one(name, server_names[server], s->ns[server], repeats, "ns", 0);
	for (unsigned server = EMPTY; server < servers; server++) {
		for (unsigned n = 0; n < repeats; n++)
			ratio[n] = s->ns[OURS][n] / s->ns[server][n];
		report_one(name, server == EMPTY ? ", ratio to empty" : ", ratio to passthrough_ll",
			ratio, repeats, "times", server == EMPTY ? AIM : 1.0);
	}
}

/* ---- single operations ---- */

static double time_operation(const struct operation *o)
{
	double began;

	if (o->cold)
		drop_caches();
	began = seconds();
	for (unsigned n = 0; n < BATCH; n++)
		o->run(n);
	return (seconds() - began) * 1e9 / BATCH;
}

static void bench_operations(void)
{
	static struct series all[OPERATIONS];

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned server = 0; server < peers.count; server++) {
			_cleanup_fd_ int fd = open_top(server);

			top = fd;
			for (size_t n = 0; n < OPERATIONS; n++) {
				double ns = time_operation(&operations[n]);

				if (round > 0)
					all[n].ns[server][round - 1] = ns;
			}
		}
	}
	for (size_t n = 0; n < OPERATIONS; n++)
		report(operations[n].name, &all[n], BENCH_REPEATS, peers.count);
}

/* ---- one large directory ---- */

static const struct large {
	const char *name;
	unsigned entries, repeats;
} larges[] = {
	{"list 10,000 entries with attributes, each", 10000, 5},
	{"list 100,000 entries with attributes, each", 100000, 3},
};

/* What ls -l asks for: names, and the attributes of each. */
static double time_listing(const char *path, unsigned entries)
{
	double began = seconds();
	DIR *d = opendir(path);
	unsigned count = 0;
	struct dirent *e;
	struct stat st;

	if (!d)
		err(EXIT_FAILURE, "%s", path);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		check(fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW), "stat", e->d_name);
		count++;
	}
	(void)closedir(d);
	if (count != entries)
		errx(EXIT_FAILURE, "%s: %u of %u entries", path, count, entries);
	return (seconds() - began) * 1e9 / entries;
}

static void fill_top(unsigned server, unsigned entries)
{
	_cleanup_fd_ int fd = open_top(server);

	for (unsigned n = 0; n < entries; n++)
		create_at(fd, n);
}

static void empty_top(unsigned server, unsigned entries)
{
	_cleanup_fd_ int fd = open_top(server);
	char name[16];

	for (unsigned n = 0; n < entries; n++) {
		name_of(name, 'f', n);
		check(unlinkat(fd, name, 0), "unlinking", name);
	}
}

static void bench_listing(const struct large *l)
{
	unsigned servers = servers_for(l->entries);
	struct series all;

	for (unsigned server = 0; server < servers; server++)
		fill_top(server, l->entries);
	for (unsigned round = 0; round < l->repeats; round++) {
		for (unsigned server = 0; server < servers; server++) {
			drop_caches();
			all.ns[server][round] = time_listing(peers.path[server], l->entries);
		}
	}
	report(l->name, &all, l->repeats, servers);
	for (unsigned server = 0; server < servers; server++)
		empty_top(server, l->entries);
}

/* ---- ls -lR of a tree ---- */

/*
 * A million files are too many for passthrough_ll: it looks through a list of all files that the
 * kernel knows for each name that is looked up.
 */
static const struct tree {
	const char *name;
	unsigned directories, repeats, servers;
} trees[] = {
	{"ls -lR of 10,000 files, each", 10, 5, SERVERS},
	{"ls -lR of 1,000,000 files, each", 1000, 3, PASSTHROUGH},
};

/* What a smaller tree has made already stays. */
static void make_tree(unsigned server, unsigned directories)
{
	_cleanup_fd_ int fd = open_top(server);
	char name[16];

	for (unsigned d = 0; d < directories; d++) {
		name_of(name, 'd', d);
		if (mkdirat(fd, name, 0755) < 0) {
			if (errno == EEXIST)
				continue;
			err(EXIT_FAILURE, "making %s", name);
		}
		_cleanup_fd_ int directory = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		check(directory, "opening", name);
		for (unsigned n = 0; n < TREE_FILES; n++)
			create_at(directory, n);
	}
}

static double time_ls(const char *path)
{
	double began = seconds();
	int status;
	pid_t pid = fork();

	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
			_exit(127);
		(void)execlp("ls", "ls", "-lR", path, (char *)NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(EXIT_FAILURE, "ls -lR %s has failed", path);
	return (seconds() - began) * 1e9;
}

static void bench_tree(const struct tree *t)
{
	unsigned files = t->directories * TREE_FILES;
	unsigned servers = t->servers < SERVERS ? t->servers : servers_for(files);
	struct series all;

	for (unsigned server = 0; server < servers; server++)
		make_tree(server, t->directories);
	for (unsigned round = 0; round < t->repeats; round++) {
		for (unsigned server = 0; server < servers; server++) {
			drop_caches();
			all.ns[server][round] = time_ls(peers.path[server]) / files;
		}
	}
	report(t->name, &all, t->repeats, servers);
}

/* ---- both placements ---- */

static void bench_on_one_processor(void)
{
	bench_bind();
	placement = ", one processor";
	start_servers();
	bench_operations();
	for (size_t n = 0; n < ARRAY_SIZE(larges); n++)
		bench_listing(&larges[n]);
	for (size_t n = 0; n < ARRAY_SIZE(trees); n++)
		bench_tree(&trees[n]);
	stop_servers();
}

static void bench_as_scheduled(void)
{
	placement = ", as scheduled";
	start_servers();
	bench_operations();
	stop_servers();
}

/* Mounts, servers and affinity are that process's own. */
static void in_a_process(void (*run)(void))
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		err(EXIT_FAILURE, "fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		run();
		exit(EXIT_SUCCESS);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		exit(EXIT_FAILURE); /* it has said why */
}

int main(void)
{
	if (geteuid() != 0)
		errx(EXIT_FAILURE, "this benchmark needs root");
	in_a_process(bench_on_one_processor);
	in_a_process(bench_as_scheduled);
	return EXIT_SUCCESS;
}
