// SPDX-License-Identifier: MIT
/* The form of a line is that of RFC 3164, section 4.1, as syslog(3) has it. */
#include "util/log_socket.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM_MAX 2400

/* The one state that a process's way to the log has. */
static struct {
	const char *name;
	const char *path;
	int sock; /* the same one for good */
	log_socket_relay *relay;
	atomic_ulong dropped;
} state = {.sock = -1};

/* A datagram socket may be connected again and again: nobody sees another number. */
static int connect_to_log(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(state.path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, state.path, strlen(state.path) + 1);
	int r = connect(state.sock, (const struct sockaddr *)&address, sizeof(address));
	return r < 0 ? -errno : 0;
}

static int send_line(const char *line, size_t length)
{
	ssize_t n = send(state.sock, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : 0;
}

static int format_line(char *line, int level, const char *text)
{
	time_t now = time(NULL);
	char date[32] = "";
	struct tm tm;

	if (localtime_r(&now, &tm))
		(void)strftime(date, sizeof(date), "%b %e %T", &tm);
	int n = snprintf(line, DATAGRAM_MAX, "<%d>%s %s[%d]: %s", LOG_MAKEPRI(LOG_DAEMON, level),
		date, state.name, (int)getpid(), text);
	return n < DATAGRAM_MAX ? n : DATAGRAM_MAX - 1;
}

static int send_text(int level, const char *text)
{
	char line[DATAGRAM_MAX];
	int n = format_line(line, level, text);
	int r = n < 0 ? -EINVAL : send_line(line, (size_t)n);

	/* The daemon has gone away, or was not there yet. */
	if (r == -ECONNREFUSED || r == -ENOTCONN || r == -ECONNRESET)
		r = connect_to_log() < 0 ? r : send_line(line, (size_t)n);
	if (r < 0 && r != -EAGAIN && state.relay)
		r = state.relay(level, text);
	return r;
}

static void own_up(void)
{
	char text[96];
	unsigned long dropped = atomic_exchange(&state.dropped, 0);

	if (dropped == 0)
		return;
	(void)snprintf(
		text, sizeof(text), "%lu lines before this one were not taken by the log", dropped);
	if (send_text(LOG_WARNING, text) < 0)
		atomic_fetch_add(&state.dropped, dropped);
}

void log_socket_begin(const char *name, const char *path)
{
	state.name = name;
	state.path = path;
	/* With all that it reads: a process may leave the directory tree later. */
	tzset();
	if (state.sock < 0)
		state.sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)connect_to_log();
}

void log_socket_relay_by(log_socket_relay *relay)
{
	state.relay = relay;
}

void log_socket_send(int level, const char *text)
{
	own_up();
	if (send_text(level, text) < 0)
		atomic_fetch_add(&state.dropped, 1);
}
