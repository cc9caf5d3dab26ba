// SPDX-License-Identifier: MIT
/*
 * Fallocate and lseek. The kernel has checked the range, and that the file is open for writing. The
 * bytes of a guest are not ours to touch: the parts of blocks at the ends of a punched range are
 * zeroed by the helper first.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "fuse/grants.h"
#include "fuse/ops_internal.h"

static int space_of(int mode, enum ns_space *ret)
{
	switch (mode) {
	case 0:
		*ret = NS_ALLOCATE;
		return 0;
	case FALLOC_FL_KEEP_SIZE:
		*ret = NS_ALLOCATE_KEEP;
		return 0;
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
		*ret = NS_PUNCH;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/*
 * What is allocated for content is zeroed here, in the thread that serves everybody: so much a
 * turn. The number of the request stands in the last step's record only, since that is what tells a
 * later worker that it was carried out; and the size grows with that one.
 */
static int change_step(struct ops *o, struct parked *p)
{
	struct ns_range step = p->range;
	struct ns_request rq = p->rq;
	enum ns_space space = p->space;
	int r;

	p->goes_on = false;
	step.length = ns_space_step(o->ns, p->ino, space, &p->range);
	if (step.length < p->range.length) {
		rq.unique = 0;
		space = NS_ALLOCATE_KEEP;
	}
	r = ns_change_space(o->ns, &rq, p->ino, space, &step);
	if (r < 0 || step.length == p->range.length)
		return r;
	p->goes_on = true;
	p->done += step.length;
	p->range.offset += step.length;
	p->range.length -= step.length;
	return -EINPROGRESS;
}

int ops_try_fallocate(struct ops *o, struct parked *p)
{
	struct ns_range ends[GRANTS_RANGES_MAX];
	int count = 0;

	if (p->space == NS_PUNCH)
		count = ns_punch_edges(o->ns, p->ino, &p->range, ends);
	if (count < 0)
		return count;
	if (count > 0) {
		int r = grants_zero(o->grants, p->ino, ends, (unsigned)count, &p->zeroing);

		return r < 0 ? r : -EINPROGRESS;
	}
	return change_step(o, p);
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
	struct fuse_file_info *fi)
{
	struct ops *o = ops_of(req);
	struct parked p = {
		.req = req,
		.rq = request_of(req),
		.what = PARKED_FALLOCATE,
		.range = {.offset = (uint64_t)offset, .length = (uint64_t)length},
		.ino = ino,
	};

	(void)fi;
	p.error = space_of(mode, &p.space);
	/* Of a punch the record says that it was begun. */
	if (p.error == 0 && !(o->applied && p.space != NS_PUNCH))
		p.error = ops_try_fallocate(o, &p);
	if (p.error == -EINVAL && p.space == NS_ALLOCATE)
		ops_explain_size(o, ino, p.range.offset + p.range.length);
	ops_settle(o, &p, NULL);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	uint64_t found;
	int r = ns_seek(ops_of(req)->ns, ino, (uint64_t)offset, whence, &found);

	(void)fi;
	if (r < 0)
		reply_error(req, r);
	else
		fuse_reply_lseek(req, (off_t)found);
}
