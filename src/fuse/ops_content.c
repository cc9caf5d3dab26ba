// SPDX-License-Identifier: MIT
/*
 * Read and write, for files with content. Bytes go straight between the request's buffer and the
 * content store; what is not mapped yet is waited for.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "fuse/ops_internal.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"

/* ---- memory that can't be reached ---- */

#define FAULT_LINES 5U /* a period: reading again is anybody's to do */

static void log_gone(struct ops *o, const struct alloc_extent *block)
{
	unsigned left_out;

	if (!limiter_allow(&o->faults, FAULT_LINES, clock_milliseconds(), &left_out))
		return;
	if (left_out)
		log_error("%u lines about content that can't be reached were left out", left_out);
	log_error("block %" PRIu64 " of region %" PRIu32
		  ", where files have their content, can't be reached: was the region cut short, "
		  "or its device taken away?",
		block->block, block->region);
}

static void log_poison(const struct ns_fault *fault)
{
	log_error(
		"a memory error in block %" PRIu64 " of region %" PRIu32
		": what files with content have in it is lost (EIO), and nothing new is put there",
		fault->block.block, fault->block.region);
	if (fault->error < 0)
		log_error("the memory error could not be journalled: %s", strerror(-fault->error));
}

void ops_note_faults(struct ops *o)
{
	for (struct ns_fault fault; ns_next_fault(o->ns, &fault);) {
		if (fault.poisoned)
			log_poison(&fault);
		else
			log_gone(o, &fault.block);
	}
}

/* ---- reading and writing ---- */

/* The kernel could not read all of them, and has answered EIO by itself. */
static void probe(const struct ops *o, const struct iovec *parts, size_t count)
{
	for (size_t n = 0; n < count; n++)
		content_memory_probe(o->ns->memory, parts[n].iov_base, parts[n].iov_len);
}

/*
 * The kernel copies from where the bytes lie, and has a request fail whose answer is not there to
 * be copied when the worker is killed just then: so they are there before. What can't be reached
 * shows when the kernel tries.
 */
static void populate(const struct iovec *parts, size_t count)
{
	const uint8_t *last = NULL; /* parts of a hole are all the same */

	for (size_t n = 0; n < count; n++) {
		uint8_t *bytes = parts[n].iov_base;
		size_t skip = (uintptr_t)bytes % GM_UNIT_SIZE;

		if (bytes != last && parts[n].iov_len > 0)
			(void)madvise(bytes - skip, parts[n].iov_len + skip, MADV_POPULATE_READ);
		last = bytes;
	}
}

static int try_read(struct ops *o, const struct parked *p)
{
	_cleanup_free_ struct iovec *parts = NULL;
	size_t count = 0;
	int r = ns_read(o->ns, p->ino, &p->range, &parts, &count);

	if (r < 0)
		return r;
	populate(parts, count);
	if (fuse_reply_iov(p->req, parts, (int)count) == -EFAULT)
		probe(o, parts, count);
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

/*
 * What was written is where it stays when it is answered. But the kernel must ask each time: it
 * drops the dirty pages of a mount that has died without a word, and only by this request, which
 * fails then, does fsync(2) or msync(2) get to know.
 */
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, 0);
}
