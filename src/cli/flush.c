// SPDX-License-Identifier: MIT
#include "cli/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cli/aside.h"
#include "cli/interrupt.h"
#include "cli/look.h"
#include "util/cleanup.h"

struct outcome {
	bool opened;
	int error; /* a positive errno; 0: all is written */
};

static void flush(const char *path, void *result)
{
	struct outcome *o = result;
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	o->opened = fd >= 0;
	/* A mount that is in another namespace, say, has its share of everything's. */
	if (fd < 0 && errno == ENOENT)
		sync();
	else if (fd < 0 || syncfs(fd) < 0)
		o->error = errno;
}

/* The kernel may have much to write: as long as the worker answers it is waited for. */
static int wait_for(struct aside *a, struct outcome *ret, int patience, flush_ask ask, void *data,
	struct problem *why)
{
	for (int waited = 1;; waited++) {
		int r = aside_wait(a, ret, sizeof(*ret), 1);

		if (r != -ETIMEDOUT)
			return r < 0 ? problem(why, -r, "who was to have it written has ended") : 0;
		if (interrupt_held())
			return problem(why, EINTR, "interrupted");
		r = waited % patience == 0 ? ask(data, why) : 0;
		if (r < 0)
			return r;
	}
}

int flush_mount(const char *path, flush_ask ask, void *data, struct problem *why)
{
	struct outcome o = {.error = 0};
	struct aside a;
	int patience, r = look_get_patience(&patience, why);

	if (r < 0)
		return r;
	r = aside_begin(&a, flush, path, &o, sizeof(o));
	if (r < 0)
		return problem_errno(why, -r, "having the page cache written");
	r = wait_for(&a, &o, patience, ask, data, why);
	aside_end(&a);
	if (r < 0)
		return problem_prefix(why, r,
			"what the page cache has for files with content at %s is not all written",
			path);
	if (o.error && !o.opened)
		return problem_errno(why, o.error, "opening %s", path);
	if (o.error)
		return problem_errno(why, o.error,
			"writing what the page cache has for files with content at %s", path);
	return 0;
}
