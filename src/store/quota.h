/* SPDX-License-Identifier: MIT */
/*
 * Quotas: how many bytes the files below a directory may own, from its attribute XATTR_QUOTA. What
 * is below several such directories counts on each of them.
 *
 * All of it is in memory: each directory and file knows the nearest quota above it (inode.quota),
 * each quota the next one above, and meta_apply() counts what comes and goes. A file counts in one
 * place only, so its names must all lie under the same quota: that is kept by refusing links, as
 * project quotas do elsewhere. Where a whole subtree changes sides, what is below is looked at
 * once, as part of the check; should the change then fail for another reason, once more, backwards.
 */
#ifndef GM_STORE_QUOTA_H
#define GM_STORE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

struct meta;
struct inode;
struct txn;

struct quota {
	uint64_t ino;   /* its directory; 0: the place is free */
	uint64_t limit; /* bytes */
	uint64_t used;  /* units (4 KiB) of all files below */
	int64_t delta;  /* scratch of quotas_check() */
	uint32_t up;    /* the next quota above; 0: none */
};

/* A directory that comes under another quota, with all that is below. */
struct quota_shift {
	struct inode *dir;
	uint32_t from;
	uint32_t to;
	bool begins; /* `to` is a new quota, the directory's own */
};

struct quotas {
	struct quota *list; /* [0] is none: the number 0 means no quota */
	uint32_t capacity;
	uint32_t count; /* quotas that there are */
	bool touched;   /* some delta is not 0: scratch of quotas_check() */
	bool changed;   /* limits are to be read again, or some have ended: quotas_refresh() */
	bool stale;     /* to be counted anew: quotas_refresh() */

	/* What quotas_check() has done already for the change that is on its way. */
	struct quota_shift shifts[2];
	unsigned shift_count;
};

void quotas_deinit(struct quotas *q);

/* Room for `more` quotas. 0 or -ENOMEM. */
int quotas_reserve(struct meta *m, uint32_t more);

/* Finds all quotas and counts everything: at the end of recovery. 0 or -ENOMEM. */
int quotas_init(struct meta *m);

/*
 * May the change be? -EDQUOT more blocks than a quota has left would count on it; -EXDEV a file
 * would have names under different quotas, or a directory can't go to another one because of such a
 * file; -ENOMEM. Then nothing has changed. On success a subtree that moves, or gets a quota, counts
 * where it will be: quotas_refresh() is due after the change, quotas_undo() if there is none.
 */
int quotas_check(struct meta *m, const struct txn *t);
void quotas_refresh(struct meta *m);
void quotas_undo(struct meta *m);

/* ---- for meta_apply() ---- */

/* So many units more (or less) are the inode's. */
void quotas_count(struct meta *m, const struct inode *i, int64_t units);

/* The inode has a name in dir from now on. */
void quotas_place(struct meta *m, struct inode *i, const struct inode *dir);

/* The directory's limit comes, changes or goes. */
void quotas_note_limit(struct meta *m, uint64_t ino);

/* ---- reading ---- */

/* What is left below the inode's quotas: the least of all that count. False: it has none. */
struct quota_room {
	uint64_t limit; /* bytes */
	uint64_t left;  /* units */
};

bool quotas_room(const struct meta *m, const struct inode *i, struct quota_room *ret);

/* True if the inode would have more room below its quotas if the other one were gone. */
bool quotas_compete(const struct meta *m, const struct inode *i, const struct inode *other);

#endif
