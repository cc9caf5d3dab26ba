// SPDX-License-Identifier: MIT
#include "helper/grants.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "helper/handout.h"
#include "helper/server.h"
#include "util/clock.h"
#include "util/le.h"
#include "util/log.h"

void grants_init(struct grants *g)
{
	*g = (struct grants){.last_id = 0};
	TAILQ_INIT(&g->waiting);
	TAILQ_INIT(&g->sent);
}

void redeem_forget(struct redeem *r)
{
	r->client->redeem = NULL;
	free(r);
}

void grants_free_all(struct server *s)
{
	struct redeem *r;

	while ((r = TAILQ_FIRST(&s->grants.waiting)) || (r = TAILQ_FIRST(&s->grants.sent))) {
		if (r == TAILQ_FIRST(&s->grants.waiting))
			TAILQ_REMOVE(&s->grants.waiting, r, entry);
		else
			TAILQ_REMOVE(&s->grants.sent, r, entry);
		redeem_forget(r);
	}
}

static void redeem_send(struct server *s, struct redeem *r)
{
	const struct ucred *peer = &r->client->peer;
	const struct link_redeem m = {.header = link_header_make(sizeof(m), LINK_REDEEM, r->id),
		.ticket = r->ticket,
		.pid = put_le32((uint32_t)peer->pid),
		.uid = put_le32(peer->uid),
		.gid = put_le32(peer->gid)};

	TAILQ_INSERT_TAIL(&s->grants.sent, r, entry);
	link_send(s, &m.header);
}

int grants_begin(
	struct server *s, struct client *c, const struct gm_ticket *ticket, struct redeem **ret)
{
	struct redeem *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->id = ++s->grants.last_id;
	r->client = c;
	r->ticket = *ticket;
	r->due = clock_milliseconds() + GRANT_START_MS;
	*ret = r;
	if (link_is_up(&s->link))
		redeem_send(s, r);
	else
		TAILQ_INSERT_TAIL(&s->grants.waiting, r, entry);
	return 0;
}

/* Ends a ticket that is in neither list any more. */
static void redeem_refuse(
	struct server *s, struct redeem *r, uint64_t ino, int error, enum gm_reason reason)
{
	client_refuse(s, r->client, ino, error, reason);
	free(r);
}

void grants_client_gone(struct server *s, struct redeem *r)
{
	struct redeem *waiting;

	TAILQ_FOREACH (waiting, &s->grants.waiting, entry)
		if (waiting == r)
			break;
	if (!waiting)
		return; /* the worker has it: what it answers decides what is held */
	TAILQ_REMOVE(&s->grants.waiting, r, entry);
	redeem_refuse(s, r, 0, ECONNRESET, GM_REASON_NONE);
}

void grants_link_up(struct server *s)
{
	struct redeem *r;

	while ((r = TAILQ_FIRST(&s->grants.waiting))) {
		TAILQ_REMOVE(&s->grants.waiting, r, entry);
		redeem_send(s, r);
	}
}

/* The next worker knows the tickets of the one before. */
void grants_link_lost(struct server *s)
{
	struct redeem *r;

	while ((r = TAILQ_FIRST(&s->grants.sent))) {
		TAILQ_REMOVE(&s->grants.sent, r, entry);
		if (r->client->source.fd < 0) {
			redeem_refuse(s, r, 0, ECONNRESET, GM_REASON_NONE);
			continue;
		}
		r->again = true;
		r->due = clock_milliseconds() + GRANT_START_MS;
		TAILQ_INSERT_TAIL(&s->grants.waiting, r, entry);
	}
}

static struct redeem *grants_find(const struct server *s, uint64_t id)
{
	struct redeem *r;

	TAILQ_FOREACH (r, &s->grants.sent, entry)
		if (r->id == id)
			return r;
	return NULL;
}

bool grants_is_asked(const struct server *s, uint64_t id)
{
	return grants_find(s, id) != NULL;
}

void grants_take_refusal(struct server *s, uint64_t id, int error, enum gm_reason reason)
{
	struct redeem *r = grants_find(s, id);

	assert(r); /* the caller has looked: grants_is_asked() */
	TAILQ_REMOVE(&s->grants.sent, r, entry);
	/* It was good when it was shown: with a new one the client gets what it asks for. */
	if (r->again && reason == GM_REASON_TICKET) {
		error = EAGAIN;
		reason = GM_REASON_STARTING;
	}
	redeem_refuse(s, r, 0, error, reason);
}

static int open_devices(const struct server *s, struct handout *h, const struct grant_order *o,
	const struct record_extent *extents, size_t count)
{
	if (!s->soft)
		return handout_init(h, s->regions, extents, count, o->access);
	const struct record_inode *inode = record_find(&s->record, o->ino);
	return handout_init_devices(h, &inode->devices->list, extents, count, o->access);
}

static enum gm_reason reason_of(int error)
{
	switch (error) {
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return GM_REASON_MEMORY;
	case E2BIG:
		return GM_REASON_EXTENTS;
	default:
		return GM_REASON_DEVICE;
	}
}

/* What the client is told. A device that is another one now is nothing that it could mend. */
static int errno_of(int error)
{
	switch (error) {
	case E2BIG:
		return EMFILE;
	case ESTALE:
	case ENOENT:
	case ENXIO:
		return EIO;
	default:
		return error;
	}
}

/* Hands out what the record has let pass. Returns true if the client has it. */
static bool grants_hand_out(struct server *s, struct client *c, const struct grant_order *o,
	const struct record_extent *extents, size_t count)
{
	_cleanup_(handout_deinit) struct handout h;
	struct process *process = c->process; /* the client may end with its answer */

	int k = open_devices(s, &h, o, extents, count);
	if (k >= 0 && s->soft)
		k = spare_note_grant(s, record_find(&s->record, o->ino), c->peer.uid);
	if (k < 0) {
		log_error("grant of inode %" PRIu64 " fails: %s", o->ino, strerror(-k));
		client_refuse(s, c, o->ino, errno_of(-k), reason_of(-k));
		return false;
	}
	h.message.ino = put_le64(o->ino);
	h.message.size = put_le64(o->size);
	if (!client_grant(s, c, &h.message, h.fds, h.nfds))
		return false;
	/* after it: the client need not wait for the log */
	audits_grant(s, process, o, extents, count, get_le32(h.message.device_count));
	return true;
}

void grants_fail(struct server *s, struct redeem *r, uint64_t ino, int error, enum gm_reason reason)
{
	const struct record_inode *known = record_find(&s->record, ino);

	if (known && known->watch)
		holders_reconsider(s, known->watch);
	redeem_refuse(s, r, ino, error, reason);
}

/*
 * A grant that contradicts the record (why), or that there is no memory for: nothing of it is
 * handed out, and what is known of the inode stays as it was.
 */
static void grants_reject(struct server *s, struct redeem *r, const struct grant_order *o,
	size_t count, struct problem *why)
{
	if (!why) {
		struct record_inode *known = record_find(&s->record, o->ino);
		if (known)
			known->epoch = o->epoch; /* FREE with the one before would be void */
		grants_fail(s, r, o->ino, ENOMEM, GM_REASON_MEMORY);
		return;
	}
	(void)problem_prefix(why, 0, "grant number %" PRIu64 " of %zu extents for pid %d", o->epoch,
		count, (int)r->client->peer.pid);
	audits_worker_refused(s, LINK_GRANT, o->ino, EUCLEAN, why->text);
	(void)record_contradict(&s->record, o->ino, o->epoch);
	redeem_refuse(s, r, o->ino, EUCLEAN, GM_REASON_RECORD);
}

void grants_finish(struct server *s, struct redeem *r, const struct grant_order *o,
	const struct record_extent *extents, size_t count)
{
	struct watch *w = record_find(&s->record, o->ino)->watch;
	_cleanup_free_ struct holder *holder = holder_new();

	if (!holder) {
		grants_fail(s, r, o->ino, ENOMEM, GM_REASON_MEMORY);
		return;
	}
	/* The client may end with the answer; its process must outlive it here. */
	struct process *process = r->client->process;
	process->references++;
	if (grants_hand_out(s, r->client, o, extents, count))
		holders_add(s, w, steal_pointer(holder), process, o->access, false);
	else
		holders_reconsider(s, w);
	process_put(s, process);
	free(r);
}

static int grants_deliver(struct server *s, struct redeem *r, const struct grant_order *o,
	const struct record_extent *extents, size_t count)
{
	struct delivery *d = delivery_new(o->ino, extents, count);

	if (!d)
		return -ENOMEM;
	d->redeem = r;
	d->order = *o;
	deliver(s, d);
	return 0;
}

/* The client believes the size; no file has blocks past it. */
static int check_size(const struct grant_order *o, const struct record_extent *extents,
	size_t count, struct problem *why)
{
	uint64_t blocks = (o->size + GM_BLOCK_SIZE - 1) >> GM_BLOCK_SHIFT;

	for (size_t i = 0; i < count; i++)
		if (extents[i].count > blocks || extents[i].file_block > blocks - extents[i].count)
			return problem(why, EUCLEAN,
				"extent %zu is past the file's size, %" PRIu64 " bytes", i,
				o->size);
	return 0;
}

void grants_take_grant(struct server *s, const struct grant_order *o,
	const struct record_extent *extents, size_t count)
{
	struct redeem *r = grants_find(s, o->id);
	struct record_inode *inode = NULL;
	struct problem why = PROBLEM_INIT;

	assert(r); /* as above */
	TAILQ_REMOVE(&s->grants.sent, r, entry);
	int k = check_size(o, extents, count, &why);
	if (k >= 0)
		k = contents_check_other(s, o->ino, &why);
	if (k >= 0)
		k = record_hold(&s->record, o->ino, o->epoch, true, extents, count, &inode, &why);
	if (k < 0 || !holders_watch(inode)) {
		grants_reject(s, r, o, count, k == -EUCLEAN ? &why : NULL);
		return;
	}
	inode->told_by = s->link.serial;
	if (!s->soft)
		grants_finish(s, r, o, extents, count);
	else if (grants_deliver(s, r, o, extents, count) < 0)
		grants_fail(s, r, o->ino, ENOMEM, GM_REASON_MEMORY);
}

uint64_t grants_check_time(struct server *s, uint64_t now)
{
	struct redeem *r;

	while ((r = TAILQ_FIRST(&s->grants.waiting)) && now >= r->due) {
		TAILQ_REMOVE(&s->grants.waiting, r, entry);
		redeem_refuse(s, r, 0, EAGAIN, GM_REASON_STARTING);
	}
	return r ? r->due : SERVER_NEVER;
}
