// SPDX-License-Identifier: MIT
/*
 * HELD, GRANT, EXPORT and CONTENTS, which are followed by EXTENTS: they are kept until all have
 * come.
 */
#include "helper/orders_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "helper/exports.h"
#include "helper/server.h"

static int finish_held(struct server *s, const struct link_pending *p, struct problem *why)
{
	struct record_inode *inode = NULL;

	spare_inherit(s, p->order.ino, p->order.epoch, p->extents, p->count);
	bool known = record_find(&s->record, p->order.ino);
	int r = record_hold(
		&s->record, p->order.ino, p->order.epoch, false, p->extents, p->count, &inode, why);

	if (r < 0)
		return problem_prefix(
			why, r, "inode %" PRIu64 " is said to be held, but", p->order.ino);
	inode->told_by = s->link.serial;
	/* Shown free before the worker could hear of it: so was what it had handed over since. */
	if (!known && s->soft && devices_are_ready(s))
		inode->spare = true;
	if (inode->watch) /* from before a loss of the link, or noted */
		return 0;
	struct watch *w = holders_watch(inode);
	if (!w) {
		record_drop(&s->record, inode);
		return problem_errno(why, ENOMEM, "adopting inode %" PRIu64, p->order.ino);
	}
	holders_adopt(s, w);
	return 0;
}

static int finish_pending(struct server *s, struct problem *why)
{
	struct link_pending p = s->link.pending;
	int r = 0;

	if (p.count < p.wanted)
		return 0;
	s->link.pending = (struct link_pending){.active = false};
	if (p.opcode == LINK_HELD)
		r = finish_held(s, &p, why);
	else if (p.opcode == LINK_GRANT)
		grants_take_grant(s, &p.order, p.extents, p.count);
	else if (p.opcode == LINK_EXPORT)
		exports_take(s, &p.export, p.extents, p.count);
	else
		contents_take(s, &p.order, p.from, p.extents, p.count);
	free(p.extents);
	return r;
}

static uint64_t count_data_blocks(const struct server *s)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < s->record.region_count; i++)
		sum += s->record.regions[i].data_blocks;
	return sum;
}

static int begin_pending(struct server *s, const struct link_pending *pending,
	uint64_t extent_count, struct problem *why)
{
	const struct grant_order *order = &pending->order;

	if (order->ino == 0)
		return problem(why, EPROTO, "a grant of inode 0");
	/* Each extent is at least one block, so this bounds what is kept until all have come. */
	if (extent_count > count_data_blocks(s))
		return problem(why, EPROTO,
			"inode %" PRIu64 " with %" PRIu64
			" extents, more than there are data blocks",
			order->ino, extent_count);
	s->link.pending = *pending;
	s->link.pending.active = true;
	s->link.pending.wanted = (size_t)extent_count;
	return finish_pending(s, why);
}

int orders_take_held(struct server *s, const struct link_held *m, struct problem *why)
{
	const struct link_pending pending = {.opcode = LINK_HELD,
		.order = {.id = get_le64(m->header.id),
			.ino = get_le64(m->ino),
			.epoch = get_le64(m->epoch)}};

	return begin_pending(s, &pending, get_le64(m->extent_count), why);
}

int orders_take_grant(struct server *s, const struct link_grant *m, struct problem *why)
{
	const struct grant_order order = {.id = get_le64(m->header.id),
		.ino = get_le64(m->ino),
		.epoch = get_le64(m->epoch),
		.size = get_le64(m->size),
		.access = get_le32(m->access),
		.owner = get_le32(m->owner)};

	if (!grants_is_asked(s, order.id))
		return problem(why, EPROTO, "a grant that nobody asked for");
	if (order.access != GM_ACCESS_READ && order.access != (GM_ACCESS_READ | GM_ACCESS_WRITE))
		return problem(why, EPROTO, "a grant with access %u", order.access);
	if (order.size > INT64_MAX)
		return problem(why, EPROTO, "a grant with a size out of range");
	const struct link_pending pending = {.opcode = LINK_GRANT, .order = order};
	return begin_pending(s, &pending, get_le64(m->extent_count), why);
}

int orders_take_export(struct server *s, const struct link_export *m, struct problem *why)
{
	const struct link_pending pending = {.opcode = LINK_EXPORT,
		.order = {.id = get_le64(m->header.id),
			.ino = get_le64(m->ino),
			.epoch = get_le64(m->epoch)},
		.export = *m};
	int r = exports_check(m, why);

	if (r < 0)
		return r;
	switch (get_le16(m->header.opcode)) {
	case LINK_NODE:
		exports_take_node(s, m);
		return 0;
	case LINK_UNEXPORT:
		exports_take_end(s, m);
		return 0;
	default:
		return begin_pending(s, &pending, get_le64(m->extent_count), why);
	}
}

int orders_take_contents(struct server *s, const struct link_contents *m, struct problem *why)
{
	const struct link_pending pending = {.opcode = LINK_CONTENTS,
		.order = {.id = get_le64(m->header.id),
			.ino = get_le64(m->ino),
			.epoch = get_le64(m->epoch)},
		.from = get_le64(m->from)};

	if (pending.order.id == 0)
		return problem(why, EPROTO, "a question for contents without an id");
	return begin_pending(s, &pending, get_le64(m->extent_count), why);
}

static int pending_make_room(struct link_pending *p, size_t more)
{
	size_t needed = p->count + more;

	if (needed <= p->room)
		return 0;
	size_t room = p->room * 2 > needed ? p->room * 2 : needed;
	struct record_extent *extents = reallocarray(p->extents, room, sizeof(*extents));
	if (!extents)
		return -ENOMEM;
	p->extents = extents;
	p->room = room;
	return 0;
}

static int check_extents(
	const struct link_pending *p, const struct link_extents *m, struct problem *why)
{
	uint32_t count = get_le32(m->count);

	if (get_le64(m->header.id) != p->order.id || get_le64(m->ino) != p->order.ino)
		return problem(why, EPROTO, "extents of another inode than was announced");
	if (count == 0 || count > LINK_EXTENTS_MAX || count > p->wanted - p->count)
		return problem(why, EPROTO,
			"%" PRIu32 " extents in one message, where %zu are to come", count,
			p->wanted - p->count);
	if (get_le32(m->header.size) != link_extents_size(count))
		return problem(why, EPROTO, "%" PRIu32 " extents in %" PRIu32 " bytes", count,
			get_le32(m->header.size));
	if (get_le32(m->reserved) != 0)
		return problem(why, EPROTO, "extents with a reserved field in use");
	for (uint32_t i = 0; i < count; i++)
		if (get_le64(m->extents[i].ino) != p->order.ino ||
			get_le16(m->extents[i].reserved) != 0)
			return problem(why, EPROTO,
				"an extent of another inode, or with a reserved field in use");
	return 0;
}

int orders_take_extents(struct server *s, const struct link_extents *m, struct problem *why)
{
	struct link_pending *p = &s->link.pending;
	int r = check_extents(p, m, why);

	if (r < 0)
		return r;
	uint32_t count = get_le32(m->count);
	if (pending_make_room(p, count) < 0)
		return problem_errno(why, ENOMEM, "taking extents");
	for (uint32_t i = 0; i < count; i++)
		p->extents[p->count++] =
			(struct record_extent){.file_block = get_le64(m->extents[i].file_block),
				.block = get_le64(m->extents[i].block),
				.count = get_le32(m->extents[i].count),
				.region = get_le16(m->extents[i].region)};
	return finish_pending(s, why);
}
