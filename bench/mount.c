// SPDX-License-Identifier: MIT
/*
 * A process of its own, the keeper, starts the supervisor in the foreground, with its messages in a
 * file. When the benchmark has closed its end of a pipe, or has ended in any way, the keeper ends
 * the supervisor and removes what is left.
 */
#include "mount.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guestmemfs/guestmemfs.h"
#include "util/cleanup.h"

#define START_SECONDS 60U
#define STEP_MS       10U

static void pause_a_little(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = STEP_MS * 1000000L}, NULL);
}

static void make_path(char path[static BENCH_PATH_MAX], const char *directory, const char *name)
{
	int n = snprintf(path, BENCH_PATH_MAX, "%s/%s", directory, name);

	if (n < 0 || n >= BENCH_PATH_MAX)
		errx(EXIT_FAILURE, "%s/%s is too long", directory, name);
}

static void remove_files(const struct bench_mount *m)
{
	(void)unlink(m->region);
	(void)unlink(m->log);
	(void)rmdir(m->path);
	(void)rmdir(m->directory);
}

/* ---- the keeper ---- */

/* What it says goes into the log. Does not return. */
static void run_program(const struct bench_mount *m, const char *program, char *const argv[])
{
	int log = open(m->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (log >= 0 && dup2(log, STDERR_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0)
		(void)execv(program, argv);
	dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

static void run_format(const struct bench_mount *m, char *region, const char *max_files)
{
	char *const argv[] = {(char *)"guestmemfs", (char *)"format", (char *)"--region", region,
		(char *)"--max-files", (char *)max_files, NULL};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		run_program(m, BENCH_COMMAND, argv);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		_exit(127);
}

static void run_supervisor(const struct bench_mount *m, unsigned mib, const char *max_files)
{
	const char *name = strrchr(m->directory, '/') + 1; /* runtime directories are by name */
	char region[BENCH_PATH_MAX + 32];
	char *const argv[] = {(char *)"guestmemfs-fuse", (char *)"-f", (char *)"--name",
		(char *)name, (char *)"--region", region, (char *)m->path, NULL};

	(void)snprintf(region, sizeof(region), "file:%s,size=%uM", m->region, mib);
	if (max_files)
		run_format(m, region, max_files);
	run_program(m, BENCH_FUSE, argv);
}

static void show_log(const struct bench_mount *m)
{
	_cleanup_fd_ int log = open(m->log, O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n = log < 0 ? 0 : read(log, text, sizeof(text));

	dprintf(STDERR_FILENO, "guestmemfs-fuse has failed; it says:\n%.*s", (int)(n > 0 ? n : 0),
		text);
}

/* Not in the terminal's group, so that what ends the benchmark does not end the keeper. */
static void keep(const struct bench_mount *m, unsigned mib, const char *max_files, int lifeline)
{
	struct pollfd events[2] = {{.fd = lifeline}, {.events = POLLIN}};
	int status = 0;

	(void)setsid();
	pid_t supervisor = fork();
	if (supervisor == 0)
		run_supervisor(m, mib, max_files);
	events[1].fd = supervisor < 0 ? -1 : pidfd_open(supervisor, 0);
	if (events[1].fd >= 0)
		(void)poll(events, ARRAY_SIZE(events), -1);
	bool wanted = events[0].revents & POLLHUP;
	if (supervisor > 0) {
		(void)kill(supervisor, SIGTERM);
		(void)waitpid(supervisor, &status, 0);
	}
	if (!wanted || status != 0)
		show_log(m);
	remove_files(m);
	_exit(wanted && status == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void start_keeper(struct bench_mount *m, unsigned mib, const char *max_files)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		err(EXIT_FAILURE, "pipe");
	m->keeper = fork();
	if (m->keeper < 0)
		err(EXIT_FAILURE, "fork");
	if (m->keeper == 0) {
		(void)close(ends[1]);
		keep(m, mib, max_files, ends[0]);
	}
	(void)close(ends[0]);
	m->lifeline = ends[1];
}

/* ---- for benchmarks ---- */

/* Both ways work: by the mount to the worker, by the socket to the helper. */
static bool is_serving(const struct bench_mount *m)
{
	struct gm_attachment *a;
	char path[BENCH_PATH_MAX];

	_cleanup_fd_ int top = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0 || !gm_is_guestmemfs(top))
		return false;
	make_path(path, m->path, "probe");
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || gm_attach(fd, &a) < 0)
		return false;
	gm_detach(a);
	(void)unlink(path);
	return true;
}

void bench_mount_start_with(struct bench_mount *m, unsigned mib, const char *max_files)
{
	(void)snprintf(m->directory, sizeof(m->directory), "/dev/shm/guestmemfs-bench-XXXXXX");
	if (!mkdtemp(m->directory))
		err(EXIT_FAILURE, "%s", m->directory);
	make_path(m->region, m->directory, "region");
	make_path(m->path, m->directory, "mnt");
	make_path(m->log, m->directory, "log");
	if (mkdir(m->path, 0700) < 0)
		err(EXIT_FAILURE, "%s", m->path);
	start_keeper(m, mib, max_files);
	for (unsigned waited = 0; !is_serving(m); waited += STEP_MS) {
		if (waitpid(m->keeper, NULL, WNOHANG) == m->keeper)
			exit(EXIT_FAILURE); /* it has said why */
		if (waited >= START_SECONDS * 1000)
			errx(EXIT_FAILURE, "guestmemfs-fuse does not serve in time");
		pause_a_little();
	}
}

void bench_mount_start(struct bench_mount *m, unsigned mib)
{
	bench_mount_start_with(m, mib, NULL);
}

void bench_mount_stop(struct bench_mount *m)
{
	int status;

	m->lifeline = close_fd(m->lifeline);
	if (waitpid(m->keeper, &status, 0) != m->keeper || status != 0)
		errx(EXIT_FAILURE, "the mount did not end as it should");
}

int bench_mount_open(const struct bench_mount *m, const char *name, uint64_t size)
{
	char path[BENCH_PATH_MAX];

	make_path(path, m->path, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		err(EXIT_FAILURE, "%s", path);
	if (size > 0 && ftruncate(fd, (off_t)size) < 0)
		err(EXIT_FAILURE, "%s: %llu bytes", path, (unsigned long long)size);
	return fd;
}

void bench_mount_remove(const struct bench_mount *m, const char *name)
{
	char path[BENCH_PATH_MAX];

	make_path(path, m->path, name);
	if (unlink(path) < 0)
		err(EXIT_FAILURE, "%s", path);
}

uint64_t bench_mount_free_blocks(const struct bench_mount *m)
{
	struct statvfs st;

	if (statvfs(m->path, &st) < 0)
		err(EXIT_FAILURE, "%s", m->path);
	return st.f_bavail * st.f_frsize / GM_BLOCK_SIZE;
}
