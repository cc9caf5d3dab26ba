// SPDX-License-Identifier: MIT
/* Nobody who logs waits for who reads. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/log.h"

#define LINES 3000U /* more than a pipe or socket holds */

static unsigned written;
static unsigned long missing;

/* All that is there now: whole lines. */
static void read_lines(int fd)
{
	static char text[1 << 22];
	size_t length = 0;
	ssize_t n;

	while ((n = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
		length += (size_t)n;
	text[length] = '\0';
	for (char *at = text, *end; *at; at = end + 1) {
		unsigned long more;
		end = strchr(at, '\n');
		cr_assert_not_null(end);
		*end = '\0';
		if (strstr(at, " lines before this one") && sscanf(at, "test: %lu", &more) == 1)
			missing += more;
		else
			written++;
	}
}

static void fill(int out[2])
{
	char text[200];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cr_assert_eq(dup2(out[1], STDERR_FILENO), STDERR_FILENO);
	cr_assert_eq(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
	log_init("test", LOG_LEVEL_INFO);
	log_never_wait();
	for (unsigned i = 0; i < LINES; i++)
		log_info("%u %s", i, text);
	read_lines(out[0]);
	cr_expect_lt(written, LINES);
	log_info("the last");
	read_lines(out[0]);
	cr_expect_eq(written + missing, LINES + 1);
	cr_expect_eq(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0, "others share the pipe");
}

Test(log, a_pipe_that_nobody_reads_delays_nobody, .timeout = 60)
{
	int out[2];

	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	fill(out);
}

Test(log, a_socket_that_nobody_reads_delays_nobody, .timeout = 60)
{
	int out[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
	fill(out);
}
