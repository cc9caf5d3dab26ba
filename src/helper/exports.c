// SPDX-License-Identifier: MIT
#include "helper/exports.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "helper/server.h"
#include "util/le.h"
#include "util/log.h"

#define MODE_BITS 0777U

/* No node is ever made executable, set-uid or the like. */
#define NODE_BITS 0666U

int exports_check(const struct link_export *m, struct problem *why)
{
	uint16_t opcode = get_le16(m->header.opcode);
	bool announces = opcode == LINK_EXPORT, ends = opcode == LINK_UNEXPORT;

	if (get_le64(m->ino) == 0)
		return problem(why, EPROTO, "an export of inode 0");
	if (get_le32(m->mode) > MODE_BITS || get_le32(m->reserved) != 0)
		return problem(why, EPROTO, "an export with a mode or reserved field out of range");
	if (!announces && (get_le64(m->epoch) != 0 || get_le64(m->extent_count) != 0))
		return problem(why, EPROTO, "message %u with a number or extents", opcode);
	if (get_le32(m->asker_pid) > INT32_MAX ||
		(opcode == LINK_NODE &&
			(get_le32(m->asker_pid) != 0 || get_le32(m->asker_uid) != 0)))
		return problem(why, EPROTO, "message %u asked for by nobody that can be", opcode);
	if (ends && (get_le32(m->uid) != 0 || get_le32(m->gid) != 0 || get_le32(m->mode) != 0))
		return problem(why, EPROTO, "the end of an export with an owner or mode");
	/* What chown(2) takes for "leave it as it is". */
	if (get_le32(m->uid) == UINT32_MAX || get_le32(m->gid) == UINT32_MAX)
		return problem(why, EPROTO, "an export for nobody");
	return 0;
}

bool exports_is_whole(
	const struct device_list *devices, const struct record_extent *extents, size_t count)
{
	if (devices->count != 1 || count == 0 || devices->at[0].region != extents[0].region ||
		devices->at[0].soft.align != GM_BLOCK_SIZE)
		return false;
	struct soft_range *ranges = calloc(count, sizeof(*ranges));
	if (!ranges)
		return false;
	for (size_t i = 0; i < count; i++)
		ranges[i] =
			(struct soft_range){.block = extents[i].block, .count = extents[i].count};
	bool whole = soft_device_covers(&devices->at[0].soft, ranges, count);
	free(ranges);
	return whole;
}

void exports_answer(struct server *s, const struct delivery *d, int error, enum gm_reason reason,
	const char *node)
{
	struct link_exported m = {.header = link_header_make(sizeof(m), LINK_EXPORTED, d->id),
		.error = put_le32((uint32_t)error),
		.reason = put_le32((uint32_t)reason)};

	if (!link_is_up(&s->link) || d->link_serial != s->link.serial)
		return;
	static_assert(sizeof(m.node) == SOFT_DEVICE_NODE, "a node's path");
	if (node)
		memcpy(m.node, node, strnlen(node, sizeof(m.node) - 1));
	link_send(s, &m.header);
}

/* Each opening is one that ends, whatever has ended before. */
static void tell_opened(struct server *s, const struct record_inode *inode, const char *node,
	const struct audits_owner *owner, const struct audits_asker *asker)
{
	if (inode->watch)
		inode->watch->ended = false;
	audits_export(s, inode, node, owner, asker);
}

void exports_finish(struct server *s, const struct delivery *d)
{
	const struct record_inode *inode = record_find(&s->record, d->ino);
	struct device *whole = &inode->devices->list.at[0];
	struct soft_device *device = &whole->soft;
	char node[SOFT_DEVICE_NODE];

	(void)soft_device_node(node, device);
	/* Nobody would learn of it: the node stays closed, and the worker that is to come asks
	 * again. */
	if (!link_is_up(&s->link) || d->link_serial != s->link.serial)
		return;
	if (inode->watch->closed) {
		exports_answer(s, d, ENOENT, GM_REASON_NONE, NULL);
		return;
	}
	int r = spare_note_export(s, inode);
	if (r == 0)
		r = soft_device_note_exported(s->regions[whole->region].physical_start, device);
	if (r == 0)
		r = soft_device_set_owner(device, d->uid, d->gid, d->mode & NODE_BITS);
	if (r < 0) {
		log_error("giving %s to user %u fails: %s", node, d->uid, strerror(-r));
		exports_answer(s, d, r == -ESTALE ? EIO : -r, GM_REASON_DEVICE, NULL);
		return;
	}
	const struct audits_owner owner = {d->uid, d->gid, d->mode & NODE_BITS};
	tell_opened(s, inode, node, &owner, &d->asker);
	exports_answer(s, d, 0, GM_REASON_NONE, node);
}

/* ---- messages ---- */

/* Holds the inode from now on: who will open the node can't be seen. */
static int hold(struct server *s, const struct link_export *m, const struct record_extent *extents,
	size_t count)
{
	uint64_t ino = get_le64(m->ino), epoch = get_le64(m->epoch);
	struct record_inode *inode = NULL;
	struct problem why = PROBLEM_INIT;
	int r = contents_check_other(s, ino, &why);

	if (r >= 0)
		r = record_hold(&s->record, ino, epoch, true, extents, count, &inode, &why);
	if (r == -EUCLEAN) {
		audits_worker_refused(s, LINK_EXPORT, ino, EUCLEAN, why.text);
		(void)record_contradict(&s->record, ino, epoch);
	}
	if (r < 0)
		return r;
	inode->told_by = s->link.serial;
	struct watch *w = holders_watch(inode);
	if (!w)
		return -ENOMEM;
	w->closed = false;
	return 0;
}

static void refuse(struct server *s, uint64_t id, int error, enum gm_reason reason)
{
	const struct delivery d = {.id = id, .link_serial = s->link.serial};

	exports_answer(s, &d, error, reason, NULL);
}

static struct audits_asker asker_of(const struct link_export *m)
{
	return (struct audits_asker){
		.pid = (pid_t)get_le32(m->asker_pid), .uid = get_le32(m->asker_uid)};
}

void exports_take(struct server *s, const struct link_export *m,
	const struct record_extent *extents, size_t count)
{
	uint64_t id = get_le64(m->header.id);

	if (!s->soft) {
		refuse(s, id, EOPNOTSUPP, GM_REASON_DEVICE);
		return;
	}
	int r = hold(s, m, extents, count);
	struct delivery *d = r < 0 ? NULL : delivery_new(get_le64(m->ino), extents, count);
	if (!d) {
		refuse(s, id, r == -EUCLEAN ? EUCLEAN : ENOMEM,
			r == -EUCLEAN ? GM_REASON_RECORD : GM_REASON_MEMORY);
		return;
	}
	d->id = id;
	d->link_serial = s->link.serial;
	d->uid = get_le32(m->uid);
	d->gid = get_le32(m->gid);
	d->mode = get_le32(m->mode);
	d->asker = asker_of(m);
	deliver(s, d);
}

static void change_owner(
	struct server *s, const struct record_inode *inode, uid_t uid, gid_t gid, mode_t mode)
{
	const struct soft_device *device = &inode->devices->list.at[0].soft;
	char node[SOFT_DEVICE_NODE];
	int r = soft_device_set_owner(device, uid, gid, mode);

	if (r < 0)
		log_error("the node of inode %" PRIu64 " keeps its owner and mode: %s", inode->ino,
			strerror(-r));
	else
		tell_opened(s, inode, soft_device_node(node, device),
			&(struct audits_owner){uid, gid, mode}, &(struct audits_asker){.pid = 0});
}

/*
 * Has it one that was opened to others by an EXPORT? What a job has closed, so as to show that
 * nobody reaches it, stays closed: somebody might come in just before it is unbound.
 */
static bool has_node(const struct record_inode *inode)
{
	const struct inode_devices *devices = inode->devices;

	return devices && !devices->working &&
	       exports_is_whole(&devices->list, inode->extents, inode->extent_count) &&
	       devices->list.at[0].soft.exported;
}

void exports_take_node(struct server *s, const struct link_export *m)
{
	uint64_t ino = get_le64(m->ino);
	const struct record_inode *inode = record_find(&s->record, ino);
	struct delivery *d;
	bool waits = false;

	if (inode && inode->watch && inode->watch->closed)
		return; /* removed, and changed through a descriptor of before */
	TAILQ_FOREACH (d, &s->deliveries, entry)
		if (d->ino == ino && delivery_is_export(d)) {
			d->uid = get_le32(m->uid);
			d->gid = get_le32(m->gid);
			d->mode = get_le32(m->mode);
			waits = true;
		}
	if (waits)
		return;
	if (!inode || !has_node(inode)) {
		audits_worker_refused(
			s, LINK_NODE, ino, EUCLEAN, "it has no node that could be exported");
		return;
	}
	change_owner(s, inode, get_le32(m->uid), get_le32(m->gid), get_le32(m->mode) & NODE_BITS);
}

/* All of them, whichever was exported: none needs a node that others can open. One that somebody
 * has removed has none any more, and another device that has its name is not ours to close. */
static int close_nodes(const struct device_list *devices)
{
	int result = 0;

	for (size_t i = 0; i < devices->count; i++) {
		const struct soft_device *d = &devices->at[i].soft;
		struct problem why = PROBLEM_INIT;
		int r = soft_device_set_owner(d, 0, 0, 0);
		if (r < 0 && soft_device_check(d, &why) == -ESTALE)
			log_warning("no node is closed: %s", why.text);
		else if (r < 0)
			result = r;
	}
	return result;
}

static bool was_exported(const struct device_list *devices)
{
	for (size_t i = 0; i < devices->count; i++)
		if (devices->at[i].soft.exported)
			return true;
	return false;
}

/* It may be closed again and again, but ends once. */
static void tell_end(
	struct server *s, const struct record_inode *inode, const struct audits_asker *asker)
{
	struct watch *w = inode->watch;

	if (!w || !w->ended)
		audits_export_end(s, inode, asker);
	if (w)
		w->ended = true;
}

void exports_close(struct server *s, struct record_inode *inode)
{
	struct watch *w = inode->watch;

	if (w)
		w->closed = true;
	if (!inode->devices || !was_exported(&inode->devices->list))
		return;
	/* A job that takes them away has closed them first, and they can't be asked about. */
	int r = inode->devices->leaving ? 0 : close_nodes(&inode->devices->list);
	if (r < 0) {
		log_error("the export of inode %" PRIu64 ", which is removed, does not end: %s",
			inode->ino, strerror(-r));
		return;
	}
	tell_end(s, inode, &(struct audits_asker){.pid = 0});
}

void exports_take_back(
	struct server *s, const struct record_inode *inode, const struct device_list *devices)
{
	if (inode->watch->closed && was_exported(devices))
		tell_end(s, inode, &(struct audits_asker){.pid = 0});
}

void exports_take_end(struct server *s, const struct link_export *m)
{
	uint64_t ino = get_le64(m->ino);
	const struct record_inode *inode = record_find(&s->record, ino);
	struct link_done done = {
		.header = link_header_make(sizeof(done), LINK_DONE, get_le64(m->header.id))};
	const struct audits_asker asker = asker_of(m);
	const struct delivery *d;
	int r = inode && inode->devices ? close_nodes(&inode->devices->list) : 0;

	/* One that is still being made would open its node after this, if its worker is there. */
	TAILQ_FOREACH (d, &s->deliveries, entry)
		if (d->ino == ino && delivery_is_export(d) && d->link_serial == s->link.serial)
			r = -EBUSY;
	if (r < 0)
		log_error("the export of inode %" PRIu64 " does not end: %s", ino, strerror(-r));
	else if (inode && inode->devices)
		tell_end(s, inode, &asker);
	done.error = put_le32((uint32_t)-r);
	link_send(s, &done.header);
}
