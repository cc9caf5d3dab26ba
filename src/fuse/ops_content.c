// SPDX-License-Identifier: MIT
/*
 * Read and write, for files with content. Bytes go straight between the request's buffer and the
 * content store; what is not mapped yet is waited for.
 */
#include <errno.h>

#include "fuse/ops_internal.h"
#include "util/cleanup.h"

/*
 * The kernel copies from where the bytes lie, and has a request fail whose answer is not there to
 * be copied when the worker is killed just then: so they are there before.
 */
static void touch(const struct iovec *parts, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		const volatile uint8_t *bytes = parts[n].iov_base;

		for (size_t at = 0; at < parts[n].iov_len; at += GM_UNIT_SIZE)
			(void)bytes[at];
		if (parts[n].iov_len > 0)
			(void)bytes[parts[n].iov_len - 1];
	}
}

static int try_read(struct ops *o, const struct parked *p)
{
	_cleanup_free_ struct iovec *parts = NULL;
	size_t count = 0;
	int r = ns_read(o->ns, p->ino, &p->range, &parts, &count);

	if (r < 0)
		return r;
	touch(parts, count);
	fuse_reply_iov(p->req, parts, (int)count);
	return 0;
}

int ops_try_content(struct ops *o, const struct parked *p)
{
	int r;

	if (p->what == PARKED_READ)
		return try_read(o, p);
	r = ns_write(o->ns, &p->rq, p->ino, &p->range, p->data);
	if (r == 0)
		fuse_reply_write(p->req, p->range.length);
	return r;
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	struct parked p = {
		.req = req,
		.rq = request_of(req),
		.what = PARKED_READ,
		.range = {.offset = (uint64_t)offset, .length = size},
		.ino = ino,
	};

	(void)fi;
	p.error = ops_try_content(o, &p);
	ops_settle(o, &p, NULL);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	struct parked p = {
		.req = req,
		.rq = request_of(req),
		.what = PARKED_WRITE,
		.range = {.offset = (uint64_t)offset, .length = size},
		.data = data,
		.ino = ino,
	};

	(void)fi;
	p.error = ops_try_content(o, &p);
	ops_settle(o, &p, NULL);
}
