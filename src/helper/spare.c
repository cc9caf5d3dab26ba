// SPDX-License-Identifier: MIT
#include "helper/spare.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "helper/cover.h"
#include "helper/server.h"
#include "helper/takeback.h"
#include "util/cleanup.h"
#include "util/le.h"
#include "util/log.h"

bool spare_is_wanted(const struct server *s)
{
	return s->takeback.policy == REUSE_SAME_OWNER || s->takeback.policy == REUSE_TRUSTING;
}

/* ---- notes ---- */

static int note(const struct server *s, struct device *d, struct soft_user user)
{
	/* Another uid comes only with more users, see add_user(). */
	if (d->user.users == user.users && d->user.spare == user.spare)
		return 0;
	int r = soft_user_note(&user, s->regions[d->region].physical_start, d->soft.id);
	if (r == 0)
		d->user = user;
	return r;
}

static int note_spare(const struct server *s, const struct device_list *devices)
{
	for (size_t i = 0; i < devices->count; i++) {
		struct soft_user user = devices->at[i].user;
		user.spare = true;
		int r = note(s, &devices->at[i], user);
		if (r < 0)
			return r;
	}
	return 0;
}

static struct soft_user add_user(struct soft_user user, uid_t uid)
{
	user.spare = false;
	if (user.users == SOFT_USERS_NONE) {
		user.users = SOFT_USERS_ONE;
		user.uid = uid;
	} else if (user.users == SOFT_USERS_ONE && user.uid != uid) {
		user.users = SOFT_USERS_SEVERAL;
	}
	return user;
}

static int note_given(struct server *s, const struct record_inode *inode, const uid_t *uid)
{
	const struct device_list *devices = &inode->devices->list;

	inode->watch->offered = 0;
	for (size_t i = 0; i < devices->count; i++) {
		struct device *d = &devices->at[i];
		struct soft_user user = d->user;
		user.spare = false;
		int r = note(s, d, uid ? add_user(user, *uid) : user);
		if (r < 0)
			return r;
	}
	return 0;
}

int spare_note_grant(struct server *s, const struct record_inode *inode, uid_t uid)
{
	return note_given(s, inode, &uid);
}

/* That it was exported is noted as such, and more than any user. */
int spare_note_export(struct server *s, const struct record_inode *inode)
{
	return note_given(s, inode, NULL);
}

void spare_adopt(struct server *s)
{
	struct record_inode *inode;

	LIST_FOREACH (inode, &s->record.inodes, by_record) {
		const struct inode_devices *devices = inode->devices;
		/* Without a device nobody has its memory: it was handed over, and taken away from
		 * whoever had it before. */
		bool spare = !inode->contradicted;
		for (size_t i = 0; devices && i < devices->list.count; i++)
			spare = spare && devices->list.at[i].user.spare;
		inode->spare = spare;
	}
}

/* ---- to whom ---- */

/* Whoever had the removed file may see and change what the next one holds: that must be one user.
 */
static bool may_be_given_on(const struct server *s, const struct device_list *devices)
{
	const struct device *first = &devices->at[0];

	if (s->takeback.policy == REUSE_TRUSTING)
		return true;
	for (size_t i = 0; i < devices->count; i++) {
		const struct device *d = &devices->at[i];
		if (d->soft.exported || d->user.users != SOFT_USERS_ONE ||
			d->user.uid != first->user.uid)
			return false;
	}
	return true;
}

bool spare_suits(const struct server *s, const struct record_inode *inode, uid_t owner)
{
	const struct device_list *devices = &inode->devices->list;

	if (s->takeback.policy == REUSE_TRUSTING)
		return true;
	for (size_t i = 0; i < devices->count; i++) {
		const struct soft_user *user = &devices->at[i].user;
		if (user->spare && (user->users != SOFT_USERS_ONE || user->uid != owner))
			return false;
	}
	return true;
}

static uint64_t count_blocks(const struct record_inode *inode)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < inode->extent_count; i++)
		sum += inode->extents[i].count;
	return sum;
}

/* Its devices have no other block than its own, and no block twice. */
static bool is_all_in_devices(const struct record_inode *inode)
{
	const struct inode_devices *devices = inode->devices;
	uint64_t size = 0;

	for (size_t i = 0; i < devices->list.count; i++)
		size += devices->list.at[i].soft.size;
	return size == count_blocks(inode) << GM_BLOCK_SHIFT;
}

/* What somebody has taken away or changed can't be given on: nobody would know who has its pages.
 */
static bool are_there(const struct device_list *devices)
{
	struct problem why = PROBLEM_INIT;

	for (size_t i = 0; i < devices->count; i++)
		if (soft_device_check(&devices->at[i].soft, &why) < 0)
			return false;
	return true;
}

/* The pieces of the extent that devices have, behind those that there are; false for lack of
 * memory, or if they are not one after the other in the file. */
static bool add_covered(const struct cover *cover, const struct record_extent *e,
	struct record_extent **extents, size_t *count)
{
	for (uint64_t done = 0; done < e->count;) {
		const struct cover_piece piece = cover_next(cover, e, done);
		const struct record_extent *last = *count ? &(*extents)[*count - 1] : NULL;

		done += piece.count;
		if (!piece.range)
			continue;
		if (last && last->file_block + last->count != piece.file_block)
			return false;
		last = reallocarray(*extents, *count + 1, sizeof(*last));
		if (!last)
			return false;
		*extents = (struct record_extent *)last;
		(*extents)[(*count)++] = (struct record_extent){.file_block = piece.file_block,
			.block = piece.block,
			.count = (uint32_t)piece.count,
			.region = e->region};
	}
	return true;
}

/*
 * A file that was handed memory, and granted to nobody since, may have got free memory besides: no
 * device has that, so it is nobody's. The worker, which hears how much is left, gives it back.
 */
static bool drop_rest(struct server *s, struct record_inode *inode)
{
	_cleanup_(cover_deinit) struct cover cover = {.ranges = NULL};
	_cleanup_free_ struct record_extent *kept = NULL;
	size_t count = 0;

	if (!inode->spare || cover_init(&cover, &inode->devices->list) < 0)
		return false;
	for (size_t i = 0; i < inode->extent_count; i++)
		if (!add_covered(&cover, &inode->extents[i], &kept, &count))
			return false;
	if (count == 0) /* what a worker says does not end the helper */
		return false;
	record_release_rest(&s->record, inode, steal_pointer(kept), count);
	return is_all_in_devices(inode);
}

static void send_spare(struct server *s, const struct record_inode *inode)
{
	const struct link_spare m = {.header = link_header_make(sizeof(m), LINK_SPARE, 0),
		.ino = put_le64(inode->ino),
		.epoch = put_le64(inode->epoch),
		.blocks = put_le64(count_blocks(inode)),
		.file_block = put_le64(inode->extents[0].file_block),
		.uid = put_le32(inode->devices->list.at[0].user.uid),
		.flags = put_le32(s->takeback.policy == REUSE_TRUSTING ? LINK_SPARE_ANY : 0)};

	link_send(s, &m.header);
}

void spare_offer(struct server *s, struct watch *w)
{
	struct record_inode *inode = w->inode;

	if (!spare_is_wanted(s) || !(w->take & LINK_CHECK_KEEP) || !link_is_up(&s->link) ||
		inode->told_by != s->link.serial || w->offered == s->link.serial ||
		inode->contradicted || takeback_is_waited_for(s, inode) ||
		watch_find_live(w, true) || inode->devices->list.count == 0 ||
		!may_be_given_on(s, &inode->devices->list) || !are_there(&inode->devices->list))
		return;
	if (!is_all_in_devices(inode) && !drop_rest(s, inode))
		return;
	int r = note_spare(s, &inode->devices->list);
	if (r < 0) {
		log_warning("the memory of inode %" PRIu64
			    " is not given on: it can't be noted in /run/guestmemfs: %s",
			inode->ino, strerror(-r));
		return;
	}
	inode->spare = true;
	record_note_spare(&s->record, inode);
	w->offered = s->link.serial;
	send_spare(s, inode);
}

/* ---- handed over ---- */

/* The devices are the heir's. A job that has to do with them ends under their old number. */
static int move_devices(struct server *s, struct record_inode *from, struct record_inode *heir)
{
	struct watch *w = holders_watch(heir);

	if (!w)
		return -ENOMEM;
	/* Its holders are not known, nor when they were granted it. */
	w->unknown = true;
	heir->devices = from->devices;
	from->devices = NULL;
	heir->told_by = s->link.serial;
	if (from->watch) {
		watch_answer_busy(s, from->watch, 0);
		watch_free(s, from->watch);
	}
	record_drop(&s->record, from);
	return 0;
}

static bool may_have_gone(const struct server *s, const struct record_inode *from)
{
	return from->spare && !from->contradicted && from->told_by != s->link.serial;
}

static int hand_over(struct server *s, struct record_inode *from, const struct link_hand_over *m,
	struct problem *why)
{
	struct record_inode *heir = NULL;
	uint64_t ino = get_le64(m->ino);

	if (!from->spare || from->contradicted || !from->watch || !from->watch->offered ||
		takeback_is_waited_for(s, from))
		return problem(why, EUCLEAN,
			"the memory of inode %" PRIu64 " is not to be given on", from->ino);
	int r = record_hand_over(
		&s->record, from, ino, get_le64(m->epoch), get_le64(m->file_block), &heir, why);
	if (r < 0)
		return r;
	if (move_devices(s, from, heir) < 0)
		return problem_errno(why, ENOMEM, "handing over the memory of an inode");
	log_info("inode %" PRIu64 " takes over the devices of a removed file", ino);
	return 0;
}

/* Where in the file the first block of `from` is; false: it has none of them. */
static bool find_place(const struct record_inode *from, const struct record_extent *extents,
	size_t count, uint64_t *ret)
{
	const struct record_extent *first = from->extents;

	for (size_t i = 0; i < count && from->extent_count > 0; i++) {
		const struct record_extent *e = &extents[i];
		if (e->region != first->region || first->block < e->block ||
			first->block - e->block >= e->count)
			continue;
		*ret = e->file_block + (first->block - e->block);
		return true;
	}
	return false;
}

/* As a helper before this one has noted it: its devices are not known yet. It may have died while
 * it noted that the heir was granted, so that the heir is known with a part of them. */
static void inherit_noted(
	struct server *s, uint64_t ino, const struct record_extent *extents, size_t count)
{
	struct record_inode *from, *next;
	uint64_t file_block;

	for (from = LIST_FIRST(&s->record.inodes); from; from = next) {
		next = LIST_NEXT(from, by_record);
		if (from->ino == ino || from->told_by != 0 || !may_have_gone(s, from) ||
			!find_place(from, extents, count, &file_block))
			continue;
		if (record_inherit(&s->record, from, ino) < 0)
			return; /* HELD will be refused */
		if (from->watch)
			watch_free(s, from->watch);
		record_drop(&s->record, from);
	}
}

void spare_inherit(struct server *s, uint64_t ino, uint64_t epoch,
	const struct record_extent *extents, size_t count)
{
	struct record_inode *from, *heir = NULL;
	struct problem why = PROBLEM_INIT;
	uint64_t file_block;

	if (s->devices_state == DEVICES_UNKNOWN) {
		inherit_noted(s, ino, extents, count);
		return;
	}
	if (record_find(&s->record, ino))
		return;
	LIST_FOREACH (from, &s->record.inodes, by_record)
		if (may_have_gone(s, from) && find_place(from, extents, count, &file_block))
			break;
	if (!from)
		return;
	int r = record_hand_over(&s->record, from, ino, epoch, file_block, &heir, &why);
	if (r >= 0)
		r = move_devices(s, from, heir);
	if (r < 0)
		log_warning(
			"inode %" PRIu64 " does not take over the devices of a removed file", ino);
}

int spare_take_hand_over(struct server *s, const struct link_hand_over *m, struct problem *why)
{
	uint64_t from_ino = get_le64(m->from), ino = get_le64(m->ino);
	struct problem refused = PROBLEM_INIT;

	if (from_ino == 0 || ino == 0 || from_ino == ino)
		return problem(why, EPROTO, "a hand-over of inode %" PRIu64 " to inode %" PRIu64,
			from_ino, ino);
	struct record_inode *from = record_find(&s->record, from_ino);
	/* It was taken away meanwhile, and FREE is on its way: the heir has no devices. */
	if (!from)
		return 0;
	int r = hand_over(s, from, m, &refused);
	if (r == -ENOMEM)
		return problem(why, ENOMEM, "%s", refused.text);
	if (r < 0) {
		audits_worker_refused(s, LINK_HAND_OVER, ino, EUCLEAN, refused.text);
		(void)record_contradict(&s->record, ino, get_le64(m->epoch));
	}
	return 0;
}
