// SPDX-License-Identifier: MIT
/*
 * Processes that are known by their number and when they began, and which of those that reach a
 * region do so by right.
 */
#include "region/procscan_internal.h"

#include <string.h>
#include <unistd.h>

#include "region/proc.h"
#include "util/cleanup_file.h"

/* A pid has 22 bits at most (PID_MAX_LIMIT); the others have milliseconds of a hundred years. */
#define PID_BITS 22

static scan_mark make_mark(pid_t pid, const struct proc_stat *stat)
{
	return stat->began << PID_BITS | (uint64_t)pid;
}

static scan_mark note(pid_t pid, int process)
{
	struct proc_stat stat;

	return proc_read_stat(process, &stat) ? make_mark(pid, &stat) : 0;
}

static pid_t get_pid(scan_mark p)
{
	return (pid_t)(p & ((1U << PID_BITS) - 1));
}

scan_mark procscan_note(pid_t pid)
{
	_cleanup_fd_ int process = pid > 0 ? proc_open(pid) : -1;

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
	struct proc_stat child, parent;
	char text[4096];

	if (!proc_read_stat(process, &child) || child.parent != get_pid(supervisor))
		return false;
	_cleanup_fd_ int of = proc_open(get_pid(supervisor));
	/* It may have ended, and its number be another's by now. */
	if (of < 0 || !proc_read_stat(of, &parent) ||
		make_mark(get_pid(supervisor), &parent) != supervisor ||
		child.session != parent.session)
		return false;
	if (proc_read_text(process, "cmdline", text, sizeof(text)) < 0)
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

bool scan_is_ours(const struct scan *s, int process)
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
