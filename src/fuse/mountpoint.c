// SPDX-License-Identifier: MIT
#include "fuse/mountpoint.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuse/spawn.h"
#include "util/cleanup.h"
#include "util/log.h"

#define DEATH_TRIES 200U /* of 10 ms */

static void close_filep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

/* The kernel writes blanks, tabs, newlines and backslashes as \ooo. In place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		unsigned value = 0;
		int n = 0;

		if (*from == '\\' && sscanf(from + 1, "%3o%n", &value, &n) == 1 && n == 3) {
			*to++ = (char)value;
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

/*
 * True if the connection has ended. The file system's numbers are what the kernel never answers
 * from a cache: access(2) and stat(2) may succeed on a mount that died long ago.
 */
static bool is_dead(const char *path)
{
	struct statfs ignored;

	return statfs(path, &ignored) < 0 && errno == ENOTCONN;
}

/*
 * The kernel closes what a killed process had open in no certain order: the regions' lock may be
 * free, and so a successor be here, a moment before the mount has died.
 */
static bool dies(const char *path)
{
	const struct timespec moment = {.tv_nsec = 10000000};

	for (unsigned tries = 0; tries < DEATH_TRIES; tries++) {
		if (is_dead(path))
			return true;
		(void)nanosleep(&moment, NULL);
	}
	return false;
}

/*
 * A line is "36 35 98:0 /root /mount/point options [tags...] - fstype source
 * super-options", see proc(5).
 */
static bool parse_line(char *line, const char *path, struct mountpoint_entry *ret)
{
	char *words[5], *rest = line, *fstype, *source;
	unsigned major, minor;

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		words[i] = strsep(&rest, " ");
		if (!words[i])
			return false;
	}
	unescape(words[4]);
	if (!rest || strcmp(words[4], path) != 0 || sscanf(words[2], "%u:%u", &major, &minor) != 2)
		return false;
	rest = strstr(rest, " - ");
	if (!rest)
		return false;
	rest += 3;
	fstype = strsep(&rest, " ");
	source = strsep(&rest, " ");
	if (!fstype || !source)
		return false;
	unescape(source);
	log_mask(source); /* whoever has mounted it may have called it anything */
	log_mask(fstype); /* and its subtype */
	ret->device = makedev(major, minor);
	(void)snprintf(ret->fstype, sizeof(ret->fstype), "%s", fstype);
	(void)snprintf(ret->source, sizeof(ret->source), "%s", source);
	return true;
}

int mountpoint_find(struct mountpoint_entry *ret, const char *path)
{
	_cleanup_(close_filep) FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	struct mountpoint_entry entry;
	size_t room = 0;
	int found = 0;

	if (!f)
		return -errno;
	/* A mount that covers another one comes after it. */
	while (getline(&line, &room, f) > 0)
		if (parse_line(line, path, &entry)) {
			*ret = entry;
			found = 1;
		}
	return ferror(f) ? -EIO : found;
}

bool mountpoint_is_ours(const char *path, dev_t device)
{
	struct mountpoint_entry entry;

	return mountpoint_find(&entry, path) == 1 && entry.device == device &&
	       strcmp(entry.fstype, MOUNTPOINT_FSTYPE) == 0;
}

/* fusermount3 is installed setuid root, for users who may not unmount themselves. */
static int run_fusermount(const char *path, struct problem *why)
{
	static const char *const places[] = {"/usr/bin/fusermount3", "/bin/fusermount3"};
	char *argv[] = {(char *)"fusermount3", (char *)"-u", (char *)"-z", (char *)"--",
		(char *)path, NULL};
	struct spawn spawn = {.argv = argv};
	struct process process;
	int status, r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(places) && r == -ENOENT; i++) {
		spawn.path = places[i];
		r = spawn_process(&process, &spawn, why);
	}
	if (r < 0)
		return r;
	(void)process_wait(&process, -1, &status);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return problem(why, EPERM, "fusermount3 could not unmount %s", path);
	return 0;
}

static int detach(const char *path, struct problem *why)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno != EPERM)
		return problem_errno(why, errno, "unmounting %s", path);
	return run_fusermount(path, why);
}

int mountpoint_detach(const char *path, dev_t device, struct problem *why)
{
	return mountpoint_is_ours(path, device) ? detach(path, why) : 0;
}

int mountpoint_prepare(const char *path, struct problem *why)
{
	struct mountpoint_entry entry;
	struct stat st;

	/* Several may lie there, one upon the other. */
	for (;;) {
		int r = mountpoint_find(&entry, path);

		if (r < 0)
			return problem_errno(why, -r, "reading /proc/self/mountinfo");
		if (r == 0)
			break;
		if (strcmp(entry.fstype, MOUNTPOINT_FSTYPE) != 0)
			return problem(why, EBUSY,
				"%s: %s (%s) is mounted there; unmount it, or choose another "
				"mount point",
				path, entry.source, entry.fstype);
		if (!dies(path))
			return problem(why, EBUSY,
				"%s: a guestmemfs named %s is mounted there and alive; end it "
				"first (SIGTERM to its guestmemfs-fuse, or fusermount3 -u), or "
				"choose another mount point",
				path, entry.source);
		log_warning("%s: what is left of a mount of %s that has died is detached", path,
			entry.source);
		r = detach(path, why);
		if (r < 0)
			return problem_prefix(why, r,
				"%s: detaching what is left of a mount that has died", path);
	}
	if (stat(path, &st) < 0)
		return problem_errno(why, errno, "mount point %s", path);
	if (!S_ISDIR(st.st_mode))
		return problem(why, ENOTDIR, "mount point %s is not a directory", path);
	/* What fusermount3 asks of a plain user; it would say so on our stderr only. */
	if (geteuid() != 0 && access(path, W_OK) < 0)
		return problem_errno(why, errno,
			"mount point %s: a user other than root must be able to write to it", path);
	return 0;
}

/* Resolves all but the last component, which may be a dead mount: whatever touches that fails. */
static char *resolve_parent(const char *given)
{
	_cleanup_free_ char *copy = strdup(given);
	_cleanup_free_ char *parent = NULL;
	char *last, *end, *path;

	if (!copy)
		return NULL;
	end = copy + strlen(copy);
	while (end > copy + 1 && end[-1] == '/')
		*--end = '\0';
	last = strrchr(copy, '/');
	if (strcmp(last ? last + 1 : copy, ".") == 0 || strcmp(last ? last + 1 : copy, "..") == 0 ||
		strcmp(copy, "/") == 0)
		return realpath(copy, NULL);
	if (last)
		*last = '\0';
	parent = realpath(!last ? "." : *copy ? copy : "/", NULL);
	if (!parent)
		return NULL;
	if (asprintf(&path, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent,
		    last ? last + 1 : copy) < 0)
		return NULL;
	return path;
}

int mountpoint_resolve(char **ret, const char *given, struct problem *why)
{
	_cleanup_free_ char *path = resolve_parent(given);
	struct mountpoint_entry entry;
	char *resolved;

	if (!path)
		return problem_errno(why, errno, "mount point %s", given);
	if (mountpoint_find(&entry, path) == 0) {
		/*
		 * No mount right there: then its last component can be looked
		 * at. It may be a symlink.
		 */
		resolved = realpath(path, NULL);
		if (!resolved)
			return problem_errno(why, errno, "mount point %s", given);
		free(path);
		path = resolved;
	}
	*ret = steal_pointer(path);
	return 0;
}
