// SPDX-License-Identifier: MIT
/*
 * A process is looked at through its tasks: when the leader of a thread group has exited, maps and
 * fd of /proc/PID are empty while /proc/PID/task/TID still shows everything. Threads share one
 * address space, so the first task that shows one speaks for all; descriptor tables may differ, and
 * kcmp(2) tells which do.
 *
 * A process that could not be read counts as one that may reach everything, if we are root and so
 * should have been able to read it. A plain user's helper can't read other users' processes; nobody
 * but that user gets anything from it either. Nor can it read his own that are not dumpable, and
 * some of these are always there (ssh-agent, systemd's): who asks must see from when they began
 * whether they matter.
 */
#include "region/procscan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/cleanup_file.h"

struct scan {
	const struct scan_options *options;
	struct scan_result *result;
	bool must_see_all;
	bool seeks_devices;
	char *buffer; /* SCAN_BUFFER bytes */
	/* the process at hand */
	int process; /* its directory in /proc; borrowed */
	pid_t pid;
	uid_t uid;
};

#define SCAN_BUFFER 65536U

void scan_result_deinit(struct scan_result *r)
{
	free(r->uses);
	*r = SCAN_RESULT_NULL;
}

static int scan_add(struct scan *s, const struct scan_use *use)
{
	struct scan_result *r = s->result;

	if (r->use_count == r->use_room) {
		size_t room = r->use_room ? r->use_room * 2 : 64;
		struct scan_use *uses = reallocarray(r->uses, room, sizeof(*uses));
		if (!uses)
			return -ENOMEM;
		r->uses = uses;
		r->use_room = room;
	}
	r->uses[r->use_count++] = *use;
	return 0;
}

static int open_process(pid_t pid)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static ssize_t read_text(int at, const char *name, char *text, size_t room)
{
	_cleanup_fd_ int fd = openat(at, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, room - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return n;
}

/* Does it run as our user, in one of the four ways? */
static bool is_own_user(const char *status)
{
	const char *at = strstr(status, "\nUid:\t");
	unsigned long uid = geteuid();
	unsigned long ids[4];

	return at &&
	       sscanf(at, "\nUid:\t%lu\t%lu\t%lu\t%lu", &ids[0], &ids[1], &ids[2], &ids[3]) == 4 &&
	       (ids[0] == uid || ids[1] == uid || ids[2] == uid || ids[3] == uid);
}

struct stat_line {
	char state;
	int parent;
	int session;
	long threads;
	uint64_t began;
};

/* /proc/PID/stat, see proc(5): its name may contain anything, so what counts begins behind it. */
static bool read_stat(int process, struct stat_line *ret)
{
	unsigned long long ticks;
	char text[4096];

	if (read_text(process, "stat", text, sizeof(text)) < 0)
		return false;
	const char *at = strrchr(text, ')');
	if (!at || sscanf(at,
			   ") %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			   "%ld %*d "
			   "%llu",
			   &ret->state, &ret->parent, &ret->session, &ret->threads, &ticks) != 5)
		return false;
	ret->began = ticks * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK);
	return true;
}

static void note_shut(struct scan *s)
{
	_cleanup_fd_ int process = open_process(s->pid);
	struct stat_line stat;
	char text[4096];

	if (process < 0 || read_text(process, "status", text, sizeof(text)) < 0 ||
		!is_own_user(text) || !read_stat(process, &stat))
		return;
	/* What waits for its parent reaches nothing; a leader may be gone before its threads. */
	if ((stat.state == 'Z' || stat.state == 'X') && stat.threads <= 1)
		return;
	if (s->result->shut && s->result->shut_began > stat.began)
		return;
	s->result->shut = s->pid;
	s->result->shut_began = stat.began;
}

/*
 * The process, or this part of it, went away while we looked (then it reaches nothing, or other
 * parts of it show the same); or we were kept out.
 */
static int scan_failed(struct scan *s, int error)
{
	if (error == ENOENT || error == ESRCH || error == ENOTDIR)
		return 0;
	if (error == ENOMEM || error == EMFILE || error == ENFILE)
		return -error;
	/* Process 1 of a sandbox may be the outside's and shut to us; it is nobody's client or
	 * child. */
	if (s->must_see_all && s->pid != 1)
		s->result->blind = s->pid;
	else if (!s->must_see_all)
		note_shut(s);
	return 0;
}

static DIR *open_directory(int at, const char *name)
{
	_cleanup_fd_ int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	DIR *d = fdopendir(fd);
	if (d)
		(void)steal_fd(&fd);
	return d;
}

/* The number that a directory entry's name is, or 0. */
static pid_t entry_number(const char *name)
{
	char *end;

	if (*name < '0' || *name > '9')
		return 0;
	errno = 0;
	long n = strtol(name, &end, 10);
	return errno || *end || n > INT_MAX ? 0 : (pid_t)n;
}

/* ---- mappings ---- */

/*
 * The number of the device that is mapped there, if it is one. maps tells the node's file system
 * and inode number only, and a device may be opened by any node; /proc/PID/map_files leads to the
 * file itself. Only devices and a few files are mapped shared, so that this is rarely asked. Only
 * the address space of a thread group whose leader lives is there.
 */
static bool find_mapped_device(const struct scan *s, const struct maps_line *line, struct statx *st)
{
	char path[64];

	if (!s->seeks_devices || !line->shared || line->ino == 0)
		return false;
	(void)snprintf(
		path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, line->start, line->end);
	return statx(s->process, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, st) == 0 &&
	       S_ISCHR(st->stx_mode);
}

static bool is_device(const struct scan_target *t, const struct statx *st)
{
	return t->is_device && (t->rdev_major || t->rdev_minor) && S_ISCHR(st->stx_mode) &&
	       st->stx_rdev_major == t->rdev_major && st->stx_rdev_minor == t->rdev_minor;
}

static int scan_mapping(struct scan *s, const struct maps_line *line)
{
	struct statx st;
	bool device = find_mapped_device(s, line, &st);

	for (unsigned i = 0; i < s->options->target_count; i++) {
		const struct scan_target *t = &s->options->targets[i];
		bool same = line->ino != 0 && line->ino == t->maps_ino &&
			    line->major == t->maps_major && line->minor == t->maps_minor;
		if (device ? !is_device(t, &st) : !same)
			continue;
		return scan_add(s, &(struct scan_use){.pid = s->pid,
					   .uid = s->uid,
					   .target = i,
					   .mapped = true,
					   .writable = line->writable,
					   .offset = line->offset,
					   .length = line->end - line->start});
	}
	return 0;
}

/* Sets *seen if there is an address space at all. */
static int scan_maps(struct scan *s, int task, bool *seen)
{
	_cleanup_fd_ int fd = openat(task, "maps", O_RDONLY | O_CLOEXEC);
	struct maps_reader reader = {.length = 0};
	struct maps_line line;

	if (fd < 0)
		return scan_failed(s, errno);
	for (;;) {
		ssize_t n = read(fd, s->buffer, SCAN_BUFFER);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return scan_failed(s, errno);
		if (n == 0)
			return 0;
		*seen = true;
		const char *text = s->buffer;
		size_t length = (size_t)n;
		while (length > 0) {
			int r = maps_read_line(&reader, &text, &length, &line);
			if (r == -EINVAL)
				s->result->blind = s->pid;
			else if (r > 0 && (r = scan_mapping(s, &line)) < 0)
				return r;
		}
	}
}

/* ---- descriptors ---- */

/* The inode number that fdinfo tells of a descriptor; asks no file system. -ENODATA: none; -ENXIO:
 * nothing is open by it (O_PATH). */
static int read_fdinfo_ino(int task, const char *name, uint64_t *ret)
{
	char path[64], text[512];

	(void)snprintf(path, sizeof(path), "fdinfo/%.32s", name);
	_cleanup_fd_ int fd = openat(task, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	/* A name, not an open file: to open it in earnest asks for permission as any other name. */
	const char *flags = strstr(text, "flags:\t");
	if (flags && (strtoul(flags + strlen("flags:\t"), NULL, 8) & O_PATH))
		return -ENXIO;
	const char *at = strstr(text, "\nino:\t");
	if (!at)
		return -ENODATA;
	*ret = strtoull(at + strlen("\nino:\t"), NULL, 10);
	return 0;
}

/*
 * Could this descriptor be the region's? Judged without asking the file system that it belongs to:
 * sockets, pipes and the like by what the link reads, files by the inode number in fdinfo. Negative
 * errno, 0 no, 1 perhaps.
 */
static int scan_is_candidate(const struct scan *s, int task, const char *name)
{
	char path[64], target[8];
	uint64_t ino = 0;

	(void)snprintf(path, sizeof(path), "fd/%.32s", name);
	ssize_t n = readlinkat(task, path, target, sizeof(target));
	if (n < 0)
		return -errno;
	if (n == 0 || target[0] != '/')
		return 0;
	int r = read_fdinfo_ino(task, name, &ino);
	if (r == -ENODATA)
		return 1;
	if (r == -ENXIO)
		return 0;
	if (r < 0)
		return r;
	for (unsigned i = 0; i < s->options->target_count; i++)
		if (s->options->targets[i].is_device || !s->options->targets[i].has_fdinfo_ino ||
			s->options->targets[i].fdinfo_ino == ino)
			return 1;
	return 0;
}

static int scan_descriptor(struct scan *s, int task, const char *name)
{
	char path[64];
	struct statx st;
	int r = scan_is_candidate(s, task, name);

	if (r <= 0)
		return r < 0 ? scan_failed(s, -r) : 0;
	/* DONT_SYNC: what the kernel knows already. A hostile FUSE server is never asked, and so
	 * can't hold us up. */
	(void)snprintf(path, sizeof(path), "fd/%.32s", name);
	if (statx(task, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO, &st) <
		0)
		return 0; /* closed meanwhile, or another file system's refusal: the region's never
			     fails */
	for (unsigned i = 0; i < s->options->target_count; i++) {
		const struct scan_target *t = &s->options->targets[i];
		bool same = st.stx_ino == t->ino && st.stx_dev_major == t->dev_major &&
			    st.stx_dev_minor == t->dev_minor;
		if (t->is_device ? is_device(t, &st) : same)
			return scan_add(
				s, &(struct scan_use){.pid = s->pid, .uid = s->uid, .target = i});
	}
	return 0;
}

static int scan_descriptors(struct scan *s, int task)
{
	_cleanup_dir_ DIR *d = open_directory(task, "fd");

	if (!d)
		return scan_failed(s, errno);
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(d);
		if (!e)
			return errno ? scan_failed(s, errno) : 0;
		if (e->d_name[0] == '.')
			continue;
		int r = scan_descriptor(s, task, e->d_name);
		if (r < 0)
			return r;
	}
}

/* ---- processes ---- */

static bool same_descriptors(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_FILES, 0UL, 0UL) == 0;
}

static int scan_task(struct scan *s, DIR *tasks, const char *name, bool *seen, pid_t *reference)
{
	pid_t tid = entry_number(name);

	if (tid == 0)
		return 0;
	_cleanup_fd_ int task = openat(dirfd(tasks), name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (task < 0)
		return scan_failed(s, errno);
	int r = *seen ? 0 : scan_maps(s, task, seen);
	if (r < 0 || (*reference && same_descriptors(*reference, tid)))
		return r;
	*reference = tid;
	return scan_descriptors(s, task);
}

static int scan_process(struct scan *s, int process)
{
	_cleanup_dir_ DIR *tasks = open_directory(process, "task");
	bool seen = false;
	pid_t reference = 0;

	if (!tasks)
		return scan_failed(s, errno);
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(tasks);
		if (!e)
			return errno ? scan_failed(s, errno) : 0;
		int r = scan_task(s, tasks, e->d_name, &seen, &reference);
		if (r < 0)
			return r;
	}
}

/* A pid has 22 bits at most (PID_MAX_LIMIT); the others have milliseconds of a hundred years. */
#define PID_BITS 22

static scan_mark make_mark(pid_t pid, const struct stat_line *stat)
{
	return stat->began << PID_BITS | (uint64_t)pid;
}

static scan_mark note(pid_t pid, int process)
{
	struct stat_line stat;

	return read_stat(process, &stat) ? make_mark(pid, &stat) : 0;
}

static pid_t get_pid(scan_mark p)
{
	return (pid_t)(p & ((1U << PID_BITS) - 1));
}

scan_mark procscan_note(pid_t pid)
{
	_cleanup_fd_ int process = pid > 0 ? open_process(pid) : -1;

	return process < 0 ? 0 : note(pid, process);
}

/*
 * The supervisor's worker or keeper: a child of it that was started under that name and in its
 * session. A supervisor that is a container's process 1 inherits everybody's orphans: these may
 * call themselves anything, but nobody gets into another's session. (argv[0] is read from the
 * process's own memory, which could be made to hang us: only the supervisor's children are asked.)
 */
static bool is_child_of(int process, scan_mark supervisor)
{
	static const char *const names[] = {"guestmemfs-worker", "guestmemfs-keeper"};
	struct stat_line child, parent;
	char text[4096];

	if (!read_stat(process, &child) || child.parent != get_pid(supervisor))
		return false;
	_cleanup_fd_ int of = open_process(get_pid(supervisor));
	/* It may have ended, and its number be another's by now. */
	if (of < 0 || !read_stat(of, &parent) ||
		make_mark(get_pid(supervisor), &parent) != supervisor ||
		child.session != parent.session)
		return false;
	if (read_text(process, "cmdline", text, sizeof(text)) < 0)
		return false;
	const char *slash = strrchr(text, '/');
	const char *name = slash ? slash + 1 : text;
	return strcmp(name, names[0]) == 0 || strcmp(name, names[1]) == 0;
}

static bool is_noted(const struct scan *s, int process, const scan_mark *which)
{
	scan_mark p = __atomic_load_n(which, __ATOMIC_ACQUIRE);

	return p != 0 && get_pid(p) == s->pid && note(s->pid, process) == p;
}

static bool is_ours(const struct scan *s, int process)
{
	const struct scan_ours *ours = s->options->ours;

	if (s->pid == getpid() || s->pid == s->options->reader)
		return true;
	if (!ours)
		return false;
	scan_mark supervisor = __atomic_load_n(&ours->supervisor, __ATOMIC_ACQUIRE);
	return is_noted(s, process, &ours->supervisor) || is_noted(s, process, &ours->keeper) ||
	       is_noted(s, process, &ours->worker) ||
	       (supervisor != 0 && is_child_of(process, supervisor));
}

static int scan_entry(struct scan *s, DIR *proc, const char *name)
{
	struct stat st;

	s->pid = entry_number(name);
	if (s->pid == 0)
		return 0;
	_cleanup_fd_ int process = openat(dirfd(proc), name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (process < 0 || fstat(process, &st) < 0)
		return scan_failed(s, errno);
	s->uid = st.st_uid;
	s->process = process;
	return is_ours(s, process) ? 0 : scan_process(s, process);
}

int procscan_run(const struct scan_options *o, struct scan_result *ret)
{
	_cleanup_(scan_result_deinit) struct scan_result result = SCAN_RESULT_NULL;
	_cleanup_free_ char *buffer = malloc(SCAN_BUFFER);
	_cleanup_dir_ DIR *proc = open_directory(AT_FDCWD, "/proc");
	struct scan s = {
		.options = o, .result = &result, .buffer = buffer, .must_see_all = geteuid() == 0};

	if (!buffer)
		return -ENOMEM;
	if (!proc)
		return -errno;
	for (unsigned i = 0; i < o->target_count; i++)
		s.seeks_devices |= o->targets[i].is_device;
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(proc);
		if (!e && errno)
			return -errno;
		if (!e)
			break;
		int r = scan_entry(&s, proc, e->d_name);
		if (r < 0)
			return r;
	}
	*ret = result;
	result = SCAN_RESULT_NULL;
	return 0;
}

/* ---- what to look for ---- */

static int find_own_mapping(struct scan_target *t, const void *address)
{
	_cleanup_free_ char *buffer = malloc(SCAN_BUFFER);
	_cleanup_fd_ int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct maps_reader reader = {.length = 0};
	struct maps_line line;
	ssize_t n;

	if (!buffer)
		return -ENOMEM;
	if (fd < 0)
		return -errno;
	while ((n = read(fd, buffer, SCAN_BUFFER)) > 0) {
		const char *text = buffer;
		size_t length = (size_t)n;
		while (length > 0) {
			int r = maps_read_line(&reader, &text, &length, &line);
			if (r <= 0 || line.start > (uintptr_t)address ||
				line.end <= (uintptr_t)address)
				continue;
			t->maps_major = line.major;
			t->maps_minor = line.minor;
			t->maps_ino = line.ino;
			return 0;
		}
	}
	return n < 0 ? -errno : -ENOENT;
}

int procscan_identify(struct scan_target *ret, int fd, const void *address)
{
	struct scan_target t = {.has_fdinfo_ino = false};
	char name[16];
	struct statx st;
	int r = find_own_mapping(&t, address);

	if (r < 0)
		return r;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO, &st) < 0)
		return -errno;
	t.ino = st.stx_ino;
	t.dev_major = st.stx_dev_major;
	t.dev_minor = st.stx_dev_minor;
	_cleanup_fd_ int self = open("/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (self < 0)
		return -errno;
	(void)snprintf(name, sizeof(name), "%d", fd);
	r = read_fdinfo_ino(self, name, &t.fdinfo_ino);
	if (r < 0 && r != -ENODATA)
		return r;
	t.has_fdinfo_ino = r == 0;
	*ret = t;
	return 0;
}

void procscan_identify_device(struct scan_target *ret, dev_t rdev, const char *node)
{
	struct scan_target t = {
		.is_device = true, .rdev_major = major(rdev), .rdev_minor = minor(rdev)};
	struct stat st;

	/* A node that is gone or another's by now: then map_files alone finds mappings. */
	if (stat(node, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == rdev) {
		t.maps_major = major(st.st_dev);
		t.maps_minor = minor(st.st_dev);
		t.maps_ino = st.st_ino;
	}
	*ret = t;
}
