// SPDX-License-Identifier: MIT
/* A wait ends when something is due, however often that changes, and the timer is set only then. */
#include <criterion/criterion.h>
#include <limits.h>
#include <poll.h>

#include "fuse/wakeup.h"
#include "util/clock.h"

#define HANGS_MS  30000
#define LATER_MS  3600000U
#define MOMENT_MS 20U

static struct wakeup w;
static uint64_t now;

static void setup(void)
{
	w = WAKEUP_NULL;
	cr_assert_eq(wakeup_open(&w), 0);
	now = clock_milliseconds();
}

static void teardown(void)
{
	wakeup_close(&w);
	cr_expect_eq(w.fd, -1);
}

TestSuite(wakeup, .init = setup, .fini = teardown);

static bool goes_off(int timeout)
{
	struct pollfd p = {.fd = w.fd, .events = POLLIN};

	return poll(&p, 1, timeout) == 1;
}

Test(wakeup, what_is_due_is_not_waited_for)
{
	cr_expect_eq(wakeup_by(&w, now, now), 0);
	cr_expect_eq(wakeup_by(&w, now, now - 1), 0);
	cr_expect_eq(w.at, 0);
}

Test(wakeup, goes_off_once_it_is_due)
{
	cr_assert_eq(wakeup_by(&w, now, now + MOMENT_MS), -1);
	cr_assert(goes_off(HANGS_MS));
	cr_expect_geq(clock_milliseconds(), now + MOMENT_MS, "nothing is late when it is asked");
	cr_expect(goes_off(0), "until it was taken");
	wakeup_take(&w);
	cr_expect(!goes_off(0));
	cr_expect_eq(w.at, 0);
	cr_assert_eq(wakeup_by(&w, now, clock_milliseconds() + MOMENT_MS), -1);
	cr_expect(goes_off(HANGS_MS), "and again");
}

Test(wakeup, stays_set_for_what_is_due_later)
{
	cr_assert_eq(wakeup_by(&w, now, now + LATER_MS), -1);
	cr_assert_eq(wakeup_by(&w, now + 5, now + LATER_MS + 5), -1);
	cr_expect_eq(w.at, now + LATER_MS, "it goes off before that: no need to set it");
}

Test(wakeup, is_set_for_what_is_due_before)
{
	cr_assert_eq(wakeup_by(&w, now, now + LATER_MS), -1);
	cr_assert_eq(wakeup_by(&w, now, now + MOMENT_MS), -1);
	cr_expect_eq(w.at, now + MOMENT_MS);
	cr_expect(goes_off(HANGS_MS));
}

Test(wakeup, taken_too_early_it_still_goes_off)
{
	cr_assert_eq(wakeup_by(&w, now, now + LATER_MS), -1);
	wakeup_take(&w);
	cr_expect_eq(w.at, now + LATER_MS);
}

/* A limit of the call itself is then what there is. */
Test(wakeup, that_can_not_be_set_leaves_the_limit_to_the_wait)
{
	wakeup_close(&w);
	cr_expect_eq(wakeup_by(&w, now, now + 7), 7);
	cr_expect_eq(wakeup_by(&w, now, now + INT_MAX + 1ULL), INT_MAX);
	cr_expect_eq(w.at, 0);
}
