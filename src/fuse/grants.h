/* SPDX-License-Identifier: MIT */
/*
 * The worker's side of the link to the helper: tickets are redeemed, grants are given once every
 * block of the file is clean and the inode is held by a committed record, and the helper's word
 * that nobody reaches a file any more is weighed before it counts.
 *
 * The link may come and go (the helper is restarted): orders that were given to a helper that is
 * gone are given to the next one. Nothing here ever waits; the worker's event loop calls in.
 */
#ifndef GM_FUSE_GRANTS_H
#define GM_FUSE_GRANTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fuse/refusals.h"
#include "guestmemfs/protocol.h"
#include "proto/link.h"

struct alloc_extent;
struct grants;
struct namespace;
struct ns_range;
struct tickets;

#define GRANTS_WAITING_MAX 4096U /* clients' requests that wait for scrubbing */

/* A run of the content store, in a device, in blocks. */
struct grants_part {
	uint64_t file_block;
	uint64_t device_block;
	uint64_t count;
};

struct grants_config {
	struct namespace *ns; /* these two outlive the grants */
	struct tickets *tickets;
	/*
	 * The answer to grants_check(), also unasked: busy is false when the inode is held no more.
	 * Called from grants_serve() only.
	 */
	void (*checked)(void *data, uint64_t ino, bool busy);
	/* The answers to grants_ask_holders(): one call for each, then one with NULL; also NULL if
	 * the link ends. */
	void (*holder)(void *data, const struct link_holder *h);
	/* The answer to grants_export(): error 0 and the node's path, or a negative errno and why.
	 */
	void (*exported)(
		void *data, uint64_t ino, int error, enum gm_reason reason, const char *node);
	/* The answer to grants_unexport(): error 0, or a negative errno: it is exported still. */
	void (*unexported)(void *data, uint64_t ino, int error);
	/*
	 * The answers to grants_revoke(): one call for each holder, then one with NULL and the
	 * state, a GM_REVOKED_*. id 0: to all of them, with -EAGAIN, since the link ends.
	 */
	void (*revoked)(void *data, uint64_t id, const struct link_holder *h, int state);
	/* The answer to grants_zero(): 0, or a negative errno. Called from grants_advance() and
	 * grants_serve() only. */
	void (*zeroed)(void *data, uint64_t id, int error);
	/* The answer to grants_clean(): 0, or -EIO, or -EBUSY: the pool was frozen. 0 also each
	 * time that a part of what is waited for is clean. blocks: only they could not be zeroed,
	 * the others are worth another question; NULL: it is about all. */
	void (*cleaned)(void *data, int error, const struct alloc_extent *blocks);
	/*
	 * What grants_fetch_contents() brings: a call for each run, with a descriptor that is the
	 * callee's to close, and then contents_given() with 0 or a negative errno.
	 */
	void (*contents_part)(void *data, const struct grants_part *part, int fd);
	void (*contents_given)(void *data, int error);
	void *data;
	uint64_t scrub_rate; /* see scrub.h */
	/* In a crash kernel nothing that was held is ever free: no device was stopped by the panic.
	 */
	bool after_panic;
};

/* How scrubbing goes. */
struct grants_scrub {
	uint64_t limit; /* bytes a second in the background; 0: none */
	uint64_t speed; /* bytes a second, lately */
	uint64_t done;  /* blocks, since the start */
};

/* -ENOMEM. */
int grants_new(struct grants **ret, const struct grants_config *config);
struct grants *grants_free(struct grants *g); /* NULL is fine; returns NULL */

/*
 * Asks the helper whether anybody can still reach the inode's memory, and, by flags
 * (LINK_CHECK_*), to see to it that nobody can; checked() brings the answer.
 * Without a helper, or when it ends meanwhile, there is none: the asker sets its own limit.
 */
void grants_check(struct grants *g, uint64_t ino, unsigned flags);

/* Tells the helper what ns_setattr() has handed over, if anything; the link is up then. */
void grants_hand_over(struct grants *g);

/*
 * Takes over a new link to the helper, in place of the one before, and begins to tell it what is
 * held. What clients asked of the old one is forgotten: they lost their connection to it. -ENOMEM,
 * then there is no link.
 */
int grants_set_link(struct grants *g, int fd);

/* The link's descriptor, -1 if there is none, and what to wait for on it (EPOLLIN, EPOLLOUT). */
int grants_fd(const struct grants *g);
uint32_t grants_events(const struct grants *g);

/*
 * Reads and writes what can be read and written without waiting. False when the link has ended or
 * broken the protocol (which is logged): it is closed then.
 */
bool grants_serve(struct grants *g, uint32_t events);

/*
 * Gives the orders that are due and the grants that need wait no longer. To be called whenever
 * anything may have changed: after grants_serve(), after requests that free or take blocks, and
 * once a second.
 */
void grants_advance(struct grants *g);

/* When it is to be called the next time, if that is earlier; false: no such time is known. */
bool grants_next_deadline(const struct grants *g, uint64_t now, uint64_t *ret);

void grants_get_scrub(const struct grants *g, uint64_t now, struct grants_scrub *ret);

/* True once the helper has confirmed the link. */
bool grants_is_ready(const struct grants *g);

/*
 * Makes a device node over the inode's memory, with its owner and mode: as soon as its blocks are
 * clean. exported() brings the answer, also if the link ends meanwhile. -EAGAIN there is no helper,
 * or the last export has not quite ended; -ENOMEM; -EUSERS too many wait.
 */
int grants_export(struct grants *g, uint64_t ino, const struct asker *asker);

/*
 * Makes the node root's alone, and then notes that the inode is exported no more; unexported()
 * brings the answer, also if the link ends meanwhile. -ENOENT it is not exported; -EAGAIN there is
 * no helper, or the export has not quite begun; -EUSERS too many wait.
 */
int grants_unexport(struct grants *g, uint64_t ino, const struct asker *asker);

/* The inode's owner or mode has changed: if it is exported, its node follows. */
void grants_node_changed(struct grants *g, uint64_t ino);

/* Another worker comes: tickets that are shown from now on are left for that one to redeem. */
void grants_yield(struct grants *g);

/* True if everybody who is to hear from this worker what came of his ticket or export has. */
bool grants_are_answered(const struct grants *g);

/* The pool was thawed: what was shown free while it could not be noted is asked for again. */
void grants_thawed(struct grants *g);

/*
 * Asks who holds the inode; kill: they are killed first, as far as the asker may, its tickets are
 * void, its export ends, and its memory is taken back. *id: of the answers. -EAGAIN there is no
 * helper; negative errno: the journal refused the end of the export.
 */
int grants_revoke(
	struct grants *g, uint64_t ino, bool kill, const struct asker *asker, uint64_t *id);

/*
 * Has bytes of a file zeroed, each of the ranges within one block; zeroed() brings the answer, with
 * -ESTALE if the file is removed meanwhile and -EIO if they can't be zeroed. Without a helper it
 * waits for one. The file gets no grant until the answer has come, nor another one before what
 * zeroed() does. The caller has made sure that the file is not held. *id: not 0. -ENOMEM.
 */
#define GRANTS_RANGES_MAX 2U

int grants_zero(struct grants *g, uint64_t ino, const struct ns_range *ranges, unsigned count,
	uint64_t *id);

/*
 * Has all blocks of the content store zeroed that are not clean; cleaned() brings the answer, from
 * grants_advance() or grants_serve(). Without a helper it waits for one. Asking again before the
 * answer does nothing. -ENOMEM.
 */
int grants_clean(struct grants *g, uint64_t ino);

/* Nobody waits for it any more. What was ordered of it may still be done. */
void grants_cancel_zero(struct grants *g, uint64_t id);

/*
 * Soft regions: has the helper asked for descriptors of the content store, `ino`, as soon as its
 * blocks are clean, and its held mark committed: of what it has from this file block on. Without a
 * helper it waits for one. What is being fetched already is not asked for again.
 */
void grants_fetch_contents(struct grants *g, uint64_t ino, uint64_t from);

/* Asks for every holder. False if there is no helper to ask. */
bool grants_ask_holders(struct grants *g);

/* The devices that are retired, as the helper has said with its last answer to that. */
uint32_t grants_retired(const struct grants *g);

#endif
