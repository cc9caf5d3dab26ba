// SPDX-License-Identifier: MIT
#include "counts/session.h"

#include <errno.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/le.h"

static int refuse(struct problem *why, const char *what)
{
	return problem(why, EPROTO, "%s", what);
}

static int take_device(
	struct counts_session *s, const struct counts_device *m, int *fd, struct problem *why)
{
	uint64_t align = get_le64(m->align);
	uint32_t count = get_le32(m->range_count);

	if (*fd < 0)
		return refuse(why, "a device without a descriptor");
	if (s->device_fd >= 0)
		return refuse(why, "a device before the last one was through");
	if (align != GM_BLOCK_SIZE && align != GM_GROUP_SIZE)
		return refuse(why, "an align that no device has");
	if (count == 0 || count > COUNTS_RANGES_TOTAL)
		return refuse(why, "a device of no ranges, or of too many");
	*s = (struct counts_session){
		.device_fd = steal_fd(fd),
		.id = get_le64(m->header.id),
		.align = align,
		.idle = get_le32(m->idle_page),
		.ranges_left = count,
		.reading = {.page_min = UINT32_MAX},
	};
	return COUNTS_NEXT_MESSAGE;
}

static int take_range_list(const struct counts_session *s, const struct counts_ranges *m,
	struct counts_job *job, struct problem *why)
{
	uint32_t count = get_le32(m->count);

	for (uint32_t i = 0; i < COUNTS_JOB_RANGES; i++) {
		uint64_t start = get_le64(m->ranges[i].start), size = get_le64(m->ranges[i].size);

		if (i < count ? !counts_range_is_good(start, size, s->align)
			      : start != 0 || size != 0)
			return refuse(why, "a range that is none");
		job->ranges[i].start = start;
		job->ranges[i].size = size;
	}
	return 0;
}

static int take_ranges(struct counts_session *s, const struct counts_ranges *m, int fd,
	struct counts_job *job, struct problem *why)
{
	uint32_t count = get_le32(m->count);
	uint32_t expected = s->ranges_left < COUNTS_JOB_RANGES ? s->ranges_left : COUNTS_JOB_RANGES;
	int r;

	if (fd >= 0)
		return refuse(why, "ranges with a descriptor");
	if (s->device_fd < 0 || get_le64(m->header.id) != s->id)
		return refuse(why, "ranges of no device");
	if (count != expected || get_le32(m->reserved) != 0)
		return refuse(why, "ranges that are not those announced");
	r = take_range_list(s, m, job, why);
	if (r < 0)
		return r;
	s->ranges_left -= count;
	if (s->error < 0)
		return s->ranges_left == 0 ? COUNTS_NEXT_ANSWER : COUNTS_NEXT_MESSAGE;
	job->fd = s->device_fd;
	job->range_count = count;
	job->page_size = s->align;
	job->idle = s->idle;
	return COUNTS_NEXT_RUN;
}

static int take_close(
	struct counts_session *s, const struct counts_close *m, int fd, struct problem *why)
{
	uint32_t count = get_le32(m->count);

	if (fd >= 0)
		return refuse(why, "devices to be closed with a descriptor");
	if (s->device_fd >= 0)
		return refuse(why, "devices to be closed before the last one was through");
	if (count > COUNTS_GATE_DEVICES || get_le32(m->reserved) != 0)
		return refuse(why, "too many devices to be closed");
	for (uint32_t i = 0; i < COUNTS_GATE_DEVICES; i++) {
		s->closing[i] = (struct counts_gate_device){
			get_le32(m->devices[i].major), get_le32(m->devices[i].minor)};
		if (i >= count && (s->closing[i].major != 0 || s->closing[i].minor != 0))
			return refuse(why, "more devices to be closed than are announced");
	}
	s->closing_count = count;
	s->id = get_le64(m->header.id);
	return COUNTS_NEXT_CLOSE;
}

int counts_session_take(struct counts_session *s, const void *message, size_t size, int fd,
	struct counts_job *job, struct problem *why)
{
	_cleanup_fd_ int device_fd = fd;
	struct counts_header header;

	if (size < sizeof(header))
		return refuse(why, "a message that is too short");
	memcpy(&header, message, sizeof(header));
	if (get_le32(header.size) != size || get_le16(header.reserved) != 0)
		return refuse(why, "a message whose header is wrong");
	if (get_le16(header.opcode) == COUNTS_DEVICE && size == sizeof(struct counts_device))
		return take_device(s, message, &device_fd, why);
	if (get_le16(header.opcode) == COUNTS_RANGES && size == sizeof(struct counts_ranges))
		return take_ranges(s, message, device_fd, job, why);
	if (get_le16(header.opcode) == COUNTS_CLOSE && size == sizeof(struct counts_close))
		return take_close(s, message, device_fd, why);
	return refuse(why, "a message of an unknown kind or a wrong size");
}

/* The device's count of a later run can only be of use if it is worse news. */
static void add_reading(struct counts_reading *to, const struct counts_job *job)
{
	if (job->cdev > to->cdev)
		to->cdev = job->cdev;
	if (job->page_min < to->page_min)
		to->page_min = job->page_min;
	if (job->page_max > to->page_max)
		to->page_max = job->page_max;
	if (job->busy_pages > 0 && to->busy_pages == 0)
		to->first_busy = job->first_busy;
	to->busy_pages += job->busy_pages;
}

enum counts_next counts_session_add(struct counts_session *s, int error,
	const struct counts_job *job, const struct problem *why)
{
	if (error < 0) {
		s->error = error;
		s->why = *why;
	} else {
		add_reading(&s->reading, job);
	}
	return s->ranges_left == 0 ? COUNTS_NEXT_ANSWER : COUNTS_NEXT_MESSAGE;
}

size_t counts_failed_init(struct counts_failed *m, uint64_t id, int error, const char *text)
{
	size_t length = strlen(text);

	*m = (struct counts_failed){
		.header = {put_le32(sizeof(*m)), put_le16(COUNTS_FAILED), put_le16(0),
			put_le64(id)},
		.error = put_le32((uint32_t)-error),
	};
	/* A sentence that is longer loses its end. */
	memcpy(m->text, text, length < sizeof(m->text) ? length : sizeof(m->text) - 1);
	return sizeof(*m);
}

size_t counts_session_answer(struct counts_session *s, union counts_reply *reply)
{
	struct counts_answer *m = &reply->answer;

	s->device_fd = close_fd(s->device_fd);
	if (s->error < 0)
		return counts_failed_init(&reply->failed, s->id, s->error, s->why.text);
	*m = (struct counts_answer){
		.header = {put_le32(sizeof(*m)), put_le16(COUNTS_READING), put_le16(0),
			put_le64(s->id)},
		.cdev = put_le32(s->reading.cdev),
		.page_min = put_le32(s->reading.page_min),
		.page_max = put_le32(s->reading.page_max),
		.busy_pages = put_le64(s->reading.busy_pages),
		.first_busy = put_le64(s->reading.first_busy),
	};
	return sizeof(*m);
}

size_t counts_session_closed(const struct counts_session *s, int error, const struct problem *why,
	union counts_reply *reply)
{
	struct counts_closed *m = &reply->closed;

	if (error < 0)
		return counts_failed_init(&reply->failed, s->id, error, why->text);
	*m = (struct counts_closed){.header = {put_le32(sizeof(*m)), put_le16(COUNTS_CLOSED),
					    put_le16(0), put_le64(s->id)}};
	return sizeof(*m);
}

void counts_session_deinit(struct counts_session *s)
{
	s->device_fd = close_fd(s->device_fd);
}
