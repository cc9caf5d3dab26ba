// SPDX-License-Identifier: MIT
#include "util/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/log_socket.h"

/* The one state that a process's log has; set by main, read everywhere. */
static struct {
	const char *name;
	enum log_level max_level;
	bool journal;
	bool syslog;
	bool never_waits;
	bool is_socket; /* stderr, as it is where a service manager gives it to us */
	int fd;         /* what is written to */
	atomic_ulong dropped;
} log_state = {.name = "guestmemfs", .max_level = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

static bool asked_for(const char *word)
{
	const char *words = getenv(LOG_ENVIRONMENT);
	size_t length = strlen(word);

	for (const char *at = words; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
			return true;
	return false;
}

/*
 * $JOURNAL_STREAM is inherited also by those whose stderr has been sent elsewhere: it names the
 * device and inode that the journal's end has.
 */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_init(const char *name, enum log_level max_level)
{
	log_state.name = name;
	log_state.max_level = max_level;
	log_state.journal = stderr_is_journal();
	if (asked_for("debug"))
		log_state.max_level = LOG_LEVEL_DEBUG;
	if (asked_for("syslog"))
		log_to_syslog();
}

void log_never_wait(void)
{
	struct stat st;

	if (log_state.syslog || fstat(STDERR_FILENO, &st) < 0)
		return;
	log_state.never_waits = true;
	log_state.is_socket = S_ISSOCK(st.st_mode);
	if (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO))
		return;
	int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		log_state.fd = fd;
}

void log_to_syslog(void)
{
	log_socket_begin(log_state.name, LOG_SOCKET_PATH);
	log_state.syslog = true;
}

bool log_reaches_journal(void)
{
	return log_state.journal || log_state.syslog;
}

const char *log_name(void)
{
	return log_state.name;
}

/* One write, so that lines of several processes on one pipe do not mix. */
static bool write_line(const char *line, size_t n)
{
	/* Where stderr could not be opened anew. */
	struct pollfd p = {.fd = log_state.fd, .events = POLLOUT};

	if (log_state.is_socket)
		return send(log_state.fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
	if (log_state.never_waits && poll(&p, 1, 0) == 0)
		return false;
	return write(log_state.fd, line, n) > 0 || errno != EAGAIN;
}

static void own_up(void)
{
	char text[160];
	unsigned long dropped = atomic_exchange(&log_state.dropped, 0);

	if (dropped == 0)
		return;
	int n = snprintf(text, sizeof(text),
		"%s%.64s%s%lu lines before this one were not taken by the log\n",
		log_state.journal ? "<4>" : "", log_state.journal ? "" : log_state.name,
		log_state.journal ? "" : ": ", dropped);
	if (!write_line(text, (size_t)n))
		atomic_fetch_add(&log_state.dropped, dropped);
}

void log_mask(char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			*text = '?';
}

void log_message(enum log_level level, const char *format, ...)
{
	char line[2048];
	int saved = errno;
	va_list ap;
	size_t n = 0;

	if (level > log_state.max_level)
		return;
	if (log_state.journal)
		n = (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	else
		n = (size_t)snprintf(line, sizeof(line), "%s: ", log_state.name);
	if (n > sizeof(line) / 2)
		n = sizeof(line) / 2;
	if (log_state.syslog)
		n = 0; /* name and priority go their own way */
	va_start(ap, format);
	int m = vsnprintf(line + n, sizeof(line) - n - 1, format, ap);
	va_end(ap);
	if (m > 0)
		n += (size_t)m < sizeof(line) - n - 1 ? (size_t)m : sizeof(line) - n - 2;
	if (log_state.syslog) {
		log_socket_send((int)level, line); /* the levels are syslog's */
		errno = saved;
		return;
	}
	line[n++] = '\n';
	own_up();
	if (!write_line(line, n))
		atomic_fetch_add(&log_state.dropped, 1);
	errno = saved;
}
