// SPDX-License-Identifier: MIT
/* What a guestmemfs-counts makes of messages, good and hostile ones. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "chance.h"
#include "counts/session.h"
#include "util/cleanup.h"
#include "util/le.h"

#define ID 77

static struct counts_job job;

static int open_device(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static struct counts_device device_of(uint32_t range_count)
{
	return (struct counts_device){
		.header = {put_le32(sizeof(struct counts_device)), put_le16(COUNTS_DEVICE),
			put_le16(0), put_le64(ID)},
		.align = put_le64(GM_BLOCK_SIZE),
		.range_count = put_le32(range_count),
		.idle_page = put_le32(1),
	};
}

static struct counts_ranges ranges_of(uint32_t count)
{
	struct counts_ranges m = {
		.header = {put_le32(sizeof(m)), put_le16(COUNTS_RANGES), put_le16(0), put_le64(ID)},
		.count = put_le32(count),
	};

	for (uint32_t i = 0; i < count; i++) {
		m.ranges[i].start = put_le64((i + 1) * GM_GROUP_SIZE);
		m.ranges[i].size = put_le64(GM_BLOCK_SIZE);
	}
	return m;
}

static int take(struct counts_session *s, const void *message, size_t size, int fd)
{
	struct problem why = PROBLEM_INIT;
	int r = counts_session_take(s, message, size, fd, &job, &why);

	if (r < 0) {
		cr_expect_eq(r, -EPROTO);
		cr_expect_str_neq(why.text, "");
	}
	return r;
}

/* What the program would have found. */
static void find(uint32_t cdev, uint32_t page_min, uint32_t page_max, uint64_t busy, uint64_t first)
{
	job.cdev = cdev;
	job.page_min = page_min;
	job.page_max = page_max;
	job.busy_pages = busy;
	job.first_busy = first;
}

Test(counts_session, the_parts_of_a_device_become_one_answer)
{
	_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
	const struct counts_device device = device_of(2 * COUNTS_JOB_RANGES + 44);
	const struct counts_ranges full = ranges_of(COUNTS_JOB_RANGES), rest = ranges_of(44);
	union counts_reply reply;
	int fd = open_device();

	cr_assert_eq(take(&s, &device, sizeof(device), fd), COUNTS_NEXT_MESSAGE);
	cr_assert_eq(take(&s, &full, sizeof(full), -1), COUNTS_NEXT_RUN);
	cr_expect_eq(job.fd, fd);
	cr_expect_eq(job.range_count, COUNTS_JOB_RANGES);
	cr_expect_eq(job.page_size, GM_BLOCK_SIZE);
	cr_expect_eq(job.idle, 1);
	cr_expect_eq(job.ranges[COUNTS_JOB_RANGES - 1].start, COUNTS_JOB_RANGES * GM_GROUP_SIZE);
	find(2, 1, 1, 0, 0);
	cr_expect_eq(counts_session_add(&s, 0, &job, NULL), COUNTS_NEXT_MESSAGE);
	cr_assert_eq(take(&s, &full, sizeof(full), -1), COUNTS_NEXT_RUN);
	find(4, 1, 3, 2, 2 * GM_GROUP_SIZE);
	cr_expect_eq(counts_session_add(&s, 0, &job, NULL), COUNTS_NEXT_MESSAGE);
	cr_assert_eq(take(&s, &rest, sizeof(rest), -1), COUNTS_NEXT_RUN);
	cr_expect_eq(job.range_count, 44);
	find(3, 0, 2, 1, GM_GROUP_SIZE);
	cr_expect_eq(counts_session_add(&s, 0, &job, NULL), COUNTS_NEXT_ANSWER);
	cr_assert(is_open(fd));
	cr_assert_eq(counts_session_answer(&s, &reply), sizeof(reply.answer));
	cr_expect_not(is_open(fd), "the device is closed before the answer leaves");
	cr_expect_eq(get_le16(reply.answer.header.opcode), COUNTS_READING);
	cr_expect_eq(get_le64(reply.answer.header.id), ID);
	cr_expect_eq(get_le32(reply.answer.cdev), 4, "the worst one");
	cr_expect_eq(get_le32(reply.answer.page_min), 0);
	cr_expect_eq(get_le32(reply.answer.page_max), 3);
	cr_expect_eq(get_le64(reply.answer.busy_pages), 3);
	cr_expect_eq(get_le64(reply.answer.first_busy), 2 * GM_GROUP_SIZE);
}

Test(counts_session, after_an_error_nothing_more_is_run_until_the_next_device)
{
	_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
	const struct counts_device device = device_of(COUNTS_JOB_RANGES + 1), next = device_of(1);
	const struct counts_ranges full = ranges_of(COUNTS_JOB_RANGES), rest = ranges_of(1);
	const struct problem why = {.text = "there is nothing"};
	union counts_reply reply;
	int fd = open_device();

	cr_assert_eq(take(&s, &device, sizeof(device), fd), COUNTS_NEXT_MESSAGE);
	cr_assert_eq(take(&s, &full, sizeof(full), -1), COUNTS_NEXT_RUN);
	cr_expect_eq(counts_session_add(&s, -EFAULT, &job, &why), COUNTS_NEXT_MESSAGE);
	cr_assert_eq(take(&s, &rest, sizeof(rest), -1), COUNTS_NEXT_ANSWER);
	cr_assert_eq(counts_session_answer(&s, &reply), sizeof(reply.failed));
	cr_expect_not(is_open(fd));
	cr_expect_eq(get_le16(reply.failed.header.opcode), COUNTS_FAILED);
	cr_expect_eq(get_le64(reply.failed.header.id), ID);
	cr_expect_eq(get_le32(reply.failed.error), EFAULT);
	cr_expect_str_eq(reply.failed.text, why.text);

	cr_assert_eq(take(&s, &next, sizeof(next), open_device()), COUNTS_NEXT_MESSAGE);
	cr_assert_eq(take(&s, &rest, sizeof(rest), -1), COUNTS_NEXT_RUN);
	find(2, 1, 1, 0, 0);
	cr_expect_eq(counts_session_add(&s, 0, &job, NULL), COUNTS_NEXT_ANSWER);
	cr_assert_eq(counts_session_answer(&s, &reply), sizeof(reply.answer));
}

Test(counts_session, a_sentence_that_is_too_long_loses_its_end)
{
	struct counts_failed m;
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cr_assert_eq(counts_failed_init(&m, 1, -EIO, text), sizeof(m));
	cr_expect_eq(strlen(m.text), sizeof(m.text) - 1);
}

/* ---- hostile ones ---- */

Test(counts_session, a_device_with_any_field_wrong_is_refused)
{
	static const struct {
		const char *what;
		uint32_t size, opcode, reserved, range_count;
		uint64_t align;
		bool without_fd;
	} cases[] = {
		{"size", 31, COUNTS_DEVICE, 0, 1, GM_BLOCK_SIZE, false},
		{"size", 33, COUNTS_DEVICE, 0, 1, GM_BLOCK_SIZE, false},
		{"opcode", 32, 0, 0, 1, GM_BLOCK_SIZE, false},
		{"opcode", 32, COUNTS_READY, 0, 1, GM_BLOCK_SIZE, false},
		{"opcode", 32, COUNTS_RANGES, 0, 1, GM_BLOCK_SIZE, false},
		{"opcode", 32, 0xffff, 0, 1, GM_BLOCK_SIZE, false},
		{"reserved", 32, COUNTS_DEVICE, 1, 1, GM_BLOCK_SIZE, false},
		{"no ranges", 32, COUNTS_DEVICE, 0, 0, GM_BLOCK_SIZE, false},
		{"too many", 32, COUNTS_DEVICE, 0, COUNTS_RANGES_TOTAL + 1, GM_BLOCK_SIZE, false},
		{"too many", 32, COUNTS_DEVICE, 0, UINT32_MAX, GM_BLOCK_SIZE, false},
		{"align", 32, COUNTS_DEVICE, 0, 1, 0, false},
		{"align", 32, COUNTS_DEVICE, 0, 1, 4096, false},
		{"align", 32, COUNTS_DEVICE, 0, 1, GM_BLOCK_SIZE + 1, false},
		{"align", 32, COUNTS_DEVICE, 0, 1, UINT64_MAX, false},
		{"no descriptor", 32, COUNTS_DEVICE, 0, 1, GM_BLOCK_SIZE, true},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
		struct counts_device m = device_of(cases[n].range_count);
		int fd = cases[n].without_fd ? -1 : open_device();

		m.header.size = put_le32(cases[n].size);
		m.header.opcode = put_le16((uint16_t)cases[n].opcode);
		m.header.reserved = put_le16((uint16_t)cases[n].reserved);
		m.align = put_le64(cases[n].align);
		cr_expect_eq(
			take(&s, &m, sizeof(m), fd), -EPROTO, "case %zu: %s", n, cases[n].what);
		cr_expect_not(is_open(fd), "case %zu: its descriptor is closed", n);
	}
}

Test(counts_session, a_device_in_the_middle_of_another_is_refused)
{
	_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
	const struct counts_device m = device_of(1);
	int first = open_device(), second = open_device();

	cr_assert_eq(take(&s, &m, sizeof(m), first), COUNTS_NEXT_MESSAGE);
	cr_expect_eq(take(&s, &m, sizeof(m), second), -EPROTO);
	cr_expect(is_open(first));
	cr_expect_not(is_open(second));
	counts_session_deinit(&s);
	cr_expect_not(is_open(first));
}

Test(counts_session, ranges_with_any_field_wrong_are_refused)
{
	static const struct {
		const char *what;
		uint32_t announced, count, reserved;
		uint64_t id, start, size, behind;
	} cases[] = {
		{"another device's", 2, 2, 0, ID + 1, GM_BLOCK_SIZE, GM_BLOCK_SIZE, 0},
		{"fewer than announced", 3, 2, 0, ID, GM_BLOCK_SIZE, GM_BLOCK_SIZE, 0},
		{"more than announced", 1, 2, 0, ID, GM_BLOCK_SIZE, GM_BLOCK_SIZE, 0},
		{"none", 2, 0, 0, ID, 0, 0, 0},
		{"more than there is room for", 1000, 257, 0, ID, GM_BLOCK_SIZE, GM_BLOCK_SIZE, 0},
		{"very many", 1000, UINT32_MAX, 0, ID, GM_BLOCK_SIZE, GM_BLOCK_SIZE, 0},
		{"reserved", 2, 2, 1, ID, GM_BLOCK_SIZE, GM_BLOCK_SIZE, 0},
		{"start", 2, 2, 0, ID, 1, GM_BLOCK_SIZE, 0},
		{"size", 2, 2, 0, ID, GM_BLOCK_SIZE, 4096, 0},
		{"empty", 2, 2, 0, ID, GM_BLOCK_SIZE, 0, 0},
		{"overflow", 2, 2, 0, ID, UINT64_MAX - GM_BLOCK_SIZE + 1, GM_BLOCK_SIZE, 0},
		{"too long", 2, 2, 0, ID, 0, (UINT64_C(1) << 44) + GM_BLOCK_SIZE, 0},
		{"not zero behind the last", 2, 2, 0, ID, GM_BLOCK_SIZE, GM_BLOCK_SIZE, 1},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
		const struct counts_device device = device_of(cases[n].announced);
		struct counts_ranges m = ranges_of(2);

		m.header.id = put_le64(cases[n].id);
		m.count = put_le32(cases[n].count);
		m.reserved = put_le32(cases[n].reserved);
		m.ranges[1].start = put_le64(cases[n].start);
		m.ranges[1].size = put_le64(cases[n].size);
		m.ranges[2].size = put_le64(cases[n].behind);
		cr_assert_eq(take(&s, &device, sizeof(device), open_device()), COUNTS_NEXT_MESSAGE);
		cr_expect_eq(
			take(&s, &m, sizeof(m), -1), -EPROTO, "case %zu: %s", n, cases[n].what);
	}
}

Test(counts_session, ranges_out_of_turn_are_refused)
{
	_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
	const struct counts_device device = device_of(1);
	const struct counts_ranges m = ranges_of(1);
	union counts_reply reply;
	int fd = open_device();

	cr_expect_eq(take(&s, &m, sizeof(m), -1), -EPROTO, "before a device");
	cr_assert_eq(take(&s, &device, sizeof(device), open_device()), COUNTS_NEXT_MESSAGE);
	cr_expect_eq(take(&s, &m, sizeof(m), fd), -EPROTO, "with a descriptor");
	cr_expect_not(is_open(fd));
	cr_assert_eq(take(&s, &m, sizeof(m), -1), COUNTS_NEXT_RUN);
	find(2, 1, 1, 0, 0);
	cr_assert_eq(counts_session_add(&s, 0, &job, NULL), COUNTS_NEXT_ANSWER);
	cr_assert_gt(counts_session_answer(&s, &reply), 0);
	cr_expect_eq(take(&s, &m, sizeof(m), -1), -EPROTO, "after all of them");
}

static struct counts_close close_of(uint32_t count)
{
	struct counts_close m = {
		.header = {put_le32(sizeof(m)), put_le16(COUNTS_CLOSE), put_le16(0), put_le64(ID)},
		.count = put_le32(count),
	};

	for (uint32_t i = 0; i < count && i < COUNTS_GATE_DEVICES; i++) {
		m.devices[i].major = put_le32(250 + i);
		m.devices[i].minor = put_le32(i);
	}
	return m;
}

Test(counts_session, devices_to_be_closed_are_taken_and_answered)
{
	static const uint32_t counts[] = {0, 1, COUNTS_GATE_DEVICES};
	_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
	struct problem why = PROBLEM_INIT;
	union counts_reply reply;

	for (size_t n = 0; n < ARRAY_SIZE(counts); n++) {
		struct counts_close m = close_of(counts[n]);
		cr_assert_eq(take(&s, &m, sizeof(m), -1), COUNTS_NEXT_CLOSE);
		cr_assert_eq(s.closing_count, counts[n]);
		for (uint32_t i = 0; i < counts[n]; i++)
			cr_expect(s.closing[i].major == 250 + i && s.closing[i].minor == i);
	}
	cr_expect_eq(counts_session_closed(&s, 0, &why, &reply), sizeof(reply.closed));
	cr_expect_eq(get_le16(reply.closed.header.opcode), COUNTS_CLOSED);
	cr_expect_eq(get_le64(reply.closed.header.id), ID);
	(void)problem(&why, EAGAIN, "not yet");
	cr_expect_eq(counts_session_closed(&s, -EAGAIN, &why, &reply), sizeof(reply.failed));
	cr_expect_eq(get_le32(reply.failed.error), EAGAIN);
	cr_expect_str_eq(reply.failed.text, "not yet");
}

Test(counts_session, a_close_with_any_field_wrong_is_refused)
{
	struct counts_close m[5];

	for (size_t i = 0; i < ARRAY_SIZE(m); i++) {
		_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
		m[i] = close_of(1);
		if (i == 0)
			m[i].count = put_le32(COUNTS_GATE_DEVICES + 1);
		if (i == 1)
			m[i].reserved = put_le32(1);
		if (i == 2)
			m[i].devices[1].major = put_le32(1);
		if (i == 3)
			m[i].devices[COUNTS_GATE_DEVICES - 1].minor = put_le32(1);
		int fd = i == 4 ? open_device() : -1;
		cr_expect_eq(take(&s, &m[i], sizeof(m[i]), fd), -EPROTO, "case %zu", i);
		cr_expect(fd < 0 || !is_open(fd));
	}
}

Test(counts_session, a_close_in_the_middle_of_a_device_is_refused)
{
	_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
	struct counts_device device = device_of(1);
	struct counts_close m = close_of(1);

	cr_assert_eq(take(&s, &device, sizeof(device), open_device()), COUNTS_NEXT_MESSAGE);
	cr_expect_eq(take(&s, &m, sizeof(m), -1), -EPROTO);
}

Test(counts_session, messages_of_every_other_length_are_refused)
{
	static _Alignas(8) char bytes[sizeof(struct counts_ranges) + 64];
	const struct counts_device device = device_of(1);
	const struct counts_ranges ranges = ranges_of(1);

	for (size_t size = 0; size <= sizeof(bytes); size++) {
		_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;

		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, &device, sizeof(device));
		((struct counts_header *)(void *)bytes)->size = put_le32((uint32_t)size);
		if (size != sizeof(device))
			cr_assert_eq(
				take(&s, bytes, size, -1), -EPROTO, "a device of %zu bytes", size);
		cr_assert_eq(take(&s, &device, sizeof(device), open_device()), COUNTS_NEXT_MESSAGE);
		memcpy(bytes, &ranges, sizeof(ranges));
		((struct counts_header *)(void *)bytes)->size = put_le32((uint32_t)size);
		if (size != sizeof(ranges))
			cr_assert_eq(
				take(&s, bytes, size, -1), -EPROTO, "ranges of %zu bytes", size);
	}
}

/* Whatever bits are turned over: what is accepted is good for the program. */
Test(counts_session, no_bits_make_a_bad_job)
{
	chance_start();
	for (unsigned round = 0; round < 20000; round++) {
		_cleanup_(counts_session_deinit) struct counts_session s = COUNTS_SESSION_INIT;
		struct counts_device device = device_of(3);
		struct counts_ranges ranges = ranges_of(3);

		for (uint32_t n = chance_below(3); n > 0; n--)
			((char *)&device)[chance_below(sizeof(device))] ^=
				(char)(1 << chance_below(8));
		for (uint32_t n = chance_below(4); n > 0; n--)
			((char *)&ranges)[chance_below(80)] ^= (char)(1 << chance_below(8));
		if (take(&s, &device, sizeof(device), open_device()) < 0 ||
			take(&s, &ranges, sizeof(ranges), -1) != COUNTS_NEXT_RUN)
			continue;
		cr_assert(job.page_size == GM_BLOCK_SIZE || job.page_size == GM_GROUP_SIZE);
		cr_assert_leq(job.range_count, COUNTS_JOB_RANGES);
		for (uint32_t i = 0; i < job.range_count; i++)
			cr_assert(counts_range_is_good(
				job.ranges[i].start, job.ranges[i].size, job.page_size));
	}
}
