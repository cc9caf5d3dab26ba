// SPDX-License-Identifier: MIT
/* A signal that comes before one waits ends the waiting as well. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "cli/interrupt.h"

static int ends[2];

static void watch(void)
{
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	cr_assert_eq(pipe(ends), 0);
	interrupt_watch();
}

TestSuite(cli_interrupt, .init = watch, .timeout = 20);

Test(cli_interrupt, one_that_came_before_is_not_waited_through)
{
	cr_assert_eq(raise(SIGTERM), 0);
	cr_assert(interrupt_pending());
	cr_expect_eq(interrupt_wait(ends[0], POLLIN), -EINTR);
}

Test(cli_interrupt, nor_one_that_comes_meanwhile)
{
	struct timespec start, end;

	(void)clock_gettime(CLOCK_MONOTONIC, &start);
	pid_t me = getpid(), pid = fork();
	if (pid == 0) {
		(void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
		(void)kill(me, SIGINT);
		_exit(0);
	}
	cr_expect_eq(interrupt_wait(ends[0], POLLIN), -EINTR);
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	cr_expect_gt((end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec,
		50000000, "nobody had come");
}

Test(cli_interrupt, what_can_be_read_is_not_waited_for)
{
	cr_assert_eq(write(ends[1], "x", 1), 1);
	cr_expect_eq(interrupt_wait(ends[0], POLLIN), 0);
	cr_expect_not(interrupt_pending());
	cr_assert_eq(close(ends[1]), 0);
	cr_expect_eq(interrupt_wait(ends[0], POLLIN), 0, "its end can be read too");
	cr_expect_eq(interrupt_wait(ends[0] + 100, POLLIN), 0, "and read(2) says what is wrong");
}

/* As under nohup. */
Test(cli_interrupt, what_is_ignored_ends_nothing)
{
	(void)signal(SIGHUP, SIG_IGN);
	interrupt_watch();
	cr_assert_eq(raise(SIGHUP), 0);
	cr_assert_eq(write(ends[1], "x", 1), 1);
	cr_expect_eq(interrupt_wait(ends[0], POLLIN), 0);
}
