// SPDX-License-Identifier: MIT
/* What the worker refuses is a line each, up to a limit, and then a number. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuse/refusals.h"
#include "util/log.h"

static const struct asker asker = {.pid = 12, .uid = 1000};
static int out[2];

static void setup(void)
{
	log_init("test", LOG_LEVEL_INFO);
	cr_assert_eq(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	cr_assert_eq(dup2(out[1], STDERR_FILENO), STDERR_FILENO);
}

TestSuite(refusals, .init = setup);

static const char *written(void)
{
	static char text[65536];
	ssize_t n = read(out[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

Test(refusals, say_who_asked_for_what)
{
	struct refusals r = {.limiter = {0}};

	refusals_audit(&r, &asker, "ticket", 7, -EBUSY, NULL, 1);
	cr_expect_str_eq(written(),
		"test: refusal by=worker pid=12 uid=1000 request=ticket ino=7 errno=16 "
		"what=\"Device or resource busy\"\n");
	refusals_audit(&r, &asker, "freeze", 0, -EIO, "no", 1);
	cr_expect_str_eq(written(),
		"test: refusal by=worker pid=12 uid=1000 request=freeze ino=0 errno=5 what=no\n");
}

Test(refusals, are_limited_and_owned_up_to)
{
	struct refusals r = {.limiter = {0}};
	uint64_t now = 100000, due = 0;
	unsigned lines = 0;

	for (unsigned i = 0; i < REFUSALS_LINES + 3; i++)
		refusals_audit(&r, &asker, "ticket", 7, -EBUSY, NULL, now);
	for (const char *at = written(); (at = strchr(at, '\n')); at++)
		lines++;
	cr_expect_eq(lines, REFUSALS_LINES);
	cr_assert(refusals_next_deadline(&r, &due));
	cr_expect_eq(due, now + LIMITER_PERIOD);
	refusals_expire(&r, due - 1);
	cr_expect_str_eq(written(), "");
	refusals_expire(&r, due);
	cr_expect_str_eq(
		written(), "test: 3 more refusals by the worker were not logged one by one\n");
	cr_expect_not(refusals_next_deadline(&r, &due));
}
