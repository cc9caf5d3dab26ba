/* SPDX-License-Identifier: MIT */
/*
 * The FUSE operations: thin wrappers over the namespace. Each one replies exactly once, after what
 * it changed is on the media; what changes space, and what reads or writes content, may be answered
 * later (parked.h), and so is a revocation.
 *
 * The node id is the inode number, the file handle carries the access mode in itself: neither needs
 * a table, so that a restarted worker serves handles and nodes that it never saw.
 */
#ifndef GM_FUSE_OPS_H
#define GM_FUSE_OPS_H

#define FUSE_USE_VERSION 314

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "fuse/namespace.h"
#include "fuse/parked.h"
#include "fuse/refusals.h"
#include "fuse/revokes.h"
#include "util/limiter.h"

struct connection;
struct grants;
struct slots_serving;
struct tickets;

struct ops { /* the session's userdata; everything that it points to is the worker's */
	struct namespace *ns;
	struct fuse_session *session; /* ops_process() sets it */
	struct tickets *tickets;
	struct grants *grants;
	const char *grant_socket;   /* for GM_XATTR_SOCKET */
	const char *control_socket; /* for GM_XATTR_CONTROL */

	uint64_t unique; /* of the request that is being served; ops_process() sets it */
	/* An earlier worker has carried it out: only its answer is due. */
	bool applied;
	bool again;                    /* an earlier worker may have answered it */
	bool unwanted;                 /* it has tried, and the kernel did not take the answer */
	struct slots_serving *serving; /* where it stands while it is served; NULL: nowhere */
	struct connection *connection; /* whose session this is; for that alone */
	struct parked_list parked;
	uint64_t explain_after; /* in clock_milliseconds(): no sentence in the log before */
	struct revokes revokes;
	struct refusals refusals;
	struct limiter faults; /* lines about memory that is gone */
};

/* For fuse_session_new(), with a struct ops as userdata. */
extern const struct fuse_lowlevel_ops ops_table;

/* parked starts empty; the rest is the caller's to fill in. */
void ops_init(struct ops *o);

/* Answers what is still parked. The session must still be there. */
void ops_deinit(struct ops *o);

/*
 * Serves one request that fuse_session_receive_buf() has read: fuse_session_process_buf() for a
 * session whose userdata is o. It is here that the request's number is taken from the header, which
 * libfuse keeps to itself. The request's bytes stay where they are until it is answered.
 */
void ops_process(struct ops *o, struct fuse_session *se, const struct fuse_buf *buf);

/* What a RELEASE or RELEASEDIR does, but for the answer: for one that libfuse has no memory for,
 * while ops_process() serves it. */
void ops_close(struct ops *o, uint64_t ino);

/*
 * The helper has answered a grants_check() of this inode. FREE: ns_unhold() has been called
 * already; busy tells that somebody still holds it (or that no answer will come). Requests that
 * waited for it run again or fail. An answer that nobody waits for is fine.
 */
void ops_recheck(struct ops *o, uint64_t ino, bool busy);

/* Does a step of a request that is too much for one turn of the loop; whether one is due. */
void ops_go_on(struct ops *o);
bool ops_goes_on(const struct ops *o);

/* Memory of the content store has come, or can't: for content_memory_on_arrival(). */
void ops_take_memory(struct ops *o);

/* Takes up blocks of content that could not be reached (ns_next_fault()), with a line in the log.
 */
void ops_note_faults(struct ops *o);

/* As in struct grants_config: what a punch waited for is zeroed, or can't be. */
void ops_take_zeroed(struct ops *o, uint64_t id, int error);

/* As in struct grants_config: the answers to the revocations that were asked for by ioctl. */
void ops_take_revoked(struct ops *o, uint64_t id, const struct link_holder *h, int state);

/*
 * The worker has only just begun, and its link to the helper is about to come up: what must be
 * asked of the helper waits for that, not beyond `until`. now, until: clock_milliseconds().
 */
void ops_expect_helper(struct ops *o, uint64_t until);

/* The link to the helper is up: whoever waits for an answer is asked about, perhaps again. */
void ops_take_helper(struct ops *o);

/* Fails the parked requests whose time is up. now: clock_milliseconds(). */
void ops_expire(struct ops *o, uint64_t now);

/*
 * The earliest moment at which ops_expire() has something to do, in its clock;
 * false: nothing is parked.
 */
bool ops_next_deadline(const struct ops *o, uint64_t *ret);

#endif
