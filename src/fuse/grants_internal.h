/* SPDX-License-Identifier: MIT */
/* What grants.c and the files beside it share, and nobody else sees. */
#ifndef GM_FUSE_GRANTS_INTERNAL_H
#define GM_FUSE_GRANTS_INTERNAL_H

#include <sys/queue.h>

#include "fuse/epochs.h"
#include "fuse/grants.h"
#include "fuse/namespace.h"
#include "fuse/outbox.h"
#include "fuse/scrub.h"

#define GRANTS_EXPORTS_MAX 16U

/* The id of an UNEXPORT, apart from those of scrub orders. */
#define GRANTS_UNEXPORT_ID (1ULL << 63)

/* A REDEEM or an export that waits until the file's blocks are clean. */
struct request {
	STAILQ_ENTRY(request) link; /* waiting.requests */
	uint64_t id;
	uint32_t access;    /* 0: an export, or */
	bool clean;         /* grants_clean(): it is the content store, which nobody is granted */
	struct asker asker; /* of an export */
};

/* An export that begins or ends: what the helper was asked, or is to be asked, and has not
 * answered.
 */
struct transition {
	uint64_t ino; /* 0: the place is free */
	bool ends;
	bool was_exported; /* before an export that begins */
	bool asked;        /* somebody waits for the end */
};

/* A file that somebody waits for. */
struct waiting {
	TAILQ_ENTRY(waiting) link; /* grants.waiting */
	uint64_t ino;
	uint64_t at; /* file block: everything before it is clean or under an order */
	STAILQ_HEAD(, request) requests;
};

/* Bytes of a file that are to be zeroed before a part of it is punched. */
struct zeroing {
	TAILQ_ENTRY(zeroing) link; /* grants.zeroings */
	uint64_t id;
	uint64_t ino;
	uint64_t order; /* the one that is outstanding; 0: none */
	struct ns_range ranges[GRANTS_RANGES_MAX];
	unsigned count, next;
};

/* grants_fetch_contents(): what the worker is yet to get. */
struct contents_fetch {
	uint64_t ino; /* 0: nothing */
	uint64_t from;
	bool queued; /* it waits until its blocks are clean */
	uint64_t id; /* of the question under way; 0: none */
	uint64_t last_id;
};

struct grants {
	struct grants_config config;
	struct meta *meta; /* the store's */
	struct outbox outbox;
	struct scrub scrub;
	struct epochs epochs;

	int fd;
	bool ready;    /* the helper has answered CONFIG */
	bool yielding; /* new tickets are the next worker's */
	bool asked_holders;
	uint32_t retired;     /* as the helper has last told */
	uint64_t last_revoke; /* the id of the last REVOKE; 0 is HOLDERS' */
	unsigned revoking;    /* how many have no answer yet */
	uint64_t *held; /* inodes that the helper is yet to be told of; NULL once RESUMED is sent;
			   owned */
	size_t held_count;
	size_t held_sent;

	struct transition transitions[GRANTS_EXPORTS_MAX];
	TAILQ_HEAD(, waiting) waiting;  /* in order of arrival */
	unsigned request_count;         /* in all of them, without grants_clean()'s */
	TAILQ_HEAD(, zeroing) zeroings; /* in order of arrival */
	uint64_t last_zeroing;          /* its id */
	bool zeroed_last;               /* the last order was for one of them */
	struct contents_fetch contents;
};

/* The messages of the same names. 0, or -EPROTO: the link must end. */
int grants_redeem(struct grants *g, const struct link_redeem *m);
int grants_take_done(struct grants *g, const struct link_done *m);
int grants_take_free(struct grants *g, const struct link_check *m);
int grants_take_exported(struct grants *g, const struct link_exported *m);
int grants_take_busy(struct grants *g, const struct link_check *m);
int grants_take_spare(struct grants *g, const struct link_spare *m);
int grants_take_unexported(struct grants *g, const struct link_done *m);
void grants_fail_revokes(struct grants *g, int error);
int grants_take_revoked(struct grants *g, const struct link_revoked *m);
/* A HOLDER with an id: of a REVOKE. */
int grants_take_revoked_holder(struct grants *g, const struct link_holder *m);

enum gm_reason grants_reason_of(int error); /* negative errno */

/* The content store is waited for by the worker, and granted to no client. */
const struct inode *grants_find_waited(const struct grants *g, uint64_t ino);

/* The file if it may be granted at all; it may have been removed since the ticket was made. */
const struct inode *grants_find_file(const struct grants *g, uint64_t ino);

/* Are all its blocks clean, and none under an order? */
bool grants_may_send_now(const struct grants *g, const struct inode *inode);

/* The file is clean. Held first, by a committed record; then the number; then the message: the
 * order is the promise. Negative errno. */
int grants_grant(struct grants *g, uint64_t ino, const struct request *rq);

/* ---- grants_waiting.c ---- */

/* rq waits until the file's blocks are clean; it is answered by grants_advance_waiting() or one of
 * those below. -EUSERS, -ENOMEM. */
int grants_wait(struct grants *g, uint64_t ino, const struct request *rq);
bool grants_is_waited(const struct grants *g, uint64_t ino);

/* One order for each file at a time: a small file does not wait for all of a great one. True if an
 * order was given. */
bool grants_advance_waiting(struct grants *g);

/* Whoever waits for the file gets this error. */
void grants_refuse_waiting(struct grants *g, uint64_t ino, int error);

/* The order failed, with -EIO or -ENOMEM: so do all whose files it touches. */
void grants_fail_order(struct grants *g, const struct scrub_order *order, int error);

/* Their link is gone; no answer is sent. What the worker itself waits for stays, for the next
 * helper.
 */
void grants_drop_clients(struct grants *g);

/* Nobody waits for the file any more; no answer is sent. */
void grants_drop_waiting(struct grants *g, struct waiting *w);

/* ---- grants_contents.c ---- */

/* Goes on with grants_fetch_contents(). A new helper is asked anew. */
void grants_advance_contents(struct grants *g);
void grants_lose_contents(struct grants *g);
void grants_fail_contents(struct grants *g, int error);

/* The content store is clean: asks the helper. Negative errno. */
int grants_send_fetch(struct grants *g, uint64_t ino);

int grants_take_part(struct grants *g, const struct link_part *m, int fd); /* takes fd */
int grants_take_contents_given(struct grants *g, const struct link_contents_given *m);

/* ---- grants_zero.c ---- */

/* Gives the orders of grants_zero() that are due. True if one was given. */
bool grants_advance_zeroings(struct grants *g);

/* True if bytes of the file are being zeroed: it must not be granted. */
bool grants_is_zeroing(const struct grants *g, uint64_t ino);

/* An order was carried out, or failed; it may be one of these. */
void grants_note_zeroed(struct grants *g, uint64_t order, int error);

void grants_drop_zeroings(struct grants *g);

/* ---- grants_export.c ---- */

/* The file is clean: makes its node. */
void grants_begin_export(struct grants *g, uint64_t ino, const struct asker *asker);

/* Has the helper been asked for an export of it, or for its end, and not answered yet? */
bool grants_is_exporting(struct grants *g, uint64_t ino);

/* The link is lost: whoever waits for the beginning or end of an export gets -EAGAIN. */
void grants_lose_exports(struct grants *g);

/* A helper is there: the nodes are brought in line with the journal. */
void grants_resume_exports(struct grants *g);

/* ---- grants_link.c ---- */

/* Closes the link, if there is one, and forgets what depends on it. */
void grants_drop_link(struct grants *g);

#endif
