// SPDX-License-Identifier: MIT
/* guestmemfs dump: a file's memory to standard output, holes as zeros. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/openable.h"
#include "cli/progress.h"
#include "cli/window.h"
#include "util/cleanup.h"

struct dump {
	struct gm_attachment *attachment;
	uint64_t done;
	struct progress progress;
};

/* offset: of the data in the file. Memory that can't be read is an error of write(2): the kernel
 * reads it. */
static int dump_write(const char *data, uint64_t offset, uint64_t length, struct problem *why)
{
	while (length > 0) {
		ssize_t n = write(STDOUT_FILENO, data, length);
		if (interrupt_pending())
			return problem(why, EINTR, "interrupted");
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EFAULT || errno == EHWPOISON))
			return problem(why, EIO,
				"the file can't be read at offset %" PRIu64
				": the memory there is bad, or not there any more",
				offset);
		if (n < 0 && errno == EPIPE)
			return problem(why, EPIPE, "nobody reads standard output any more");
		if (n < 0)
			return problem_errno(why, errno, "writing to standard output");
		data += n;
		offset += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return 0;
}

static int dump_hole(struct dump *d, uint64_t end, struct problem *why)
{
	_cleanup_free_ char *zeros = d->done < end ? calloc(1, GM_BLOCK_SIZE) : NULL;

	if (d->done < end && !zeros)
		return problem_errno(why, ENOMEM, "writing a hole");
	while (d->done < end) {
		uint64_t length = end - d->done < GM_BLOCK_SIZE ? end - d->done : GM_BLOCK_SIZE;
		int r = dump_write(zeros, d->done, length, why);
		if (r < 0)
			return r;
		d->done += length;
		progress_update(&d->progress, d->done);
	}
	return 0;
}

static int dump_memory(struct dump *d, uint64_t end, struct problem *why)
{
	while (d->done < end) {
		_cleanup_(window_close) struct window w = {.data = NULL};
		uint64_t length = end - d->done < WINDOW_SIZE ? end - d->done : WINDOW_SIZE;
		int r = window_open(&w, d->attachment, d->done, length, PROT_READ, why);

		if (r == 0)
			r = dump_write(w.data, d->done, length, why);
		if (r < 0)
			return r;
		d->done += length;
		progress_update(&d->progress, d->done);
	}
	return 0;
}

static int dump_all(struct dump *d, struct problem *why)
{
	uint64_t size = gm_size(d->attachment);
	int r = 0;

	progress_begin(&d->progress, size);
	for (size_t i = 0; i < gm_extent_count(d->attachment) && r == 0; i++) {
		struct gm_extent_info e;

		r = gm_extent(d->attachment, i, &e);
		if (r < 0)
			return problem(why, -r, "%s", gm_last_problem());
		uint64_t end = e.file_offset + e.length;
		r = dump_hole(d, e.file_offset < size ? e.file_offset : size, why);
		if (r == 0)
			r = dump_memory(d, end < size ? end : size, why);
	}
	if (r == 0)
		r = dump_hole(d, size, why);
	if (r == 0)
		progress_end(&d->progress, d->done);
	return r;
}

static int dump_file(const char *path, struct problem *why)
{
	_cleanup_(gm_detachp) struct gm_attachment *a = NULL;
	struct stat st;

	/* Should it have become a FIFO since, nobody waits for its other end. */
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return problem_errno(why, errno, "opening %s", path);
	if (!S_ISREG(st.st_mode) || !gm_is_guestmemfs(fd))
		return problem(why, ENOTTY, "%s is not a file of a guestmemfs mount", path);
	if (st.st_size == 0)
		return 0;
	int r = window_attach(&a, fd, why);
	if (r < 0)
		return r;
	struct dump d = {.attachment = a};
	return dump_all(&d, why);
}

static int run_dump(const struct cli_command *self, int argc, char **argv)
{
	struct problem why = PROBLEM_INIT;
	int code = CLI_DONE;

	if (!cli_parse_simple(self, argc, argv, NULL, "FILE", &code))
		return code;
	if (isatty(STDOUT_FILENO))
		return cli_usage_error(
			self, "standard output is a terminal: send it to a file or a pipe");
	if (openable_check(argv[optind], &why) < 0)
		return cli_fail(&why);
	interrupt_watch();
	if (dump_file(argv[optind], &why) == 0)
		return CLI_DONE;
	code = cli_fail(&why);
	interrupt_obey();
	return code;
}

const struct cli_command cli_dump = {
	.name = "dump",
	.usage = "FILE > DATA",
	.summary = "write a file's memory to standard output",
	.help = "The file may be mapped by a running guest: what is written then is what each\n"
		"page held when it was read. Holes are written as zeros. Progress is shown where\n"
		"standard error is a terminal.\n\n"
		"  --help  print this",
	.run = run_dump,
};
