/* SPDX-License-Identifier: MIT */
/*
 * What the files of the operations share: ops.c, ops_links.c and ops_xattr.c, and ops_setattr.c,
 * ops_space.c and ops_revoke.c with the requests that may be answered later, the first two's by
 * ops_parked.c.
 */
#ifndef GM_FUSE_OPS_INTERNAL_H
#define GM_FUSE_OPS_INTERNAL_H

#include "fuse/ops.h"
#include "fuse/slots.h"

/* Nobody but this mount changes names and attributes, so that the kernel may keep what it knows. */
#define CACHE_SECONDS 86400.0

static inline struct ops *ops_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct ns_request request_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct ns_request rq = {
		.unique = ops_of(req)->unique,
		.uid = ctx->uid,
		.gid = ctx->gid,
		.umask = ctx->umask,
	};

	clock_gettime(CLOCK_REALTIME, &rq.now);
	return rq;
}

/* Should the worker die now, this is the request that it was at, and the step of it. */
static inline void ops_note_serving(const struct ops *o, uint64_t unique, uint64_t step)
{
	if (!o->serving)
		return;
	o->serving->step = step;
	__atomic_store_n(&o->serving->unique, unique, __ATOMIC_RELEASE);
}

static inline void reply_error(fuse_req_t req, int r)
{
	fuse_reply_err(req, -r);
}

/*
 * Puts a request that failed with p->error aside until the helper has looked. False if there is no
 * point in it.
 */
bool ops_park(struct ops *o, struct parked *p);

/*
 * Puts a request that is -EINPROGRESS aside: until p->zeroing is done, or until its next step if it
 * goes on, or else until the memory of the content store is there. False: out of memory.
 */
bool ops_park_pending(struct ops *o, struct parked *p);

/*
 * The end of a first try that gave p->error: parks what can be parked, answers everything else. A
 * setattr that is done has its answer in st.
 */
void ops_settle(struct ops *o, struct parked *p, const struct stat *st);

/* A read or write: 0 it is done and answered; else it is not answered yet. */
int ops_try_content(struct ops *o, const struct parked *p);

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	struct fuse_file_info *fi);

/* Says in the log why a file can't have this size, if that is why. */
void ops_explain_size(struct ops *o, uint64_t ino, uint64_t size);

/* A fallocate: 0 it is done; -EINPROGRESS when p->zeroing is, or p goes on; another negative errno:
 * it failed. */
int ops_try_fallocate(struct ops *o, struct parked *p);

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
	struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);

void op_setattr(
	fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
	int flags);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* What the kernel may remember of an inode that it was told of. */
struct fuse_entry_param ops_entry_of(const struct stat *st);
void ops_reply_entry(fuse_req_t req, int r, const struct stat *st);

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);

/* Takes the request over if it returns 0; it is answered by ops_take_revoked(). */
int ops_begin_revoke(fuse_req_t req, uint64_t ino, const struct gm_revoke *m);

/* Asks for those that have waited for the helper. */
void ops_ask_revokes(struct ops *o);

static inline void reply_attr(fuse_req_t req, int r, const struct stat *st)
{
	if (r < 0)
		reply_error(req, r);
	else
		fuse_reply_attr(req, st, CACHE_SECONDS);
}

#endif
