// SPDX-License-Identifier: MIT
/*
 * guestmemfs load: standard input into a file's memory. The file grows by what was read, step by
 * step and never by more, since what it has once granted it can't give back. What load made, it
 * removes again if it fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/openable.h"
#include "cli/progress.h"
#include "cli/window.h"
#include "guestmemfs/types.h"
#include "util/cleanup.h"

struct load {
	const char *path;
	int fd;
	bool created;
	uint64_t size; /* what is in the file by now */
	char *buffer;  /* WINDOW_SIZE bytes */
};

static int load_open_existing(struct load *l, struct problem *why)
{
	l->fd = open(l->path, O_RDWR | O_CLOEXEC);
	if (l->fd < 0)
		return -errno;
	if (!gm_is_guestmemfs(l->fd))
		return problem(why, ENOTTY, "%s is not a file of a guestmemfs mount", l->path);
	return 0;
}

/* The directory is looked at first, so that nothing is made elsewhere by mistake. */
static int load_create(struct load *l, struct problem *why)
{
	_cleanup_free_ char *for_dir = strdup(l->path);
	_cleanup_free_ char *for_name = strdup(l->path);

	if (!for_dir || !for_name)
		return problem_errno(why, ENOMEM, "%s", l->path);
	_cleanup_fd_ int dir = open(dirname(for_dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return problem_errno(why, errno, "the directory of %s", l->path);
	if (!gm_is_guestmemfs(dir))
		return problem(why, ENOTTY, "%s would not be on a guestmemfs mount", l->path);
	l->fd = openat(dir, basename(for_name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (l->fd < 0 && errno == EEXIST)
		return problem(why, EEXIST, "%s is a symlink, and what it points to is not there",
			l->path);
	if (l->fd < 0)
		return problem_errno(why, errno, "making %s", l->path);
	l->created = true;
	return 0;
}

static int load_empty(struct load *l, struct problem *why)
{
	struct stat st;

	if (fstat(l->fd, &st) < 0)
		return problem_errno(why, errno, "%s", l->path);
	if (st.st_size == 0 || ftruncate(l->fd, 0) == 0)
		return 0;
	if (errno == EBUSY)
		return problem(why, EBUSY,
			"%s is held: some process maps its memory or may still do so ('guestmemfs "
			"status' names it), so nothing in it is replaced; end that one, or load "
			"into a new file",
			l->path);
	return problem_errno(why, errno, "emptying %s", l->path);
}

static int load_open(struct load *l, struct problem *why)
{
	int r = load_open_existing(l, why);

	if (r == -ENOENT && l->fd < 0)
		r = load_create(l, why);
	else if (r < 0 && l->fd < 0)
		r = problem_errno(why, -r, "opening %s", l->path);
	return r < 0 ? r : load_empty(l, why);
}

/* Reads until the buffer is full or the input ends; the number of bytes, or negative. */
static ssize_t load_read(struct load *l, struct problem *why)
{
	size_t have = 0;

	while (have < WINDOW_SIZE) {
		if (interrupt_wait(STDIN_FILENO, POLLIN) == -EINTR)
			return problem(why, EINTR, "interrupted");
		ssize_t n = read(STDIN_FILENO, l->buffer + have, WINDOW_SIZE - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return problem_errno(why, errno, "reading standard input");
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* Where memory is given out by whole GiBs, other sizes are refused: the last one is then made
 * whole, and reads zero behind the data. */
static int load_truncate(const struct load *l, uint64_t size)
{
	if (ftruncate(l->fd, (off_t)size) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	size = (size + GM_GROUP_SIZE - 1) / GM_GROUP_SIZE * GM_GROUP_SIZE;
	return ftruncate(l->fd, (off_t)size) == 0 ? 0 : -errno;
}

static int load_grow(struct load *l, uint64_t size, struct problem *why)
{
	int r = load_truncate(l, size);

	if (r == 0)
		return 0;
	if (r == -ENOSPC)
		return problem(why, ENOSPC,
			"no space for %s beyond the %" PRIu64
			" bytes read so far: see 'guestmemfs status'",
			l->path, l->size);
	return problem_errno(why, -r, "growing %s to %" PRIu64 " bytes", l->path, size);
}

static int load_step(struct load *l, size_t length, struct problem *why)
{
	_cleanup_(gm_detachp) struct gm_attachment *a = NULL;
	_cleanup_(window_close) struct window w = {.data = NULL};
	int r = load_grow(l, l->size + length, why);

	if (r == 0)
		r = window_attach(&a, l->fd, why); /* anew: the last one ends where the file did */
	if (r == 0)
		r = window_open(&w, a, l->size, length, PROT_READ | PROT_WRITE, why);
	if (r < 0)
		return r;
	memcpy(w.data, l->buffer, length);
	l->size += length;
	return 0;
}

static uint64_t load_input_size(void)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	return at >= 0 && at < st.st_size ? (uint64_t)(st.st_size - at) : 0;
}

static int load_all(struct load *l, struct problem *why)
{
	struct progress progress;
	ssize_t n = 0;

	progress_begin(&progress, load_input_size());
	do {
		n = load_read(l, why);
		int r = n > 0 ? load_step(l, (size_t)n, why) : (int)n;
		if (r < 0)
			return r;
		progress_update(&progress, l->size);
	} while (n == (ssize_t)WINDOW_SIZE);
	progress_end(&progress, l->size);
	return 0;
}

/* Only if the name still is that file. */
static void load_discard(const struct load *l)
{
	struct stat ours;
	struct stat named;

	if (fstat(l->fd, &ours) == 0 && lstat(l->path, &named) == 0 &&
		ours.st_dev == named.st_dev && ours.st_ino == named.st_ino)
		(void)unlink(l->path);
}

static int load_file(const char *path, struct problem *why)
{
	_cleanup_free_ char *buffer = malloc(WINDOW_SIZE);
	struct load l = {.path = path, .fd = -1, .buffer = buffer};

	if (!buffer)
		return problem_errno(why, ENOMEM, "loading %s", path);
	interrupt_watch();
	int r = load_open(&l, why);
	if (r == 0)
		r = load_all(&l, why);
	if (r < 0 && l.created)
		load_discard(&l);
	(void)close_fd(l.fd);
	return r;
}

static int run_load(const struct cli_command *self, int argc, char **argv)
{
	struct problem why = PROBLEM_INIT;
	int code = CLI_DONE;

	if (!cli_parse_simple(self, argc, argv, NULL, "FILE", &code))
		return code;
	if (openable_check(argv[optind], &why) < 0)
		return cli_fail(&why);
	if (load_file(argv[optind], &why) == 0)
		return CLI_DONE;
	code = cli_fail(&why);
	interrupt_obey();
	return code;
}

const struct cli_command cli_load = {
	.name = "load",
	.usage = "FILE < DATA",
	.summary = "fill a file's memory from standard input",
	.help = "FILE is made if it is not there (mode 0600) and emptied if it is. A file that\n"
		"somebody maps can't be emptied. Progress is shown where standard error is a\n"
		"terminal. On a pool with pages of 1G the file is made of whole GiBs, and what\n"
		"the data leave of the last one is zero.\n\n"
		"  --help  print this",
	.run = run_load,
};
