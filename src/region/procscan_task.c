// SPDX-License-Identifier: MIT
/*
 * What one task maps and has open, of what is looked for. A device is known by its number, a file
 * by its inode number as maps, fdinfo or statx(2) tell it; no foreign file system is asked.
 */
#include "region/procscan_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region/maps.h"
#include "region/proc.h"
#include "util/cleanup_file.h"

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

int scan_maps(struct scan *s, int task, bool *seen)
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

int scan_fdinfo_ino(int task, const char *name, uint64_t *ret)
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
	int r = scan_fdinfo_ino(task, name, &ino);
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

int scan_descriptors(struct scan *s, int task)
{
	_cleanup_dir_ DIR *d = proc_open_directory(task, "fd");

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
