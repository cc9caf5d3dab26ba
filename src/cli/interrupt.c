// SPDX-License-Identifier: MIT
#include "cli/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>

#include "util/cleanup.h"

static const int noted_numbers[] = {SIGINT, SIGTERM, SIGHUP};

/* A handler has no other way to tell. */
static volatile sig_atomic_t interrupt_signal;

static void interrupt_note(int number)
{
	interrupt_signal = number;
}

void interrupt_watch(void)
{
	/* Without SA_RESTART, so that a read() that waits for input comes back. */
	const struct sigaction note = {.sa_handler = interrupt_note, .sa_flags = (int)SA_RESETHAND};
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction old;

	for (size_t i = 0; i < ARRAY_SIZE(noted_numbers); i++)
		if (sigaction(noted_numbers[i], NULL, &old) == 0 &&
			old.sa_handler != SIG_IGN) /* nohup stays nohup */
			(void)sigaction(noted_numbers[i], &note, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

bool interrupt_pending(void)
{
	return interrupt_signal != 0;
}

int interrupt_wait(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};
	sigset_t held, old;
	int r;

	(void)sigemptyset(&held);
	for (size_t i = 0; i < ARRAY_SIZE(noted_numbers); i++)
		(void)sigaddset(&held, noted_numbers[i]);
	/* None is noted between the look and the wait. */
	(void)sigprocmask(SIG_BLOCK, &held, &old);
	do
		r = interrupt_pending() ? 0 : ppoll(&p, 1, NULL, &old);
	while (r < 0 && errno == EINTR);
	r = r < 0 ? -errno : 0;
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return interrupt_pending() ? -EINTR : r;
}

void interrupt_obey(void)
{
	if (interrupt_signal != 0)
		(void)raise(interrupt_signal); /* its handler was reset when it was noted */
}

/* ---- held back ---- */

static const int held_numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static void change_mask(int how)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(held_numbers); i++)
		(void)sigaddset(&set, held_numbers[i]);
	(void)sigaddset(&set, SIGPIPE);
	(void)sigprocmask(how, &set, NULL);
}

void interrupt_hold(void)
{
	change_mask(SIG_BLOCK);
}

/* One that is ignored never becomes pending: nohup stays nohup. */
bool interrupt_held(void)
{
	sigset_t pending;

	if (sigpending(&pending) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(held_numbers); i++)
		if (sigismember(&pending, held_numbers[i]) == 1)
			return true;
	return false;
}

void interrupt_release(void)
{
	change_mask(SIG_UNBLOCK);
}
