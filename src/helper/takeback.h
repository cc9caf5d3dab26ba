/* SPDX-License-Identifier: MIT */
/*
 * Soft regions: when the memory of an inode that nobody is known to hold comes back in this boot.
 * The worker says for which one it wants that (CHECK). Then the inode's devices are shown idle and
 * removed in the background (reuse.h), FREE goes to the worker, and the record forgets the inode.
 * What is not idle is in quarantine: looked at again, ever less often, for as long as the worker
 * wants it.
 *
 * An inode without any device is free whatever the policy: nobody can have had it in this boot, or
 * it was shown before the helper or the worker ended half way.
 */
#ifndef GM_HELPER_TAKEBACK_H
#define GM_HELPER_TAKEBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "helper/helper.h"
#include "helper/reuse.h"
#include "helper/source.h"
#include "proto/reuse.h"
#include "util/problem.h"

struct server;
struct watch;
struct record_inode;
struct work_job;

struct takeback {
	struct source counts; /* readable when the process that reads the counts has died */
	struct reuse reuse;   /* the background thread's */
	pid_t reader;         /* the process that reads the counts; 0: none */
	bool possible;        /* something can be shown; only ever becomes false */
	enum reuse_policy policy;
	uint64_t looking; /* the inode whose turn it is; 0: none */
};

void takeback_init(struct takeback *t);
void takeback_deinit(struct server *s);

/* Starts what reads the counts, unless the policy says that it is of no use. What can't be shown in
 * this boot is said in the log, once. */
void takeback_start(struct server *s, const struct helper_options *o);

/* CHECK of an inode that is in the record. */
void takeback_check(struct server *s, uint64_t id, struct record_inode *inode, unsigned flags);

/* A grant or an export of it is being made: its memory is nobody else's. */
bool takeback_is_waited_for(const struct server *s, const struct record_inode *inode);

/* The worker does not know (any more) that the inode was granted in this boot: nobody will ask, so
 * its devices are taken back as soon as that can be shown to harm nobody. */
void takeback_untold(struct server *s, struct watch *w);

/* Something has changed for the inode: it is looked at again as if for the first time. */
void takeback_look_soon(struct watch *w);

/* It is granted anew: whoever wanted it back for another purpose than its removal does so no more.
 */
void takeback_granted(struct server *s, struct watch *w);

/*
 * The inode is revoked and nobody holds it any more: wants it back like one that is removed. False
 * if it does not come back in this boot. takeback_revoked(): no more than before; nothing where the
 * regions are not soft.
 */
bool takeback_revoke(struct server *s, struct watch *w);
void takeback_revoked(struct server *s, struct watch *w);

/* Tries once, beside all others, for somebody who waits for new devices of the inode and is in the
 * deliveries. False if that is of no use. */
bool takeback_try(struct server *s, struct record_inode *inode);

/* Begins what is due. Returns when to be called next, ms. */
uint64_t takeback_check_time(struct server *s, uint64_t now);

/* Negative errno with a sentence: the helper can't go on. */
int takeback_take_result(struct server *s, struct work_job *job, struct problem *why);

#endif
