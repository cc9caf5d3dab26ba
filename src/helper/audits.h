/* SPDX-License-Identifier: MIT */
/*
 * The helper's events (util/audit.h, docs/audit.md). What a client can cause at will is limited:
 * the lines that were left out are counted, and owned up to.
 */
#ifndef GM_HELPER_AUDITS_H
#define GM_HELPER_AUDITS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guestmemfs/protocol.h"
#include "helper/record.h"
#include "util/audit.h"

struct server;
struct process;
struct user;
struct grant_order;

#define AUDITS_USER_LINES 40U  /* of refusals of one user, or of the worker, in LIMITER_PERIOD */
#define AUDITS_LINES      400U /* of those of all users */
/* Of grants to one process, and of exports of one inode; of grants to one user and of all exports
 * AUDITS_LINES. */
#define AUDITS_GRANT_LINES  40U
#define AUDITS_RANGES_SHOWN 4U /* the rest is in the number of ranges */

/* Who asked the worker for something, as the kernel told it; pid 0: nobody in particular. */
struct audits_asker {
	pid_t pid;
	uid_t uid;
};

struct audits_owner {
	uid_t uid;
	gid_t gid;
	mode_t mode;
};

/* Adds "ranges", their number, and "first", those that are shown, each as region:block+count. */
void audits_add_ranges(struct audit *a, const struct record_extent *extents, size_t count);

/* Adds the process of a peer or holder; its cgroup only while it is certainly still that process.
 */
void audits_add_process(struct audit *a, const struct process *p);

/* Limited. */
void audits_grant(struct server *s, struct process *p, const struct grant_order *o,
	const struct record_extent *extents, size_t count, unsigned devices);

/* The content store was given to the worker. */
void audits_contents(const struct record_inode *inode, size_t devices);

/*
 * A client of the user is refused; process may be NULL if it is not known. what: a sentence of
 * ours. Limited.
 */
void audits_refusal(struct server *s, struct user *u, pid_t pid, const struct process *process,
	uint64_t ino, int error, enum gm_reason reason, const char *what);

/* May a line that the user can cause at will be written to the log now? */
bool audits_may_log(struct server *s, struct user *u);

/* Owns up to what of the user's was left out, if its time has come. */
void audits_own_up(struct user *u, uint64_t now);

/* Likewise of what was left out about the worker and about exports. Returns when to be called next,
 * ms. */
uint64_t audits_check_time(struct server *s, uint64_t now);

/* An order or message of the worker is refused. Limited likewise, but apart from clients. */
void audits_worker_refused(
	struct server *s, uint16_t opcode, uint64_t ino, int error, const char *what);

/* A node was given to an owner; an export has ended. asker: whom the worker names as the one who
 * asked. Limited. */
void audits_export(struct server *s, const struct record_inode *inode, const char *node,
	const struct audits_owner *owner, const struct audits_asker *asker);
void audits_export_end(
	struct server *s, const struct record_inode *inode, const struct audits_asker *asker);

/*
 * Memory was taken from a process (NULL: from nobody in particular), which was killed or not.
 * what: a word or sentence of ours. It is for audit_send(): the names of a process that is going to
 * be killed must be read before.
 */
void audits_describe_revocation(struct audit *ret, const struct record_inode *inode,
	const struct process *process, const char *what);

/* The inode's blocks are kept out of use; why: a sentence of ours. */
void audits_quarantine(const struct record_inode *inode, const char *why);

#endif
