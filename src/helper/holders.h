/* SPDX-License-Identifier: MIT */
/*
 * Who holds the memory of which inode, and when it is shown free. An inode is idle when all its
 * grantees have ended; an idle inode is free when nobody in /proc maps its blocks and no stranger
 * has its region open, twice in a row. A stranger is a process that holds no other inode: what a
 * holder of one can reach of another is what trust is for. Where the grantees are not known (the
 * inode was granted by a helper before this one) everybody is a stranger.
 *
 * On soft regions no look at processes shows that an inode is free: its pages may be pinned. There
 * the end of the holders that are known is when the kernel's counts are first asked (takeback.h);
 * who holds it is found out all the same (lookout.h).
 */
#ifndef GM_HELPER_HOLDERS_H
#define GM_HELPER_HOLDERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "helper/record.h"
#include "proto/link.h"

#define HOLDERS_DELAY_MIN 50U /* ms between two looks at an idle inode that is not free */
#define HOLDERS_DELAY_MAX 1000U
/* ms between two that the worker has asked for: who tries to shrink a file in a loop must not keep
 * the helper in /proc. */
#define HOLDERS_HURRY_MS 250U

struct server;
struct process;
struct scan_use;
struct work_job;

struct holder {
	struct watch *watch;
	struct process *process; /* a reference */
	uint32_t access;
	bool adopted; /* found in /proc, not granted to */
	bool seen;    /* by the scan that is being gone through */
	bool killed;
	/* The last look, of server.looks, that could have missed it: adopted: that found it; else
	 * that began before the last grant was read. */
	uint64_t since;
	LIST_ENTRY(holder) by_watch;
	LIST_ENTRY(holder) by_process;
};

/* The holders of one recorded inode. Those who have ended are kept only while nobody else is left.
 */
struct watch {
	struct record_inode *inode;
	LIST_HEAD(, holder) holders;
	unsigned live;
	/* Granted before our time: whom to is not known, and whoever has its region open may be one
	 * who has yet to map it. */
	bool unknown;
	/* Soft regions: a device of it is gone, or going, so that a look that does not see somebody
	 * does not show that he has let go. */
	bool hidden;
	uint64_t since; /* CLOCK_BOOTTIME, ms: who holds it without having been granted it began
			   later */
	bool adopting;  /* told by the worker after a restart of ours: who holds it is still to be
			   found */
	/* while idle or to be looked at; on soft regions: while it is to be taken back */
	unsigned take;    /* soft regions: LINK_CHECK_*, and see takeback.c */
	uint64_t offered; /* the link that was told that it may be handed over; 0: none */
	bool quarantined; /* and the audit has a line of it */
	bool never;       /* soft regions: what it has does not come back in this boot */
	bool closed;      /* soft regions: it is removed, and so is its export */
	bool ended;       /* its export, and the audit has a line of that */
	bool pending;     /* it is in holders.pending */
	bool scanning;    /* the scan that is under way began after it came in */
	bool checked;     /* CHECK with this id is to be answered */
	uint64_t check_id;
	unsigned clean;   /* scans in a row that found nobody */
	uint64_t due;     /* ms, of the next scan */
	unsigned delay;   /* ms, after that one */
	uint64_t hurried; /* ms, of the last one that was brought forward for the worker */
	const char *told; /* why it stays held, as the log has it */
	pid_t user;       /* found by the scan that is being gone through; 0: nobody */
	TAILQ_ENTRY(watch) entry;
};

struct holders {
	TAILQ_HEAD(, watch) pending;
	bool scan_running;
	bool list_waits; /* HOLDERS with this id is to be answered once all that was adopted is
			    known */
	uint64_t list_id;
	pid_t blind; /* last process that a scan could not look into, so that it is logged once */
};

void holders_init(struct holders *h);
void holders_free_all(struct server *s);

/* The inode's watch, made if there is none yet. NULL for lack of memory. */
struct watch *holders_watch(struct record_inode *inode);

/* Room for one more holder, to be had before a descriptor leaves; NULL for lack of memory. free()
 * it if not used. */
struct holder *holder_new(void);

/* The process holds the inode from now on. Takes holder over; p gets a reference of its own. */
void holders_add(struct server *s, struct watch *w, struct holder *holder, struct process *p,
	uint32_t access, bool adopted);

/* Something about the inode has changed, but it has no new holder: if it is idle it must be looked
 * at anew. */
void holders_reconsider(struct server *s, struct watch *w);

/* Must its holders be found in /proc? For one that only the worker knew. */
void holders_adopt(struct server *s, struct watch *w);

void holders_process_ended(struct server *s, struct process *p);

/* The worker asks: CHECK and HOLDERS. */
void holders_check(struct server *s, uint64_t id, uint64_t ino, uint64_t epoch, unsigned flags);
void holders_list(struct server *s, uint64_t id);

/* The link is up: what had to wait for it is due. It is lost: questions that came over it are void.
 */
void holders_link_up(struct server *s);
void holders_link_lost(struct server *s);

/* Starts a scan if one is due. Returns when to be called next, ms. */
uint64_t holders_check_time(struct server *s, uint64_t now);
void holders_take_scan(struct server *s, const struct work_job *job);

/* FREE or BUSY, to the CHECK with this id; 0: unasked. pid: who holds it; 0: nobody is known. */
void holders_answer_check(struct server *s, enum link_helper_opcode opcode, uint64_t id,
	uint64_t ino, uint64_t epoch, pid_t pid);

/* Answers HOLDERS if it waits and need not any more. */
void holders_answer_waiting(struct server *s);
/* One HOLDER, with these flags besides its own; with the names that its process has now. */
struct link_holder holders_describe(uint64_t id, const struct holder *h, uint32_t flags);
void holders_send(struct server *s, uint64_t id, const struct holder *h, uint32_t flags);

/* HOLDER for each, HOLDERS_END. */
void holders_answer_list(struct server *s, uint64_t id);

/* ---- between holders.c, release.c, lookout.c and takeback.c ---- */

/* Has the inode looked at in the next scan, as if for the first time. */
void watch_look_soon(struct server *s, struct watch *w);
void watch_stop_looking(struct server *s, struct watch *w);
void watch_free(struct server *s, struct watch *w);

/* The holder that a use in /proc belongs to, marked as seen; false: it is none. */
bool watch_see(struct watch *w, const struct scan_use *use);
/* Makes it one. If there is no memory it is found again by the next scan. */
void watch_adopt(struct server *s, struct watch *w, const struct scan_use *use);
/* Forgets those who were found in /proc before and were not seen again. */
void watch_drop_unseen(struct server *s, struct watch *w);

/* Shown free: tells the worker and forgets watch and inode. */
void watch_release(struct server *s, struct watch *w);
void holder_remove(struct server *s, struct holder *h);

/* Answers the CHECK that the watch has to answer, if any: pid still holds it. */
void watch_answer_busy(struct server *s, struct watch *w, pid_t pid);

/* One who lives and was granted the inode (or, any: was adopted); NULL: nobody. */
const struct holder *watch_find_live(const struct watch *w, bool any);

#endif
