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
#include "region/procscan_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "region/proc.h"
#include "util/cleanup_file.h"

void scan_result_deinit(struct scan_result *r)
{
	free(r->uses);
	*r = SCAN_RESULT_NULL;
}

int scan_add(struct scan *s, const struct scan_use *use)
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

static void note_shut(struct scan *s)
{
	_cleanup_fd_ int process = proc_open(s->pid);
	struct proc_stat stat;
	char text[4096];

	if (process < 0 || proc_read_text(process, "status", text, sizeof(text)) < 0 ||
		!proc_is_own_user(text) || !proc_read_stat(process, &stat))
		return;
	/* What waits for its parent reaches nothing; a leader may be gone before its threads. */
	if ((stat.state == 'Z' || stat.state == 'X') && stat.threads <= 1)
		return;
	if (s->result->shut && s->result->shut_began > stat.began)
		return;
	s->result->shut = s->pid;
	s->result->shut_began = stat.began;
}

int scan_failed(struct scan *s, int error)
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

/* ---- processes ---- */

static bool same_descriptors(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_FILES, 0UL, 0UL) == 0;
}

static int scan_task(struct scan *s, DIR *tasks, const char *name, bool *seen, pid_t *reference)
{
	pid_t tid = proc_entry_number(name);

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
	_cleanup_dir_ DIR *tasks = proc_open_directory(process, "task");
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

static int scan_entry(struct scan *s, DIR *proc, const char *name)
{
	struct stat st;

	s->pid = proc_entry_number(name);
	if (s->pid == 0)
		return 0;
	_cleanup_fd_ int process = openat(dirfd(proc), name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (process < 0 || fstat(process, &st) < 0)
		return scan_failed(s, errno);
	s->uid = st.st_uid;
	s->process = process;
	return scan_is_ours(s, process) ? 0 : scan_process(s, process);
}

int procscan_run(const struct scan_options *o, struct scan_result *ret)
{
	_cleanup_(scan_result_deinit) struct scan_result result = SCAN_RESULT_NULL;
	_cleanup_free_ char *buffer = malloc(SCAN_BUFFER);
	_cleanup_dir_ DIR *proc = proc_open_directory(AT_FDCWD, "/proc");
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
