// SPDX-License-Identifier: MIT
/*
 * SCRUB and ZERO: what the record allows to be zeroed is done beside the event loop, and the worker
 * told.
 */
#include "helper/orders.h"
#include "helper/orders_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "helper/server.h"
#include "util/log.h"

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

int orders_take_scrub(struct server *s, const struct link_scrub *m, struct problem *why)
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

int orders_take_zero(struct server *s, const struct link_zero *m, struct problem *why)
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
