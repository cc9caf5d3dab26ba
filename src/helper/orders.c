// SPDX-License-Identifier: MIT
#include "helper/orders.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "helper/exports.h"
#include "helper/server.h"
#include "util/log.h"

/* ---- CONFIG, HELD, RESUMED ---- */

static int check_config(const struct server *s, const struct link_config *m, struct problem *why)
{
	static const uint8_t zero[sizeof(m->regions)];

	if (get_le32(m->version) != LINK_VERSION)
		return problem(why, EPROTONOSUPPORT,
			"the worker speaks version %u of the link, the helper version %u: they are "
			"not of one installation",
			get_le32(m->version), LINK_VERSION);
	if (get_le32(m->region_count) != s->region_count)
		return problem(why, EPROTO, "the worker has %u regions, the helper was given %u",
			get_le32(m->region_count), s->region_count);
	for (unsigned i = 0; i < s->region_count; i++) {
		uint64_t blocks = s->regions[i].size >> GM_BLOCK_SHIFT;
		uint64_t first = get_le64(m->regions[i].first_data);
		uint64_t count = get_le64(m->regions[i].data_blocks);
		/* The first and the last block of every region are never a file's. */
		if (first > blocks || count > blocks - first ||
			(count > 0 && (first == 0 || first + count == blocks)))
			return problem(why, EPROTO,
				"data blocks %" PRIu64 "+%" PRIu64
				" of region %s, which has %" PRIu64 " blocks",
				first, count, s->regions[i].name, blocks);
	}
	if (memcmp(&m->regions[s->region_count], zero,
		    sizeof(m->regions[0]) * (GM_REGIONS_MAX - s->region_count)) != 0)
		return problem(why, EPROTO, "a configuration of regions that do not exist");
	return 0;
}

/* Whatever the worker is going to say: what the helper before this one has granted is held. */
static int restore_noted(struct server *s, struct problem *why)
{
	struct record_inode *inode;
	int r = record_restore(&s->record, why);

	if (r < 0)
		return r;
	LIST_FOREACH (inode, &s->record.inodes, by_record) {
		struct watch *w = holders_watch(inode);
		if (!w)
			return problem_errno(why, ENOMEM, "adopting inode %" PRIu64, inode->ino);
		holders_adopt(s, w);
	}
	return 0;
}

static int configure(struct server *s, const struct link_config *m, struct problem *why)
{
	for (unsigned i = 0; i < s->region_count; i++) {
		int r = record_add_region(&s->record, s->regions[i].size >> GM_BLOCK_SHIFT,
			get_le64(m->regions[i].first_data), get_le64(m->regions[i].data_blocks),
			s->ledgers[i].entries);
		if (r < 0) {
			record_deinit(&s->record);
			return problem_errno(why, -r, "recording region %s", s->regions[i].name);
		}
	}
	int r = restore_noted(s, why);
	if (r < 0) {
		holders_free_all(s);
		record_deinit(&s->record);
		return r;
	}
	s->link.config = *m;
	s->link.configured = true;
	return 0;
}

/* All of the first CONFIG must come again, but for the header's id. */
static bool is_same_config(const struct link_config *a, const struct link_config *b)
{
	return memcmp(&a->version, &b->version,
		       sizeof(*a) - offsetof(struct link_config, version)) == 0;
}

static int take_config(struct server *s, const struct link_config *m, struct problem *why)
{
	const struct link_plain ready = {.header = link_header_make(sizeof(ready), LINK_READY, 0)};
	int r = check_config(s, m, why);

	if (r < 0)
		return r;
	if (!s->link.configured)
		r = configure(s, m, why);
	else if (!is_same_config(&s->link.config, m))
		r = problem(why, EUCLEAN,
			"the worker's configuration is not the one that the helper has known");
	if (r < 0)
		return r;
	s->link.state = LINK_STATE_RESUMING;
	link_send(s, &ready.header);
	return 0;
}

static int take_resumed(struct server *s, struct problem *why)
{
	if (devices_are_ready(s)) {
		link_bring_up(s);
		return 0;
	}
	if (devices_begin(s) < 0)
		return problem_errno(why, ENOMEM, "looking for devices");
	link_adopting(s);
	return 0;
}

/* ---- HELD and GRANT with their EXTENTS ---- */

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

static int take_held(struct server *s, const struct link_held *m, struct problem *why)
{
	const struct link_pending pending = {.opcode = LINK_HELD,
		.order = {.id = get_le64(m->header.id),
			.ino = get_le64(m->ino),
			.epoch = get_le64(m->epoch)}};

	return begin_pending(s, &pending, get_le64(m->extent_count), why);
}

static int take_grant(struct server *s, const struct link_grant *m, struct problem *why)
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

static int take_export(struct server *s, const struct link_export *m, struct problem *why)
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

static int take_contents(struct server *s, const struct link_contents *m, struct problem *why)
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

static int take_extents(struct server *s, const struct link_extents *m, struct problem *why)
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

static int take_refuse(struct server *s, const struct link_refuse *m, struct problem *why)
{
	uint64_t id = get_le64(m->header.id);
	uint32_t error = get_le32(m->error), reason = get_le32(m->reason);

	if (!grants_is_asked(s, id))
		return problem(why, EPROTO, "a refusal that nobody asked for");
	if (error == 0 || error >= 4096 || reason > GM_REASON_DEVICE)
		return problem(why, EPROTO, "a refusal with error %" PRIu32 ", reason %" PRIu32,
			error, reason);
	grants_take_refusal(s, id, (int)error, (enum gm_reason)reason);
	return 0;
}

/* ---- SCRUB and ZERO ---- */

static void send_done(struct server *s, uint64_t id, int error)
{
	const struct link_done m = {.header = link_header_make(sizeof(m), LINK_DONE, id),
		.error = put_le32((uint32_t)error)};

	link_send(s, &m.header);
}

/* The blocks that a job touches, as the record knows its order. */
static void job_blocks(const struct work_job *job, uint64_t *block, uint32_t *count)
{
	*block = job->offset >> GM_BLOCK_SHIFT;
	*count = (uint32_t)(((job->offset + job->length - 1) >> GM_BLOCK_SHIFT) - *block + 1);
}

/* What is handed over is zeroed through the devices that it has. */
static int add_devices(const struct server *s, struct work_job *job, uint64_t block, uint32_t count)
{
	const struct record_inode *owner =
		record_next_owner(&s->record, job->region, &block, block + count);

	return owner && owner->devices ? device_list_copy(&job->devices, &owner->devices->list) : 0;
}

/* The range has been checked to make sense by itself; whether it may be zeroed the record knows. */
static int begin_work(struct server *s, enum work_kind kind, uint64_t id, unsigned region,
	uint64_t offset, uint64_t length)
{
	struct problem refused = PROBLEM_INIT;
	struct work_job *job = work_job_new(kind);
	uint64_t block;
	uint32_t count;

	if (!job) {
		send_done(s, id, ENOMEM);
		return 0;
	}
	job->id = id;
	job->link_serial = s->link.serial;
	job->region = region;
	job->offset = offset;
	job->length = length;
	job_blocks(job, &block, &count);
	int r = record_begin_order(&s->record, region, block, count, &refused);
	if (r < 0) {
		audits_worker_refused(
			s, kind == WORK_SCRUB ? LINK_SCRUB : LINK_ZERO, 0, -r, refused.text);
		send_done(s, id, -r);
		work_job_free(job);
		return 0;
	}
	if (add_devices(s, job, block, count) < 0) {
		record_end_order(&s->record, region, block, count, false);
		send_done(s, id, ENOMEM);
		work_job_free(job);
		return 0;
	}
	if (!leftovers_hold_back(s, job))
		work_submit(s->zeroing, job);
	return 0;
}

static int take_scrub(struct server *s, const struct link_scrub *m, struct problem *why)
{
	uint64_t id = get_le64(m->header.id), block = get_le64(m->block);
	uint32_t count = get_le32(m->count);

	if (count == 0 || count > LINK_SCRUB_MAX)
		return problem(why, EPROTO, "an order to scrub %" PRIu32 " blocks", count);
	/* Beyond any region, so that the byte offset would overflow. */
	if (block > (UINT64_MAX >> GM_BLOCK_SHIFT) - count) {
		(void)problem(why, EUCLEAN, "block %" PRIu64 " is beyond any region", block);
		audits_worker_refused(s, LINK_SCRUB, 0, EUCLEAN, why->text);
		send_done(s, id, EUCLEAN);
		return 0;
	}
	return begin_work(s, WORK_SCRUB, id, get_le32(m->region), block << GM_BLOCK_SHIFT,
		(uint64_t)count << GM_BLOCK_SHIFT);
}

static int take_zero(struct server *s, const struct link_zero *m, struct problem *why)
{
	uint64_t offset = get_le64(m->offset);
	uint32_t length = get_le32(m->length);

	if (length == 0 || length > GM_BLOCK_SIZE - offset % GM_BLOCK_SIZE)
		return problem(why, EPROTO,
			"an order to zero %" PRIu32 " bytes at %" PRIu64
			", which is not within one block",
			length, offset);
	return begin_work(
		s, WORK_ZERO, get_le64(m->header.id), get_le32(m->region), offset, length);
}

void orders_take_done(struct server *s, const struct work_job *job)
{
	uint64_t block;
	uint32_t count;

	job_blocks(job, &block, &count);
	record_end_order(
		&s->record, job->region, block, count, job->kind == WORK_SCRUB && job->error == 0);
	if (job->error < 0)
		log_error("zeroing blocks %" PRIu64 "+%" PRIu32 " of region %s fails: %s", block,
			count, s->regions[job->region].name,
			job->why.text[0] ? job->why.text : strerror(-job->error));
	if (link_is_up(&s->link) && job->link_serial == s->link.serial)
		send_done(s, job->id, -job->error);
}

/* ---- all ---- */

static int take_check(struct server *s, const struct link_check *m, struct problem *why)
{
	uint32_t flags = get_le32(m->flags);

	if (get_le64(m->ino) == 0)
		return problem(why, EPROTO, "a check of inode 0");
	if (get_le32(m->pid) != 0 || (flags & ~LINK_CHECK_FLAGS) || flags == LINK_CHECK_KEEP)
		return problem(why, EPROTO, "a check with flags or a field that it can't have");
	holders_check(s, get_le64(m->header.id), get_le64(m->ino), get_le64(m->epoch), flags);
	return 0;
}

static bool is_in_order(const struct link *l, uint16_t opcode)
{
	if (l->pending.active || opcode == LINK_EXTENTS)
		return l->pending.active && opcode == LINK_EXTENTS;
	switch (l->state) {
	case LINK_STATE_NEW:
		return opcode == LINK_CONFIG;
	case LINK_STATE_RESUMING:
		return opcode == LINK_HELD || opcode == LINK_RESUMED;
	case LINK_STATE_ADOPTING:
		return false;
	case LINK_STATE_UP:
		return opcode != LINK_CONFIG && opcode != LINK_HELD && opcode != LINK_RESUMED;
	case LINK_STATE_DOWN:
		break;
	}
	return false;
}

/* What asks nothing has no id, and neither have the extents that follow HELD. */
static bool has_needless_id(const struct link_header *h)
{
	uint16_t opcode = get_le16(h->opcode);

	return get_le64(h->id) != 0 &&
	       (opcode == LINK_CONFIG || opcode == LINK_HELD || opcode == LINK_RESUMED ||
		       opcode == LINK_NODE || opcode == LINK_HAND_OVER);
}

int orders_take(struct server *s, const union link_from_worker *m, struct problem *why)
{
	uint16_t opcode = get_le16(m->header.opcode);

	if (!is_in_order(&s->link, opcode))
		return problem(why, EPROTO, "message %u comes out of order", opcode);
	if (has_needless_id(&m->header))
		return problem(why, EPROTO, "message %u, which asks nothing, with an id", opcode);
	switch ((enum link_worker_opcode)opcode) {
	case LINK_CONFIG:
		return take_config(s, &m->config, why);
	case LINK_HELD:
		return take_held(s, &m->held, why);
	case LINK_RESUMED:
		return take_resumed(s, why);
	case LINK_GRANT:
		return take_grant(s, &m->grant, why);
	case LINK_REFUSE:
		return take_refuse(s, &m->refuse, why);
	case LINK_EXTENTS:
		return take_extents(s, &m->extents, why);
	case LINK_SCRUB:
		return take_scrub(s, &m->scrub, why);
	case LINK_ZERO:
		return take_zero(s, &m->zero, why);
	case LINK_CHECK:
		return take_check(s, &m->check, why);
	case LINK_HOLDERS:
		holders_list(s, get_le64(m->header.id));
		return 0;
	case LINK_REVOKE:
		return revocations_begin(s, &m->revoke, why);
	case LINK_HAND_OVER:
		return spare_take_hand_over(s, &m->hand_over, why);
	case LINK_EXPORT:
	case LINK_NODE:
	case LINK_UNEXPORT:
		return take_export(s, &m->export, why);
	case LINK_CONTENTS:
		return take_contents(s, &m->contents, why);
	}
	return problem(why, EPROTO, "message %u is unknown", opcode);
}
