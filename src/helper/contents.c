// SPDX-License-Identifier: MIT
#include "helper/contents.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "helper/cover.h"
#include "helper/server.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/log.h"

void contents_init(struct contents *c)
{
	*c = (struct contents){.ino = 0};
	TAILQ_INIT(&c->ready);
}

int contents_check_other(const struct server *s, uint64_t ino, struct problem *why)
{
	const struct record_inode *inode = record_find(&s->record, ino);

	if (ino != s->contents.ino && !(inode && inode->contents))
		return 0;
	return problem(
		why, EUCLEAN, "inode %" PRIu64 " is the content store, the worker's alone", ino);
}

void contents_adopt(struct server *s, struct record_inode *inode)
{
	inode->contents = true;
	if (s->contents.ino == 0)
		s->contents.ino = inode->ino;
}

void contents_answer(struct server *s, const struct delivery *d, int error)
{
	const struct link_contents_given m = {
		.header = link_header_make(sizeof(m), LINK_CONTENTS_GIVEN, d->id),
		.error = put_le32((uint32_t)error)};

	if (link_is_up(&s->link) && d->link_serial == s->link.serial)
		link_send(s, &m.header);
}

/* ---- what the worker may have ---- */

/* Of a device that was made for a client, or that somebody may have opened, the worker gets
 * nothing. */
static int check_devices(const struct record_inode *inode, struct problem *why)
{
	const struct inode_devices *devices = inode->devices;

	for (size_t i = 0; devices && i < devices->list.count; i++) {
		const struct device *d = &devices->list.at[i];
		bool fits = d->user.users == SOFT_USERS_NONE || d->user.users == SOFT_USERS_WORKER;
		if (!fits || d->user.spare || d->soft.exported)
			return problem(why, EUCLEAN,
				"inode %" PRIu64
				" has devices that were made for others than the worker",
				inode->ino);
	}
	return 0;
}

static int check_alone(const struct server *s, uint64_t ino, struct problem *why)
{
	const struct record_inode *inode = record_find(&s->record, ino);
	const struct delivery *d;

	if (s->contents.ino != 0 && s->contents.ino != ino)
		return problem(why, EUCLEAN,
			"inode %" PRIu64 " can't be the content store, which is inode %" PRIu64,
			ino, s->contents.ino);
	TAILQ_FOREACH (d, &s->deliveries, entry)
		if (d->ino == ino && !d->contents)
			return problem(why, EUCLEAN,
				"inode %" PRIu64
				" can't be the content store: somebody waits for it",
				ino);
	/* It holds the inode, or has held it; the devices may be gone again. */
	if (inode && inode->watch && !LIST_EMPTY(&inode->watch->holders))
		return problem(why, EUCLEAN,
			"inode %" PRIu64 " can't be the content store: a client was granted it",
			ino);
	return inode ? check_devices(inode, why) : 0;
}

static int hold(struct server *s, const struct grant_order *o, const struct record_extent *extents,
	size_t count, struct problem *why)
{
	struct record_inode *inode = NULL;
	int r = check_alone(s, o->ino, why);

	if (r >= 0)
		r = record_hold(&s->record, o->ino, o->epoch, true, extents, count, &inode, why);
	if (r < 0)
		return r;
	inode->told_by = s->link.serial;
	contents_adopt(s, inode);
	return holders_watch(inode) ? 0 : -ENOMEM;
}

static void refuse(struct server *s, uint64_t id, int error)
{
	const struct delivery d = {.id = id, .link_serial = s->link.serial};

	contents_answer(s, &d, error);
}

void contents_take(struct server *s, const struct grant_order *o, uint64_t from,
	const struct record_extent *extents, size_t count)
{
	struct problem why = PROBLEM_INIT;

	if (!s->soft) {
		refuse(s, o->id, EOPNOTSUPP);
		return;
	}
	int r = hold(s, o, extents, count, &why);
	if (r == -EUCLEAN) {
		audits_worker_refused(s, LINK_CONTENTS, o->ino, EUCLEAN, why.text);
		(void)record_contradict(&s->record, o->ino, o->epoch);
	}
	struct delivery *d = r < 0 ? NULL : delivery_new(o->ino, extents, count);
	if (!d) {
		refuse(s, o->id, r == -EUCLEAN ? EUCLEAN : ENOMEM);
		return;
	}
	d->contents = true;
	d->from = from;
	d->id = o->id;
	d->link_serial = s->link.serial;
	deliver(s, d);
}

/* ---- handing out ---- */

static int note_worker(const struct server *s, struct device *d)
{
	const struct soft_user worker = {.users = SOFT_USERS_WORKER};

	if (d->user.users == SOFT_USERS_WORKER)
		return 0;
	int r = soft_user_note(&worker, s->regions[d->region].physical_start, d->soft.id);
	if (r == 0)
		d->user = worker;
	return r;
}

static int note_all(const struct server *s, const struct record_inode *inode)
{
	struct problem why = PROBLEM_INIT;
	int r = check_devices(inode, &why);

	for (size_t i = 0; i < inode->devices->list.count && r >= 0; i++)
		r = note_worker(s, &inode->devices->list.at[i]);
	return r;
}

static void drop_first(struct contents *c)
{
	struct delivery *d = TAILQ_FIRST(&c->ready);

	TAILQ_REMOVE(&c->ready, d, entry);
	delivery_free(d);
	c->extent = 0;
	c->done = 0;
}

void contents_link_lost(struct server *s)
{
	while (!TAILQ_EMPTY(&s->contents.ready))
		drop_first(&s->contents);
}

/* Each run with a descriptor of its own, opened for it; none is kept. */
static int send_part(struct server *s, const struct delivery *d, const struct device *device,
	const struct cover_piece *piece)
{
	const struct link_part m = {.header = link_header_make(sizeof(m), LINK_PART, d->id),
		.file_block = put_le64(piece->file_block),
		.device_block = put_le64(piece->device_block),
		.count = put_le64(piece->count)};
	_cleanup_fd_ int fd = soft_device_open(&device->soft, O_RDWR);

	return fd < 0 ? fd : link_send_descriptor(s, &m.header, fd);
}

/* Sends what the socket takes of the first one's. */
static int send_parts(struct server *s, const struct delivery *d, const struct device_list *devices)
{
	_cleanup_(cover_deinit) struct cover cover = {.ranges = NULL};
	struct contents *c = &s->contents;
	int r = cover_init(&cover, devices);

	while (r >= 0 && c->extent < d->count) {
		const struct record_extent *e = &d->extents[c->extent];
		const struct cover_piece piece = cover_next(&cover, e, c->done);
		if (piece.file_block + piece.count > d->from)
			r = piece.range ? send_part(s, d, &devices->at[piece.range->device], &piece)
					: -ENXIO;
		if (r < 0)
			return r;
		c->done += piece.count;
		if (c->done < e->count)
			continue;
		c->done = 0;
		c->extent++;
	}
	return r;
}

static void end_first(struct server *s, const struct record_inode *inode, int error)
{
	const struct delivery *d = TAILQ_FIRST(&s->contents.ready);

	if (error < 0)
		log_error("the content store, inode %" PRIu64 ", can't be given to the worker: %s",
			d->ino, strerror(-error));
	else
		audits_contents(inode, inode->devices->list.count);
	contents_answer(s, d, error == -ESTALE || error == -ENXIO ? EIO : -error);
	drop_first(&s->contents);
}

bool contents_are_waiting(const struct server *s)
{
	return !TAILQ_EMPTY(&s->contents.ready);
}

void contents_go_on(struct server *s)
{
	const struct delivery *d;

	while ((d = TAILQ_FIRST(&s->contents.ready))) {
		const struct record_inode *inode = record_find(&s->record, d->ino);
		int r = send_parts(s, d, &inode->devices->list);
		if (r == -EAGAIN)
			return;
		end_first(s, inode, r);
	}
}

void contents_finish(struct server *s, struct delivery *d)
{
	int r = note_all(s, record_find(&s->record, d->ino));

	if (r < 0 || !link_is_up(&s->link) || d->link_serial != s->link.serial) {
		if (r < 0)
			log_error("the devices of inode %" PRIu64 " can't be the worker's: %s",
				d->ino, strerror(-r));
		contents_answer(s, d, EIO);
		delivery_free(d);
		return;
	}
	TAILQ_INSERT_TAIL(&s->contents.ready, d, entry);
	link_flush(s);
}
