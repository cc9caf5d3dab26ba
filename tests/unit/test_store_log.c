// SPDX-License-Identifier: MIT
/* What the store writes to the log, by a clock that the test moves. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store_fixture.h"

static time_t seconds = 1000;

int __wrap_clock_gettime(
	clockid_t clock, struct timespec *ret); /* instead of libc's, by the linker */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	*ret = (struct timespec){.tv_sec = seconds};
	return 0;
}

/* stderr, to be read while it goes on. */
static int catch_log(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_geq(dup2(fd, STDERR_FILENO), 0);
	return fd;
}

static unsigned count_lines(int log, const char *with)
{
	char text[4096];
	ssize_t n = pread(log, text, sizeof(text) - 1, 0);
	unsigned lines = 0;

	cr_assert_geq(n, 0);
	text[n] = '\0';
	for (const char *at = text; (at = strstr(at, with)); at++)
		lines++;
	return lines;
}

/* Somebody who fills the pool, makes room and fills it again does not fill the log too. */
Test(store_log, a_full_pool_is_said_once_a_minute_whatever_succeeds_in_between)
{
	struct fixture f;
	char name[32];
	uint64_t ino;
	int log;

	fixture_init(&f, 16);
	for (unsigned n = 0; n < 15; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		cr_assert_eq(fixture_make(&f, GM_ROOT_INO, name, S_IFREG, &ino), 0, "%u", n);
	}
	log = catch_log();
	for (unsigned n = 0; n < 5; n++) {
		cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "too many", S_IFREG, &ino), -ENOSPC);
		cr_assert_eq(fixture_unlink(&f, GM_ROOT_INO, "3", false), 0);
		cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "3", S_IFREG, &ino), 0);
	}
	cr_assert_eq(count_lines(log, "no space: the number of files"), 1);
	seconds += 59;
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "too many", S_IFREG, &ino), -ENOSPC);
	cr_assert_eq(count_lines(log, "no space"), 1);
	seconds += 2;
	cr_assert_eq(fixture_make(&f, GM_ROOT_INO, "too many", S_IFREG, &ino), -ENOSPC);
	cr_assert_eq(count_lines(log, "no space"), 2);
	fixture_deinit(&f);
}
