// SPDX-License-Identifier: MIT
/* How a guestmemfs-counts is started and asked, against one that says whatever a test wants, and
 * against the real one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine/confine.h"
#include "counts/counts.h"
#include "guestmemfs/format.h"
#include "util/cleanup.h"

#define RANGES_MAX 1000

/* Who asks for a limit of so many seconds gets one of a single second; 0: nobody does. */
static time_t shortened;

int __real_setsockopt(int sock, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int sock, int level, int name, const void *value, socklen_t size);

int __wrap_setsockopt(int sock, int level, int name, const void *value, socklen_t size)
{
	const struct timeval limit = {.tv_sec = 1}, *asked = value;

	if (shortened > 0 && (name == SO_RCVTIMEO || name == SO_SNDTIMEO) &&
		asked->tv_sec == shortened)
		return __real_setsockopt(sock, level, name, &limit, sizeof(limit));
	return __real_setsockopt(sock, level, name, value, size);
}

static int start(struct counts **ret, const char *mode, struct problem *why)
{
	cr_assert_eq(setenv("COUNTS_FAKE", mode, 1), 0);
	return counts_start(ret, COUNTS_FAKE_EXE, why);
}

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

static bool has_ended(const struct counts *c)
{
	struct pollfd poll_fd = {.fd = counts_get_fd(c), .events = POLLIN};

	return poll(&poll_fd, 1, 20000) == 1;
}

static int ask(struct counts *c, struct counts_reading *ret, struct problem *why)
{
	static const struct counts_range range = {GM_GROUP_SIZE, GM_BLOCK_SIZE};
	int fd = open_device();
	int r = counts_read(c, fd, &range, 1, GM_BLOCK_SIZE, NULL, ret, why);

	cr_expect_not(is_open(fd), "the descriptor is closed, whatever comes of it");
	return r;
}

Test(counts_client, what_is_asked_arrives_whole_and_the_answer_too, .timeout = 120)
{
	static struct counts_range ranges[RANGES_MAX];
	static const size_t counts[] = {1, 255, 256, 257, 512, RANGES_MAX};
	const struct counts_idle idle = {.cdev = 9, .page = 7};
	struct problem why = PROBLEM_INIT;
	struct counts_reading got;
	struct counts *c = NULL;

	for (size_t n = 0; n < RANGES_MAX; n++)
		ranges[n] =
			(struct counts_range){(n + 3) * GM_GROUP_SIZE, (1 + n % 2) * GM_GROUP_SIZE};
	cr_assert_eq(start(&c, "", &why), 0, "%s", why.text);
	for (size_t n = 0; n < ARRAY_SIZE(counts); n++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < counts[n]; i++)
			sum += ranges[i].size;
		cr_assert_eq(counts_read(c, open_device(), ranges, counts[n], GM_GROUP_SIZE, &idle,
				     &got, &why),
			0, "%zu ranges: %s", counts[n], why.text);
		cr_expect_eq(got.cdev, 2);
		cr_expect_eq(got.page_min, GM_GROUP_SIZE >> 20);
		cr_expect_eq(got.page_max, 7);
		cr_expect_eq(got.busy_pages, sum, "%zu ranges", counts[n]);
		cr_expect_eq(got.first_busy, ranges[0].start);
	}
	cr_assert_eq(ask(c, &got, &why), 0);
	cr_expect_eq(got.page_max, UINT32_MAX, "without an idle count no page is busy");
	cr_expect_null(counts_stop(c));
	cr_expect_null(counts_stop(NULL));
	cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "the process is waited for");
}

Test(counts_client, a_process_that_does_not_begin_well_is_given_up, .timeout = 120)
{
	static const struct {
		const char *mode;
		int error;
		const char *text;
	} cases[] = {
		{"unable", -EOPNOTSUPP, "it is full moon"},
		{"dead at the start", -EPIPE, "has ended"},
		{"garbage at the start", -EPIPE, "says what it should not"},
		{"short at the start", -EPIPE, "says what it should not"},
		{"end without a zero byte", -EPIPE, "says what it should not"},
		{"other version", -EPROTO, "another version"},
		{"silent at the start", -ETIMEDOUT, "does not answer"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct problem why = PROBLEM_INIT;
		struct counts *c = NULL;

		shortened = cases[n].error == -ETIMEDOUT ? 60 : 0; /* START_SECONDS */
		cr_expect_eq(start(&c, cases[n].mode, &why), cases[n].error, "%s: %s",
			cases[n].mode, why.text);
		cr_expect(strstr(why.text, cases[n].text), "%s: %s", cases[n].mode, why.text);
		cr_expect_null(c);
		cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1, "%s: the process is waited for",
			cases[n].mode);
	}
}

Test(counts_client, a_process_that_answers_badly_is_given_up, .timeout = 120)
{
	static const struct {
		const char *mode;
		int error;
		const char *text;
	} cases[] = {
		{"dead at a question", -EPIPE, "has ended"},
		{"end with a reason", -EPIPE, "it was forbidden"},
		{"another answer's number", -EPIPE, "says what it should not"},
		{"longer answer", -EPIPE, "says what it should not"},
		{"descriptor", -EPIPE, "Protocol error"},
		{"silent at a question", -ETIMEDOUT, "does not answer"},
	};

	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		struct problem why = PROBLEM_INIT;
		struct counts_reading got;
		struct counts *c = NULL;

		shortened = cases[n].error == -ETIMEDOUT ? 20 : 0; /* READ_SECONDS */
		cr_assert_eq(start(&c, cases[n].mode, &why), 0, "%s: %s", cases[n].mode, why.text);
		cr_expect_eq(ask(c, &got, &why), cases[n].error, "%s: %s", cases[n].mode, why.text);
		cr_expect(strstr(why.text, cases[n].text), "%s: %s", cases[n].mode, why.text);
		cr_expect(
			has_ended(c), "%s: whoever watches sees that it has ended", cases[n].mode);
		cr_expect_eq(ask(c, &got, &why), -EPIPE, "%s", cases[n].mode);
		cr_expect_null(counts_stop(c));
	}
}

Test(counts_client, a_device_that_is_refused_does_not_end_the_process, .timeout = 120)
{
	struct problem why = PROBLEM_INIT;
	struct counts_reading got;
	struct counts *c = NULL;

	cr_assert_eq(start(&c, "no device", &why), 0, "%s", why.text);
	cr_expect_eq(ask(c, &got, &why), -ENODEV);
	cr_expect_str_eq(why.text, "no such thing");
	cr_expect_eq(ask(c, &got, &why), 0, "%s", why.text);
	cr_expect_null(counts_stop(c));
}

Test(counts_client, devices_are_closed_by_their_numbers, .timeout = 120)
{
	dev_t devices[COUNTS_CLOSE_MAX + 1] = {makedev(252, 3), makedev(4000, 1048575)};
	struct problem why = PROBLEM_INIT;
	struct counts_reading got;
	struct counts *c = NULL;

	cr_assert_eq(start(&c, "", &why), 0, "%s", why.text);
	cr_expect_eq(counts_close(c, devices, 1, &why), 0);
	cr_expect_eq(counts_close(c, devices, 2, &why), -EAGAIN);
	cr_expect_str_eq(why.text, "252:3 4000:1048575 ");
	cr_expect_eq(counts_close(c, NULL, 0, &why), 0);
	cr_expect_eq(counts_close(c, devices, COUNTS_CLOSE_MAX, &why), -EAGAIN);
	cr_expect_eq(counts_close(c, devices, COUNTS_CLOSE_MAX + 1, &why), -EINVAL);
	cr_expect_eq(ask(c, &got, &why), 0, "and it goes on");
	counts_stop(c);
	cr_assert_eq(start(&c, "dead at a question", &why), 0, "%s", why.text);
	cr_expect_eq(counts_close(c, devices, 1, &why), -EPIPE);
	cr_expect_eq(counts_close(c, NULL, 0, NULL), -EPIPE);
	counts_stop(c);
}

Test(counts_client, a_question_that_makes_no_sense_is_not_asked, .timeout = 120)
{
	static const struct {
		const char *what;
		struct counts_range range;
		size_t count;
		uint64_t align;
	} cases[] = {
		{"no range", {GM_BLOCK_SIZE, GM_BLOCK_SIZE}, 0, GM_BLOCK_SIZE},
		{"too many", {GM_BLOCK_SIZE, GM_BLOCK_SIZE}, (1U << 23) + 1, GM_BLOCK_SIZE},
		{"small pages", {GM_BLOCK_SIZE, GM_BLOCK_SIZE}, 1, 4096},
		{"no pages", {GM_BLOCK_SIZE, GM_BLOCK_SIZE}, 1, 0},
		{"start", {GM_BLOCK_SIZE + 4096, GM_BLOCK_SIZE}, 1, GM_BLOCK_SIZE},
		{"size", {GM_BLOCK_SIZE, GM_BLOCK_SIZE + 1}, 1, GM_BLOCK_SIZE},
		{"size for large pages", {GM_GROUP_SIZE, GM_BLOCK_SIZE}, 1, GM_GROUP_SIZE},
		{"empty", {GM_BLOCK_SIZE, 0}, 1, GM_BLOCK_SIZE},
		{"beyond all addresses", {UINT64_C(1) << 52, GM_BLOCK_SIZE}, 1, GM_BLOCK_SIZE},
		{"over the end", {GM_BLOCK_SIZE, UINT64_C(1) << 52}, 1, GM_GROUP_SIZE},
		{"overflow", {0 - GM_BLOCK_SIZE, 2 * GM_BLOCK_SIZE}, 1, GM_BLOCK_SIZE},
		{"more pages than a range has", {0, (UINT64_C(1) << 44) + GM_BLOCK_SIZE}, 1,
			GM_BLOCK_SIZE},
	};
	struct problem why = PROBLEM_INIT;
	struct counts_reading got;
	struct counts *c = NULL;

	cr_assert_eq(start(&c, "", &why), 0, "%s", why.text);
	for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
		int fd = open_device();

		why = PROBLEM_INIT;
		cr_expect_eq(counts_read(c, fd, &cases[n].range, cases[n].count, cases[n].align,
				     NULL, &got, &why),
			-EINVAL, "%s", cases[n].what);
		cr_expect_str_neq(why.text, "", "%s", cases[n].what);
		cr_expect_not(is_open(fd), "%s", cases[n].what);
	}
	cr_expect_eq(ask(c, &got, &why), 0, "and the process is fine: %s", why.text);
	cr_expect_null(counts_stop(c));
}

Test(counts_client, a_program_that_is_not_there_is_a_feature_that_is_not_there)
{
	struct problem why = PROBLEM_INIT;
	struct counts *c = NULL;

	cr_expect_eq(counts_start(&c, "/nowhere/guestmemfs-counts", &why), -EOPNOTSUPP);
	cr_expect(strstr(why.text, "there is no /nowhere/guestmemfs-counts"), "%s", why.text);
	cr_expect_eq(counts_start(&c, "/dev/null", &why), -EACCES);
	cr_expect_null(c);
}

#ifdef GUESTMEMFS_COUNTS_EXE
/* Without privileges no kernel lets it, so the answer is the same on every machine. */
Test(counts_client, the_real_one_says_what_it_lacks, .timeout = 120)
{
	const struct confine_privileges none = {.capabilities = NULL};
	struct problem why = PROBLEM_INIT;
	struct counts *c = NULL;

	cr_assert_eq(confine_privileges(&none, &why), 0, "%s", why.text);
	cr_expect_eq(counts_start(&c, GUESTMEMFS_COUNTS_EXE, &why), -EOPNOTSUPP, "%s", why.text);
	cr_expect_str_neq(why.text, "");
	cr_expect_null(c);
}
#endif
