// SPDX-License-Identifier: MIT
/* A log that nobody reads delays nobody, and says afterwards what it has missed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/log_socket.h"

#define LINES 5000

static char directory[] = "/tmp/gm-log-XXXXXX";
static char path[64];
static int daemon_end = -1;

static void listen_for_lines(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	daemon_end = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_geq(daemon_end, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)unlink(path);
	cr_assert_eq(bind(daemon_end, (const struct sockaddr *)&address, sizeof(address)), 0);
}

static bool read_line(char *line, size_t size)
{
	ssize_t n = recv(daemon_end, line, size - 1, 0);

	line[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static void setup(void)
{
	cr_assert_not_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/log", directory);
}

static void teardown(void)
{
	(void)close(daemon_end);
	(void)unlink(path);
	(void)rmdir(directory);
}

TestSuite(log_socket, .init = setup, .fini = teardown);

Test(log_socket, a_line_has_priority_name_and_pid)
{
	char line[256], wanted[64];

	listen_for_lines();
	log_socket_begin("guestmemfs-x", path);
	log_socket_send(4, "what happened");
	cr_assert(read_line(line, sizeof(line)));
	(void)snprintf(wanted, sizeof(wanted), " guestmemfs-x[%d]: what happened", (int)getpid());
	cr_assert(strncmp(line, "<28>", 4) == 0, "%s", line);
	cr_assert(strstr(line, wanted), "%s", line);
}

/* Would hang where a line is waited for. */
Test(log_socket, nobody_waits_for_a_daemon_that_does_not_read, .timeout = 60)
{
	unsigned long taken = 0, missed = 0;
	char line[256];

	listen_for_lines();
	log_socket_begin("x", path);
	for (int n = 0; n < LINES; n++)
		log_socket_send(6, "a line");
	while (read_line(line, sizeof(line)))
		taken++;
	cr_assert_lt(taken, LINES);
	log_socket_send(6, "the last one");
	cr_assert(read_line(line, sizeof(line)));
	cr_assert_eq(sscanf(strstr(line, "]: "), "]: %lu lines before", &missed), 1, "%s", line);
	cr_assert_eq(taken + missed, LINES);
	cr_assert(read_line(line, sizeof(line)) && strstr(line, "the last one"), "%s", line);
}

Test(log_socket, a_daemon_that_comes_later_or_anew_gets_its_lines)
{
	char line[256];

	log_socket_begin("x", path);
	log_socket_send(6, "too early");
	listen_for_lines();
	log_socket_send(6, "first");
	cr_assert(read_line(line, sizeof(line)) && strstr(line, "1 lines before"), "%s", line);
	cr_assert(read_line(line, sizeof(line)) && strstr(line, "first"), "%s", line);
	(void)close(daemon_end);
	listen_for_lines();
	log_socket_send(6, "second");
	cr_assert(read_line(line, sizeof(line)) && strstr(line, "second"), "%s", line);
}

static struct {
	unsigned lines;
	int level, result;
	char text[64];
} relayed;

static int relay(int level, const char *text)
{
	relayed.lines++;
	relayed.level = level;
	(void)snprintf(relayed.text, sizeof(relayed.text), "%s", text);
	return relayed.result;
}

/* As for a worker, whose filter refuses connect(2): the path is gone with the old daemon. */
Test(log_socket, what_the_daemon_that_is_gone_does_not_take_goes_another_way)
{
	char line[256];

	listen_for_lines();
	log_socket_begin("guestmemfs-x", path);
	log_socket_relay_by(relay);
	log_socket_send(4, "first");
	cr_assert(read_line(line, sizeof(line)));
	cr_expect_eq(relayed.lines, 0);
	(void)close(daemon_end);
	cr_assert_eq(unlink(path), 0);
	log_socket_send(3, "second");
	cr_expect_eq(relayed.lines, 1);
	cr_expect_eq(relayed.level, 3);
	cr_expect_str_eq(relayed.text, "second");
	relayed.result = -11; /* the other way is full */
	log_socket_send(3, "third");
	relayed.result = 0;
	relayed.lines = 0;
	log_socket_send(6, "fourth");
	cr_expect_eq(relayed.lines, 2, "that one is missing is said first");
	cr_expect_str_eq(relayed.text, "fourth");
}
